/* kv_copy.h - a kv whose content is a copy of what another server has: kept from one start to the next where it can be
 * trusted, else made anew. */
#ifndef ROOST_KV_COPY_H
#define ROOST_KV_COPY_H

#include "kv.h"

/* Open the copy in DIR, as kv_open() without syncs. What is damaged, or was written in a life of the machine that has
 * ended without an orderly stop, is thrown away. *IS_WHOLE_R: it holds all that there was. NULL with WHY: no new one can be
 * made either. */
struct kv *kv_copy_open(const char *dir, size_t map_size, const char *const *tables, size_t table_count, bool *is_whole_r,
                        struct fault *why);
/* It holds all; IS_CLEAN: and it is synced, and nothing will be written until it is opened again. */
bool kv_copy_mark(const char *dir, bool is_clean, struct fault *why);
/* Whether it is marked so, in this life of the machine or as clean. */
bool kv_copy_is_whole(const char *dir);

#endif
