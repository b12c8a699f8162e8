/* STORE, UID STORE (RFC 3501 section 6.4.6). Flags that the user may not change are left as they are (RFC 4314 section 4): a
 * replacement is then one intent that adds and one that takes away. The answer tells the flags of all messages named,
 * whether they had to change or not. */
#include "annotation.h"
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_flags.h"
#include "limit.h"
#include "seqset.h"

#define STORE_TURN 500 /* messages told in one turn of the loop */

struct storing {
	struct uid_range *uids; /* of all messages named */
	size_t uid_count;
	uint32_t *index;
	size_t count, at;
	uint32_t *failed; /* indices of messages that had changed since UNCHANGEDSINCE */
	size_t failed_count;
	uint32_t take;    /* to be taken away by a second intent; 0: none */
	bool is_second;
};

/* Without those in FAILED, which another change had overtaken. */
static void drop_failed(struct session *s, struct command *cmd, const struct uid_range *failed, size_t failed_count)
{
	struct storing *st = cmd->state;
	struct seqset set = { 0 };
	size_t n = 0;

	if (failed_count == 0)
		return;
	st->failed = arena_array(&cmd->arena, st->count, sizeof(*st->failed));
	set.ranges = arena_array(&cmd->arena, failed_count, sizeof(*set.ranges));
	for (set.count = 0; set.count < failed_count; set.count++)
		set.ranges[set.count] = (struct seq_range){ failed[set.count].first, failed[set.count].last };
	for (size_t i = 0; i < st->count; i++) {
		if (seqset_has(&set, s->box->uids[st->index[i]]))
			st->failed[st->failed_count++] = st->index[i];
		else
			st->index[n++] = st->index[i];
	}
	st->count = n;
	st->uids = box_ranges(s->box, st->index, st->count, &cmd->arena, &st->uid_count);
}

/* "MODIFIED 7,9" (RFC 7162 section 3.1.3). */
static enum cmd_step done(struct session *s, struct command *cmd)
{
	const struct storing *st = cmd->state;

	if (st->failed_count == 0)
		return answer_ok(cmd, "done");
	(void)answer_ok(cmd, "not all: some were changed meanwhile");
	buffer_add_str(answer_code(cmd), "MODIFIED ");
	for (size_t i = 0; i < st->failed_count;) {
		uint32_t first = st->failed[i], n = cmd->c.is_uid ? s->box->uids[first] : first + 1;
		struct seq_range r = { n, n };

		if (i > 0)
			buffer_add_u8(answer_code(cmd), ',');
		for (i++; i < st->failed_count && (cmd->c.is_uid ? s->box->uids[st->failed[i]] : st->failed[i] + 1) == r.last + 1; i++)
			r.last++;
		seqset_write(answer_code(cmd), &r, 1);
	}
	return CMD_DONE;
}

/* "* N FETCH (FLAGS ...)" of each, or with .SILENT the modseq alone, as the output takes them. */
static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct storing *st = cmd->state;
	struct store_view *v;
	struct mailbox m;
	struct message msg;
	struct fault why;
	struct box_reader reader = { .mailbox = 0 };
	size_t told = 0;

	cmd->resume = tell;
	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	reader.view = v;
	reader.mailbox = s->box->id;
	if (store_view_mailbox_by_id(v, s->box->id, &m, &why) == STORE_OK) {
		if (m.keyword_count != s->box->keyword_count)
			box_write_flags(s, &m);
		for (; st->at < st->count && !session_is_full(s) && told < STORE_TURN; st->at++, told++) {
			/* As in FETCH: from the highest down where a limit was hit. */
			uint32_t index = st->index[cmd->limited_uid != 0 ? st->count - 1 - st->at : st->at], uid = s->box->uids[index];

			if (!box_read(&reader, uid, &msg))
				cmd->missed_one = true;
			else if (cmd->c.is_silent)
				box_write_fetch_modseq(s, index + 1, &msg);
			else
				box_write_fetch_flags(s, index + 1, &msg, &m, cmd->c.is_uid);
		}
	} else {
		st->at = st->count;
	}
	box_read_end(&reader);
	store_view_close(&v);
	if (st->at < st->count)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	return done(s, cmd);
}

static void stored(struct client *c, struct submission *sub);

static void submit(struct session *s, struct command *cmd, enum intent_store_how how, uint32_t flags, bool has_keywords)
{
	const struct storing *st = cmd->state;
	struct submission *sub = submission_new(&s->client);
	struct intent_store *in = &sub->intent.store;
	struct bytes copy;

	sub->intent.op = INTENT_STORE;
	in->mailbox = s->box->id;
	copy = arena_copy(&sub->arena, bytes_make(st->uids, st->uid_count * sizeof(*st->uids)));
	in->uids = (const void *)copy.p;
	in->uid_count = st->uid_count;
	in->how = how;
	in->flags = flags;
	in->is_conditional = cmd->c.has_modseq && !st->is_second;
	in->unchanged_since = cmd->c.modseq;
	if (has_keywords && cmd->c.keyword_count > 0) {
		struct bytes *keywords = arena_array(&sub->arena, cmd->c.keyword_count, sizeof(*keywords));

		for (size_t i = 0; i < cmd->c.keyword_count; i++)
			keywords[i] = arena_copy(&sub->arena, cmd->c.keywords[i]);
		in->keywords = keywords;
		in->keyword_count = cmd->c.keyword_count;
	}
	client_submit(&s->client, sub, stored);
}

static void stored(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	struct storing *st = cmd->state;

	if (sub->request.answer.result != STORE_OK) {
		session_resume(s, answer_result(s, cmd, sub));
		return;
	}
	if (s->state == SESSION_SELECTED)
		drop_failed(s, cmd, sub->request.answer.new_uids, sub->request.answer.new_uid_count);
	if (st->take != 0 && st->count > 0 && s->state == SESSION_SELECTED) {
		uint32_t take = st->take;

		st->take = 0;
		st->is_second = true;
		submit(s, cmd, INTENT_FLAGS_TAKE, take, false);
		return;
	}
	cmd->told = st->uids;
	cmd->told_count = st->uid_count;
	cmd->told_modseq = sub->request.answer.modseq;
	cmd->is_told_own = sub->request.answer.message_count > 0;
	if (s->state != SESSION_SELECTED || (cmd->c.is_silent && (s->features & IMAP_F_CONDSTORE) == 0))
		session_resume(s, done(s, cmd));
	else
		session_resume(s, tell(s, cmd));
}

static void annotated(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;

	if (sub->request.answer.result != STORE_LIMIT) {
		stored(c, sub);
		return;
	}
	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	session_resume(s, answer_no(s->cmd, "ANNOTATE TOOMANY", "there are as many annotations as there may be"));
}

/* Whether all messages have the parts that are named (RFC 5257 section 3.2.1). False: the tagged answer is set. */
static bool have_parts(struct session *s, struct command *cmd)
{
	const struct storing *st = cmd->state;
	struct store_view *v;
	bool have = true;

	if (!annotation_names_parts(cmd->c.annotations, cmd->c.annotation_count))
		return true;
	if ((v = session_view(s, cmd)) == NULL)
		return false;
	for (size_t i = 0; have && i < st->count; i++) {
		struct message msg;
		struct bytes structure;
		struct fault why;

		have = store_view_message(v, s->box->id, s->box->uids[st->index[i]], &msg, &why) != STORE_OK ||
		       (store_view_structure(v, msg.body, &structure, &why) == STORE_OK &&
		        annotation_has_parts(cmd->c.annotations, cmd->c.annotation_count, structure, &cmd->arena));
	}
	store_view_close(&v);
	if (!have)
		(void)answer_bad(cmd, "a message has no such part");
	return have;
}

/* STORE ANNOTATION (RFC 5257 section 4.5). */
static enum cmd_step annotate(struct session *s, struct command *cmd)
{
	struct storing *st = cmd->state;
	struct submission *sub;
	struct intent_attribute *in;
	struct bytes copy;

	if (s->box->is_examine)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if (st->count == 0)
		return answer_ok(cmd, "nothing to do");
	limit_cut(s, cmd, &st->index, &st->count);
	if (!have_parts(s, cmd))
		return CMD_DONE;
	st->uids = box_ranges(s->box, st->index, st->count, &cmd->arena, &st->uid_count);
	sub = submission_new(&s->client);
	in = &sub->intent.attribute;
	sub->intent.op = INTENT_ATTRIBUTE;
	if (!annotation_changes(s, cmd, s->box->rights, cmd->c.annotations, cmd->c.annotation_count, &sub->arena, &in->changes)) {
		submission_free(sub);
		return CMD_DONE;
	}
	copy = arena_copy(&sub->arena, bytes_make(st->uids, st->uid_count * sizeof(*st->uids)));
	in->mailbox = s->box->id;
	in->uids = (const void *)copy.p;
	in->uid_count = st->uid_count;
	in->is_conditional = cmd->c.has_modseq;
	in->unchanged_since = cmd->c.modseq;
	client_submit(&s->client, sub, annotated);
	return CMD_WANT_COMMIT;
}

enum cmd_step cmd_store(struct session *s, struct command *cmd)
{
	static const enum intent_store_how hows[] = {
		[STORE_HOW_REPLACE] = INTENT_FLAGS_REPLACE,
		[STORE_HOW_ADD] = INTENT_FLAGS_ADD,
		[STORE_HOW_TAKE] = INTENT_FLAGS_TAKE,
	};
	struct box *box = s->box;
	struct storing *st = arena_zalloc(&cmd->arena, sizeof(*st));
	bool may_write = (box->rights & ACL_WRITE) != 0;
	uint32_t allowed = (may_write ? IMAP_FLAG_ANSWERED | IMAP_FLAG_FLAGGED | IMAP_FLAG_DRAFT : 0) |
	                   ((box->rights & ACL_SEEN) != 0 ? IMAP_FLAG_SEEN : 0) |
	                   ((box->rights & ACL_DELETE) != 0 ? IMAP_FLAG_DELETED : 0);
	uint32_t flags = cmd->c.flags & allowed;
	bool is_partial = allowed != IMAP_FLAGS_ALL;

	cmd->state = st;
	if (!box_resolve(box, &cmd->c.set, cmd->c.is_uid, &cmd->arena, &st->index, &st->count))
		return answer_bad(cmd, "no message of that number");
	if (cmd->c.annotation_count > 0)
		return annotate(s, cmd);
	if (box->is_readonly)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if (allowed == 0 || (cmd->c.how != STORE_HOW_REPLACE && flags == 0 && (cmd->c.keyword_count == 0 || !may_write) &&
	                     (cmd->c.flags != 0 || cmd->c.keyword_count > 0)))
		return answer_no(cmd, "NOPERM", "you may not change these flags");
	if (st->count == 0)
		return answer_ok(cmd, "nothing to do");
	limit_cut(s, cmd, &st->index, &st->count);
	st->uids = box_ranges(box, st->index, st->count, &cmd->arena, &st->uid_count);
	if (cmd->c.how == STORE_HOW_REPLACE && is_partial) {
		st->take = allowed & ~flags;
		submit(s, cmd, INTENT_FLAGS_ADD, flags, may_write);
	} else {
		submit(s, cmd, hows[cmd->c.how], flags, may_write);
	}
	return CMD_WANT_COMMIT;
}
