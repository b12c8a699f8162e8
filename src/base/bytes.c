/* bytes.c - comparing, searching and cutting views. None reads beyond n, and an empty view may have a NULL pointer. */
#include "bytes.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

uint8_t ascii_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - ('a' - 'A')) : c;
}

bool ascii_is_alpha(uint8_t c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

bool ascii_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

bool ascii_is_alnum(uint8_t c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

struct bytes bytes_of(const char *s)
{
	return s == NULL ? BYTES_NONE : bytes_make(s, strlen(s));
}

struct bytes bytes_make(const void *p, size_t n)
{
	return (struct bytes){ p, n };
}

int bytes_fmt_len(struct bytes b)
{
	return b.n > INT_MAX ? INT_MAX : (int)b.n;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
	return a.n == b.n && bytes_starts_nocase(a, b);
}

bool bytes_equal_str(struct bytes a, const char *s)
{
	return bytes_equal(a, bytes_of(s));
}

bool bytes_equal_nocase_str(struct bytes a, const char *s)
{
	return bytes_equal_nocase(a, bytes_of(s));
}

bool bytes_starts(struct bytes b, struct bytes prefix)
{
	return b.n >= prefix.n && bytes_equal(bytes_sub(b, 0, prefix.n), prefix);
}

bool bytes_starts_nocase(struct bytes b, struct bytes prefix)
{
	if (b.n < prefix.n)
		return false;
	for (size_t i = 0; i < prefix.n; i++) {
		if (ascii_lower(b.p[i]) != ascii_lower(prefix.p[i]))
			return false;
	}
	return true;
}

bool bytes_ends(struct bytes b, struct bytes suffix)
{
	return b.n >= suffix.n && bytes_equal(bytes_from(b, b.n - suffix.n), suffix);
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (order != 0)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

size_t bytes_find(struct bytes b, uint8_t c)
{
	const uint8_t *hit = b.n == 0 ? NULL : memchr(b.p, c, b.n);

	return hit == NULL ? b.n : (size_t)(hit - b.p);
}

size_t bytes_rfind(struct bytes b, uint8_t c)
{
	for (size_t i = b.n; i > 0; i--) {
		if (b.p[i - 1] == c)
			return i - 1;
	}
	return b.n;
}

size_t bytes_search(struct bytes b, struct bytes needle)
{
	const uint8_t *hit;

	if (needle.n == 0)
		return 0;
	hit = b.n == 0 ? NULL : memmem(b.p, b.n, needle.p, needle.n);
	return hit == NULL ? b.n : (size_t)(hit - b.p);
}

/* Each octet of a word times V. */
#define OCTETS(v) (UINT64_C(0x0101010101010101) * (v))

bool bytes_is_ascii(struct bytes b)
{
	uint64_t word, all = 0;
	size_t i;

	for (i = 0; b.n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, b.p + i, sizeof(word));
		all |= word;
	}
	for (; i < b.n; i++)
		all |= b.p[i];
	return (all & OCTETS(0x80)) == 0;
}

/* Eight octets at a time: the high bit of (octet + 0x80 - 'A') says that it is not below 'A', that of (octet + 0x7f - 'Z') that it
 * is above 'Z', for octets without a high bit of their own. */
void bytes_lower(uint8_t *to, struct bytes b)
{
	uint64_t word;
	size_t i;

	for (i = 0; b.n - i >= sizeof(word); i += sizeof(word)) {
		uint64_t low, upper;

		memcpy(&word, b.p + i, sizeof(word));
		low = word & OCTETS(0x7f);
		upper = ((low + OCTETS(0x80 - 'A')) ^ (low + OCTETS(0x7f - 'Z'))) & ~word & OCTETS(0x80);
		word |= upper >> 2;
		memcpy(to + i, &word, sizeof(word));
	}
	for (; i < b.n; i++)
		to[i] = ascii_lower(b.p[i]);
}

#define PIECE 2048
#define NEEDLE_MAX 512

/* Piece by piece through memory that stays in the cache; pieces overlap by a needle. */
static size_t search_pieces(struct bytes b, struct bytes needle)
{
	uint8_t lower[PIECE];

	for (size_t at = 0; b.n - at >= needle.n; at += PIECE - needle.n + 1) {
		struct bytes piece = bytes_sub(b, at, PIECE);
		size_t found;

		bytes_lower(lower, piece);
		found = bytes_search(bytes_make(lower, piece.n), needle);
		if (found < piece.n)
			return at + found;
		if (piece.n < PIECE)
			break;
	}
	return b.n;
}

size_t bytes_search_lower(struct bytes b, struct bytes needle)
{
	size_t found;
	uint8_t *lower;

	if (needle.n == 0)
		return 0;
	if (b.n < needle.n)
		return b.n;
	if (needle.n <= NEEDLE_MAX)
		return search_pieces(b, needle);
	lower = must_alloc(b.n);
	bytes_lower(lower, b);
	found = bytes_search(bytes_make(lower, b.n), needle);
	free(lower);
	return found;
}

struct bytes bytes_sub(struct bytes b, size_t off, size_t n)
{
	if (off > b.n)
		off = b.n;
	if (n > b.n - off)
		n = b.n - off;
	return (struct bytes){ b.p == NULL ? NULL : b.p + off, n };
}

struct bytes bytes_from(struct bytes b, size_t off)
{
	return bytes_sub(b, off, SIZE_MAX);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct bytes bytes_trim(struct bytes b)
{
	while (b.n > 0 && is_blank(b.p[0]))
		b = bytes_from(b, 1);
	while (b.n > 0 && is_blank(b.p[b.n - 1]))
		b.n--;
	return b;
}

bool bytes_to_u64(struct bytes b, uint64_t max, uint64_t *v_r)
{
	uint64_t v = 0;

	if (b.n == 0)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		unsigned digit;

		if (!ascii_is_digit(b.p[i]))
			return false;
		digit = (unsigned)(b.p[i] - '0');
		if (v > (max - digit) / 10 || digit > max)
			return false;
		v = v * 10 + digit;
	}
	*v_r = v;
	return true;
}

char *bytes_to_str(struct bytes b)
{
	char *s = must_alloc(b.n + 1);

	if (b.n > 0)
		memcpy(s, b.p, b.n);
	s[b.n] = '\0';
	return s;
}
