/* pop3_session.c - one POP3 connection from the greeting to the end: states, lines, and which command is legal when.
 *
 * Happy path: +OK, CAPA, (STLS,) USER and PASS or AUTH: the INBOX is looked up and its messages are numbered; LIST, UIDL, RETR, DELE
 * are answered from that numbering and the store; QUIT hands the deletions to the writer as one intent, and is answered when it is
 * committed. Nothing is deleted before, nor when the connection ends in another way.
 *
 * What can go wrong, and the answer: not the master: -ERR [SYS/TEMP] instead of the greeting or of a command, and the end; in the
 * middle of a message the connection ends, and the client knows by the missing dot; the deletions could not be made: -ERR to QUIT,
 * none was made; a message that is damaged is fetched from another member first, else -ERR; a line over pop3_max_line, ten refused
 * commands in a row, silence: -ERR and the end. Commands that come while an answer goes out wait in the connection (PIPELINING), and
 * nothing is read while the client does not take what it is sent. */
#include "pop3_session.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "pop3_private.h"

#define POP3_BAD_MAX 10 /* refused commands in a row before the end */

void pop3_enter(struct pop3_session *s, enum pop3_state state)
{
#define TO(st) (1u << POP3_ST_##st)
	static const unsigned edges[] = {
		[POP3_ST_AUTHORIZATION] = TO(AUTHORIZATION) | TO(SASL) | TO(LOGIN) | TO(TRANSACTION) | TO(ENDING),
		[POP3_ST_SASL] = TO(SASL) | TO(LOGIN) | TO(AUTHORIZATION) | TO(TRANSACTION) | TO(ENDING),
		[POP3_ST_LOGIN] = TO(SASL) | TO(AUTHORIZATION) | TO(TRANSACTION) | TO(ENDING),
		[POP3_ST_TRANSACTION] = TO(SENDING) | TO(UPDATE) | TO(ENDING),
		[POP3_ST_SENDING] = TO(TRANSACTION) | TO(MENDING) | TO(ENDING),
		[POP3_ST_MENDING] = TO(SENDING) | TO(ENDING),
		[POP3_ST_UPDATE] = TO(ENDING),
		[POP3_ST_ENDING] = 0,
	};
#undef TO

	assert(edges[s->state] & 1u << state);
	s->state = state;
}

void pop3_reply(struct pop3_session *s, const char *text)
{
	if (s->client.conn == NULL)
		return;
	conn_write(s->client.conn, bytes_of(text));
	conn_write(s->client.conn, BYTES_LIT("\r\n"));
}

void pop3_replyf(struct pop3_session *s, const char *fmt, ...)
{
	struct buffer text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buffer_vaddf(&text, fmt, ap);
	va_end(ap);
	buffer_add_u8(&text, '\0');
	pop3_reply(s, (const char *)text.p);
	buffer_fini(&text);
}

void pop3_end(struct pop3_session *s, const char *text)
{
	if (s->state == POP3_ST_ENDING || s->client.conn == NULL)
		return;
	pop3_reply(s, text);
	pop3_enter(s, POP3_ST_ENDING);
	conn_close(s->client.conn);
}

void pop3_say_farewell(struct pop3_session *s)
{
	if (s->sending.has_begun && s->client.conn != NULL && s->state != POP3_ST_ENDING) {
		/* Words would be taken for the message's. */
		pop3_enter(s, POP3_ST_ENDING);
		conn_close(s->client.conn);
		return;
	}
	pop3_end(s, s->farewell == FAREWELL_STOPPING ? "-ERR [SYS/TEMP] shutting down" :
	                                               "-ERR [SYS/TEMP] this member is not the master");
}

void pop3_refuse(struct pop3_session *s, const char *text)
{
	s->bad++;
	pop3_reply(s, text);
}

static void authorization(struct pop3_session *s, const struct pop3_command *cmd)
{
	switch (cmd->verb) {
	case POP3_CAPA:
		pop3_cmd_capa(s);
		return;
	case POP3_USER:
		pop3_cmd_user(s, cmd);
		return;
	case POP3_PASS:
		pop3_cmd_pass(s, cmd);
		return;
	case POP3_AUTH:
		pop3_cmd_auth(s, cmd);
		return;
	case POP3_STLS:
		pop3_cmd_stls(s);
		return;
	case POP3_QUIT:
		pop3_end(s, "+OK bye");
		return;
	default:
		pop3_refuse(s, "-ERR log in first");
		return;
	}
}

static void on_command(struct pop3_session *s, struct bytes line)
{
	struct pop3_command cmd;
	struct fault why;
	unsigned bad = s->bad;

	if (!pop3_command_parse(line, &cmd, &why)) {
		s->bad++;
		pop3_replyf(s, "-ERR %s", why.what);
	} else if (cmd.verb == POP3_UNKNOWN) {
		pop3_refuse(s, "-ERR unknown command");
	} else if (!backend_may_serve(s->client.backend)) {
		pop3_say_farewell(s);
	} else if (s->state == POP3_ST_TRANSACTION) {
		pop3_transaction(s, &cmd);
	} else {
		authorization(s, &cmd);
	}
	if (s->bad == bad && s->state != POP3_ST_SASL && s->state != POP3_ST_LOGIN)
		s->bad = 0;
}

/* Tokens and proofs are longer than commands. */
static size_t line_max(const struct pop3_session *s, struct bytes in)
{
	size_t max = (size_t)config_number(s->client.backend->cfg, "pop3_max_line");
	bool is_login = s->state == POP3_ST_SASL || (s->state == POP3_ST_AUTHORIZATION && bytes_starts_nocase(in, BYTES_LIT("AUTH ")));

	return is_login && max < LOGIN_LINE_MAX ? LOGIN_LINE_MAX : max;
}

/* Take one line; false: none is whole yet. */
static bool take_line(struct pop3_session *s)
{
	struct backend *b = s->client.backend;
	struct bytes in = conn_input(s->client.conn);
	size_t max = line_max(s, in);
	size_t n = bytes_find(bytes_sub(in, 0, max), '\n');
	struct bytes line;
	char *copy;

	if (n >= max) {
		atomic_fetch_add(&b->counters.limits_hit, 1);
		pop3_end(s, "-ERR the line is too long");
		return false;
	}
	if (n == in.n)
		return false;
	line = bytes_sub(in, 0, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n);
	copy = bytes_to_str(line); /* the handler may start TLS, which drops the input */
	conn_consume(s->client.conn, n + 1);
	if (s->state == POP3_ST_SASL)
		pop3_sasl_line(s, bytes_make(copy, line.n));
	else
		on_command(s, bytes_make(copy, line.n));
	explicit_bzero(copy, line.n);
	free(copy);
	if (s->bad >= POP3_BAD_MAX)
		pop3_end(s, "-ERR too many errors");
	return true;
}

/* One step; false: it waits for input, output, or an answer. */
static bool step(struct pop3_session *s)
{
	if (s->client.conn == NULL || conn_pending(s->client.conn) >= CONN_OUTPUT_HIGH)
		return false;
	switch (s->state) {
	case POP3_ST_AUTHORIZATION:
	case POP3_ST_SASL:
	case POP3_ST_TRANSACTION:
		return take_line(s);
	case POP3_ST_SENDING:
		pop3_send_more(s);
		return s->state != POP3_ST_SENDING;
	case POP3_ST_MENDING:
	case POP3_ST_UPDATE:
	case POP3_ST_LOGIN:
	case POP3_ST_ENDING:
		break;
	}
	return false;
}

void pop3_go_on(struct pop3_session *s)
{
	bool is_idle;

	while (step(s))
		;
	is_idle = s->state <= POP3_ST_TRANSACTION && s->client.conn != NULL && conn_pending(s->client.conn) < CONN_OUTPUT_HIGH;
	if (s->is_eof && is_idle) {
		pop3_enter(s, POP3_ST_ENDING);
		conn_close(s->client.conn);
	}
}

static void on_input(struct conn *c, void *arg)
{
	(void)c;
	pop3_go_on(arg);
}

/* TLS is established; over TLS from the first octet this comes before anything else. */
static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

/* The client will say no more, but may still read what it asked for. */
static void on_eof(struct conn *c, void *arg)
{
	struct pop3_session *s = arg;

	(void)c;
	s->is_eof = true;
	pop3_go_on(s);
}

static uint64_t timeout_ms(const struct pop3_session *s)
{
	return config_number(s->client.backend->cfg, s->state <= POP3_ST_SASL ? "pop3_login_timeout_s" : "pop3_timeout_s") * 1000;
}

static void on_timeout(struct conn *c, void *arg)
{
	struct pop3_session *s = arg;

	if (s->state == POP3_ST_MENDING || s->state == POP3_ST_UPDATE || s->state == POP3_ST_LOGIN) /* it is we who are slow */
		conn_set_timeout(c, timeout_ms(s));
	else if (s->sending.has_begun || conn_pending(c) > 0)
		conn_abort(c); /* it does not read */
	else
		pop3_end(s, "-ERR timeout");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct pop3_session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "pop3.session.broken", LOG_U64("conn", s->client.id), LOG_FAULT(why));
	client_leave(&s->client);
	login_fini(&s->login);
	identity_fini(&s->identity);
	pop3_drop_fini(&s->drop);
	free(s->name);
	free(s);
}

static void farewell(struct client *c, enum farewell why)
{
	struct pop3_session *s = (struct pop3_session *)c;

	s->farewell = why;
	if (s->state != POP3_ST_UPDATE) /* the answer to QUIT ends it */
		pop3_say_farewell(s);
}

void pop3_session_called(struct conn *conn, void *arg)
{
	static const struct conn_events events = {
		.on_ready = on_ready, .on_input = on_input, .on_drained = on_input, .on_timeout = on_timeout, .on_eof = on_eof,
		.on_closed = on_closed,
	};
	static const struct client_class class = { .farewell = farewell };
	static const struct login_class logins = { .protocol = "pop", .done = pop3_login_done, .takes_tokens = true };
	struct backend *b = arg;
	struct pop3_session *s = must_calloc(1, sizeof(*s));

	s->client.class = &class;
	conn_set_events(conn, &events, s);
	login_init(&s->login, &logins, b->login_service, conn, &s->identity, s);
	if (!client_enter(&s->client, b, conn)) {
		s->farewell = FAREWELL_STOPPING;
		pop3_say_farewell(s);
		return;
	}
	if (!backend_may_serve(b)) {
		pop3_say_farewell(s);
		return;
	}
	conn_set_timeout(conn, timeout_ms(s));
	pop3_replyf(s, "+OK %s Roost POP3 ready", b->server);
}
