/* bytes.c - comparing, searching and cutting views. None reads beyond n, and an empty view may have a NULL pointer. */
#include "bytes.h"

#include <limits.h>
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
	if (needle.n == 0)
		return 0;
	for (size_t at = 0; b.n - at >= needle.n; at++) {
		at += bytes_find(bytes_from(b, at), needle.p[0]);
		if (b.n - at < needle.n)
			break;
		if (memcmp(b.p + at, needle.p, needle.n) == 0)
			return at;
	}
	return b.n;
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
