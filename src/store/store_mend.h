/* store_mend.h - entries of the journal one by one: whether the disk still has what was written, and putting back what it has
 * not, from another member, whose entries are the same octets.
 *
 * Any thread. Only of entries that are applied. What is damaged is written where it is: readers check what they read, so what
 * they take is either what was there before or the entry. A write that is broken off leaves damage, as it was. */
#ifndef ROOST_STORE_MEND_H
#define ROOST_STORE_MEND_H

#include "buffer.h"
#include "store_types.h"

struct store;

/* Append entry LSN to RAW, head and body, all of it read from the file now and checked, also against the index. OK; GONE: not in
 * the journal (any more); DAMAGED with WHY naming the file. RAW is unchanged unless OK. */
enum store_result store_entry_read(struct store *s, lsn_t lsn, struct buffer *raw, struct fault *why);
/* The epoch of entry LSN; 0: it is not there, or its head is damaged. Where the partition may be replaced meanwhile a view is open. */
epoch_t store_entry_epoch(struct store *s, lsn_t lsn);
/* RAW is said to be entry LSN: put it where it should be, and sync. OK: it is there, and whole; BAD: it is not that entry;
 * GONE: the journal has no place for it; DAMAGED: what is around it is damaged, too, so that its place is not known; FAILED:
 * the disk. WHY is set unless OK. */
enum store_result store_entry_mend(struct store *s, lsn_t lsn, struct bytes raw, struct fault *why);

#endif
