/* alloc.h - allocation that cannot fail: a small, bounded request that the machine refuses ends the process with a
 * message. Sizes that the outside chose are checked against a limit before they get here. All are freed with free(). */
#ifndef ROOST_BASE_ALLOC_H
#define ROOST_BASE_ALLOC_H

#include <stddef.h>

/* N octets, uninitialised; N of 0 gives a pointer that may be freed. */
void *must_alloc(size_t n) __attribute__((malloc, returns_nonnull));
/* COUNT times SIZE octets of zeros; an overflow of the product ends the process. */
void *must_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* P (or NULL) resized to COUNT times SIZE octets. */
void *must_realloc(void *p, size_t count, size_t size) __attribute__((returns_nonnull));
/* A copy of the NUL-terminated S. */
char *must_strdup(const char *s) __attribute__((malloc, returns_nonnull));
/* printf into fresh memory. */
char *must_printf(const char *fmt, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

#endif
