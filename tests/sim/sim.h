/* sim.h - a server's members, their arbiter, their clients and the network between them, simulated: one seed, one story.
 *
 * Real are the replication core (src/replica) and the arbiter's rules (src/directory/reign). What stands around them in a
 * daemon is imitated: the driver (src/backend/driver*) in sim_member.c and sim_link.c, the journal's file with its page
 * cache, sectors and recovery in sim_disk.c, the directory's order of things in sim_arbiter.c, the LMTP frontend in
 * sim_client.c. The imitation is what makes a schedule cost milliseconds: tens of thousands can be run where the real
 * store, with its files and LMDB, would allow hundreds. What the imitation leaves out stands in docs/architecture.md.
 *
 * Time is in microseconds of the world, and jumps from event to event; a member's own clock runs up to 1% faster or
 * slower. Everything that happens follows from the seed: the faults of a schedule from one stream of chance (sim_faults.c),
 * all else from another, so that faults can be left out of a schedule (sim.c, to find the few that matter). */
#ifndef ROOST_TESTS_SIM_H
#define ROOST_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "replica.h"

#define SIM_MEMBERS_MAX 3
#define SIM_CLIENTS 3
#define SIM_FAULTS_MAX 96
/* Ends of the network: the members, and these. */
#define ARBITER SIM_MEMBERS_MAX
#define CLIENTS (SIM_MEMBERS_MAX + 1)
#define SIM_NODES (SIM_MEMBERS_MAX + 2)
#define SIM_REQUESTS_MAX 32 /* at one member */
/* So many changes of the configuration within one lease are too many. */
#define SIM_GRANTS 12
#define LEASE_MS 200
#define MS 1000ull
#define SECOND 1000000ull
#define NEVER UINT64_MAX
/* Between two beacons of a master. */
#define BEACON (LEASE_MS * MS / 5)

/* Deliberate mistakes: each must be found (sim_bugs.c says what they are). */
enum sim_bug {
	BUG_NONE,
	BUG_ACK_EARLY,
	BUG_ACK_NO_LEASE,
	BUG_NO_GRACE,
	BUG_STALE_EPOCH,
	BUG_NO_TRUNCATE,
	BUG_APPLY_AHEAD,
	BUG_BEACON_AFTER_ASK,
	BUG_ACK_UNSYNCED,
	BUG_SHRINK_ALONE,
	BUG_FORGET_OPS,
	BUG_TRUST_CACHE,
	BUG_TORN_TAKEN,
	BUG_CLOCK_STANDS,
	BUG_COMMON_BY_LSN,
	BUG_TURN_NO_LEASE,
	BUG_SAVE_NOTHING, /* asynchronous mode */
	BUG_COUNT,
};
/* One sentence. */
const char *sim_bug_name(enum sim_bug bug);

struct sim_entry {
	uint64_t epoch;
	uint64_t op;        /* the client's operation; 0: an epoch entry */
	uint64_t committed; /* known when it was made */
	uint32_t size;      /* octets in the file */
	int8_t master;      /* of an epoch entry */
	bool is_torn;       /* its octets are not what was written; only by BUG_TORN_TAKEN */
	member_set_t in_sync;
};

/* A member's journal and what of it is where. safe <= written <= last. */
struct sim_disk {
	struct sim_entry *at; /* 1-based: entry LSN is at[LSN] */
	uint64_t cap;
	uint64_t last;    /* appended, in memory at least */
	uint64_t written; /* the kernel has it: survives the process */
	uint64_t safe;    /* survives the machine */
	uint64_t used;    /* octets of the file up to SAFE */
	bool is_flushing, is_failed;
	uint64_t flush_to, flush_at;
	uint64_t slow_until, full_until, fail_until; /* faults */
};

enum packet_kind {
	PACKET_DIAL, /* between members: connecting is two exchanges, as with TCP and SASL */
	PACKET_CHALLENGE,
	PACKET_RESPONSE,
	PACKET_ACCEPT,
	PACKET_MESSAGE,
	PACKET_CLOSED,
	PACKET_JOIN, /* to the arbiter */
	PACKET_ASK,
	PACKET_CONFIG, /* from the arbiter */
	PACKET_JOINED,
	PACKET_ANSWER,
	PACKET_PROMOTE,
	PACKET_WRITE,  /* a client's */
	PACKET_RESULT, /* to it */
};

enum sim_result { RESULT_OK, RESULT_NOT_MASTER, RESULT_NO_SPACE };

struct packet {
	struct packet *next; /* to the same end, by time */
	uint64_t at;
	int from;
	enum packet_kind kind;
	uint64_t conn; /* within one connection and direction order is kept */
	struct peer_message message;
	struct history *history;   /* owned; of a HELLO */
	struct sim_entry *entries; /* owned; of ENTRIES, OFFER: COUNT from FIRST on */
	uint64_t first, count;
	uint64_t epoch; /* of a JOIN: claimed */
	int master;
	member_set_t in_sync;
	bool is_granted;
	uint64_t op;
	enum sim_result result;
	size_t client;
};

struct sim_link {
	uint64_t conn; /* 0: none */
	uint64_t coming; /* dialled by the other, and not yet authenticated */
	uint64_t traffic_at;
	bool is_streaming;
	uint64_t next; /* to be sent */
};

struct sim_request {
	uint64_t conn, op;
	size_t client;
	uint64_t lsn; /* in the turn: its entry */
};

struct member {
	struct sim *sim;
	int self;
	struct replica *core;
	bool is_alive;
	uint64_t paused_until, restart_at, stop_at; /* STOP_AT: ends orderly, by then at the latest */
	bool is_stopping;
	uint64_t stood_still; /* BUG_CLOCK_STANDS: how long in all */
	double rate; /* of its clock */
	uint64_t offset_ms;

	struct sim_disk disk; /* kept through a process's death */
	uint64_t applied;     /* the index: likewise */
	uint64_t floor;       /* of the copy that it began as */
	struct history copied; /* of the event under way */

	/* The driver. */
	struct replica_event queue[128];
	size_t queue_count;
	bool is_stepping, is_gate_open, wants_epoch, is_turn_open;
	uint64_t turn_first, turn_last;
	member_set_t epoch_in_sync;
	struct sim_request waiting[SIM_REQUESTS_MAX], in_turn[SIM_REQUESTS_MAX];
	size_t waiting_count, in_turn_count;
	const struct packet *packet; /* being taken in */
	struct sim_link links[SIM_MEMBERS_MAX];
	int connect_to;
	uint64_t dialled, dialled_until, dial_at, dial_pause; /* connection being set up; when to try again */
	bool has_refused; /* an entry, for want of room */

	uint64_t directory; /* connection to the arbiter; 0: none */
	bool is_joined;
	unsigned asked; /* questions without answer on this connection */
	uint64_t join_at, join_pause, next_tick;
};

/* A client of the server, as the LMTP frontend is: one operation at a time, sent again under its id to whoever is master
 * until it is answered OK. */
struct client {
	uint64_t op;        /* 0: none under way */
	uint64_t conn;      /* 0: not sent */
	int to;
	uint64_t floor;     /* the newest LSN acknowledged to anybody when the operation was first sent */
	uint64_t next_at, give_up_at;
};

enum sim_fault_kind {
	SIM_KILL,
	SIM_POWER,
	SIM_STOP,
	SIM_PAUSE,
	SIM_LONG_PAUSE,
	SIM_CUT,
	SIM_CUT_ONE_WAY,
	SIM_BREAK,
	SIM_DELAYS,
	SIM_PROMOTE,
	SIM_SLOW,
	SIM_SYNC_FAILS,
	SIM_FULL,
	SIM_ARBITER_DOWN,
	SIM_KINDS,
};

struct sim_fault {
	uint64_t at, for_us;
	enum sim_fault_kind kind;
	int a, b;
	bool is_left_out;
};

struct sim {
	uint64_t seed, random, now, conns;
	enum sim_bug bug;
	bool is_async;
	size_t count; /* members */
	struct member members[SIM_MEMBERS_MAX];
	struct client clients[SIM_CLIENTS];
	bool clients_rest; /* no new operations */

	struct sim_fault faults[SIM_FAULTS_MAX];
	size_t fault_count, next_fault;
	uint64_t faults_until;

	/* The arbiter. */
	bool is_arbiter_up;
	uint64_t arbiter_up_at, epoch;
	int master;
	member_set_t in_sync;
	uint64_t joined[SIM_MEMBERS_MAX]; /* the connection; 0: none */
	struct {
		uint64_t epoch;
		int master;
		member_set_t in_sync;
	} claims[SIM_MEMBERS_MAX];
	uint64_t granted_at[SIM_GRANTS]; /* the newest grants, in a ring */
	uint64_t grants;
	int join_order[SIM_MEMBERS_MAX];
	size_t join_count;

	/* The network. */
	struct packet *to[SIM_NODES];
	uint64_t cut_until[SIM_NODES][SIM_NODES];
	uint64_t delays_until;

	/* What happened, for the checks. */
	uint64_t ops;
	struct sim_entry *agreed; /* committed, by LSN */
	uint64_t agreed_cap, agreed_last;
	struct op_row {
		uint64_t lsn; /* where it was committed; 0: nowhere */
		bool is_acked, is_saved;
	} *rows; /* by operation */
	uint64_t row_cap;
	uint64_t acked_count, acked_last; /* operations; the newest LSN */
	bool was_acting[SIM_MEMBERS_MAX];
	uint64_t steps;
	char problem[512]; /* empty: none */
	FILE *trace;       /* NULL: none */
};

extern const char *const sim_names[SIM_NODES];

/* sim_world.c */
uint64_t sim_random(struct sim *s, uint64_t below);
void sim_trace(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_problem(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "a c" */
struct bytes sim_words(member_set_t set, char to[8]);
/* Queue a packet; it is copied, its owned parts taken. */
void sim_send(struct sim *s, int from, int to, const struct packet *p);
/* The connection's end behind everything that was sent on it. */
void sim_close(struct sim *s, int from, int to, uint64_t conn);
void packet_free(struct packet *p);
/* The last of what FROM, which goes down, has sent to TO is lost. */
void sim_lose_packets(struct sim *s, int from, int to);

/* sim_arbiter.c */
void sim_arbiter_take(struct sim *s, struct packet *p);
void sim_arbiter_down(struct sim *s, uint64_t until);
void sim_arbiter_promote(struct sim *s, int to);

/* sim_disk.c */
/* False: no room. */
bool disk_append(struct sim *s, struct sim_disk *d, const struct sim_entry *e);
void disk_flush_begin(struct sim *s, struct sim_disk *d);
/* The flush under way ends now. False: it failed, and so does everything from now on. */
bool disk_flush_end(struct sim *s, struct sim_disk *d);
void disk_truncate(struct sim_disk *d, uint64_t lsn);
/* All that was appended is on the disk. */
void disk_make_safe(struct sim_disk *d);
/* The process ends, or the machine. */
void disk_crash(struct sim *s, struct sim_disk *d, bool is_power);
/* What recovery does when a process starts. False: the disk refuses. */
bool disk_recover(struct sim *s, struct sim_disk *d);
bool disk_is_full(const struct sim *s, const struct sim_disk *d);
uint64_t disk_epoch(const struct sim_disk *d, uint64_t lsn);

/* sim_member.c */
void member_start(struct member *m);
/* IS_POWER: what was not synced may be lost, and what was applied has to be found out anew. */
void member_crash(struct member *m, bool is_power);
void member_take(struct member *m, struct packet *p);
/* When it has something to do next. */
uint64_t member_due(const struct member *m);
/* Let time pass to sim->now. */
void member_run(struct member *m);
uint64_t member_clock_ms(const struct member *m);
bool member_acts(const struct member *m);
/* For sim_link.c: */
void member_event(struct member *m, const struct replica_event *ev);
void member_tell(struct member *m, enum replica_event_type type, uint64_t lsn, uint64_t epoch);

/* sim_turn.c: the journal's side of the driver, as src/backend/driver_turn.c */
void turn_begin(struct member *m);
void turn_start_flush(struct member *m);
void turn_finish_flush(struct member *m);
void turn_commit(struct member *m, uint64_t lsn);
void turn_abort(struct member *m);
void turn_fail_waiting(struct member *m);
void turn_follow(struct member *m);
void turn_truncate(struct member *m, uint64_t lsn);
void turn_save(struct member *m, uint64_t lsn);
/* The copy that the packet at hand brings takes the place of all that is here. */
void turn_take(struct member *m);
void turn_submit(struct member *m, const struct packet *p);

/* sim_link.c: connections with other members, as src/backend/driver_sync.c */
void link_connect(struct member *m, int peer);
void link_disconnect(struct member *m, size_t peer);
void link_send(struct member *m, size_t peer, const struct peer_message *message);
void link_stream(struct member *m, size_t peer, uint64_t from);
/* A copy, all of it with the offer: of any LSN, whole once what is applied now is there. */
void link_give(struct member *m, size_t peer, uint64_t common);
void link_pump(struct member *m);
void link_take(struct member *m, struct packet *p);
uint64_t link_due(const struct member *m);
void link_run(struct member *m);
/* Without telling the core: the process is gone. */
void link_close_all(struct member *m);

/* sim_client.c */
uint64_t client_due(const struct sim *s);
void client_run(struct sim *s);
void client_take(struct sim *s, struct packet *p);

/* sim_faults.c */
void faults_make(struct sim *s);
uint64_t faults_due(const struct sim *s);
void faults_run(struct sim *s);
/* All faults end. */
void faults_heal(struct sim *s);
void fault_describe(const struct sim_fault *f, char *to, size_t size);

/* sim_check.c */
void check_commit(struct sim *s, const struct member *m, uint64_t from, uint64_t to);
/* A client is told that OP is done, by entry LSN. */
void check_ack(struct sim *s, const struct member *m, uint64_t op, uint64_t lsn);
/* The arbiter has changed the configuration. */
void check_grant(struct sim *s);
void check_ordered(struct sim *s, const struct client *c);
void check_all(struct sim *s);
bool check_converged(const struct sim *s);
/* Asynchronous mode. M puts aside what it has after LSN. */
void check_save(struct sim *s, const struct member *m, uint64_t lsn);
/* Asynchronous mode, at rest: what was acknowledged is in the journal, once, or was put aside. */
void check_nothing_lost(struct sim *s);

#endif
