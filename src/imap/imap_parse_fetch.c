/* imap_parse_fetch.c - fetch-att and section (RFC 3501 sections 6.4.5 and 9). */
#include <string.h>

#include "imap_parse_private.h"
#include "imap_writer.h"

#define PARTS_MAX 100

struct item_list {
	struct fetch_item *at;
	size_t count, cap;
};

static bool add(struct imap_parser *p, struct item_list *l, const struct fetch_item *item)
{
	if (l->count == p->limits->list)
		return fault_set(p->why, FAULT_LIMIT, "more than %zu items", p->limits->list);
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 8 : l->cap * 2;
		struct fetch_item *more = arena_array(p->a, cap, sizeof(*more));

		if (l->count > 0)
			memcpy(more, l->at, l->count * sizeof(*more));
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count++] = *item;
	return true;
}

/* "1.2.3", with the '.' before what follows taken too. */
static bool take_parts(struct imap_parser *p, struct fetch_item *item)
{
	uint32_t parts[PARTS_MAX];
	uint64_t n;

	while (!cursor_at_end(&p->c) && ascii_is_digit(*p->c.p)) {
		if (item->part_count == PARTS_MAX)
			return fault_set(p->why, FAULT_LIMIT, "a part more than %d deep", PARTS_MAX);
		if (!imap_take_number(&p->c, UINT32_MAX, &n, p->why))
			return false;
		if (n == 0)
			return fault_set(p->why, FAULT_CLIENT, "parts are numbered from 1");
		parts[item->part_count++] = (uint32_t)n;
		if (!cursor_take(&p->c, '.'))
			break;
	}
	item->parts = arena_array(p->a, item->part_count, sizeof(*item->parts));
	if (item->part_count > 0)
		memcpy(item->parts, parts, item->part_count * sizeof(*parts));
	return true;
}

/* A literal may bring octets that no header field's name has (RFC 5322 section 2.2). */
static bool is_field_name(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] < ' ' || name.p[i] == 0x7f)
			return false;
	}
	return true;
}

static bool take_fields(struct imap_parser *p, struct fetch_item *item)
{
	struct bytes_list fields = { 0 };
	struct bytes name;

	if (!imap_take_space(&p->c, p->why))
		return false;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of header fields", p->why);
	do {
		if (!imap_take_astring(&p->c, p->a, &name, p->why))
			return false;
		if (!is_field_name(name))
			return imap_expected(&p->c, "a header field's name without control characters", p->why);
		if (!bytes_list_add(p, &fields, name))
			return false;
	} while (cursor_take(&p->c, ' '));
	item->fields = fields.at;
	item->field_count = fields.count;
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the list", p->why);
}

static bool take_partial(struct imap_parser *p, struct fetch_item *item)
{
	uint64_t offset, length;

	if (!cursor_take(&p->c, '<'))
		return true;
	if (!imap_take_number(&p->c, UINT32_MAX, &offset, p->why))
		return false;
	if (!cursor_take(&p->c, '.'))
		return imap_expected(&p->c, "'.'", p->why);
	if (!imap_take_number(&p->c, UINT32_MAX, &length, p->why))
		return false;
	if (length == 0)
		return fault_set(p->why, FAULT_CLIENT, "a partial fetch of nothing");
	item->has_partial = true;
	item->offset = (uint32_t)offset;
	item->length = (uint32_t)length;
	return cursor_take(&p->c, '>') || imap_expected(&p->c, "'>'", p->why);
}

/* Behind "BODY[" or "BODY.PEEK[". */
static bool take_section(struct imap_parser *p, struct fetch_item *item)
{
	const uint8_t *start = p->c.p;
	struct buffer text = { 0 };
	bool ends_in_dot;

	if (!take_parts(p, item))
		return false;
	ends_in_dot = p->c.p > start && p->c.p[-1] == '.';
	if (cursor_take_nocase(&p->c, BYTES_LIT("HEADER.FIELDS.NOT")))
		item->kind = SECTION_FIELDS_NOT;
	else if (cursor_take_nocase(&p->c, BYTES_LIT("HEADER.FIELDS")))
		item->kind = SECTION_FIELDS;
	else if (cursor_take_nocase(&p->c, BYTES_LIT("HEADER")))
		item->kind = SECTION_HEADER;
	else if (cursor_take_nocase(&p->c, BYTES_LIT("TEXT")))
		item->kind = SECTION_TEXT;
	else if (item->part_count > 0 && cursor_take_nocase(&p->c, BYTES_LIT("MIME")))
		item->kind = SECTION_MIME;
	else if (ends_in_dot)
		return imap_expected(&p->c, "HEADER, TEXT or MIME", p->why);
	if (item->kind != SECTION_ALL && item->part_count > 0 && !ends_in_dot)
		return imap_expected(&p->c, "']'", p->why);
	if ((item->kind == SECTION_FIELDS || item->kind == SECTION_FIELDS_NOT) && !take_fields(p, item))
		return false;
	if (!cursor_take(&p->c, ']'))
		return imap_expected(&p->c, "']'", p->why);
	buffer_add_str(&text, "BODY[");
	if (item->field_count > 0) {
		/* The client's own octets up to the list; in that, a literal may stand as a server must not write it. */
		buffer_add(&text, bytes_make(start, bytes_find(bytes_make(start, (size_t)(p->c.p - start)), '(')));
		for (size_t i = 0; i < item->field_count; i++) {
			buffer_add_u8(&text, i == 0 ? '(' : ' ');
			imap_write_astring(&text, item->fields[i], false);
		}
		buffer_add_str(&text, ")]");
	} else {
		buffer_add(&text, bytes_make(start, (size_t)(p->c.p - start)));
	}
	item->text = arena_copy(p->a, buffer_bytes(&text));
	buffer_fini(&text);
	return take_partial(p, item);
}

bool imap_section_parse(struct bytes text, const struct imap_command_limits *limits, struct arena *a, struct fetch_item *item, struct fault *why)
{
	struct imap_parser p = { .a = a, .limits = limits, .why = why };
	struct fetch_item section = { .type = FETCH_SECTION, .is_peek = true };

	p.c = cursor_of(bytes_of(arena_printf(a, "%.*s]", BYTES_FMT(text))));
	if (!take_section(&p, &section) || !imap_at_end(&p.c, why))
		return false;
	*item = section;
	return true;
}

/* Behind "BINARY[", "BINARY.PEEK[" or "BINARY.SIZE[". */
static bool take_binary(struct imap_parser *p, struct fetch_item *item)
{
	const uint8_t *start = p->c.p;

	if (!take_parts(p, item))
		return false;
	if ((p->c.p > start && p->c.p[-1] == '.') || !cursor_take(&p->c, ']'))
		return imap_expected(&p->c, "part numbers and ']'", p->why);
	item->text = bytes_of(arena_printf(p->a, "%s[%.*s", item->type == FETCH_BINARY ? "BINARY" : "BINARY.SIZE",
	                                   BYTES_FMT(bytes_make(start, (size_t)(p->c.p - start)))));
	return item->type == FETCH_BINARY_SIZE || take_partial(p, item);
}

/* " (LAZY)" behind PREVIEW (RFC 8970 section 6). What else stands in parentheses there is FETCH's own. */
static bool take_preview(struct imap_parser *p, struct fetch_item *item)
{
	if (!cursor_take_nocase(&p->c, BYTES_LIT(" (LAZY")))
		return true;
	item->is_lazy = true;
	while (cursor_take(&p->c, ' ')) {
		if (!cursor_take_nocase(&p->c, BYTES_LIT("LAZY")))
			return imap_expected(&p->c, "LAZY", p->why);
	}
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of PREVIEW's modifiers", p->why);
}

static bool take_item(struct imap_parser *p, struct item_list *l)
{
	static const struct {
		const char *name;
		enum fetch_type type;
	} names[] = {
		/* Longer before what they begin with. */
		{ "ANNOTATION ", FETCH_ANNOTATION },
		{ "EMAILID", FETCH_EMAILID },
		{ "ENVELOPE", FETCH_ENVELOPE },
		{ "THREADID", FETCH_THREADID },
		{ "FLAGS", FETCH_FLAGS },
		{ "INTERNALDATE", FETCH_INTERNALDATE },
		{ "MODSEQ", FETCH_MODSEQ },
		{ "PREVIEW", FETCH_PREVIEW },
		{ "SAVEDATE", FETCH_SAVEDATE },
		{ "UID", FETCH_UID },
		{ "RFC822.SIZE", FETCH_SIZE },
		{ "RFC822.HEADER", FETCH_RFC822_HEADER },
		{ "RFC822.TEXT", FETCH_RFC822_TEXT },
		{ "RFC822", FETCH_RFC822 },
		{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE },
		{ "BINARY.PEEK[", FETCH_BINARY },
		{ "BINARY.SIZE[", FETCH_BINARY_SIZE },
		{ "BINARY[", FETCH_BINARY },
		{ "BODY.PEEK[", FETCH_SECTION },
		{ "BODY[", FETCH_SECTION },
		{ "BODY", FETCH_BODY },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fetch_item item = { .type = names[i].type };

		if (!cursor_take_nocase(&p->c, bytes_of(names[i].name)))
			continue;
		item.is_peek = strcmp(names[i].name, "BODY.PEEK[") == 0 || strcmp(names[i].name, "BINARY.PEEK[") == 0 ||
		               item.type == FETCH_RFC822_HEADER || item.type == FETCH_BINARY_SIZE;
		if ((item.type == FETCH_BINARY || item.type == FETCH_BINARY_SIZE) && !take_binary(p, &item))
			return false;
		if (item.type == FETCH_SECTION && !take_section(p, &item))
			return false;
		if (item.type == FETCH_ANNOTATION && !imap_take_annotation_item(p, &item))
			return false;
		if (item.type == FETCH_PREVIEW && !take_preview(p, &item))
			return false;
		return add(p, l, &item);
	}
	return imap_expected(&p->c, "an item to fetch", p->why);
}

static bool take_macro(struct imap_parser *p, struct item_list *l)
{
	static const enum fetch_type all[] = { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY };
	size_t n;

	if (cursor_take_nocase(&p->c, BYTES_LIT("ALL")))
		n = 4;
	else if (cursor_take_nocase(&p->c, BYTES_LIT("FAST")))
		n = 3;
	else if (cursor_take_nocase(&p->c, BYTES_LIT("FULL")))
		n = 5;
	else
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct fetch_item item = { .type = all[i] };

		(void)add(p, l, &item);
	}
	return true;
}

/* " (CHANGEDSINCE 12345 VANISHED)" (RFC 7162 section 3.1.4). */
static bool take_modifiers(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;

	if (cursor_left(&p->c) < 2 || p->c.p[0] != ' ' || p->c.p[1] != '(')
		return true;
	p->c.p += 2;
	do {
		if (!cmd->has_modseq && cursor_take_nocase(&p->c, BYTES_LIT("CHANGEDSINCE "))) {
			cmd->has_modseq = true;
			if (!imap_take_number(&p->c, INT64_MAX, &cmd->modseq, p->why))
				return false;
		} else if (!cmd->has_partial && cmd->is_uid && cursor_take_nocase(&p->c, BYTES_LIT("PARTIAL "))) { /* RFC 9394 */
			cmd->has_partial = true;
			if (!imap_take_partial(p))
				return false;
		} else if (!cmd->wants_vanished && cursor_take_nocase(&p->c, BYTES_LIT("VANISHED"))) {
			cmd->wants_vanished = true;
		} else {
			return imap_expected(&p->c, "CHANGEDSINCE, VANISHED or PARTIAL", p->why);
		}
	} while (cursor_take(&p->c, ' '));
	if (cmd->wants_vanished && !(cmd->is_uid && cmd->has_modseq))
		return fault_set(p->why, FAULT_CLIENT, "VANISHED is for UID FETCH with CHANGEDSINCE");
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the modifiers", p->why);
}

bool imap_take_fetch_list(struct imap_parser *p, struct fetch_item **items_r, size_t *count_r)
{
	struct item_list l = { 0 };

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of items", p->why);
	do {
		if (!take_item(p, &l))
			return false;
	} while (cursor_take(&p->c, ' '));
	*items_r = l.at;
	*count_r = l.count;
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the items", p->why);
}

bool imap_parse_fetch(struct imap_parser *p)
{
	struct item_list l = { 0 };

	if (!take_macro(p, &l)) {
		bool in_list = cursor_take(&p->c, '(');

		do {
			if (!take_item(p, &l))
				return false;
		} while (in_list && cursor_take(&p->c, ' '));
		if (in_list && !cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the items", p->why);
	}
	p->cmd->items = l.at;
	p->cmd->item_count = l.count;
	return take_modifiers(p);
}
