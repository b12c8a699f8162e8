/* fuzz_search_text.c - charsets and encodings, as SEARCH sees them. Input: a charset LF, a text.
 *
 * Whatever comes in, UTF-8 comes out; a part of a text is found in it, in a header and in a body, plain and folded, exactly and more
 * or less. */
#include "fuzz.h"
#include "mime_private.h"

static const struct mime_limits limits = { .parts = 20, .depth = 6, .header = 4096 };

static size_t utf8_length(uint8_t c)
{
	return c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

static void check_utf8(struct bytes b)
{
	while (b.n > 0) {
		size_t n = utf8_length(b.p[0]);

		FUZZ_CHECK(n > 0 && n <= b.n);
		for (size_t i = 1; i < n; i++)
			FUZZ_CHECK((b.p[i] & 0xc0) == 0x80);
		b = bytes_from(b, n);
	}
}

/* The middle of TEXT, which is UTF-8, cut between characters. */
static struct bytes middle_of(struct bytes text)
{
	size_t from = text.n / 3, to = text.n - text.n / 4;

	while (from < text.n && (text.p[from] & 0xc0) == 0x80)
		from++;
	while (to < text.n && (text.p[to] & 0xc0) == 0x80)
		to++;
	return from < to ? bytes_sub(text, from, to - from) : BYTES_NONE;
}

static void check_found(struct bytes utf8)
{
	struct buffer message = { 0 }, key = { 0 };
	struct arena a = { 0 };
	struct bytes middle = middle_of(utf8);

	FUZZ_CHECK(mime_fold_key(middle, BYTES_LIT("UTF-8"), &key));
	check_utf8(buffer_bytes(&key));
	buffer_add_str(&message, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	buffer_add(&message, utf8);
	FUZZ_CHECK(mime_text_contains(buffer_bytes(&message), &limits, buffer_bytes(&key), false));
	/* What is there as it stands is there more or less. */
	FUZZ_CHECK(mime_fuzzy_text(mime_fuzzy_new(&a, buffer_bytes(&key)), buffer_bytes(&message), &limits, false) > 0);
	arena_fini(&a);
	buffer_fini(&message);
	buffer_fini(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_make(data, size);
	struct bytes charset = fuzz_take_line(&text);
	struct buffer utf8 = { 0 }, folded = { 0 }, decoded = { 0 }, header = { 0 };
	struct arena a = { 0 };

	charset_to_utf8(charset, text, &utf8);
	check_utf8(buffer_bytes(&utf8));
	charset_fold(buffer_bytes(&utf8), &folded);
	check_utf8(buffer_bytes(&folded));
	charset_decode_header(text, &decoded);
	check_utf8(buffer_bytes(&decoded));
	check_found(buffer_bytes(&utf8));
	check_found(buffer_bytes(&decoded));

	buffer_clear(&decoded);
	mime_decode_qp(text, true, &decoded);
	mime_decode_qp(text, false, &decoded);
	mime_decode_base64(text, &decoded);
	FUZZ_CHECK(decoded.n <= 3 * text.n);

	/* Decoded or not, a header holds what is in it. */
	buffer_add_str(&header, "Subject: ");
	buffer_add(&header, mime_unfold(text, &a));
	buffer_add_str(&header, "\r\n\r\n");
	buffer_clear(&folded);
	(void)mime_fold_key(charset, BYTES_NONE, &folded);
	(void)mime_text_contains(buffer_bytes(&header), &limits, buffer_bytes(&folded), true);
	FUZZ_CHECK(mime_header_contains(buffer_bytes(&header), BYTES_LIT("subject"), BYTES_NONE));
	arena_fini(&a);
	buffer_fini(&utf8);
	buffer_fini(&folded);
	buffer_fini(&decoded);
	buffer_fini(&header);
	return 0;
}
