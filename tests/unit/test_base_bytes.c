/* test_base_bytes.c - views, cursors and what both are used for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bytes.h"

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

static void sub_is_clamped(void **state)
{
	struct bytes b = BYTES_LIT("hello");

	(void)state;
	assert_true(bytes_equal_str(bytes_sub(b, 1, 3), "ell"));
	assert_int_equal(bytes_sub(b, 9, 3).n, 0);
	assert_int_equal(bytes_sub(b, 2, SIZE_MAX).n, 3);
	assert_true(bytes_equal_str(bytes_trim(BYTES_LIT(" \t x y\r\n")), "x y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(number_out_of_range_is_refused),
		cmocka_unit_test(search_finds_first_occurrence_or_the_end),
		cmocka_unit_test(sub_is_clamped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
