/* UNAUTHENTICATE (RFC 8437): as after the greeting, but that TLS and compression stay. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_unauthenticate(struct session *s, struct command *cmd)
{
	cmd->is_quiet = true;
	session_logged_out(s);
	return answer_ok(cmd, "nobody is logged in");
}
