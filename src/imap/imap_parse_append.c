/* imap_parse_append.c - the messages of APPEND (RFC 3501 section 6.3.11; several: RFC 3502; put together: RFC 4469) and REPLACE
 * (RFC 8508). */
#include <string.h>

#include "imap_date.h"
#include "imap_parse_private.h"

struct message_list {
	struct append_message *at;
	size_t count, cap;
};

static struct append_message *add(struct imap_parser *p, struct message_list *l)
{
	if (l->count == p->limits->list) {
		(void)fault_set(p->why, FAULT_LIMIT, "more than %zu messages", p->limits->list);
		return NULL;
	}
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 4 : l->cap * 2;
		struct append_message *more = arena_array(p->a, cap, sizeof(*more));

		if (l->count > 0)
			memcpy(more, l->at, l->count * sizeof(*more));
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count] = (struct append_message){ 0 };
	return &l->at[l->count++];
}

static bool take_flags(struct imap_parser *p, struct append_message *m)
{
	struct imap_command *cmd = p->cmd;

	if (!imap_parse_flags(p, false))
		return false;
	m->flags = cmd->flags;
	m->keywords = cmd->keywords;
	m->keyword_count = cmd->keyword_count;
	cmd->flags = 0;
	cmd->keywords = NULL;
	cmd->keyword_count = 0;
	return imap_take_space(&p->c, p->why);
}

static bool take_date(struct imap_parser *p, struct append_message *m)
{
	struct bytes date;

	if (!imap_take_string(&p->c, p->a, &date, p->why))
		return false;
	if (!imap_datetime_parse(date, &m->internaldate))
		return fault_set(p->why, FAULT_CLIENT, "not a date-time: \"%.*s\"", BYTES_FMT(bytes_sub(date, 0, 40)));
	m->has_date = true;
	return imap_take_space(&p->c, p->why);
}

static bool take_annotations(struct imap_parser *p, struct append_message *m)
{
	return !cursor_take_nocase(&p->c, BYTES_LIT("ANNOTATION ")) ||
	       (imap_take_annotations(p, &m->annotations, &m->annotation_count) && imap_take_space(&p->c, p->why));
}

static bool take_part(struct imap_parser *p, struct cat_part *part)
{
	const uint8_t *start = p->c.p;

	*part = (struct cat_part){ .is_url = cursor_take_nocase(&p->c, BYTES_LIT("URL ")) };
	if (part->is_url) {
		if (!imap_take_astring(&p->c, p->a, &part->octets, p->why))
			return false;
	} else {
		if (!cursor_take_nocase(&p->c, BYTES_LIT("TEXT ")))
			return imap_expected(&p->c, "TEXT or URL", p->why);
		part->is_binary = cursor_take(&p->c, '~');
		if (cursor_peek(&p->c) != '{')
			return imap_expected(&p->c, "the text as a literal", p->why);
		if (!imap_take_string(&p->c, p->a, &part->octets, p->why))
			return false;
	}
	part->raw = bytes_make(start, (size_t)(p->c.p - start));
	return true;
}

/* Behind "CATENATE (". */
static bool take_parts(struct imap_parser *p, struct append_message *m)
{
	size_t cap = 0;

	do {
		if (m->part_count == p->limits->list)
			return fault_set(p->why, FAULT_LIMIT, "more than %zu parts", p->limits->list);
		if (m->part_count == cap) {
			struct cat_part *more;

			cap = cap == 0 ? 4 : cap * 2;
			more = arena_array(p->a, cap, sizeof(*more));
			if (m->part_count > 0)
				memcpy(more, m->parts, m->part_count * sizeof(*more));
			m->parts = more;
		}
		if (!take_part(p, &m->parts[m->part_count]))
			return false;
		m->part_count++;
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of CATENATE", p->why);
}

static bool take_octets(struct imap_parser *p, struct append_message *m)
{
	bool is_utf8 = cursor_take_nocase(&p->c, BYTES_LIT("UTF8 (")); /* RFC 6855 section 4 */

	if (!is_utf8 && cursor_take_nocase(&p->c, BYTES_LIT("CATENATE (")))
		return take_parts(p, m);
	m->is_binary = cursor_take(&p->c, '~'); /* literal8 (RFC 3516) */
	if (cursor_peek(&p->c) != '{' || (is_utf8 && !m->is_binary))
		return imap_expected(&p->c, "the message as a literal", p->why);
	if (!imap_take_string(&p->c, p->a, &m->octets, p->why))
		return false;
	return !is_utf8 || cursor_take(&p->c, ')') || imap_expected(&p->c, "')'", p->why);
}

static bool take_message(struct imap_parser *p, struct message_list *l)
{
	struct append_message *m = add(p, l);

	return m != NULL && (cursor_peek(&p->c) != '(' || take_flags(p, m)) && (cursor_peek(&p->c) != '"' || take_date(p, m)) &&
	       take_annotations(p, m) && take_octets(p, m);
}

/* REPLACE's first argument is one message, not a set (RFC 8508 section 5). */
static bool take_number(struct imap_parser *p)
{
	struct seqset *set = &p->cmd->set;

	if (!imap_take_space(&p->c, p->why) || !seqset_parse(&p->c, p->a, 1, set, p->why))
		return false;
	return (!set->is_saved && set->count == 1 && set->ranges[0].first == set->ranges[0].last) ||
	       fault_set(p->why, FAULT_CLIENT, "one message is replaced at a time");
}

bool imap_parse_append(struct imap_parser *p)
{
	struct message_list l = { 0 };

	if (p->cmd->verb == IMAP_REPLACE && !take_number(p))
		return false;
	if (!imap_take_space(&p->c, p->why) || !imap_take_astring(&p->c, p->a, &p->cmd->mailbox, p->why) ||
	    !imap_take_space(&p->c, p->why))
		return false;
	/* Cyrus's Localappend: the name as the client's namespace has it, then another one that may be empty. */
	if (cursor_peek(&p->c) == '"' && p->c.end - p->c.p >= 3 && p->c.p[1] == '"') {
		p->c.p += 2;
		if (!imap_take_space(&p->c, p->why))
			return false;
	}
	p->cmd->message_text = cursor_rest(&p->c);
	do {
		if (!take_message(p, &l))
			return false;
	} while (p->cmd->verb == IMAP_APPEND && cursor_take(&p->c, ' '));
	p->cmd->messages = l.at;
	p->cmd->message_count = l.count;
	return true;
}
