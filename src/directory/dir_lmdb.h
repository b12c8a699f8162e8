/* dir_lmdb.h - the records in one LMDB environment: a batch of changes is one durable transaction. */
#ifndef ROOST_DIRECTORY_DIR_LMDB_H
#define ROOST_DIRECTORY_DIR_LMDB_H

#include "dir_writer.h"

/* A write_batch_fn whose ARG is the struct kv. */
void dir_lmdb_batch(void *kv, struct dir_writer *w, struct change *first);

#endif
