/* SUBSCRIBE and UNSUBSCRIBE of any name that can be one (RFC 3501 section 6.3.6: it need not be there). */
#include "answer.h"
#include "dispatch.h"

static void subscribed(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;

	if (sub->request.answer.result == STORE_OK)
		session_resume(s, answer_ok(s->cmd, "done"));
	else
		session_resume(s, answer_result(s, s->cmd, sub));
}

enum cmd_step cmd_subscribe(struct session *s, struct command *cmd)
{
	struct submission *sub;
	struct bytes internal;

	if (!session_name(s, cmd, cmd->c.mailbox, &internal))
		return CMD_DONE;
	sub = submission_new(&s->client);
	sub->intent.op = cmd->c.verb == IMAP_SUBSCRIBE ? INTENT_SUBSCRIBE : INTENT_UNSUBSCRIBE;
	sub->intent.subscribe.user = arena_copy(&sub->arena, bytes_of(s->identity.user));
	sub->intent.subscribe.name = arena_copy(&sub->arena, internal);
	client_submit(&s->client, sub, subscribed);
	return CMD_WANT_COMMIT;
}
