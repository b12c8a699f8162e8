/* STORE, UID STORE (RFC 3501 section 6.4.6). Flags that the user may not change are left as they are (RFC 4314 section 4): a
 * replacement is then one intent that adds and one that takes away. The answer tells the flags of all messages named,
 * whether they had to change or not. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_flags.h"

struct storing {
	struct uid_range *uids; /* of all messages named */
	size_t uid_count;
	uint32_t *index;
	size_t count, at;
	uint32_t take; /* to be taken away by a second intent; 0: none */
};

/* "* N FETCH (FLAGS ...)" of each, as the output takes them. */
static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct storing *st = cmd->state;
	struct store_view *v;
	struct mailbox m;
	struct message msg;
	struct fault why;

	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (store_view_mailbox_by_id(v, s->box->id, &m, &why) == STORE_OK) {
		if (m.keyword_count != s->box->keyword_count)
			box_write_flags(s, &m);
		for (; st->at < st->count && !session_is_full(s); st->at++) {
			uint32_t uid = s->box->uids[st->index[st->at]];

			if (store_view_message(v, s->box->id, uid, &msg, &why) == STORE_OK)
				box_write_fetch_flags(s, st->index[st->at] + 1, &msg, &m, cmd->c.is_uid);
			else
				cmd->missed_one = true;
		}
	} else {
		st->at = st->count;
	}
	store_view_close(&v);
	if (st->at < st->count)
		return CMD_WANT_OUTPUT;
	return answer_ok(cmd, "done");
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
	if (st->take != 0 && s->state == SESSION_SELECTED) {
		uint32_t take = st->take;

		st->take = 0;
		submit(s, cmd, INTENT_FLAGS_TAKE, take, false);
		return;
	}
	cmd->told = st->uids;
	cmd->told_count = st->uid_count;
	cmd->told_modseq = sub->request.answer.modseq;
	if (cmd->c.is_silent)
		session_resume(s, answer_ok(cmd, "done"));
	else
		session_resume(s, tell(s, cmd));
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
	if (box->is_readonly)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if (allowed == 0 || (cmd->c.how != STORE_HOW_REPLACE && flags == 0 && (cmd->c.keyword_count == 0 || !may_write) &&
	                     (cmd->c.flags != 0 || cmd->c.keyword_count > 0)))
		return answer_no(cmd, "NOPERM", "you may not change these flags");
	if (st->count == 0)
		return answer_ok(cmd, "nothing to do");
	st->uids = box_ranges(box, st->index, st->count, &cmd->arena, &st->uid_count);
	if (cmd->c.how == STORE_HOW_REPLACE && is_partial) {
		st->take = allowed & ~flags;
		submit(s, cmd, INTENT_FLAGS_ADD, flags, may_write);
	} else {
		submit(s, cmd, hows[cmd->c.how], flags, may_write);
	}
	return CMD_WANT_COMMIT;
}
