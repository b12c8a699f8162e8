/* EXPUNGE, UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315): the EXPUNGE responses are the news that come with the end. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"

static void expunged(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;

	s->cmd->tells_modseq = sub->request.answer.uid_count > 0;
	if (sub->request.answer.result == STORE_OK)
		session_resume(s, answer_ok(s->cmd, "expunged"));
	else
		session_resume(s, answer_result(s, s->cmd, sub));
}

enum cmd_step cmd_expunge(struct session *s, struct command *cmd)
{
	struct submission *sub;
	struct intent_expunge *in;

	if (s->box->is_readonly)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if ((s->box->rights & ACL_EXPUNGE) == 0)
		return answer_no(cmd, "NOPERM", "you may not expunge here");
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_EXPUNGE;
	in = &sub->intent.expunge;
	in->mailbox = s->box->id;
	in->only_deleted = true;
	in->is_all = !cmd->c.is_uid;
	if (cmd->c.is_uid) {
		uint32_t *index;
		size_t count;

		(void)box_resolve(s->box, &cmd->c.set, true, &sub->arena, &index, &count);
		in->uids = box_ranges(s->box, index, count, &sub->arena, &in->uid_count);
	}
	client_submit(&s->client, sub, expunged);
	return CMD_WANT_COMMIT;
}
