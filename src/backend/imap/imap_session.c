/* imap_session.c - one IMAP connection from the greeting to the end.
 *
 * Happy path: greeting, commands one by one: framed, parsed, handed to their handler, and when it is done the news of the
 * selected mailbox and the tagged answer. See imap_session.h for what a handler may wait for.
 *
 * What can go wrong: not the master: BYE [UNAVAILABLE] instead of the greeting; the mastership is lost: the same to every
 * session once the command that waits for a commit is answered (to a frontend that command says NO [XNOTMASTER] where it
 * certainly did nothing); a malformed command: BAD, ten in a row: BYE; over a limit: BAD or NO [LIMIT], and what belongs to
 * the command is read and thrown away; silence: BYE after imap_{login,idle,stall}_timeout_s. */
#include "imap_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "answer.h"
#include "arrival.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "inprogress.h"
#include "limit.h"
#include "log.h"
#include "notify.h"

#define IMAP_BAD_MAX 10
#define IMAP_MESSAGE_ROOM (64u << 10) /* a command longer than this is counted against max_inflight while it is read */

static void run(struct session *s);

void session_enter(struct session *s, enum session_state state)
{
	static const unsigned edges[] = {
		[SESSION_NOT_AUTHED] = 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_AUTHED] = 1u << SESSION_NOT_AUTHED | 1u << SESSION_SELECTED | 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_SELECTED] = 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_ENDING] = 0,
	};

	assert(edges[s->state] & 1u << state);
	if (s->state == SESSION_SELECTED) {
		client_watch(&s->client, 0);
		box_free(&s->box);
	}
	s->state = state;
	assert((state == SESSION_SELECTED) == (s->box != NULL));
}

void session_write(struct session *s, struct bytes b)
{
	if (s->client.conn != NULL && b.n > 0)
		conn_write(s->client.conn, b);
}

void session_write_str(struct session *s, const char *text)
{
	session_write(s, bytes_of(text));
}

bool session_is_full(const struct session *s)
{
	return s->client.conn != NULL && conn_pending(s->client.conn) > CONN_OUTPUT_HIGH;
}

void session_bye(struct session *s, const char *text)
{
	if (s->state == SESSION_ENDING || s->client.conn == NULL)
		return;
	session_write_str(s, "* BYE ");
	session_write_str(s, text);
	session_write_str(s, "\r\n");
	conn_close(s->client.conn);
	if (s->state == SESSION_SELECTED) {
		/* The watch may be calling us: it and the box go with the session. */
		s->state = SESSION_ENDING;
		return;
	}
	session_enter(s, SESSION_ENDING);
}

static void say_farewell(struct session *s)
{
	session_bye(s, s->farewell == FAREWELL_STOPPING ? "[UNAVAILABLE] shutting down" :
	                                                  "[UNAVAILABLE] this member is not the master");
}

static void write_mechanisms(const struct session *s, struct buffer *to)
{
	struct buffer words = { 0 };
	struct bytes rest;

	login_mechanisms(&s->login, &words);
	rest = buffer_bytes(&words);
	while (rest.n > 0) {
		size_t n = bytes_find(rest, ' ');

		buffer_add_str(to, " AUTH=");
		buffer_add(to, bytes_sub(rest, 0, n));
		rest = bytes_from(rest, n + 1);
	}
	buffer_fini(&words);
}

void session_capabilities(struct session *s, struct buffer *to)
{
	const struct backend *b = s->client.backend;
	struct bytes directory;

	buffer_add_str(to, "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE");
	if (s->state == SESSION_NOT_AUTHED) {
		if (b->tls != NULL && !conn_is_tls(s->client.conn))
			buffer_add_str(to, " STARTTLS");
		write_mechanisms(s, to);
		if (!login_takes_passwords(&s->login))
			buffer_add_str(to, " LOGINDISABLED");
	} else {
		buffer_addf(to, " " IMAP_CAPABILITIES " APPENDLIMIT=%llu", (unsigned long long)b->max_message);
		if (b->message_limit > 0)
			buffer_addf(to, " MESSAGELIMIT=%zu", b->message_limit);
	}
	(void)config_word(b->cfg, "mupdate_server", 0, &directory);
	buffer_addf(to, " MUPDATE=mupdate://%.*s/", BYTES_FMT(directory));
}

void session_logged_in(struct session *s)
{
	struct backend *b = s->client.backend;

	atomic_fetch_add(&b->counters.logins, 1);
	s->names = names_of(b->cfg, bytes_of(s->identity.user), s->identity.is_admin);
	session_enter(s, SESSION_AUTHED);
	conn_set_timeout(s->client.conn, config_number(b->cfg, "imap_idle_timeout_s") * 1000);
	log_event(LOG_DEBUG, "imap.login.accepted", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
	          LOG_STR("authcid", s->identity.authcid), LOG_STR("peer", conn_peer(s->client.conn)));
}

void session_enable(struct session *s, unsigned features)
{
	struct buffer line = { 0 };

	if ((features & ~s->features & IMAP_F_CONDSTORE) != 0 && s->state == SESSION_SELECTED) {
		buffer_addf(&line, "* OK [HIGHESTMODSEQ %llu] highest\r\n", (unsigned long long)s->box->modseq);
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
	}
	s->features |= features;
	s->names.is_utf8 = (s->features & (IMAP_F_REV2 | IMAP_F_UTF8)) != 0;
}

void session_logged_out(struct session *s)
{
	uint64_t login_ms = config_number(s->client.backend->cfg, "imap_login_timeout_s") * 1000;

	if (s->state == SESSION_SELECTED)
		session_enter(s, SESSION_AUTHED);
	session_enter(s, SESSION_NOT_AUTHED);
	notify_free(&s->notify);
	s->features = 0;
	s->names = (struct names){ 0 };
	identity_fini(&s->identity);
	s->deadline_ms = loop_now_ms(conn_loop(s->client.conn)) + login_ms;
	conn_set_timeout(s->client.conn, login_ms);
}

void session_mailbox_id(const struct session *s, const struct mailbox *m, struct buffer *to)
{
	const char *server = s->client.backend->server;

	/* Its number alone would be given again after a restore. */
	buffer_addf(to, "M%llu-%u-", (unsigned long long)m->id, m->uidvalidity);
	for (size_t i = 0; server[i] != '\0' && i < 200; i++)
		buffer_add_u8(to, ascii_is_alnum((uint8_t)server[i]) || server[i] == '-' ? (uint8_t)server[i] : '_');
}

/* Commands. */

static void free_command(struct session *s)
{
	struct command *cmd = s->cmd;

	inprogress_end(s);
	s->cmd = NULL;
	buffer_fini(&cmd->code);
	buffer_fini(&cmd->text);
	arena_fini(&cmd->arena);
	free(cmd);
}

/* Whether EXPUNGE may be told while VERB is answered (RFC 3501 section 7.4.1). */
static bool may_expunge(const struct imap_command *c)
{
	return c->is_uid || (c->verb != IMAP_FETCH && c->verb != IMAP_STORE && c->verb != IMAP_SEARCH && c->verb != IMAP_SORT &&
	                     c->verb != IMAP_THREAD);
}

static void turn_come(void *arg);

struct turn_message {
	struct shard *shard;
	uint64_t client;
};

static void post_turn(struct session *s)
{
	struct turn_message *m;

	if (s->is_turn_posted)
		return;
	m = must_alloc(sizeof(*m));
	*m = (struct turn_message){ s->client.shard, s->client.id };
	s->is_turn_posted = true;
	loop_post(s->client.shard->loop, turn_come, m);
}

void session_wake(struct session *s)
{
	post_turn(s);
}

static void finish_command(struct session *s)
{
	struct command *cmd = s->cmd;
	bool is_logout = cmd->c.verb == IMAP_LOGOUT && cmd->has_answer && cmd->status == ANSWER_OK;

	assert(cmd->has_answer || s->is_leaving || s->state == SESSION_ENDING);
	if (s->state == SESSION_SELECTED && !cmd->is_quiet && cmd->has_answer && cmd->status != ANSWER_BAD)
		(void)box_sync(s, cmd, may_expunge(&cmd->c));
	if (s->notify != NULL && s->state != SESSION_ENDING && cmd->has_answer && cmd->status != ANSWER_BAD) {
		notify_forget(s, cmd);
		if (!notify_tell(s))
			post_turn(s);
	}
	if (s->state != SESSION_ENDING) {
		if (cmd->tells_modseq && s->state == SESSION_SELECTED && (s->features & IMAP_F_QRESYNC) != 0 &&
		    cmd->status == ANSWER_OK && cmd->code.n == 0)
			buffer_addf(&cmd->code, "HIGHESTMODSEQ %llu", (unsigned long long)s->box->modseq);
		if (cmd->missed_one && cmd->status == ANSWER_OK && cmd->code.n == 0)
			buffer_add_str(&cmd->code, "EXPUNGEISSUED");
		limit_tell(s, cmd);
		if (cmd->has_answer && !cmd->was_sent)
			answer_send(s, cmd);
	}
	s->bad = cmd->has_answer && cmd->status == ANSWER_BAD ? s->bad + 1 : 0;
	log_event(LOG_DEBUG, "imap.command.done", LOG_U64("conn", s->client.id), LOG_STR("command", imap_command_name(&cmd->c)),
	          LOG_NS("dur", clock_mono_ns() - cmd->started_ns));
	free_command(s);
	if (is_logout && s->state != SESSION_ENDING) {
		session_enter(s, SESSION_ENDING);
		conn_close(s->client.conn);
	} else if (s->bad >= IMAP_BAD_MAX) {
		session_bye(s, "too many bad commands");
	} else if (s->state == SESSION_NOT_AUTHED && login_is_spent(&s->login)) {
		session_bye(s, "too many failed logins");
	} else if (s->is_leaving) {
		say_farewell(s);
	}
}

/* Tell the news to a client that idles, or that has asked for them at any time; what is too much for one turn in the next. */
static void tell_news(struct session *s)
{
	bool is_idle = s->cmd != NULL && s->cmd->c.verb == IMAP_IDLE && s->cmd->step == CMD_WANT_INPUT;
	bool is_all = true;

	if (s->state == SESSION_ENDING || s->client.conn == NULL || (s->cmd != NULL && !is_idle) || (!is_idle && s->notify == NULL))
		return;
	if (s->state == SESSION_SELECTED && s->box->has_new_rights)
		session_take_rights(s);
	if (s->state == SESSION_SELECTED) {
		if (!box_sync(s, NULL, is_idle || !notify_delays_expunge(s)))
			return;
		is_all = !s->box->is_behind;
	}
	is_all = notify_tell(s) && is_all;
	if (!is_all && !session_is_full(s))
		post_turn(s);
}

/* A command that waits has somebody who will wake it: a hang is a failed assertion here. */
static void check(struct session *s)
{
	struct command *cmd = s->cmd;

	if (cmd == NULL)
		return;
	switch (cmd->step) {
	case CMD_DONE:
		abort(); /* a finished command stays */
	case CMD_WANT_INPUT:
		assert(cmd->on_line != NULL);
		break;
	case CMD_WANT_OUTPUT:
		assert(cmd->resume != NULL);
		break;
	case CMD_WANT_COMMIT:
		assert(s->client.waiting > 0);
		break;
	case CMD_WANT_TURN:
		assert(cmd->resume != NULL && s->is_turn_posted);
		break;
	}
}

/* The handler returned STEP. */
static void stepped(struct session *s, enum cmd_step step)
{
	struct command *cmd = s->cmd;

	for (;;) {
		cmd->step = step;
		if (step == CMD_DONE || s->state == SESSION_ENDING) {
			if (step == CMD_WANT_COMMIT)
				return; /* the session goes when the answer has come */
			finish_command(s);
			return;
		}
		if (step == CMD_WANT_OUTPUT && conn_pending(s->client.conn) <= CONN_OUTPUT_HIGH) {
			step = cmd->resume(s, cmd);
			continue;
		}
		break;
	}
	if (step == CMD_WANT_TURN)
		post_turn(s);
	if (step == CMD_WANT_COMMIT)
		inprogress_wait(s);
	check(s);
}

static void turn_come(void *arg)
{
	struct turn_message *m = arg;
	struct session *s = map_get_u64(&m->shard->clients, m->client);

	free(m);
	if (s == NULL)
		return;
	s->is_turn_posted = false;
	if (s->cmd != NULL && s->cmd->step == CMD_WANT_TURN) {
		stepped(s, s->cmd->resume(s, s->cmd));
		run(s);
	} else {
		tell_news(s);
	}
}

void session_resume(struct session *s, enum cmd_step step)
{
	assert(s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT);
	stepped(s, step);
	run(s);
}

static unsigned state_bit(const struct session *s)
{
	return s->state == SESSION_NOT_AUTHED ? IMAP_ST_NOT_AUTHED :
	       s->state == SESSION_SELECTED   ? IMAP_ST_SELECTED :
	                                        IMAP_ST_AUTHED;
}

static enum cmd_step dispatch(struct session *s, struct command *cmd)
{
	if ((cmd->c.row->states & state_bit(s)) == 0)
		return answer_bad(cmd, s->state == SESSION_NOT_AUTHED                    ? "log in first" :
		                       (cmd->c.row->states & IMAP_ST_NOT_AUTHED) != 0 ? "logged in already" :
		                                                                         "select a mailbox first");
	if (cmd->c.verb != IMAP_LOGOUT && !backend_may_serve(s->client.backend)) {
		s->is_leaving = true;
		s->farewell = FAREWELL_NOT_MASTER;
		cmd->is_quiet = true;
		return s->identity.is_proxy ? answer_no(cmd, "XNOTMASTER", "not the master any more") :
		                              answer_no(cmd, "UNAVAILABLE", "not the master any more");
	}
	if (s->state == SESSION_SELECTED && s->box->has_new_rights)
		session_take_rights(s);
	if (s->state == SESSION_ENDING)
		return CMD_DONE;
	if ((s->features & IMAP_F_UIDONLY) != 0 && imap_command_uses_numbers(&cmd->c)) {
		(void)answer_bad(cmd, IMAP_UIDREQUIRED);
		buffer_add_str(answer_code(cmd), "UIDREQUIRED");
		return CMD_DONE;
	}
	if ((cmd->c.row->traits & IMAP_T_SWITCHES) != 0)
		s->features |= imap_command_enables(&cmd->c);
	else
		session_enable(s, imap_command_enables(&cmd->c));
	return dispatch_handler(cmd->c.verb)(s, cmd);
}

/* The first N octets of the input are a command. */
static void take_command(struct session *s, size_t n)
{
	struct bytes text = bytes_sub(conn_input(s->client.conn), 0, n);
	bool in_place = imap_framer_has_messages(text);
	struct command *cmd = must_calloc(1, sizeof(*cmd));
	struct fault why = { 0 };
	enum imap_parse parsed;
	enum cmd_step step;

	s->cmd = cmd;
	cmd->started_ns = clock_mono_ns();
	cmd->arena.is_secret = s->state == SESSION_NOT_AUTHED;
	atomic_fetch_add_explicit(&s->client.backend->counters.imap_commands, 1, memory_order_relaxed);
	if (!in_place) {
		text = cmd->octets = arena_copy(&cmd->arena, text);
		conn_consume(s->client.conn, n);
	}
	parsed = imap_command_parse(text, &s->client.backend->command_limits, &cmd->arena, &cmd->c, &why);
	if (parsed == IMAP_PARSE_OK) {
		if (in_place)
			cmd->c.tag = arena_copy(&cmd->arena, cmd->c.tag);
		step = dispatch(s, cmd);
	} else {
		if (in_place)
			cmd->c.tag = arena_copy(&cmd->arena, cmd->c.tag);
		cmd->is_quiet = true;
		step = answer_bad(cmd, why.what);
		if (why.kind == FAULT_LIMIT)
			atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	}
	if (in_place && s->client.conn != NULL) {
		conn_consume(s->client.conn, n);
		(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	}
	stepped(s, step);
}

static void refuse(struct session *s, struct bytes tag, const char *status, const struct fault *why)
{
	struct buffer line = { 0 };

	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	buffer_add(&line, tag);
	buffer_addf(&line, " %s %s\r\n", status, why->what);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	s->bad++;
}

static void comes_late(void *arg)
{
	session_bye(arg, "[LIMIT] the message comes too slowly");
}

/* A command of NEED octets comes: let it in, or answer NO [LIMIT] and skip it. */
static bool make_room(struct session *s, size_t need)
{
	struct bytes in = conn_input(s->client.conn);
	struct fault why;
	size_t n;

	if (need <= IMAP_MESSAGE_ROOM || inflight_set(&s->client.backend->inflight, &s->share, need)) {
		conn_want(s->client.conn, need);
		if (need > IMAP_MESSAGE_ROOM && s->arrival == NULL)
			s->arrival = arrival_watch(s->client.conn, config_number(s->client.backend->cfg, "imap_stall_timeout_s") * 1000,
			                           comes_late, s);
		return true;
	}
	(void)fault_set(&why, FAULT_LIMIT, "too many messages at once, try later");
	n = bytes_find(in, ' ');
	refuse(s, n > 0 && n < 64 ? bytes_sub(in, 0, n) : BYTES_LIT("*"), "NO [LIMIT]", &why);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	/* What is missing is the rest of a literal, and the end of its line. */
	s->framer = (struct imap_framer){ .skip = need >= 2 && need - 2 > in.n ? need - 2 - in.n : 0, .is_skipping = true };
	conn_consume(s->client.conn, in.n);
	conn_want(s->client.conn, 0);
	return true;
}

/* One step of framing; false: more input is needed. */
static bool take_frame(struct session *s)
{
	struct bytes in = conn_input(s->client.conn), tag;
	struct fault why = { 0 };
	size_t n = 0;
	struct imap_frame_limits limits = s->client.backend->frame_limits;
	enum imap_frame found;

	if (s->state == SESSION_NOT_AUTHED) {
		limits.line = limits.line < 16384 ? limits.line : 16384;
		limits.literal = limits.message = limits.messages = limits.literal < 4096 ? limits.literal : 4096;
		limits.command = limits.command < 32768 ? limits.command : 32768;
	}
	found = imap_framer_next(&s->framer, in, &limits, &n, &tag, &why);
	if (found != FRAME_MORE) {
		conn_want(s->client.conn, 0);
		arrival_end(&s->arrival);
	}
	switch (found) {
	case FRAME_MORE:
		(void)make_room(s, n);
		return false;
	case FRAME_COMMAND:
		take_command(s, n);
		return true;
	case FRAME_CONTINUE:
		session_write_str(s, "+ go ahead\r\n");
		return true;
	case FRAME_SKIP:
		conn_consume(s->client.conn, n);
		return true;
	case FRAME_REFUSED:
	case FRAME_TOO_BIG:
		refuse(s, tag, found == FRAME_TOO_BIG ? "NO [TOOBIG]" : "BAD", &why);
		conn_consume(s->client.conn, n);
		(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
		if (s->bad >= IMAP_BAD_MAX)
			session_bye(s, "too many bad commands");
		return true;
	case FRAME_FATAL:
		session_bye(s, "[LIMIT] far over a limit");
		return false;
	}
	return false;
}

/* A line for the command at hand; false: it has not come whole. */
static bool take_line(struct session *s)
{
	struct bytes in = conn_input(s->client.conn);
	size_t n = bytes_find(in, '\n');
	char *copy;
	size_t length;
	enum cmd_step step;

	if (n == in.n) {
		if (in.n > s->client.backend->frame_limits.line)
			session_bye(s, "[LIMIT] the line is too long");
		return false;
	}
	length = n > 0 && in.p[n - 1] == '\r' ? n - 1 : n;
	copy = bytes_to_str(bytes_sub(in, 0, length));
	conn_consume(s->client.conn, n + 1);
	step = s->cmd->on_line(s, s->cmd, bytes_make(copy, length));
	explicit_bzero(copy, length);
	free(copy);
	stepped(s, step);
	return true;
}

static void run(struct session *s)
{
	bool goes_on = true;

	if (s->is_running)
		return;
	s->is_running = true;
	while (goes_on && s->is_ready && s->client.conn != NULL && s->state != SESSION_ENDING) {
		if (s->cmd == NULL) {
			struct bytes in = conn_input(s->client.conn);

			goes_on = in.n > 0 && !session_is_full(s) && take_frame(s);
		} else if (s->cmd->step == CMD_WANT_INPUT) {
			goes_on = take_line(s);
		} else {
			goes_on = false;
		}
	}
	/* While a command runs nothing is read, so that a client that sends ahead waits. */
	if (s->client.conn != NULL && s->state != SESSION_ENDING)
		conn_pause(s->client.conn, s->cmd != NULL && s->cmd->step != CMD_WANT_INPUT);
	s->is_running = false;
}

/* Events. */

static void on_input(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->state == SESSION_NOT_AUTHED && loop_now_ms(conn_loop(c)) > s->deadline_ms) {
		session_bye(s, "it took too long to log in");
		return;
	}
	run(s);
}

static void on_drained(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->cmd != NULL && s->cmd->step == CMD_WANT_OUTPUT && s->state != SESSION_ENDING)
		stepped(s, s->cmd->resume(s, s->cmd));
	else if (s->notify != NULL || (s->state == SESSION_SELECTED && s->box->is_behind))
		tell_news(s);
	run(s);
}

static void greet(struct session *s)
{
	struct buffer line = { 0 };

	if (s->is_ready)
		return;
	s->is_ready = true;
	if (!backend_may_serve(s->client.backend)) {
		session_bye(s, "[UNAVAILABLE] this member is not the master");
		return;
	}
	buffer_add_str(&line, "* OK [CAPABILITY ");
	session_capabilities(s, &line);
	buffer_addf(&line, "] %s Roost ready\r\n", s->client.backend->server);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	run(arg);
}

static void on_timeout(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT) { /* it is we who are slow */
		conn_set_timeout(c, config_number(s->client.backend->cfg, s->state == SESSION_NOT_AUTHED ? "imap_login_timeout_s" :
		                                                                              "imap_idle_timeout_s") * 1000);
		return;
	}
	session_bye(s, s->state == SESSION_NOT_AUTHED ? "it took too long to log in" : "autologout for silence");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "imap.session.broken", LOG_U64("conn", s->client.id), LOG_FAULT(why));
	arrival_end(&s->arrival);
	notify_free(&s->notify);
	client_leave(&s->client);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	if (s->cmd != NULL)
		free_command(s);
	timer_free(&s->progress);
	box_free(&s->box);
	login_fini(&s->login);
	identity_fini(&s->identity);
	free(s);
}

static void farewell(struct client *c, enum farewell why)
{
	struct session *s = (struct session *)c;

	s->farewell = why;
	/* A login is not waited for: a refusal may be held back for long. */
	if (s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT && s->state != SESSION_NOT_AUTHED)
		s->is_leaving = true;
	else
		say_farewell(s);
}

static void committed(struct client *c, const struct submission *sub)
{
	notify_committed((struct session *)c, sub);
}

static void changed(struct client *c, uint32_t what)
{
	struct session *s = (struct session *)c;

	if (s->state == SESSION_SELECTED && (what & (STORE_CHANGE_ACL | STORE_CHANGE_NAME)) != 0)
		s->box->has_new_rights = true;
	tell_news(s);
}

void imap_session_called(struct conn *conn, void *arg)
{
	static const struct conn_events events = {
		.on_ready = on_ready,
		.on_input = on_input,
		.on_drained = on_drained,
		.on_timeout = on_timeout,
		.on_closed = on_closed,
	};
	static const struct client_class class = { .farewell = farewell, .changed = changed, .committed = committed };
	static const struct login_class logins = { .protocol = "imap", .done = session_login_done, .takes_tokens = true };
	struct backend *b = arg;
	struct session *s = must_calloc(1, sizeof(*s));
	uint64_t login_ms = config_number(b->cfg, "imap_login_timeout_s") * 1000;

	s->client.class = &class;
	conn_set_events(conn, &events, s);
	s->deadline_ms = loop_now_ms(conn_loop(conn)) + login_ms;
	login_init(&s->login, &logins, b->login_service, conn, &s->identity, s);
	if (!client_enter(&s->client, b, conn)) {
		s->farewell = FAREWELL_STOPPING;
		say_farewell(s);
		return;
	}
	conn_set_timeout(conn, login_ms);
	greet(s);
}
