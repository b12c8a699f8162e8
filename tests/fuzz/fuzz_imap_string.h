/* fuzz_imap_string.h - what we write as a string of IMAP is one. */
#ifndef ROOST_TESTS_FUZZ_IMAP_STRING_H
#define ROOST_TESTS_FUZZ_IMAP_STRING_H

#include "cursor.h"
#include "fuzz.h"

/* Take a quoted string or a literal, which has to be well-formed to its end. False: neither begins here. */
static inline bool fuzz_imap_string(struct cursor *c)
{
	uint8_t o = 0;

	if (cursor_take(c, '"')) {
		while (cursor_u8(c, &o) && o != '"') {
			if (o == '\\')
				FUZZ_CHECK(cursor_u8(c, &o) && (o == '"' || o == '\\'));
			FUZZ_CHECK(o != '\r' && o != '\n' && o != '\0' && o < 0x80);
		}
		FUZZ_CHECK(o == '"');
		return true;
	}
	if (cursor_take(c, '{')) {
		struct bytes rest = cursor_rest(c), octets;
		size_t n = bytes_find(rest, '}');
		uint64_t size;

		FUZZ_CHECK(bytes_to_u64(bytes_sub(rest, 0, n), 1u << 24, &size));
		c->p += n;
		FUZZ_CHECK(cursor_take(c, '}') && cursor_take(c, '\r') && cursor_take(c, '\n'));
		FUZZ_CHECK(cursor_bytes(c, (size_t)size, &octets) && bytes_find(octets, '\0') == octets.n);
		return true;
	}
	return false;
}

#endif
