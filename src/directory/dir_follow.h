/* dir_follow.h - this mupdate server as a read-only follower of another, Roost's or Cyrus's: the master's update stream,
 * copied to an LMDB of its own.
 *
 * The copy serves while the master is away, and after a restart. A list that is read again is told on as its differences
 * only. It has a thread of its own, with a loop for the connection, and waits there when the home loop does not keep up:
 * then the master waits, and no memory grows. */
#ifndef ROOST_DIRECTORY_DIR_FOLLOW_H
#define ROOST_DIRECTORY_DIR_FOLLOW_H

#include "config.h"
#include "dir_change.h"
#include "dir_writer.h"
#include "kv.h"
#include "loop.h"
#include "tls.h"

struct dir_follow;

/* All on the home loop. */
struct dir_follow_events {
	/* Changes in their order, and those that dir_follow_kick() was given. The callee frees. */
	changes_done_fn *on_changes;
	/* A whole list is in the copy, and all its changes were given; once. */
	void (*on_complete)(void *arg);
};

/* Where the copy is; the caller frees. Any thread. */
char *dir_follow_path(const struct config *c);
/* Open the copy in configdirectory. *IS_COMPLETE_R: it holds a whole list, from an earlier life. One that may have
 * suffered from a crash of the machine is begun anew. NULL with WHY. */
struct kv *dir_follow_open(const struct config *c, bool *is_complete_r, struct fault *why);
/* Begin to follow, as the mupdate_ keys say. COPY is dir_follow_open()'s, and nobody else writes it; TLS (NULL: none) is
 * the client's context; all are lent until dir_follow_stop(). NULL with WHY. */
struct dir_follow *dir_follow_start(const struct config *c, struct kv *copy, struct loop *home, struct tls_context *tls,
                                    const struct dir_follow_events *events, void *arg, struct fault *why);
/* Once HOME has ended: stop, and leave the copy safe on the disk. Sets *F to NULL; NULL is allowed. */
void dir_follow_stop(struct dir_follow **f);

/* Give C back among the changes once all is here that the master had told anybody before this call; where the master does
 * not say so within 3 s, or is away, with what is here. On the home loop. */
void dir_follow_kick(struct dir_follow *f, struct change *c);
/* Any thread. */
bool dir_follow_is_connected(const struct dir_follow *f);
/* "mupdate://HOST", with the port where it is not the usual one; the caller frees. */
char *dir_follow_url(const struct config *c);

#endif
