/* sparse.h - writing a sparse segment: some of the entries of a range of LSNs, in a file that is complete and synced before
 * anybody looks at it (docs/formats.md, "Sparse segments"). */
#ifndef ROOST_STORE_SPARSE_H
#define ROOST_STORE_SPARSE_H

#include "buffer.h"
#include "store.h"

struct sparse_writer {
	char *path; /* owned; NULL: not begun */
	int fd;
	lsn_t first;   /* of the range */
	lsn_t newest;  /* entry; FIRST - 1: none yet */
	uint64_t used; /* octets of the file */
	uint64_t entries;

	/* The writer's. */
	uint64_t batch_at; /* of the batch being written; 0: none */
	lsn_t batch_first;
	struct buffer rows;
};

/* Begin the file PATH; what is there is written over, so that room which it takes is room for this. false with WHY; then
 * there is nothing to free. */
bool sparse_begin(struct sparse_writer *w, const char *path, lsn_t first, struct fault *why);
/* Add an entry as it is, after all before. false with WHY: no room, or an I/O error; good only for sparse_drop(). */
bool sparse_add(struct sparse_writer *w, lsn_t lsn, struct bytes head, struct bytes body, struct fault *why);
/* The range ends with LAST: write the table and the header, and sync. DROPPED: the LSN of the index in which all that was left out was dead;
 * 0: nobody will ask. Frees either way; on failure the file is removed. */
bool sparse_end(struct sparse_writer *w, lsn_t last, lsn_t dropped, const struct store_epoch *epochs, size_t epoch_count, struct fault *why);
/* Remove the file and free. Nothing to do if it was not begun. */
void sparse_drop(struct sparse_writer *w);

#endif
