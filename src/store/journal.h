/* journal.h - the append-only log of a partition: segments of batches of entries (docs/formats.md, "Journal").
 *
 * A batch is what one flush writes and syncs. A batch is begun only after the one before it was synced, so a crash can
 * tear the last batch only, and its valid beginning is kept; any other damage is corruption, which is told and never cut.
 *
 * Of old segments only entries with live bodies need be kept: these are *sparse*. All others are *whole*; a whole one in
 * front of a sparse one is no use to a follower.
 *
 * BUGS: 8 octets of memory for each entry of the whole segments that are looked at. */
#ifndef ROOST_STORE_JOURNAL_H
#define ROOST_STORE_JOURNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "buffer.h"
#include "entry.h"
#include "pace.h"
#include "store.h"

#define SEGMENT_HEADER 16384
#define SEGMENT_MAGIC "ROOSTSG1"
#define SEGMENT_EPOCHS_MAX 1000
/* In the header: of a sparse segment u64 LSN of the index that its dead entries were dropped by; u32 flags, u32 zero, and of a sparse
 * segment u64 last LSN of its range, u64 where its table is. */
#define SEGMENT_DROPPED_AT (SEGMENT_HEADER - 40)
#define SEGMENT_SPARSE_AT (SEGMENT_HEADER - 32)
#define SEGMENT_SPARSE 1u
/* u32 magic, u32 zero, u64 count, u64 hash of the 16 octets before; then rows of u64 LSN, u64 offset. */
#define TABLE_MAGIC 0x31545452u /* "RTT1" */
#define TABLE_HEADER 24
#define TABLE_ROW 16
#define BATCH_HEADER 32
#define BATCH_MAGIC 0x31544252u /* "RBT1" */

#define RETIRED_CUT UINT64_MAX

struct segment {
	char *path;
	int fd;
	lsn_t first;
	uint64_t size; /* allocated */
	_Atomic uint64_t used; /* end of the last batch; of an old one an estimate until a reader has scanned it, which may be at any time */
	const uint8_t *map;
	/* Where each entry begins, from FIRST on, 0: its header is damaged; guarded by the journal's lock, grows only. */
	uint64_t *offsets;
	size_t offset_count, offset_cap;
	bool is_scanned;

	/* A sparse segment: of the entries FIRST..LAST it holds those that its table names, which needs no memory. */
	bool is_sparse;
	lsn_t last;
	uint64_t table, table_count; /* where the rows are, and how many */
	lsn_t dropped; /* what was dead in the index as of then it has not; 0: not known, as in a copy */

	/* Replaced by another: still there for who pinned the journal before. */
	uint64_t retired_at; /* RETIRED_CUT: not replaced, but cut off */
	struct segment *next_retired;
};

/* Held by who reads bodies that an index snapshot of his names. */
struct journal_pin {
	struct journal_pin *older, *newer;
	uint64_t generation;
};

struct batch {
	struct arena arena; /* heads (and copied bodies) */
	struct store_entry *entries;
	size_t count, cap;
	uint64_t bytes; /* padded */
};

struct journal {
	char *dir;
	uint64_t segment_size;
	struct segment **segments; /* in order; the pointers stay */
	size_t count, cap;
	struct store_epoch *epochs;
	size_t epoch_count, epoch_cap;
	lsn_t last;
	atomic_uint_fast64_t durable; /* written by the writer only */
	lsn_t first_whole; /* from here on all entries are there; guarded by the lock */
	struct batch pending, flushing;
	struct segment *flush_to; /* the last, while is_flushing: the flusher cannot look into SEGMENTS, which compaction moves */
	bool is_reader;
	bool has_tail; /* after opening: octets behind the last entry, for journal_settle() */
	uint64_t last_batch; /* after opening: where the last batch of the last segment begins, for the same; 0: there is none */
	struct pace *pace; /* for journal_verify_segment(); lent; NULL: at full speed */
	bool is_flushing, is_failed;
	struct fault failure;
	uint64_t flushes, flushed_bytes, flush_ns, entries;
	uint64_t flushing_ns; /* of the flush under way, written by the flusher */
	pthread_mutex_t lock; /* guards segments, count, retired, and the offsets, against views */
	struct segment *retired; /* cut off or replaced, newest first */
	pthread_mutex_t pin_lock; /* guards the pins and generation; taken before the other */
	struct journal_pin *oldest_pin, *newest_pin;
	uint64_t generation; /* grows with each journal_replace() */
};

/* Open or create DIR; nothing that is there is changed. False with WHY. */
bool journal_open(struct journal *j, const char *dir, uint64_t segment_size, bool is_reader, struct fault *why);
/* Entries up to KNOWN were whole once. If they still are, cut what the last flush left torn (and log it). False with WHY: they
 * are not, nothing was cut; or it could not be. */
bool journal_settle(struct journal *j, lsn_t known, struct fault *why);
void journal_close(struct journal *j);
/* Make sure that a batch of BYTES fits the last segment, by beginning a new one if need be. STORE_OK, NO_SPACE, FAILED. */
enum store_result journal_reserve(struct journal *j, uint64_t bytes, struct fault *why);
/* Whether BYTES more have to wait until what is pending is flushed: the segment is full. */
bool journal_must_flush(const struct journal *j, uint64_t bytes);
/* Append the next entry: HEAD and BODY as they are (BODY is lent until the flush is done, or copied if COPY_BODY). False:
 * it does not fit what was reserved. */
bool journal_append(struct journal *j, epoch_t epoch, struct bytes head, struct bytes body, bool copy_body);
/* Take back everything that was appended and not begun to be flushed. */
void journal_drop_pending(struct journal *j);
bool journal_flush_begin(struct journal *j);
void journal_flush_run(struct journal *j);
bool journal_flush_done(struct journal *j, struct fault *why);
/* Drop all entries after LSN, on the disk, too. A crash leaves all of the suffix, or a shorter one, or none. */
enum store_result journal_truncate_after(struct journal *j, lsn_t lsn, struct fault *why);
/* Recovery: clear what lies behind the last entry in the last segment. */
bool journal_cut_tail(struct journal *j, struct fault *why);
epoch_t journal_epoch_at(const struct journal *j, lsn_t lsn);
/* The last entry that both have: of one LSN and one epoch. 0: there is none. */
lsn_t journal_common(const struct journal *a, const struct journal *b);

/* Octets of durable entry LSN, in mapped memory. Any thread that has a pin, which is taken before the index snapshot that
 * names the entry: the memory lives as long as the pin. The writer's thread needs none, and the memory lives until its next
 * journal_replace(). False with WHY: there is none, or its header is damaged. Checksums are entry_read()'s. */
bool journal_find(struct journal *j, lsn_t lsn, struct bytes *head_r, struct bytes *body_r, struct fault *why);
/* Where durable entry LSN is. Any thread. Unless FOUND, WHY says why. */
enum journal_place {
	JOURNAL_FOUND,
	JOURNAL_DAMAGED, /* it should be there, but its header is not */
	JOURNAL_NOWHERE, /* there is no such entry (any more) */
};
enum journal_place journal_locate(struct journal *j, lsn_t lsn, struct segment **s_r, uint64_t *off_r, struct fault *why);
/* journal_mend.c: where entry LSN of N octets belongs, also if its header is damaged; and writing RAW there, synced. */
enum journal_place journal_place_for(struct journal *j, lsn_t lsn, uint64_t n, struct segment **s_r, uint64_t *at_r,
                                     struct fault *why);
bool journal_put_back(struct journal *j, struct segment *s, lsn_t lsn, uint64_t at, struct bytes raw, struct fault *why);
/* Append to TO the octets of durable entry LSN's head, or its body, from FROM on, at most N, read from the file: a disk that
 * cannot read them is a fault. Any thread. False with WHY: there is none, or unreadable; TO may have grown room, not octets. */
enum journal_part { JOURNAL_HEAD, JOURNAL_BODY };
bool journal_read(struct journal *j, lsn_t lsn, enum journal_part part, uint64_t from, size_t n, struct buffer *to, struct fault *why);
/* P is the caller's, until journal_unpin(). Any thread. */
void journal_pin(struct journal *j, struct journal_pin *p);
void journal_unpin(struct journal *j, struct journal_pin *p);
/* Put the sparse segment WITH in the place of those that it covers; none is the last. Writer's thread. */
void journal_replace(struct journal *j, struct segment *with);
uint64_t journal_used(struct journal *j);
/* First LSN from which on no entry is missing. Any thread. */
lsn_t journal_first_whole(struct journal *j);
/* The newest index by which entries were dropped: in an older one they may be alive. 0: none were, or it is not known. */
lsn_t journal_dropped(const struct journal *j);
/* Octets in segments that begin after LSN. */
uint64_t journal_used_after(const struct journal *j, lsn_t lsn);
/* Check all of segment I, batch by batch; each finding is a line on OUT, if there is one. Returns the findings. */
uint64_t journal_verify_segment(struct journal *j, size_t i, lsn_t last, FILE *out);

/* journal_open.c and journal.c share: */
struct segment *segment_open(const char *path, bool is_reader, struct fault *why);
void segment_free(struct segment *s);
/* From now on a SIGBUS for who reads S ends the process with a line of log that says which page of which file. What is not a
 * segment's goes to the handler from before. segment_open() and segment_free() call these. */
void segment_guard(const struct segment *s);
void segment_unguard(const struct segment *s);
/* A header for the segment that begins with FIRST; of a sparse one (LAST not 0) with its last LSN, what it was made by, and its table's place.
 * It names the newest of the epochs that begin before FIRST, or not after LAST. */
void segment_header_write(struct buffer *b, const struct store_epoch *epochs, size_t epoch_count, lsn_t first, lsn_t last,
                          lsn_t dropped, uint64_t table);
void journal_add_segment(struct journal *j, struct segment *s);
/* S was cut off: readers may still have what they found there, so it stays until the journal is closed. */
void journal_retire_cut(struct journal *j, struct segment *s);
/* Entry LSN in a segment that was replaced. The journal's lock is held. */
bool journal_find_retired(struct journal *j, lsn_t lsn, struct segment **s_r, uint64_t *off_r);
void journal_free_retired(struct journal *j);
/* Where entry LSN of a sparse segment is. false: it has none. */
bool segment_find_sparse(const struct segment *s, lsn_t lsn, uint64_t *off_r);
/* Row I of a sparse segment's table. */
void segment_row(const struct segment *s, uint64_t i, lsn_t *lsn_r, uint64_t *off_r);
bool journal_new_segment(struct journal *j, uint64_t size, struct fault *why);
void journal_note_epoch(struct journal *j, epoch_t epoch, lsn_t lsn);
void segment_note(struct segment *s, uint64_t off);
uint64_t journal_padded(uint64_t n);
/* A valid batch header at OFF: its entries' octets. */
bool segment_batch(const struct segment *s, uint64_t off, uint64_t *bytes_r, lsn_t *first_r);
void segment_write_batch_header(uint8_t to[BATCH_HEADER], uint64_t bytes, lsn_t first);
/* Note where the entries of a segment that is not the last begin. The journal's lock is held. */
void segment_scan(struct journal *j, struct segment *s);

#endif
