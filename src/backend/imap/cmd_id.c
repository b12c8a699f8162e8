/* ID (RFC 2971). What the client says of itself goes to the log, at debug. */
#include "answer.h"
#include "dispatch.h"
#include "log.h"

enum cmd_step cmd_id(struct session *s, struct command *cmd)
{
	if (cmd->c.word_count >= 2)
		log_event(LOG_DEBUG, "imap.client.named", LOG_U64("conn", s->client.id), LOG_BYTES("key", cmd->c.words[0]),
		          LOG_BYTES("value", cmd->c.words[1]));
	session_write_str(s, "* ID (\"name\" \"Roost\" \"version\" \"0.1.0\")\r\n");
	return answer_ok(cmd, "done");
}
