/* arena.c - blocks that double in size up to ARENA_MAX_BLOCK; a larger request gets a block of its own. */
#include "arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define ARENA_FIRST_BLOCK 512
#define ARENA_MAX_BLOCK (64 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	max_align_t data[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	arena_cleanup_fn *fn;
	void *obj;
};

void arena_fini(struct arena *a)
{
	for (struct arena_cleanup *c = a->cleanups; c != NULL; c = c->next)
		c->fn(c->obj);
	a->cleanups = NULL;
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		if (a->is_secret)
			explicit_bzero(b->data, b->size);
		free(b);
	}
}

static struct arena_block *add_block(struct arena *a, size_t n)
{
	size_t size = a->blocks == NULL ? ARENA_FIRST_BLOCK : a->blocks->size * 2;
	struct arena_block *b;

	if (size > ARENA_MAX_BLOCK)
		size = ARENA_MAX_BLOCK;
	if (size < n)
		size = n;
	b = must_alloc(sizeof(*b) + size);
	b->used = 0;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	size_t aligned;
	void *p;

	if (__builtin_add_overflow(n, _Alignof(max_align_t) - 1, &aligned))
		abort();
	aligned -= aligned % _Alignof(max_align_t);
	if (b == NULL || b->size - b->used < aligned)
		b = add_block(a, aligned);
	p = (uint8_t *)b->data + b->used;
	b->used += aligned;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		abort();
	return arena_zalloc(a, n);
}

struct bytes arena_copy(struct arena *a, struct bytes b)
{
	uint8_t *p = arena_alloc(a, b.n);

	if (b.n > 0)
		memcpy(p, b.p, b.n);
	return (struct bytes){ p, b.n };
}

char *arena_str(struct arena *a, struct bytes b)
{
	char *s = arena_alloc(a, b.n + 1);

	if (b.n > 0)
		memcpy(s, b.p, b.n);
	s[b.n] = '\0';
	return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	s = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void arena_on_free(struct arena *a, arena_cleanup_fn *fn, void *obj)
{
	struct arena_cleanup *c = arena_alloc(a, sizeof(*c));

	c->fn = fn;
	c->obj = obj;
	c->next = a->cleanups;
	a->cleanups = c;
}
