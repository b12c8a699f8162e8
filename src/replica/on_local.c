/* on_local.c - what happened to the member's own journal, and what its operator wants. */
#include "replica_private.h"

static void note_journal(struct replica *r, const struct replica_event *ev)
{
	uint64_t epoch;

	r->history = *ev->start.history;
	r->last = ev->start.last;
	r->durable = ev->start.durable;
	r->applied = r->committed = ev->start.applied;
	r->floor = ev->start.floor;
	r->heard_committed = r->heard_replicated = 0;
	epoch = history_epoch(&r->history, r->last);
	r->seen_epoch = epoch > r->seen_epoch ? epoch : r->seen_epoch;
}

void replica_on_start(struct replica *r, const struct replica_event *ev)
{
	note_journal(r, ev);
	r->heard_ms = r->now_ms;
	/* Who holds nothing was in no in-sync set, and nobody's lease. */
	r->promised_until = r->last > 0 ? r->now_ms + replica_grace_ms(r) : 0;
	r->promised_to = -1;
}

void replica_on_copied(struct replica *r, const struct replica_event *ev)
{
	note_journal(r, ev);
}

void replica_on_appended(struct replica *r, const struct replica_event *ev)
{
	if (ev->lsn <= r->last)
		return;
	history_append(&r->history, ev->epoch, r->last + 1);
	r->last = ev->lsn;
	if (r->role == REPLICA_MASTER && r->opened_lsn == 0 && ev->epoch == r->epoch)
		r->opened_lsn = ev->lsn;
}

void replica_on_followed(struct replica *r, const struct replica_event *ev)
{
	if (ev->lsn <= r->last)
		return;
	history_append(&r->history, ev->epoch, ev->lsn);
	r->last = ev->lsn;
}

void replica_on_durable(struct replica *r, uint64_t lsn)
{
	/* A flush that ended while the journal was being cut speaks of entries that are gone: acknowledging them would let the
	 * master commit what this member has not. */
	if (lsn > r->last)
		lsn = r->last;
	if (lsn <= r->durable)
		return;
	r->durable = lsn;
	if (r->role == REPLICA_MASTER) {
		replica_advance(r);
	} else if (r->role == REPLICA_FOLLOWER && r->is_welcome && r->master >= 0 && !r->ask.is_open) {
		const struct peer_message ack = { .type = MESSAGE_ACK, .epoch = r->epoch, .lsn = r->durable };

		/* PacificA, section 2.2: the secondary acknowledges what it has inserted into its prepared list, here: on disk. */
		replica_send(r, (size_t)r->master, &ack);
		replica_note_committed(r, r->heard_committed);
	}
}

void replica_on_failed(struct replica *r)
{
	if (r->is_failed)
		return;
	r->is_failed = true;
	replica_set_gate(r, false);
	/* It can follow no more: the master goes on without it. */
	if (r->role == REPLICA_FOLLOWER && r->master >= 0 && r->peers[r->master].is_connected)
		replica_act(r, ACTION_DISCONNECT)->peer = (size_t)r->master;
	replica_act(r, ACTION_REPORT)->text = "the journal cannot be written: this member stops acting until it is restarted";
}

void replica_on_applied(struct replica *r, uint64_t lsn)
{
	r->applied = lsn;
	if (r->role == REPLICA_MASTER && !r->is_opened && r->opened_lsn != 0 && lsn >= r->opened_lsn)
		r->is_opened = true;
}

void replica_on_saved(struct replica *r, uint64_t lsn)
{
	history_truncate(&r->history, lsn);
	r->last = r->durable = r->applied = r->committed = lsn;
	r->heard_committed = r->heard_replicated = 0;
}

void replica_on_promote(struct replica *r, size_t peer)
{
	if (r->role != REPLICA_MASTER || peer == r->o.self || r->hand_over_to >= 0)
		return;
	if (peer >= r->o.count || (r->in_sync & MEMBER_BIT(peer)) == 0 || !r->peers[peer].is_welcomed) {
		replica_act(r, ACTION_REPORT)->text = "asked to hand over to a member that is not in sync: not done";
		return;
	}
	r->hand_over_to = (int)peer;
	r->hand_over_ms = r->now_ms;
}
