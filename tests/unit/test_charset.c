/* test_charset.c - charsets by their names, as mail has them: those decoded here, those of iconv, and what is none. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "charset_iconv.h"
#include "mime_private.h"

static bool is_decoded_as(struct bytes charset, struct bytes in, const char *want)
{
	struct buffer out = { 0 };
	bool is_same;

	charset_to_utf8(charset, in, &out);
	is_same = bytes_equal_str(buffer_bytes(&out), want);
	buffer_fini(&out);
	return is_same;
}

/* Some of them, more than a thread keeps open. */
static const struct {
	const char *charset;
	struct bytes in;
	const char *want;
} rows[] = {
	{ "iso-8859-2", BYTES_LIT("\xb1\xe6"), "\xc4\x85\xc4\x87" },
	{ "ISO-8859-5", BYTES_LIT("\xd0"), "\xd0\xb0" },
	{ "iso-8859-7", BYTES_LIT("\xe1"), "\xce\xb1" },
	{ "iso-8859-15", BYTES_LIT("\xa4"), "\xe2\x82\xac" },
	{ "koi8-r", BYTES_LIT("\xc1"), "\xd0\xb0" },
	{ "windows-1251", BYTES_LIT("\xe0"), "\xd0\xb0" },
	{ "windows-1250", BYTES_LIT("\xb9"), "\xc4\x85" },
	{ "iso-2022-jp", BYTES_LIT("\x1b$B$\"\x1b(B!"), "\xe3\x81\x82!" },
	{ "shift_jis", BYTES_LIT("\x82\xa0"), "\xe3\x81\x82" },
	{ "euc-jp", BYTES_LIT("\xa4\xa2"), "\xe3\x81\x82" },
	{ "gb2312", BYTES_LIT("\xd6\xd0"), "\xe4\xb8\xad" },
	{ "big5", BYTES_LIT("\xa4\xa4"), "\xe4\xb8\xad" },
	{ "euc-kr", BYTES_LIT("\xb0\xa1"), "\xea\xb0\x80" },
	{ "utf-16be", BYTES_LIT("\0a"), "a" },
	{ "utf-7", BYTES_LIT("+AOQ-"), "\xc3\xa4" },
	{ "ISO_8859-1:1987", BYTES_LIT("\xe4"), "\xc3\xa4" },
	{ "Latin1", BYTES_LIT("a\xe4z"), "a\xc3\xa4z" },
	{ "Windows-1252", BYTES_LIT("a\x80\xe4\x81"), "a\xe2\x82\xac\xc3\xa4\xc2\x81" },
	{ "utf-8", BYTES_LIT("\xc3\xa4\xff"), "\xc3\xa4\xc3\xbf" },
	{ "us-ascii", BYTES_LIT("a\xe4"), "a\xc3\xa4" },
	{ "x-unknown", BYTES_LIT("a\xe4z"), "a\xc3\xa4z" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void check_rows(size_t rounds)
{
	for (size_t i = 0; i < rounds * ROWS; i++) {
		/* In an order of which any neighbours come together in the end. */
		size_t at = i * (1 + i / ROWS) % ROWS;

		if (!is_decoded_as(bytes_of(rows[at].charset), rows[at].in, rows[at].want))
			fail_msg("round %zu: %s", i / ROWS, rows[at].charset);
	}
}

static void a_text_is_the_same_whatever_was_decoded_before(void **state)
{
	(void)state;
	check_rows(40);
}

static void what_a_text_left_half_done_does_not_reach_the_next(void **state)
{
	struct buffer out = { 0 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		/* It is cut within double octets, and does not go back to ASCII. */
		charset_to_utf8(BYTES_LIT("ISO-2022-JP"), BYTES_LIT("\x1b$B$"), &out);
		assert_true(is_decoded_as(BYTES_LIT("iso-2022-jp"), BYTES_LIT("$\"$"), "$\"$"));
		charset_to_utf8(BYTES_LIT("UTF-7"), BYTES_LIT("+AO"), &out);
		assert_true(is_decoded_as(BYTES_LIT("utf-7"), BYTES_LIT("AOQ-"), "AOQ-"));
	}
	buffer_fini(&out);
}

static void the_commonest_are_decoded_as_iconv_does_it(void **state)
{
	static const char *const names[] = { "ISO-8859-1", "ISO8859-1", "LATIN1", "WINDOWS-1252", "CP1252" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (unsigned c = 0; c < 256; c++) {
			uint8_t octets[3] = { 'a', (uint8_t)c, 'z' };
			struct buffer here = { 0 }, there = { 0 };

			charset_to_utf8(bytes_of(names[i]), bytes_make(octets, 3), &here);
			assert_true(charset_iconv(bytes_of(names[i]), bytes_make(octets, 3), &there));
			if (!bytes_equal(buffer_bytes(&here), buffer_bytes(&there)))
				fail_msg("%s %02x", names[i], c);
			buffer_fini(&here);
			buffer_fini(&there);
		}
	}
}

static void names_that_are_none_are_not_known(void **state)
{
	static const char *const none[] = { "", "UTF-16//TRANSLIT", "latin2//IGNORE", "//", "/", "../../tmp/evil", "UTF-16,", "a b", "no-such",
		                            "ISO-8859-2\n", "\xff",
		                            "0123456789012345678901234567890123456789012345678901234567890123456789" };

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
			assert_false(charset_is_known(bytes_of(none[i])));
			assert_false(charset_iconv_knows(bytes_of(none[i])));
		}
	}
	assert_false(charset_is_known(BYTES_LIT("UTF-16\0BE")));
	for (size_t i = 0; i < ROWS - 1; i++)
		assert_true(charset_is_known(bytes_of(rows[i].charset)));
	/* More than are remembered, and those that are known are known still. */
	for (unsigned i = 0; i < 200; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "no-such-%u", i % 50);
		assert_false(charset_is_known(bytes_of(name)));
		assert_true(charset_is_known(BYTES_LIT("koi8-r")));
	}
}

static void *in_thread(void *arg)
{
	(void)arg;
	check_rows(10);
	return NULL;
}

static void threads_decode_side_by_side_and_leave_nothing(void **state)
{
	pthread_t threads[8];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, in_thread, NULL), 0);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_the_same_whatever_was_decoded_before),
		cmocka_unit_test(what_a_text_left_half_done_does_not_reach_the_next),
		cmocka_unit_test(the_commonest_are_decoded_as_iconv_does_it),
		cmocka_unit_test(names_that_are_none_are_not_known),
		cmocka_unit_test(threads_decode_side_by_side_and_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
