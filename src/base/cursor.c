/* cursor.c - each reader looks whether all of it is there before it moves. */
#include "cursor.h"

struct cursor cursor_of(struct bytes b)
{
	static const uint8_t none[1];

	if (b.p == NULL)
		return (struct cursor){ none, none };
	return (struct cursor){ b.p, b.p + b.n };
}

bool cursor_u8(struct cursor *c, uint8_t *v_r)
{
	if (cursor_left(c) < 1)
		return false;
	*v_r = *c->p++;
	return true;
}

bool cursor_u16le(struct cursor *c, uint16_t *v_r)
{
	if (cursor_left(c) < 2)
		return false;
	*v_r = (uint16_t)(c->p[0] | c->p[1] << 8);
	c->p += 2;
	return true;
}

static uint32_t u32le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool cursor_u32le(struct cursor *c, uint32_t *v_r)
{
	if (cursor_left(c) < 4)
		return false;
	*v_r = u32le(c->p);
	c->p += 4;
	return true;
}

bool cursor_u64le(struct cursor *c, uint64_t *v_r)
{
	if (cursor_left(c) < 8)
		return false;
	*v_r = (uint64_t)u32le(c->p + 4) << 32 | u32le(c->p);
	c->p += 8;
	return true;
}

bool cursor_bytes(struct cursor *c, size_t n, struct bytes *b_r)
{
	if (cursor_left(c) < n)
		return false;
	*b_r = (struct bytes){ c->p, n };
	c->p += n;
	return true;
}

bool cursor_bytes32(struct cursor *c, size_t limit, struct bytes *b_r)
{
	struct cursor try = *c;
	uint32_t n;

	if (!cursor_u32le(&try, &n) || n > limit || !cursor_bytes(&try, n, b_r))
		return false;
	*c = try;
	return true;
}

bool cursor_varint(struct cursor *c, uint64_t *v_r)
{
	struct cursor try = *c;
	uint64_t v = 0;
	uint8_t octet;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (!cursor_u8(&try, &octet))
			return false;
		if (shift == 63 && octet > 1)
			return false;
		v |= (uint64_t)(octet & 0x7f) << shift;
		if ((octet & 0x80) == 0) {
			*c = try;
			*v_r = v;
			return true;
		}
	}
	return false;
}

bool cursor_take_nocase(struct cursor *c, struct bytes word)
{
	if (!bytes_starts_nocase(cursor_rest(c), word))
		return false;
	c->p += word.n;
	return true;
}
