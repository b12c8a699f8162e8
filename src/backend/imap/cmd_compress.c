/* COMPRESS (RFC 4978): everything behind the OK is DEFLATE, both ways; what was sent ahead is taken for it. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_compress(struct session *s, struct command *cmd)
{
	if (!bytes_equal_nocase_str(cmd->c.mechanism, "DEFLATE"))
		return answer_no(cmd, "CANNOT", "only DEFLATE is offered");
	if (conn_is_compressed(s->client.conn))
		return answer_no(cmd, "COMPRESSIONACTIVE", "DEFLATE is on already");
	/* The answer has to leave as it is. */
	cmd->is_quiet = true;
	(void)answer_ok(cmd, "DEFLATE from here on");
	answer_send(s, cmd);
	cmd->was_sent = true;
	conn_start_compress(s->client.conn);
	return CMD_DONE;
}
