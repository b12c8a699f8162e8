/* answer.c - what a command will be answered is kept in it until it ends, so that the last word counts; a fault is
 * worded here, and an operator's fault is logged here and told to the client as [SERVERBUG] without its text. */
#include "answer.h"

#include "imap_writer.h"
#include "log.h"

static enum cmd_step set(struct command *cmd, enum answer_status status, const char *code, struct bytes text)
{
	cmd->has_answer = true;
	cmd->status = status;
	buffer_clear(&cmd->code);
	buffer_clear(&cmd->text);
	if (code != NULL)
		buffer_add_str(&cmd->code, code);
	imap_write_text(&cmd->text, text);
	return CMD_DONE;
}

enum cmd_step answer_ok(struct command *cmd, const char *text)
{
	return set(cmd, ANSWER_OK, NULL, bytes_of(text));
}

enum cmd_step answer_no(struct command *cmd, const char *code, const char *text)
{
	return set(cmd, ANSWER_NO, code, bytes_of(text));
}

enum cmd_step answer_bad(struct command *cmd, const char *text)
{
	return set(cmd, ANSWER_BAD, NULL, bytes_of(text));
}

struct buffer *answer_code(struct command *cmd)
{
	return &cmd->code;
}

enum cmd_step answer_fault(struct session *s, struct command *cmd, const struct fault *why)
{
	switch (why->kind) {
	case FAULT_NONE:
	case FAULT_CLIENT:
		return set(cmd, ANSWER_NO, NULL, bytes_of(why->what));
	case FAULT_LIMIT:
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		return set(cmd, ANSWER_NO, "LIMIT", bytes_of(why->what));
	case FAULT_TRANSIENT:
		return set(cmd, ANSWER_NO, "UNAVAILABLE", BYTES_LIT("try again later"));
	case FAULT_OPERATOR:
		break;
	}
	log_event(LOG_ERROR, "imap.command.failed", LOG_U64("conn", s->client.id), LOG_STR("command", imap_command_name(&cmd->c)),
	          LOG_FAULT(why));
	return set(cmd, ANSWER_NO, "SERVERBUG", BYTES_LIT("the mail store has a problem"));
}

enum cmd_step answer_store_result(struct session *s, struct command *cmd, enum store_result result, bool had_no_effect)
{
	switch (result) {
	case STORE_OK:
		return answer_ok(cmd, "done");
	case STORE_NO_MAILBOX:
		return answer_no(cmd, "NONEXISTENT", "no such mailbox");
	case STORE_EXISTS:
		return answer_no(cmd, "ALREADYEXISTS", "there is a mailbox of that name");
	case STORE_CONFLICT:
		return answer_no(cmd, "INUSE", "it was changed meanwhile, try again");
	case STORE_BAD:
		return answer_no(cmd, "CANNOT", "that name or keyword cannot be");
	case STORE_LIMIT:
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		return answer_no(cmd, "LIMIT", "over a limit of the mailbox");
	case STORE_OVER_QUOTA:
		atomic_fetch_add(&s->client.backend->counters.over_quota, 1);
		return answer_no(cmd, "OVERQUOTA", "over quota");
	case STORE_NO_SPACE:
		return answer_no(cmd, "OVERQUOTA", "no space left");
	case STORE_NOT_MASTER:
		if (had_no_effect && s->identity.is_proxy)
			return answer_no(cmd, "XNOTMASTER", "not the master any more");
		return answer_no(cmd, "UNAVAILABLE", "not the master any more");
	case STORE_GONE: /* never of an intent */
	case STORE_DAMAGED:
	case STORE_FAILED:
		break;
	}
	return answer_no(cmd, "SERVERBUG", "the mail store has a problem");
}

bool answer_is_unknown(enum store_result result, bool had_no_effect)
{
	return (result == STORE_NOT_MASTER || result == STORE_FAILED) && !had_no_effect;
}

enum cmd_step answer_result(struct session *s, struct command *cmd, const struct submission *sub)
{
	enum store_result result = sub->request.answer.result;

	/* Deposed, or the disk failed, in mid-turn. */
	if (answer_is_unknown(result, sub->request.had_no_effect)) {
		s->is_leaving = true;
		s->farewell = FAREWELL_NOT_MASTER;
		cmd->has_answer = false;
		return CMD_DONE;
	}
	return answer_store_result(s, cmd, result, sub->request.had_no_effect);
}

void answer_send(struct session *s, struct command *cmd)
{
	static const char *const words[] = { "OK", "NO", "BAD" };
	struct buffer line = { 0 };

	buffer_add(&line, cmd->c.tag);
	buffer_addf(&line, " %s ", words[cmd->status]);
	if (cmd->code.n > 0) {
		buffer_add_u8(&line, '[');
		buffer_add(&line, buffer_bytes(&cmd->code));
		buffer_add_str(&line, "] ");
	}
	buffer_add(&line, buffer_bytes(&cmd->text));
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}
