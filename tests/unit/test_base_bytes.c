/* test_base_bytes.c - views, cursors and what both are used for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bytes.h"
#include "radix.h"
#include "utf8.h"

static void number_out_of_range_is_refused(void **state)
{
	static const struct {
		const char *in;
		uint64_t max;
		bool ok;
		uint64_t want;
	} rows[] = {
		{ "0", 0, true, 0 },
		{ "1", 0, false, 0 },
		{ "4294967295", UINT32_MAX, true, UINT32_MAX },
		{ "4294967296", UINT32_MAX, false, 0 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999", UINT64_MAX, false, 0 },
		{ "", 9, false, 0 },
		{ "-1", 9, false, 0 },
		{ "1 ", 9, false, 0 },
		{ "007", 9, true, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = 0;

		assert_int_equal(bytes_to_u64(bytes_of(rows[i].in), rows[i].max, &v), rows[i].ok);
		assert_int_equal(v, rows[i].want);
	}
}

static void search_finds_first_occurrence_or_the_end(void **state)
{
	(void)state;
	assert_int_equal(bytes_search(BYTES_LIT("aab"), BYTES_LIT("ab")), 1);
	assert_int_equal(bytes_search(BYTES_LIT("aaa"), BYTES_LIT("ab")), 3);
	assert_int_equal(bytes_search(BYTES_LIT(""), BYTES_LIT("a")), 0);
	assert_int_equal(bytes_search(BYTES_LIT("a"), BYTES_LIT("")), 0);
	assert_int_equal(bytes_search(BYTES_LIT("a"), BYTES_LIT("abc")), 1);
}

/* Of lengths about those of a word and of a piece, against octet by octet. */
static void lower_case_is_searched_as_octet_by_octet(void **state)
{
	static const size_t lengths[] = { 0, 1, 7, 8, 9, 63, 511, 512, 513, 700, 2047, 2048, 2049, 2500, 5000 };
	static uint8_t text[5000], lower[5000];
	unsigned seed = 7;

	(void)state;
	for (size_t round = 0; round < 3000; round++) {
		size_t n = lengths[(size_t)rand_r(&seed) % (sizeof(lengths) / sizeof(lengths[0]))], at, m, want = n;
		struct bytes b = { text, n }, needle;
		bool is_ascii = true;

		for (size_t i = 0; i < n; i++) {
			text[i] = (uint8_t)(round % 3 == 0 ? rand_r(&seed) : "@AZ[`az{"[rand_r(&seed) % 8]);
			is_ascii = is_ascii && text[i] < 0x80;
		}
		assert_int_equal(bytes_is_ascii(b), is_ascii);
		bytes_lower(lower, b);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(lower[i], ascii_lower(text[i]));
		/* A needle that is there, or all of it but the last octet. */
		at = n == 0 ? 0 : (size_t)rand_r(&seed) % n;
		m = n == 0 ? 0 : (size_t)rand_r(&seed) % (n - at);
		needle = bytes_make(lower + at, m);
		if (m > 0 && round % 2 == 0)
			lower[at + m - 1] = '~';
		for (size_t i = 0; want == n && i + m <= n; i++) {
			size_t k = 0;

			while (k < m && ascii_lower(text[i + k]) == needle.p[k])
				k++;
			want = k == m ? i : n;
		}
		assert_int_equal(bytes_search_lower(b, needle), m == 0 ? 0 : want);
	}
}

static void characters_of_utf8_are_told_from_what_is_none(void **state)
{
	static const struct {
		const char *in;
		size_t valid, length;
		uint32_t value; /* of as many octets as LENGTH */
	} rows[] = {
		{ "a", 1, 1, 'a' },
		{ "\x7f", 1, 1, 0x7f },
		{ "\xc2\x80x", 2, 2, 0x80 },
		{ "\xdf\xbf", 2, 2, 0x7ff },
		{ "\xe0\xa0\x80", 3, 3, 0x800 },
		{ "\xed\x9f\xbf", 3, 3, 0xd7ff },
		{ "\xee\x80\x80", 3, 3, 0xe000 },
		{ "\xef\xbf\xbf", 3, 3, 0xffff },
		{ "\xf0\x90\x80\x80", 4, 4, 0x10000 },
		{ "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff },
		/* too long for what they say */
		{ "\xc1\xbf", 0, 2, 0x7f },
		{ "\xe0\x9f\xbf", 0, 3, 0x7ff },
		{ "\xf0\x8f\xbf\xbf", 0, 4, 0xffff },
		/* halves of a pair, and beyond the last */
		{ "\xed\xa0\x80", 0, 3, 0xd800 },
		{ "\xed\xbf\xbf", 0, 3, 0xdfff },
		{ "\xf4\x90\x80\x80", 0, 4, 0x110000 },
		{ "\xf5\x80\x80\x80", 0, 4, 0x140000 },
		/* cut, or in the middle */
		{ "\xe2\x82", 0, 2, 0x82 },
		{ "\xc3", 0, 1, 0xc3 },
		{ "\x80", 0, 1, 0x80 },
		{ "\xe2\x28\xa1", 0, 3, 0x2a21 },
		{ "\xff", 0, 1, 0xff },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes in = bytes_of(rows[i].in);

		assert_int_equal(utf8_valid(in), rows[i].valid);
		assert_int_equal(utf8_length(in), rows[i].length);
		assert_int_equal(utf8_value(in, rows[i].length), rows[i].value);
	}
}

static void sub_is_clamped(void **state)
{
	struct bytes b = BYTES_LIT("hello");

	(void)state;
	assert_true(bytes_equal_str(bytes_sub(b, 1, 3), "ell"));
	assert_int_equal(bytes_sub(b, 9, 3).n, 0);
	assert_int_equal(bytes_sub(b, 2, SIZE_MAX).n, 3);
	assert_true(bytes_equal_str(bytes_trim(BYTES_LIT(" \t x y\r\n")), "x y"));
}

static void radix_sort_keeps_the_order_of_equal_keys(void **state)
{
	static const struct {
		size_t n;
		uint64_t mask;
	} rows[] = { { 0, 0 }, { 1, 1 }, { 2, 1 }, { 48, 7 }, { 49, 7 }, { 5000, 0 }, { 5000, 0xfff },
		     { 5000, UINT64_MAX }, { 5000, 0xf0000000000000f0u }, { 5000, 1ull << 63 } };
	static struct radix_item items[5000], other[5000];
	uint64_t x = 88172645463325252u;

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		for (size_t i = 0; i < rows[r].n; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			items[i] = (struct radix_item){ x & rows[r].mask, (uint32_t)i };
		}
		radix_sort(items, other, rows[r].n);
		for (size_t i = 1; i < rows[r].n; i++) {
			assert_true(items[i - 1].key <= items[i].key);
			assert_true(items[i - 1].key < items[i].key || items[i - 1].value < items[i].value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(radix_sort_keeps_the_order_of_equal_keys),
		cmocka_unit_test(number_out_of_range_is_refused),
		cmocka_unit_test(search_finds_first_occurrence_or_the_end),
		cmocka_unit_test(lower_case_is_searched_as_octet_by_octet),
		cmocka_unit_test(characters_of_utf8_are_told_from_what_is_none),
		cmocka_unit_test(sub_is_clamped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
