/* cmd_namespace.c - NAMESPACE (RFC 2342): the prefixes that names.h maps. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_namespace(struct session *s, struct command *cmd)
{
	struct buffer line = { 0 };

	buffer_add_str(&line, "* NAMESPACE ");
	names_write_namespace(&s->names, &line);
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return answer_ok(cmd, "done");
}
