/* column_fill.h - having the columns by which messages that were found are to be sorted or threaded: from the cache, and for messages
 * that it lacks from the store, some milliseconds at a time. For SORT and THREAD. */
#ifndef ROOST_BACKEND_IMAP_COLUMN_FILL_H
#define ROOST_BACKEND_IMAP_COLUMN_FILL_H

#include "column.h"
#include "imap_session.h"

struct column_draft;

struct column_fill {
	const uint32_t *found; /* borrowed: indices into the box, ascending */
	size_t count;
	struct column *columns[COLUMN_KINDS]; /* when it has ENDED: those asked for, each with all of FOUND; held until the command ends */
	uint32_t *gone;        /* owned; positions in FOUND, ascending, of messages that went meanwhile: their values are zero or empty */
	size_t gone_count, gone_cap;

	/* column_fill.c's: */
	unsigned kinds;
	bool has_begun;
	uint64_t epoch;
	struct column_draft *drafts[COLUMN_KINDS]; /* owned; what the cache lacks */
	size_t at;
	enum column_kind making;
};

enum fill_state { FILL_GOES_ON, FILL_ENDED, FILL_FAILED };

/* KINDS: a bit for each kind wanted. FOUND is borrowed until the command ends. */
void column_fill_begin(struct command *cmd, struct column_fill *f, unsigned kinds, const uint32_t *found, size_t count);
/* GOES_ON: return CMD_WANT_TURN, then call again. FAILED: the tagged answer is set, or the session has left the mailbox. */
enum fill_state column_fill_run(struct session *s, struct command *cmd, struct column_fill *f);
/* The row of each of FOUND in C: into ROW, in its order. */
void column_fill_rows(const struct session *s, const struct column_fill *f, const struct column *c, uint32_t *row);

/* The column that SORT's criterion is about. */
enum column_kind column_fill_kind(enum sort_by by);
/* A column of one message only, held by the caller, and how two of one kind compare. */
struct column *column_fill_one(struct store_view *v, const struct message *msg, enum column_kind kind);
int column_fill_compare(const struct column *a, const struct column *b);

#endif
