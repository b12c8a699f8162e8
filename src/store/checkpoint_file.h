/* checkpoint_file.h - checkpoints as files "LSN.ckp" of the journal's directory. */
#ifndef ROOST_STORE_CHECKPOINT_FILE_H
#define ROOST_STORE_CHECKPOINT_FILE_H

#include <stdatomic.h>

#include "checkpoint.h"

/* "DIR/LSN.ckp"; the caller frees. */
char *checkpoint_path(const char *dir, lsn_t lsn);
/* LSNs of the checkpoints in DIR, newest first; the caller frees *lsns_r. false with WHY: DIR cannot be listed. */
bool checkpoint_list(const char *dir, lsn_t **lsns_r, size_t *count_r, struct fault *why);
/* Write one from snapshot *T, which is ended as soon as all is written, then sync it and give it its name. false with WHY,
 * also once *IS_STOPPING: nothing is left of it. */
bool checkpoint_file_write(const char *dir, struct kv_txn **t, const struct checkpoint_head *head, atomic_bool *is_stopping,
                           struct fault *why);
/* Read the whole of checkpoint LSN through R, which the caller set up and frees. false with WHY: it cannot be read or is not
 * whole, or R's own. */
bool checkpoint_file_read(const char *dir, lsn_t lsn, struct checkpoint_reader *r, struct fault *why);
/* Remove all but the newest KEEP, and what was left half-written. What cannot be removed stays for the next time. */
void checkpoint_prune(const char *dir, size_t keep);

#endif
