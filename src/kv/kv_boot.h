/* kv_boot.h - a mark in a file beside an LMDB that is written without syncs. That survives the process, not the machine: the mark is the
 * kernel's boot id while it is in use, or "clean" after an orderly stop. */
#ifndef ROOST_KV_BOOT_H
#define ROOST_KV_BOOT_H

#include <stdbool.h>

#include "fault.h"

/* Make the mark; IS_CLEAN: all is synced, and nothing will be written until it is made anew. */
bool kv_boot_mark(const char *path, bool is_clean, struct fault *why);
/* Whether there is one, of this life of the machine or clean. */
bool kv_boot_is_sound(const char *path);

#endif
