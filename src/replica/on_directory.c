/* on_directory.c - the directory's word: configurations, answers, and its absence. */
#include "replica_private.h"

/* What a master alone has said of newer epochs is forgotten where the directory, which is there, says nothing of them for so many leases
 * after an older one. */
#define UNCONFIRMED_LEASES 10

static member_set_t set_of(const struct replica *r, struct bytes words)
{
	member_set_t set = 0;

	while (words.n > 0) {
		size_t n = bytes_find(words, ' ');

		for (size_t i = 0; i < r->o.count; i++) {
			if (bytes_equal_str(bytes_sub(words, 0, n), r->o.names[i]))
				set |= MEMBER_BIT(i);
		}
		words = bytes_from(words, n + 1);
	}
	return set;
}

static int number_of(const struct replica *r, struct bytes name)
{
	for (size_t i = 0; i < r->o.count; i++) {
		if (bytes_equal_str(name, r->o.names[i]))
			return (int)i;
	}
	return -1;
}

static void append_epoch(struct replica *r)
{
	struct replica_action *a = replica_act(r, ACTION_APPEND_EPOCH);

	a->epoch = r->epoch;
	a->master = (size_t)r->master;
	a->in_sync = r->in_sync;
}

static void become_master(struct replica *r)
{
	struct replica_action *a;

	r->role = REPLICA_MASTER;
	r->opened_lsn = 0;
	r->is_opened = false;
	r->hand_over_to = -1;
	r->beacon_ms = 0;
	r->is_welcome = r->is_stuck = false;
	for (size_t i = 0; i < r->o.count; i++) {
		struct replica_peer *p = &r->peers[i];

		/* Who is connected did so to follow another reign, or us in an earlier one: all say HELLO anew. */
		if (p->is_connected) {
			a = replica_act(r, ACTION_DISCONNECT);
			a->peer = i;
		}
		*p = (struct replica_peer){ .lost_ms = r->now_ms, .progress_ms = r->now_ms };
	}
	a = replica_act(r, ACTION_ROLE);
	a->epoch = r->epoch;
	append_epoch(r);
}

static void become_follower(struct replica *r)
{
	bool was_master = r->role == REPLICA_MASTER;
	struct replica_action *a;

	r->role = REPLICA_FOLLOWER;
	r->is_opened = false;
	r->opened_lsn = 0;
	r->hand_over_to = -1;
	r->is_welcome = r->is_stuck = false;
	r->heard_committed = r->heard_replicated = 0;
	replica_set_gate(r, false);
	if (was_master)
		(void)replica_act(r, ACTION_STOP_STREAMS);
	a = replica_act(r, ACTION_ROLE);
	a->epoch = r->epoch;
	for (size_t i = 0; i < r->o.count; i++) {
		if (r->peers[i].is_connected) {
			a = replica_act(r, ACTION_DISCONNECT);
			a->peer = i;
		}
		r->peers[i] = (struct replica_peer){ 0 };
	}
	if (r->master >= 0 && (size_t)r->master != r->o.self) {
		a = replica_act(r, ACTION_CONNECT);
		a->peer = (size_t)r->master;
	}
}

static void take_up(struct replica *r, uint64_t epoch, int master, member_set_t in_sync)
{
	int old_master = r->master;
	uint64_t old_epoch = r->epoch;

	r->epoch = epoch;
	r->master = master;
	r->in_sync = in_sync;
	r->passed_over.epoch = 0;
	/* A later epoch settles a question about an earlier one. */
	if (r->ask.is_open && r->ask.epoch < r->epoch)
		r->ask.is_open = false;
	r->heard_ms = r->now_ms;
	if (r->master != (int)r->o.self) {
		/* Only the in-sync set changed: what we follow is the same. */
		if (r->role == REPLICA_FOLLOWER && r->master == old_master)
			return;
		become_follower(r);
		return;
	}
	if (!replica_is_whole(r)) {
		/* Another in-sync member takes over when it hears nothing of us. */
		become_follower(r);
		replica_act(r, ACTION_REPORT)->text =
			"the directory names this member master, but what it has is not whole: it does not act; restore it if there is no other";
		return;
	}
	if (r->role == REPLICA_MASTER && old_master == (int)r->o.self && r->opened_lsn != 0) {
		/* Our own change of the in-sync set: the reign goes on in the next epoch. */
		append_epoch(r);
		return;
	}
	if (old_epoch == 0 && r->last > 0 && epoch >= history_epoch(&r->history, r->last)) {
		/* We were master when we went down. Whether a lease of that life still holds cannot be known, and PacificA's
		 * configurations name one life of a primary: ask for the next epoch before acting. */
		become_follower(r);
		return;
	}
	become_master(r);
}

void replica_on_config(struct replica *r, const struct replica_event *ev)
{
	uint64_t epoch = ev->reign.epoch;
	int master = number_of(r, ev->reign.master);
	member_set_t in_sync = set_of(r, ev->reign.in_sync);

	if (epoch < r->epoch || epoch == 0 || (epoch == r->epoch && r->role != REPLICA_WAITING))
		return;
	if (epoch >= r->seen_epoch) {
		take_up(r, epoch, master, in_sync);
		return;
	}
	/* Old news: a reign that was over before the master that we have heard since began. Taking it up would put entries of
	 * an old epoch behind those of a newer one. What is in force now will follow. */
	if (epoch <= r->passed_over.epoch)
		return;
	r->passed_over.epoch = epoch;
	r->passed_over.master = master;
	r->passed_over.in_sync = in_sync;
	r->passed_over.since_ms = r->now_ms;
}

void replica_reconsider(struct replica *r)
{
	uint64_t journaled = history_epoch(&r->history, r->last);

	if (r->passed_over.epoch == 0 || !r->is_directory_up ||
	    r->now_ms < r->passed_over.since_ms + UNCONFIRMED_LEASES * r->o.lease_ms)
		return;
	/* What the journal has is certain, whatever the directory says. */
	r->seen_epoch = journaled;
	if (r->passed_over.epoch < journaled)
		return;
	replica_act(r, ACTION_REPORT)->text = "the master spoke of an epoch that the directory does not know: the directory is followed";
	take_up(r, r->passed_over.epoch, r->passed_over.master, r->passed_over.in_sync);
}

void replica_on_ask_answered(struct replica *r, const struct replica_event *ev)
{
	bool was_hand_over;

	if (!r->ask.is_open || r->ask.epoch != ev->epoch)
		return; /* settled by a configuration that came before the answer */
	was_hand_over = r->role == REPLICA_MASTER && r->hand_over_to >= 0 && r->ask.master == (size_t)r->hand_over_to;
	r->ask.is_open = false;
	if (was_hand_over && !ev->is_granted) {
		r->hand_over_to = -1;
		replica_act(r, ACTION_REPORT)->text = "the directory refused the hand-over; the reign goes on";
	}
	replica_advance(r);
}

void replica_on_ask_lost(struct replica *r)
{
	r->ask.is_lost = r->ask.is_open;
}

void replica_on_directory(struct replica *r, bool is_up)
{
	struct replica_action *a;

	r->is_directory_up = is_up;
	r->passed_over.since_ms = r->now_ms; /* it has yet to say what is in force */
	if (!is_up || !r->ask.is_open || !r->ask.is_lost)
		return;
	/* Whether it was granted is not known, and reading would not tell: it may still be on its way. The same question,
	 * asked again behind it, settles both. */
	r->ask.is_lost = false;
	a = replica_act(r, ACTION_ASK);
	a->epoch = r->ask.epoch;
	a->master = r->ask.master;
	a->in_sync = r->ask.in_sync;
}
