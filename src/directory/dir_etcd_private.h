/* dir_etcd_private.h - private to dir_etcd*.c. */
#ifndef ROOST_DIRECTORY_DIR_ETCD_PRIVATE_H
#define ROOST_DIRECTORY_DIR_ETCD_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "dir_etcd.h"
#include "dir_mirror.h"
#include "etcd.h"
#include "map.h"

/* A chain that is decided, and is answered when the copy has come to REVISION. */
struct waiting {
	struct waiting *next;
	int64_t revision;
	struct change *first;
};

/* Presence that is to be written. */
struct saying {
	struct saying *next;
	struct buffer key, value;
	bool is_gone;
};

struct dir_etcd {
	const struct config *config;
	struct kv *copy;
	struct loop *loop;
	const struct dir_etcd_events *events;
	void *arg;
	struct bytes prefix; /* lent by the configuration */
	char owner[17];

	struct etcd *writing, *watching, *leasing; /* each of its own thread */
	pthread_t watcher, keeper;
	bool has_watcher, has_keeper;
	atomic_bool is_stopping;
	atomic_int_fast64_t copied; /* revision that the copy has come to; 0: not whole yet */

	/* The writer's thread only. */
	struct map recent; /* struct recent by key: newer than the copy */
	int64_t grave_lease;
	uint64_t grave_lease_ms;

	/* The watcher's thread only. */
	struct dir_mirror *mirror;
	struct presence *heard, **heard_last;
	uint64_t event_ms; /* when the last event came */
	bool has_failed;   /* the copy could not be written: begin again */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t wake;  /* of the keeper and the watcher's pauses */
	struct waiting *waiting, **waiting_last;
	struct saying *sayings, **sayings_last;
	struct dir_writer *writer; /* known since the first chain */
	bool is_in_reach;
	bool holds_lease;
};

/* Monotonic milliseconds. */
uint64_t dir_etcd_now_ms(void);
/* Wait MS, or less if the process ends or, for the keeper, something is to be said. */
void dir_etcd_pause(struct dir_etcd *e, unsigned ms, bool until_saying);
/* A copy of the prefix and KEY, the caller's. */
void dir_etcd_key(const struct dir_etcd *e, struct buffer *to, const char *table, struct bytes name);
/* On the loop with all that belongs together: changes of the copy, presence, chains to be answered. */
void dir_etcd_deliver(struct dir_etcd *e, struct change *changes, struct presence *heard, int64_t revision);
/* Tell the loop if being in reach has changed. */
void dir_etcd_check_reach(struct dir_etcd *e);

void *dir_etcd_watcher(void *e);
void *dir_etcd_keeper(void *e);
/* Forget what is recent and now copied; free all of it where ALL. */
void dir_etcd_forget(struct dir_etcd *e, bool all);

#endif
