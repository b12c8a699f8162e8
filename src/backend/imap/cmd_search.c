/* SEARCH, UID SEARCH (RFC 3501 section 6.4.4). Message by message, some milliseconds at a time, so that a search through
 * bodies does not stall the other sessions of the loop. */
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_flags.h"

#define SEARCH_TURN_NS 5000000u

struct searching {
	size_t at;
	uint32_t max_uid;
	struct buffer line;
	size_t found;
};

/* One message under test. */
struct candidate {
	struct session *s;
	struct store_view *v;
	const struct mailbox *m;
	const struct message *msg;
	uint32_t number;
	struct buffer body; /* as far as it was read */
	bool has_header, has_body;
	struct fault why;
};

static struct bytes header_of(struct candidate *c)
{
	uint64_t off, len;
	struct bytes blob;

	if (!c->has_header && !c->has_body) {
		c->has_header = true;
		if (store_view_structure(c->v, c->msg->body, &blob, &c->why) == STORE_OK &&
		    mime_blob_section(blob, NULL, 0, MIME_HEADER, &off, &len))
			(void)store_view_body(c->v, c->msg->body, off, (size_t)len, false, &c->body, &c->why);
	}
	return c->has_body ? mime_header_of(buffer_bytes(&c->body)) : buffer_bytes(&c->body);
}

static struct bytes body_of(struct candidate *c)
{
	if (!c->has_body) {
		c->has_body = true;
		buffer_clear(&c->body);
		(void)store_view_body(c->v, c->msg->body, 0, c->msg->size, false, &c->body, &c->why);
	}
	return buffer_bytes(&c->body);
}

static bool has_keyword(const struct candidate *c, struct bytes name)
{
	for (size_t i = 0; i < c->m->keyword_count; i++) {
		if (bytes_equal_nocase(c->m->keywords[i], name))
			return (c->msg->keywords >> i & 1) != 0;
	}
	return false;
}

static int64_t internal_day(const struct candidate *c)
{
	int64_t t = c->msg->internaldate;

	return t >= 0 ? t / 86400 : -((86399 - t) / 86400);
}

static bool sent_day(struct candidate *c, int64_t *day_r)
{
	int64_t seconds;

	return mime_date(mime_field(header_of(c), "Date"), &seconds, day_r);
}

static bool matches(struct candidate *c, const struct search_key *k);

static bool matches_all(struct candidate *c, const struct search_key *first)
{
	for (const struct search_key *k = first; k != NULL; k = k->next) {
		if (!matches(c, k))
			return false;
	}
	return true;
}

static bool matches(struct candidate *c, const struct search_key *k)
{
	int64_t day;

	switch (k->type) {
	case SEARCH_ALL:
		return true;
	case SEARCH_AND:
		return matches_all(c, k->children);
	case SEARCH_OR:
		return matches(c, k->children) || matches(c, k->children->next);
	case SEARCH_NOT:
		return !matches(c, k->children);
	case SEARCH_FLAG:
		return (c->msg->flags & k->flags) == k->flags;
	case SEARCH_KEYWORD:
		return has_keyword(c, k->string);
	case SEARCH_RECENT:
		return box_is_recent(c->s->box, c->msg->uid);
	case SEARCH_NEW:
		return box_is_recent(c->s->box, c->msg->uid) && (c->msg->flags & IMAP_FLAG_SEEN) == 0;
	case SEARCH_SEQ:
		return seqset_has(&k->set, c->number);
	case SEARCH_UID:
		return seqset_has(&k->set, c->msg->uid);
	case SEARCH_LARGER:
		return c->msg->size > k->number;
	case SEARCH_SMALLER:
		return c->msg->size < k->number;
	case SEARCH_BEFORE:
		return internal_day(c) < (int64_t)k->number;
	case SEARCH_ON:
		return internal_day(c) == (int64_t)k->number;
	case SEARCH_SINCE:
		return internal_day(c) >= (int64_t)k->number;
	case SEARCH_SENTBEFORE:
		return sent_day(c, &day) && day < (int64_t)k->number;
	case SEARCH_SENTON:
		return sent_day(c, &day) && day == (int64_t)k->number;
	case SEARCH_SENTSINCE:
		return sent_day(c, &day) && day >= (int64_t)k->number;
	case SEARCH_HEADER:
		return mime_header_contains(header_of(c), k->field, k->string);
	case SEARCH_BODY:
		return mime_text_contains(body_of(c), &c->s->client.backend->mime_limits, k->string, false);
	case SEARCH_TEXT:
		return mime_text_contains(body_of(c), &c->s->client.backend->mime_limits, k->string, true);
	}
	return false;
}

static void free_line(void *arg)
{
	buffer_fini(arg);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct searching *st = cmd->state;
	struct store_view *v;
	struct mailbox m;
	struct message msg;
	struct fault why;
	uint64_t until = clock_mono_ns() + SEARCH_TURN_NS;

	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (store_view_mailbox_by_id(v, s->box->id, &m, &why) != STORE_OK)
		st->at = s->box->count;
	for (; st->at < s->box->count; st->at++) {
		struct candidate c = { .s = s, .v = v, .m = &m, .msg = &msg, .number = (uint32_t)st->at + 1 };

		if (st->at % 64 == 0 && clock_mono_ns() > until)
			break;
		if (store_view_message(v, s->box->id, s->box->uids[st->at], &msg, &why) != STORE_OK) {
			cmd->missed_one = true;
			continue;
		}
		if (matches_all(&c, cmd->c.search)) {
			buffer_add_u8(&st->line, ' ');
			buffer_add_u64(&st->line, cmd->c.is_uid ? msg.uid : c.number);
		}
		if (c.body.cap > 0 && clock_mono_ns() > until) {
			buffer_fini(&c.body);
			st->at++;
			break;
		}
		buffer_fini(&c.body);
	}
	store_view_close(&v);
	if (st->at < s->box->count)
		return CMD_WANT_TURN;
	buffer_add_str(&st->line, "\r\n");
	session_write(s, buffer_bytes(&st->line));
	return answer_ok(cmd, "done");
}

/* Resolve sets, fold strings. False: the charset is not known. */
static bool prepare(struct session *s, struct command *cmd, struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		struct box *box = s->box;

		if (k->type == SEARCH_SEQ)
			seqset_resolve(&k->set, (uint32_t)box->count);
		else if (k->type == SEARCH_UID)
			seqset_resolve(&k->set, box->count > 0 ? box->uids[box->count - 1] : 0);
		if (k->type == SEARCH_HEADER || k->type == SEARCH_BODY || k->type == SEARCH_TEXT) {
			struct buffer folded = { 0 };
			bool ok = mime_fold_key(k->string, cmd->c.charset, &folded);

			k->string = arena_copy(&cmd->arena, buffer_bytes(&folded));
			buffer_fini(&folded);
			if (!ok)
				return false;
		}
		if (!prepare(s, cmd, k->children))
			return false;
	}
	return true;
}

enum cmd_step cmd_search(struct session *s, struct command *cmd)
{
	struct searching *st = arena_zalloc(&cmd->arena, sizeof(*st));
	struct buffer probe = { 0 };
	bool is_known = cmd->c.charset.n == 0 || mime_fold_key(BYTES_LIT("a"), cmd->c.charset, &probe);

	buffer_fini(&probe);
	if (!is_known || !prepare(s, cmd, cmd->c.search))
		return answer_no(cmd, "BADCHARSET (US-ASCII UTF-8)", "that charset is not known");
	cmd->state = st;
	cmd->resume = go_on;
	arena_on_free(&cmd->arena, free_line, &st->line);
	buffer_add_str(&st->line, "* SEARCH");
	return go_on(s, cmd);
}
