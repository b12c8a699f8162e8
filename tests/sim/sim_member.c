/* sim_member.c - one member: the core, and an imitation of the driver, the journal and the connections around it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

#define STREAM_ENTRIES 8

static void event(struct member *m, const struct replica_event *ev);

static const char *name(const struct member *m)
{
	static const char *const names[] = { "a", "b", "c" };

	return names[m->self];
}

uint64_t member_clock_ms(const struct member *m)
{
	return m->offset_ms + (uint64_t)((double)m->sim->now * m->rate / 1000);
}

bool member_acts(const struct member *m)
{
	return m->is_alive && replica_may_act(m->core, member_clock_ms(m));
}

static void tell(struct member *m, enum replica_event_type type, uint64_t lsn, uint64_t epoch)
{
	const struct replica_event ev = { .type = type, .lsn = lsn, .epoch = epoch };

	event(m, &ev);
}

/* The journal. */

static void append(struct member *m, const struct sim_entry *e)
{
	if (m->last + 1 >= m->cap) {
		m->cap = m->cap * 2 + 64;
		m->journal = must_realloc(m->journal, m->cap, sizeof(*m->journal));
	}
	m->journal[++m->last] = *e;
}

static void start_flush(struct member *m)
{
	if (m->is_flushing || m->durable >= m->last)
		return;
	m->is_flushing = true;
	m->flush_to = m->last;
	m->flush_at = m->sim->now + 100 + sim_random(m->sim, 2 * MS);
	if (m->slow_until > m->sim->now)
		m->flush_at += sim_random(m->sim, 3 * SECOND);
}

static void finish_flush(struct member *m)
{
	m->is_flushing = false;
	if (m->flush_to > m->durable)
		m->durable = m->flush_to;
	if (m->sim->bug == BUG_ACK_EARLY && m->is_turn_open && m->durable >= m->turn_last)
		check_ack(m->sim, m, m->turn_first, m->turn_last);
	tell(m, EVENT_LOCAL_DURABLE, m->durable, 0);
}

static uint64_t epoch_at(const struct member *m, uint64_t lsn)
{
	return lsn == 0 || lsn > m->last ? 0 : m->journal[lsn].epoch;
}

/* Connections. */

static void close_link(struct member *m, size_t peer)
{
	const struct packet closed = { .kind = PACKET_CLOSED, .conn = m->links[peer].conn };

	if (m->links[peer].conn == 0)
		return;
	sim_send(m->sim, m->self, (int)peer, &closed);
	m->links[peer] = (struct sim_link){ 0 };
}

static void disconnect(struct member *m, size_t peer)
{
	const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = peer };

	if (m->links[peer].conn == 0)
		return;
	sim_trace(m->sim, "%s: drops the connection with %zu (%llu)", name(m), peer, (unsigned long long)m->links[peer].conn);
	close_link(m, peer);
	event(m, &down);
}

static void link_up(struct member *m, size_t peer, uint64_t conn)
{
	const struct replica_event up = { .type = EVENT_PEER_UP, .peer = peer };

	disconnect(m, peer);
	sim_trace(m->sim, "%s: connected with %zu (%llu)", name(m), peer, (unsigned long long)conn);
	m->links[peer].conn = conn;
	event(m, &up);
}

/* Send what can be sent: what is durable here, and the present turn. */
static void pump(struct member *m)
{
	for (size_t i = 0; i < m->sim->count; i++) {
		struct sim_link *l = &m->links[i];
		uint64_t end = m->is_turn_open ? m->turn_last : m->durable;

		while (l->is_streaming && l->next <= end) {
			struct packet p = { .kind = PACKET_MESSAGE, .conn = l->conn, .first = l->next };

			p.count = end - l->next + 1 < STREAM_ENTRIES ? end - l->next + 1 : STREAM_ENTRIES;
			p.entries = must_calloc(p.count, sizeof(*p.entries));
			memcpy(p.entries, &m->journal[l->next], p.count * sizeof(*p.entries));
			p.message = (struct peer_message){ .type = MESSAGE_ENTRIES, .epoch = replica_epoch(m->core),
				                           .committed = replica_committed(m->core) };
			l->next += p.count;
			sim_send(m->sim, m->self, (int)i, &p);
		}
	}
}

static void dial(struct member *m)
{
	const struct packet p = { .kind = PACKET_DIAL, .conn = ++m->sim->conns };

	m->dial_at = m->sim->now + 50 * MS;
	if (m->connect_to < 0 || m->links[m->connect_to].conn != 0)
		return;
	m->dialled = p.conn;
	sim_send(m->sim, m->self, m->connect_to, &p);
}

/* The turn. */

static void turn_begin(struct member *m, unsigned writes)
{
	if (m->is_turn_open || m->is_flushing || m->is_stepping || replica_role(m->core) != REPLICA_MASTER)
		return;
	if (!m->wants_epoch && (!m->is_gate_open || writes == 0))
		return;
	m->turn_first = m->last + 1;
	if (m->wants_epoch) {
		const struct sim_entry e = { replica_epoch(m->core), 0, replica_committed(m->core) };

		m->wants_epoch = false;
		append(m, &e);
	}
	for (unsigned i = 0; m->is_gate_open && i < writes; i++) {
		const struct sim_entry e = { replica_epoch(m->core), ++m->sim->ids, replica_committed(m->core) };

		append(m, &e);
	}
	m->is_turn_open = true;
	m->turn_last = m->last;
	tell(m, EVENT_LOCAL_APPENDED, m->turn_last, replica_epoch(m->core));
	pump(m);
	start_flush(m);
}

static void wait_flush(struct member *m)
{
	if (m->is_flushing)
		finish_flush(m);
}

static void turn_abort(struct member *m)
{
	wait_flush(m);
	m->is_turn_open = false;
}

static void commit(struct member *m, uint64_t lsn)
{
	if (replica_role(m->core) == REPLICA_MASTER) {
		if (!m->is_turn_open || lsn < m->turn_last)
			return;
		check_commit(m->sim, m, m->turn_last);
		check_ack(m->sim, m, m->turn_first, m->turn_last);
		m->is_turn_open = false;
		m->applied = m->turn_last;
	} else {
		if (lsn > m->durable)
			lsn = m->durable;
		if (lsn <= m->applied)
			return;
		check_commit(m->sim, m, lsn);
		m->applied = lsn;
	}
	tell(m, EVENT_APPLIED, m->applied, 0);
}

/* A follower. */

static void follow(struct member *m)
{
	const struct packet *p = m->packet;

	for (uint64_t i = 0; i < p->count; i++) {
		uint64_t lsn = p->first + i;

		if (lsn <= m->last) {
			if (epoch_at(m, lsn) == p->entries[i].epoch)
				continue;
			disconnect(m, (size_t)p->from);
			break;
		}
			if (lsn > m->last + 1 || p->entries[i].epoch < epoch_at(m, m->last)) {
			disconnect(m, (size_t)p->from);
			break;
		}
		append(m, &p->entries[i]);
		tell(m, EVENT_FOLLOWED, lsn, p->entries[i].epoch);
	}
	start_flush(m);
}

static void truncate_after(struct member *m, uint64_t lsn)
{
	wait_flush(m);
	if (lsn < m->applied)
		sim_problem(m->sim, "%s: told to drop what is committed: %llu, applied %llu", name(m), (unsigned long long)lsn,
		            (unsigned long long)m->applied);
	sim_trace(m->sim, "%s: truncates %llu to %llu", name(m), (unsigned long long)m->last, (unsigned long long)lsn);
	if (m->sim->bug == BUG_NO_TRUNCATE)
		return;
	if (m->last > lsn)
		m->last = lsn;
	if (m->durable > lsn)
		m->durable = lsn;
}

static void save(struct member *m, uint64_t lsn)
{
	wait_flush(m);
	check_save(m->sim, m, lsn);
	m->last = m->durable = m->applied = lsn;
	tell(m, EVENT_SAVED, lsn, 0);
}

/* The core. */

static void ask(struct member *m, const struct replica_action *a)
{
	const struct packet p = { .kind = PACKET_ASK, .conn = m->directory, .epoch = a->epoch, .master = (int)a->master,
		                  .in_sync = a->in_sync };

	sim_trace(m->sim, "%s: asks, from epoch %llu, for master %llu in-sync %x", name(m), (unsigned long long)a->epoch,
	          (unsigned long long)a->master, a->in_sync);
	if (m->directory == 0) {
		tell(m, EVENT_ASK_LOST, 0, 0);
		return;
	}
	m->asked++;
	sim_send(m->sim, m->self, ARBITER, &p);
}

static void send_message(struct member *m, const struct replica_action *a)
{
	struct packet p = { .kind = PACKET_MESSAGE, .conn = m->links[a->peer].conn, .message = a->message };

	if (p.conn == 0)
		return;
	if (a->message.type == MESSAGE_HELLO) {
		p.history = must_alloc(sizeof(*p.history));
		*p.history = *a->message.history;
	}
	p.message.history = NULL;
	sim_send(m->sim, m->self, (int)a->peer, &p);
}

static void role_changed(struct member *m)
{
	sim_trace(m->sim, "%s: is %s in epoch %llu", name(m), replica_role(m->core) == REPLICA_MASTER ? "master" : "follower",
	          (unsigned long long)replica_epoch(m->core));
	if (replica_role(m->core) == REPLICA_MASTER) {
		m->connect_to = -1;
		return;
	}
	turn_abort(m);
	m->wants_epoch = false;
}

static void do_action(struct member *m, const struct replica_action *a)
{
	switch (a->type) {
	case ACTION_TRUNCATE:
		truncate_after(m, a->lsn);
		break;
	case ACTION_SAVE:
		save(m, a->lsn);
		break;
	case ACTION_CONNECT:
		m->connect_to = (int)a->peer;
		dial(m);
		break;
	case ACTION_DISCONNECT:
		disconnect(m, a->peer);
		break;
	case ACTION_SEND:
		send_message(m, a);
		break;
	case ACTION_STREAM:
		m->links[a->peer].is_streaming = true;
		m->links[a->peer].next = a->lsn;
		break;
	case ACTION_STOP_STREAMS:
		for (size_t i = 0; i < m->sim->count; i++)
			m->links[i].is_streaming = false;
		break;
	case ACTION_FOLLOW:
		follow(m);
		break;
	case ACTION_APPEND_EPOCH:
		m->wants_epoch = true;
		break;
	case ACTION_COMMIT:
		commit(m, a->lsn);
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

static void step(struct member *m, const struct replica_event *ev)
{
	struct replica_event timed = *ev;
	struct replica_actions actions;

	timed.now_ms = member_clock_ms(m);
	replica_step(m->core, &timed, &actions);
	for (size_t i = 0; i < actions.count; i++)
		do_action(m, &actions.at[i]);
}

static void event(struct member *m, const struct replica_event *ev)
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
	turn_begin(m, 0);
	pump(m);
}

/* Life. */

void member_start(struct member *m)
{
	static const char *const names[] = { "a", "b", "c" };
	struct replica_options o = { .count = m->sim->count, .self = (size_t)m->self, .lease_ms = LEASE_MS,
		                     .is_async = m->sim->is_async, .saves = m->sim->is_async };
	struct history h = { 0 };
	struct replica_event ev = { .type = EVENT_START };

	for (size_t i = 0; i < m->sim->count; i++)
		o.names[i] = names[i];
	/* Who waits an eighth of what it should is not stopped by the other's lease. */
	if (m->sim->bug == BUG_NO_GRACE && m->self == 1)
		o.lease_ms = LEASE_MS / 8;
	for (uint64_t lsn = 1; lsn <= m->last; lsn++)
		history_append(&h, m->journal[lsn].epoch, lsn);
	m->core = replica_new(&o);
	m->is_alive = true;
	m->connect_to = -1;
	m->queue_count = 0;
	m->is_stepping = m->is_gate_open = m->wants_epoch = m->is_turn_open = m->is_flushing = false;
	m->directory = 0;
	m->is_joined = false;
	m->asked = 0;
	m->join_at = m->sim->now + sim_random(m->sim, 20 * MS);
	m->next_tick = m->sim->now;
	memset(m->links, 0, sizeof(m->links));
	ev.start.last = m->last;
	ev.start.durable = m->durable;
	ev.start.applied = m->applied;
	ev.start.history = &h;
	sim_trace(m->sim, "%s: starts with %llu entries, %llu applied", name(m), (unsigned long long)m->last,
	          (unsigned long long)m->applied);
	event(m, &ev);
}

void member_crash(struct member *m, bool is_power)
{
	/* What was not synced may be there, or not, or in part. */
	if (m->last > m->durable)
		m->last = m->durable + sim_random(m->sim, m->last - m->durable + 1);
	m->durable = m->last;
	if (is_power && m->last > 0)
		m->applied = m->journal[m->last].committed < m->applied ? m->journal[m->last].committed : m->applied;
	else if (is_power)
		m->applied = 0;
	sim_trace(m->sim, "%s: %s, keeping %llu entries", name(m), is_power ? "power lost" : "killed", (unsigned long long)m->last);
	for (size_t i = 0; i < m->sim->count; i++)
		close_link(m, i);
	if (m->directory != 0 && m->sim->joined[m->self] == m->directory)
		m->sim->joined[m->self] = 0;
	replica_free(&m->core);
	m->is_alive = false;
	m->is_flushing = false;
	m->paused_until = 0;
}

static void take_message(struct member *m, struct packet *p)
{
	const struct replica_event ev = { .type = EVENT_MESSAGE, .peer = (size_t)p->from, .message = &p->message,
		                          .history = p->history };

	if (m->links[p->from].conn != p->conn)
		return;
	m->packet = p;
	event(m, &ev);
	m->packet = NULL;
}

static void take_directory(struct member *m, const struct packet *p)
{
	static const char *const sets[] = { "", "a", "b", "a b", "c", "a c", "b c", "a b c" };
	static const char *const names[] = { "a", "b", "c" };
	struct replica_event ev = { .type = EVENT_CONFIG };

	if (p->conn != m->directory)
		return;
	switch (p->kind) {
	case PACKET_CONFIG:
		ev.reign.epoch = p->epoch;
		ev.reign.master = bytes_of(names[p->master]);
		ev.reign.in_sync = bytes_of(sets[p->in_sync]);
		event(m, &ev);
		break;
	case PACKET_JOINED:
		m->is_joined = true;
		sim_trace(m->sim, "%s: has joined", name(m));
		tell(m, EVENT_DIRECTORY_UP, 0, 0);
		break;
	case PACKET_ANSWER:
		m->asked--;
		ev = (struct replica_event){ .type = EVENT_ASK_ANSWERED, .epoch = p->epoch, .is_granted = p->is_granted };
		event(m, &ev);
		break;
	case PACKET_PROMOTE:
		ev = (struct replica_event){ .type = EVENT_PROMOTE, .peer = (size_t)p->master };
		event(m, &ev);
		break;
	default:
		sim_trace(m->sim, "%s: loses the arbiter", name(m));
		m->directory = 0;
		m->join_at = m->sim->now + 50 * MS;
		if (m->asked > 0)
			tell(m, EVENT_ASK_LOST, 0, 0);
		m->asked = 0;
		if (m->is_joined)
			tell(m, EVENT_DIRECTORY_DOWN, 0, 0);
		m->is_joined = false;
	}
}

void member_take(struct member *m, struct packet *p)
{
	const struct packet accept = { .kind = PACKET_ACCEPT, .conn = p->conn };
	const struct packet closed = { .kind = PACKET_CLOSED, .conn = p->conn };
	const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = (size_t)p->from };

	switch (p->kind) {
	case PACKET_DIAL:
		sim_send(m->sim, m->self, p->from, &accept);
		link_up(m, (size_t)p->from, p->conn);
		break;
	case PACKET_ACCEPT:
		if (m->dialled == p->conn && m->connect_to == p->from) {
			m->dialled = 0;
			link_up(m, (size_t)p->from, p->conn);
		} else {
			sim_send(m->sim, m->self, p->from, &closed); /* given up meanwhile */
		}
		break;
	case PACKET_MESSAGE:
		take_message(m, p);
		break;
	case PACKET_CLOSED:
		if (m->links[p->from].conn == p->conn && p->conn != 0) {
			sim_trace(m->sim, "%s: lost the connection with %d (%llu)", name(m), p->from, (unsigned long long)p->conn);
			m->links[p->from] = (struct sim_link){ 0 };
			event(m, &down);
		}
		break;
	default:
		take_directory(m, p);
	}
	packet_free(p);
}

void member_run(struct member *m)
{
	if (m->is_flushing && m->flush_at <= m->sim->now) {
		finish_flush(m);
		start_flush(m);
		pump(m);
		turn_begin(m, 0);
	}
	if (m->directory == 0 && m->join_at <= m->sim->now) {
		const struct packet join = { .kind = PACKET_JOIN, .conn = ++m->sim->conns };

		m->directory = join.conn;
		sim_send(m->sim, m->self, ARBITER, &join);
	}
	if (m->connect_to >= 0 && m->dial_at <= m->sim->now)
		dial(m);
	if (m->next_tick <= m->sim->now) {
		m->next_tick = m->sim->now + LEASE_MS * MS / 20;
		tell(m, EVENT_TICK, 0, 0);
	}
}

void member_write(struct member *m, unsigned count)
{
	if (member_acts(m))
		turn_begin(m, count);
}
