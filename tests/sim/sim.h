/* sim.h - a server's members, their arbiter and the network between them, simulated: one seed, one story.
 *
 * The replication core (src/replica) and the arbiter's rules (src/directory/reign) are the real ones. What stands around
 * them in a daemon (src/backend/driver*, the journal, connections, the mupdate client) is imitated here, with faults. Time
 * is in microseconds of the world; a member's own clock runs a little faster or slower. */
#ifndef ROOST_TESTS_SIM_H
#define ROOST_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "replica.h"

#define SIM_MEMBERS_MAX 3
#define ARBITER SIM_MEMBERS_MAX /* as an end of the network */
#define SIM_NODES (SIM_MEMBERS_MAX + 1)
#define LEASE_MS 200
#define MS 1000ull
#define SECOND 1000000ull

/* Deliberate mistakes: each must be found. */
enum sim_bug { BUG_NONE, BUG_ACK_EARLY, BUG_NO_GRACE, BUG_STALE_EPOCH, BUG_NO_TRUNCATE, BUG_COUNT };

struct sim_entry {
	uint64_t epoch, id; /* id 0: an epoch entry */
	uint64_t committed; /* known when it was made */
};

enum packet_kind {
	PACKET_DIAL,
	PACKET_ACCEPT,
	PACKET_MESSAGE,
	PACKET_CLOSED,
	PACKET_JOIN, /* to the arbiter */
	PACKET_ASK,
	PACKET_CONFIG, /* from the arbiter */
	PACKET_JOINED,
	PACKET_ANSWER,
	PACKET_PROMOTE,
	PACKET_DIRECTORY_LOST,
};

struct packet {
	struct packet *next; /* to the same end, by time */
	uint64_t at;
	int from;
	enum packet_kind kind;
	uint64_t conn; /* connection, or life of the member's connection to the arbiter */
	struct peer_message message;
	struct history *history;   /* owned; of a HELLO */
	struct sim_entry *entries; /* owned; of ENTRIES: COUNT from FIRST on */
	uint64_t first, count;
	uint64_t epoch;
	int master;
	member_set_t in_sync;
	bool is_granted;
};

struct sim_link {
	uint64_t conn; /* 0: none */
	bool is_streaming;
	uint64_t next; /* to be sent */
};

struct member {
	struct sim *sim;
	int self;
	struct replica *core;
	bool is_alive;
	uint64_t paused_until, restart_at;
	double rate; /* of its clock */
	uint64_t offset_ms;

	/* The journal: what is written, what is synced. Kept through a process's death. */
	struct sim_entry *journal; /* 1-based: entry LSN is journal[LSN] */
	uint64_t cap, last, durable, applied;
	bool is_flushing;
	uint64_t flush_to, flush_at, slow_until;

	/* The driver. */
	struct replica_event queue[64];
	size_t queue_count;
	bool is_stepping, is_gate_open, wants_epoch, is_turn_open;
	uint64_t turn_first, turn_last, wanted_epoch;
	const struct packet *packet; /* being taken in */
	struct sim_link links[SIM_MEMBERS_MAX];
	int connect_to;
	uint64_t dialled, dial_at; /* connection being set up; when to try again */

	uint64_t directory; /* life of the connection to the arbiter; 0: none */
	bool is_joined;
	unsigned asked; /* questions without answer on this connection */
	uint64_t join_at, next_tick;
};

struct sim {
	uint64_t seed, random, now, conns;
	enum sim_bug bug;
	bool is_async;
	size_t count; /* members */
	struct member members[SIM_MEMBERS_MAX];

	/* The arbiter. */
	bool is_arbiter_up;
	uint64_t arbiter_up_at, epoch;
	int master;
	member_set_t in_sync;
	uint64_t joined[SIM_MEMBERS_MAX]; /* life of the connection; 0: none */

	/* The network. */
	struct packet *to[SIM_NODES];
	uint64_t last_at[SIM_NODES][SIM_NODES]; /* order is kept */
	uint64_t cut_until[SIM_NODES][SIM_NODES];

	/* What happened, for the checks. */
	uint64_t ids;
	struct sim_entry *agreed; /* committed, by LSN */
	uint64_t agreed_cap, agreed_last;
	uint64_t *acked; /* ids */
	uint64_t acked_count, acked_cap;
	uint64_t *saved; /* ids that a member put aside before it followed another's journal */
	uint64_t saved_count, saved_cap;
	bool was_acting[SIM_MEMBERS_MAX];
	char problem[512]; /* empty: none */
	FILE *trace;       /* NULL: none */
};

/* sim_world.c */
uint64_t sim_random(struct sim *s, uint64_t below);
void sim_trace(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_problem(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Queue a packet; it is copied, its owned parts taken. */
void sim_send(struct sim *s, int from, int to, const struct packet *p);
void packet_free(struct packet *p);
void sim_arbiter_take(struct sim *s, struct packet *p);
void sim_arbiter_down(struct sim *s, uint64_t until);

/* sim_member.c */
void member_start(struct member *m);
/* IS_POWER: what was not synced may be lost, and what was applied has to be found out anew. */
void member_crash(struct member *m, bool is_power);
void member_take(struct member *m, struct packet *p);
/* Let time pass to sim->now. */
void member_run(struct member *m);
/* A client's write, if it can be begun now. */
void member_write(struct member *m, unsigned count);
uint64_t member_clock_ms(const struct member *m);
bool member_acts(const struct member *m);

/* sim_check.c */
void check_commit(struct sim *s, const struct member *m, uint64_t lsn);
void check_ack(struct sim *s, const struct member *m, uint64_t first, uint64_t last);
void check_all(struct sim *s);
/* M puts aside what it has after LSN. */
void check_save(struct sim *s, const struct member *m, uint64_t lsn);
/* Asynchronous, at rest: what was acknowledged is in the journal, or was saved. */
void check_nothing_lost(struct sim *s);
bool check_converged(const struct sim *s);

#endif
