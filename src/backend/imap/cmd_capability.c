/* cmd_capability.c - CAPABILITY (RFC 3501 section 6.1.1): what is served in the session's present state. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_capability(struct session *s, struct command *cmd)
{
	struct buffer line = { 0 };

	buffer_add_str(&line, "* CAPABILITY ");
	session_capabilities(s, &line);
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return answer_ok(cmd, "done");
}
