/* test_lmtp.c - commands, addresses, dots and replies of LMTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buffer.h"
#include "lmtp_command.h"
#include "lmtp_data.h"
#include "lmtp_reply.h"

static void commands_are_read_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		enum lmtp_parse result;
		enum lmtp_verb verb;
		const char *address;
		uint64_t size;
	} rows[] = {
		{ "MAIL FROM:<a@b>", LMTP_PARSE_OK, LMTP_MAIL, "a@b", 0 },
		{ "mail from:<> SIZE=100 BODY=8BITMIME", LMTP_PARSE_OK, LMTP_MAIL, "", 100 },
		{ "MAIL FROM: <a@b> AUTH=<>", LMTP_PARSE_OK, LMTP_MAIL, "a@b", 0 },
		{ "MAIL FROM:a@b", LMTP_PARSE_SYNTAX, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b", LMTP_PARSE_SYNTAX, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b>x", LMTP_PARSE_SYNTAX, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b> SIZE=x", LMTP_PARSE_SYNTAX, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b> FOO", LMTP_PARSE_BAD_PARAMETER, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b> XROOST-OP=00", LMTP_PARSE_SYNTAX, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<a@b> XROOST-OP=00112233445566778899aabbccddeeff", LMTP_PARSE_OK, LMTP_MAIL, "a@b", 0 },
		{ "RCPT TO:<@x,@y:u+f@d>", LMTP_PARSE_OK, LMTP_RCPT, "u+f@d", 0 },
		{ "RCPT TO:<\"a b\\\"\"@d>", LMTP_PARSE_OK, LMTP_RCPT, "a b\"@d", 0 },
		{ "RCPT TO:<u@\"a b\">", LMTP_PARSE_SYNTAX, LMTP_RCPT, "", 0 },
		{ "RCPT TO:<u> SIZE=1", LMTP_PARSE_BAD_PARAMETER, LMTP_RCPT, "", 0 },
		{ "RCPT", LMTP_PARSE_SYNTAX, LMTP_RCPT, "", 0 },
		{ "DATA", LMTP_PARSE_OK, LMTP_DATA, "", 0 },
		{ "DATA x", LMTP_PARSE_SYNTAX, LMTP_DATA, "", 0 },
		{ "LHLO", LMTP_PARSE_SYNTAX, LMTP_LHLO, "", 0 },
		{ "EHLO x", LMTP_PARSE_OK, LMTP_UNKNOWN, "", 0 },
		{ "", LMTP_PARSE_OK, LMTP_UNKNOWN, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct lmtp_command cmd;
		struct fault why;

		assert_int_equal(lmtp_command_parse(bytes_of(rows[i].in), &a, &cmd, &why), rows[i].result);
		assert_int_equal(cmd.verb, rows[i].verb);
		if (rows[i].result == LMTP_PARSE_OK) {
			assert_true(bytes_equal_str(cmd.address, rows[i].address));
			assert_int_equal(cmd.size, rows[i].size);
		}
		arena_fini(&a);
	}
}

/* Take WIRE in two pieces, split at SPLIT; returns octets used when the end came, 0 if it did not. */
static size_t take(struct bytes wire, size_t split, struct buffer *body, size_t limit, bool *over)
{
	struct lmtp_data d = { 0 };
	size_t used;

	if (lmtp_data_take(&d, bytes_sub(wire, 0, split), body, limit, over, &used) == LMTP_DATA_END)
		return used;
	assert_int_equal(used, split);
	if (lmtp_data_take(&d, bytes_from(wire, split), body, limit, over, &used) == LMTP_DATA_END)
		return split + used;
	return 0;
}

static void body_is_unstuffed_wherever_it_is_split(void **state)
{
	static const struct {
		const char *wire;
		const char *body;
		size_t left; /* octets behind the end; SIZE_MAX: the end never comes */
	} rows[] = {
		{ ".\r\n", "", 0 },
		{ "a\r\n.\r\nQUIT\r\n", "a\r\n", 6 },
		{ "..\r\n...a\r\n.\r\n", ".\r\n..a\r\n", 0 },
		{ ".x\r\n.\r\n", "x\r\n", 0 },
		{ "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", 0 },
		{ "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", 0 },
		{ "a\r.\r\nb\r\n.\n\r\n.\r\n", "a\r.\r\nb\r\n\n\r\n", 0 },
		{ "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 0 },
		{ "a\r\n.", "a\r\n", SIZE_MAX },
		{ "\r\r\n.\r\n", "\r\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes wire = bytes_of(rows[i].wire);

		for (size_t split = 0; split <= wire.n; split++) {
			struct buffer body = { 0 };
			bool over = false;
			size_t used = take(wire, split, &body, 1000, &over);

			assert_int_equal(used, rows[i].left == SIZE_MAX ? 0 : wire.n - rows[i].left);
			assert_true(bytes_equal_str(buffer_bytes(&body), rows[i].body));
			assert_false(over);
			buffer_fini(&body);
		}
	}
}

static void body_over_the_limit_is_dropped_and_its_end_still_found(void **state)
{
	struct buffer body = { 0 };
	bool over = false;

	(void)state;
	assert_int_equal(take(BYTES_LIT("0123456789\r\nabc\r\n.\r\n"), 3, &body, 5, &over), 20);
	assert_true(over);
	assert_true(bytes_equal_str(buffer_bytes(&body), "01234"));
	buffer_fini(&body);
}

static void written_body_is_read_back_the_same(void **state)
{
	static const char *const bodies[] = { "", ".", ".\r\n", "a\r\n.\r\n..\r\nb\r\n", "a\n.\nb\r\n", "\r\n.\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct buffer wire = { 0 }, body = { 0 };
		bool over = false;
		struct bytes want = bytes_of(bodies[i]);

		lmtp_data_write(&wire, want);
		assert_int_equal(take(buffer_bytes(&wire), 0, &body, 1000, &over), wire.n);
		if (want.n > 0 && !bytes_ends(want, BYTES_LIT("\r\n")))
			body.n -= 2;
		assert_true(bytes_equal(buffer_bytes(&body), want));
		buffer_fini(&wire);
		buffer_fini(&body);
	}
}

static void reply_lines_are_told_apart(void **state)
{
	struct lmtp_reply r;

	(void)state;
	assert_true(lmtp_reply_parse(BYTES_LIT("250-SIZE"), &r));
	assert_false(r.is_last);
	assert_true(lmtp_reply_parse(BYTES_LIT("250"), &r));
	assert_true(r.is_last);
	assert_true(lmtp_reply_parse(BYTES_LIT("550 5.1.1 no"), &r));
	assert_int_equal(r.code, 550);
	assert_true(bytes_equal_str(r.text, "5.1.1 no"));
	assert_false(lmtp_reply_parse(BYTES_LIT("25"), &r));
	assert_false(lmtp_reply_parse(BYTES_LIT("2500 x"), &r));
	assert_false(lmtp_reply_parse(BYTES_LIT("hello"), &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_read_as_the_table_says),
		cmocka_unit_test(body_is_unstuffed_wherever_it_is_split),
		cmocka_unit_test(body_over_the_limit_is_dropped_and_its_end_still_found),
		cmocka_unit_test(written_body_is_read_back_the_same),
		cmocka_unit_test(reply_lines_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
