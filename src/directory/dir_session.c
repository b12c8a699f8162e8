/* dir_session.c - a connection to the mupdate server: banner, framing, authentication, STARTTLS.
 *
 * Path: banner; AUTHENTICATE (or STARTTLS, then the banner again); then each complete line goes to dir_command().
 * Malformed lines are answered BAD; ten in a row, a string over the limit, or no authentication within
 * mupdate_login_timeout_s, end the connection with BYE. Whoever has not authenticated gets little memory. */
#include "dir_session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "dir_members.h"
#include "log.h"
#include "policy.h"

#define FAILURES_MAX 10
#define INPUT_PAUSE_AT CONN_OUTPUT_HIGH
/* Longest line before authentication. */
#define BEFORE_LOGIN_MAX (32 * 1024)
/* A line whose end is not there is read again, to see if it has grown too long, whenever it has grown so much. */
#define LOOK_AGAIN 4096

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

static void send_banner(struct dir_session *s)
{
	struct buffer out = { 0 }, words = { 0 };
	struct bytes rest;
	char host[256] = "localhost";

	(void)gethostname(host, sizeof(host) - 1);
	login_mechanisms(&s->login, &words);
	rest = buffer_bytes(&words);
	buffer_add_str(&out, "* AUTH");
	while (rest.n > 0) {
		size_t n = bytes_find(rest, ' ');

		mupdate_add_text(&out, bytes_sub(rest, 0, n));
		rest = bytes_from(rest, n + 1);
	}
	buffer_fini(&words);
	buffer_add_str(&out, "\r\n");
	if (s->dir->tls != NULL && !conn_is_tls(s->conn))
		buffer_add_str(&out, "* STARTTLS\r\n");
	buffer_add_str(&out, "* COMPRESS \"DEFLATE\"\r\n* PARTIAL-UPDATE\r\n");
	if (!s->dir->is_follower)
		buffer_add_str(&out, "* X-ROOST \"1\"\r\n");
	buffer_add_str(&out, "* OK MUPDATE");
	mupdate_add_text(&out, bytes_of(host));
	buffer_add_str(&out, " \"Roost\" \"0.1.0\"");
	mupdate_add_text(&out, bytes_of(s->dir->url));
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void end_with(struct dir_session *s, const char *text)
{
	dir_answer(s, BYTES_LIT("*"), "BYE", text);
	s->is_over = true;
	conn_close(s->conn);
}

static bool count_failure(struct dir_session *s)
{
	if (++s->failures >= FAILURES_MAX)
		end_with(s, "too many errors");
	return !s->is_over;
}

bool dir_bad(struct dir_session *s, struct bytes tag, const char *text)
{
	dir_answer(s, tag, "BAD", text);
	return count_failure(s);
}

void dir_logout(struct dir_session *s, struct bytes tag)
{
	/* RFC 3656 section 4.7. Cyrus's server says OK, and its clients take either. */
	dir_answer(s, tag, "BYE", "bye-bye");
	s->is_over = true;
	conn_close(s->conn);
}

/* Whether who has proved itself has any business here; what it is to us is noted. */
static bool may_enter(void *arg, struct fault *why)
{
	struct dir_session *s = arg;
	const struct config *cfg = s->dir->config;
	struct bytes authcid = bytes_of(s->identity.authcid), authzid = bytes_of(s->identity.user);
	struct bytes who = auth_may_act_as(cfg, authcid, authzid) ? authzid : authcid;
	const char *server;
	struct bytes member;

	s->is_admin = auth_is_admin(cfg, who);
	s->is_proxy = s->identity.is_proxy;
	if (!s->is_admin && dir_members_find(cfg, authcid, conn_peer(s->conn), &server, &member)) {
		s->server = must_strdup(server);
		s->member = bytes_to_str(member);
	} else if (!s->is_admin && config_has_word(cfg, "servers", authcid)) {
		s->server = bytes_to_str(authcid);
	}
	return s->is_admin || s->is_proxy || s->server != NULL ||
	       fault_set(why, FAULT_CLIENT, "this account has no business here");
}

static void logged_in(struct dir_session *s)
{
	s->account = s->identity.authcid;
	s->authzid = s->identity.user;
	s->identity = (struct identity){ 0 };
	dir_answer(s, bytes_of(s->auth_tag), "OK", "Authenticated");
	(void)atomic_fetch_add(&s->dir->logins, 1);
	timer_free(&s->login_deadline);
	log_event(LOG_DEBUG, "directory.session.authenticated", LOG_U64("conn", s->id), LOG_STR("account", s->account),
	          LOG_STR("as", s->authzid));
}

static void took(struct dir_session *s, enum login_result result)
{
	s->is_login_waiting = result == LOGIN_WAITS;
	s->is_authenticating = result == LOGIN_CONTINUE;
	if (result == LOGIN_WAITS)
		return;
	if (result == LOGIN_CONTINUE) {
		conn_write(s->conn, login_challenge(&s->login));
		conn_write(s->conn, BYTES_LIT("\r\n"));
		return;
	}
	if (result == LOGIN_OK) {
		logged_in(s);
	} else {
		dir_answer(s, bytes_of(s->auth_tag), "NO", result == LOGIN_NEEDS_TLS   ? "that mechanism needs TLS first" :
		                                           result == LOGIN_UNKNOWN     ? "no such mechanism" :
		                                           result == LOGIN_UNAVAILABLE ? "too many attempts, try again later" :
		                                                                         "authentication failed");
		if (login_is_spent(&s->login))
			end_with(s, "too many failed logins");
		else if (result != LOGIN_NEEDS_TLS && result != LOGIN_UNKNOWN)
			(void)count_failure(s);
	}
	free(s->auth_tag);
	s->auth_tag = NULL;
}

static void login_done(void *arg, enum login_result result)
{
	struct dir_session *s = arg;

	if (s->is_over)
		return;
	took(s, result);
	dir_session_resume(s);
}

/* RFC 3656 section 4.1. */
static void authenticate(struct dir_session *s, const struct mupdate_line *line)
{
	if (line->count < 1 || line->count > 2 || line->has_atom) {
		(void)dir_bad(s, line->tag, line->count > 2 ? "Too many arguments" : "Missing arguments");
		return;
	}
	s->auth_tag = bytes_to_str(line->tag);
	took(s, login_start(&s->login, line->args[0], line->count == 2, line->count == 2 ? line->args[1] : BYTES_NONE));
}

static void send_go_ahead(struct dir_session *s, size_t at)
{
	if (s->go_ahead_at != at)
		conn_write(s->conn, BYTES_LIT("+ go ahead\r\n"));
	s->go_ahead_at = at;
}

/* TEXT announces a literal; its line's LF is at *END of the input. Base64 has no line's end in it: the line that follows
 * is the literal. False: it is not there yet. */
static bool take_auth_literal(struct dir_session *s, struct bytes in, struct bytes *text, size_t *end)
{
	struct bytes rest = bytes_from(in, *end + 1);
	size_t n = bytes_find(rest, '\n');

	if (rest.n == 0 && !bytes_ends(*text, BYTES_LIT("+}")))
		send_go_ahead(s, in.n);
	if (n == rest.n)
		return false;
	*text = bytes_trim(bytes_sub(rest, 0, n));
	*end += n + 1;
	return true;
}

/* A client's answer within AUTHENTICATE: a line of base64, bare or as a string. False: it is not complete. */
static bool take_auth_answer(struct dir_session *s)
{
	struct bytes in = conn_input(s->conn);
	size_t n = bytes_find(in, '\n');
	struct bytes text = bytes_trim(bytes_sub(in, 0, n));

	if (n == in.n)
		return false;
	if (text.n > 0 && text.p[0] == '{') {
		if (!take_auth_literal(s, in, &text, &n))
			return false;
	} else if (text.n >= 2 && text.p[0] == '"') {
		text = bytes_sub(text, 1, text.n - 2);
	}
	took(s, login_line(&s->login, text));
	s->go_ahead_at = 0;
	conn_consume(s->conn, n + 1);
	return true;
}

/* RFC 3656 section 4.10. */
static bool start_tls(struct dir_session *s, struct bytes tag)
{
	if (s->dir->tls == NULL)
		return dir_bad(s, tag, "STARTTLS is not to be had here");
	if (conn_is_tls(s->conn)) {
		dir_answer(s, tag, "NO", "TLS is active already");
		return count_failure(s);
	}
	dir_answer(s, tag, "OK", "Begin TLS negotiation now");
	s->starts_tls = true;
	return false;
}

static bool before_login(struct dir_session *s, const struct mupdate_line *line)
{
	bool is_bare = line->count == 0;

	if (bytes_equal_str(line->word, "AUTHENTICATE")) {
		authenticate(s, line);
	} else if (bytes_equal_str(line->word, "LOGOUT") && is_bare) {
		dir_logout(s, line->tag);
	} else if (bytes_equal_str(line->word, "STARTTLS") && is_bare) {
		return start_tls(s, line->tag);
	} else if (bytes_equal_str(line->word, "LOGOUT") || bytes_equal_str(line->word, "STARTTLS")) {
		return dir_bad(s, line->tag, "Too many arguments");
	} else {
		dir_answer(s, line->tag, "NO", "Please login first");
		return count_failure(s);
	}
	return !s->is_over;
}

/* Whether the session may take a command: not while a list is being sent or much output waits. */
static bool may_take(const struct dir_session *s)
{
	return !s->is_over && !s->is_login_waiting && s->list_kind == LIST_NONE && s->writes < DIR_WRITES_MAX && conn_pending(s->conn) < INPUT_PAUSE_AT;
}

/* Whether the input may be a whole line by now. Who sends octet by octet does not have it read anew for each. */
static bool may_be_line(struct dir_session *s, struct bytes in)
{
	size_t seen = s->looked_at;

	if (seen > 0 && in.n - seen < LOOK_AGAIN && bytes_find(bytes_from(in, seen), '\n') == in.n - seen)
		return false;
	s->looked_at = in.n;
	return true;
}

static bool take_line(struct dir_session *s)
{
	struct bytes in = conn_input(s->conn);
	struct mupdate_line line;
	struct fault why;
	size_t used;
	bool go_on = true;

	if (!may_be_line(s, in)) {
		conn_want(s->conn, in.n + 1);
		return false;
	}
	switch (mupdate_line_parse(in, (size_t)config_number(s->dir->config, "mupdate_max_string"), &s->arena, &line, &used,
	                           &why)) {
	case MUPDATE_MORE:
		conn_want(s->conn, used);
		return false;
	case MUPDATE_GO_AHEAD:
		send_go_ahead(s, in.n);
		conn_want(s->conn, used);
		return false;
	case MUPDATE_LIMIT:
		end_with(s, why.what);
		return false;
	case MUPDATE_BAD:
		s->looked_at = 0;
		if (s->writes > 0)
			return false;
		go_on = dir_bad(s, line.tag, why.what);
		break;
	case MUPDATE_OK:
		s->looked_at = 0;
		if (s->account == NULL)
			go_on = before_login(s, &line);
		else
			go_on = dir_command(s, &line);
		if (!go_on && s->writes > 0 && s->list_kind == LIST_NONE)
			return false; /* it waits for the writes before it: the line stays */
		(void)atomic_fetch_add(&s->dir->commands, 1);
		break;
	}
	s->go_ahead_at = 0;
	conn_want(s->conn, 0);
	conn_consume(s->conn, used);
	if (s->starts_tls) {
		s->starts_tls = false;
		conn_start_tls_server(s->conn, s->dir->tls);
	}
	if (s->starts_compress) {
		s->starts_compress = false;
		conn_start_compress(s->conn);
	}
	return go_on;
}

static void on_input(struct conn *c, void *arg)
{
	struct dir_session *s = arg;

	(void)c;
	while (may_take(s) && conn_input(s->conn).n > 0) {
		bool go_on = s->is_authenticating ? take_auth_answer(s) : take_line(s);

		arena_fini(&s->arena);
		if (!go_on)
			break;
	}
	if (s->account == NULL && !s->is_over && conn_input(s->conn).n > BEFORE_LOGIN_MAX)
		end_with(s, "a line is too long");
	if (s->has_eof && s->writes == 0 && may_take(s))
		conn_close(s->conn); /* what is left is no whole line and will not become one */
}

void dir_session_resume(struct dir_session *s)
{
	if (s->has_eof) {
		conn_want(s->conn, 0);
		if (conn_input(s->conn).n == 0)
			on_input(s->conn, s);
	}
	conn_kick(s->conn);
}

static void on_eof(struct conn *c, void *arg)
{
	struct dir_session *s = arg;

	(void)c;
	s->has_eof = true;
	dir_session_resume(s);
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

static void login_late(void *arg)
{
	end_with(arg, "no login in time");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct dir_session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(why->kind == FAULT_CLIENT ? LOG_INFO : LOG_DEBUG, "directory.session.lost", LOG_U64("conn", s->id), LOG_FAULT(why));
	timer_free(&s->login_deadline);
	dir_left(s);
	(void)map_take_u64(&s->dir->sessions, s->id);
	(void)atomic_fetch_sub(&s->dir->session_count, 1);
	if (s->is_streaming)
		(void)atomic_fetch_sub(&s->dir->follower_count, 1);
	list_remove(&s->follower);
	list_remove(&s->watcher);
	login_fini(&s->login);
	identity_fini(&s->identity);
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

void dir_sessions_end(struct directory *d, const char *text)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&d->sessions, &it, &key, &value))
		end_with(value, text);
}

static const struct conn_events events = {
	.on_ready = on_secured,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_closed = on_closed,
};

void dir_session_called(struct conn *c, void *arg)
{
	struct directory *d = arg;
	static const struct login_class logins = { .protocol = "mupdate", .done = login_done, .may = may_enter, .takes_any_authzid = true };
	struct dir_session *s = must_calloc(1, sizeof(*s));

	s->dir = d;
	s->conn = c;
	login_init(&s->login, &logins, d->login_service, c, &s->identity, s);
	s->id = conn_id(c);
	list_init(&s->follower);
	list_init(&s->watcher);
	(void)map_put_u64(&d->sessions, s->id, s);
	(void)atomic_fetch_add(&d->session_count, 1);
	conn_set_events(c, &events, s);
	s->login_deadline = timer_new(d->loop, login_late, s);
	timer_start(s->login_deadline, config_number(d->config, "mupdate_login_timeout_s") * 1000, 0);
	if (d->is_stopping)
		conn_abort(c);
	else if (d->is_out_of_reach)
		end_with(s, d->is_follower ? "the list of mailboxes is not here yet; try another mupdate server" :
		                             "the directory's store is out of reach; try another mupdate server");
	else
		send_banner(s);
}
