/* LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959). */
#include "answer.h"
#include "dispatch.h"
#include "log.h"

static enum cmd_step logged_in(struct session *s, struct command *cmd)
{
	session_logged_in(s);
	(void)answer_ok(cmd, "logged in");
	buffer_add_str(answer_code(cmd), "CAPABILITY ");
	session_capabilities(s, answer_code(cmd));
	return CMD_DONE;
}

static enum cmd_step refused(struct session *s, struct command *cmd, const struct fault *why)
{
	atomic_fetch_add(&s->client.backend->counters.login_failures, 1);
	log_event(LOG_WARNING, "imap.login.refused", LOG_U64("conn", s->client.id), LOG_STR("peer", conn_peer(s->client.conn)),
	          LOG_FAULT(why));
	return answer_no(cmd, "AUTHENTICATIONFAILED", "wrong name or password");
}

enum cmd_step cmd_login(struct session *s, struct command *cmd)
{
	struct fault why = { 0 };

	if (!session_may_send_plain(s))
		return answer_no(cmd, "PRIVACYREQUIRED", "use STARTTLS first");
	if (!users_verify(s->client.backend->users, cmd->c.user, cmd->c.password)) {
		(void)fault_set(&why, FAULT_CLIENT, "wrong name or password for \"%.*s\"", BYTES_FMT(cmd->c.user));
		return refused(s, cmd, &why);
	}
	if (!identity_set(&s->identity, s->client.backend->cfg, cmd->c.user, cmd->c.user, &why))
		return refused(s, cmd, &why);
	return logged_in(s, cmd);
}

static enum cmd_step sasl_answer(struct session *s, struct command *cmd, enum login_result result,
                                 const struct buffer *challenge, const struct fault *why)
{
	switch (result) {
	case LOGIN_CONTINUE:
		session_write_str(s, "+ ");
		session_write(s, buffer_bytes(challenge));
		session_write_str(s, "\r\n");
		return CMD_WANT_INPUT;
	case LOGIN_OK:
		return logged_in(s, cmd);
	case LOGIN_REFUSED:
		return refused(s, cmd, why);
	case LOGIN_MALFORMED:
		return answer_bad(cmd, "not base64");
	case LOGIN_ABORTED:
		return answer_bad(cmd, "cancelled");
	case LOGIN_UNKNOWN:
		break;
	}
	return answer_no(cmd, "CANNOT", "that mechanism is not offered here");
}

static enum cmd_step sasl_line(struct session *s, struct command *cmd, struct bytes line)
{
	struct buffer challenge = { 0 };
	struct fault why = { 0 };
	enum login_result result = login_step(&s->login, s->client.backend->cfg, line, &s->identity, &challenge, &why);
	enum cmd_step step = sasl_answer(s, cmd, result, &challenge, &why);

	buffer_fini(&challenge);
	return step;
}

enum cmd_step cmd_authenticate(struct session *s, struct command *cmd)
{
	struct buffer challenge = { 0 };
	struct fault why = { 0 };
	enum login_result result;
	enum cmd_step step;

	cmd->on_line = sasl_line;
	result = login_start(&s->login, s->client.backend->cfg, s->client.backend->users, cmd->c.mechanism,
	                     session_mechanisms(s), cmd->c.initial.p != NULL, cmd->c.initial, &s->identity, &challenge, &why);
	step = sasl_answer(s, cmd, result, &challenge, &why);
	buffer_fini(&challenge);
	return step;
}
