/* dir_session.c - a connection to the mupdate server: banner, framing, authentication, STARTTLS.
 *
 * Path: banner; AUTHENTICATE (or STARTTLS, then the banner again); then each complete line goes to dir_command().
 * Malformed lines are answered BAD; ten in a row, or a string over the limit, end the connection with BYE. */
#include "dir_session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "base64.h"
#include "log.h"
#include "policy.h"

#define FAILURES_MAX 10
#define LOGIN_MS 60000
#define INPUT_PAUSE_AT CONN_OUTPUT_HIGH

struct dir_session *dir_session_find(struct directory *d, uint64_t id)
{
	return map_get_u64(&d->sessions, id);
}

void dir_answer(struct dir_session *s, struct bytes tag, const char *status, const char *text)
{
	struct buffer out = { 0 };

	buffer_add(&out, tag.n > 0 ? tag : BYTES_LIT("*"));
	buffer_addf(&out, " %s", status);
	mupdate_add_text(&out, bytes_of(text));
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static bool may_send_plain(const struct dir_session *s)
{
	return auth_may_send_plain(s->dir->config, conn_is_tls(s->conn), conn_is_loopback(s->conn));
}

static void send_banner(struct dir_session *s)
{
	struct buffer out = { 0 };
	struct bytes rest = bytes_of(auth_mechanisms(may_send_plain(s)));
	char host[256] = "localhost";

	(void)gethostname(host, sizeof(host) - 1);
	buffer_add_str(&out, "* AUTH");
	while (rest.n > 0) {
		size_t n = bytes_find(rest, ' ');

		mupdate_add_text(&out, bytes_sub(rest, 0, n));
		rest = bytes_from(rest, n + 1);
	}
	buffer_add_str(&out, "\r\n");
	if (s->dir->tls != NULL && !conn_is_tls(s->conn))
		buffer_add_str(&out, "* STARTTLS\r\n");
	buffer_add_str(&out, "* PARTIAL-UPDATE\r\n* X-ROOST \"1\"\r\n* OK MUPDATE");
	mupdate_add_text(&out, bytes_of(host));
	buffer_add_str(&out, " \"Roost\" \"0.1.0\" \"(master)\"\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void end_with(struct dir_session *s, const char *text)
{
	dir_answer(s, BYTES_LIT("*"), "BYE", text);
	conn_close(s->conn);
}

static void bad(struct dir_session *s, struct bytes tag, const char *text)
{
	dir_answer(s, tag, "BAD", text);
	if (++s->failures >= FAILURES_MAX)
		end_with(s, "too many errors");
}

static void set_identity(struct dir_session *s)
{
	const struct config *cfg = s->dir->config;
	struct bytes authcid = sasl_server_authcid(s->sasl);
	struct bytes authzid = sasl_server_authzid(s->sasl);
	struct bytes who = auth_may_act_as(cfg, authcid, authzid) ? authzid : authcid;
	const char *server;
	struct bytes member;

	s->account = bytes_to_str(authcid);
	s->authzid = bytes_to_str(authzid);
	s->is_admin = auth_is_admin(cfg, who);
	s->is_proxy = auth_is_proxy(cfg, authcid);
	if (!s->is_admin && dir_foreign_member(cfg, authcid, &server, &member)) {
		s->server = must_strdup(server);
		s->member = bytes_to_str(member);
	} else if (!s->is_admin && config_has_word(cfg, "servers", authcid)) {
		s->server = bytes_to_str(authcid);
	}
}

static void auth_over(struct dir_session *s, bool is_ok, const char *text)
{
	struct bytes tag = bytes_of(s->auth_tag);

	if (is_ok && !s->is_admin && !s->is_proxy && s->server == NULL) {
		is_ok = false;
		text = "this account has no business here";
	}
	if (is_ok) {
		dir_answer(s, tag, "OK", "Authenticated");
		(void)atomic_fetch_add(&s->dir->logins, 1);
		conn_set_timeout(s->conn, 0);
		log_event(LOG_DEBUG, "directory.session.authenticated", LOG_U64("conn", s->id), LOG_STR("account", s->account),
		          LOG_STR("as", s->authzid));
	} else {
		log_event(LOG_INFO, "directory.login.refused", LOG_U64("conn", s->id), LOG_STR("peer", conn_peer(s->conn)),
		          LOG_STR("why", text));
		free(s->account);
		s->account = NULL;
		dir_answer(s, tag, "NO", "authentication failed");
		if (++s->failures >= FAILURES_MAX)
			end_with(s, "too many errors");
	}
	sasl_server_free(&s->sasl);
	s->sasl_has_won = false;
	free(s->auth_tag);
	s->auth_tag = NULL;
}

static void send_challenge(struct dir_session *s, struct bytes raw)
{
	struct buffer out = { 0 };

	base64_encode(&out, raw);
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void auth_step(struct dir_session *s, bool has_response, struct bytes response)
{
	struct buffer out = { 0 };
	struct fault why;

	if (s->sasl_has_won) {
		set_identity(s);
		auth_over(s, true, "");
		return;
	}
	switch (sasl_server_step(s->sasl, has_response, response, &out, &why)) {
	case SASL_MORE:
		send_challenge(s, buffer_bytes(&out));
		break;
	case SASL_OK:
		if (out.n > 0) {
			/* SCRAM's last words; success carries no data in MUPDATE. */
			s->sasl_has_won = true;
			send_challenge(s, buffer_bytes(&out));
			break;
		}
		set_identity(s);
		auth_over(s, true, "");
		break;
	case SASL_FAIL:
		auth_over(s, false, why.what);
		break;
	}
	buffer_fini(&out);
}

/* RFC 3656 section 4.1. */
static void authenticate(struct dir_session *s, const struct mupdate_line *line)
{
	struct buffer initial = { 0 };
	struct bytes mechanism = line->args[0];

	if (line->count < 1 || line->count > 2) {
		bad(s, line->tag, "Missing arguments");
		return;
	}
	if (!may_send_plain(s) && !bytes_equal_nocase_str(mechanism, "SCRAM-SHA-256")) {
		dir_answer(s, line->tag, "NO", "that mechanism needs TLS first");
		return;
	}
	s->sasl = sasl_server_new(s->dir->users, mechanism);
	if (s->sasl == NULL) {
		dir_answer(s, line->tag, "NO", "no such mechanism");
		return;
	}
	s->auth_tag = bytes_to_str(line->tag);
	if (line->count == 2 && !base64_decode(&initial, line->args[1]))
		auth_over(s, false, "not base64");
	else
		auth_step(s, line->count == 2, buffer_bytes(&initial));
	buffer_fini(&initial);
}

/* A client's answer within AUTHENTICATE: a line of base64, bare or as a string. False: it is not complete. */
static bool take_auth_answer(struct dir_session *s)
{
	struct bytes in = conn_input(s->conn);
	size_t n = bytes_find(in, '\n');
	struct bytes text = bytes_trim(bytes_sub(in, 0, n));
	struct buffer raw = { 0 };

	if (n == in.n) {
		if (in.n > MUPDATE_LINE_MAX)
			end_with(s, "the answer is too long");
		return false;
	}
	if (text.n > 0 && text.p[0] == '{') {
		/* A literal: its line announces it, the next holds it. */
		size_t next = bytes_find(bytes_from(in, n + 1), '\n');

		if (n + 1 + next >= in.n)
			return false;
		text = bytes_trim(bytes_sub(in, n + 1, next));
		n += 1 + next;
	} else if (text.n >= 2 && text.p[0] == '"') {
		text = bytes_sub(text, 1, text.n - 2);
	}
	if (bytes_equal_str(text, "*"))
		auth_over(s, false, "cancelled");
	else if (!base64_decode(&raw, text))
		auth_over(s, false, "not base64");
	else
		auth_step(s, true, buffer_bytes(&raw));
	buffer_fini(&raw);
	conn_consume(s->conn, n + 1);
	return true;
}

static bool before_login(struct dir_session *s, const struct mupdate_line *line)
{
	if (bytes_equal_str(line->word, "AUTHENTICATE")) {
		authenticate(s, line);
	} else if (bytes_equal_str(line->word, "LOGOUT")) {
		dir_answer(s, line->tag, "OK", "bye-bye");
		conn_close(s->conn);
		return false;
	} else if (bytes_equal_str(line->word, "STARTTLS") && s->dir->tls != NULL && !conn_is_tls(s->conn)) {
		dir_answer(s, line->tag, "OK", "Begin TLS negotiation now");
		s->starts_tls = true;
		return false;
	} else {
		bad(s, line->tag, "Please login first");
	}
	return true;
}

/* Whether the session may take a command: not while a list is being sent or much output waits. */
static bool may_take(const struct dir_session *s)
{
	return s->list_kind == LIST_NONE && s->writes < DIR_WRITES_MAX && conn_pending(s->conn) < INPUT_PAUSE_AT;
}

static bool take_line(struct dir_session *s)
{
	struct bytes in = conn_input(s->conn);
	struct mupdate_line line;
	struct fault why;
	size_t used;
	bool go_on = true;

	switch (mupdate_line_parse(in, (size_t)config_number(s->dir->config, "mupdate_max_string"), &s->arena, &line, &used,
	                           &why)) {
	case MUPDATE_MORE:
		conn_want(s->conn, in.n + 1);
		return false;
	case MUPDATE_GO_AHEAD:
		if (s->go_ahead_at != in.n) {
			s->go_ahead_at = in.n;
			conn_write(s->conn, BYTES_LIT("+ go ahead\r\n"));
		}
		return false;
	case MUPDATE_LIMIT:
		end_with(s, why.what);
		return false;
	case MUPDATE_BAD:
		bad(s, line.tag, why.what);
		break;
	case MUPDATE_OK:
		(void)atomic_fetch_add(&s->dir->commands, 1);
		if (s->account == NULL)
			go_on = before_login(s, &line);
		else
			go_on = dir_command(s, &line);
		if (!go_on && s->writes > 0 && s->list_kind == LIST_NONE)
			return false; /* it waits for the writes before it: the line stays */
		break;
	}
	s->go_ahead_at = 0;
	conn_want(s->conn, 0);
	conn_consume(s->conn, used);
	if (s->starts_tls) {
		s->starts_tls = false;
		conn_start_tls_server(s->conn, s->dir->tls);
	}
	return go_on;
}

static void on_input(struct conn *c, void *arg)
{
	struct dir_session *s = arg;

	(void)c;
	while (may_take(s) && conn_input(s->conn).n > 0) {
		bool go_on = s->sasl != NULL ? take_auth_answer(s) : take_line(s);

		arena_fini(&s->arena);
		if (!go_on)
			break;
	}
}

void dir_session_resume(struct dir_session *s)
{
	conn_kick(s->conn);
}

static void on_drained(struct conn *c, void *arg)
{
	struct dir_session *s = arg;

	(void)c;
	if (s->list_kind != LIST_NONE)
		dir_list_go_on(s);
	else
		dir_session_resume(s);
}

static void on_secured(struct conn *c, void *arg)
{
	(void)c;
	send_banner(arg);
}

static void on_timeout(struct conn *c, void *arg)
{
	(void)c;
	end_with(arg, "no login in time");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct dir_session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "directory.session.lost", LOG_U64("conn", s->id), LOG_FAULT(why));
	dir_left(s);
	(void)map_take_u64(&s->dir->sessions, s->id);
	(void)atomic_fetch_sub(&s->dir->session_count, 1);
	if (s->is_streaming)
		(void)atomic_fetch_sub(&s->dir->follower_count, 1);
	list_remove(&s->follower);
	list_remove(&s->watcher);
	sasl_server_free(&s->sasl);
	arena_fini(&s->arena);
	buffer_fini(&s->list_at);
	buffer_fini(&s->held);
	for (size_t i = 0; i < s->filter_count; i++)
		free(s->filters[i]);
	free(s->account);
	free(s->authzid);
	free(s->auth_tag);
	free(s->server);
	free(s->member);
	free(s->front);
	free(s->list_tag);
	free(s);
}

static const struct conn_events events = {
	.on_ready = on_secured,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_timeout = on_timeout,
	.on_closed = on_closed,
};

void dir_session_called(struct conn *c, void *arg)
{
	struct directory *d = arg;
	struct dir_session *s = must_calloc(1, sizeof(*s));

	s->dir = d;
	s->conn = c;
	s->id = conn_id(c);
	list_init(&s->follower);
	list_init(&s->watcher);
	(void)map_put_u64(&d->sessions, s->id, s);
	(void)atomic_fetch_add(&d->session_count, 1);
	conn_set_events(c, &events, s);
	conn_set_timeout(c, LOGIN_MS);
	if (d->is_stopping)
		conn_abort(c);
	else
		send_banner(s);
}
