/* dir_move.h - the directory's records as text, to move them from one store to another (docs/formats.md "Exported
 * directory"). Which store is meant the configuration says, as for the mupdate server. Main thread. */
#ifndef ROOST_DIRECTORY_DIR_MOVE_H
#define ROOST_DIRECTORY_DIR_MOVE_H

#include <stdio.h>

#include "config.h"
#include "fault.h"

/* Write all records and configurations as of one moment; the mupdate server may run meanwhile. */
bool directory_export(const struct config *c, FILE *to, struct fault *why);
/* Read them into a store that has none, or (etcd, after an import that broke off) none that differ. Nothing is changed in
 * an LMDB store unless all is read. No mupdate server may run on it meanwhile. False with WHY: also the line. */
bool directory_import(const struct config *c, FILE *from, struct fault *why);

#endif
