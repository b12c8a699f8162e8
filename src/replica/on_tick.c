/* on_tick.c - what the passing of time, or any other event, makes due. */
#include "replica_private.h"

/* An in-sync member that lives but makes nothing durable for so many leases (its disk hangs, or is full) is dropped from the
 * set, so that it does not stop the others for ever. */
#define STALL_LEASES 10

void replica_beacon(struct replica *r)
{
	uint64_t replicated = replica_replicated(r);
	const struct peer_message beacon = { .type = MESSAGE_BEACON, .epoch = r->epoch,
		                        .lsn = replicated < r->durable ? replicated : r->durable, .committed = r->committed,
		                        .time_ms = r->now_ms };

	r->beacon_ms = r->now_ms;
	for (size_t i = 0; i < r->o.count; i++) {
		if (i != r->o.self && r->peers[i].is_welcomed)
			replica_send(r, i, &beacon);
	}
}

/* It lives, and gets nowhere. */
static bool is_stalled(const struct replica *r, const struct replica_peer *p)
{
	return p->acked < r->last && r->now_ms >= p->progress_ms + STALL_LEASES * r->o.lease_ms;
}

/* A member of the in-sync set that keeps us from acting: its lease is lost, or its connection for a while. -1: none. */
static int find_lost(const struct replica *r)
{
	for (size_t i = 0; i < r->o.count; i++) {
		const struct replica_peer *p = &r->peers[i];

		if (i == r->o.self || (r->in_sync & MEMBER_BIT(i)) == 0)
			continue;
		if ((r->o.remote & MEMBER_BIT(i)) != 0)
			return (int)i;
		if (!p->is_welcomed && r->now_ms >= p->lost_ms + r->o.lease_ms / 4 && p->lease_until != 0)
			return (int)i;
		if (is_stalled(r, p))
			return (int)i;
		/* Asked before the lease is over, so that a slow member costs the others no pause. */
		if (r->now_ms + r->o.lease_ms / 4 >= p->lease_until && r->now_ms >= p->lost_ms + r->o.lease_ms)
			return (int)i;
	}
	return -1;
}

/* A member that follows, has everything committed, and is not in the set. It has heard a beacon lately and is getting on: one that
 * is dropped because it does not would else be taken in again at once, and dropped again, as fast as the directory answers. */
static int find_ready(const struct replica *r)
{
	for (size_t i = 0; i < r->o.count; i++) {
		const struct replica_peer *p = &r->peers[i];

		if (i != r->o.self && ((r->in_sync | r->o.remote) & MEMBER_BIT(i)) == 0 && p->is_welcomed && p->acked >= r->committed &&
		    r->now_ms + r->o.lease_ms / 2 < p->lease_until && !is_stalled(r, p))
			return (int)i;
	}
	return -1;
}

static void hand_over(struct replica *r)
{
	size_t to = (size_t)r->hand_over_to;

	if (!r->peers[to].is_welcomed || r->now_ms > r->hand_over_ms + 2 * r->o.lease_ms) {
		if (r->ask.is_open)
			return; /* it may have been granted: nothing is accepted until we know */
		r->hand_over_to = -1;
		replica_act(r, ACTION_REPORT)->text = "the hand-over did not come about; the reign goes on";
		return;
	}
	/* Everything we have is committed, and on the member that takes over: nothing is left to lose. */
	if (r->committed == r->last && r->applied == r->last && r->peers[to].acked == r->last)
		replica_ask(r, to, r->in_sync);
}

static void note_progress(struct replica *r)
{
	for (size_t i = 0; i < r->o.count; i++) {
		if (r->peers[i].acked >= r->last)
			r->peers[i].progress_ms = r->now_ms;
	}
}

static void master_due(struct replica *r)
{
	int lost, ready;

	/* One whose journal is broken beacons no more, so that an in-sync member takes over. */
	if (r->opened_lsn == 0 || r->is_failed)
		return;
	note_progress(r);
	if (r->now_ms >= r->beacon_ms + r->o.lease_ms / 5)
		replica_beacon(r);
	replica_advance(r);
	replica_set_gate(r, r->is_opened && r->hand_over_to < 0 && !r->is_failed);
	if (r->hand_over_to >= 0) {
		hand_over(r);
		return;
	}
	lost = find_lost(r);
	if (lost >= 0) {
		replica_ask(r, r->o.self, r->in_sync & ~MEMBER_BIT(lost));
		return;
	}
	ready = r->is_opened ? find_ready(r) : -1;
	if (ready >= 0)
		replica_ask(r, r->o.self, r->in_sync | MEMBER_BIT(ready));
}

static void follower_due(struct replica *r)
{
	uint64_t grace_ms = replica_grace_ms(r);
	member_set_t in_sync = r->in_sync;
	bool is_own_reign = r->master == (int)r->o.self; /* of an earlier life */

	if ((r->in_sync & MEMBER_BIT(r->o.self)) == 0 || r->is_failed || r->ask.is_open || !replica_is_whole(r))
		return;
	if (!is_own_reign && (r->o.remote & MEMBER_BIT(r->o.self)) != 0)
		return;
	if (!is_own_reign && (r->now_ms < r->heard_ms + grace_ms || r->now_ms < r->last_ask_ms + r->o.lease_ms / 4))
		return;
	/* PacificA, section 2.5: the grace period of a secondary is longer than the lease of the primary, so that the old
	 * primary has stopped before a new one can be. */
	if (!is_own_reign && r->master >= 0)
		in_sync &= ~MEMBER_BIT(r->master);
	replica_ask(r, r->o.self, in_sync);
}

void replica_on_tick(struct replica *r)
{
	replica_reconsider(r);
	if (r->role == REPLICA_MASTER)
		master_due(r);
	else if (r->role == REPLICA_FOLLOWER)
		follower_due(r);
}
