/* sim_link.c - a member's connections with the others, as src/backend/driver_sync.c has them.
 *
 * A follower dials; both ends know each other only after an authentication of two exchanges, so that a connection which the
 * dialler has given up meanwhile never becomes one. The newer connection of a member replaces the older. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

#define STREAM_ENTRIES 8
#define REDIAL_FIRST (2 * MS)
#define REDIAL (50 * MS)
#define REFUSED (3 * SECOND)
#define DIAL_LIMIT (3 * SECOND)
#define SILENT_LEASES 10

static const char *name(const struct member *m)
{
	return sim_names[m->self];
}

static void forget(struct member *m, size_t peer)
{
	sim_close(m->sim, m->self, (int)peer, m->links[peer].conn);
	m->links[peer].conn = 0;
	m->links[peer].is_streaming = false;
}

static void redial_later(struct member *m)
{
	if (m->connect_to < 0 || m->dialled != 0 || m->links[m->connect_to].conn != 0)
		return;
	m->dial_at = m->sim->now + (m->has_refused ? REFUSED : m->dial_pause);
	m->dial_pause = m->dial_pause * 2 > REDIAL ? REDIAL : m->dial_pause * 2;
}

void link_disconnect(struct member *m, size_t peer)
{
	const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = peer };

	if (m->links[peer].conn == 0)
		return;
	sim_trace(m->sim, "%s: drops the connection with %s (%llu)", name(m), sim_names[peer],
	          (unsigned long long)m->links[peer].conn);
	forget(m, peer);
	member_event(m, &down);
	redial_later(m);
}

static void link_up(struct member *m, size_t peer, uint64_t conn)
{
	const struct replica_event up = { .type = EVENT_PEER_UP, .peer = peer };

	link_disconnect(m, peer);
	sim_trace(m->sim, "%s: connected with %s (%llu)", name(m), sim_names[peer], (unsigned long long)conn);
	m->links[peer].conn = conn;
	m->links[peer].traffic_at = m->sim->now;
	member_event(m, &up);
}

static void give_up_dial(struct member *m)
{
	/* Whom it went to is in connect_to until that changes. */
	if (m->dialled != 0 && m->connect_to >= 0)
		sim_close(m->sim, m->self, m->connect_to, m->dialled);
	m->dialled = 0;
}

void link_connect(struct member *m, int peer)
{
	if (peer != m->connect_to)
		give_up_dial(m);
	m->connect_to = peer;
	m->dial_pause = REDIAL_FIRST;
	m->dial_at = peer < 0 ? NEVER : m->sim->now;
}

void link_send(struct member *m, size_t peer, const struct peer_message *message)
{
	struct packet p = { .kind = PACKET_MESSAGE, .conn = m->links[peer].conn, .message = *message };

	if (p.conn == 0)
		return;
	if (message->type == MESSAGE_HELLO) {
		p.history = must_alloc(sizeof(*p.history));
		*p.history = *message->history;
	}
	p.message.history = NULL;
	m->links[peer].traffic_at = m->sim->now;
	sim_send(m->sim, m->self, (int)peer, &p);
}

static void pump(struct member *m, size_t peer)
{
	struct sim_link *l = &m->links[peer];
	/* What is durable here, and the present turn. */
	uint64_t end = m->is_turn_open ? m->turn_last : m->disk.safe;

	while (l->is_streaming && l->next <= end) {
		struct packet p = { .kind = PACKET_MESSAGE, .conn = l->conn, .first = l->next };

		p.count = end - l->next + 1 < STREAM_ENTRIES ? end - l->next + 1 : STREAM_ENTRIES;
		p.entries = must_calloc(p.count, sizeof(*p.entries));
		memcpy(p.entries, &m->disk.at[l->next], p.count * sizeof(*p.entries));
		p.message = (struct peer_message){ .type = MESSAGE_ENTRIES, .epoch = replica_epoch(m->core),
			                           .committed = replica_committed(m->core) };
		l->next += p.count;
		l->traffic_at = m->sim->now;
		sim_send(m->sim, m->self, (int)peer, &p);
	}
}

void link_pump(struct member *m)
{
	for (size_t i = 0; i < m->sim->count; i++)
		pump(m, i);
}

void link_stream(struct member *m, size_t peer, uint64_t from)
{
	if (m->links[peer].conn == 0)
		return;
	m->links[peer].is_streaming = true;
	m->links[peer].next = from;
	pump(m, peer);
}

void link_give(struct member *m, size_t peer, uint64_t common)
{
	struct packet p = { .kind = PACKET_MESSAGE, .conn = m->links[peer].conn, .first = 1 };

	if (p.conn == 0 || m->applied <= common)
		return;
	m->links[peer].is_streaming = false;
	p.count = common + 1 + sim_random(m->sim, m->applied - common);
	p.entries = must_calloc(p.count, sizeof(*p.entries));
	memcpy(p.entries, &m->disk.at[1], p.count * sizeof(*p.entries));
	p.message = (struct peer_message){ .type = MESSAGE_OFFER, .epoch = replica_epoch(m->core), .lsn = common,
		                           .committed = m->applied, .copy.lsn = p.count };
	sim_trace(m->sim, "%s: gives %s a copy of %llu entries, whole at %llu", name(m), sim_names[peer],
	          (unsigned long long)p.count, (unsigned long long)m->applied);
	sim_send(m->sim, m->self, (int)peer, &p);
}

static void answer(struct member *m, const struct packet *p, enum packet_kind kind)
{
	const struct packet next = { .kind = kind, .conn = p->conn };

	sim_send(m->sim, m->self, p->from, &next);
}

static void take_message(struct member *m, struct packet *p)
{
	struct replica_event ev = { .type = EVENT_MESSAGE, .peer = (size_t)p->from, .message = &p->message,
		                    .history = p->history };

	/* Of what is applied any part may be away by now. */
	if (p->message.type == MESSAGE_HELLO && sim_random(m->sim, 4) == 0)
		ev.kept.first = 1 + sim_random(m->sim, m->applied + 1);
	if (p->message.type == MESSAGE_HELLO)
		ev.kept.prefers_copy = m->applied > 0 && sim_random(m->sim, 4) == 0;
	if (m->links[p->from].conn != p->conn)
		return;
	if (m->sim->bug == BUG_COMMON_BY_LSN && p->history != NULL) {
		p->history->count = 0;
		for (uint64_t lsn = 1; lsn <= p->message.lsn; lsn++)
			history_append(p->history, disk_epoch(&m->disk, lsn <= m->disk.last ? lsn : m->disk.last), lsn);
	}
	m->links[p->from].traffic_at = m->sim->now;
	m->packet = p;
	member_event(m, &ev);
	m->packet = NULL;
}

static void take_closed(struct member *m, const struct packet *p)
{
	struct sim_link *l = &m->links[p->from];

	if (l->coming == p->conn)
		l->coming = 0;
	if (m->dialled == p->conn) {
		m->dialled = 0;
		redial_later(m);
	}
	if (l->conn == p->conn) {
		const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = (size_t)p->from };

		sim_trace(m->sim, "%s: lost the connection with %s (%llu)", name(m), sim_names[p->from],
		          (unsigned long long)p->conn);
		l->conn = 0;
		l->is_streaming = false;
		member_event(m, &down);
		redial_later(m);
	}
}

void link_take(struct member *m, struct packet *p)
{
	struct sim_link *l = &m->links[p->from];

	switch (p->kind) {
	case PACKET_DIAL:
		l->coming = p->conn;
		answer(m, p, PACKET_CHALLENGE);
		break;
	case PACKET_CHALLENGE:
		answer(m, p, m->dialled == p->conn ? PACKET_RESPONSE : PACKET_CLOSED);
		break;
	case PACKET_RESPONSE:
		if (l->coming != p->conn) {
			answer(m, p, PACKET_CLOSED);
			break;
		}
		l->coming = 0;
		answer(m, p, PACKET_ACCEPT);
		link_up(m, (size_t)p->from, p->conn);
		break;
	case PACKET_ACCEPT:
		if (m->dialled != p->conn) {
			answer(m, p, PACKET_CLOSED);
			break;
		}
		m->dialled = 0;
		link_up(m, (size_t)p->from, p->conn);
		break;
	case PACKET_MESSAGE:
		take_message(m, p);
		break;
	default:
		take_closed(m, p);
	}
}

uint64_t link_due(const struct member *m)
{
	if (m->connect_to < 0 || m->links[m->connect_to].conn != 0)
		return NEVER;
	return m->dialled != 0 ? m->dialled_until : m->dial_at;
}

static void dial(struct member *m)
{
	const struct packet p = { .kind = PACKET_DIAL, .conn = ++m->sim->conns };

	if (m->has_refused && (m->disk.is_flushing || disk_is_full(m->sim, &m->disk))) {
		m->dial_at = m->sim->now + REFUSED;
		return;
	}
	m->has_refused = false;
	m->dialled = p.conn;
	m->dialled_until = m->sim->now + DIAL_LIMIT;
	sim_send(m->sim, m->self, m->connect_to, &p);
}

void link_run(struct member *m)
{
	for (size_t i = 0; i < m->sim->count; i++) {
		if (m->links[i].conn != 0 && m->sim->now > m->links[i].traffic_at + SILENT_LEASES * LEASE_MS * MS)
			link_disconnect(m, i);
	}
	if (link_due(m) > m->sim->now)
		return;
	if (m->dialled != 0) {
		give_up_dial(m);
		redial_later(m);
	} else {
		dial(m);
	}
}

void link_close_all(struct member *m)
{
	for (size_t i = 0; i < m->sim->count; i++)
		forget(m, i);
	give_up_dial(m);
}
