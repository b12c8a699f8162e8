/* arena.h - memory of one command, entry or parse, freed as one. Zero-initialise to start; an unused arena owns
 * nothing. Allocation cannot fail (alloc.h). Not shared between threads. */
#ifndef ROOST_BASE_ARENA_H
#define ROOST_BASE_ARENA_H

#include "bytes.h"

struct arena_block;
struct arena_cleanup;

struct arena {
	struct arena_block *blocks;     /* owned, newest first */
	struct arena_cleanup *cleanups; /* in the arena's own memory, newest first */
	bool is_secret;                 /* set before the first use: memory is wiped before it is freed */
};

typedef void arena_cleanup_fn(void *obj);

/* Run the clean-ups, newest first, and free everything; the arena is empty and usable again. */
void arena_fini(struct arena *a);
/* N octets aligned for any type, uninitialised / zeroed; they live until arena_fini(). */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* COUNT times SIZE zeroed octets; an overflow ends the process. */
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((returns_nonnull));
/* A copy that lives as long as the arena; arena_str() ends it with a NUL. */
struct bytes arena_copy(struct arena *a, struct bytes b);
char *arena_str(struct arena *a, struct bytes b) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((returns_nonnull, format(printf, 2, 3)));
/* Call FN(OBJ) at arena_fini(): for descriptors and other things that memory alone does not hold. */
void arena_on_free(struct arena *a, arena_cleanup_fn *fn, void *obj);

#endif
