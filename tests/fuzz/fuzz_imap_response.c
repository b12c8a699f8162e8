/* fuzz_imap_response.c - a server's responses, as the proxy reads them. */
#include "fuzz.h"
#include "imap_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	struct imap_response r;
	uint64_t literal;
	bool has_literal;
	size_t n;

	while (imap_response_segment(in, &n, &has_literal, &literal)) {
		struct bytes segment = bytes_sub(in, 0, n);

		FUZZ_CHECK(n > 0 && n <= in.n && in.p[n - 1] == '\n' && (has_literal || literal == 0));
		if (imap_response_parse(segment, &r)) {
			FUZZ_CHECK(r.tag.n > 0 || !r.is_untagged);
			fuzz_touch(r.tag);
			fuzz_touch(r.word);
			fuzz_touch(r.rest);
			fuzz_touch(r.code);
			fuzz_touch(r.text);
			FUZZ_CHECK(r.code.n + r.text.n <= segment.n);
		}
		in = bytes_from(in, n);
		in = bytes_from(in, literal > in.n ? in.n : (size_t)literal);
	}
	return 0;
}
