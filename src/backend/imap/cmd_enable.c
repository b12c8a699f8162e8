/* cmd_enable.c - ENABLE (RFC 5161): unknown words are ignored; what is told is what this command enabled. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_enable(struct session *s, struct command *cmd)
{
	struct buffer line = { 0 };
	unsigned features = 0;

	for (size_t i = 0; i < cmd->c.word_count; i++)
		features |= imap_feature_of(cmd->c.words[i]);
	buffer_add_str(&line, "* ENABLED");
	imap_write_features(&line, features & ~s->features);
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	session_enable(s, features);
	return answer_ok(cmd, "done");
}
