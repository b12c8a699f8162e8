/* picture.h - which messages a mailbox has, as one list for all sessions that select it: kept in the cache of columns, and brought up
 * to date by what changed since, so that SELECT need not read all of a large mailbox. */
#ifndef ROOST_BACKEND_IMAP_PICTURE_H
#define ROOST_BACKEND_IMAP_PICTURE_H

#include "column.h"
#include "store_view.h"

/* The UIDs of M, which V has, as V has them: a column of the kind COLUMN_UIDS, held for the caller. NULL with WHY: the mailbox cannot be
 * read. Reads what changed since the last time, else all of the mailbox: 100,000 messages in some 3 ms. */
struct column *picture_take(struct column_cache *cache, struct store_view *v, const struct mailbox *m, struct fault *why);

#endif
