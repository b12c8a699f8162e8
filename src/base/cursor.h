/* cursor.h - a reading position in borrowed bytes. Every reader returns failure rather than run past the end, and a
 * reader that fails leaves the cursor where it was. Integers are little-endian. */
#ifndef ROOST_BASE_CURSOR_H
#define ROOST_BASE_CURSOR_H

#include "bytes.h"

struct cursor {
	const uint8_t *p;   /* next octet to read */
	const uint8_t *end; /* one past the last */
};

struct cursor cursor_of(struct bytes b);
/* What is left, borrowed from the cursor's own bytes. */
static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}
static inline struct bytes cursor_rest(const struct cursor *c)
{
	return (struct bytes){ c->p, cursor_left(c) };
}
static inline bool cursor_at_end(const struct cursor *c)
{
	return c->p == c->end;
}

/* Each false: fewer octets left than needed, cursor unmoved. */
bool cursor_u8(struct cursor *c, uint8_t *v_r);
bool cursor_u16le(struct cursor *c, uint16_t *v_r);
bool cursor_u32le(struct cursor *c, uint32_t *v_r);
bool cursor_u64le(struct cursor *c, uint64_t *v_r);
/* N octets as a view of the cursor's bytes. */
bool cursor_bytes(struct cursor *c, size_t n, struct bytes *b_r);
/* A u32le length, then as many octets. Also false where the length is over LIMIT. */
bool cursor_bytes32(struct cursor *c, size_t limit, struct bytes *b_r);
/* An unsigned LEB128 of at most 10 octets. Also false where it does not fit 64 bits. */
bool cursor_varint(struct cursor *c, uint64_t *v_r);

/* Text: the next octet without taking it; -1 at the end. */
static inline int cursor_peek(const struct cursor *c)
{
	return c->p == c->end ? -1 : *c->p;
}
/* Take the octet WANT, or leave the cursor and return false. */
static inline bool cursor_take(struct cursor *c, uint8_t want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}
/* Take WORD whatever its ASCII case, or leave the cursor and return false. */
bool cursor_take_nocase(struct cursor *c, struct bytes word);

#endif
