/* test_pop3.c - commands, messages on the wire, and replies of POP3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pop3_command.h"
#include "pop3_message.h"
#include "pop3_reply.h"

static void commands_are_read_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		enum pop3_verb verb;
		const char *word;
		const char *initial; /* NULL: none */
		uint32_t number, lines;
	} rows[] = {
		{ "USER fred", true, POP3_USER, "fred", NULL, 0, 0 },
		{ "user  fred@example.com ", true, POP3_USER, "fred@example.com", NULL, 0, 0 },
		{ "USER", false, POP3_USER, "", NULL, 0, 0 },
		{ "USER ", false, POP3_USER, "", NULL, 0, 0 },
		{ "PASS  a b ", true, POP3_PASS, " a b ", NULL, 0, 0 },
		{ "PASS", false, POP3_PASS, "", NULL, 0, 0 },
		{ "PASS ", false, POP3_PASS, "", NULL, 0, 0 },
		{ "AUTH PLAIN", true, POP3_AUTH, "PLAIN", NULL, 0, 0 },
		{ "AUTH PLAIN =", true, POP3_AUTH, "PLAIN", "=", 0, 0 },
		{ "AUTH PLAIN AGZyZWQA", true, POP3_AUTH, "PLAIN", "AGZyZWQA", 0, 0 },
		{ "AUTH PLAIN AGZyZWQA x", false, POP3_AUTH, "", NULL, 0, 0 },
		{ "AUTH", false, POP3_AUTH, "", NULL, 0, 0 },
		{ "CAPA", true, POP3_CAPA, "", NULL, 0, 0 },
		{ "CAPA ", true, POP3_CAPA, "", NULL, 0, 0 },
		{ "CAPA x", false, POP3_CAPA, "", NULL, 0, 0 },
		{ "STLS", true, POP3_STLS, "", NULL, 0, 0 },
		{ "stat", true, POP3_STAT, "", NULL, 0, 0 },
		{ "STAT 1", false, POP3_STAT, "", NULL, 0, 0 },
		{ "LIST", true, POP3_LIST, "", NULL, 0, 0 },
		{ "LIST 1", true, POP3_LIST, "", NULL, 1, 0 },
		{ "LIST 0", true, POP3_LIST, "", NULL, UINT32_MAX, 0 },
		{ "LIST 1 2", false, POP3_LIST, "", NULL, 0, 0 },
		{ "LIST -1", false, POP3_LIST, "", NULL, 0, 0 },
		{ "UIDL", true, POP3_UIDL, "", NULL, 0, 0 },
		{ "UIDL 007", true, POP3_UIDL, "", NULL, 7, 0 },
		{ "RETR 4294967295", true, POP3_RETR, "", NULL, UINT32_MAX, 0 },
		{ "RETR 99999999999999999999999999999999999", true, POP3_RETR, "", NULL, UINT32_MAX, 0 },
		{ "RETR", false, POP3_RETR, "", NULL, 0, 0 },
		{ "RETR x", false, POP3_RETR, "", NULL, 0, 0 },
		{ "RETR 1x", false, POP3_RETR, "", NULL, 0, 0 },
		{ "DELE 2", true, POP3_DELE, "", NULL, 2, 0 },
		{ "DELE", false, POP3_DELE, "", NULL, 0, 0 },
		{ "TOP 1 0", true, POP3_TOP, "", NULL, 1, 0 },
		{ "TOP 3  10", true, POP3_TOP, "", NULL, 3, 10 },
		{ "TOP 3 99999999999", true, POP3_TOP, "", NULL, 3, UINT32_MAX },
		{ "TOP 3", false, POP3_TOP, "", NULL, 0, 0 },
		{ "TOP 3 -1", false, POP3_TOP, "", NULL, 0, 0 },
		{ "TOP", false, POP3_TOP, "", NULL, 0, 0 },
		{ "NOOP", true, POP3_NOOP, "", NULL, 0, 0 },
		{ "RSET", true, POP3_RSET, "", NULL, 0, 0 },
		{ "QUIT", true, POP3_QUIT, "", NULL, 0, 0 },
		{ "QUIT now", false, POP3_QUIT, "", NULL, 0, 0 },
		{ "APOP fred c4c9334bac560ecc979e58001b3e22fb", true, POP3_UNKNOWN, "", NULL, 0, 0 },
		{ "LANG", true, POP3_UNKNOWN, "", NULL, 0, 0 },
		{ "STATS", true, POP3_UNKNOWN, "", NULL, 0, 0 },
		{ " STAT", true, POP3_UNKNOWN, "", NULL, 0, 0 },
		{ "", true, POP3_UNKNOWN, "", NULL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop3_command cmd;
		struct fault why = { 0 };
		bool ok = pop3_command_parse(bytes_of(rows[i].in), &cmd, &why);

		assert_int_equal(ok, rows[i].ok);
		assert_int_equal(cmd.verb, rows[i].verb);
		assert_int_equal(why.what[0] != '\0', !ok);
		if (!ok)
			continue;
		assert_true(bytes_equal_str(cmd.word, rows[i].word));
		assert_int_equal(cmd.initial.p != NULL, rows[i].initial != NULL);
		assert_true(bytes_equal_str(cmd.initial, rows[i].initial == NULL ? "" : rows[i].initial));
		assert_int_equal(cmd.number, rows[i].number);
		assert_int_equal(cmd.lines, rows[i].lines);
	}
}

static const struct {
	const char *in;
	uint64_t lines;
	const char *out;
} messages[] = {
	{ "", POP3_ALL_LINES, ".\r\n" },
	{ "a: b\r\n\r\nx\r\n", POP3_ALL_LINES, "a: b\r\n\r\nx\r\n.\r\n" },
	{ "a: b\r\n\r\nx", POP3_ALL_LINES, "a: b\r\n\r\nx\r\n.\r\n" },
	{ "a: b\r\n\r\nx\r", POP3_ALL_LINES, "a: b\r\n\r\nx\r\n.\r\n" },
	{ ".a\r\n\r\n.\r\n..\r\n.b.\r\n", POP3_ALL_LINES, "..a\r\n\r\n..\r\n...\r\n..b.\r\n.\r\n" },
	{ ".", POP3_ALL_LINES, "..\r\n.\r\n" },
	{ "a\n.\nb", POP3_ALL_LINES, "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r.\r\r\n\r.\r\n", POP3_ALL_LINES, "a\r.\r\r\n\r.\r\n.\r\n" },
	{ "a: b\r\n\r\none\r\ntwo\r\n", 0, "a: b\r\n\r\n.\r\n" },
	{ "a: b\r\n\r\none\r\n.two\r\nthree\r\n", 2, "a: b\r\n\r\none\r\n..two\r\n.\r\n" },
	{ "a: b\n\none\n\nthree\n", 2, "a: b\r\n\r\none\r\n\r\n.\r\n" },
	{ "a: b\r\n\r\none\r\n", 5, "a: b\r\n\r\none\r\n.\r\n" },
	{ "\r\none\r\n", 0, "\r\n.\r\n" },
	{ "a: b\r\n\r\r\nc: d\r\n\r\none\r\n", 0, "a: b\r\n\r\r\nc: d\r\n\r\n.\r\n" },
	{ "a: b\r\nc: d\r\n", 0, "a: b\r\nc: d\r\n.\r\n" },
};

/* FIRST octets, then the rest octet by octet where IS_SLOW, else at once. */
static void check_message(struct bytes in, uint64_t lines, const char *out, size_t first, bool is_slow)
{
	struct pop3_message m = { .lines = lines };
	struct buffer to = { 0 };
	bool is_over = pop3_message_add(&m, bytes_sub(in, 0, first), &to);
	size_t step = is_slow ? 1 : in.n;

	for (size_t at = first; !is_over && at < in.n; at += step)
		is_over = pop3_message_add(&m, bytes_sub(in, at, step), &to);
	pop3_message_end(&m, &to);
	assert_true(bytes_equal_str(buffer_bytes(&to), out));
	buffer_fini(&to);
}

static void a_message_goes_out_the_same_however_it_is_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct bytes in = bytes_of(messages[i].in);

		for (size_t first = 0; first <= in.n; first++) {
			check_message(in, messages[i].lines, messages[i].out, first, false);
			check_message(in, messages[i].lines, messages[i].out, first, true);
		}
	}
}

static void top_says_when_it_has_all_it_wants(void **state)
{
	struct pop3_message m = { .lines = 1 };
	struct buffer to = { 0 };

	(void)state;
	assert_false(pop3_message_add(&m, BYTES_LIT("a: b\r\n\r\n"), &to));
	assert_false(pop3_message_add(&m, BYTES_LIT("one\r"), &to));
	assert_true(pop3_message_add(&m, BYTES_LIT("\ntwo\r\n"), &to));
	assert_true(bytes_equal_str(buffer_bytes(&to), "a: b\r\n\r\none\r\n"));
	buffer_fini(&to);
}

static void replies_are_read_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		enum pop3_status status;
		const char *code, *text;
	} rows[] = {
		{ "+OK", true, POP3_OK, "", "" },
		{ "+OK ready", true, POP3_OK, "", "ready" },
		{ "+ok ", true, POP3_OK, "", "" },
		{ "-ERR no", true, POP3_ERR, "", "no" },
		{ "-ERR [SYS/TEMP] not now", true, POP3_ERR, "SYS/TEMP", "[SYS/TEMP] not now" },
		{ "-ERR [open", true, POP3_ERR, "", "[open" },
		{ "-ERR []", true, POP3_ERR, "", "[]" },
		{ "+ Zm9v", true, POP3_CHALLENGE, "", "Zm9v" },
		{ "+ ", true, POP3_CHALLENGE, "", "" },
		{ "+", true, POP3_CHALLENGE, "", "" },
		{ "+OKAY", false, POP3_OK, "", "" },
		{ "-ERROR", false, POP3_OK, "", "" },
		{ "OK", false, POP3_OK, "", "" },
		{ "", false, POP3_OK, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop3_reply r;

		assert_int_equal(pop3_reply_parse(bytes_of(rows[i].in), &r), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_int_equal(r.status, rows[i].status);
		assert_true(bytes_equal_str(r.code, rows[i].code));
		assert_true(bytes_equal_str(r.text, rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_read_as_the_table_says),
		cmocka_unit_test(a_message_goes_out_the_same_however_it_is_split),
		cmocka_unit_test(top_says_when_it_has_all_it_wants),
		cmocka_unit_test(replies_are_read_as_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
