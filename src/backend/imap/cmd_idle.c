/* IDLE (RFC 2177): changed() of imap_session.c tells the news while this waits for DONE. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"

static enum cmd_step done(struct session *s, struct command *cmd, struct bytes line)
{
	(void)s;
	if (bytes_equal_nocase_str(line, "DONE"))
		return answer_ok(cmd, "done");
	return answer_bad(cmd, "DONE was expected");
}

enum cmd_step cmd_idle(struct session *s, struct command *cmd)
{
	session_write_str(s, "+ idling\r\n");
	cmd->on_line = done;
	if (s->state == SESSION_SELECTED && !box_sync(s, NULL, true))
		return CMD_DONE;
	return CMD_WANT_INPUT;
}
