/* sim_turn.c - a member's turns and its journal, as src/backend/driver_turn.c and the store have them: one turn at a time,
 * one flush at a time; a follower appends while a flush runs. */
#include <string.h>

#include "sim.h"

#define TURN_REQUESTS 8

static const char *name(const struct member *m)
{
	return sim_names[m->self];
}

static void answer(struct member *m, const struct sim_request *r, enum sim_result result)
{
	const struct packet p = { .kind = PACKET_RESULT, .conn = r->conn, .op = r->op, .client = r->client, .result = result };

	if (result == RESULT_OK)
		check_ack(m->sim, m, r->op, r->lsn);
	sim_send(m->sim, m->self, CLIENTS, &p);
}

static void answer_turn(struct member *m, enum sim_result result)
{
	for (size_t i = 0; i < m->in_turn_count; i++)
		answer(m, &m->in_turn[i], result);
	m->in_turn_count = 0;
}

void turn_fail_waiting(struct member *m)
{
	for (size_t i = 0; i < m->waiting_count; i++)
		answer(m, &m->waiting[i], RESULT_NOT_MASTER);
	m->waiting_count = 0;
}

void turn_submit(struct member *m, const struct packet *p)
{
	const struct sim_request r = { .conn = p->conn, .op = p->op, .client = p->client };

	if (replica_role(m->core) != REPLICA_MASTER || m->waiting_count == SIM_REQUESTS_MAX) {
		answer(m, &r, RESULT_NOT_MASTER);
		return;
	}
	m->waiting[m->waiting_count++] = r;
	turn_begin(m);
}

/* The journal. */

void turn_start_flush(struct member *m)
{
	disk_flush_begin(m->sim, &m->disk);
}

static void failed(struct member *m)
{
	sim_trace(m->sim, "%s: the journal has failed", name(m));
	member_tell(m, EVENT_LOCAL_FAILED, 0, 0);
	/* It ends itself, and is started anew. */
	m->is_stopping = true;
	m->stop_at = m->sim->now + sim_random(m->sim, 2 * SECOND);
}

void turn_finish_flush(struct member *m)
{
	if (!disk_flush_end(m->sim, &m->disk)) {
		failed(m);
		return;
	}
	if (m->sim->bug == BUG_ACK_EARLY && m->is_turn_open && m->disk.safe >= m->turn_last)
		answer_turn(m, RESULT_OK);
	if (m->sim->bug == BUG_APPLY_AHEAD && replica_role(m->core) != REPLICA_MASTER)
		turn_commit(m, m->disk.safe);
	member_tell(m, EVENT_LOCAL_DURABLE, m->disk.safe, 0);
}

/* Let a running flush end: meanwhile the writer stands still. */
static void wait_flush(struct member *m)
{
	if (!m->disk.is_flushing)
		return;
	if (m->disk.flush_at > m->paused_until)
		m->paused_until = m->disk.flush_at;
	turn_finish_flush(m);
}

/* A master. */

/* Where OP stands already; 0: nowhere. */
static uint64_t find_op(const struct member *m, uint64_t op)
{
	for (uint64_t lsn = m->disk.last; lsn > 0; lsn--) {
		if (m->sim->bug == BUG_FORGET_OPS && m->disk.at[lsn].epoch != replica_epoch(m->core))
			return 0;
		if (m->disk.at[lsn].op == op)
			return lsn;
	}
	return 0;
}

static struct sim_entry entry(struct member *m, uint64_t op)
{
	return (struct sim_entry){ .epoch = replica_epoch(m->core), .op = op, .committed = m->applied, .master = -1,
		                   .size = 64 + 8 * (uint32_t)sim_random(m->sim, sim_random(m->sim, 4) == 0 ? 500 : 40) };
}

static bool append_epoch(struct member *m)
{
	struct sim_entry e = entry(m, 0);

	e.master = (int8_t)m->self;
	e.in_sync = m->epoch_in_sync;
	return disk_append(m->sim, &m->disk, &e);
}

static void append_writes(struct member *m)
{
	for (size_t i = 0; i < m->in_turn_count; i++) {
		struct sim_request *r = &m->in_turn[i];
		const struct sim_entry e = entry(m, r->op);

		r->lsn = find_op(m, r->op);
		if (r->lsn == 0 && disk_append(m->sim, &m->disk, &e))
			r->lsn = m->disk.last;
	}
}

static void gather(struct member *m)
{
	size_t n = m->is_gate_open ? m->waiting_count : 0;

	n = n < TURN_REQUESTS ? n : TURN_REQUESTS;
	memcpy(m->in_turn, m->waiting, n * sizeof(m->in_turn[0]));
	m->in_turn_count = n;
	m->waiting_count -= n;
	memmove(m->waiting, m->waiting + n, m->waiting_count * sizeof(m->waiting[0]));
}

void turn_begin(struct member *m)
{
	bool may_act = member_acts(m) || m->sim->bug == BUG_TURN_NO_LEASE;

	if (m->is_turn_open || m->disk.is_flushing || m->is_stepping || replica_role(m->core) != REPLICA_MASTER)
		return;
	/* Without the lease nothing is begun: it would be answered from what may be out of date. */
	if (!m->wants_epoch && (!m->is_gate_open || m->waiting_count == 0 || !may_act))
		return;
	gather(m);
	if (disk_is_full(m->sim, &m->disk) || m->disk.is_failed) {
		answer_turn(m, RESULT_NO_SPACE);
		return;
	}
	m->turn_first = m->disk.last + 1;
	if (m->wants_epoch) {
		m->wants_epoch = false;
		(void)append_epoch(m);
	}
	append_writes(m);
	m->turn_last = m->disk.last;
	if (m->turn_last < m->turn_first) {
		answer_turn(m, RESULT_OK); /* all of it was there already, and committed */
		return;
	}
	m->is_turn_open = true;
	member_tell(m, EVENT_LOCAL_APPENDED, m->turn_last, replica_epoch(m->core));
	link_pump(m);
	turn_start_flush(m);
}

void turn_abort(struct member *m)
{
	if (!m->is_turn_open)
		return;
	wait_flush(m);
	m->is_turn_open = false;
	answer_turn(m, RESULT_NOT_MASTER);
}

void turn_commit(struct member *m, uint64_t lsn)
{
	if (replica_role(m->core) == REPLICA_MASTER) {
		if (!m->is_turn_open || lsn < m->turn_last)
			return;
		check_commit(m->sim, m, m->applied + 1, m->turn_last);
		m->is_turn_open = false;
		m->applied = m->turn_last;
		answer_turn(m, RESULT_OK);
	} else {
		if (lsn > m->disk.safe)
			lsn = m->disk.safe;
		if (lsn <= m->applied)
			return;
		check_commit(m->sim, m, m->applied + 1, lsn);
		m->applied = lsn;
	}
	member_tell(m, EVENT_APPLIED, m->applied, 0);
}

/* A follower. */

static bool follow_one(struct member *m, const struct sim_entry *e, uint64_t lsn)
{
	struct sim_disk *d = &m->disk;

	if (lsn <= d->last)
		return disk_epoch(d, lsn) == e->epoch; /* is here already, or differs */
	if (lsn > d->last + 1 || e->epoch < disk_epoch(d, d->last))
		return false;
	if (!disk_append(m->sim, d, e)) {
		m->has_refused = true;
		return false;
	}
	member_tell(m, EVENT_FOLLOWED, lsn, e->epoch);
	return true;
}

void turn_follow(struct member *m)
{
	const struct packet *p = m->packet;

	for (uint64_t i = 0; i < p->count; i++) {
		if (!follow_one(m, &p->entries[i], p->first + i)) {
			link_disconnect(m, (size_t)p->from);
			break;
		}
	}
	turn_start_flush(m);
	if (m->sim->bug == BUG_ACK_UNSYNCED)
		member_tell(m, EVENT_LOCAL_DURABLE, m->disk.last, 0);
}

void turn_truncate(struct member *m, uint64_t lsn)
{
	wait_flush(m);
	sim_trace(m->sim, "%s: truncates %llu to %llu", name(m), (unsigned long long)m->disk.last, (unsigned long long)lsn);
	if (lsn < m->applied)
		sim_problem(m->sim, "%s: told to drop what is committed: %llu, applied %llu", name(m), (unsigned long long)lsn,
		            (unsigned long long)m->applied);
	if (m->disk.is_failed || m->sim->bug == BUG_NO_TRUNCATE)
		return;
	disk_truncate(&m->disk, lsn);
}

void turn_save(struct member *m, uint64_t lsn)
{
	wait_flush(m);
	if (m->disk.is_failed)
		return;
	if (m->sim->bug != BUG_SAVE_NOTHING)
		check_save(m->sim, m, lsn);
	disk_truncate(&m->disk, lsn);
	m->applied = lsn;
	member_tell(m, EVENT_SAVED, lsn, 0);
}

void turn_take(struct member *m)
{
	const struct packet *p = m->packet;
	struct replica_event ev = { .type = EVENT_COPIED };
	struct sim_disk *d = &m->disk;

	wait_flush(m);
	link_disconnect(m, (size_t)p->from);
	if (d->is_failed || disk_is_full(m->sim, d)) {
		m->has_refused = true;
		return;
	}
	sim_trace(m->sim, "%s: takes a copy of %llu entries in the place of %llu", name(m), (unsigned long long)p->count,
	          (unsigned long long)d->last);
	if (p->count < m->applied)
		sim_problem(m->sim, "%s: takes a copy of %llu entries and has applied %llu", name(m), (unsigned long long)p->count,
		            (unsigned long long)m->applied);
	disk_truncate(d, 0);
	m->copied.count = 0;
	for (uint64_t i = 0; i < p->count; i++) {
		(void)disk_append(m->sim, d, &p->entries[i]);
		history_append(&m->copied, p->entries[i].epoch, d->last);
	}
	disk_make_safe(d);
	check_commit(m->sim, m, 1, p->count);
	m->applied = p->count;
	m->floor = p->message.committed;
	ev.start.last = ev.start.durable = ev.start.applied = p->count;
	ev.start.floor = m->floor;
	ev.start.history = &m->copied;
	member_event(m, &ev);
}
