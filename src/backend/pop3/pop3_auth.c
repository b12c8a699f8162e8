/* pop3_auth.c - the AUTHORIZATION state: CAPA (RFC 2449), USER and PASS (RFC 1939 section 7), AUTH (RFC 5034), STLS (RFC 2595), and what a
 * login opens. APOP is not offered: it needs passwords in the clear on the server. */
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "log.h"
#include "names.h"
#include "pop3_private.h"

static bool offers_tls(const struct pop3_session *s)
{
	return s->client.backend->tls != NULL && !conn_is_tls(s->client.conn) && s->state == POP3_ST_AUTHORIZATION;
}

void pop3_cmd_capa(struct pop3_session *s)
{
	struct buffer out = { 0 }, words = { 0 };

	login_mechanisms(&s->login, &words);
	buffer_add_str(&out, "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n");
	if (login_takes_passwords(&s->login))
		buffer_add_str(&out, "USER\r\n");
	if (words.n > 0)
		buffer_addf(&out, "SASL %.*s\r\n", BYTES_FMT(buffer_bytes(&words)));
	if (offers_tls(s))
		buffer_add_str(&out, "STLS\r\n");
	buffer_add_str(&out, "IMPLEMENTATION Roost\r\n.\r\n");
	conn_write(s->client.conn, buffer_bytes(&out));
	buffer_fini(&out);
	buffer_fini(&words);
}

/* The user's INBOX, if it may be read; the reply otherwise. */
static const char *open_drop(struct pop3_session *s, struct store_view *v, struct fault *why)
{
	const struct backend *b = s->client.backend;
	struct bytes user = bytes_of(s->identity.user);
	struct names n = names_of(b->cfg, user, s->identity.is_admin);
	struct buffer inbox = { 0 };
	struct mailbox m;
	enum store_result result = STORE_NO_MAILBOX;

	names_inbox(&n, user, &inbox);
	if (inbox.n <= NAMES_MAX)
		result = store_view_mailbox(v, buffer_bytes(&inbox), &m, why);
	buffer_fini(&inbox);
	if (result == STORE_OK && !s->identity.is_admin && (acl_effective(m.acl, user, true) & ACL_READ) == 0)
		return "-ERR [SYS/PERM] you may not read your INBOX";
	if (result == STORE_OK)
		result = pop3_drop_open(v, &m, (size_t)config_number(b->cfg, "pop3_max_messages"), &s->drop, why);
	if (result == STORE_OK)
		return NULL;
	if (result == STORE_NO_MAILBOX)
		return "-ERR [SYS/PERM] you have no INBOX here";
	log_event(LOG_ERROR, "pop3.drop.failed", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user), LOG_FAULT(why));
	return "-ERR [SYS/TEMP] the mail store has a problem";
}

static void logged_in(struct pop3_session *s)
{
	struct backend *b = s->client.backend;
	struct fault why;
	struct store_view *v = store_view_open(b->store, &why);
	const char *refusal;

	if (v == NULL)
		log_event(LOG_ERROR, "pop3.drop.failed", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user), LOG_FAULT(&why));
	refusal = v == NULL ? "-ERR [SYS/TEMP] the mail store has a problem" : open_drop(s, v, &why);
	store_view_close(&v);
	if (refusal != NULL) {
		identity_fini(&s->identity);
		pop3_enter(s, POP3_ST_AUTHORIZATION);
		pop3_refuse(s, refusal);
		return;
	}
	atomic_fetch_add(&b->counters.logins, 1);
	log_event(LOG_DEBUG, "pop3.login.accepted", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
	          LOG_STR("authcid", s->identity.authcid), LOG_STR("peer", conn_peer(s->client.conn)));
	pop3_enter(s, POP3_ST_TRANSACTION);
	conn_set_timeout(s->client.conn, config_number(b->cfg, "pop3_timeout_s") * 1000);
	s->bad = 0;
	pop3_replyf(s, "+OK %zu messages (%llu octets)", s->drop.count, (unsigned long long)s->drop.octets);
}

static void forget_name(struct pop3_session *s)
{
	free(s->name);
	s->name = NULL;
}

void pop3_cmd_user(struct pop3_session *s, const struct pop3_command *cmd)
{
	forget_name(s);
	if (!login_takes_passwords(&s->login)) {
		pop3_refuse(s, offers_tls(s) ? "-ERR use STLS first" : "-ERR passwords are not taken here");
	} else if (cmd->word.n > USERS_NAME_MAX) {
		pop3_refuse(s, "-ERR the name is too long");
	} else {
		s->name = bytes_to_str(cmd->word);
		pop3_reply(s, "+OK and the password?"); /* whoever it is: names are not to be found out */
	}
}

static void took(struct pop3_session *s, enum login_result result)
{
	switch (result) {
	case LOGIN_CONTINUE:
		conn_write(s->client.conn, BYTES_LIT("+ "));
		conn_write(s->client.conn, login_challenge(&s->login));
		conn_write(s->client.conn, BYTES_LIT("\r\n"));
		pop3_enter(s, POP3_ST_SASL);
		return;
	case LOGIN_WAITS:
		pop3_enter(s, POP3_ST_LOGIN);
		return;
	case LOGIN_OK:
		logged_in(s);
		return;
	default:
		break;
	}
	pop3_enter(s, POP3_ST_AUTHORIZATION);
	if (result == LOGIN_REFUSED)
		atomic_fetch_add(&s->client.backend->counters.login_failures, 1);
	pop3_refuse(s, result == LOGIN_REFUSED     ? "-ERR [AUTH] wrong name or password" :
	               result == LOGIN_UNAVAILABLE ? "-ERR [SYS/TEMP] logins cannot be checked now, try again later" :
	               result == LOGIN_MALFORMED   ? "-ERR not base64" :
	               result == LOGIN_ABORTED     ? "-ERR cancelled" :
	               result == LOGIN_NEEDS_TLS   ? "-ERR use STLS first" :
	                                             "-ERR that mechanism is not offered here");
	if (login_is_spent(&s->login))
		pop3_end(s, "-ERR too many failed logins");
}

void pop3_login_done(void *arg, enum login_result result)
{
	struct pop3_session *s = arg;

	if (s->state == POP3_ST_LOGIN)
		took(s, result);
	pop3_go_on(s);
}

void pop3_cmd_pass(struct pop3_session *s, const struct pop3_command *cmd)
{
	if (s->name == NULL)
		pop3_refuse(s, "-ERR USER first");
	else
		took(s, login_password(&s->login, bytes_of(s->name), cmd->word));
	forget_name(s);
}

void pop3_sasl_line(struct pop3_session *s, struct bytes line)
{
	took(s, login_line(&s->login, line));
}

void pop3_cmd_auth(struct pop3_session *s, const struct pop3_command *cmd)
{
	forget_name(s);
	took(s, login_start(&s->login, cmd->word, cmd->initial.p != NULL, cmd->initial));
}

void pop3_cmd_stls(struct pop3_session *s)
{
	if (!offers_tls(s)) {
		pop3_refuse(s, s->client.backend->tls == NULL ? "-ERR TLS is not configured" : "-ERR TLS is on already");
		return;
	}
	forget_name(s);
	pop3_reply(s, "+OK go ahead");
	conn_start_tls_server(s->client.conn, s->client.backend->tls);
}
