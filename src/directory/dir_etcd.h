/* dir_etcd.h - the records in etcd, shared by any number of mupdate servers.
 *
 * etcd has the truth; each mupdate server keeps a copy in its own LMDB, from which it reads, and which a watch keeps up.
 * A change is decided on the copy and written by a transaction that holds only if all that was read is still so in etcd;
 * if not, it is decided again on what is there. It is answered when the copy has come up to it: whoever heard an OK may
 * rely on what this server says next, and followers were told before.
 *
 * What is not durable, who is connected where (presence), is kept there too, under a lease: a mupdate server that dies is
 * forgotten with its connections after DIR_ETCD_LEASE_S seconds.
 *
 * Threads: the writer's (dir_etcd_batch), one that watches, one that keeps the lease. Keys: docs/formats.md. */
#ifndef ROOST_DIRECTORY_DIR_ETCD_H
#define ROOST_DIRECTORY_DIR_ETCD_H

#include "config.h"
#include "dir_writer.h"
#include "etcd.h"

#define DIR_ETCD_LEASE_S 10

struct dir_etcd;

/* A key of presence that was written by another mupdate server, or is gone. */
struct presence {
	struct presence *next;
	struct arena arena;
	enum presence_kind {
		PRESENCE_RESET, /* all that was heard before is void; what is there follows */
		PRESENCE_PUT,
		PRESENCE_GONE,
		PRESENCE_LISTED, /* all that is there has been given */
	} kind;
	struct bytes key; /* without the prefix: "member/..." */
	struct bytes value;
};
void presence_free(struct presence **p);

/* All on the loop. Changes, and only then presence, of one delivery come in this order. */
struct dir_etcd_events {
	/* As changes_done_fn; changes that nobody here asked for have session 0. The callee frees. */
	changes_done_fn *on_changes;
	/* One; the callee frees. */
	void (*on_presence)(void *arg, struct presence *p);
	/* The copy is whole and the lease is held / the lease may have run out: others think us gone. */
	void (*on_reach)(void *arg, bool is_in_reach);
	/* A new lease: say all presence again. */
	void (*on_forgotten)(void *arg);
};

/* COPY is an empty store of records that nobody else writes. NULL with WHY: the configuration cannot be right. */
struct dir_etcd *dir_etcd_start(const struct config *c, struct kv *copy, struct loop *l, const struct dir_etcd_events *events,
                                void *arg, struct fault *why);
/* A write_batch_fn whose ARG is the struct dir_etcd. */
void dir_etcd_batch(void *etcd, struct dir_writer *w, struct change *first);
/* Make changes that are on their way be refused rather than tried again; before dir_writer_stop(). */
void dir_etcd_give_up(struct dir_etcd *e);
/* After dir_writer_stop(): the threads end; chains that still wait are dropped. Sets *E to NULL; NULL is allowed. */
void dir_etcd_stop(struct dir_etcd **e);
/* A client by the configuration's etcd_ keys, for whoever else works on the records. NULL with WHY. */
struct etcd *dir_etcd_client(const struct config *c, struct fault *why);

/* Say (VALUE), or take back what this server said (NULL), under KEY. Any thread. */
void dir_etcd_say(struct dir_etcd *e, struct bytes key, const struct bytes *value);
/* What presence values begin with: this process. Lent for E's life. */
struct bytes dir_etcd_owner(const struct dir_etcd *e);

#endif
