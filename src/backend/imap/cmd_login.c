/* LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959); and the INBOX that a user gets at his first login. */
#include "answer.h"
#include "autocreate.h"
#include "dispatch.h"

static enum cmd_step sasl_line(struct session *s, struct command *cmd, struct bytes line);

static void created(struct client *c, struct mailbox_op *op)
{
	autocreate_note(c, op);
	session_resume((struct session *)c, CMD_DONE);
}

static enum cmd_step logged_in(struct session *s, struct command *cmd)
{
	session_logged_in(s);
	(void)answer_ok(cmd, "logged in");
	buffer_add_str(answer_code(cmd), "CAPABILITY ");
	session_capabilities(s, answer_code(cmd));
	/* A frontend says when: his INBOX may be elsewhere. */
	if (s->identity.is_proxy || !autocreate_is_due(s->client.backend, bytes_of(s->identity.user), false))
		return CMD_DONE;
	autocreate_start(&s->client, bytes_of(s->identity.user), created);
	return CMD_WANT_COMMIT;
}

enum cmd_step cmd_xautocreate(struct session *s, struct command *cmd)
{
	if (!s->identity.is_proxy)
		return answer_bad(cmd, "unknown command");
	(void)answer_ok(cmd, "done");
	if (!autocreate_is_due(s->client.backend, bytes_of(s->identity.user), false))
		return CMD_DONE;
	autocreate_start(&s->client, bytes_of(s->identity.user), created);
	return CMD_WANT_COMMIT;
}

static enum cmd_step took(struct session *s, struct command *cmd, enum login_result result)
{
	switch (result) {
	case LOGIN_CONTINUE:
		cmd->on_line = sasl_line;
		session_write_str(s, "+ ");
		session_write(s, login_challenge(&s->login));
		session_write_str(s, "\r\n");
		return CMD_WANT_INPUT;
	case LOGIN_WAITS:
		s->client.waiting++; /* until session_login_done() */
		return CMD_WANT_COMMIT;
	case LOGIN_OK:
		return logged_in(s, cmd);
	case LOGIN_REFUSED:
		atomic_fetch_add(&s->client.backend->counters.login_failures, 1);
		return answer_no(cmd, "AUTHENTICATIONFAILED", "wrong name or password");
	case LOGIN_UNAVAILABLE:
		return answer_no(cmd, "UNAVAILABLE", "logins cannot be checked now, try again later");
	case LOGIN_MALFORMED:
		return answer_bad(cmd, "not base64");
	case LOGIN_ABORTED:
		return answer_bad(cmd, "cancelled");
	case LOGIN_NEEDS_TLS:
		return answer_no(cmd, "PRIVACYREQUIRED", "use STARTTLS first");
	case LOGIN_UNKNOWN:
		break;
	}
	return answer_no(cmd, "CANNOT", "that mechanism is not offered here");
}

void session_login_done(void *arg, enum login_result result)
{
	struct session *s = arg;

	s->client.waiting--;
	session_resume(s, s->state == SESSION_ENDING ? CMD_DONE : took(s, s->cmd, result));
}

static enum cmd_step sasl_line(struct session *s, struct command *cmd, struct bytes line)
{
	return took(s, cmd, login_line(&s->login, line));
}

enum cmd_step cmd_login(struct session *s, struct command *cmd)
{
	return took(s, cmd, login_password(&s->login, cmd->c.user, cmd->c.password));
}

enum cmd_step cmd_authenticate(struct session *s, struct command *cmd)
{
	return took(s, cmd, login_start(&s->login, cmd->c.mechanism, cmd->c.initial.p != NULL, cmd->c.initial));
}
