/* limit.c - see limit.h. What is left out has the lowest UIDs: a client goes on below the one that it is told. */
#include "limit.h"

#include "answer.h"
#include "box.h"

static size_t most(const struct session *s)
{
	return s->client.backend->message_limit;
}

void limit_cut(struct session *s, struct command *cmd, uint32_t **index, size_t *count)
{
	if (most(s) == 0 || *count <= most(s))
		return;
	*index += *count - most(s);
	*count = most(s);
	cmd->limited_uid = s->box->uids[**index];
}

enum cmd_step limit_refuse(struct session *s, struct command *cmd)
{
	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	(void)answer_no(cmd, NULL, "too many messages for one command, try a smaller set");
	buffer_addf(answer_code(cmd), "MESSAGELIMIT %zu", most(s));
	return CMD_DONE;
}

bool limit_refuses(struct session *s, struct command *cmd, const uint32_t *index, size_t count)
{
	if (most(s) == 0 || count <= most(s))
		return false;
	(void)limit_refuse(s, cmd);
	buffer_addf(answer_code(cmd), " %u", s->box->uids[index[count - most(s)]]);
	return true;
}

void limit_tell(struct session *s, struct command *cmd)
{
	struct buffer line = { 0 };

	if (cmd->limited_uid == 0 || !cmd->has_answer || cmd->status != ANSWER_OK)
		return;
	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	if (cmd->code.n == 0) {
		buffer_addf(&cmd->code, "MESSAGELIMIT %zu %u", most(s), cmd->limited_uid);
		return;
	}
	buffer_addf(&line, "* NO [MESSAGELIMIT %zu %u] not all: too many messages for one command\r\n", most(s), cmd->limited_uid);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}
