/* EXPUNGE, UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315): the EXPUNGE responses are the news that come with the end. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_flags.h"
#include "limit.h"

static void expunged(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;

	s->cmd->tells_modseq = sub->request.answer.uid_count > 0;
	if (sub->request.answer.result == STORE_OK)
		session_resume(s, answer_ok(s->cmd, "expunged"));
	else
		session_resume(s, answer_result(s, s->cmd, sub));
}

/* Of the messages named those that are to go, where there may be too many of them. False: the tagged answer is set. */
static bool limit(struct session *s, struct command *cmd, uint32_t **index, size_t *count)
{
	struct store_view *v;
	struct box_reader reader = { .mailbox = s->box->id };
	struct message msg;
	size_t n = 0;

	if (s->client.backend->message_limit == 0 || *count <= s->client.backend->message_limit)
		return true;
	v = reader.view = session_view(s, cmd);
	if (v == NULL)
		return false;
	for (size_t i = 0; i < *count; i++) {
		if (box_read(&reader, s->box->uids[(*index)[i]], &msg) && (msg.flags & IMAP_FLAG_DELETED) != 0)
			(*index)[n++] = (*index)[i];
	}
	box_read_end(&reader);
	store_view_close(&v);
	*count = n;
	limit_cut(s, cmd, index, count);
	return true;
}

enum cmd_step cmd_expunge(struct session *s, struct command *cmd)
{
	struct submission *sub;
	struct intent_expunge *in;
	uint32_t *index = NULL;
	size_t count = 0;

	if (s->box->is_readonly)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if ((s->box->rights & ACL_EXPUNGE) == 0)
		return answer_no(cmd, "NOPERM", "you may not expunge here");
	if (cmd->c.is_uid) {
		(void)box_resolve(s->box, &cmd->c.set, true, &cmd->arena, &index, &count);
		if (!limit(s, cmd, &index, &count))
			return CMD_DONE;
	}
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_EXPUNGE;
	in = &sub->intent.expunge;
	in->mailbox = s->box->id;
	in->only_deleted = true;
	in->is_all = !cmd->c.is_uid;
	if (cmd->c.is_uid)
		in->uids = box_ranges(s->box, index, count, &sub->arena, &in->uid_count);
	client_submit(&s->client, sub, expunged);
	return CMD_WANT_COMMIT;
}
