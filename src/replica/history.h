/* history.h - which epoch each entry of a journal was made in, and where two journals part. Pure. */
#ifndef ROOST_REPLICA_HISTORY_H
#define ROOST_REPLICA_HISTORY_H

#include <stddef.h>
#include <stdint.h>

/* Entries from FIRST on (up to the next row's) are of EPOCH. Rows ascend in both. */
struct history_row {
	uint64_t epoch;
	uint64_t first;
};

/* Rows that are kept and sent; older ones are forgotten, which can only make two journals seem to part earlier. */
#define HISTORY_MAX 512

struct history {
	size_t count;
	struct history_row rows[HISTORY_MAX];
};

/* Epoch of entry LSN; 0 where the history does not reach. */
uint64_t history_epoch(const struct history *h, uint64_t lsn);
/* Entry LSN of EPOCH was appended. */
void history_append(struct history *h, uint64_t epoch, uint64_t lsn);
/* Entries after LSN are gone. */
void history_truncate(struct history *h, uint64_t lsn);
/* The last LSN up to which both journals are the same. An entry is the same where LSN and epoch are, for an epoch has one
 * master, who makes one entry of each LSN; and then all before it are the same. */
uint64_t history_common(const struct history *a, uint64_t last_a, const struct history *b, uint64_t last_b);

#endif
