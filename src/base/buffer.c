/* buffer.c - octets that double their room when they need more. */
#include "buffer.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define BUFFER_FIRST_CAP 64

void buffer_fini(struct buffer *b)
{
	free(b->p);
	*b = (struct buffer){ 0 };
}

void buffer_clear(struct buffer *b)
{
	b->n = 0;
}

struct bytes buffer_bytes(const struct buffer *b)
{
	return (struct bytes){ b->p, b->n };
}

uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
	if (b->cap - b->n < n || b->p == NULL) {
		size_t want;

		if (__builtin_add_overflow(b->n, n, &want))
			abort();
		if (want < b->cap + b->cap / 2)
			want = b->cap + b->cap / 2;
		if (want < BUFFER_FIRST_CAP)
			want = BUFFER_FIRST_CAP;
		b->p = must_realloc(b->p, want, 1);
		b->cap = want;
	}
	return b->p + b->n;
}

void buffer_add(struct buffer *b, struct bytes data)
{
	if (data.n == 0)
		return;
	memcpy(buffer_reserve(b, data.n), data.p, data.n);
	b->n += data.n;
}

void buffer_add_str(struct buffer *b, const char *s)
{
	buffer_add(b, bytes_of(s));
}

static void add_uint_le(struct buffer *b, uint64_t v, size_t width)
{
	uint8_t *to = buffer_reserve(b, width);

	v = htole64(v);
	memcpy(to, &v, width);
	b->n += width;
}

void buffer_add_u8(struct buffer *b, uint8_t v)
{
	add_uint_le(b, v, 1);
}

void buffer_add_u16le(struct buffer *b, uint16_t v)
{
	add_uint_le(b, v, 2);
}

void buffer_add_u32le(struct buffer *b, uint32_t v)
{
	add_uint_le(b, v, 4);
}

void buffer_add_u64le(struct buffer *b, uint64_t v)
{
	add_uint_le(b, v, 8);
}

void buffer_add_varint(struct buffer *b, uint64_t v)
{
	while (v >= 0x80) {
		buffer_add_u8(b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buffer_add_u8(b, (uint8_t)v);
}

void buffer_add_bytes32(struct buffer *b, struct bytes data)
{
	assert(data.n <= UINT32_MAX);
	buffer_add_u32le(b, (uint32_t)data.n);
	buffer_add(b, data);
}

void buffer_add_u64(struct buffer *b, uint64_t v)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buffer_add(b, bytes_make(digits + at, sizeof(digits) - at));
}

void buffer_vaddf(struct buffer *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	assert(n >= 0);
	(void)vsnprintf((char *)buffer_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

void buffer_addf(struct buffer *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buffer_vaddf(b, fmt, ap);
	va_end(ap);
}

void buffer_drop_front(struct buffer *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

static void set_uint_le(struct buffer *b, size_t off, uint64_t v, size_t width)
{
	assert(off <= b->n && width <= b->n - off);
	for (size_t i = 0; i < width; i++)
		b->p[off + i] = (uint8_t)(v >> (8 * i));
}

void buffer_set_u32le(struct buffer *b, size_t off, uint32_t v)
{
	set_uint_le(b, off, v, 4);
}

void buffer_set_u64le(struct buffer *b, size_t off, uint64_t v)
{
	set_uint_le(b, off, v, 8);
}
