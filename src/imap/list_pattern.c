/* list_pattern.c - all places in the pattern that the name read so far could have reached, kept side by side: no
 * backtracking, and so no pattern that takes long. */
#include "list_pattern.h"

#include <string.h>

/* After '*' and '%' no octet need be taken. */
static void add_empty(struct bytes pattern, uint8_t *at)
{
	for (size_t i = 0; i < pattern.n; i++) {
		if (at[i] != 0 && (pattern.p[i] == '*' || pattern.p[i] == '%'))
			at[i + 1] = 1;
	}
}

bool list_match(struct bytes pattern, struct bytes name, char sep)
{
	/* The set of places in the pattern that could be reached by the octets so far. */
	uint8_t at[LIST_PATTERN_MAX + 1] = { 0 }, next[LIST_PATTERN_MAX + 1];
	bool is_inbox = bytes_starts_nocase(name, BYTES_LIT("INBOX")) && (name.n == 5 || name.p[5] == (uint8_t)sep);

	if (pattern.n > LIST_PATTERN_MAX)
		return false;
	at[0] = 1;
	add_empty(pattern, at);
	for (size_t k = 0; k < name.n; k++) {
		uint8_t c = name.p[k];

		memset(next, 0, pattern.n + 1);
		for (size_t i = 0; i < pattern.n; i++) {
			uint8_t want = pattern.p[i];

			if (at[i] == 0)
				continue;
			if (want == '*' || (want == '%' && c != (uint8_t)sep))
				next[i] = 1;
			else if (want == c || (is_inbox && k < 5 && ascii_lower(want) == ascii_lower(c)))
				next[i + 1] = 1;
		}
		add_empty(pattern, next);
		memcpy(at, next, pattern.n + 1);
	}
	return at[pattern.n] != 0;
}

bool list_match_parent(struct bytes pattern, struct bytes name, char sep, size_t *n_r)
{
	for (size_t n = *n_r + 1; n < name.n; n++) {
		if (name.p[n] != (uint8_t)sep || !list_match(pattern, bytes_sub(name, 0, n), sep))
			continue;
		*n_r = n;
		return true;
	}
	return false;
}
