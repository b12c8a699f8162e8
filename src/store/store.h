/* store.h - one partition: the journal, and the index derived from it. This is the write side; sessions read through
 * store_view.h, and operators' tools are in store_tool.h.
 *
 * All functions here are called on the writer thread, but for store_flush_run(), which belongs to the flusher thread, and
 * those that say otherwise.
 *
 * A turn on the master:
 *	store_reserve_space()                 disk full is found here, before anything is sent
 *	store_turn_begin()
 *	store_turn_add() ...                  each intent becomes an entry and is applied to the open transaction
 *	store_turn_entries()                  for the followers
 *	store_flush_begin(); store_flush_run() on the flusher thread; store_flush_done()
 *	store_turn_commit() | store_turn_abort()
 *
 * A follower: store_follow_append() ..., the same three flush calls, store_apply_committed(). New entries may be appended
 * while a flush runs; they go with the next.
 *
 * The index holds committed entries only. The journal may hold a suffix that is not committed (yet): it is applied by
 * store_apply_committed() or by the next turn, or cut by store_truncate_after().
 *
 * After a failed write or sync the store is FAILED: everything that writes answers STORE_FAILED until it is closed and
 * opened again; views go on. */
#ifndef ROOST_STORE_H
#define ROOST_STORE_H

#include <sys/uio.h>

#include "buffer.h"
#include "intent.h"
#include "store_types.h"

struct store;

struct store_options {
	const char *dir;       /* the partition's directory; made where missing */
	uint64_t map_size;     /* index_map_size; 0: default */
	uint64_t segment_size; /* journal_segment_size; 0: 64 MiB */
	uint64_t verify_rate;  /* octets a second that store_verify() reads; 0: as fast as it can */
	unsigned keywords_max; /* imap_max_keywords, 1..KEYWORDS_MAX; 0: KEYWORDS_MAX */
	uint64_t expunge_delay; /* seconds that expunged messages are kept at least; 0: they are gone at once */
	bool rebuilds;          /* the index is made anew, whatever its mark says */
};

/* Open the partition: one process at a time. Recovers: the last segment is scanned, a torn tail cut (and logged), the index
 * thrown away and rebuilt from the journal where the machine went down without a clean close, or where it is missing.
 * Entries that were durable but not applied stay unapplied. This may take seconds.
 *
 * NULL with WHY set (FAULT_OPERATOR: file, offset, what to do): in use by another process, corrupt index or segment, a gap
 * in the journal, an index ahead of the journal, no rights, no space. OPTIONS is borrowed until return. */
struct store *store_open(const struct store_options *options, struct fault *why);
/* Close cleanly. No turn is open, no flush is running, no view is open. NULL is allowed. */
void store_close(struct store **s);

lsn_t store_last_lsn(const struct store *s);    /* in the journal or its buffer */
lsn_t store_durable_lsn(const struct store *s); /* on the disk */
lsn_t store_applied_lsn(const struct store *s); /* in the index: known committed. Any thread */
bool store_is_failed(const struct store *s);
/* Why it is failed. */
void store_failure(const struct store *s, struct fault *why);

/* Epochs in the journal, ascending: each with the LSN of its first entry. Lent until the next change of the journal. */
struct store_epoch {
	epoch_t epoch;
	lsn_t first;
};
const struct store_epoch *store_epochs(const struct store *s, size_t *count_r);
/* The epoch of entry LSN (1..last); 0 where there is no such entry. */
epoch_t store_epoch_at(const struct store *s, lsn_t lsn);
/* The newest EPOCH entry in the journal. false: none. Views are lent until the next change of the journal. */
struct store_reign {
	lsn_t lsn;
	epoch_t epoch;
	struct bytes master;
	struct bytes in_sync; /* names separated by blanks */
};
bool store_reign(const struct store *s, struct store_reign *reign_r);

/* ---- the turn of a master ---- */

/* Make sure that BYTES more of journal (intent_cost()) fit on the disk and the index has room.
 * OK; NO_SPACE with WHY set (logged by nobody yet): nothing changed; FAILED. */
enum store_result store_reserve_space(struct store *s, uint64_t bytes, struct fault *why);
/* Open a turn whose entries are of EPOCH (not below the journal's last). A suffix that was not applied yet is applied to
 * the turn's transaction first, so that it becomes visible with this turn. OK, FAILED with WHY set. */
enum store_result store_turn_begin(struct store *s, epoch_t epoch, struct fault *why);
/* Do IN within the turn. The answer, also in.append.targets[], is set at once but may be told only after the commit; lists
 * in it live in A. IN and what it points to stay until the turn ends. Nothing changes unless the result is OK.
 * On FAILED (logged) the turn is good only for store_turn_abort(). */
void store_turn_add(struct store *s, struct intent *in, struct arena *a, struct intent_answer *answer_r);
/* The turn's entries in LSN order, for the followers: the bytes of entry I are HEAD then BODY. Lent until the turn ends. */
struct store_entry {
	lsn_t lsn;
	epoch_t epoch;
	struct bytes head;
	struct bytes body; /* a message's octets: the intent's own memory; empty for most entries */
};
const struct store_entry *store_turn_entries(const struct store *s, size_t *count_r);
/* The turn is committed (LSN is not below its last entry, all flushed): make it visible to readers.
 * *changes_r (NULL allowed) is filled; the caller frees with store_changes_fini().
 * OK; FAILED with WHY set: durable but not visible, the store is failed. Either way the turn is over. A turn without
 * entries is over at once, with LSN store_last_lsn(). */
enum store_result store_turn_commit(struct store *s, lsn_t lsn, struct store_changes *changes_r, struct fault *why);
/* Drop the turn's changes of the index. Entries whose flush has begun stay in the journal as a suffix that is not applied;
 * if none has, they are taken back as if they never were. */
void store_turn_abort(struct store *s);

/* Whether anything that is kept was expunged before BEFORE, for INTENT_RECLAIM. Any thread. */
bool store_has_reclaimable(struct store *s, int64_t before);

/* ---- flushing ---- */

/* Take everything that was appended for one flush. false: there is nothing to flush (or the store is failed). */
bool store_flush_begin(struct store *s);
/* Write and sync it. Flusher thread, after store_flush_begin() and before store_flush_done(). */
void store_flush_run(struct store *s);
/* End the flush. true: everything up to store_durable_lsn() is on the disk. false with WHY set: the store is failed. */
bool store_flush_done(struct store *s, struct fault *why);

/* ---- a follower ---- */

enum store_follow {
	STORE_FOLLOW_OK,        /* appended; durable after the next flush */
	STORE_FOLLOW_DUPLICATE, /* this very entry is here already */
	STORE_FOLLOW_GAP,       /* its LSN is beyond the next */
	STORE_FOLLOW_DIFFERS,   /* another entry has that LSN: store_truncate_after() first */
	STORE_FOLLOW_CORRUPT,   /* not an entry, or its checksum is wrong; or a lower epoch than the last */
	STORE_FOLLOW_BUSY,      /* the segment is full: flush what was appended to its end, then again */
	STORE_FOLLOW_NO_SPACE,
	STORE_FOLLOW_FAILED,
};
/* Append one entry as it came from the master. RAW is exactly one entry, borrowed until return (it is copied).
 * Unless OK nothing changed, and WHY is set. */
enum store_follow store_follow_append(struct store *s, struct bytes raw, struct fault *why);
/* LSN is committed: apply up to it, but no further than what is durable here and not more than some 4,000 entries or
 * 8 MiB at once; so call it until store_applied_lsn() gets there. No turn is open. Changes are added to *changes (NULL
 * allowed). OK; BAD: an entry is whole, but does not fit what is here; FAILED. Unless OK WHY is set and the store is failed. */
enum store_result store_apply_committed(struct store *s, lsn_t lsn, struct store_changes *changes, struct fault *why);
/* Drop every entry after LSN, on disk too when this returns. No turn is open, no flush is running.
 * OK; CONFLICT: LSN is below what is applied: refused, nothing changed; FAILED. WHY set unless OK. */
enum store_result store_truncate_after(struct store *s, lsn_t lsn, struct fault *why);
/* The reigning master has none of the entries after LSN, though they may have been acknowledged: put aside what they came to
 * (salvage.h), then drop them from journal and index. No turn is open, no flush is running; may take long.
 * OK; NO_SPACE with WHY set: the suffix could not be put aside whole, for want of room or because it is damaged; to be tried
 * again; CONFLICT: the index of then cannot be had any more; FAILED. */
enum store_result store_save_after(struct store *s, lsn_t lsn, struct fault *why);
/* Where it puts them. */
const char *store_salvage_dir(const struct store *s);
/* Add the raw entries FROM, FROM + 1, ... to OUT, as many as fit MAX_BYTES but at least one, none beyond what is durable.
 * *last_r is the LSN of the last one added; FROM - 1: none there.
 * OK; GONE with WHY set: FROM is below store_first_lsn(); FAILED with WHY set: unreadable. Reading on from *last_r + 1 is
 * cheap. Any thread, while the journal is not cut. */
enum store_result store_read_entries(struct store *s, lsn_t from, size_t max_bytes, struct buffer *out, lsn_t *last_r,
				     struct fault *why);
/* LSN, epoch and length of the entry that RAW starts with; false: fewer than its header, or not an entry. Any thread. */
bool store_entry_peek(struct bytes raw, lsn_t *lsn_r, epoch_t *epoch_r, uint64_t *length_r);
/* Largest entry there can be; a longer frame from a peer is broken. */
uint64_t store_entry_max(void);

/* LSN of the newest digest; 0: none since the store was opened. INTENT_DIGEST makes one. */
lsn_t store_digest_lsn(const struct store *s);

/* ---- figures, for status and metrics; any thread ---- */
struct store_stats {
	lsn_t last, durable, applied;
	epoch_t epoch;             /* of the newest entry */
	uint64_t segments;
	uint64_t journal_bytes;    /* in use */
	lsn_t first;               /* from here on the journal holds all entries */
	lsn_t checkpoint;          /* the newest; 0: none */
	uint64_t mailboxes;        /* in the index */
	uint64_t flushes, flushed_bytes, entries; /* since the store was opened */
	uint64_t flush_ns;         /* spent in write and sync, in all */
	lsn_t digest;              /* the newest digest compared or made */
	uint64_t differences;      /* between the index and digests, since the store was opened */
	bool differs;              /* the newest: in all records together */
	const char *differs_in;    /* the mailbox in which one was found last; NULL: none. Lent until the next; writer thread */
};
void store_get_stats(struct store *s, struct store_stats *stats_r);

#endif
