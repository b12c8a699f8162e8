/* column.h - what is kept of mailboxes in memory. What messages are sorted and threaded by: a column of a mailbox has, for UIDs in ascending order, one value
 * each and that value's rank among all of the column, so that sorting compares numbers only.
 *
 * A message's octets never change, so what a column says of a UID stays right for ever, within a reign: a column is made
 * once, is never changed, and is replaced by one that has more. It is made from the store and no part of it: losing one costs
 * time. A column may lack messages that are there, and have some that are gone.
 *
 * The cache holds the newest column of each kind and mailbox, up to a bound for all; who uses one holds it. Any thread. */
#ifndef ROOST_BACKEND_IMAP_COLUMN_H
#define ROOST_BACKEND_IMAP_COLUMN_H

#include <pthread.h>
#include <stdatomic.h>

#include "bytes.h"
#include "list.h"
#include "map.h"

enum column_kind {
	COLUMN_ARRIVAL, /* numbers */
	COLUMN_SIZE,
	COLUMN_DATE,
	COLUMN_SUBJECT, /* texts: base subject; marks: it is a reply */
	COLUMN_FROM,
	COLUMN_TO,
	COLUMN_CC,
	COLUMN_DISPLAYFROM,
	COLUMN_DISPLAYTO,
	COLUMN_IDS, /* hashes (map_hash()) of its Message-ID, 0: it has none, then of what it refers to, oldest first; no ranks */
	COLUMN_UIDS, /* no values: all messages that there are at a modseq (picture.h) */
	COLUMN_KINDS,
};

struct column {
	enum column_kind kind;
	uint64_t mailbox, epoch;
	size_t count;
	uint32_t *uids;    /* all arrays are owned; NULL where the kind has none */
	uint32_t *ranks;   /* 0: the empty text or the lowest number; equal for equal values; below COUNT + 1 */
	int64_t *numbers;
	uint8_t *octets;   /* all texts */
	uint64_t *ids;
	size_t *ends;      /* where each one's text or ids end; each begins where the one before ends */
	uint8_t *marks;
	uint64_t modseq;   /* COLUMN_UIDS: the mailbox's then; */
	uint32_t last_uid; /* all up to here are known, or were gone; */
	uint32_t first_unseen; /* a UID, 0: none */
	size_t size;       /* octets of memory */

	/* column.c's: */
	atomic_uint refs;
	struct list used;  /* in the cache, the most recently used last; guarded by its lock */
};

bool column_has_numbers(enum column_kind kind);
bool column_has_texts(enum column_kind kind);
struct bytes column_text(const struct column *c, size_t row);

/* A column that nobody else knows yet, held once: the caller fills it. */
struct column *column_new(enum column_kind kind, uint64_t mailbox, uint64_t epoch);
/* Hold no more; sets *C to NULL, which is allowed. */
void column_release(struct column **c);

struct column_cache {
	pthread_mutex_t lock; /* guards all below */
	struct map columns;   /* mailbox * COLUMN_KINDS + kind -> struct column, each held once */
	struct list used;
	size_t size, max;     /* octets */
};

/* At most MAX octets are kept; 0: nothing is. */
void column_cache_init(struct column_cache *cache, size_t max);
void column_cache_fini(struct column_cache *cache);
/* The column, held for the caller; NULL: there is none of this epoch. */
struct column *column_cache_get(struct column_cache *cache, enum column_kind kind, uint64_t mailbox, uint64_t epoch);
/* Keep C, whose size is set, in the place of the one before; one that is more than a half of all that may be kept is not. The caller
 * goes on holding it. */
void column_cache_put(struct column_cache *cache, struct column *c);

#endif
