/* imap_parse_metadata.c - GETMETADATA and SETMETADATA (RFC 5464), and what LIST can return of them (RFC 9590).
 *
 * Options of GETMETADATA are read before the mailbox, as the RFC's grammar has them, and behind it, as its examples do; entries
 * without parentheses may be several, as in an example of it. */
#include <string.h>

#include "imap_parse_private.h"

#define COMPONENTS_MIN 2
#define COMPONENTS_MIN_VENDOR 4

static bool bad_entry(struct imap_parser *p, const char *what)
{
	return fault_set(p->why, FAULT_CLIENT, "an entry's name %s", what);
}

/* How many components NAME has; 0: it has an empty one, or ends with a slash. */
static size_t components(struct bytes name)
{
	size_t n = 0;

	while (name.n > 0) {
		size_t end = bytes_find(bytes_from(name, 1), '/');

		if (name.p[0] != '/' || end == 0 || name.n == 1)
			return 0;
		n++;
		name = bytes_from(name, 1 + end);
	}
	return n;
}

static bool is_below(struct bytes name, struct bytes top)
{
	return bytes_starts(name, top) && (name.n == top.n || name.p[top.n] == '/');
}

/* RFC 5464 section 3.2. IS_TOP: what is below it is asked for, so that it may be shorter. */
static bool check_entry(struct imap_parser *p, struct bytes name, bool is_top)
{
	bool is_vendor = is_below(name, BYTES_LIT("/private/vendor")) || is_below(name, BYTES_LIT("/shared/vendor"));
	size_t n = components(name);

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '*' || name.p[i] == '%')
			return bad_entry(p, "has a wildcard");
		if (name.p[i] < ' ' || name.p[i] >= 0x7f)
			return bad_entry(p, "is not printable ASCII");
	}
	if (n == 0 || name.p[0] != '/')
		return bad_entry(p, "is not /one/or/more components");
	if (!is_below(name, BYTES_LIT("/private")) && !is_below(name, BYTES_LIT("/shared")))
		return bad_entry(p, "begins with /private or /shared");
	if (!is_top && n < (is_vendor ? COMPONENTS_MIN_VENDOR : COMPONENTS_MIN))
		return bad_entry(p, is_vendor ? "of a vendor has four components or more" : "has two components or more");
	return true;
}

static bool add_entry(struct imap_parser *p, size_t *cap, struct bytes name, struct bytes value)
{
	struct metadata_args *m = p->cmd->metadata;
	uint8_t *lower = arena_alloc(p->a, name.n + 1);

	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(name.p[i]);
	if (m->count == METADATA_ENTRIES_MAX)
		return fault_set(p->why, FAULT_LIMIT, "more than %d entries", METADATA_ENTRIES_MAX);
	if (m->count == *cap) {
		struct metadata_entry *more = arena_array(p->a, *cap == 0 ? 4 : *cap * 2, sizeof(*more));

		if (m->count > 0)
			memcpy(more, m->entries, m->count * sizeof(*more));
		m->entries = more;
		*cap = *cap == 0 ? 4 : *cap * 2;
	}
	m->entries[m->count++] = (struct metadata_entry){ bytes_make(lower, name.n), value };
	return check_entry(p, m->entries[m->count - 1].name, m->depth != METADATA_DEPTH_0);
}

/* entry / "(" entry *(SP entry) ")" */
static bool take_entries(struct imap_parser *p)
{
	bool in_list = cursor_take(&p->c, '(');
	struct bytes name;
	size_t cap = 0;

	do {
		if (!imap_take_astring(&p->c, p->a, &name, p->why) || !add_entry(p, &cap, name, BYTES_NONE))
			return false;
	} while (cursor_peek(&p->c) == ' ' && cursor_left(&p->c) > 1 && cursor_take(&p->c, ' '));
	return !in_list || cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the entries", p->why);
}

bool imap_take_metadata_entries(struct imap_parser *p)
{
	bool in_list = cursor_peek(&p->c) == '(';
	struct bytes name;
	size_t cap = 0;

	p->cmd->metadata = arena_zalloc(p->a, sizeof(*p->cmd->metadata));
	/* Without parentheses it is one: what follows is another option. */
	if (in_list)
		return take_entries(p);
	return imap_take_astring(&p->c, p->a, &name, p->why) && add_entry(p, &cap, name, BYTES_NONE);
}

static bool take_depth(struct imap_parser *p)
{
	struct metadata_args *m = p->cmd->metadata;
	struct bytes word;

	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	if (bytes_equal_str(word, "0"))
		m->depth = METADATA_DEPTH_0;
	else if (bytes_equal_str(word, "1"))
		m->depth = METADATA_DEPTH_1;
	else if (bytes_equal_nocase_str(word, "infinity"))
		m->depth = METADATA_DEPTH_INFINITY;
	else
		return imap_expected(&p->c, "a depth of 0, 1 or infinity before this", p->why);
	return true;
}

/* "(MAXSIZE 1024 DEPTH 1)", each once. */
static bool take_options(struct imap_parser *p)
{
	struct metadata_args *m = p->cmd->metadata;
	bool has_depth = false;

	p->c.p++;
	do {
		if (!m->has_maxsize && cursor_take_nocase(&p->c, BYTES_LIT("MAXSIZE "))) {
			m->has_maxsize = true;
			if (!imap_take_number(&p->c, UINT32_MAX, &m->maxsize, p->why))
				return false;
		} else if (!has_depth && cursor_take_nocase(&p->c, BYTES_LIT("DEPTH "))) {
			has_depth = true;
			if (!take_depth(p))
				return false;
		} else {
			return imap_expected(&p->c, "MAXSIZE or DEPTH, once, with its value", p->why);
		}
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the options", p->why);
}

/* No entry begins so: they begin with a slash or a quote. */
static bool are_options(const struct imap_parser *p)
{
	return cursor_left(&p->c) > 1 && p->c.p[0] == '(' && ascii_is_alpha(p->c.p[1]);
}

bool imap_parse_getmetadata(struct imap_parser *p)
{
	bool is_before;

	p->cmd->metadata = arena_zalloc(p->a, sizeof(*p->cmd->metadata));
	if (!imap_take_space(&p->c, p->why))
		return false;
	is_before = cursor_peek(&p->c) == '(';
	if (is_before && (!take_options(p) || !imap_take_space(&p->c, p->why)))
		return false;
	if (!imap_take_astring(&p->c, p->a, &p->cmd->mailbox, p->why) || !imap_take_space(&p->c, p->why))
		return false;
	if (!is_before && are_options(p) && (!take_options(p) || !imap_take_space(&p->c, p->why)))
		return false;
	return take_entries(p);
}

bool imap_take_nstring8(struct imap_parser *p, struct bytes *value_r)
{
	bool is_binary = cursor_take(&p->c, '~');

	if (is_binary && cursor_peek(&p->c) != '{')
		return imap_expected(&p->c, "a literal behind ~", p->why);
	if (!imap_take_nstring(&p->c, p->a, value_r, p->why))
		return false;
	if (!is_binary && value_r->n > 0 && bytes_find(*value_r, '\0') < value_r->n)
		return fault_set(p->why, FAULT_CLIENT, "NUL is for a literal with ~ before it");
	/* An empty one is not NIL. */
	if (value_r->p != NULL && value_r->n == 0)
		*value_r = BYTES_LIT("");
	return true;
}

bool imap_parse_setmetadata(struct imap_parser *p)
{
	struct bytes name, value;
	size_t cap = 0;

	p->cmd->metadata = arena_zalloc(p->a, sizeof(*p->cmd->metadata));
	if (!imap_take_space(&p->c, p->why) || !imap_take_astring(&p->c, p->a, &p->cmd->mailbox, p->why) ||
	    !imap_take_space(&p->c, p->why))
		return false;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of entries and values", p->why);
	do {
		if (!imap_take_astring(&p->c, p->a, &name, p->why) || !imap_take_space(&p->c, p->why) || !imap_take_nstring8(p, &value) ||
		    !add_entry(p, &cap, name, value))
			return false;
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the entries and values", p->why);
}
