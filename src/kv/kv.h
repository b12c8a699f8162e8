/* kv.h - ordered maps from octets to octets in one LMDB environment; the only user of lmdb.h.
 *
 * One write transaction at a time, owned by the thread that began it until it ends; it may stay open across turns of
 * that thread's loop and sees its own changes. Any number of read transactions, each a snapshot that no writer disturbs;
 * one is used by one thread at a time. What kv_get() and cursors return points into the map and lives until the
 * transaction ends or (in a write transaction) until the next change. */
#ifndef ROOST_KV_H
#define ROOST_KV_H

#include "bytes.h"
#include "fault.h"

/* Longest key, octets. */
#define KV_KEY_MAX 511
#define KV_TABLES_MAX 16

struct kv;
struct kv_txn;

enum kv_result {
	KV_OK,
	KV_NOT_FOUND,
	KV_FULL,   /* the map or the disk is full; the transaction can only be aborted */
	KV_FAILED, /* an I/O error or damage; the transaction can only be aborted */
};

/* Open or create the environment in directory DIR with TABLE_COUNT tables of the given names; a table is then known by
 * its position.
 *
 * map_size    address space, octets; the most it can hold
 * is_durable  true: kv_commit() returns after a sync. false: a commit survives the process, not the machine; call
 *             kv_sync(), or be able to make the content anew
 * is_reader   open for reading only, beside the process that writes; a table that the file, of an earlier version, lacks is
 *             empty
 *
 * NULL with WHY: DIR cannot be used or is in use by another writer; what is there is no LMDB environment, holds tables of
 * other names, or was cut short ("DIR/data.mdb: ...").
 *
 * Damage that LMDB trips over, now or later, or that shows when a value is looked at, ends the process with one line of
 * log (kv.store.damaged): the first call takes SIGSEGV and SIGBUS for that, and leaves those that are none of its own as
 * they were. Where !is_durable the file is then set aside as "data.mdb.damaged". Damage that LMDB reports is KV_FAILED, but
 * where !is_durable it ends the process as well. */
struct kv *kv_open(const char *dir, size_t map_size, const char *const *tables, size_t table_count, bool is_durable,
                   bool is_reader, struct fault *why);
/* All transactions have ended before. Sets *KV to NULL; NULL is allowed. */
void kv_close(struct kv **kv);
/* Bring all commits to the disk. */
bool kv_sync(struct kv *kv, struct fault *why);

/* NULL with WHY (too many readers, or a damaged file). */
struct kv_txn *kv_read(struct kv *kv, struct fault *why);
struct kv_txn *kv_write(struct kv *kv, struct fault *why);
/* End a write transaction, keeping its changes. On failure nothing was kept; it fails where any access in T has. Sets *T to
 * NULL always. */
bool kv_commit(struct kv_txn **t, struct fault *why);
/* End any transaction, dropping changes. Sets *T to NULL; NULL is allowed. */
void kv_end(struct kv_txn **t);

/* Of a durable store's write transactions, on the one thread that writes. Some room is kept back for what makes room:
 *
 * kv_may_grow         whether T may add about so many octets; false with WHY: what is left is kept for others
 * kv_is_tight         the reserve was given up and could not be had again
 * kv_give_up_reserve  a change that makes room did not fit: whether it may now, tried again */
bool kv_may_grow(struct kv_txn *t, size_t octets, struct fault *why);
bool kv_is_tight(const struct kv_txn *t);
bool kv_give_up_reserve(struct kv *kv);

/* Octets of pages that are in use; and how many more there is room for: on the disk, in the map, and in the file's free pages. Any thread. */
void kv_measure(struct kv *kv, uint64_t *used_r, uint64_t *room_r);

/* Whether an access in T has failed: what looked like the end of a table, or a key that is not there, may be damage. */
bool kv_has_failed(const struct kv_txn *t);

/* KV_OK, KV_NOT_FOUND or KV_FAILED. */
enum kv_result kv_get(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r);
/* Set KEY (1..KV_KEY_MAX octets), whether it is there or not. KV_OK, KV_FULL or KV_FAILED. */
enum kv_result kv_put(struct kv_txn *t, size_t table, struct bytes key, struct bytes value);
/* The same for a KEY behind all that are there, which is quick and leaves pages full. KV_FAILED also where it is not. */
enum kv_result kv_put_last(struct kv_txn *t, size_t table, struct bytes key, struct bytes value);
/* KV_OK, KV_NOT_FOUND, KV_FULL or KV_FAILED. */
enum kv_result kv_del(struct kv_txn *t, size_t table, struct bytes key);
/* What kv_get(), kv_put() and kv_del() do, in a write transaction, quicker for a row of keys in their order: the first and the last where
 * KEY is the next one behind that of the last access to the table, the second where it is the same. */
enum kv_result kv_get_next(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r);
enum kv_result kv_put_here(struct kv_txn *t, size_t table, struct bytes key, struct bytes value);
enum kv_result kv_del_next(struct kv_txn *t, size_t table, struct bytes key);
/* Number of keys in the table. */
size_t kv_count(struct kv_txn *t, size_t table);
/* Remove all keys of the table. */
enum kv_result kv_clear(struct kv_txn *t, size_t table);

/* A position in a table. Made by kv_seek(), freed by kv_cursor_end() before its transaction ends. In a write transaction
 * it stays usable after kv_put() and kv_del() in that table only by a new kv_seek(). */
struct kv_cursor;
/* Stand at the first key that is not less than KEY (empty: the first key). NULL: there is none (or damage). */
struct kv_cursor *kv_seek(struct kv_txn *t, size_t table, struct bytes key, struct bytes *key_r, struct bytes *value_r);
/* Go on to the next key. False: there is none. */
bool kv_next(struct kv_cursor *c, struct bytes *key_r, struct bytes *value_r);
/* Move an open cursor: the first key not less than KEY. False: none. */
bool kv_reseek(struct kv_cursor *c, struct bytes key, struct bytes *key_r, struct bytes *value_r);
/* NULL is allowed; sets *C to NULL. */
void kv_cursor_end(struct kv_cursor **c);
/* The last key that is less than KEY. KV_OK, KV_NOT_FOUND or KV_FAILED. */
enum kv_result kv_before(struct kv_txn *t, size_t table, struct bytes key, struct bytes *key_r, struct bytes *value_r);

#endif
