/* indexer_private.h - shared by the files of the indexer. */
#ifndef ROOST_BACKEND_INDEXER_PRIVATE_H
#define ROOST_BACKEND_INDEXER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "indexer.h"
#include "map.h"
#include "store_view.h"

enum { READERS_KEPT = 4 };

/* Texts that are read and not yet written. */
struct batch_row {
	uint32_t scope;
	lsn_t body;
	int64_t at; /* where it was added */
	size_t header_off, header_n, off, n; /* in HEADERS, and in TEXTS */
	bool is_whole;
};
struct batch_mailbox {
	mailbox_id_t id;
	struct fulltext_mailbox m;
};
struct batch {
	struct buffer headers, texts;
	struct batch_row *rows; /* owned, as the next */
	size_t row_count, row_cap;
	struct batch_mailbox *mailboxes;
	size_t mailbox_count, mailbox_cap;
	bool is_open;        /* a transaction is */
	uint64_t generation; /* of the history that it was read from */
	lsn_t lsn;           /* the newest state that it was read from; 0: nothing was */
};

enum indexer_state {
	INDEXER_BEHIND,  /* it has not had everything yet, or is told of more */
	INDEXER_CURRENT,
	INDEXER_FULL,    /* the disk is */
	INDEXER_FAILED,
};

/* Why the index is to be made anew. */
enum anew {
	ANEW_NOT,
	ANEW_ASKED,     /* by an operator, or for what is gone from it: what is there serves meanwhile */
	ANEW_DAMAGED,   /* or of another history: it does not */
};

struct indexer {
	struct store *store;
	const struct mime_limits *limits;
	char *dir;
	pthread_t thread;

	pthread_mutex_t history; /* guards the next three; held while a batch is committed, and taken before LOCK */
	uint64_t generation;     /* grows when the history is another */
	lsn_t lsn;               /* what the file is of, as committed: FULLTEXT_LSN and _EPOCH */
	epoch_t epoch;

	pthread_mutex_t lock; /* guards what is here; held for moments, as the writer takes it */
	pthread_cond_t wake;
	bool is_stopping, wants_scan;
	enum anew wants_anew;
	struct map dirty;     /* mailbox id -> something */
	uint64_t serving;     /* number of the file that is asked; 0: none */
	struct fulltext_reader *idle[READERS_KEPT]; /* of that file */

	/* The thread's own. */
	struct fulltext *text; /* NULL: cannot be opened now */
	uint64_t number;       /* of its file */
	struct batch batch;
	uint64_t not_before_ms; /* after a failure */
	uint64_t began_ns;      /* of a file's first filling */
	enum indexer_state told; /* the last that was logged of FULL and FAILED, else CURRENT */

	atomic_int state;
	atomic_bool is_ending;
	atomic_uint_fast64_t through; /* all that was applied up to this LSN is in */
	atomic_uint_fast64_t texts, octets, asked, answered, failures, anews;
};

/* indexer_batch.c, on the thread. False: the round is over: the disk, the file, another history, or the end; the batch is dropped. */
bool batch_take_mailbox(struct indexer *ix, mailbox_id_t id);
bool batch_flush(struct indexer *ix);
void batch_drop(struct indexer *ix);
void batch_fini(struct batch *b);

/* indexer_files.c */
/* Open the newest file, or a new one; what is older is removed. What cannot be used is made anew. On the thread, or before it is there. */
void files_open(struct indexer *ix);
void files_begin_anew(struct indexer *ix, bool keeps_serving);
/* The file has everything: it is the one that is asked from now on. */
void files_serve(struct indexer *ix);
void files_close(struct indexer *ix);
/* Octets of the file and its log. */
uint64_t files_octets(const struct indexer *ix);
/* Whether an operator asks for it to be made anew; once. */
bool files_take_request(struct indexer *ix);
/* RESULT is a failure: log it, count it, and see that it is mended. */
void files_failed(struct indexer *ix, enum fulltext_result result, const struct fault *why);

#endif
