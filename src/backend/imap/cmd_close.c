/* CLOSE (RFC 3501 section 6.4.2): expunge without a word, then leave. UNSELECT (RFC 3691): just leave. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"

static enum cmd_step leave(struct session *s, struct command *cmd)
{
	cmd->is_quiet = true;
	session_enter(s, SESSION_AUTHED);
	return answer_ok(cmd, "left");
}

static void expunged(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;

	cmd->is_quiet = true;
	if (sub->request.answer.result == STORE_OK || sub->request.answer.result == STORE_NO_MAILBOX) {
		if (s->state == SESSION_SELECTED)
			(void)leave(s, cmd);
		session_resume(s, CMD_DONE);
	} else {
		session_resume(s, answer_result(s, cmd, sub));
	}
}

enum cmd_step cmd_close(struct session *s, struct command *cmd)
{
	struct submission *sub;

	if (s->box->is_readonly || (s->box->rights & ACL_EXPUNGE) == 0)
		return leave(s, cmd);
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_EXPUNGE;
	sub->intent.expunge = (struct intent_expunge){ .mailbox = s->box->id, .is_all = true, .only_deleted = true };
	client_submit(&s->client, sub, expunged);
	return CMD_WANT_COMMIT;
}

enum cmd_step cmd_unselect(struct session *s, struct command *cmd)
{
	return leave(s, cmd);
}
