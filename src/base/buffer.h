/* buffer.h - growable octets with one owner. Zero-initialise to start empty; an empty buffer that never grew owns no
 * memory. Growth cannot fail (alloc.h): whoever appends what the outside chose checks its limit first. */
#ifndef ROOST_BASE_BUFFER_H
#define ROOST_BASE_BUFFER_H

#include <stdarg.h>

#include "bytes.h"

struct buffer {
	uint8_t *p; /* owned; NULL while cap is 0 */
	size_t n;   /* octets in use */
	size_t cap; /* octets allocated */
};

/* Free the memory and leave the buffer empty and usable. */
void buffer_fini(struct buffer *b);
/* Forget the content, keep the memory. */
void buffer_clear(struct buffer *b);
/* The content, lent until the next change. */
struct bytes buffer_bytes(const struct buffer *b);
/* Make room for N more octets; returns where they go. The caller adds what it wrote to b->n. */
uint8_t *buffer_reserve(struct buffer *b, size_t n);

void buffer_add(struct buffer *b, struct bytes data);
void buffer_add_str(struct buffer *b, const char *s);
void buffer_add_u8(struct buffer *b, uint8_t v);
void buffer_add_u16le(struct buffer *b, uint16_t v);
void buffer_add_u32le(struct buffer *b, uint32_t v);
void buffer_add_u64le(struct buffer *b, uint64_t v);
/* Unsigned LEB128, the inverse of cursor_varint(). */
void buffer_add_varint(struct buffer *b, uint64_t v);
/* A u32le length, then the octets; more than UINT32_MAX of them ends the process (a missing limit is our bug). */
void buffer_add_bytes32(struct buffer *b, struct bytes data);
/* In decimal digits. */
void buffer_add_u64(struct buffer *b, uint64_t v);
/* printf. Never with a client's data that a protocol line would carry: those go through the protocol's writer. */
void buffer_addf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buffer_vaddf(struct buffer *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drop N octets from the front (at most all). */
void buffer_drop_front(struct buffer *b, size_t n);
/* Overwrite the u32le at OFF, which was added before. */
void buffer_set_u32le(struct buffer *b, size_t off, uint32_t v);
void buffer_set_u64le(struct buffer *b, size_t off, uint64_t v);

#endif
