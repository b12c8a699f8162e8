/* fuzz_list_pattern.c - LIST's patterns against a matcher that is slow and plain. Input: the separator, the pattern LF,
 * the name. */
#include "fuzz.h"
#include "list_pattern.h"

#define LONGEST 64

static bool slow(struct bytes pattern, struct bytes name, size_t at, char sep, bool is_inbox)
{
	uint8_t want, c;

	if (pattern.n == 0)
		return name.n == at;
	want = pattern.p[0];
	if (want == '*' || want == '%') {
		for (size_t i = at;; i++) {
			if (slow(bytes_from(pattern, 1), name, i, sep, is_inbox))
				return true;
			if (i == name.n || (want == '%' && name.p[i] == (uint8_t)sep))
				return false;
		}
	}
	if (at == name.n)
		return false;
	c = name.p[at];
	if (want != c && !(is_inbox && at < 5 && ascii_lower(want) == ascii_lower(c)))
		return false;
	return slow(bytes_from(pattern, 1), name, at + 1, sep, is_inbox);
}

static size_t count_wild(struct bytes pattern)
{
	size_t n = 0;

	for (size_t i = 0; i < pattern.n; i++)
		n += pattern.p[i] == '*' || pattern.p[i] == '%';
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	char sep = fuzz_take_octet(&in) % 2 == 0 ? '.' : '/';
	struct bytes pattern = fuzz_take_line(&in);
	bool matches = list_match(pattern, in, sep);
	size_t n = 0, last = 0;

	if (pattern.n <= LONGEST && in.n <= LONGEST && count_wild(pattern) <= 4) {
		struct bytes inbox = bytes_sub(in, 0, 5);
		bool is_inbox = bytes_equal_nocase(inbox, BYTES_LIT("INBOX")) && (in.n == 5 || in.p[5] == (uint8_t)sep);

		FUZZ_CHECK(matches == slow(pattern, in, 0, sep, is_inbox));
	}
	while (list_match_parent(pattern, in, sep, &n)) {
		FUZZ_CHECK(n > last && n < in.n && in.p[n] == (uint8_t)sep);
		FUZZ_CHECK(list_match(pattern, bytes_sub(in, 0, n), sep));
		last = n;
	}
	return 0;
}
