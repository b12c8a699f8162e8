/* on_peer.c - connections between members, and what is said over them. */
#include "replica_private.h"

static void say_hello(struct replica *r, size_t master)
{
	const struct peer_message hello = { .type = MESSAGE_HELLO, .epoch = r->epoch, .lsn = r->durable, .committed = r->applied,
		                       .history = &r->history };

	replica_send(r, master, &hello);
}

static void disconnect(struct replica *r, size_t peer)
{
	replica_act(r, ACTION_DISCONNECT)->peer = peer;
}

void replica_on_peer_up(struct replica *r, size_t peer)
{
	struct replica_peer *p = &r->peers[peer];

	p->is_connected = true;
	p->is_welcomed = false;
	if ((int)peer == r->master)
		r->has_missed = false;
	if (r->role == REPLICA_FOLLOWER && (int)peer == r->master) {
		r->is_welcome = false;
		if (r->is_failed)
			disconnect(r, peer);
		else
			say_hello(r, peer);
	}
}

void replica_on_peer_down(struct replica *r, size_t peer)
{
	struct replica_peer *p = &r->peers[peer];

	p->is_connected = false;
	p->is_welcomed = false;
	p->lost_ms = r->now_ms;
	if ((int)peer == r->master)
		r->is_welcome = false;
}

/* Master: a follower says what it holds. */
static void on_hello(struct replica *r, size_t peer, const struct replica_event *ev)
{
	struct replica_peer *p = &r->peers[peer];
	const struct peer_message *m = ev->message;
	struct peer_message answer = { .epoch = r->epoch, .committed = r->committed };
	struct replica_action *a;

	if (r->role != REPLICA_MASTER || r->opened_lsn == 0 || m->epoch > r->epoch) {
		answer.type = MESSAGE_REFUSE;
		replica_send(r, peer, &answer);
		return;
	}
	/* PacificA, Reconfiguration: the new primary's prepared list is the truth; a replica drops what it alone has. */
	answer.type = MESSAGE_WELCOME;
	answer.lsn = history_common(&r->history, r->last, ev->history, m->lsn);
	p->acked = answer.lsn;
	if (answer.lsn + 1 < ev->kept.first || (answer.lsn == 0 && ev->kept.prefers_copy)) {
		p->is_welcomed = false; /* until it has taken a copy and says HELLO again */
		a = replica_act(r, ACTION_GIVE);
		a->peer = peer;
		a->lsn = answer.lsn;
		return;
	}
	p->is_welcomed = true;
	/* What it promised by its acknowledgements stands, in a new life, too: there it waits from its start. */
	p->lost_ms = r->now_ms; /* it has a lease's time to acknowledge a beacon */
	replica_send(r, peer, &answer);
	a = replica_act(r, ACTION_STREAM);
	a->peer = peer;
	a->lsn = answer.lsn + 1;
	r->beacon_ms = 0; /* a beacon at once: its lease lets us act */
}

/* The master has of our journal what M->lsn says. False: so it cannot be followed, or not yet; that was dealt with. */
static bool may_part(struct replica *r, size_t peer, const struct peer_message *m)
{
	if (r->is_welcome || m->lsn > r->last) {
		disconnect(r, peer);
		return false;
	}
	if (m->lsn < r->last && r->o.saves) {
		/* No connection meanwhile: it may take long. Then HELLO names what is left, which is a prefix of the master's. */
		disconnect(r, peer);
		replica_act(r, ACTION_SAVE)->lsn = m->lsn;
		return false;
	}
	if (m->lsn < r->applied) {
		if (!r->is_stuck)
			replica_act(r, ACTION_REPORT)->text =
				"the master lacks entries that are committed here: not following it; an operator must decide which member is right";
		r->is_stuck = true;
		disconnect(r, peer);
		return false;
	}
	return true;
}

static void on_welcome(struct replica *r, size_t peer, const struct peer_message *m)
{
	const struct peer_message ack = { .type = MESSAGE_ACK, .epoch = m->epoch, .lsn = m->lsn };

	if (!may_part(r, peer, m))
		return;
	if (m->lsn < r->last) {
		replica_act(r, ACTION_TRUNCATE)->lsn = m->lsn;
		history_truncate(&r->history, m->lsn);
		r->last = m->lsn;
	}
	if (r->durable > r->last)
		r->durable = r->last;
	r->is_welcome = true;
	r->is_stuck = false;
	replica_send(r, peer, &ack);
}

/* The copy takes the place of all that is here, so it has to be of more than both have. */
static void on_offer(struct replica *r, size_t peer, const struct peer_message *m)
{
	struct replica_action *a;

	if (m->copy.lsn <= m->lsn) {
		disconnect(r, peer);
		return;
	}
	if (!may_part(r, peer, m))
		return;
	r->is_stuck = false;
	a = replica_act(r, ACTION_TAKE);
	a->peer = peer;
	a->lsn = m->copy.lsn;
	a->message = *m;
}

/* Follower: LSN is committed at the master; what of it is durable here may be applied. */
void replica_note_committed(struct replica *r, uint64_t lsn)
{
	r->heard_committed = lsn > r->heard_committed ? lsn : r->heard_committed;
	lsn = r->heard_committed;
	if (lsn > r->durable)
		lsn = r->durable;
	if (lsn <= r->committed)
		return;
	/* PacificA, Commit Invariant: committed at a secondary is within committed at the primary. */
	r->committed = lsn;
	replica_act(r, ACTION_COMMIT)->lsn = lsn;
}

static void on_beacon(struct replica *r, size_t peer, const struct peer_message *m)
{
	const struct peer_message ack = { .type = MESSAGE_BEACON_ACK, .epoch = m->epoch, .lsn = r->durable, .time_ms = m->time_ms };

	replica_note_committed(r, m->committed);
	r->heard_replicated = m->lsn;
	r->promised_until = r->now_ms + replica_grace_ms(r);
	r->promised_to = (int)peer;
	replica_send(r, peer, &ack);
}

/* Master: a follower has made entries durable. */
static void on_ack(struct replica *r, size_t peer, const struct peer_message *m)
{
	struct replica_peer *p = &r->peers[peer];

	if (!p->is_welcomed)
		return;
	if (m->lsn > r->last) {
		disconnect(r, peer); /* of what was never made */
		return;
	}
	if (m->lsn > p->acked) {
		p->acked = m->lsn;
		p->progress_ms = r->now_ms;
	}
	/* No time that was not sent: it would be a lease that nobody gave. */
	if (m->type == MESSAGE_BEACON_ACK && m->time_ms <= r->beacon_ms && m->time_ms + r->o.lease_ms > p->lease_until)
		p->lease_until = m->time_ms + r->o.lease_ms;
	replica_advance(r);
}

static void from_master(struct replica *r, const struct replica_event *ev)
{
	const struct peer_message *m = ev->message;

	/* Having asked for the reign we no longer listen: an acknowledged beacon would let the old master act on. */
	if (r->ask.is_open) {
		r->has_missed = true;
		return;
	}
	if (m->epoch < r->epoch || r->has_missed || r->is_failed) {
		disconnect(r, ev->peer);
		return;
	}
	r->heard_ms = r->now_ms;
	if (m->epoch > r->seen_epoch)
		r->seen_epoch = m->epoch;
	if (m->type == MESSAGE_WELCOME) {
		on_welcome(r, ev->peer, m);
	} else if (m->type == MESSAGE_OFFER) {
		on_offer(r, ev->peer, m);
	} else if (!r->is_welcome) {
		return;
	} else if (m->type == MESSAGE_BEACON) {
		on_beacon(r, ev->peer, m);
	} else if (m->type == MESSAGE_ENTRIES) {
		(void)replica_act(r, ACTION_FOLLOW);
		replica_note_committed(r, m->committed);
	}
}

void replica_on_message(struct replica *r, const struct replica_event *ev)
{
	const struct peer_message *m = ev->message;

	switch (m->type) {
	case MESSAGE_HELLO:
		on_hello(r, ev->peer, ev);
		break;
	case MESSAGE_ACK:
	case MESSAGE_BEACON_ACK:
		if (r->role == REPLICA_MASTER && m->epoch <= r->epoch)
			on_ack(r, ev->peer, m);
		break;
	case MESSAGE_WELCOME:
	case MESSAGE_OFFER:
	case MESSAGE_ENTRIES:
	case MESSAGE_BEACON:
		if (r->role == REPLICA_FOLLOWER && (int)ev->peer == r->master)
			from_master(r, ev);
		break;
	case MESSAGE_REFUSE:
		/* It does not reign, or not yet; try again. */
		if (r->role == REPLICA_FOLLOWER && (int)ev->peer == r->master)
			disconnect(r, ev->peer);
		break;
	case MESSAGE_TAKE:
	case MESSAGE_PIECE:
	case MESSAGE_BODIES:
	case MESSAGE_TAKEN:
	case MESSAGE_WANTED:
	case MESSAGE_ENTRY:
	case MESSAGE_NONE:
	case MESSAGE_SALVAGE:
	case MESSAGE_SALVAGED:
		break; /* the drivers' */
	}
}
