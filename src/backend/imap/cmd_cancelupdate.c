/* CANCELUPDATE (RFC 5267 section 4.3.5): results are kept up to date no more. */
#include "answer.h"
#include "box.h"
#include "context.h"
#include "dispatch.h"

enum cmd_step cmd_cancelupdate(struct session *s, struct command *cmd)
{
	bool is_known = true;

	for (size_t i = 0; i < cmd->c.word_count; i++)
		is_known = context_cancel(s->box, cmd->c.words[i]) && is_known;
	return is_known ? answer_ok(cmd, "no further updates") : answer_no(cmd, NULL, "nothing was kept up to date under such a tag");
}
