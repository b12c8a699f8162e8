/* fe_imap_session.c - the client's side of a proxied session: framing, and what is done with each command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_writer.h"
#include "log.h"

#define FAILURES_MAX 10
/* A command of so many octets is not counted against max_inflight. */
#define SMALL_COMMAND (64 * 1024)
#define TAG_MAX 64
#define LINE_BEFORE_LOGIN 16384
#define LITERAL_BEFORE_LOGIN 4096
#define COMMAND_BEFORE_LOGIN 32768

struct frontend *fe_imap_frontend(const struct fe_imap *s)
{
	return s->base.shard->fe;
}

void fe_imap_answer(struct fe_imap *s, struct bytes tag, const char *status, const char *text)
{
	struct buffer out = { 0 };

	buffer_add(&out, tag);
	buffer_addf(&out, " %s ", status);
	imap_write_text(&out, bytes_of(text));
	buffer_add_str(&out, "\r\n");
	fe_imap_write(s, buffer_bytes(&out));
	buffer_fini(&out);
}

void fe_imap_tagged(struct fe_imap *s, const char *status, const char *text)
{
	fe_imap_answer(s, s->cmd.tag, status, text);
}

void fe_imap_bye(struct fe_imap *s, const char *text)
{
	if (s->is_dead)
		return;
	s->is_leaving = true;
	fe_imap_say(s, "* BYE %s", text);
	conn_close(s->conn);
}

static void farewell(struct fe_session *base)
{
	fe_imap_bye(LIST_OBJECT(base, struct fe_imap, base), "[UNAVAILABLE] the frontend is stopping");
}

void fe_imap_replace_raw(struct fe_imap *s, struct buffer *to)
{
	/* The parsed command borrows from the old octets: they stay until it is done. */
	arena_on_free(&s->arena, free, s->raw.p);
	s->raw = *to;
	*to = (struct buffer){ 0 };
}

/* Count what a large command holds, N octets, against what all may hold together. False: it is too much now. */
bool fe_imap_hold(struct fe_imap *s, size_t n)
{
	if (n > s->held && !fe_inflight(fe_imap_frontend(s), (int64_t)(n - s->held)))
		return false;
	if (n < s->held)
		(void)fe_inflight(fe_imap_frontend(s), -(int64_t)(s->held - n));
	s->held = n;
	return true;
}

void fe_imap_op_done(struct fe_imap *s)
{
	(void)fe_imap_hold(s, 0);
	timer_free(&s->retry);
	fe_copy_free(s);
	fe_esearch_free(s);
	fe_notify_end_job(s);
	fe_list_free(s);
	s->own_tag = BYTES_NONE;
	buffer_fini(&s->raw);
	buffer_fini(&s->final);
	arena_fini(&s->arena);
	s->has_op = s->is_sent = s->has_passed = s->is_local_idle = s->is_idling = s->has_synced = false;
	s->op_link = NULL;
	s->own = NULL;
	conn_kick(s->conn);
}

static void cmd_namespace(struct fe_imap *s)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, "* NAMESPACE ");
	names_write_namespace(&s->names, &out);
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
	fe_imap_tagged(s, "OK", "done");
}

/* What a backend answers, or several do. */
static void forward(struct fe_imap *s)
{
	const struct imap_command *c = &s->cmd;

	switch (c->verb) {
	case IMAP_LSUB:
	case IMAP_SUBSCRIBE:
	case IMAP_UNSUBSCRIBE:
		fe_imap_forward_to_inbox(s);
		return;
	case IMAP_GETMETADATA:
	case IMAP_SETMETADATA:
		fe_imap_forward_metadata(s);
		return;
	case IMAP_CREATE:
		fe_imap_forward_create(s);
		return;
	case IMAP_GETQUOTA:
	case IMAP_GETQUOTAROOT:
	case IMAP_SETQUOTA:
		fe_imap_forward_quota(s);
		return;
	case IMAP_COPY:
	case IMAP_MOVE:
		fe_imap_forward_copy(s);
		return;
	case IMAP_APPEND:
	case IMAP_REPLACE:
		if (fe_url_has_any(c))
			fe_url_begin(s);
		else
			fe_imap_forward_append(s);
		return;
	case IMAP_GENURLAUTH:
	case IMAP_URLFETCH:
		fe_url_begin(s);
		return;
	case IMAP_RESETKEY:
		if (c->mailbox.p == NULL)
			fe_url_reset_begin(s);
		else
			fe_imap_forward_by_mailbox(s, c->mailbox);
		return;
	case IMAP_CANCELUPDATE:
	case IMAP_CHECK:
	case IMAP_CLOSE:
	case IMAP_EXPUNGE:
	case IMAP_FETCH:
	case IMAP_SEARCH:
	case IMAP_SORT:
	case IMAP_STORE:
	case IMAP_THREAD:
	case IMAP_UNSELECT:
		fe_imap_forward_selected(s);
		return;
	default:
		fe_imap_forward_by_mailbox(s, c->mailbox);
		return;
	}
}

/* Start handling; false where it goes on later (then fe_imap_op_done() follows). */
static bool dispatch(struct fe_imap *s)
{
	const struct imap_command *c = &s->cmd;

	if ((s->features & IMAP_F_UIDONLY) != 0 && imap_command_uses_numbers(c)) {
		fe_imap_tagged(s, "BAD", "[UIDREQUIRED] " IMAP_UIDREQUIRED);
		return true;
	}
	if ((imap_command_enables(c) & ~s->features) != 0) {
		s->features |= imap_command_enables(c);
		fe_imap_enable_all(s);
	}
	switch (c->verb) {
	case IMAP_CAPABILITY:
		fe_imap_cmd_capability(s);
		return true;
	case IMAP_LOGIN:
		fe_imap_cmd_login(s);
		return true;
	case IMAP_AUTHENTICATE:
		fe_imap_cmd_authenticate(s);
		return true;
	case IMAP_STARTTLS:
		if (fe_imap_frontend(s)->tls == NULL || conn_is_tls(s->conn))
			fe_imap_tagged(s, "BAD", "not offered");
		else
			fe_imap_tagged(s, "OK", "begin TLS");
		return true;
	case IMAP_LOGOUT:
		fe_imap_say(s, "* BYE logging out");
		fe_imap_tagged(s, "OK", "bye");
		s->is_leaving = true;
		conn_close(s->conn);
		return true;
	case IMAP_ID:
		fe_imap_say(s, "* ID (\"name\" \"Roost\" \"version\" \"0.1.0\")");
		fe_imap_tagged(s, "OK", "done");
		return true;
	case IMAP_ENABLE:
		return fe_imap_enable(s);
	case IMAP_COMPRESS:
		if (!bytes_equal_nocase_str(c->mechanism, "DEFLATE"))
			fe_imap_tagged(s, "NO", "[CANNOT] only DEFLATE is offered");
		else if (conn_is_compressed(s->conn))
			fe_imap_tagged(s, "NO", "[COMPRESSIONACTIVE] DEFLATE is on already");
		else
			fe_imap_tagged(s, "OK", "DEFLATE from here on");
		return true;
	case IMAP_UNAUTHENTICATE:
		fe_imap_cmd_unauthenticate(s);
		return true;
	case IMAP_NAMESPACE:
		cmd_namespace(s);
		return true;
	case IMAP_ESEARCH:
		fe_esearch_begin(s);
		return false;
	case IMAP_XAUTOCREATE:
		fe_imap_tagged(s, "BAD", "unknown command");
		return true;
	case IMAP_LIST:
		fe_list_begin(s);
		return false;
	case IMAP_NOTIFY:
		fe_notify_begin(s);
		return false;
	case IMAP_NOOP:
		if (s->selected == NULL) {
			fe_imap_tagged(s, "OK", "done");
			return true;
		}
		fe_imap_forward_selected(s);
		return false;
	case IMAP_IDLE:
		if (s->selected == NULL) {
			s->is_local_idle = s->is_idling = true;
			fe_imap_say(s, "+ idling");
		} else {
			s->is_idling = true;
			fe_imap_forward_selected(s);
		}
		return false;
	case IMAP_SELECT:
	case IMAP_EXAMINE:
		if (c->qresync != NULL && (s->features & IMAP_F_QRESYNC) == 0) {
			fe_imap_tagged(s, "BAD", "QRESYNC needs ENABLE QRESYNC"); /* and the selected mailbox stays it */
			return true;
		}
		forward(s);
		return false;
	default:
		forward(s);
		return false;
	}
}

static void bad(struct fe_imap *s, struct bytes tag, const char *text)
{
	fe_imap_answer(s, tag, "BAD", text);
	if (++s->failures >= FAILURES_MAX)
		fe_imap_bye(s, "too many errors");
}

static unsigned state_of(const struct fe_imap *s)
{
	return s->user == NULL ? IMAP_ST_NOT_AUTHED : s->selected != NULL ? IMAP_ST_SELECTED : IMAP_ST_AUTHED;
}

static void take_command(struct fe_imap *s, struct bytes octets)
{
	const struct config *cfg = fe_imap_frontend(s)->config;
	const struct imap_command_limits limits = { (size_t)config_number(cfg, "imap_max_list"),
		                                    (size_t)config_number(cfg, "imap_max_depth") };
	struct fault why;
	bool is_starttls, is_compress;

	(void)atomic_fetch_add(&fe_imap_frontend(s)->commands, 1);
	/* The command outlives the input buffer: its octets are copied first, then parsed where they stay. */
	imap_framer_add_non_sync(&s->raw, octets);
	switch (imap_command_parse(buffer_bytes(&s->raw), &limits, &s->arena, &s->cmd, &why)) {
	case IMAP_PARSE_OK:
		break;
	case IMAP_PARSE_UNKNOWN:
	case IMAP_PARSE_BAD:
		bad(s, s->cmd.tag, why.what);
		conn_consume(s->conn, octets.n);
		fe_imap_op_done(s);
		return;
	}
	conn_consume(s->conn, octets.n);
	if ((s->cmd.row->states & state_of(s)) == 0) {
		bad(s, s->cmd.tag, s->user == NULL ? "log in first" : (s->cmd.row->states & IMAP_ST_NOT_AUTHED) != 0 ?
		                   "logged in already" : "select a mailbox first");
		fe_imap_op_done(s);
		return;
	}
	s->failures = 0;
	if (s->user != NULL && s->cmd.verb != IMAP_CAPABILITY && s->told_version != capabilities_version(fe_imap_frontend(s)->capabilities))
		fe_imap_tell_capabilities(s);
	s->has_op = true;
	s->deadline_ms = loop_now_ms(s->base.shard->loop) + FRONTEND_PATIENCE_MS;
	is_starttls = s->cmd.verb == IMAP_STARTTLS && fe_imap_frontend(s)->tls != NULL && !conn_is_tls(s->conn);
	is_compress = s->cmd.verb == IMAP_COMPRESS && bytes_equal_nocase_str(s->cmd.mechanism, "DEFLATE");
	if (!dispatch(s))
		return;
	fe_imap_op_done(s);
	if (is_compress)
		conn_start_compress(s->conn); /* nothing where it is compressed already */
	if (is_starttls)
		conn_start_tls_server(s->conn, fe_imap_frontend(s)->tls);
}

/* A line that is no command: an answer within AUTHENTICATE, or DONE. False: not complete. */
static bool take_line(struct fe_imap *s)
{
	struct bytes in = conn_input(s->conn);
	size_t n = bytes_find(in, '\n');
	struct bytes line = bytes_trim(bytes_sub(in, 0, n));
	struct buffer copy = { 0 };

	if (n == in.n) {
		if (in.n > 16384)
			fe_imap_bye(s, "[LIMIT] the line is too long");
		return false;
	}
	buffer_add(&copy, line);
	conn_consume(s->conn, n + 1);
	line = buffer_bytes(&copy);
	if (s->is_authenticating) {
		fe_imap_took(s, login_line(&s->login, line));
	} else if (!bytes_equal_nocase_str(line, "DONE")) {
		bad(s, s->cmd.tag, "DONE was expected");
		if (s->is_local_idle)
			fe_imap_op_done(s);
		else
			fe_imap_bye(s, "not DONE");
	} else if (s->is_local_idle) {
		fe_imap_tagged(s, "OK", "done");
		fe_imap_op_done(s);
	} else {
		s->is_idling = false;
		if (s->op_link != NULL)
			conn_write(s->op_link->conn, BYTES_LIT("DONE\r\n"));
	}
	if (copy.p != NULL)
		explicit_bzero(copy.p, copy.n);
	buffer_fini(&copy);
	return true;
}

static void comes_late(void *arg)
{
	fe_imap_bye(arg, "[LIMIT] the message comes too slowly");
}

/* A command of NEED octets comes: let it in, or answer NO [LIMIT] and skip it. False: more input is needed. */
static bool make_room(struct fe_imap *s, struct bytes in, size_t need)
{
	size_t n;

	if (need <= SMALL_COMMAND || fe_imap_hold(s, need)) {
		conn_want(s->conn, need);
		if (need > SMALL_COMMAND && s->arrival == NULL)
			s->arrival = arrival_watch(s->conn, config_number(fe_imap_frontend(s)->config, "imap_stall_timeout_s") * 1000,
			                           comes_late, s);
		return false;
	}
	n = bytes_find(in, ' ');
	fe_imap_answer(s, n > 0 && n < TAG_MAX ? bytes_sub(in, 0, n) : BYTES_LIT("*"), "NO [LIMIT]", "too many messages at once, try later");
	/* What is missing is the rest of a literal, and the end of its line. */
	s->framer = (struct imap_framer){ .skip = need >= 2 && need - 2 > in.n ? need - 2 - in.n : 0, .is_skipping = true };
	conn_consume(s->conn, in.n);
	conn_want(s->conn, 0);
	return true;
}

/* False: nothing more can be done now. */
static bool take(struct fe_imap *s)
{
	struct bytes in = conn_input(s->conn), tag;
	struct fault why;
	struct imap_frame_limits limits = s->limits;
	enum imap_frame found;
	size_t n;

	if (s->is_authenticating || s->is_idling)
		return take_line(s);
	if (!s->has_op && s->mid != NULL)
		s->is_mid_awaited = true;
	if (s->has_op || s->is_login_waiting || s->mid != NULL)
		return false;
	if (s->wants_inbox) {
		s->wants_inbox = false;
		fe_autocreate_begin(s);
		return false;
	}
	if (s->user == NULL)
		limits = (struct imap_frame_limits){ LINE_BEFORE_LOGIN, LITERAL_BEFORE_LOGIN, COMMAND_BEFORE_LOGIN, LITERAL_BEFORE_LOGIN,
		                                     LITERAL_BEFORE_LOGIN };
	found = imap_framer_next(&s->framer, in, &limits, &n, &tag, &why);
	if (found != FRAME_MORE) {
		conn_want(s->conn, 0);
		arrival_end(&s->arrival);
	}
	switch (found) {
	case FRAME_MORE:
		return make_room(s, in, n);
	case FRAME_TOO_BIG:
		(void)fe_imap_hold(s, 0);
		fe_imap_answer(s, tag, "NO [TOOBIG]", why.what);
		conn_consume(s->conn, n);
		return true;
	case FRAME_CONTINUE:
		fe_imap_say(s, "+ go ahead");
		return true;
	case FRAME_SKIP:
		conn_consume(s->conn, n);
		return true;
	case FRAME_REFUSED:
		(void)fe_imap_hold(s, 0);
		bad(s, tag, why.what);
		conn_consume(s->conn, n);
		return true;
	case FRAME_FATAL:
		fe_imap_bye(s, "[LIMIT] far over a limit");
		return false;
	case FRAME_COMMAND:
		take_command(s, bytes_sub(in, 0, n));
		return true;
	}
	return false;
}

static void on_input(struct conn *c, void *arg)
{
	struct fe_imap *s = arg;

	if (s->user == NULL && loop_now_ms(s->base.shard->loop) > s->login_deadline_ms) {
		fe_imap_bye(s, "it took too long to log in");
		return;
	}
	while (!s->is_leaving && (conn_input(c).n > 0) && take(s))
		;
}

static void on_drained(struct conn *c, void *arg)
{
	struct fe_imap *s = arg;

	(void)c;
	LIST_EACH(m, &s->links)
		conn_pause(LIST_OBJECT(m, struct imap_link, in_session)->conn, false);
	fe_list_drained(s);
}

static void on_timeout(struct conn *c, void *arg)
{
	const struct fe_imap *s = arg;

	(void)c;
	fe_imap_bye(arg, s->user == NULL ? "it took too long to log in" : "silent for too long");
}

static void greet(struct fe_imap *s)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, "* OK [");
	fe_imap_write_capability(s, &out);
	buffer_addf(&out, "] %s Roost ready\r\n", fe_imap_frontend(s)->name);
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct fe_imap *s = arg;

	(void)c;
	(void)why;
	s->is_dead = true;
	timer_free(&s->retry);
	arrival_end(&s->arrival);
	fe_copy_free(s);
	fe_esearch_free(s);
	fe_notify_free(s);
	buffer_fini(&s->held_output);
	fe_list_free(s);
	LIST_EACH(m, &s->links)
		imap_link_drop(LIST_OBJECT(m, struct imap_link, in_session));
	list_remove(&s->base.in_shard);
	(void)atomic_fetch_sub(&fe_imap_frontend(s)->imap_sessions, 1);
	(void)fe_imap_hold(s, 0);
	login_fini(&s->login);
	identity_fini(&s->identity);
	buffer_fini(&s->raw);
	buffer_fini(&s->final);
	buffer_fini(&s->selected_name);
	arena_fini(&s->arena);
	free(s->user);
	s->user = NULL;
	free(s->auth_tag);
	s->auth_tag = NULL;
	/* A list being brought up to date still knows the session: the last such answer frees it. */
	if (s->syncs == 0)
		free(s);
}

static const struct conn_events events = {
	.on_input = on_input, .on_drained = on_drained, .on_timeout = on_timeout, .on_closed = on_closed
};

void fe_imap_called(struct conn *c, void *arg)
{
	struct frontend *fe = arg;
	const struct config *cfg = fe->config;
	static const struct login_class logins = { .protocol = "imap", .done = fe_imap_login_done, .takes_tokens = true };
	struct fe_imap *s = must_calloc(1, sizeof(*s));

	s->conn = c;
	s->id = conn_id(c);
	login_init(&s->login, &logins, fe->login_service, c, &s->identity, s);
	s->base.shard = fe_shard_of(fe, conn_loop(c));
	s->base.farewell = farewell;
	s->limits = (struct imap_frame_limits){ (size_t)config_number(cfg, "imap_max_line"),
		                                (size_t)config_number(cfg, "imap_max_literal"),
		                                (size_t)config_number(cfg, "imap_max_command"), (size_t)fe->max_message,
		                                (size_t)config_number(cfg, "imap_max_append") };
	if (s->limits.messages < s->limits.message)
		s->limits.messages = s->limits.message;
	list_init(&s->links);
	list_push(&s->base.shard->sessions, &s->base.in_shard);
	(void)atomic_fetch_add(&fe->imap_sessions, 1);
	conn_set_events(c, &events, s);
	fe_imap_await_login(s);
	if (s->base.shard->is_ending)
		fe_imap_bye(s, "[UNAVAILABLE] the frontend is stopping");
	else
		greet(s);
}
