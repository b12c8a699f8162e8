/* names_utf8.c - modified UTF-7 (RFC 3501 section 5.1.3) to UTF-8 and back. */
#include "names.h"

#include "utf8.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* The next character of TEXT, taken off. False: not UTF-8 (RFC 3629), or a control. */
static bool take_character(struct bytes *text, uint32_t *c_r)
{
	size_t n = utf8_valid(*text);
	uint32_t c = utf8_value(*text, n);

	if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	*text = bytes_from(*text, n);
	*c_r = c;
	return true;
}

struct run {
	uint32_t bits;
	unsigned have;
};

static void add_unit(struct buffer *to, struct run *r, uint32_t unit)
{
	r->bits = r->bits << 16 | unit;
	for (r->have += 16; r->have >= 6; r->have -= 6)
		buffer_add_u8(to, (uint8_t)alphabet[r->bits >> (r->have - 6) & 63]);
	r->bits &= (1u << r->have) - 1;
}

static void end_run(struct buffer *to, struct run *r)
{
	if (r->have > 0)
		buffer_add_u8(to, (uint8_t)alphabet[r->bits << (6 - r->have) & 63]);
	buffer_add_u8(to, '-');
	*r = (struct run){ 0 };
}

bool names_utf8_to_mutf7(struct bytes utf8, struct buffer *to)
{
	struct run run = { 0 };
	bool in_run = false;
	uint32_t c;

	while (utf8.n > 0) {
		if (!take_character(&utf8, &c))
			return false;
		if (c <= '~') {
			if (in_run)
				end_run(to, &run);
			in_run = false;
			buffer_add_u8(to, (uint8_t)c);
			if (c == '&')
				buffer_add_u8(to, '-');
			continue;
		}
		if (!in_run)
			buffer_add_u8(to, '&');
		in_run = true;
		if (c >= 0x10000) {
			add_unit(to, &run, 0xd800 + (c - 0x10000) / 0x400);
			add_unit(to, &run, 0xdc00 + (c - 0x10000) % 0x400);
		} else {
			add_unit(to, &run, c);
		}
	}
	if (in_run)
		end_run(to, &run);
	return true;
}

static void add_utf8(struct buffer *to, uint32_t c)
{
	if (c < 0x80) {
		buffer_add_u8(to, (uint8_t)c);
	} else if (c < 0x800) {
		buffer_add_u8(to, (uint8_t)(0xc0 | c >> 6));
		buffer_add_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buffer_add_u8(to, (uint8_t)(0xe0 | c >> 12));
		buffer_add_u8(to, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buffer_add_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buffer_add_u8(to, (uint8_t)(0xf0 | c >> 18));
		buffer_add_u8(to, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buffer_add_u8(to, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buffer_add_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* RUN is what stands between '&' and '-', of names_is_mutf7()'s. */
static void add_run(struct buffer *to, struct bytes run)
{
	uint32_t bits = 0, high = 0;
	unsigned have = 0;

	for (size_t i = 0; i < run.n; i++) {
		size_t v = bytes_find(BYTES_LIT("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"), run.p[i]);
		uint32_t unit;

		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 16)
			continue;
		have -= 16;
		unit = bits >> have & 0xffff;
		bits &= (1u << have) - 1;
		if (high != 0)
			add_utf8(to, 0x10000 + (high - 0xd800) * 0x400 + (unit - 0xdc00));
		else if (unit < 0xd800 || unit > 0xdbff)
			add_utf8(to, unit);
		high = high == 0 && unit >= 0xd800 && unit <= 0xdbff ? unit : 0;
	}
}

void names_mutf7_to_utf8(struct bytes mutf7, struct buffer *to)
{
	bool is_good = names_is_mutf7(mutf7);

	while (mutf7.n > 0) {
		size_t n = bytes_find(mutf7, '&'), end;

		/* A name that is not what it should be is shown as it is. */
		if (!is_good)
			n = mutf7.n;
		buffer_add(to, bytes_sub(mutf7, 0, n));
		mutf7 = bytes_from(mutf7, n);
		if (mutf7.n == 0)
			break;
		end = bytes_find(mutf7, '-');
		if (end == 1)
			buffer_add_u8(to, '&');
		else
			add_run(to, bytes_sub(mutf7, 1, end - 1));
		mutf7 = bytes_from(mutf7, end + 1);
	}
}
