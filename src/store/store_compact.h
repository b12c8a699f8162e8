/* store_compact.h - giving the disk back what expunged messages took. Old segments, of which only the live bodies are wanted
 * any more, are written anew as sparse ones, several as one where little is left of them.
 *
 * Old is what lies below both of the two checkpoints that are kept, and beyond the newest KEEP octets of the journal. No LSN
 * changes; who reads goes on reading what he had open. As a checkpoint it is made in three steps, one segment or run of
 * neighbours at a time:
 *	store_compact_begin()  on the writer thread
 *	store_compact_run()    on any other: looks which segments have the least live octets, and writes one anew, at RATE
 *	store_compact_done()   on the writer thread
 * A file "reserve" beside the segments is room on the disk kept back for this: on a full disk, too, what is dead can go. */
#ifndef ROOST_STORE_COMPACT_H
#define ROOST_STORE_COMPACT_H

#include "store.h"

struct store_compact_options {
	uint64_t keep; /* newest octets of the journal that stay whole */
	lsn_t hold;    /* entries from here on stay, too: somebody is about to be sent them; 0: none */
	uint64_t rate; /* octets a second that are written at most; 0: no bound */
};

/* What one run did. */
struct store_compacted {
	lsn_t first, last;      /* of the segment now; 0: there was nothing to do */
	uint64_t before, after; /* octets on the disk */
};

/* Whether it may be worth a run, by what was expunged and journaled since the last. Cheap. */
bool store_wants_compaction(struct store *s, const struct store_compact_options *o);
/* Entries after LSN may still be taken back (asynchronous mode: whoever may take over has them not yet); what they removed is
 * not dropped. UINT64_MAX, as it is at first: none. Writer thread. */
void store_note_replicated(struct store *s, lsn_t lsn);
void store_compact_begin(struct store *s, const struct store_compact_options *o);
void store_compact_run(struct store *s);
/* false with WHY: nothing changed; what cannot be read is left as it is and told. */
bool store_compact_done(struct store *s, struct store_compacted *what_r, struct fault *why);

#endif
