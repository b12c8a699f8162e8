/* store_backup.h - copies of a partition in a directory elsewhere, to which each run adds what came since, and making a
 * partition as it was at any LSN that they hold.
 *
 * A *base* is a directory named for its LSN: the checkpoint of that LSN, the bodies it refers to, and all entries after it that were
 * added since (docs/formats.md, "Backup"). A crash at any moment leaves what was there, and at most unnamed files that the next
 * run writes over. */
#ifndef ROOST_STORE_BACKUP_H
#define ROOST_STORE_BACKUP_H

#include <stdio.h>

#include "store.h"

/* Bring the backup in DIR (made where missing) up to what is committed in the partition, beside a daemon that has it open. Adds
 * to the newest base, or begins a new one where the journal does not reach back to it; a line on OUT tells which. false with
 * WHY: what is in DIR is as it was, or has grown by whole segments. */
bool store_backup(const struct store_options *o, const char *dir, FILE *out, struct fault *why);
/* Check every checksum in DIR; each finding is a line on OUT, and each base that is whole. *problems_r counts them. false with
 * WHY: it cannot be checked at all. */
bool store_backup_verify(const char *dir, FILE *out, uint64_t *problems_r, struct fault *why);
/* Make the partition, which is empty and which nobody has open, as it was at LSN (0: the newest there is). Unless IS_EXACT the first
 * reign of it gives all mailboxes a new UIDVALIDITY (store_restored.c): nothing else keeps UIDs from being given again that clients
 * saw after LSN. false with WHY, naming what DIR has if it has not that one; a partition that was begun must then be emptied. */
bool store_restore(const struct store_options *o, const char *dir, lsn_t lsn, bool is_exact, FILE *out, struct fault *why);

#endif
