/* kv_private.h - private to kv*.c. */
#ifndef ROOST_KV_PRIVATE_H
#define ROOST_KV_PRIVATE_H

#include <lmdb.h>
#include <sys/types.h>

#include "kv.h"

struct kv {
	MDB_env *env;
	MDB_dbi dbi[KV_TABLES_MAX];
	bool is_missing[KV_TABLES_MAX]; /* of a reader: the file has no such table, so it is an empty one */
	size_t table_count;
	char *dir;
	bool is_copy;        /* the content can be made anew: what is damaged is set aside */
	bool is_durable;
	const uint8_t *base; /* where the file is mapped; NULL: not known */
	size_t map_size, page_size;
	bool has_reserve; /* the writer's thread */
	int fd; /* of the file, under an exclusive lock; -1: a reader's */
};

/* What to do about a durable file that is damaged. */
#define KV_REMEDY "put a copy in its place, or move it away to begin with nothing"

/* End the process with one line of log: the file's content is not what LMDB has written. A copy is set aside first, so
 * that the next start makes it anew. */
_Noreturn void kv_damaged(const struct kv *kv, const char *why);

/* Set WHY: the file is not as it must be, by the text. Returns false. */
bool kv_is_damaged(const struct kv *kv, struct fault *why, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* From now on damage that LMDB trips over, or that shows when a value is looked at, ends the process by kv_damaged(). */
void kv_guard(struct kv *kv);
void kv_unguard(struct kv *kv);

/* Which store this thread calls LMDB for: what goes wrong then is that store's damage. */
extern _Thread_local const struct kv *kv_inside;
/* RC = CALL, an expression that calls LMDB for KV. */
#define KV_CALL(kv, rc, call) \
	do { \
		kv_inside = (kv); \
		(rc) = (call); \
		kv_inside = NULL; \
	} while (0)

/* Whether the file FD is sound; an empty one is, and one without LMDB's head, as LMDB refuses that. ONLY_IF_SHORT: look only
 * where the file is shorter than its pages' number says. (It may rightly lack its last pages, where they were freed before
 * they were ever written.) Before LMDB has it open for writing. False with WHY. */
bool kv_check(const struct kv *kv, int fd, bool only_if_short, struct fault *why);

/* Octets on the disk, and of the map. */
#define KV_RESERVE (512u << 10)

/* Have the reserve, if there is room. */
void kv_take_reserve(struct kv *kv);
struct kv *kv_of(const struct kv_txn *t);

#endif
