/* alloc.c - malloc and its kin, with the process's end for a failure. */
#include "alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t n)
{
	fprintf(stderr, "error base.memory.exhausted size=%zu\n", n);
	abort();
}

void *must_alloc(size_t n)
{
	void *p = malloc(n == 0 ? 1 : n);

	if (p == NULL)
		out_of_memory(n);
	return p;
}

void *must_calloc(size_t count, size_t size)
{
	void *p = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);

	if (p == NULL)
		out_of_memory(count);
	return p;
}

void *must_realloc(void *p, size_t count, size_t size)
{
	size_t n;
	void *q;

	if (__builtin_mul_overflow(count, size, &n))
		out_of_memory(SIZE_MAX);
	q = realloc(p, n == 0 ? 1 : n);
	if (q == NULL)
		out_of_memory(n);
	return q;
}

char *must_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(must_alloc(n), s, n);
}

char *must_printf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory(0);
	return s;
}
