/* indexer.h - the search index of a member: made by a thread of its own as messages come, asked by sessions.
 *
 * It is derived, and no promise: what it has not taken in, cannot be asked for, or is damaged, is looked for without it, with the same
 * results. It lives in SEARCH below the partition's directory, which may be removed while the member is stopped. The thread has the lowest
 * priority, reads through views, holds one message and some MiB of text at a time, and waits for nobody; nobody waits for it. */
#ifndef ROOST_BACKEND_INDEXER_H
#define ROOST_BACKEND_INDEXER_H

#include "buffer.h"
#include "fulltext.h"
#include "mime.h"
#include "store.h"

struct indexer;

/* Begin. STORE is open and nobody writes it yet; it and LIMITS are lent until indexer_stop(). NULL with WHY only if there can be no
 * thread: what is wrong with the files is logged and mended. */
struct indexer *indexer_start(struct store *store, const char *partition_dir, const struct mime_limits *limits, struct fault *why);
/* The driver and all sessions have ended. NULL is allowed. */
void indexer_stop(struct indexer **ix);

/* These mailboxes were changed by a commit. On the writer's thread, as the next. */
void indexer_changed(struct indexer *ix, const struct store_changes *changes);
/* Entries that were applied may have been taken back, or the partition was replaced: what was taken in of others is let go of. */
void indexer_replaced(struct indexer *ix);

/* One string of a search, folded (mime_fold_key()), and what holds it. */
struct indexer_key {
	struct bytes key;          /* fulltext_may_ask() */
	unsigned kinds;            /* where it is looked for: enum fulltext_kind */
	bool is_known;             /* else: nothing is known of it */
	struct fulltext_hits hits; /* bodies; the caller frees */
};
/* Ask for KEYS in MAILBOX, each at most LIMIT hits. The answers hold for messages below UID *next_r: who has a body that is not among
 * a key's hits does not hold the key in texts of those kinds, which are what SEARCH TEXT looks at beside BODY, and BODY. 0: nothing is
 * known. Blocks: a pool thread. */
void indexer_ask(struct indexer *ix, mailbox_id_t mailbox, struct indexer_key *keys, size_t count, size_t limit, uint32_t *next_r);

/* Append members of a JSON object / Prometheus lines. Any thread. */
void indexer_status_json(struct indexer *ix, struct buffer *to);
void indexer_metrics(struct indexer *ix, struct buffer *to);

#endif
