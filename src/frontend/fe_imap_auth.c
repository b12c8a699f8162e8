/* fe_imap_auth.c - who the client is, and what it is offered: CAPABILITY, logins, UNAUTHENTICATE. */
#include <stdlib.h>

#include "fe_imap.h"
#include "log.h"
#include "policy.h"

void fe_imap_write_capability(struct fe_imap *s, struct buffer *out)
{
	buffer_add_str(out, "CAPABILITY IMAP4rev1");
	s->told_version = capabilities_write(fe_imap_frontend(s)->capabilities, s->user != NULL, out);
	if (s->user == NULL) {
		struct buffer words = { 0 };
		struct bytes rest;

		login_mechanisms(&s->login, &words);
		rest = buffer_bytes(&words);
		if (fe_imap_frontend(s)->tls != NULL && !conn_is_tls(s->conn))
			buffer_add_str(out, " STARTTLS");
		if (!login_takes_passwords(&s->login))
			buffer_add_str(out, " LOGINDISABLED");
		while (rest.n > 0) {
			size_t n = bytes_find(rest, ' ');

			buffer_add_str(out, " AUTH=");
			buffer_add(out, bytes_sub(rest, 0, n));
			rest = bytes_from(rest, n + 1);
		}
		buffer_fini(&words);
	}
}

void fe_imap_await_login(struct fe_imap *s)
{
	uint64_t ms = config_number(fe_imap_frontend(s)->config, "imap_login_timeout_s") * 1000;

	s->login_deadline_ms = loop_now_ms(s->base.shard->loop) + ms;
	conn_set_timeout(s->conn, ms);
}

static void logged_in(struct fe_imap *s, struct bytes tag, struct bytes user)
{
	struct frontend *fe = fe_imap_frontend(s);
	struct buffer out = { 0 };

	s->user = bytes_to_str(user);
	s->is_admin = auth_is_admin(fe->config, user);
	s->names = names_of(fe->config, bytes_of(s->user), s->is_admin);
	(void)atomic_fetch_add(&fe->logins, 1);
	conn_set_timeout(s->conn, config_number(fe->config, "imap_idle_timeout_s") * 1000);
	s->wants_inbox = fe_autocreate_is_due(s);
	log_event(LOG_DEBUG, "frontend.imap.login", LOG_U64("conn", s->id), LOG_STR("user", s->user));
	buffer_add(&out, tag);
	buffer_add_str(&out, " OK [");
	fe_imap_write_capability(s, &out);
	buffer_add_str(&out, "] logged in\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

void fe_imap_took(struct fe_imap *s, enum login_result result)
{
	struct bytes tag = bytes_of(s->auth_tag);
	struct buffer out = { 0 };

	s->is_login_waiting = result == LOGIN_WAITS;
	s->is_authenticating = result == LOGIN_CONTINUE;
	switch (result) {
	case LOGIN_WAITS:
		return;
	case LOGIN_CONTINUE:
		buffer_add_str(&out, "+ ");
		buffer_add(&out, login_challenge(&s->login));
		buffer_add_str(&out, "\r\n");
		conn_write(s->conn, buffer_bytes(&out));
		buffer_fini(&out);
		return;
	case LOGIN_OK:
		logged_in(s, tag, bytes_of(s->identity.user));
		identity_fini(&s->identity);
		break;
	case LOGIN_REFUSED:
		(void)atomic_fetch_add(&fe_imap_frontend(s)->login_failures, 1);
		fe_imap_answer(s, tag, "NO", "[AUTHENTICATIONFAILED] wrong name or password");
		break;
	case LOGIN_UNAVAILABLE:
		fe_imap_answer(s, tag, "NO", "[UNAVAILABLE] logins cannot be checked now, try again later");
		break;
	case LOGIN_MALFORMED:
		fe_imap_answer(s, tag, "BAD", "not base64");
		break;
	case LOGIN_ABORTED:
		fe_imap_answer(s, tag, "BAD", "cancelled");
		break;
	case LOGIN_NEEDS_TLS:
		fe_imap_answer(s, tag, "NO", "[PRIVACYREQUIRED] use STARTTLS first");
		break;
	case LOGIN_UNKNOWN:
		fe_imap_answer(s, tag, "NO", "[CANNOT] that mechanism is not offered here");
		break;
	}
	free(s->auth_tag);
	s->auth_tag = NULL;
	if (s->user == NULL && login_is_spent(&s->login))
		fe_imap_bye(s, "too many failed logins");
}

void fe_imap_login_done(void *arg, enum login_result result)
{
	struct fe_imap *s = arg;

	if (s->is_leaving)
		return;
	fe_imap_took(s, result);
	conn_kick(s->conn);
}

void fe_imap_cmd_login(struct fe_imap *s)
{
	s->auth_tag = bytes_to_str(s->cmd.tag);
	fe_imap_took(s, login_password(&s->login, s->cmd.user, s->cmd.password));
}

void fe_imap_cmd_authenticate(struct fe_imap *s)
{
	s->auth_tag = bytes_to_str(s->cmd.tag);
	fe_imap_took(s, login_start(&s->login, s->cmd.mechanism, s->cmd.initial.p != NULL, s->cmd.initial));
}

void fe_imap_tell_capabilities(struct fe_imap *s)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, "* ");
	fe_imap_write_capability(s, &out);
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

void fe_imap_cmd_capability(struct fe_imap *s)
{
	fe_imap_tell_capabilities(s);
	fe_imap_tagged(s, "OK", "done");
}

void fe_imap_cmd_unauthenticate(struct fe_imap *s)
{
	fe_notify_free(s);
	s->notify_version = 0;
	LIST_EACH(m, &s->links)
		imap_link_drop(LIST_OBJECT(m, struct imap_link, in_session));
	free(s->user);
	s->user = NULL;
	s->is_admin = false;
	s->features = 0;
	s->names = (struct names){ 0 };
	fe_imap_await_login(s);
	fe_imap_tagged(s, "OK", "nobody is logged in");
}
