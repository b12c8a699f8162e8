/* imap_parse_annotate.c - annotations of messages (RFC 5257 section 5) wherever they stand. */
#include <string.h>

#include "imap_parse_private.h"

static const struct {
	const char *name;
	unsigned attributes;
} attributes[] = {
	{ "value", ANNOTATION_VALUE_PRIV | ANNOTATION_VALUE_SHARED }, { "value.priv", ANNOTATION_VALUE_PRIV },
	{ "value.shared", ANNOTATION_VALUE_SHARED },                  { "size", ANNOTATION_SIZE_PRIV | ANNOTATION_SIZE_SHARED },
	{ "size.priv", ANNOTATION_SIZE_PRIV },                        { "size.shared", ANNOTATION_SIZE_SHARED },
};

static bool bad_entry(struct imap_parser *p, const char *what)
{
	return fault_set(p->why, FAULT_CLIENT, "an annotation's entry %s", what);
}

/* "1.2" of "/1.2/comment": numbers from 1, and something behind them. */
static bool check_part(struct imap_parser *p, struct bytes entry)
{
	size_t end = bytes_find(bytes_from(entry, 1), '/') + 1;
	struct bytes part = bytes_sub(entry, 1, end - 1);

	if (end >= entry.n)
		return bad_entry(p, "of a part has no name");
	while (part.n > 0) {
		size_t n = bytes_find(part, '.');
		uint64_t number;

		if (!bytes_to_u64(bytes_sub(part, 0, n), UINT32_MAX, &number) || number == 0 || n + 1 == part.n)
			return bad_entry(p, "does not begin with the numbers of a part");
		part = bytes_from(part, n + 1);
	}
	return true;
}

/* RFC 5257 section 3.2; MAY_MATCH: with wildcards. */
static bool check_entry(struct imap_parser *p, struct bytes entry, bool may_match)
{
	for (size_t i = 0; i < entry.n; i++) {
		bool is_wild = entry.p[i] == '*' || entry.p[i] == '%';

		if (is_wild && may_match)
			return true; /* what it may match is any */
		if (is_wild)
			return bad_entry(p, "has a wildcard");
		if (entry.p[i] < ' ' || entry.p[i] >= 0x7f)
			return bad_entry(p, "is not printable ASCII");
		if (entry.p[i] == '/' && (i + 1 == entry.n || entry.p[i + 1] == '/'))
			return bad_entry(p, "has an empty component");
	}
	if (entry.n < 2 || entry.p[0] != '/')
		return bad_entry(p, "does not begin with a slash");
	if (bytes_equal_str(entry, "/flags") || bytes_starts(entry, BYTES_LIT("/flags/")))
		return bad_entry(p, "below /flags is reserved");
	return !ascii_is_digit(entry.p[1]) || check_part(p, entry);
}

/* The attributes in the arena's order of enum annotation_attribute. */
static bool take_attribute(struct imap_parser *p, unsigned *set_r)
{
	struct bytes word;

	if (!imap_take_astring(&p->c, p->a, &word, p->why))
		return false;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		if (bytes_equal_str(word, attributes[i].name)) {
			*set_r |= attributes[i].attributes;
			return true;
		}
	}
	return fault_set(p->why, FAULT_CLIENT, "no such attribute of an annotation: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
}

static bool take_match(struct imap_parser *p, struct bytes *entry_r)
{
	return imap_take_list_mailbox(&p->c, p->a, entry_r, p->why) && check_entry(p, *entry_r, true);
}

bool imap_take_annotation_item(struct imap_parser *p, struct fetch_item *item)
{
	struct bytes_list entries = { 0 };
	struct bytes entry;
	bool in_list;

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of entries and attributes", p->why);
	in_list = cursor_take(&p->c, '(');
	do {
		if (!take_match(p, &entry) || !bytes_list_add(p, &entries, entry))
			return false;
	} while (in_list && cursor_take(&p->c, ' '));
	if ((in_list && !cursor_take(&p->c, ')')) || !cursor_take(&p->c, ' '))
		return imap_expected(&p->c, "the end of the entries", p->why);
	if (entries.count > ANNOTATIONS_MAX)
		return fault_set(p->why, FAULT_LIMIT, "more than %d entries", ANNOTATIONS_MAX);
	item->fields = entries.at;
	item->field_count = entries.count;
	in_list = cursor_take(&p->c, '(');
	do {
		if (!take_attribute(p, &item->attributes))
			return false;
	} while (in_list && cursor_take(&p->c, ' '));
	if (in_list && !cursor_take(&p->c, ')'))
		return imap_expected(&p->c, "the end of the attributes", p->why);
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of ANNOTATION", p->why);
}

/* /1/flags/seen and its like are "1", "0" or NIL. */
static bool check_part_flag(struct imap_parser *p, const struct annotation *an)
{
	struct bytes rest = bytes_from(an->entry, 1);

	if (!ascii_is_digit(an->entry.p[1]))
		return true;
	rest = bytes_from(rest, bytes_find(rest, '/'));
	if (!bytes_equal_str(rest, "/flags") && !bytes_starts(rest, BYTES_LIT("/flags/")))
		return true;
	if (!bytes_equal_str(rest, "/flags/seen") && !bytes_equal_str(rest, "/flags/answered") && !bytes_equal_str(rest, "/flags/flagged") &&
	    !bytes_equal_str(rest, "/flags/forwarded"))
		return bad_entry(p, "names a flag that parts do not have");
	return an->value.p == NULL || bytes_equal_str(an->value, "0") || bytes_equal_str(an->value, "1") ||
	       fault_set(p->why, FAULT_CLIENT, "a part's flag is \"1\", \"0\" or NIL");
}

static bool add_value(struct imap_parser *p, struct annotation **at, size_t *count, size_t *cap, struct bytes entry)
{
	struct annotation an = { .entry = entry };
	unsigned set = 0;

	if (!take_attribute(p, &set) || !imap_take_space(&p->c, p->why) || !imap_take_nstring8(p, &an.value))
		return false;
	if (set != ANNOTATION_VALUE_PRIV && set != ANNOTATION_VALUE_SHARED)
		return fault_set(p->why, FAULT_CLIENT, "only value.priv and value.shared can be set");
	an.is_shared = set == ANNOTATION_VALUE_SHARED;
	if (*count == ANNOTATIONS_MAX)
		return fault_set(p->why, FAULT_LIMIT, "more than %d annotations", ANNOTATIONS_MAX);
	if (*count == *cap) {
		struct annotation *more = arena_array(p->a, *cap == 0 ? 4 : *cap * 2, sizeof(*more));

		if (*count > 0)
			memcpy(more, *at, *count * sizeof(*more));
		*at = more;
		*cap = *cap == 0 ? 4 : *cap * 2;
	}
	(*at)[(*count)++] = an;
	return check_part_flag(p, &an);
}

bool imap_take_annotations(struct imap_parser *p, struct annotation **at_r, size_t *count_r)
{
	struct bytes entry;
	size_t cap = 0;

	*at_r = NULL;
	*count_r = 0;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of entries", p->why);
	do {
		if (!imap_take_astring(&p->c, p->a, &entry, p->why) || !check_entry(p, entry, false) || !imap_take_space(&p->c, p->why))
			return false;
		if (!cursor_take(&p->c, '('))
			return imap_expected(&p->c, "a list of attributes and values", p->why);
		do {
			if (!add_value(p, at_r, count_r, &cap, entry))
				return false;
		} while (cursor_take(&p->c, ' '));
		if (!cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the attributes", p->why);
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of ANNOTATION", p->why);
}

bool imap_take_annotation_key(struct imap_parser *p, struct search_key *k)
{
	unsigned set = 0;

	if (!take_match(p, &k->field) || !imap_take_space(&p->c, p->why) || !take_attribute(p, &set) || !imap_take_space(&p->c, p->why) ||
	    !imap_take_nstring8(p, &k->string))
		return false;
	k->flags = set;
	if ((set & (ANNOTATION_SIZE_PRIV | ANNOTATION_SIZE_SHARED)) != 0)
		return fault_set(p->why, FAULT_CLIENT, "only the value of annotations can be searched");
	return k->string.p != NULL || fault_set(p->why, FAULT_CLIENT, "NIL is nothing to search for");
}

bool imap_take_annotation_criterion(struct imap_parser *p, struct sort_criterion *c)
{
	unsigned set = 0;

	if (!imap_take_astring(&p->c, p->a, &c->entry, p->why) || !check_entry(p, c->entry, false) || !imap_take_space(&p->c, p->why) ||
	    !take_attribute(p, &set))
		return false;
	c->is_shared = set == ANNOTATION_VALUE_SHARED;
	return set == ANNOTATION_VALUE_PRIV || c->is_shared ||
	       fault_set(p->why, FAULT_CLIENT, "only value.priv and value.shared can be sorted by");
}
