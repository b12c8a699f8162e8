/* map.h - hash map from octets to pointers. Keys are copied into the map; values are the caller's. Keyed with a random
 * seed per process, so that chosen names cannot make it slow. Not shared between threads. */
#ifndef ROOST_BASE_MAP_H
#define ROOST_BASE_MAP_H

#include "bytes.h"

struct map_slot;

struct map {
	struct map_slot **slots; /* owned */
	size_t slot_count;       /* 0 or a power of two */
	size_t n;                /* keys in the map */
};

/* Free keys and slots; values are not touched. The map is empty and usable. Zero-initialise to start. */
void map_fini(struct map *m);
/* The value of KEY, or NULL. */
void *map_get(const struct map *m, struct bytes key);
/* Set KEY to VALUE (not NULL); returns the value it had, or NULL. */
void *map_put(struct map *m, struct bytes key, void *value);
/* Remove KEY; returns the value it had, or NULL. */
void *map_take(struct map *m, struct bytes key);

/* The hash that maps use: of the same octets the same in this process, in another process another. */
uint64_t map_hash(struct bytes key);

/* Walk in no particular order; the map must not change meanwhile, except that the key just returned may be taken. */
struct map_iter {
	size_t slot;
	struct map_slot *at;
};
bool map_next(const struct map *m, struct map_iter *it, struct bytes *key_r, void **value_r);

/* The same keyed by a number. */
void *map_get_u64(const struct map *m, uint64_t key);
void *map_put_u64(struct map *m, uint64_t key, void *value);
void *map_take_u64(struct map *m, uint64_t key);

#endif
