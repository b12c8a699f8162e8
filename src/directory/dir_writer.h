/* dir_writer.h - the thread that writes: it takes all waiting changes, has the store make them as one, and only when they
 * are durable has them answered and told to followers. */
#ifndef ROOST_DIRECTORY_DIR_WRITER_H
#define ROOST_DIRECTORY_DIR_WRITER_H

#include "dir_change.h"
#include "loop.h"

struct dir_writer;

/* Called on L with a chain of changes that are decided and durable (or refused), in the order in which they were made;
 * the callee frees each. */
typedef void changes_done_fn(void *arg, struct change *first);
/* The store's part: decide and make the chain FIRST, which becomes its own, and give it back by dir_writer_deliver(), at
 * once or later, chains in their order. On the writer's thread. */
typedef void write_batch_fn(void *arg, struct dir_writer *w, struct change *first);

struct dir_writer *dir_writer_start(write_batch_fn *batch, void *batch_arg, struct loop *l, changes_done_fn *done, void *arg,
                                    struct fault *why);
/* Give a change. Any thread. */
void dir_writer_submit(struct dir_writer *w, struct change *c);
/* For the store: hand a chain to DONE on the loop. Any thread. */
void dir_writer_deliver(struct dir_writer *w, struct change *first);
/* For the store: so many durable commits more. */
void dir_writer_count(struct dir_writer *w, uint64_t commits);
/* Finish what was given, end the thread and free. Sets *W to NULL; NULL is allowed. Posts to the loop may still come. */
void dir_writer_stop(struct dir_writer **w);
/* Durable commits, and changes in them, since the start. Any thread. */
void dir_writer_counts(const struct dir_writer *w, uint64_t *commits_r, uint64_t *changes_r);

#endif
