/* record_store.h - the directory's records on disk: mailboxes, who deleted a name last, servers' configurations.
 *
 * Formats: docs/formats.md "Directory". Functions that change take a write transaction of the writer's thread. */
#ifndef ROOST_DIRECTORY_RECORD_STORE_H
#define ROOST_DIRECTORY_RECORD_STORE_H

#include "kv.h"
#include "record.h"
#include "reign.h"

/* Longest mailbox name, octets. */
#define RECORD_NAME_MAX KV_KEY_MAX

/* IS_DURABLE: see kv_open(); a copy of records that are elsewhere need not be. */
struct kv *record_store_open(const char *dir, size_t map_size, bool is_durable, struct fault *why);
/* A copy that outlives the process: see kv_copy_open(). */
struct kv *record_store_open_copy(const char *dir, size_t map_size, bool *is_whole_r, struct fault *why);
/* For reading only, beside the mupdate server that writes it. */
struct kv *record_store_open_reader(const char *dir, size_t map_size, struct fault *why);

/* Names order. *record_r borrows from the transaction. KV_OK or KV_FAILED; no record is RECORD_NONE. */
enum kv_result record_get(struct kv_txn *t, struct bytes name, struct record *record_r);
/* RECORD_NONE removes. */
enum kv_result record_put(struct kv_txn *t, struct bytes name, const struct record *record);
/* Records there are. */
size_t record_count(struct kv_txn *t);

/* Walk the records from the first name not less than FROM (excluding FROM itself if AFTER). */
struct record_cursor {
	struct kv_txn *txn;
	struct kv_cursor *cursor;
	struct bytes key, value;
	bool has, is_damaged;
};
void record_cursor_open(struct kv_txn *t, struct bytes from, bool after, struct record_cursor *c_r);
/* The present record, RECORD_NONE where it is damaged; false at the end, or where no more can be read. */
bool record_cursor_get(struct record_cursor *c, struct bytes *name_r, struct record *record_r);
void record_cursor_next(struct record_cursor *c);
/* False (logged): the walk met damage, and what it found may lack records. */
bool record_cursor_close(struct record_cursor *c);

/* Which server deleted the last record of NAME; empty: not known. The memory of deletions is bounded: the oldest are
 * forgotten beyond RECORD_DELETED_MAX. */
#define RECORD_DELETED_MAX 100000
enum kv_result record_deleted_by(struct kv_txn *t, struct bytes name, struct bytes *server_r);
enum kv_result record_note_deleted(struct kv_txn *t, struct bytes name, struct bytes server);
enum kv_result record_forget_deleted(struct kv_txn *t, struct bytes name);

/* Names marked while a list is copied, to find what was not in it. */
enum kv_result record_mark_seen(struct kv_txn *t, struct bytes name);
/* False also where that cannot be read: the transaction has then failed and cannot be committed. */
bool record_was_seen(struct kv_txn *t, struct bytes name);
enum kv_result record_clear_seen(struct kv_txn *t);

/* A server's configuration; epoch 0 where there is none. Borrows from the transaction. Names are lower-cased. */
enum kv_result reign_get(struct kv_txn *t, struct bytes server, struct reign *reign_r);
enum kv_result reign_put(struct kv_txn *t, struct bytes server, const struct reign *reign);
/* Walk all servers: call FN for each. False (logged): one cannot be read. */
typedef void reign_each_fn(void *arg, struct bytes server, const struct reign *reign);
bool reign_each(struct kv_txn *t, reign_each_fn *fn, void *arg);

#endif
