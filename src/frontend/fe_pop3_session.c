/* fe_pop3_session.c - a POP3 client of the frontend (RFC 1939): login here, then the way to its INBOX, then octets both ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_pop3.h"
#include "log.h"
#include "names.h"
#include "policy.h"
#include "pop3_command.h"

#define FAILURES_MAX 10

struct frontend *fe_pop3_frontend(const struct fe_pop3 *s)
{
	return s->base.shard->fe;
}

static void reply(struct fe_pop3 *s, const char *text)
{
	conn_write(s->conn, bytes_of(text));
	conn_write(s->conn, BYTES_LIT("\r\n"));
}

static void end(struct fe_pop3 *s, const char *text)
{
	if (s->state == FPOP3_ENDING)
		return;
	if (text != NULL)
		reply(s, text);
	timer_free(&s->retry);
	if (s->state == FPOP3_OPENING && s->link != NULL) {
		pop3_link_drop(s->link);
		s->link = NULL;
	}
	s->state = FPOP3_ENDING;
	conn_close(s->conn);
}

static void refuse(struct fe_pop3 *s, const char *text)
{
	s->state = FPOP3_AUTHORIZATION;
	reply(s, text);
	if (++s->failures >= FAILURES_MAX)
		end(s, "-ERR too many errors");
}

static void farewell(struct fe_session *base)
{
	struct fe_pop3 *s = LIST_OBJECT(base, struct fe_pop3, base);

	/* In the middle of an answer words would be taken for its. */
	end(s, s->state == FPOP3_PIPE ? NULL : "-ERR [SYS/TEMP] the frontend is stopping");
}

/* ---- the way to the INBOX ---- */

static void open_inbox(struct fe_pop3 *s);

static void retry_now(void *arg)
{
	struct fe_pop3 *s = arg;

	timer_free(&s->retry);
	open_inbox(s);
}

static void not_opened(struct fe_pop3 *s, const char *text)
{
	free(s->user);
	s->user = NULL;
	refuse(s, text);
	if (s->state == FPOP3_AUTHORIZATION)
		conn_pause(s->conn, false);
}

static void try_later(struct fe_pop3 *s, const char *why)
{
	if (loop_now_ms(s->base.shard->loop) < s->deadline_ms) {
		timer_free(&s->retry);
		s->retry = timer_new(s->base.shard->loop, retry_now, s);
		timer_start(s->retry, FRONTEND_RETRY_MS, 0);
		return;
	}
	log_event(LOG_WARNING, "frontend.pop3.given_up", LOG_U64("conn", s->id), LOG_STR("server", s->server), LOG_STR("why", why));
	not_opened(s, "-ERR [SYS/TEMP] your INBOX cannot be reached now, try again later");
}

static void synced(void *arg)
{
	struct fe_pop3 *s = arg;

	s->is_syncing = false;
	if (s->is_dead)
		free(s);
	else if (s->state == FPOP3_OPENING)
		open_inbox(s);
}

static enum places_result find_inbox(struct fe_pop3 *s, bool *is_active_r)
{
	struct frontend *fe = fe_pop3_frontend(s);
	struct bytes user = bytes_of(s->user);
	struct names n = names_of(fe->config, user, auth_is_admin(fe->config, user));
	struct buffer inbox = { 0 };
	struct arena a = { 0 };
	struct place place;
	enum places_result result = PLACES_NONE;

	names_inbox(&n, user, &inbox);
	if (inbox.n <= NAMES_MAX)
		result = places_find(fe->places, buffer_bytes(&inbox), &a, &place);
	if (result == PLACES_FOUND) {
		(void)snprintf(s->server, sizeof(s->server), "%s", place.server);
		*is_active_r = place.is_active;
	}
	buffer_fini(&inbox);
	arena_fini(&a);
	return result;
}

static void open_inbox(struct fe_pop3 *s)
{
	struct places *places = fe_pop3_frontend(s)->places;
	char address[PLACES_ADDRESS_MAX];
	bool is_active = false;
	uint64_t epoch;

	switch (find_inbox(s, &is_active)) {
	case PLACES_NONE:
		if (s->has_synced) {
			not_opened(s, "-ERR [SYS/PERM] you have no INBOX");
			return;
		}
		s->has_synced = s->is_syncing = true;
		places_sync(places, synced, s);
		return;
	case PLACES_FAILED:
		try_later(s, "the mailbox list cannot be read");
		return;
	case PLACES_FOUND:
		break;
	}
	if (!is_active)
		try_later(s, "the mailbox is being made or moved");
	else if (!places_master(places, s->server, PLACES_POP3, address, &epoch))
		try_later(s, "the server has no master that serves POP3");
	else
		s->link = pop3_link_dial(s, address);
}

void fe_pop3_link_ready(struct fe_pop3 *s, struct bytes text)
{
	struct frontend *fe = fe_pop3_frontend(s);

	log_event(LOG_DEBUG, "frontend.pop3.login", LOG_U64("conn", s->id), LOG_STR("user", s->user), LOG_STR("server", s->server));
	s->state = FPOP3_PIPE;
	conn_set_timeout(s->conn, config_number(fe->config, "pop3_timeout_s") * 1000);
	conn_write(s->conn, BYTES_LIT("+OK "));
	conn_write(s->conn, text);
	conn_write(s->conn, BYTES_LIT("\r\n"));
	conn_pause(s->conn, false);
}

void fe_pop3_link_refused(struct fe_pop3 *s, struct bytes text)
{
	struct buffer line = { 0 };

	s->link = NULL;
	buffer_add_str(&line, "-ERR ");
	buffer_add(&line, text);
	buffer_add_u8(&line, '\0');
	not_opened(s, (const char *)line.p);
	buffer_fini(&line);
}

void fe_pop3_link_lost(struct fe_pop3 *s, const char *why)
{
	s->link = NULL;
	if (s->state == FPOP3_OPENING) {
		try_later(s, why);
		return;
	}
	if (s->state == FPOP3_PIPE)
		log_event(LOG_INFO, "frontend.pop3.lost", LOG_U64("conn", s->id), LOG_STR("server", s->server), LOG_STR("why", why));
	end(s, NULL);
}

void fe_pop3_link_over(struct fe_pop3 *s)
{
	s->link = NULL;
	end(s, NULL);
}

static void begin_opening(struct fe_pop3 *s, struct bytes user)
{
	struct frontend *fe = fe_pop3_frontend(s);

	(void)atomic_fetch_add(&fe->logins, 1);
	if (!places_is_ready(fe->places)) {
		refuse(s, "-ERR [SYS/TEMP] the mailbox list is not there yet, try again later");
		return;
	}
	s->user = bytes_to_str(user);
	s->state = FPOP3_OPENING;
	s->has_synced = false;
	s->deadline_ms = loop_now_ms(s->base.shard->loop) + FRONTEND_PATIENCE_MS;
	conn_pause(s->conn, true);
	open_inbox(s);
}

/* ---- before it ---- */

static bool offers_tls(const struct fe_pop3 *s)
{
	return fe_pop3_frontend(s)->tls != NULL && !conn_is_tls(s->conn);
}

static void forget_name(struct fe_pop3 *s)
{
	free(s->name);
	s->name = NULL;
}

static void took(struct fe_pop3 *s, enum login_result result)
{
	char *name;

	switch (result) {
	case LOGIN_CONTINUE:
		conn_write(s->conn, BYTES_LIT("+ "));
		conn_write(s->conn, login_challenge(&s->login));
		conn_write(s->conn, BYTES_LIT("\r\n"));
		s->state = FPOP3_SASL;
		return;
	case LOGIN_WAITS:
		s->state = FPOP3_LOGIN;
		return;
	case LOGIN_OK:
		name = s->identity.user;
		s->identity.user = NULL;
		identity_fini(&s->identity);
		s->state = FPOP3_AUTHORIZATION;
		begin_opening(s, bytes_of(name));
		free(name);
		return;
	default:
		break;
	}
	if (result == LOGIN_REFUSED)
		(void)atomic_fetch_add(&fe_pop3_frontend(s)->login_failures, 1);
	refuse(s, result == LOGIN_REFUSED     ? "-ERR [AUTH] wrong name or password" :
	          result == LOGIN_UNAVAILABLE ? "-ERR [SYS/TEMP] logins cannot be checked now, try again later" :
	          result == LOGIN_MALFORMED   ? "-ERR not base64" :
	          result == LOGIN_ABORTED     ? "-ERR cancelled" :
	          result == LOGIN_NEEDS_TLS   ? "-ERR use STLS first" :
	                                        "-ERR that mechanism is not offered here");
	if (login_is_spent(&s->login))
		end(s, "-ERR too many failed logins");
}

static void login_done(void *arg, enum login_result result)
{
	struct fe_pop3 *s = arg;

	if (s->state != FPOP3_LOGIN)
		return;
	took(s, result);
	conn_kick(s->conn);
}

static void auth(struct fe_pop3 *s, const struct pop3_command *cmd)
{
	forget_name(s);
	took(s, login_start(&s->login, cmd->word, cmd->initial.p != NULL, cmd->initial));
}

static void user(struct fe_pop3 *s, const struct pop3_command *cmd)
{
	forget_name(s);
	if (!login_takes_passwords(&s->login)) {
		refuse(s, offers_tls(s) ? "-ERR use STLS first" : "-ERR passwords are not taken here");
	} else if (cmd->word.n > USERS_NAME_MAX) {
		refuse(s, "-ERR the name is too long");
	} else {
		s->name = bytes_to_str(cmd->word);
		reply(s, "+OK and the password?"); /* whoever it is: names are not to be found out */
	}
}

static void pass(struct fe_pop3 *s, const struct pop3_command *cmd)
{
	if (s->name == NULL)
		refuse(s, "-ERR USER first");
	else
		took(s, login_password(&s->login, bytes_of(s->name), cmd->word));
	forget_name(s);
}

/* What backends offer after the login (backend/pop3/pop3_auth.c), but for STLS. */
static void capa(struct fe_pop3 *s)
{
	struct buffer out = { 0 }, words = { 0 };

	login_mechanisms(&s->login, &words);
	buffer_add_str(&out, "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n");
	if (login_takes_passwords(&s->login))
		buffer_add_str(&out, "USER\r\n");
	if (words.n > 0)
		buffer_addf(&out, "SASL %.*s\r\n", BYTES_FMT(buffer_bytes(&words)));
	buffer_fini(&words);
	if (offers_tls(s))
		buffer_add_str(&out, "STLS\r\n");
	buffer_add_str(&out, "IMPLEMENTATION Roost\r\n.\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void stls(struct fe_pop3 *s)
{
	if (!offers_tls(s)) {
		refuse(s, fe_pop3_frontend(s)->tls == NULL ? "-ERR TLS is not configured" : "-ERR TLS is on already");
		return;
	}
	forget_name(s);
	reply(s, "+OK go ahead");
	conn_start_tls_server(s->conn, fe_pop3_frontend(s)->tls);
}

static void command(struct fe_pop3 *s, struct bytes line)
{
	struct pop3_command cmd;
	struct fault why;
	char text[256];

	if (!pop3_command_parse(line, &cmd, &why)) {
		(void)snprintf(text, sizeof(text), "-ERR %.200s", why.what);
		refuse(s, text);
		return;
	}
	switch (cmd.verb) {
	case POP3_CAPA:
		capa(s);
		break;
	case POP3_USER:
		user(s, &cmd);
		break;
	case POP3_PASS:
		pass(s, &cmd);
		break;
	case POP3_AUTH:
		auth(s, &cmd);
		break;
	case POP3_STLS:
		stls(s);
		break;
	case POP3_QUIT:
		end(s, "+OK bye");
		break;
	case POP3_UNKNOWN:
		refuse(s, "-ERR unknown command");
		break;
	default:
		refuse(s, "-ERR log in first");
		break;
	}
}

/* ---- octets ---- */

/* Tokens and proofs are longer than commands. */
static size_t line_max(const struct fe_pop3 *s, struct bytes in)
{
	size_t max = (size_t)config_number(fe_pop3_frontend(s)->config, "pop3_max_line");
	bool is_login = s->state == FPOP3_SASL || bytes_starts_nocase(in, BYTES_LIT("AUTH "));

	return is_login && max < LOGIN_LINE_MAX ? LOGIN_LINE_MAX : max;
}

static bool take_line(struct fe_pop3 *s)
{
	struct bytes in = conn_input(s->conn);
	size_t max = line_max(s, in);
	size_t n = bytes_find(bytes_sub(in, 0, max), '\n');
	struct bytes line;
	char *copy;

	if (n >= max) {
		end(s, "-ERR the line is too long");
		return false;
	}
	if (n == in.n)
		return false;
	line = bytes_sub(in, 0, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n);
	copy = bytes_to_str(line); /* the handler may start TLS, which drops the input */
	conn_consume(s->conn, n + 1);
	if (s->state == FPOP3_SASL)
		took(s, login_line(&s->login, bytes_make(copy, line.n)));
	else
		command(s, bytes_make(copy, line.n));
	explicit_bzero(copy, line.n);
	free(copy);
	return true;
}

static void on_input(struct conn *c, void *arg)
{
	struct fe_pop3 *s = arg;

	while (s->state == FPOP3_AUTHORIZATION || s->state == FPOP3_SASL) {
		if (conn_pending(c) >= CONN_OUTPUT_HIGH || !take_line(s))
			return;
	}
	if (s->state == FPOP3_PIPE && conn_input(c).n > 0) {
		if (pop3_link_write(s->link, conn_input(c)))
			conn_consume(c, conn_input(c).n);
		else
			conn_pause(c, true);
	}
}

static void on_drained(struct conn *c, void *arg)
{
	struct fe_pop3 *s = arg;

	if (s->state == FPOP3_PIPE)
		pop3_link_resume(s->link);
	else
		conn_kick(c);
}

static void on_eof(struct conn *c, void *arg)
{
	struct fe_pop3 *s = arg;

	on_input(c, s);
	if (s->state == FPOP3_PIPE)
		pop3_link_eof(s->link);
	else
		end(s, NULL);
}

static void on_timeout(struct conn *c, void *arg)
{
	struct fe_pop3 *s = arg;

	if (s->state == FPOP3_OPENING) /* it is we who are slow */
		conn_set_timeout(c, config_number(fe_pop3_frontend(s)->config, "pop3_login_timeout_s") * 1000);
	else if (s->state == FPOP3_PIPE && s->link != NULL && s->link->is_paused)
		conn_abort(c); /* it does not read */
	else if (s->state == FPOP3_PIPE)
		end(s, NULL); /* the backend's connection goes with it, and nothing is deleted */
	else
		end(s, "-ERR timeout");
}

static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct fe_pop3 *s = arg;

	(void)c;
	(void)why;
	s->is_dead = true;
	timer_free(&s->retry);
	if (s->link != NULL)
		pop3_link_drop(s->link);
	list_remove(&s->base.in_shard);
	(void)atomic_fetch_sub(&fe_pop3_frontend(s)->pop3_sessions, 1);
	login_fini(&s->login);
	identity_fini(&s->identity);
	forget_name(s);
	free(s->user);
	s->user = NULL;
	/* A list being brought up to date still knows the session: its answer frees it. */
	if (!s->is_syncing)
		free(s);
}

static const struct conn_events events = {
	.on_ready = on_ready, .on_input = on_input, .on_drained = on_drained, .on_timeout = on_timeout, .on_eof = on_eof,
	.on_closed = on_closed,
};

void fe_pop3_called(struct conn *c, void *arg)
{
	struct frontend *fe = arg;
	static const struct login_class logins = { .protocol = "pop", .done = login_done, .takes_tokens = true };
	struct fe_pop3 *s = must_calloc(1, sizeof(*s));
	struct buffer out = { 0 };

	s->conn = c;
	s->id = conn_id(c);
	login_init(&s->login, &logins, fe->login_service, c, &s->identity, s);
	s->base.shard = fe_shard_of(fe, conn_loop(c));
	s->base.farewell = farewell;
	list_push(&s->base.shard->sessions, &s->base.in_shard);
	(void)atomic_fetch_add(&fe->pop3_sessions, 1);
	conn_set_events(c, &events, s);
	conn_set_timeout(c, config_number(fe->config, "pop3_login_timeout_s") * 1000);
	if (s->base.shard->is_ending) {
		farewell(&s->base);
		return;
	}
	buffer_addf(&out, "+OK %s Roost POP3 ready\r\n", fe->name);
	conn_write(c, buffer_bytes(&out));
	buffer_fini(&out);
}
