/* APPEND (RFC 3501 section 6.3.11, RFC 4315), of several messages (RFC 3502) or put together from others (RFC 4469), and REPLACE
 * (RFC 8508).
 *
 * The messages are copied, then their structures are made here, on the session's loop, some octets in a turn. One that is appended is an
 * entry with its delivery; several, or what takes another's place, take effect together (intent_place). */
#include <string.h>

#include "annotation.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "limit.h"
#include "imap_flags.h"
#include "url.h"

#define APPEND_TURN (1u << 20) /* octets whose structure is made in one turn of the loop */

struct appending {
	struct submission *sub;
	struct place_message *messages; /* in the submission's arena, as all they point to; the bodies in its buffer */
	size_t count, at;
	uint32_t replaced; /* UID; 0: none */
	struct url_reader reader;
};

static void free_unsent(void *arg)
{
	struct appending *ap = arg;

	if (ap->sub != NULL)
		submission_free(ap->sub);
}

static void write_append_uid(struct buffer *to, const struct intent_answer *a)
{
	const struct uid_range *r = &a->new_uids[0];

	buffer_addf(to, "APPENDUID %u %u", a->uidvalidity, r->first);
	if (r->last > r->first)
		buffer_addf(to, ":%u", r->last);
}

static void placed(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	const struct intent_answer *a = &sub->request.answer;
	struct buffer line = { 0 };

	if (a->result == STORE_NO_MAILBOX && a->no_target) {
		session_resume(s, answer_no(cmd, "TRYCREATE", "no such mailbox"));
	} else if (a->result == STORE_CONFLICT) {
		session_resume(s, answer_no(cmd, NULL, "the message to be replaced is gone"));
	} else if (a->result != STORE_OK) {
		session_resume(s, answer_result(s, cmd, sub));
	} else if (cmd->c.verb == IMAP_REPLACE) {
		/* Before the EXPUNGE (RFC 8508 section 4.3). */
		buffer_add_str(&line, "* OK [");
		write_append_uid(&line, a);
		buffer_add_str(&line, "] the replacement is kept\r\n");
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
		cmd->tells_modseq = true;
		session_resume(s, answer_ok(cmd, "replaced"));
	} else {
		(void)answer_ok(cmd, "kept");
		write_append_uid(answer_code(cmd), a);
		session_resume(s, CMD_DONE);
	}
}

static void appended(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	const struct append_target *t = &sub->intent.append.targets[0];
	enum store_result result = sub->request.answer.result;

	if (result == STORE_OK) {
		(void)answer_ok(cmd, "kept");
		buffer_addf(answer_code(cmd), "APPENDUID %u %u", t->uidvalidity, t->uid);
	} else if (result == STORE_NO_MAILBOX) {
		(void)answer_no(cmd, "TRYCREATE", "no such mailbox");
	} else {
		(void)answer_result(s, cmd, sub);
	}
	session_resume(s, CMD_DONE);
}

/* Flags that RIGHTS do not allow are left out (RFC 4314 section 4). */
static void set_flags(struct place_message *to, const struct append_message *m, acl_rights_t rights, struct arena *a)
{
	uint32_t flags = m->flags;

	if ((rights & ACL_SEEN) == 0)
		flags &= ~(uint32_t)IMAP_FLAG_SEEN;
	if ((rights & ACL_DELETE) == 0)
		flags &= ~(uint32_t)IMAP_FLAG_DELETED;
	if ((rights & ACL_WRITE) == 0)
		flags &= IMAP_FLAG_SEEN | IMAP_FLAG_DELETED;
	to->flags = flags;
	if ((rights & ACL_WRITE) != 0 && m->keyword_count > 0) {
		struct bytes *keywords = arena_array(a, m->keyword_count, sizeof(*keywords));

		for (size_t i = 0; i < m->keyword_count; i++)
			keywords[i] = arena_copy(a, m->keywords[i]);
		to->keywords = keywords;
		to->keyword_count = m->keyword_count;
	}
}

static enum cmd_step submit(struct session *s, struct appending *ap)
{
	struct submission *sub = ap->sub;
	struct place_message *m = &ap->messages[0];
	struct append_target *t;

	ap->sub = NULL;
	if (ap->count > 1 || ap->replaced != 0) {
		sub->intent.place.messages = ap->messages;
		sub->intent.place.count = ap->count;
		client_submit(&s->client, sub, placed);
		return CMD_WANT_COMMIT;
	}
	t = arena_zalloc(&sub->arena, sizeof(*t));
	*t = (struct append_target){ .mailbox = sub->intent.place.target, .internaldate = m->internaldate, .flags = m->flags,
		                     .keywords = m->keywords, .keyword_count = m->keyword_count, .attributes = m->attributes };
	sub->intent = (struct intent){ .op = INTENT_APPEND, .append = { .targets = t, .target_count = 1, .body = m->body,
		                                                        .structure = m->structure } };
	client_submit(&s->client, sub, appended);
	return CMD_WANT_COMMIT;
}

/* Whether M has the parts that its annotations are of (RFC 5257 section 3.2.1). */
static bool has_parts(struct command *cmd, const struct place_message *m)
{
	bool has = true;

	for (size_t i = 0; has && i < m->attributes.count; i++) {
		const struct annotation an = { .entry = m->attributes.at[i].name };

		has = annotation_has_parts(&an, 1, m->structure, &cmd->arena);
	}
	return has;
}

/* Make the structures that are missing, then hand all in. */
static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct appending *ap = cmd->state;
	size_t done = 0;

	cmd->resume = go_on;
	if (s->state == SESSION_ENDING)
		return CMD_DONE;
	for (; ap->at < ap->count && done < APPEND_TURN; ap->at++) {
		struct place_message *m = &ap->messages[ap->at];
		struct buffer structure = { 0 };

		mime_blob_write(&structure, m->body, &s->client.backend->mime_limits);
		m->structure = arena_copy(&ap->sub->arena, buffer_bytes(&structure));
		buffer_fini(&structure);
		done += m->body.n;
		if (!has_parts(cmd, m))
			return answer_bad(cmd, "a message has not the part that an annotation is of");
	}
	return ap->at < ap->count ? CMD_WANT_TURN : submit(s, ap);
}

static bool is_binary(const struct append_message *m)
{
	bool is = m->is_binary;

	for (size_t i = 0; i < m->part_count; i++)
		is = is || m->parts[i].is_binary;
	return is;
}

/* Whether message M, OCTETS when it is put together, can be kept. False: the tagged answer is set. */
static bool check_octets(struct command *cmd, const struct append_message *m, struct bytes octets)
{
	if (octets.n == 0) {
		(void)answer_no(cmd, "CANNOT", "a message of no octets");
		return false;
	}
	if (bytes_find(octets, '\0') == octets.n)
		return true;
	if (is_binary(m))
		(void)answer_no(cmd, "UNKNOWN-CTE", "NUL octets are not kept: encode the part");
	else
		(void)answer_no(cmd, "CANNOT", "the message holds NUL octets");
	return false;
}

/* The message that REPLACE takes out. False: the tagged answer is set. */
static bool find_replaced(struct session *s, struct command *cmd, uint32_t *uid_r)
{
	uint32_t *index;
	size_t count;

	if (!box_resolve(s->box, &cmd->c.set, cmd->c.is_uid, &cmd->arena, &index, &count)) {
		(void)answer_bad(cmd, "no message of that number");
		return false;
	}
	if (s->box->is_readonly) {
		(void)answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
		return false;
	}
	if ((s->box->rights & (ACL_DELETE | ACL_EXPUNGE)) != (ACL_DELETE | ACL_EXPUNGE)) {
		(void)answer_no(cmd, "NOPERM", "you may not take messages from here");
		return false;
	}
	if (count == 0) {
		(void)answer_no(cmd, NULL, "there is no such message to replace");
		return false;
	}
	*uid_r = s->box->uids[index[0]];
	return true;
}

/* The mailbox that the messages go to. False: the tagged answer is set. */
static bool find_target(struct session *s, struct command *cmd, struct bytes *internal_r, struct mailbox *m_r, acl_rights_t *rights_r)
{
	struct store_view *v;
	bool is_found;

	if (!session_name(s, cmd, cmd->c.mailbox, internal_r) || (v = session_view(s, cmd)) == NULL)
		return false;
	is_found = session_mailbox(s, cmd, v, *internal_r, true, m_r, rights_r);
	store_view_close(&v);
	if (is_found && (*rights_r & ACL_INSERT) == 0)
		(void)session_refuse(cmd, *rights_r, true, "you may not add to it");
	return is_found && (*rights_r & ACL_INSERT) != 0;
}

/* Count N octets more of messages. False: the tagged answer is set. */
static bool take_room(struct session *s, struct command *cmd, struct appending *ap, size_t n)
{
	struct backend *b = s->client.backend;

	if (inflight_set(&b->inflight, &ap->sub->share, ap->sub->share.octets + n))
		return true;
	atomic_fetch_add(&b->counters.limits_hit, 1);
	(void)answer_no(cmd, "LIMIT", "too many messages at once, try later");
	return false;
}

static bool too_big(struct session *s, struct command *cmd)
{
	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	(void)answer_no(cmd, "TOOBIG", "the message would be larger than a message may be");
	return false;
}

/* Append what the URL TEXT names, at most LIMIT octets (RFC 4469 section 3). False: the tagged answer is set. */
static bool add_url(struct session *s, struct command *cmd, struct appending *ap, struct bytes text, size_t limit)
{
	struct store_view *v = session_view(s, cmd);
	enum url_result result = URL_BAD;
	size_t before = ap->sub->body.n;
	struct imap_url url;
	struct fault why;

	if (v == NULL)
		return false;
	if (imap_url_parse(text, &s->client.backend->command_limits, &cmd->arena, &url, &why) && url_is_here(s->client.backend->cfg, &url) &&
	    url.access == URL_ACCESS_NONE && (url.user.p == NULL || bytes_equal(url.user, ap->reader.user)))
		result = url_read(v, &ap->reader, &url, limit, &ap->sub->body, &why);
	store_view_close(&v);
	switch (result) {
	case URL_READ:
		return take_room(s, cmd, ap, ap->sub->body.n - before);
	case URL_TOO_BIG:
		return too_big(s, cmd);
	case URL_FAILED:
		(void)answer_fault(s, cmd, &why);
		return false;
	case URL_BAD:
		break;
	}
	(void)answer_no(cmd, NULL, "the URL names nothing that you may read");
	buffer_add_str(answer_code(cmd), "BADURL ");
	imap_url_write_safe(answer_code(cmd), text);
	return false;
}

/* Append message M to the buffer, of which LEFT octets may still be used by all messages. False: the tagged answer is set. */
static bool add_octets(struct session *s, struct command *cmd, struct appending *ap, const struct append_message *m, size_t left)
{
	size_t start = ap->sub->body.n;

	if (left > s->client.backend->max_message)
		left = (size_t)s->client.backend->max_message;
	if (m->octets.n > left)
		return too_big(s, cmd);
	buffer_add(&ap->sub->body, m->octets);
	for (size_t i = 0; i < m->part_count; i++) {
		const struct cat_part *part = &m->parts[i];
		size_t room = left - (ap->sub->body.n - start);

		if (!part->is_url && part->octets.n > room)
			return too_big(s, cmd);
		if (!part->is_url)
			buffer_add(&ap->sub->body, part->octets);
		else if (!add_url(s, cmd, ap, part->octets, room))
			return false;
	}
	return check_octets(cmd, m, bytes_from(buffer_bytes(&ap->sub->body), start));
}

/* Copy the messages out of the connection's input, all into one buffer. False: the tagged answer is set. */
static bool copy_messages(struct session *s, struct command *cmd, struct appending *ap, acl_rights_t rights)
{
	struct submission *sub = ap->sub;
	int64_t now = clock_wall_s();
	size_t most = s->client.backend->frame_limits.messages, at = 0;

	ap->messages = arena_array(&sub->arena, ap->count, sizeof(*ap->messages));
	for (size_t i = 0; i < ap->count; i++) {
		const struct append_message *from = &cmd->c.messages[i];
		struct place_message *to = &ap->messages[i];
		size_t start = sub->body.n;

		*to = (struct place_message){ .internaldate = from->has_date ? from->internaldate : now };
		if (!add_octets(s, cmd, ap, from, most - sub->body.n))
			return false;
		to->body.n = sub->body.n - start;
		set_flags(to, from, rights, &sub->arena);
		if (from->annotation_count > 0 &&
		    !annotation_changes(s, cmd, rights, from->annotations, from->annotation_count, &sub->arena, &to->attributes))
			return false;
	}
	/* The buffer stays where it is from now on. */
	for (size_t i = 0; i < ap->count; i++) {
		ap->messages[i].body.p = sub->body.p + at;
		at += ap->messages[i].body.n;
	}
	return true;
}

/* Octets of messages that came with the command. */
static size_t octets_of(const struct command *cmd)
{
	size_t total = 0;

	for (size_t i = 0; i < cmd->c.message_count; i++) {
		const struct append_message *m = &cmd->c.messages[i];

		total += m->octets.n;
		for (size_t k = 0; k < m->part_count; k++)
			total += m->parts[k].is_url ? 0 : m->parts[k].octets.n;
	}
	return total;
}

enum cmd_step cmd_append(struct session *s, struct command *cmd)
{
	struct backend *b = s->client.backend;
	struct appending *ap = arena_zalloc(&cmd->arena, sizeof(*ap));
	struct bytes internal;
	struct mailbox m;
	acl_rights_t rights;
	size_t total = octets_of(cmd);

	cmd->state = ap;
	if (b->message_limit > 0 && cmd->c.message_count > b->message_limit) /* RFC 9738 section 3.1: all or nothing */
		return limit_refuse(s, cmd);
	ap->reader = url_reader_of(s);
	if ((cmd->c.verb == IMAP_REPLACE && !find_replaced(s, cmd, &ap->replaced)) ||
	    !find_target(s, cmd, &internal, &m, &rights))
		return CMD_DONE;
	ap->count = cmd->c.message_count;
	ap->sub = submission_new(&s->client);
	arena_on_free(&cmd->arena, free_unsent, ap);
	if (!take_room(s, cmd, ap, total))
		return CMD_DONE;
	(void)buffer_reserve(&ap->sub->body, total);
	if (!copy_messages(s, cmd, ap, rights))
		return CMD_DONE;
	ap->sub->intent.op = INTENT_PLACE;
	ap->sub->intent.place.target = arena_copy(&ap->sub->arena, internal);
	ap->sub->intent.place.replaced = ap->replaced;
	ap->sub->intent.place.source = ap->replaced != 0 ? s->box->id : 0;
	recent_note(&b->recent, m.id, m.uidnext);
	return go_on(s, cmd);
}
