/* checkpoint.h - the index at one LSN as a stream of octets: written from a snapshot to any sink, and read from any source
 * in pieces (docs/formats.md, "Checkpoint"). Memory is bounded by one block, some 256 KiB or one larger record.
 *
 * Files of it, named for their LSN in the journal's directory, are checkpoint_file.c. */
#ifndef ROOST_STORE_CHECKPOINT_H
#define ROOST_STORE_CHECKPOINT_H

#include "buffer.h"
#include "kv.h"
#include "store.h"

#define CHECKPOINT_MAGIC "ROOSTCK1"
/* Epochs that a checkpoint names at most: the newest. */
#define CHECKPOINT_EPOCHS_MAX 1000
#define CHECKPOINT_TABLES_MAX KV_TABLES_MAX

/* What stands before the records. */
struct checkpoint_head {
	uint32_t format; /* of the index's records: INDEX_FORMAT of the program that wrote it */
	lsn_t lsn;
	bool has_reign;
	struct store_reign reign;  /* the newest up to LSN; borrowed, or the reader's */
	struct store_epoch *epochs; /* of the entries up to LSN, ascending; borrowed, or the reader's */
	size_t epoch_count;
};

/* Take PIECE, borrowed until return. false with WHY: it could not, and the writing ends. */
typedef bool checkpoint_sink_fn(void *arg, struct bytes piece, struct fault *why);

/* Write the checkpoint of the snapshot T with TABLE_COUNT tables, which is that of HEAD->lsn. false with WHY: the index is
 * damaged, or the sink's. */
bool checkpoint_write(struct kv_txn *t, size_t table_count, const struct checkpoint_head *head, checkpoint_sink_fn *sink,
                      void *arg, struct fault *why);

/* Called with each record in the order of tables and keys. KEY and VALUE are lent during the call. */
typedef bool checkpoint_record_fn(void *arg, size_t table, struct bytes key, struct bytes value, struct fault *why);

/* Reading: zero-initialise, set RECORD (NULL: only check) and ARG, feed, and free with checkpoint_reader_fini(). */
struct checkpoint_reader {
	checkpoint_record_fn *record;
	void *arg;

	struct checkpoint_head head; /* once HAS_HEAD */
	bool has_head;
	bool is_whole; /* the end was read and everything agrees; nothing may follow */
	uint64_t octets; /* read and found good, up to the end of a block */

	/* The reader's. */
	struct buffer held;
	struct buffer texts;
	bool has_magic, is_bad;
	uint64_t chain;
	uint64_t records[CHECKPOINT_TABLES_MAX];
	size_t table;
	struct buffer last_key;
};
/* Take the next octets, cut anywhere. Records of a block are handed on only once the whole block was found good.
 * false with WHY: damaged, of another format, or RECORD said so; the reader is then good only for freeing. */
bool checkpoint_feed(struct checkpoint_reader *r, struct bytes piece, struct fault *why);
void checkpoint_reader_fini(struct checkpoint_reader *r);

#endif
