/* lmtp_session.c - one LMTP connection from the greeting to the end.
 *
 * Happy path: 220, LHLO, (STARTTLS, AUTH,) MAIL, RCPT ... (lmtp_envelope.c), DATA, the body, and when it is committed a 250 for each
 * recipient (lmtp_delivery.c).
 *
 * What can go wrong, and the answer: not the master: 421 instead of the greeting, or once the delivery under way has its
 * answer; the mastership was lost with a delivery waiting: 450 4.3.2, with [XNOTMASTER] to a frontend, which sends it again
 * under its operation id; message over maxmessagesize: 552 5.3.4; too many recipients: 452 4.5.3; too many messages in
 * memory: 452 4.3.1; over quota: 452 4.2.2, or 552 5.2.2 by configuration, at RCPT where it is so already; disk full: 452 4.3.1;
 * store broken: 451 4.3.0; a stranger: 530 5.7.0. A body that is refused is still read to its end, but not kept. Commands that
 * follow DATA's body wait until it is committed (PIPELINING). */
#include "lmtp_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "lmtp_private.h"
#include "log.h"

#define LMTP_BAD_MAX 10 /* refused commands in a row before 421 */

void lmtp_enter(struct lmtp_session *s, enum lmtp_state state)
{
	static const unsigned edges[] = {
		[LMTP_COMMAND] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_LOGIN | 1u << LMTP_BODY |
			         1u << LMTP_CREATING | 1u << LMTP_ENDING,
		[LMTP_CREATING] = 1u << LMTP_COMMAND | 1u << LMTP_ENDING,
		[LMTP_SASL] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_LOGIN | 1u << LMTP_ENDING,
		[LMTP_LOGIN] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_ENDING,
		[LMTP_BODY] = 1u << LMTP_COMMAND | 1u << LMTP_COMMITTING | 1u << LMTP_ENDING,
		[LMTP_COMMITTING] = 1u << LMTP_COMMAND | 1u << LMTP_ENDING,
		[LMTP_ENDING] = 0,
	};

	assert(edges[s->state] & 1u << state);
	s->state = state;
}

void lmtp_say(struct lmtp_session *s, const char *text)
{
	if (s->client.conn == NULL)
		return;
	conn_write(s->client.conn, bytes_of(text));
	conn_write(s->client.conn, BYTES_LIT("\r\n"));
}

void lmtp_end(struct lmtp_session *s, const char *text)
{
	if (s->state == LMTP_ENDING || s->client.conn == NULL)
		return;
	lmtp_say(s, text);
	lmtp_enter(s, LMTP_ENDING);
	conn_close(s->client.conn);
}

void lmtp_say_farewell(struct lmtp_session *s)
{
	lmtp_end(s, s->farewell == FAREWELL_STOPPING ? "421 4.3.2 shutting down" : "421 4.3.2 not the master, try the other member");
}

void lmtp_reset(struct lmtp_session *s)
{
	lmtp_drop_body(s);
	s->has_mail = s->has_op_id = false;
	s->from = BYTES_NONE;
	s->recipient_count = 0;
	arena_fini(&s->arena);
}

static bool has_tls_to_offer(const struct lmtp_session *s)
{
	return s->client.backend->tls != NULL && !conn_is_tls(s->client.conn) && s->identity.user == NULL;
}

static void on_lhlo(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	const struct backend *b = s->client.backend;
	struct buffer out = { 0 }, words = { 0 };

	lmtp_reset(s);
	free(s->helo);
	s->helo = bytes_to_str(bytes_sub(cmd->word, 0, 255));
	buffer_addf(&out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE %llu\r\n", b->server,
	            (unsigned long long)b->max_message);
	if (has_tls_to_offer(s))
		buffer_add_str(&out, "250-STARTTLS\r\n");
	login_mechanisms(&s->login, &words);
	if (s->identity.user == NULL && words.n > 0)
		buffer_addf(&out, "250-AUTH %.*s\r\n", BYTES_FMT(buffer_bytes(&words)));
	buffer_fini(&words);
	buffer_add_str(&out, "250-IGNOREQUOTA\r\n250 XROOST-OP\r\n");
	conn_write(s->client.conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void took(struct lmtp_session *s, enum login_result result)
{
	struct backend *b = s->client.backend;

	switch (result) {
	case LOGIN_CONTINUE:
		conn_write(s->client.conn, BYTES_LIT("334 "));
		conn_write(s->client.conn, login_challenge(&s->login));
		conn_write(s->client.conn, BYTES_LIT("\r\n"));
		lmtp_enter(s, LMTP_SASL);
		return;
	case LOGIN_WAITS:
		lmtp_enter(s, LMTP_LOGIN);
		return;
	case LOGIN_OK:
		log_event(LOG_INFO, "lmtp.login.accepted", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
		          LOG_STR("authcid", s->identity.authcid), LOG_STR("peer", conn_peer(s->client.conn)));
		lmtp_say(s, "235 2.7.0 authenticated");
		break;
	case LOGIN_REFUSED:
		atomic_fetch_add(&b->counters.login_failures, 1);
		s->bad++;
		lmtp_say(s, "535 5.7.8 wrong credentials");
		break;
	case LOGIN_UNAVAILABLE:
		lmtp_say(s, "454 4.7.0 logins cannot be checked now");
		break;
	case LOGIN_MALFORMED:
		lmtp_say(s, "501 5.5.2 not base64");
		break;
	case LOGIN_ABORTED:
		lmtp_say(s, "501 5.7.0 cancelled");
		break;
	case LOGIN_NEEDS_TLS:
		lmtp_say(s, "538 5.7.11 that mechanism needs TLS first");
		break;
	case LOGIN_UNKNOWN:
		lmtp_say(s, "504 5.5.4 that mechanism is not offered here");
		break;
	}
	lmtp_enter(s, LMTP_COMMAND);
	if (login_is_spent(&s->login) && s->identity.user == NULL)
		lmtp_end(s, "421 4.7.0 too many failed logins");
}

static void start_auth(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (s->helo == NULL || s->has_mail || s->identity.user != NULL) {
		lmtp_say(s, "503 5.5.1 not now");
		return;
	}
	took(s, login_start(&s->login, cmd->word, cmd->initial.p != NULL, cmd->initial));
}

static void start_tls(struct lmtp_session *s)
{
	if (!has_tls_to_offer(s)) {
		lmtp_say(s, s->client.backend->tls == NULL ? "502 5.5.1 TLS is not configured" : "503 5.5.1 not now");
		return;
	}
	lmtp_say(s, "220 2.0.0 go ahead");
	lmtp_reset(s);
	free(s->helo);
	s->helo = NULL;
	conn_start_tls_server(s->client.conn, s->client.backend->tls);
}

static void on_command(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	switch (cmd->verb) {
	case LMTP_LHLO:
		on_lhlo(s, cmd);
		break;
	case LMTP_MAIL:
		lmtp_cmd_mail(s, cmd);
		break;
	case LMTP_RCPT:
		lmtp_cmd_rcpt(s, cmd);
		break;
	case LMTP_DATA:
		lmtp_cmd_data(s);
		break;
	case LMTP_RSET:
		lmtp_reset(s);
		lmtp_say(s, "250 2.0.0 ok");
		break;
	case LMTP_NOOP:
		lmtp_say(s, "250 2.0.0 ok");
		break;
	case LMTP_VRFY:
		lmtp_say(s, "252 2.5.0 try to deliver it");
		break;
	case LMTP_HELP:
		lmtp_say(s, "214 2.0.0 see RFC 2033");
		break;
	case LMTP_QUIT:
		lmtp_end(s, "221 2.0.0 bye");
		break;
	case LMTP_AUTH:
		start_auth(s, cmd);
		break;
	case LMTP_STARTTLS:
		start_tls(s);
		break;
	case LMTP_UNKNOWN:
		s->bad++;
		lmtp_say(s, "500 5.5.1 unknown command");
		return;
	}
	if (cmd->verb != LMTP_AUTH)
		s->bad = 0;
}

static void on_line(struct lmtp_session *s, struct bytes line)
{
	struct lmtp_command cmd;
	struct arena a = { 0 };
	struct fault why;
	struct buffer out = { 0 };
	enum lmtp_parse result;

	if (s->state == LMTP_SASL) {
		took(s, login_line(&s->login, line));
	} else {
		result = lmtp_command_parse(line, &a, &cmd, &why);
		if (result == LMTP_PARSE_OK) {
			on_command(s, &cmd);
		} else {
			/* The reason may quote the client: fault_set() left no control characters in it. */
			buffer_addf(&out, "%s 5.5.4 %s", result == LMTP_PARSE_SYNTAX ? "501" : "555", why.what);
			buffer_add_u8(&out, '\0');
			s->bad++;
			lmtp_say(s, (const char *)out.p);
		}
	}
	if (s->bad >= LMTP_BAD_MAX)
		lmtp_end(s, "421 4.7.0 too many errors");
	arena_fini(&a);
	buffer_fini(&out);
}

/* Take one line; false: none is whole yet. */
static bool take_line(struct lmtp_session *s)
{
	struct bytes in = conn_input(s->client.conn);
	/* Tokens and proofs are longer than commands (RFC 4954 section 4). */
	bool is_login = s->state == LMTP_SASL || bytes_starts_nocase(in, BYTES_LIT("AUTH "));
	size_t max = is_login ? LOGIN_LINE_MAX : LMTP_MAX_LINE;
	size_t n = bytes_find(bytes_sub(in, 0, max), '\n');
	struct bytes line;
	char *copy;

	if (n >= max) {
		lmtp_end(s, "500 5.5.2 line too long");
		return false;
	}
	if (n == in.n)
		return false;
	line = bytes_sub(in, 0, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n);
	copy = bytes_to_str(line); /* the handler may start TLS, which drops the input */
	conn_consume(s->client.conn, n + 1);
	on_line(s, bytes_make(copy, line.n));
	explicit_bzero(copy, line.n);
	free(copy);
	return true;
}

static void run(struct lmtp_session *s)
{
	bool goes_on = true;

	while (goes_on) {
		if (s->state == LMTP_COMMAND || s->state == LMTP_SASL) {
			goes_on = take_line(s);
		} else if (s->state == LMTP_BODY) {
			goes_on = lmtp_take_body(s);
			if (goes_on)
				lmtp_body_ended(s);
		} else {
			goes_on = false;
		}
	}
}

static void login_done(void *arg, enum login_result result)
{
	struct lmtp_session *s = arg;

	if (s->state == LMTP_LOGIN)
		took(s, result);
	run(s);
}

static void on_input(struct conn *c, void *arg)
{
	(void)c;
	run(arg);
}

/* TLS is established; over TLS from the first octet this comes before anything else. */
static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void on_timeout(struct conn *c, void *arg)
{
	struct lmtp_session *s = arg;

	if (s->state == LMTP_COMMITTING || s->state == LMTP_CREATING || s->state == LMTP_LOGIN) /* it is we who are slow */
		conn_set_timeout(c, config_number(s->client.backend->cfg, "lmtp_timeout_s") * 1000);
	else
		lmtp_end(s, "421 4.4.2 timeout");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct lmtp_session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "lmtp.session.broken", LOG_U64("conn", s->client.id), LOG_FAULT(why));
	client_leave(&s->client);
	lmtp_reset(s);
	login_fini(&s->login);
	identity_fini(&s->identity);
	free(s->recipients);
	free(s->helo);
	free(s);
}

static void farewell(struct client *c, enum farewell why)
{
	struct lmtp_session *s = (struct lmtp_session *)c;

	s->farewell = why;
	if (s->state == LMTP_COMMITTING || s->state == LMTP_CREATING)
		s->is_leaving = true;
	else
		lmtp_say_farewell(s);
}

void lmtp_session_called(struct conn *conn, void *arg)
{
	static const struct conn_events events = {
		.on_ready = on_ready, .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed,
	};
	static const struct client_class class = { .farewell = farewell };
	static const struct login_class logins = { .protocol = "lmtp", .done = login_done };
	struct backend *b = arg;
	struct lmtp_session *s = must_calloc(1, sizeof(*s));
	struct buffer hello = { 0 };

	s->client.class = &class;
	conn_set_events(conn, &events, s);
	login_init(&s->login, &logins, b->login_service, conn, &s->identity, s);
	if (!client_enter(&s->client, b, conn)) {
		s->farewell = FAREWELL_STOPPING;
		lmtp_say_farewell(s);
		return;
	}
	if (!backend_may_serve(b)) {
		lmtp_say_farewell(s);
		return;
	}
	conn_set_timeout(conn, config_number(b->cfg, "lmtp_timeout_s") * 1000);
	buffer_addf(&hello, "220 %s LMTP Roost ready", b->server);
	buffer_add_u8(&hello, '\0');
	lmtp_say(s, (const char *)hello.p);
	buffer_fini(&hello);
}
