/* ENABLE (RFC 5161): there is nothing yet that has to be enabled; unknown words are ignored. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_enable(struct session *s, struct command *cmd)
{
	session_write_str(s, "* ENABLED\r\n");
	return answer_ok(cmd, "done");
}
