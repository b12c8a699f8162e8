/* store_copy.h - checkpoints, and a whole copy of a partition from one member to another.
 *
 * A *checkpoint* is the index at one LSN as a file of the journal's directory (docs/formats.md, "Checkpoint"). It is made in
 * three steps, as a flush is: store_checkpoint_begin() on the writer thread, store_checkpoint_run() on any other,
 * store_checkpoint_done() on the writer thread.
 *
 * The giving side of a copy, any thread, beside everything else:
 *	src = store_source_open(s, 0)                the newest checkpoint (none: FAULT_TRANSIENT, have one made first)
 *	store_source_read(src, offset) ...           its octets, from any offset
 *	store_source_bodies(src, from) ...           the entries whose bodies it refers to, in LSN order, from any LSN
 *	then the entries after store_source_lsn(src), by store_read_entries()
 * A body that was expunged since is left out; the entry that expunged it is among those that follow. So the copy is whole
 * only once it has applied what was the giver's last LSN when the last body was sent.
 *
 * The taking side, any thread, while the old partition may still be open:
 *	in = store_incoming_open(dir, lsn)           goes on where an earlier one for the same LSN was broken off
 *	store_incoming_checkpoint(in, piece) ...     from offset store_incoming_size(in) on
 *	store_incoming_entry(in, raw) ...            from LSN store_incoming_next(in) on
 *	store_incoming_finish(in)                    all is checked and on the disk
 * The next store_open() of DIR, or a store_reopen_run(), finds it finished and takes it in the old one's place; before that
 * the old one stays as it is, whatever happens, and an unfinished one is never taken. */
#ifndef ROOST_STORE_COPY_H
#define ROOST_STORE_COPY_H

#include "store.h"

/* ---- making checkpoints ---- */

/* Whether more than BYTES were journaled since the newest checkpoint (or since the beginning), and none is being made. */
bool store_wants_checkpoint(const struct store *s, uint64_t bytes);
/* Begin one of what is applied now. false with WHY: no snapshot could be had, or one is being made. */
bool store_checkpoint_begin(struct store *s, struct fault *why);
/* Write and sync it; it holds a snapshot of the index for as long as the writing takes. */
void store_checkpoint_run(struct store *s);
/* End it. Older ones than the newest two are removed. false with WHY: it could not be written; nothing changed. */
bool store_checkpoint_done(struct store *s, struct fault *why);
/* From now on what runs in the background ends soon, as failed. Any thread. */
void store_background_stop(struct store *s);
/* LSN of the newest checkpoint; 0: none. Any thread. */
lsn_t store_checkpoint_lsn(const struct store *s);

/* First LSN from which on all entries are here (1 while nothing was compacted). Any thread. */
lsn_t store_first_lsn(struct store *s);

/* ---- giving a copy ---- */

struct store_source;

/* Open the checkpoint of LSN, or the newest if LSN is 0; it stays readable until closed, even if it is removed meanwhile.
 * NULL with WHY: there is none (FAULT_TRANSIENT), or it cannot be read. S outlives it. */
struct store_source *store_source_open(struct store *s, lsn_t lsn, struct fault *why);
void store_source_close(struct store_source **src);
lsn_t store_source_lsn(const struct store_source *src);
uint64_t store_source_size(const struct store_source *src);
/* Add up to MAX octets from OFFSET to OUT; none: its end. */
bool store_source_read(struct store_source *src, uint64_t offset, size_t max, struct buffer *out, struct fault *why);
/* Octets of the entries with live bodies from LSN FROM on and none beyond the checkpoint, about. Takes a moment for each
 * million of them. */
bool store_source_weigh(struct store_source *src, lsn_t from, uint64_t *octets_r, struct fault *why);
/* Add raw entries with live bodies, from LSN FROM on and none beyond the checkpoint, to OUT: as many as fit MAX_BYTES but
 * at least one. *next_r: where to go on; 0: that were all. false with WHY: unreadable or damaged here. */
bool store_source_bodies(struct store_source *src, lsn_t from, size_t max_bytes, struct buffer *out, lsn_t *next_r,
                         struct fault *why);

/* ---- taking a copy ---- */

struct store_incoming;

/* LSN of the copy that was begun in DIR/incoming and is not finished; 0: none. */
lsn_t store_incoming_begun(const char *dir);
/* Remove what was begun in DIR/incoming. false with WHY. */
bool store_incoming_remove(const char *dir, struct fault *why);
/* Begin in DIR/incoming, or go on with what is there for the same LSN; what is there for another is removed.
 * SEGMENT_SIZE as in struct store_options. NULL with WHY. One at a time for a directory. */
struct store_incoming *store_incoming_open(const char *dir, lsn_t lsn, uint64_t segment_size, struct fault *why);
/* Close without finishing; what was received stays for the next. Sets *IN to NULL; NULL is allowed. */
void store_incoming_close(struct store_incoming **in);
/* Octets of the checkpoint that are here, and the LSN after the newest entry that is. */
uint64_t store_incoming_size(const struct store_incoming *in);
lsn_t store_incoming_next(const struct store_incoming *in);
/* Add the next octets of the checkpoint. false with WHY: damaged (then what was received of it is dropped), or no room. */
bool store_incoming_checkpoint(struct store_incoming *in, struct bytes piece, struct fault *why);
/* Add one raw entry, with a higher LSN than all before and none beyond the checkpoint's. false with WHY: damaged, out of
 * order, or no room. */
bool store_incoming_entry(struct store_incoming *in, struct bytes raw, struct fault *why);
/* All is here: check that the checkpoint is whole, sync, and mark it for the next store_open(). It is whole once FLOOR is
 * applied: store_floor(). false with WHY. The caller closes either way. */
bool store_incoming_finish(struct store_incoming *in, lsn_t floor, struct fault *why);

/* ---- after a copy was taken ---- */

/* The LSN that must be applied before bodies and index agree, as store_incoming_finish() was told; 0: they do. Remembered on
 * the disk until store_pass_floor(), on the writer thread, finds that it is. */
lsn_t store_floor(const struct store *s);
void store_pass_floor(struct store *s);

/* Close and open the partition under whoever holds S, in three steps as a flush. Between begin and done nothing but
 * store_view_open() may be called, which answers FAULT_TRANSIENT.
 *
 * begin  false: a view is open, or a checkpoint is being made; nothing changed, try again. No turn is open, no flush
 *        is running, no source is open
 * run    on any thread; may take as long as store_open(). false with WHY: S is good only for store_close()
 * done   views are opened again */
bool store_reopen_begin(struct store *s);
bool store_reopen_run(struct store *s, struct fault *why);
void store_reopen_done(struct store *s);

#endif
