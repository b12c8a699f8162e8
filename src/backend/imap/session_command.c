/* session_command.c - the command at hand: parsed, allowed or not, handed to its handler, gone on with when what it waits for has come,
 * and when it is done the news of the selected mailbox and the tagged answer. */
#include "session_private.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "inprogress.h"
#include "limit.h"
#include "log.h"
#include "notify.h"

void session_free_command(struct session *s)
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
	session_free_command(s);
	if (is_logout && s->state != SESSION_ENDING) {
		session_enter(s, SESSION_ENDING);
		conn_close(s->client.conn);
	} else if (s->bad >= IMAP_BAD_MAX) {
		session_bye(s, "too many bad commands");
	} else if (s->state == SESSION_NOT_AUTHED && login_is_spent(&s->login)) {
		session_bye(s, "too many failed logins");
	} else if (s->is_leaving) {
		session_say_farewell(s);
	}
}

void session_tell_news(struct session *s)
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

void session_stepped(struct session *s, enum cmd_step step)
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
		session_stepped(s, s->cmd->resume(s, s->cmd));
		session_run(s);
	} else {
		session_tell_news(s);
	}
}

void session_resume(struct session *s, enum cmd_step step)
{
	assert(s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT);
	session_stepped(s, step);
	session_run(s);
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

void session_command(struct session *s, size_t n)
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
	session_stepped(s, step);
}
