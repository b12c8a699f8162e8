/* utf8.c - characters of UTF-8, octet by octet. */
#include "utf8.h"

size_t utf8_valid(struct bytes text)
{
	uint8_t c = text.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (n == 0 || text.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((text.p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((c == 0xe0 && text.p[1] < 0xa0) || (c == 0xed && text.p[1] >= 0xa0) || (c == 0xf0 && text.p[1] < 0x90) ||
	    (c == 0xf4 && text.p[1] >= 0x90))
		return 0;
	return n;
}

size_t utf8_length(struct bytes text)
{
	uint8_t c = text.p[0];
	size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n < text.n ? n : text.n;
}

uint32_t utf8_value(struct bytes text, size_t n)
{
	uint32_t v = n == 1 ? text.p[0] : text.p[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		v = v << 6 | (text.p[i] & 0x3fu);
	return v;
}

void utf8_add_latin1(struct buffer *to, uint8_t c)
{
	if (c < 0x80) {
		buffer_add_u8(to, c);
	} else {
		buffer_add_u8(to, (uint8_t)(0xc0 | c >> 6));
		buffer_add_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
	}
}
