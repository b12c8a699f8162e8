/* replica_private.h - the state, for replica/ only. */
#ifndef ROOST_REPLICA_PRIVATE_H
#define ROOST_REPLICA_PRIVATE_H

#include "replica.h"

struct replica_peer {
	bool is_connected;
	bool is_welcomed;      /* master: its journal is a prefix of ours, entries are streamed */
	uint64_t acked;        /* master: durable there */
	uint64_t lease_until;  /* master: lease_ms after the send time of the last beacon it acknowledged; 0: none */
	uint64_t progress_ms;  /* master: when it last had all, or acknowledged more */
	uint64_t lost_ms;      /* when its connection was lost, or the reign began without it */
};

/* What we asked of the directory and have no answer for. While it stands, both what is and what may be are obeyed. */
struct replica_ask {
	bool is_open;
	bool is_lost; /* the answer was lost: ask the same again when the directory is back */
	uint64_t epoch;
	size_t master;
	member_set_t in_sync;
};

struct replica {
	struct replica_options o;
	enum replica_role role;
	uint64_t now_ms;

	uint64_t epoch;
	uint64_t seen_epoch; /* the newest that a master or the journal spoke of; the directory may lag behind */
	int master; /* -1: none */
	member_set_t in_sync;
	struct {
		uint64_t epoch; /* 0: none */
		int master;
		member_set_t in_sync;
		uint64_t since_ms;
	} passed_over; /* the newest configuration that SEEN_EPOCH made old news of */

	struct history history;
	uint64_t last, durable, applied, committed;
	uint64_t floor; /* of the copy that the journal began as: whole once this is durable */
	bool is_failed;

	bool is_directory_up;
	struct replica_ask ask;

	/* Master. */
	uint64_t opened_lsn;  /* the reign's epoch entry; 0: not appended yet */
	bool is_opened;       /* committed and applied up to it: may act while the lease holds */
	bool is_gate_open;
	int hand_over_to;     /* -1: nobody */
	uint64_t hand_over_ms; /* since when */
	uint64_t beacon_ms;   /* when the last beacons were sent */

	/* Follower. */
	uint64_t heard_ms;    /* last word of the master */
	bool is_welcome;      /* the master streams to us */
	bool has_missed;      /* what the master said while we asked for its reign: the stream has a hole */
	uint64_t heard_committed; /* by the master's last word; may be beyond what is durable here */
	uint64_t heard_replicated; /* asynchronous mode: whoever may take over has that much, by the master's last beacon */
	bool is_stuck;        /* our applied entries are not the master's: an operator must look */
	uint64_t last_ask_ms;
	/* By beacons that we acknowledged PROMISED_TO may act until then, by our clock. Kept when we become master. */
	uint64_t promised_until;
	int promised_to; /* -1: whoever; an earlier life may have acknowledged */

	struct replica_peer peers[REPLICA_MEMBERS_MAX];
	struct replica_actions *out;
};

#define MEMBER_BIT(i) ((member_set_t)1 << (i))

struct replica_action *replica_act(struct replica *r, enum replica_action_type type);
void replica_send(struct replica *r, size_t peer, const struct peer_message *m);
/* Members whose durable copy a commit needs: the in-sync set, and whoever an unanswered ASK would add. */
member_set_t replica_required(const struct replica *r);
/* Master: see how far all required members are, and COMMIT. */
void replica_advance(struct replica *r);
/* Whether the journal can be what the directory's word of the in-sync set says: not where a disk was lost, or a copy is not
 * whole yet. */
bool replica_is_whole(const struct replica *r);
/* Master: whether the lease of all required members holds now. */
bool replica_lease_holds(const struct replica *r);
/* How long a beacon that is acknowledged now may let its sender act: its lease, counted by a clock that is slower than ours. */
uint64_t replica_grace_ms(const struct replica *r);
/* Ask the directory, unless a question is open. */
void replica_ask(struct replica *r, size_t master, member_set_t in_sync);
void replica_set_gate(struct replica *r, bool is_open);
void replica_beacon(struct replica *r);
/* Follower: the master says LSN is committed; what of it is durable here may be applied. */
void replica_note_committed(struct replica *r, uint64_t lsn);

/* One file per kind of event. */
void replica_on_config(struct replica *r, const struct replica_event *ev);
/* Take up what was passed over, if the directory has not said better for so long that it will not. */
void replica_reconsider(struct replica *r);
void replica_on_ask_answered(struct replica *r, const struct replica_event *ev);
void replica_on_ask_lost(struct replica *r);
void replica_on_directory(struct replica *r, bool is_up);
void replica_on_peer_up(struct replica *r, size_t peer);
void replica_on_peer_down(struct replica *r, size_t peer);
void replica_on_message(struct replica *r, const struct replica_event *ev);
void replica_on_tick(struct replica *r);
void replica_on_start(struct replica *r, const struct replica_event *ev);
void replica_on_followed(struct replica *r, const struct replica_event *ev);
void replica_on_appended(struct replica *r, const struct replica_event *ev);
void replica_on_durable(struct replica *r, uint64_t lsn);
void replica_on_failed(struct replica *r);
void replica_on_applied(struct replica *r, uint64_t lsn);
void replica_on_saved(struct replica *r, uint64_t lsn);
void replica_on_copied(struct replica *r, const struct replica_event *ev);
void replica_on_promote(struct replica *r, size_t peer);

#endif
