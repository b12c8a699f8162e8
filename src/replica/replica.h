/* replica.h - one member's part in replication and reign: PacificA (Lin, Yang, Zhang, Zhou: "PacificA: Replication in
 * Log-Based Distributed Storage Systems", MSR-TR-2008-25) as a pure state machine. Events in, actions out; no clock,
 * socket, thread or file. Time comes in the events, from one monotonic clock.
 *
 * The words: epoch is PacificA's configuration version, master its primary, the in-sync set its configuration's replica
 * group, the directory its configuration manager, beacons its lease messages.
 *
 * Story of a write: the driver appends entries to its journal and says so (LOCAL_APPENDED); it streams them to every
 * welcomed peer by itself. Peers make them durable and ACK; the local sync ends (LOCAL_DURABLE). Once every member of the
 * in-sync set has an entry, COMMIT says so, and only then may anybody be told that it is done.
 *
 * Story of a failover: the master's beacons stop; after lease * 5/4 the in-sync replica ASKs the directory for the next
 * epoch; by then the master's own lease, counted from when it sent the last beacon that was acknowledged, is over and it
 * acknowledges nothing. Granted, the replica appends an epoch entry; when that is committed all before it is, and it acts.
 *
 * Asynchronous mode changes one rule: an entry is committed once it is durable at the master. Leases and the in-sync set stay
 * what they are, so the set is then who may take over, perhaps without the newest entries. Those are not lost with their
 * master: when it returns it is told to SAVE them before it follows.
 *
 * Story of a copy: a follower's HELLO shows that it needs entries which the master has no more. GIVE tells the master's driver
 * to offer a copy, TAKE the follower's to take it; the drivers do that between themselves, then COPIED says what the
 * follower holds now, and it says HELLO again. What was expunged while the copy was made is not in it, so it is whole only
 * from its FLOOR on: until then the member is nobody who could reign. */
#ifndef ROOST_REPLICA_H
#define ROOST_REPLICA_H

#include "bytes.h"
#include "history.h"
#include "message.h"

#define REPLICA_MEMBERS_MAX 8
#define REPLICA_NAME_MAX 64

/* Members are numbered by their place in the server's list, the same on all. A set is a bit mask of numbers. */
typedef uint32_t member_set_t;

struct replica_options {
	size_t count;
	const char *names[REPLICA_MEMBERS_MAX]; /* lent for the replica's life; each at most REPLICA_NAME_MAX octets */
	size_t self;
	uint64_t lease_ms;
	bool is_async; /* committed is what is durable at the master; the same on all members */
	bool saves;    /* what the reigning master lacks was, or may have been, acknowledged: saved, not dropped. With is_async,
	                  or where an operator has asked for it */
	member_set_t remote; /* they follow and nothing else: nobody waits for them, and they do not ask to reign; the same on all */
};

enum replica_role {
	REPLICA_WAITING,  /* nothing is known of the server's configuration */
	REPLICA_FOLLOWER, /* another member is master, or nobody is */
	REPLICA_MASTER,   /* by the directory's word; whether it may act is a matter of lease: replica_may_act() */
};

enum replica_event_type {
	EVENT_START,          /* once, first: what the journal holds (START) */
	EVENT_TICK,           /* time passed; to be given at least every lease_ms / 10 */
	EVENT_CONFIG,         /* the directory says what the configuration is (REIGN) */
	EVENT_ASK_ANSWERED,   /* the directory answered the ASK of EPOCH: granted or not; what is in force came as EVENT_CONFIG
	                         before */
	EVENT_ASK_LOST,       /* no answer will come: it may or may not have been granted */
	EVENT_DIRECTORY_UP,   /* it can be asked (again) */
	EVENT_DIRECTORY_DOWN,
	EVENT_PEER_UP,        /* a connection with PEER stands: for a follower, the one it was told to CONNECT */
	EVENT_PEER_DOWN,
	EVENT_MESSAGE,        /* PEER said MESSAGE (and HISTORY, of a HELLO); KEPT is this member's */
	EVENT_FOLLOWED,       /* the entries of an ENTRIES message were appended: LSN is the last, EPOCH its epoch */
	EVENT_LOCAL_APPENDED, /* master: appended up to LSN in EPOCH */
	EVENT_LOCAL_DURABLE,  /* durable up to LSN */
	EVENT_LOCAL_FAILED,   /* the journal cannot be written any more */
	EVENT_APPLIED,        /* applied up to LSN */
	EVENT_SAVED,          /* SAVE is done: LSN is the last entry, durable and applied */
	EVENT_COPIED,         /* TAKE is done: what the journal holds now (START); there is no connection with the master now */
	EVENT_PROMOTE,        /* master: hand over to PEER */
};

struct replica_event {
	enum replica_event_type type;
	uint64_t now_ms;
	size_t peer;
	bool is_granted;
	uint64_t lsn, epoch;
	struct {
		uint64_t last, durable, applied;
		uint64_t floor; /* of a copy that was taken: whole once durable up to here; 0: always */
		const struct history *history;
	} start;
	struct {
		uint64_t first;    /* LSN from which on all entries can be streamed; 0 is 1 */
		bool prefers_copy; /* to who has nothing a copy is given, as it is cheaper */
	} kept;
	struct {
		uint64_t epoch;
		struct bytes master;  /* empty: none */
		struct bytes in_sync; /* names separated by blanks; names that are not in the list are ignored */
	} reign;
	const struct peer_message *message;
	const struct history *history;
};

enum replica_action_type {
	ACTION_TRUNCATE,     /* drop the journal after LSN, durably, before anything that follows */
	ACTION_SAVE,         /* the master has none of the entries after LSN: put them aside durably, drop them from the journal, bring
	                        the index back to LSN; then EVENT_SAVED. Without it the same will come again */
	ACTION_GIVE,         /* offer PEER, whose journal is ours up to LSN, a copy (MESSAGE_OFFER), and give it if it is taken */
	ACTION_TAKE,         /* take the copy that PEER's MESSAGE offers; then EVENT_COPIED. Without it the same will come again */
	ACTION_CONNECT,      /* have a connection to PEER and keep trying; to nobody else */
	ACTION_DISCONNECT,   /* drop what connection there is with PEER; if it was to be CONNECTed, go on trying */
	ACTION_SEND,         /* MESSAGE to PEER */
	ACTION_STREAM,       /* send PEER all entries from LSN on, what is there and what will come, until PEER_DOWN */
	ACTION_STOP_STREAMS,
	ACTION_FOLLOW,       /* append the entries of the MESSAGE that this event brought; then EVENT_FOLLOWED */
	ACTION_APPEND_EPOCH, /* append an epoch entry of EPOCH, MASTER, IN_SYNC as the next */
	ACTION_COMMIT,       /* entries up to LSN are committed: apply, tell, answer */
	ACTION_ASK,          /* ask the directory for the change from EPOCH to MASTER, IN_SYNC */
	ACTION_ROLE,         /* the role is now replica_role(); EPOCH */
	ACTION_GATE,         /* accept intents or, if not IS_OPEN, let them wait */
	ACTION_REPORT,       /* TEXT: something an operator must know */
};

struct replica_action {
	enum replica_action_type type;
	size_t peer;
	uint64_t lsn, epoch;
	size_t master;
	member_set_t in_sync;
	bool is_open;
	struct peer_message message;
	const char *text;
};

#define REPLICA_ACTIONS_MAX 64

/* In the order in which they must be done. Lent until the next step. */
struct replica_actions {
	size_t count;
	struct replica_action at[REPLICA_ACTIONS_MAX];
};

struct replica;

/* OPTIONS is copied. Freed with replica_free(). */
struct replica *replica_new(const struct replica_options *options);
void replica_free(struct replica **r);

/* Take one event. The event's memory stays the caller's. Never re-entered; never calls out. */
void replica_step(struct replica *r, const struct replica_event *ev, struct replica_actions *out);

/* What it is, for drivers, status and tests. */
enum replica_role replica_role(const struct replica *r);
uint64_t replica_epoch(const struct replica *r);   /* of the configuration known; 0: none */
int replica_master(const struct replica *r);       /* its master's number; -1: none */
member_set_t replica_in_sync(const struct replica *r);
uint64_t replica_committed(const struct replica *r);
/* Asynchronous mode: whoever may take over without more news has all entries up to here, so they will not be taken back; on a follower
 * by the master's last beacon, 0 before there was one. UINT64_MAX: all of what is committed. */
uint64_t replica_replicated(const struct replica *r);
/* Whether, at NOW_MS, this member may acknowledge writes and serve readers: it is master, everything of earlier reigns is
 * committed and applied, and every other in-sync member has acknowledged a beacon sent less than lease_ms ago. */
bool replica_may_act(const struct replica *r, uint64_t now_ms);
/* Until when that holds without further news; 0: not now; UINT64_MAX: alone in the set. */
uint64_t replica_act_until(const struct replica *r);
/* Durable on PEER as far as known (self: here). */
uint64_t replica_acked(const struct replica *r, size_t peer);
bool replica_is_connected(const struct replica *r, size_t peer);

#endif
