/* sim_member.c - one member: the real core, and around it what src/backend/driver.c and driver_directory.c do. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define JOIN_FIRST (50 * MS)
#define JOIN_LAST (5 * SECOND)
#define STOP_LIMIT (2 * SECOND)

static const char *name(const struct member *m)
{
	return sim_names[m->self];
}

uint64_t member_clock_ms(const struct member *m)
{
	return m->offset_ms + (uint64_t)((double)(m->sim->now - m->stood_still) * m->rate / 1000);
}

bool member_acts(const struct member *m)
{
	return m->is_alive && replica_may_act(m->core, member_clock_ms(m));
}

void member_tell(struct member *m, enum replica_event_type type, uint64_t lsn, uint64_t epoch)
{
	const struct replica_event ev = { .type = type, .lsn = lsn, .epoch = epoch };

	member_event(m, &ev);
}

/* The core's actions. */

static void config(struct member *m, uint64_t epoch, int master, member_set_t in_sync)
{
	struct replica_event ev = { .type = EVENT_CONFIG };
	char words[8];

	ev.reign.epoch = epoch;
	ev.reign.master = bytes_of(sim_names[master]);
	ev.reign.in_sync = sim_words(in_sync, words);
	member_event(m, &ev);
}

static void ask(struct member *m, const struct replica_action *a)
{
	const struct packet p = { .kind = PACKET_ASK, .conn = m->directory, .epoch = a->epoch, .master = (int)a->master,
		                  .in_sync = a->in_sync };
	char words[8];

	sim_trace(m->sim, "%s: asks, from epoch %llu, for master %s, in-sync {%s}", name(m), (unsigned long long)a->epoch,
	          sim_names[a->master], (const char *)sim_words(a->in_sync, words).p);
	if (!m->is_joined) {
		member_tell(m, EVENT_ASK_LOST, 0, 0);
		return;
	}
	m->asked++;
	sim_send(m->sim, m->self, ARBITER, &p);
}

static void role_changed(struct member *m)
{
	bool is_master = replica_role(m->core) == REPLICA_MASTER;

	sim_trace(m->sim, "%s: is %s in epoch %llu", name(m), is_master ? "master" : "follower",
	          (unsigned long long)replica_epoch(m->core));
	if (is_master) {
		link_connect(m, -1);
		return;
	}
	turn_abort(m);
	turn_fail_waiting(m);
	m->wants_epoch = false;
}

static void do_action(struct member *m, const struct replica_action *a)
{
	switch (a->type) {
	case ACTION_TRUNCATE:
		turn_truncate(m, a->lsn);
		break;
	case ACTION_SAVE:
		turn_save(m, a->lsn);
		break;
	case ACTION_GIVE:
		link_give(m, a->peer, a->lsn);
		break;
	case ACTION_TAKE:
		turn_take(m);
		break;
	case ACTION_CONNECT:
		link_connect(m, (int)a->peer);
		break;
	case ACTION_DISCONNECT:
		link_disconnect(m, a->peer);
		break;
	case ACTION_SEND:
		link_send(m, a->peer, &a->message);
		break;
	case ACTION_STREAM:
		link_stream(m, a->peer, a->lsn);
		break;
	case ACTION_STOP_STREAMS:
		for (size_t i = 0; i < m->sim->count; i++)
			m->links[i].is_streaming = false;
		break;
	case ACTION_FOLLOW:
		turn_follow(m);
		break;
	case ACTION_APPEND_EPOCH:
		m->wants_epoch = true;
		m->epoch_in_sync = a->in_sync;
		break;
	case ACTION_COMMIT:
		turn_commit(m, a->lsn);
		break;
	case ACTION_ASK:
		ask(m, a);
		break;
	case ACTION_ROLE:
		role_changed(m);
		break;
	case ACTION_GATE:
		m->is_gate_open = a->is_open;
		break;
	case ACTION_REPORT:
		sim_trace(m->sim, "%s: reports: %s", name(m), a->text);
		break;
	}
}

/* Mistakes that lie between the driver and the core. */
static void err(struct member *m, const struct replica_event *ev, bool has_asked)
{
	bool is_on_all = m->is_turn_open && m->disk.safe >= m->turn_last;

	if (m->sim->bug == BUG_BEACON_AFTER_ASK && has_asked && ev->type == EVENT_MESSAGE && ev->message->type == MESSAGE_BEACON) {
		const struct peer_message ack = { .type = MESSAGE_BEACON_ACK, .epoch = ev->message->epoch, .lsn = m->disk.safe,
			                          .time_ms = ev->message->time_ms };

		link_send(m, ev->peer, &ack);
	}
	for (size_t i = 0; i < m->sim->count; i++) {
		if ((replica_in_sync(m->core) >> i & 1) != 0 && i != (size_t)m->self)
			is_on_all = is_on_all && replica_acked(m->core, i) >= m->turn_last;
	}
	if (m->sim->bug == BUG_ACK_NO_LEASE && is_on_all && replica_role(m->core) == REPLICA_MASTER)
		turn_commit(m, m->turn_last);
}

static void step(struct member *m, const struct replica_event *ev)
{
	struct replica_event timed = *ev;
	struct replica_actions actions;
	bool has_asked = m->asked > 0;

	timed.now_ms = member_clock_ms(m);
	replica_step(m->core, &timed, &actions);
	for (size_t i = 0; i < actions.count; i++) {
		const struct replica_action a = actions.at[i];

		do_action(m, &a);
		if (m->sim->bug == BUG_SHRINK_ALONE && a.type == ACTION_ASK && replica_role(m->core) == REPLICA_MASTER &&
		    (a.in_sync & ~replica_in_sync(m->core)) == 0 && (int)a.master == m->self) {
			struct replica_event own = { .type = EVENT_CONFIG };
			static char words[SIM_MEMBERS_MAX][8];

			own.reign.epoch = a.epoch + 1;
			own.reign.master = bytes_of(sim_names[m->self]);
			own.reign.in_sync = sim_words(a.in_sync, words[m->self]);
			member_event(m, &own);
		}
	}
	if (m->sim->bug != BUG_NONE)
		err(m, ev, has_asked);
}

void member_event(struct member *m, const struct replica_event *ev)
{
	size_t taken = 0;

	if (m->is_stepping) {
		assert(m->queue_count < sizeof(m->queue) / sizeof(m->queue[0]));
		m->queue[m->queue_count++] = *ev;
		return;
	}
	m->is_stepping = true;
	step(m, ev);
	while (taken < m->queue_count) {
		const struct replica_event next = m->queue[taken++];

		step(m, &next);
	}
	m->queue_count = 0;
	m->is_stepping = false;
	turn_begin(m);
}

/* Life. */

static void forget_process(struct member *m)
{
	m->queue_count = m->waiting_count = m->in_turn_count = 0;
	m->is_stepping = m->is_gate_open = m->wants_epoch = m->is_turn_open = m->is_joined = m->has_refused = false;
	m->is_stopping = false;
	m->connect_to = -1;
	m->dialled = m->directory = 0;
	m->dial_at = m->stop_at = NEVER;
	m->asked = 0;
	m->paused_until = 0;
	memset(m->links, 0, sizeof(m->links));
}

void member_start(struct member *m)
{
	struct replica_options o = { .count = m->sim->count, .self = (size_t)m->self, .lease_ms = LEASE_MS,
		                     .is_async = m->sim->is_async, .saves = m->sim->is_async };
	struct history h = { 0 };
	struct replica_event ev = { .type = EVENT_START };

	if (!disk_recover(m->sim, &m->disk)) {
		m->restart_at = m->sim->now + 100 * MS + sim_random(m->sim, SECOND);
		sim_trace(m->sim, "%s: cannot start, its disk refuses", name(m));
		return;
	}
	for (size_t i = 0; i < m->sim->count; i++)
		o.names[i] = sim_names[i];
	/* Who waits an eighth of what it should is not stopped by the other's lease. */
	if (m->sim->bug == BUG_NO_GRACE && m->self == 1)
		o.lease_ms = LEASE_MS / 8;
	for (uint64_t lsn = 1; lsn <= m->disk.last; lsn++)
		history_append(&h, m->disk.at[lsn].epoch, lsn);
	m->core = replica_new(&o);
	m->is_alive = true;
	forget_process(m);
	m->join_pause = JOIN_FIRST;
	m->join_at = m->sim->now + sim_random(m->sim, 20 * MS);
	m->next_tick = m->sim->now;
	ev.start.last = m->disk.last;
	ev.start.durable = m->disk.written; /* as recovery found it */
	ev.start.applied = m->applied;
	ev.start.floor = m->floor;
	ev.start.history = &h;
	sim_trace(m->sim, "%s: starts with %llu entries, %llu applied", name(m), (unsigned long long)m->disk.last,
	          (unsigned long long)m->applied);
	member_event(m, &ev);
}

void member_crash(struct member *m, bool is_power)
{
	disk_crash(m->sim, &m->disk, is_power);
	/* The index survives the process; of a machine it is made anew, as far as the journal says that it is committed. */
	if (is_power) {
		uint64_t known = m->disk.last == 0 ? 0 : m->disk.at[m->disk.last].committed;

		m->applied = known < m->applied ? known : m->applied;
	}
	sim_trace(m->sim, "%s: %s, keeping %llu entries", name(m), is_power ? "power lost" : "killed",
	          (unsigned long long)m->disk.last);
	if (m->is_alive) {
		link_close_all(m);
		sim_close(m->sim, m->self, ARBITER, m->directory);
		replica_free(&m->core);
	}
	m->is_alive = false;
	forget_process(m);
}

/* The directory. */

static void join(struct member *m)
{
	struct packet p = { .kind = PACKET_JOIN, .conn = ++m->sim->conns };

	for (uint64_t lsn = m->disk.last; lsn > 0; lsn--) {
		if (m->disk.at[lsn].op != 0)
			continue;
		p.epoch = m->disk.at[lsn].epoch;
		p.master = m->disk.at[lsn].master;
		p.in_sync = m->disk.at[lsn].in_sync;
		break;
	}
	m->directory = p.conn;
	sim_send(m->sim, m->self, ARBITER, &p);
}

static void take_directory(struct member *m, const struct packet *p)
{
	struct replica_event ev = { .type = EVENT_ASK_ANSWERED, .epoch = p->epoch, .is_granted = p->is_granted };

	if (p->conn != m->directory)
		return;
	switch (p->kind) {
	case PACKET_CONFIG:
		config(m, p->epoch, p->master, p->in_sync);
		break;
	case PACKET_JOINED:
		m->is_joined = true;
		m->join_pause = JOIN_FIRST;
		sim_trace(m->sim, "%s: has joined", name(m));
		member_tell(m, EVENT_DIRECTORY_UP, 0, 0);
		break;
	case PACKET_ANSWER:
		m->asked--;
		member_event(m, &ev);
		break;
	case PACKET_PROMOTE:
		ev = (struct replica_event){ .type = EVENT_PROMOTE, .peer = (size_t)p->master };
		member_event(m, &ev);
		break;
	default:
		sim_trace(m->sim, "%s: loses the arbiter", name(m));
		m->directory = 0;
		m->join_at = m->sim->now + m->join_pause;
		m->join_pause = m->join_pause * 2 > JOIN_LAST ? JOIN_LAST : m->join_pause * 2;
		if (m->asked > 0)
			member_tell(m, EVENT_ASK_LOST, 0, 0);
		m->asked = 0;
		if (m->is_joined)
			member_tell(m, EVENT_DIRECTORY_DOWN, 0, 0);
		m->is_joined = false;
	}
}

void member_take(struct member *m, struct packet *p)
{
	if (!m->is_alive) {
		if (p->kind != PACKET_CLOSED)
			sim_close(m->sim, m->self, p->from, p->conn);
	} else if (p->from == ARBITER) {
		take_directory(m, p);
	} else if (p->from == CLIENTS) {
		/* That a client has gone changes nothing: what it has given is done. */
		if (p->kind == PACKET_WRITE)
			turn_submit(m, p);
	} else {
		link_take(m, p);
	}
	packet_free(p);
}

uint64_t member_due(const struct member *m)
{
	uint64_t due = m->next_tick;

	if (!m->is_alive)
		return m->restart_at;
	if (m->disk.is_flushing && m->disk.flush_at < due)
		due = m->disk.flush_at;
	if (m->directory == 0 && m->join_at < due)
		due = m->join_at;
	if (link_due(m) < due)
		due = link_due(m);
	return due < m->paused_until ? m->paused_until : due;
}

/* A master that ends in order hands over first. */
static void stop_run(struct member *m)
{
	if (replica_role(m->core) == REPLICA_MASTER && m->sim->now < m->stop_at) {
		for (size_t i = 0; i < m->sim->count; i++) {
			const struct replica_event promote = { .type = EVENT_PROMOTE, .peer = i };

			if (i == (size_t)m->self || (replica_in_sync(m->core) >> i & 1) == 0 || m->links[i].conn == 0)
				continue;
			member_event(m, &promote);
			return;
		}
	}
	member_crash(m, false);
	m->restart_at = m->sim->now + sim_random(m->sim, SECOND);
}

void member_run(struct member *m)
{
	if (m->disk.is_flushing && m->disk.flush_at <= m->sim->now) {
		turn_finish_flush(m);
		turn_start_flush(m);
		link_pump(m);
		turn_begin(m);
	}
	if (m->directory == 0 && m->join_at <= m->sim->now)
		join(m);
	link_run(m);
	if (m->next_tick <= m->sim->now) {
		m->next_tick = m->sim->now + LEASE_MS * MS / 20;
		member_tell(m, EVENT_TICK, 0, 0);
		if (m->is_stopping)
			stop_run(m);
	}
}
