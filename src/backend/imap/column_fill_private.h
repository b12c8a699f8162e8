/* column_fill_private.h - shared by the files of filling columns. */
#ifndef ROOST_BACKEND_IMAP_COLUMN_FILL_PRIVATE_H
#define ROOST_BACKEND_IMAP_COLUMN_FILL_PRIVATE_H

#include "box.h"
#include "column_fill.h"
#include "imap_envelope.h"

/* What a row is sorted by: the number, or the beginning of the text, so that greater is later; then the text. */
struct sort_item {
	uint64_t key;
	uint32_t row;
};

struct column_draft {
	struct column *before; /* held; NULL: none */
	size_t before_at;      /* rows of it below the UID that is looked at */
	struct column *rows;   /* the new ones; no ranks yet */
	size_t cap, octets_cap, ids_cap, octets_count, ids_count;
	bool is_partial;       /* a message could not be read */
	struct sort_item *items, *other;
	size_t at, width;      /* sorted so far, in pieces of WIDTH */
};

/* One message, as its parts are asked for. */
struct column_source {
	struct store_view *view;
	struct message msg;
	struct bytes blob, kept;
	struct envelope envelope;
	int64_t sent;
	bool has_kept, is_partial;
	struct arena arena;
	struct buffer text, header;
};

/* Read what is kept of m->msg, as far as the columns in KINDS need it; M is empty but for its view and its message. */
void column_read_source(struct column_source *m, unsigned kinds);
/* Add the row of UID to D, with what it is compared by in M. */
void column_read_row(struct column_source *m, struct column_draft *d, uint32_t uid);

/* How two rows of columns of one kind compare: less than, equal to or greater than 0. */
int column_merge_compare(const struct column *a, size_t row_a, const struct column *b, size_t row_b);
/* Go on sorting what D has read. Whether it is sorted by now; else the time UNTIL, by clock_mono_ns(), is over. */
bool column_merge_sort(struct column_draft *d, uint64_t until);
/* The rows of D, which is sorted, and of the column before that BOX still has: a new column, held by the caller. */
struct column *column_merge(const struct box *box, const struct column_draft *d);

#endif
