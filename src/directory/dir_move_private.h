/* dir_move_private.h - private to dir_export.c and dir_import.c. */
#ifndef ROOST_DIRECTORY_DIR_MOVE_PRIVATE_H
#define ROOST_DIRECTORY_DIR_MOVE_PRIVATE_H

#include "buffer.h"
#include "dir_move.h"

#define DIR_MOVE_HEAD "roost-directory\t1"

bool dir_store_is_etcd(const struct config *c);
/* Where the records' LMDB is; the caller frees. */
char *dir_store_path(const struct config *c);
/* The key after all that begin with PREFIX. */
void dir_prefix_end(struct bytes prefix, struct buffer *to);

#endif
