/* dir_mirror.h - another store's records, copied into this mupdate server's LMDB: who writes the copy puts what it hears,
 * and gets the differences as changes for dir_changes_done(). Used by one thread at a time, the same from the first put
 * to the commit. */
#ifndef ROOST_DIRECTORY_DIR_MIRROR_H
#define ROOST_DIRECTORY_DIR_MIRROR_H

#include "dir_change.h"

struct dir_mirror;

/* KV is lent, and nobody else writes it. */
struct dir_mirror *dir_mirror_new(struct kv *kv);
/* Drops what is not committed. Sets *M to NULL; NULL is allowed. */
void dir_mirror_free(struct dir_mirror **m);

/* All below: false with WHY where the copy cannot be written; what was put since the last commit is then dropped, and the
 * caller begins with a whole list again. */

/* NAME is RECORD now (RECORD_NONE: is not there), as far as is known deleted by DELETED_BY. What is the same already is
 * no change; a name that cannot be kept (empty or over RECORD_NAME_MAX octets) is logged and left out. */
bool dir_mirror_put(struct dir_mirror *m, struct bytes name, const struct record *record, struct bytes deleted_by,
                    struct fault *why);
bool dir_mirror_put_reign(struct dir_mirror *m, struct bytes server, const struct reign *reign, struct fault *why);

/* A whole list begins: what is put from now on is in it, in any order. */
bool dir_mirror_list_begin(struct dir_mirror *m, struct fault *why);
/* The list has ended: remove a number of the names that were not in it. *MORE_R: not all yet, commit and call again. */
bool dir_mirror_list_end(struct dir_mirror *m, bool *more_r, struct fault *why);

/* Changes since the last commit; commit before they are too many. */
size_t dir_mirror_pending(const struct dir_mirror *m);
/* Keep what was put. *FIRST_R: the changes, in their order (NULL: none), the caller's. */
bool dir_mirror_commit(struct dir_mirror *m, struct change **first_r, struct fault *why);

#endif
