/* test_mupdate.c - lines of MUPDATE in whole and in pieces, and locations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "location.h"
#include "mupdate_line.h"

static void lines_are_read_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		enum mupdate_parse result;
		const char *tag, *word;
		size_t count;
		const char *first, *last;
	} rows[] = {
		{ "A1 NOOP\r\n", MUPDATE_OK, "A1", "NOOP", 0, NULL, NULL },
		{ "A1 noop\n", MUPDATE_OK, "A1", "NOOP", 0, NULL, NULL },
		{ "A1 RESERVE \"user.a\" \"b!p\"\r\n", MUPDATE_OK, "A1", "RESERVE", 2, "user.a", "b!p" },
		{ "A1 FIND \"a\\\"\\\\b\"\r\n", MUPDATE_OK, "A1", "FIND", 1, "a\"\\b", "a\"\\b" },
		{ "A1 ACTIVATE {6+}\r\nuser.a {3}\r\nb!p \"\"\r\n", MUPDATE_OK, "A1", "ACTIVATE", 3, "user.a", "" },
		{ "T2 MAILBOX {1+}\r\n\r {0+}\r\n {1+}\r\nx\r\n", MUPDATE_OK, "T2", "MAILBOX", 3, "\r", "x" },
		{ "A1 ACTIVATE user.a\r\n", MUPDATE_OK, "A1", "ACTIVATE", 1, "user.a", "user.a" },
		{ "* OK MUPDATE \"h\" \"Cyrus IMAP\" \"v\" \"(master)\"\r\n", MUPDATE_OK, "*", "OK", 5, "MUPDATE", "(master)" },
		{ "A1 FIND \"a\r\n", MUPDATE_BAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND {x}\r\n", MUPDATE_BAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND {99999+}\r\n", MUPDATE_LIMIT, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND {99999}\r\n", MUPDATE_BAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1\r\n", MUPDATE_BAD, "A1", "", 0, NULL, NULL },
		{ "\r\n", MUPDATE_BAD, "", "", 0, NULL, NULL },
		{ "A1 FIND {3}\r\n", MUPDATE_GO_AHEAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND {3+}\r\n", MUPDATE_MORE, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND {0}\r\n", MUPDATE_GO_AHEAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND \"a\\n\"\r\n", MUPDATE_BAD, "A1", "FIND", 0, NULL, NULL },
		{ "A1 FIND \"a\"\"b\"\r\n", MUPDATE_BAD, "A1", "FIND", 1, "a", "a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes in = bytes_of(rows[i].in);
		struct arena a = { 0 };
		struct mupdate_line line;
		struct fault why;
		size_t used;

		assert_int_equal(mupdate_line_parse(in, 1000, &a, &line, &used, &why), rows[i].result);
		assert_true(bytes_equal_str(line.tag, rows[i].tag));
		assert_true(bytes_equal_str(line.word, rows[i].word));
		assert_int_equal(line.count, rows[i].count);
		if (rows[i].first != NULL) {
			assert_true(bytes_equal_str(line.args[0], rows[i].first));
			assert_true(bytes_equal_str(line.args[line.count - 1], rows[i].last));
		}
		if (rows[i].result == MUPDATE_OK || rows[i].result == MUPDATE_BAD)
			assert_int_equal(used, in.n);
		/* Every shorter input of a good line asks for more. */
		for (size_t n = 0; rows[i].result == MUPDATE_OK && n < in.n; n++) {
			enum mupdate_parse r = mupdate_line_parse(bytes_sub(in, 0, n), 1000, &a, &line, &used, &why);

			assert_true(r == MUPDATE_MORE || r == MUPDATE_GO_AHEAD);
		}
		arena_fini(&a);
	}
}

/* Octets that must come before anything can change: a literal is not read again for each of its octets. */
static void what_is_needed_is_told(void **state)
{
	static const struct {
		const char *in;
		size_t needed;
	} rows[] = {
		{ "A1 FI", 6 },
		{ "A1 FIND \"a", 11 },
		{ "A1 FIND {10+}\r\n", 25 },
		{ "A1 FIND {10}\r\n", 24 },
		{ "A1 FIND {10+}\r\n123", 25 },
		{ "A1 FIND {2+}\r\n12", 17 },
		{ "A1 FIND {x}", 12 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct mupdate_line line;
		struct fault why;
		size_t used = 0;
		enum mupdate_parse r = mupdate_line_parse(bytes_of(rows[i].in), 1000, &a, &line, &used, &why);

		assert_true(r == MUPDATE_MORE || r == MUPDATE_GO_AHEAD);
		assert_int_equal(used, rows[i].needed);
		arena_fini(&a);
	}
}

static void a_literal_holds_no_nul(void **state)
{
	struct bytes in = BYTES_LIT("A1 FIND {3+}\r\na\0b\r\nA2 NOOP\r\n");
	struct arena a = { 0 };
	struct mupdate_line line;
	struct fault why;
	size_t used;

	(void)state;
	assert_int_equal(mupdate_line_parse(in, 1000, &a, &line, &used, &why), MUPDATE_BAD);
	assert_true(bytes_equal_str(line.tag, "A1"));
	assert_int_equal(used, in.n - 9);
	arena_fini(&a);
}

static void endless_lines_hit_the_limit(void **state)
{
	struct buffer b = { 0 };
	struct arena a = { 0 };
	struct mupdate_line line;
	struct fault why;
	size_t used;

	(void)state;
	buffer_add_str(&b, "A1 FIND \"");
	for (int i = 0; i < 2000; i++)
		buffer_add_u8(&b, 'x');
	assert_int_equal(mupdate_line_parse(buffer_bytes(&b), 1000, &a, &line, &used, &why), MUPDATE_LIMIT);
	buffer_clear(&b);
	for (int i = 0; i < 100000; i++)
		buffer_add_u8(&b, 'x');
	assert_int_equal(mupdate_line_parse(buffer_bytes(&b), 1000, &a, &line, &used, &why), MUPDATE_LIMIT);
	buffer_fini(&b);
	arena_fini(&a);
}

static void locations_compare_as_the_table_says(void **state)
{
	(void)state;
	assert_true(location_equal(BYTES_LIT("backenda!default"), BYTES_LIT("BackendA!default")));
	assert_false(location_equal(BYTES_LIT("backenda!default"), BYTES_LIT("backenda!Default")));
	assert_true(location_equal(BYTES_LIT("backenda!"), BYTES_LIT("backenda!default")));
	assert_true(location_equal(BYTES_LIT("backenda"), BYTES_LIT("backenda!default")));
	assert_false(location_equal(BYTES_LIT("backenda!default"), BYTES_LIT("backendb!default")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_as_the_table_says),
		cmocka_unit_test(what_is_needed_is_told),
		cmocka_unit_test(a_literal_holds_no_nul),
		cmocka_unit_test(endless_lines_hit_the_limit),
		cmocka_unit_test(locations_compare_as_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
