/* cursor.c - each reader looks whether all of it is there before it moves. */
#include "cursor.h"

struct cursor cursor_of(struct bytes b)
{
	static const uint8_t none[1];

	if (b.p == NULL)
		return (struct cursor){ none, none };
	return (struct cursor){ b.p, b.p + b.n };
}

struct bytes cursor_rest(const struct cursor *c)
{
	return (struct bytes){ c->p, cursor_left(c) };
}

size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

bool cursor_at_end(const struct cursor *c)
{
	return c->p == c->end;
}

static bool uint_le(struct cursor *c, size_t width, uint64_t *v_r)
{
	uint64_t v = 0;

	if (cursor_left(c) < width)
		return false;
	for (size_t i = width; i > 0; i--)
		v = v << 8 | c->p[i - 1];
	c->p += width;
	*v_r = v;
	return true;
}

bool cursor_u8(struct cursor *c, uint8_t *v_r)
{
	uint64_t v;

	if (!uint_le(c, 1, &v))
		return false;
	*v_r = (uint8_t)v;
	return true;
}

bool cursor_u16le(struct cursor *c, uint16_t *v_r)
{
	uint64_t v;

	if (!uint_le(c, 2, &v))
		return false;
	*v_r = (uint16_t)v;
	return true;
}

bool cursor_u32le(struct cursor *c, uint32_t *v_r)
{
	uint64_t v;

	if (!uint_le(c, 4, &v))
		return false;
	*v_r = (uint32_t)v;
	return true;
}

bool cursor_u64le(struct cursor *c, uint64_t *v_r)
{
	return uint_le(c, 8, v_r);
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

int cursor_peek(const struct cursor *c)
{
	return cursor_at_end(c) ? -1 : *c->p;
}

bool cursor_take(struct cursor *c, uint8_t want)
{
	if (cursor_peek(c) != want)
		return false;
	c->p++;
	return true;
}

bool cursor_take_nocase(struct cursor *c, struct bytes word)
{
	if (!bytes_starts_nocase(cursor_rest(c), word))
		return false;
	c->p += word.n;
	return true;
}
