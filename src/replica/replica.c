/* replica.c - what all events share: the rules that follow from the state alone (who must have an entry, whether the
 * lease holds, what is committed), and the step that calls the event's own file. Those are on_directory.c,
 * on_local.c, on_peer.c, on_tick.c. */
#include "replica.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "replica_private.h"

struct replica *replica_new(const struct replica_options *options)
{
	struct replica *r = must_calloc(1, sizeof(*r));

	assert(options->count >= 1 && options->count <= REPLICA_MEMBERS_MAX && options->self < options->count);
	r->o = *options;
	r->role = REPLICA_WAITING;
	r->master = -1;
	r->hand_over_to = -1;
	return r;
}

void replica_free(struct replica **r)
{
	free(*r);
	*r = NULL;
}

struct replica_action *replica_act(struct replica *r, enum replica_action_type type)
{
	struct replica_action *a;

	assert(r->out->count < REPLICA_ACTIONS_MAX);
	a = &r->out->at[r->out->count++];
	*a = (struct replica_action){ .type = type };
	return a;
}

void replica_send(struct replica *r, size_t peer, const struct peer_message *m)
{
	struct replica_action *a = replica_act(r, ACTION_SEND);

	a->peer = peer;
	a->message = *m;
}

member_set_t replica_required(const struct replica *r)
{
	/* PacificA, section 2.4, adding replicas: the new member takes part in the prepare phase before the configuration
	 * names it, so that at no moment a member of a configuration lacks a committed entry. */
	return r->ask.is_open ? r->in_sync | r->ask.in_sync : r->in_sync;
}

bool replica_is_whole(const struct replica *r)
{
	/* Only in a server's first reign has a member of the set been nothing but named. */
	return r->durable >= r->floor && (r->last > 0 || r->epoch <= 1);
}

bool replica_lease_holds(const struct replica *r)
{
	return r->now_ms < replica_act_until(r) || replica_act_until(r) == UINT64_MAX;
}

uint64_t replica_grace_ms(const struct replica *r)
{
	return r->o.lease_ms + r->o.lease_ms / 4;
}

/* Whether a master of before us may still act, by a beacon that we acknowledged. If the configuration names it, it has to follow
 * us before anything is committed, and so has stopped; else there is only its lease. We asked without having acknowledged
 * anything for longer than that; but the grant may be the answer to what an earlier life of ours asked. */
static bool is_promised(const struct replica *r)
{
	if (r->now_ms >= r->promised_until)
		return false;
	for (size_t i = 0; i < r->o.count; i++) {
		if (i != r->o.self && (r->promised_to < 0 || r->promised_to == (int)i) && (r->in_sync & MEMBER_BIT(i)) == 0)
			return true;
	}
	return false;
}

void replica_advance(struct replica *r)
{
	member_set_t required = replica_required(r);
	uint64_t lsn = r->durable;
	struct replica_action *a;

	if (r->role != REPLICA_MASTER || r->opened_lsn == 0)
		return;
	if (!r->is_opened && is_promised(r))
		return;
	/* PacificA, Commit Invariant: committed at the primary is within prepared at every replica. And section 2.5: without
	 * the lease of every member the primary processes no request. */
	for (size_t i = 0; i < r->o.count; i++) {
		if (i == r->o.self || (required & MEMBER_BIT(i)) == 0)
			continue;
		if (!r->peers[i].is_welcomed || r->now_ms >= r->peers[i].lease_until)
			return;
		if (!r->o.is_async && r->peers[i].acked < lsn)
			lsn = r->peers[i].acked;
	}
	if (lsn <= r->committed)
		return;
	/* What earlier reigns left becomes committed only together with the epoch entry of this one. */
	if (!r->is_opened && lsn < r->opened_lsn)
		return;
	r->committed = lsn;
	a = replica_act(r, ACTION_COMMIT);
	a->lsn = lsn;
}

void replica_ask(struct replica *r, size_t master, member_set_t in_sync)
{
	struct replica_action *a;

	if (r->ask.is_open || !r->is_directory_up || r->is_failed)
		return;
	r->ask = (struct replica_ask){ .is_open = true, .epoch = r->epoch, .master = master, .in_sync = in_sync };
	r->last_ask_ms = r->now_ms;
	a = replica_act(r, ACTION_ASK);
	a->epoch = r->epoch;
	a->master = master;
	a->in_sync = in_sync;
}

void replica_set_gate(struct replica *r, bool is_open)
{
	if (r->is_gate_open == is_open)
		return;
	r->is_gate_open = is_open;
	replica_act(r, ACTION_GATE)->is_open = is_open;
}

void replica_step(struct replica *r, const struct replica_event *ev, struct replica_actions *out)
{
	out->count = 0;
	r->out = out;
	if (ev->now_ms > r->now_ms)
		r->now_ms = ev->now_ms;
	switch (ev->type) {
	case EVENT_START:
		replica_on_start(r, ev);
		break;
	case EVENT_TICK:
		break;
	case EVENT_CONFIG:
		replica_on_config(r, ev);
		break;
	case EVENT_ASK_ANSWERED:
		replica_on_ask_answered(r, ev);
		break;
	case EVENT_ASK_LOST:
		replica_on_ask_lost(r);
		break;
	case EVENT_DIRECTORY_UP:
		replica_on_directory(r, true);
		break;
	case EVENT_DIRECTORY_DOWN:
		replica_on_directory(r, false);
		break;
	case EVENT_PEER_UP:
		replica_on_peer_up(r, ev->peer);
		break;
	case EVENT_PEER_DOWN:
		replica_on_peer_down(r, ev->peer);
		break;
	case EVENT_MESSAGE:
		replica_on_message(r, ev);
		break;
	case EVENT_FOLLOWED:
		replica_on_followed(r, ev);
		break;
	case EVENT_LOCAL_APPENDED:
		replica_on_appended(r, ev);
		break;
	case EVENT_LOCAL_DURABLE:
		replica_on_durable(r, ev->lsn);
		break;
	case EVENT_LOCAL_FAILED:
		replica_on_failed(r);
		break;
	case EVENT_APPLIED:
		replica_on_applied(r, ev->lsn);
		break;
	case EVENT_SAVED:
		replica_on_saved(r, ev->lsn);
		break;
	case EVENT_COPIED:
		replica_on_copied(r, ev);
		break;
	case EVENT_PROMOTE:
		replica_on_promote(r, ev->peer);
		break;
	}
	replica_on_tick(r);
	r->out = NULL;
}

enum replica_role replica_role(const struct replica *r)
{
	return r->role;
}

uint64_t replica_epoch(const struct replica *r)
{
	return r->epoch;
}

int replica_master(const struct replica *r)
{
	return r->master;
}

member_set_t replica_in_sync(const struct replica *r)
{
	return r->in_sync;
}

uint64_t replica_committed(const struct replica *r)
{
	return r->committed;
}

uint64_t replica_act_until(const struct replica *r)
{
	member_set_t required = replica_required(r);
	uint64_t until = UINT64_MAX;

	if (r->role != REPLICA_MASTER)
		return 0;
	for (size_t i = 0; i < r->o.count; i++) {
		if (i != r->o.self && (required & MEMBER_BIT(i)) != 0 && r->peers[i].lease_until < until)
			until = r->peers[i].lease_until;
	}
	return until;
}

uint64_t replica_replicated(const struct replica *r)
{
	member_set_t required = replica_required(r);
	uint64_t lsn = UINT64_MAX;

	if (!r->o.is_async)
		return UINT64_MAX;
	if (r->role != REPLICA_MASTER)
		return r->heard_replicated;
	for (size_t i = 0; i < r->o.count; i++) {
		if (i != r->o.self && (required & MEMBER_BIT(i)) != 0 && r->peers[i].acked < lsn)
			lsn = r->peers[i].acked;
	}
	return lsn;
}

bool replica_may_act(const struct replica *r, uint64_t now_ms)
{
	return r->role == REPLICA_MASTER && r->is_opened && !r->is_failed && now_ms < replica_act_until(r);
}

uint64_t replica_acked(const struct replica *r, size_t peer)
{
	return peer == r->o.self ? r->durable : r->peers[peer].acked;
}

bool replica_is_connected(const struct replica *r, size_t peer)
{
	return peer == r->o.self || r->peers[peer].is_connected;
}
