/* whole.h - whole members simulated: the driver, the replication core and the store as they are, on virtual time.
 *
 * Everything below them is put in their place at link time, so that nothing of the daemon knows of it: loops, timers,
 * connections (net.c), the mupdate client and the directory behind it (directory.c), SASL, log and clock (ground.c), threads,
 * which become coroutines (threads.c), and the system calls by which the journal is made durable (disk.c), over real files in
 * a directory in memory. All members live in one process and one thread; CURRENT is the one that runs.
 *
 * A schedule costs some 50 ms, a hundred times that of the imitation in tests/sim, and looks where the imitation cannot: at the
 * driver's and the store's own code, at segments, and at crashes between any two system calls. */
#ifndef ROOST_TESTS_WHOLE_H
#define ROOST_TESTS_WHOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "buffer.h"
#include "config.h"
#include "driver.h"
#include "list.h"
#include "loop.h"

#define MEMBERS_MAX 3
#define ARBITER MEMBERS_MAX
#define CLIENTS (MEMBERS_MAX + 1)
#define NODES (MEMBERS_MAX + 2)
#define WRITERS 3
#define LEASE_MS 200
#define MS 1000ull
#define SECOND 1000000ull
#define NEVER UINT64_MAX
#define BEACON (LEASE_MS * MS / 5)

enum packet_kind {
	PACKET_DIAL, /* between members */
	PACKET_UP,
	PACKET_DATA,
	PACKET_CLOSED,
	PACKET_HELLO,   /* to the directory: a client connects */
	PACKET_READY,   /* it is heard */
	PACKET_COMMAND, /* strings: verb, arguments */
	PACKET_ANSWER,  /* OUTCOME and text */
	PACKET_SERVER,  /* strings: server, epoch, master, in-sync */
	PACKET_PROMOTE, /* strings: server, member */
	PACKET_WRITE,   /* a client's operation ID; OUTCOME: enum write_kind */
	PACKET_RESULT,
};

enum write_kind {
	WRITE_APPEND,
	WRITE_CREATE, /* the mailbox that is appended to */
	/* The rest is done by the way, once, whether or not it is answered: */
	WRITE_FLAGS,
	WRITE_EXPUNGE,
	WRITE_COPY,
	WRITE_PLACE,
	WRITE_OTHER_CREATE,
	WRITE_OTHER_DELETE,
	WRITE_OTHER_RENAME,
	WRITE_ATTRIBUTE,
	WRITE_QUOTA,  /* of MAILBOX, or of one below it; never so little that mail is refused */
	WRITE_KINDS,
};

struct packet {
	struct packet *next;
	uint64_t at;
	int from;
	enum packet_kind kind;
	uint64_t conn, id;
	int outcome;
	struct buffer data; /* owned */
};

/* What a file would hold if power was lost now: the octets before the writes that were not synced, by sector. */
struct sector {
	uint64_t inode, number;
	uint8_t old[512];
	bool is_lost;   /* a sync failed: the kernel will not write it, and says no more about it */
	bool is_adopted; /* while an image is made */
	unsigned group; /* not 0: all of one operation are there, or none */
};

/* A change of a directory that was not synced. */
struct renamed {
	char *from, *to; /* FROM NULL: TO was removed */
	char *kept;      /* what was at TO before; NULL: nothing */
};

struct wdisk {
	char *dir;
	struct sector *sectors;
	size_t sector_count, sector_cap;
	struct renamed renames[64];
	size_t rename_count;
	unsigned boots, groups;
	uint64_t slow_until, full_until, fail_until;
	uint64_t crash_in; /* so many system calls from now; 0: not */
	bool crash_is_power;
	bool has_image; /* it has crashed: what is in IMAGE counts, and what runs on is a ghost */
};

struct conn;
struct timer;
struct thread;
struct mupdate_client;

struct loop {
	struct whole_member *m;
	struct list posts;
	bool is_stopped;
};

struct whole_member {
	int self;
	bool is_alive, is_starting, is_running; /* RUNNING: on its stack, from the world */
	bool is_stopping; /* in order */
	bool is_ghost;    /* dead: what it still does, while it is taken apart, is seen by nobody */
	bool wants_end;   /* it sent itself SIGTERM */
	uint64_t life, paused_until, restart_at;
	double rate;
	uint64_t offset_ms, ghost_ms;
	struct config *config;
	struct store *store;
	struct driver *driver;
	struct loop loop;
	struct timer *timers;
	struct conn *conns;
	struct thread *threads;
	struct mupdate_client *directory;
	void (*called)(struct conn *c, void *arg); /* who listens */
	void *called_arg;
	struct wdisk disk;
	uint64_t checked; /* entries compared in this life */
	bool was_acting;
};

struct writer {
	uint64_t op, conn;
	int to;
	uint64_t floor, next_at, give_up_at;
};

/* What the world itself does wrong, to see that it is noticed. */
enum lie {
	LIE_NONE,
	LIE_FILE_SYNC,      /* a sync of a file does nothing */
	LIE_DIRECTORY_SYNC, /* nor of a directory */
	LIE_CLOCK,          /* the clock stands still while the process is stopped */
	LIE_ARBITER,        /* the directory grants whatever is asked */
	LIE_COUNT,
};

struct world {
	uint64_t seed, random, now, conns, ops;
	enum lie lie;
	bool is_async;
	size_t count;
	struct whole_member members[MEMBERS_MAX];
	struct whole_member *current;
	struct writer writers[WRITERS];
	bool writers_rest;
	struct packet *to[NODES];
	uint64_t cut_until[NODES][NODES];
	bool is_directory_up;
	uint64_t directory_up_at;
	/* For the checks. */
	uint64_t *agreed; /* hashes of committed entries */
	uint64_t agreed_cap, agreed_last;
	uint64_t *lsn_of_op, op_cap;
	bool *is_acked; /* by operation, as many; asynchronous mode */
	uint64_t acked, acked_last;
	uint64_t mailbox; /* its id, once a message was delivered */
	uint32_t uid;     /* the newest known */
	char problem[512];
	FILE *trace;
};

extern struct world w;
extern const char *const node_names[NODES];

/* whole.c */
uint64_t chance(uint64_t below);
void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void problem(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* It has crashed: what it does until it is buried happens nowhere. */
bool member_is_unseen(const struct whole_member *m);
void world_advance(uint64_t limit);
void packet_send(int from, int to, struct packet *p);

/* check.c */
void check_new(struct whole_member *m);
bool member_acts(struct whole_member *m);
void check_all(void);
void check_answer(const struct whole_member *m, uint64_t op);
void check_ack(struct whole_member *m, uint64_t op, uint64_t lsn);
bool check_at_rest(void);
bool check_all_there(void);
void check_tell_state(void);
void check_dumps(void);

/* writers.c */
void writer_take_write(struct whole_member *m, const struct packet *p);
void writer_take_result(const struct packet *p);
uint64_t writer_due(const struct writer *r);
void writers_run(void);

/* net.c */
void net_take(struct whole_member *m, struct packet *p);
/* What a member's loop does at the end of each turn. */
void net_settle(struct whole_member *m);
uint64_t net_due(const struct whole_member *m);
void net_run(struct whole_member *m);
/* Everything that is left of a member that has been taken apart. */
void net_clear(struct whole_member *m);
/* The kernel closes what a process had. */
void net_close_all(struct whole_member *m);
void net_break(int a, int b);
uint64_t world_of_ms(const struct whole_member *m, uint64_t ms);

/* threads.c */
uint64_t threads_due(const struct whole_member *m);
void threads_run(struct whole_member *m, bool is_all);

/* directory.c */
void directory_init(void);
void directory_fini(void);
void directory_take(struct packet *p);
void directory_client_take(struct whole_member *m, struct packet *p);
uint64_t directory_client_due(const struct whole_member *m);
void directory_client_run(struct whole_member *m);
void directory_client_close(struct whole_member *m);
void directory_down(uint64_t until);
void directory_promote(int to);
int directory_master(void);
bool directory_in_sync(int member);
bool directory_all_in_sync(void);

/* ground.c */
uint64_t member_ms(const struct whole_member *m);

/* disk.c */
void disk_init(struct whole_member *m);
void disk_fini(struct whole_member *m);
/* Make the image that a crash leaves now, unless there is one. */
void disk_crash(struct whole_member *m, bool is_power);
/* The image becomes the member's directory. */
void disk_restore(struct whole_member *m);

#endif
