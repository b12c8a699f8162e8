/* base64.c - four characters for three octets, strict when reading: there is one encoding of each text. */
#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buffer *to, struct bytes in)
{
	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		uint32_t v = (uint32_t)in.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)in.p[i + 1] << 8;
		if (left > 2)
			v |= in.p[i + 2];
		buffer_add_u8(to, (uint8_t)alphabet[v >> 18]);
		buffer_add_u8(to, (uint8_t)alphabet[v >> 12 & 63]);
		buffer_add_u8(to, left > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=');
		buffer_add_u8(to, left > 2 ? (uint8_t)alphabet[v & 63] : '=');
	}
}

static int value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int value_of_url(uint8_t c)
{
	return c == '-' ? 62 : c == '_' ? 63 : c == '+' || c == '/' ? -1 : value_of(c);
}

/* The digits IN, without padding. */
static bool decode(struct buffer *to, struct bytes in, int (*value)(uint8_t c))
{
	size_t start = to->n, left = in.n % 4;
	uint32_t v = 0;
	bool ok = left != 1;

	for (size_t i = 0; ok && i < in.n; i++) {
		int digit = value(in.p[i]);

		ok = digit >= 0;
		v = v << 6 | (uint32_t)(digit & 63);
		if (i % 4 == 3) {
			buffer_add_u8(to, (uint8_t)(v >> 16));
			buffer_add_u8(to, (uint8_t)(v >> 8));
			buffer_add_u8(to, (uint8_t)v);
			v = 0;
		}
	}
	if (ok && left == 3) {
		ok = (v & 3) == 0;
		buffer_add_u8(to, (uint8_t)(v >> 10));
		buffer_add_u8(to, (uint8_t)(v >> 2));
	} else if (ok && left == 2) {
		ok = (v & 15) == 0;
		buffer_add_u8(to, (uint8_t)(v >> 4));
	}
	if (!ok)
		to->n = start;
	return ok;
}

bool base64_decode(struct buffer *to, struct bytes in)
{
	if (in.n % 4 != 0)
		return false;
	for (int pad = 0; pad < 2 && in.n > 0 && in.p[in.n - 1] == '='; pad++)
		in.n--;
	return decode(to, in, value_of);
}

bool base64url_decode(struct buffer *to, struct bytes in)
{
	return decode(to, in, value_of_url);
}
