/* fuzz_mime_header.c - what is made of a header field's body, which is the input: addresses, parameters, dates, base subjects, decoded words.
 *
 * What is written is well-formed for IMAP. A base subject is the base subject of itself. */
#include "fuzz.h"
#include "fuzz_imap_string.h"
#include "mime_private.h"

/* NIL, or one or more addresses of four strings each (RFC 3501 section 9, env-from). */
static void check_addresses(struct bytes text)
{
	struct cursor c = cursor_of(text);

	if (bytes_equal_str(text, "NIL"))
		return;
	FUZZ_CHECK(cursor_take(&c, '('));
	do {
		FUZZ_CHECK(cursor_take(&c, '('));
		for (size_t i = 0; i < 4; i++) {
			FUZZ_CHECK(i == 0 || cursor_take(&c, ' '));
			FUZZ_CHECK(fuzz_imap_string(&c) || cursor_take_nocase(&c, BYTES_LIT("NIL")));
		}
		FUZZ_CHECK(cursor_take(&c, ')'));
	} while (!cursor_take(&c, ')'));
	FUZZ_CHECK(cursor_at_end(&c));
}

static void check_base_subject(struct bytes body)
{
	struct buffer once = { 0 }, twice = { 0 };

	(void)mime_base_subject(body, &once);
	(void)mime_base_subject(buffer_bytes(&once), &twice);
	/* What looks like an encoded word only once it is decoded would be decoded again. */
	if (bytes_search(buffer_bytes(&once), BYTES_LIT("=?")) == once.n)
		FUZZ_CHECK(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
	buffer_fini(&once);
	buffer_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes body = bytes_make(data, size);
	struct buffer out = { 0 };
	struct arena a = { 0 };
	struct cursor c = cursor_of(body);
	struct mime_params params = { 0 };
	int64_t seconds, days;

	mime_write_addresses(&out, body);
	check_addresses(buffer_bytes(&out));
	buffer_clear(&out);
	mime_write_nstring(&out, mime_unfold(body, &a));
	c = cursor_of(buffer_bytes(&out));
	FUZZ_CHECK(fuzz_imap_string(&c) || cursor_take_nocase(&c, BYTES_LIT("NIL")));
	FUZZ_CHECK(cursor_at_end(&c));
	c = cursor_of(body);
	mime_take_params(&c, &a, &params);
	for (size_t i = 0; i < 2 * params.count; i++)
		fuzz_touch(params.at[i]);
	if (mime_date(body, &seconds, &days))
		FUZZ_CHECK(seconds / 86400 - days <= 3 && days - seconds / 86400 <= 3);
	check_base_subject(body);
	buffer_clear(&out);
	mime_fold_words(body, &out);
	charset_decode_header(body, &out);
	FUZZ_CHECK(out.n <= 64 * body.n + 64);
	buffer_fini(&out);
	arena_fini(&a);
	return 0;
}
