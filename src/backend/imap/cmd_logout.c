/* cmd_logout.c - LOGOUT (RFC 3501 section 6.1.3): BYE, then the tagged OK; the session ends when both are sent. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_logout(struct session *s, struct command *cmd)
{
	cmd->is_quiet = true;
	session_write_str(s, "* BYE logging out\r\n");
	return answer_ok(cmd, "bye");
}
