/* places_private.h - shared by the files of the mailbox list. */
#ifndef ROOST_FRONTEND_PLACES_PRIVATE_H
#define ROOST_FRONTEND_PLACES_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kv.h"
#include "map.h"
#include "mupdate_client.h"
#include "places.h"

enum { T_MAILBOX, T_META, T_COUNT };

struct where {
	char at[PLACES_SERVICES][PLACES_ADDRESS_MAX];
};

struct known_server {
	uint64_t epoch;
	char master[64];
	struct map members; /* struct where by name */
};

struct places {
	struct places_options o;
	struct loop *home;
	struct kv *kv;
	char *dir;
	struct mupdate_client *client;
	/* Writing, on the home loop: changes of one turn share a transaction. */
	struct kv_txn *txn;
	struct timer *commit;
	uint64_t generation;
	bool is_listing, is_skipping; /* skipping: what comes is of no use until a list begins */
	struct map hosts; /* servers of mailboxes: name to the generation of the list that had them last, as a pointer's value */
	atomic_bool is_ready, is_connected;

	pthread_mutex_t lock; /* guards the servers */
	struct map servers;   /* struct known_server by lower-cased name */
};

/* places.c */
/* A record: u64 generation of the list that had it, u8 active, location, ACL. False: it is none. */
bool places_decode(struct bytes value, uint64_t *generation_r, bool *active_r, struct bytes *location_r, struct bytes *acl_r);
/* The server of that name, under the lock; NULL: it is not known, and CREATE is not set. */
struct known_server *places_server_of(struct places *p, struct bytes name, bool create);
/* TEXT as a string, cut to SIZE. */
void places_copy_text(char *to, size_t size, struct bytes text);

/* places_update.c */
extern const struct mupdate_client_events places_events; /* ARG is the struct places */
/* The turn's transaction; NULL where the list cannot be written. */
struct kv_txn *places_writing(struct places *p);
/* End it; ARG is the struct places. */
void places_commit(void *arg);

#endif
