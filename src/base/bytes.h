/* bytes.h - a length-counted, read-only view of memory: the type of everything that came from outside.
 *
 * A struct bytes owns nothing. Whoever hands one out says how long the memory behind it lives. It may hold NUL and any
 * other octet. p may be NULL only where n is 0. */
#ifndef ROOST_BASE_BYTES_H
#define ROOST_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *p;
	size_t n;
};

/* A view of a string literal, without its NUL. */
#define BYTES_LIT(s) ((struct bytes){ (const uint8_t *)("" s), sizeof(s) - 1 })
#define BYTES_NONE ((struct bytes){ NULL, 0 })

/* For printf's "%.*s": BYTES_FMT(b) gives the two arguments. Text longer than INT_MAX is cut. */
#define BYTES_FMT(b) bytes_fmt_len(b), (const char *)(b).p

/* A view of the NUL-terminated S (NULL gives an empty view); borrowed as long as S lives. */
struct bytes bytes_of(const char *s);
/* A view of N octets at P; borrowed as long as P lives. */
struct bytes bytes_make(const void *p, size_t n);
int bytes_fmt_len(struct bytes b);

bool bytes_equal(struct bytes a, struct bytes b);
/* Equal but for the case of ASCII letters; locale plays no part. */
bool bytes_equal_nocase(struct bytes a, struct bytes b);
bool bytes_equal_str(struct bytes a, const char *s);
bool bytes_equal_nocase_str(struct bytes a, const char *s);
bool bytes_starts(struct bytes b, struct bytes prefix);
bool bytes_starts_nocase(struct bytes b, struct bytes prefix);
bool bytes_ends(struct bytes b, struct bytes suffix);
/* Order as memcmp, a prefix before what it starts: <0, 0, >0. */
int bytes_compare(struct bytes a, struct bytes b);
/* Position of the first/last octet C, or b.n where there is none. */
size_t bytes_find(struct bytes b, uint8_t c);
size_t bytes_rfind(struct bytes b, uint8_t c);
/* Position of the first occurrence of NEEDLE, or b.n; the empty needle is found at 0. */
size_t bytes_search(struct bytes b, struct bytes needle);
/* The same in B with its ASCII letters in lower case: NEEDLE has none in upper case. */
size_t bytes_search_lower(struct bytes b, struct bytes needle);
/* No octet above 127. */
bool bytes_is_ascii(struct bytes b);
/* Copy B to TO, its ASCII letters in lower case; TO may be B's own memory. */
void bytes_lower(uint8_t *to, struct bytes b);
/* The part from OFF on, at most N octets; both are clamped to what is there. */
struct bytes bytes_sub(struct bytes b, size_t off, size_t n);
struct bytes bytes_from(struct bytes b, size_t off);
/* Without spaces, tabs, CR and LF at both ends. */
struct bytes bytes_trim(struct bytes b);

/* Read all of B as an unsigned decimal of digits only.
 * false: empty, another octet, or over MAX; *v_r is unset then. */
bool bytes_to_u64(struct bytes b, uint64_t max, uint64_t *v_r);

/* Copy B and a NUL to malloc'd memory that the caller frees. A NUL inside B is copied as is. */
char *bytes_to_str(struct bytes b);

uint8_t ascii_lower(uint8_t c);
uint8_t ascii_upper(uint8_t c);
bool ascii_is_alpha(uint8_t c);
bool ascii_is_digit(uint8_t c);
bool ascii_is_alnum(uint8_t c);

#endif
