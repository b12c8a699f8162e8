/* test_imap_command.c - the framer and the commands' grammar, as tables of what comes in and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "imap_command.h"
#include "imap_date.h"
#include "imap_flags.h"
#include "imap_framer.h"
#include "imap_response.h"
#include "imap_writer.h"

static const struct imap_command_limits limits = { 100, 10 };

static void commands_are_taken_or_refused_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		enum imap_parse result;
		enum imap_verb verb;
	} rows[] = {
		{ "a NOOP", IMAP_PARSE_OK, IMAP_NOOP },
		{ "a noop ", IMAP_PARSE_OK, IMAP_NOOP },
		{ "a NOOP x", IMAP_PARSE_BAD, IMAP_NOOP },
		{ "NOOP", IMAP_PARSE_BAD, IMAP_VERB_COUNT },
		{ "a FROB", IMAP_PARSE_UNKNOWN, IMAP_VERB_COUNT },
		{ "a UID NOOP", IMAP_PARSE_UNKNOWN, IMAP_VERB_COUNT },
		{ "a LOGIN fred {3}\r\na b", IMAP_PARSE_OK, IMAP_LOGIN },
		{ "a LOGIN fred \"a\\\"b\"", IMAP_PARSE_OK, IMAP_LOGIN },
		{ "a LOGIN fred", IMAP_PARSE_BAD, IMAP_LOGIN },
		{ "a SELECT INBOX", IMAP_PARSE_OK, IMAP_SELECT },
		{ "a SELECT", IMAP_PARSE_BAD, IMAP_SELECT },
		{ "a SELECT (", IMAP_PARSE_BAD, IMAP_SELECT },
		{ "a CREATE x (USE (\\Sent \\Drafts))", IMAP_PARSE_OK, IMAP_CREATE },
		{ "a CREATE user/x backenda!default", IMAP_PARSE_OK, IMAP_CREATE },
		{ "a GETMETADATA \"\" /shared/comment", IMAP_PARSE_OK, IMAP_GETMETADATA },
		{ "a FETCH 1 (ANNOTATION ((/comment /*) (value.priv size)) UID)", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 (ANNOTATION (/1.2/comment value))", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 (ANNOTATION (/1..2/comment value))", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a FETCH 1 (ANNOTATION (/comment values))", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a STORE 1 ANNOTATION (/a (value.priv \"x\" value.shared NIL) /b (value.priv ~{2}\r\nhi))", IMAP_PARSE_OK, IMAP_STORE },
		{ "a STORE 1 (UNCHANGEDSINCE 4) ANNOTATION (/a (value.priv \"x\"))", IMAP_PARSE_OK, IMAP_STORE },
		{ "a STORE 1 ANNOTATION (/a (value \"x\"))", IMAP_PARSE_BAD, IMAP_STORE },
		{ "a SEARCH ANNOTATION * value.priv \"IMAP4\"", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH ANNOTATION /a size \"4\"", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a SORT (ANNOTATION /a value.shared) UTF-8 ALL", IMAP_PARSE_OK, IMAP_SORT },
		{ "a SORT (ANNOTATION /a value) UTF-8 ALL", IMAP_PARSE_BAD, IMAP_SORT },
		{ "a APPEND x ANNOTATION (/a (value.priv \"x\")) {2}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x ANNOTATION () {2}\r\nhi", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/shared /private)", IMAP_PARSE_OK, IMAP_GETMETADATA },
		{ "a GETMETADATA INBOX (DEPTH 1) ({8}\r\n/private)", IMAP_PARSE_OK, IMAP_GETMETADATA },
		{ "a GETMETADATA INBOX /private/a \"/private/b\"", IMAP_PARSE_OK, IMAP_GETMETADATA },
		{ "a GETMETADATA INBOX /private", IMAP_PARSE_BAD, IMAP_GETMETADATA },
		{ "a GETMETADATA (DEPTH 2) INBOX /private/a", IMAP_PARSE_BAD, IMAP_GETMETADATA },
		{ "a GETMETADATA INBOX /private/a*", IMAP_PARSE_BAD, IMAP_GETMETADATA },
		{ "a SETMETADATA INBOX (/private/comment NIL /shared/comment ~{3}\r\na\"b)", IMAP_PARSE_OK, IMAP_SETMETADATA },
		{ "a SETMETADATA INBOX (/private/vendor/x \"y\")", IMAP_PARSE_BAD, IMAP_SETMETADATA },
		{ "a SETMETADATA INBOX (/private/comment)", IMAP_PARSE_BAD, IMAP_SETMETADATA },
		{ "a LIST \"\" * RETURN (METADATA (/shared/a \"/private/b\") CHILDREN)", IMAP_PARSE_OK, IMAP_LIST },
		{ "a LIST \"\" * RETURN (METADATA ())", IMAP_PARSE_BAD, IMAP_LIST },
		{ "a LIST \"\" *", IMAP_PARSE_OK, IMAP_LIST },
		{ "a LIST (SUBSCRIBED) \"\" (\"INBOX\" \"x%\") RETURN (CHILDREN SPECIAL-USE)", IMAP_PARSE_OK, IMAP_LIST },
		{ "a LIST (FROB) \"\" *", IMAP_PARSE_BAD, IMAP_LIST },
		{ "a LSUB \"\" %", IMAP_PARSE_OK, IMAP_LSUB },
		{ "a STATUS x (MESSAGES UNSEEN)", IMAP_PARSE_OK, IMAP_STATUS },
		{ "a STATUS x ()", IMAP_PARSE_BAD, IMAP_STATUS },
		{ "a APPEND x {2}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x (\\Seen k1) \"17-Jul-1996 02:44:25 -0700\" {2+}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a Localappend {5+}\r\nINBOX \"\" (\\Seen) {2+}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x {2}\r\nhi (\\Seen k1) {2+}\r\nhi \"17-Jul-1996 02:44:25 -0700\" ~{2+}\r\nhi UTF8 (~{2+}\r\nhi)", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x {2}\r\nhi ", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a APPEND x {2}\r\nhi (\\Seen)", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a APPEND x {2}\r\nhi{2}\r\nhi", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a GENURLAUTH \"imap://joe@h/INBOX/;uid=20;urlauth=anonymous\" INTERNAL {1}\r\nx INTERNAL", IMAP_PARSE_OK, IMAP_GENURLAUTH },
		{ "a GENURLAUTH x", IMAP_PARSE_BAD, IMAP_GENURLAUTH },
		{ "a GENURLAUTH x INTERNAL ", IMAP_PARSE_BAD, IMAP_GENURLAUTH },
		{ "a RESETKEY", IMAP_PARSE_OK, IMAP_RESETKEY },
		{ "a RESETKEY x INTERNAL XSAMPLE", IMAP_PARSE_OK, IMAP_RESETKEY },
		{ "a RESETKEY ", IMAP_PARSE_BAD, IMAP_RESETKEY },
		{ "a URLFETCH x \"y\" {1}\r\nz", IMAP_PARSE_OK, IMAP_URLFETCH },
		{ "a URLFETCH", IMAP_PARSE_BAD, IMAP_URLFETCH },
		{ "a APPEND x CATENATE (URL /x/;UID=1 TEXT ~{2}\r\nhi) {2}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a REPLACE 4 x (\\Seen) {2}\r\nhi", IMAP_PARSE_OK, IMAP_REPLACE },
		{ "a UID REPLACE * x {2}\r\nhi", IMAP_PARSE_OK, IMAP_REPLACE },
		{ "a REPLACE 4:5 x {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE 4,5 x {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE $ x {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE 0 x {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE 4 x {2}\r\nhi {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE x {2}\r\nhi", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a REPLACE 4 x", IMAP_PARSE_BAD, IMAP_REPLACE },
		{ "a APPEND x (\\Recent) {2}\r\nhi", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a APPEND x \"tomorrow\" {2}\r\nhi", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a STORE 1:* +FLAGS.SILENT (\\Deleted)", IMAP_PARSE_OK, IMAP_STORE },
		{ "a STORE 1 FLAGS \\Seen \\Draft", IMAP_PARSE_OK, IMAP_STORE },
		{ "a STORE 0 FLAGS ()", IMAP_PARSE_BAD, IMAP_STORE },
		{ "a UID STORE 1 -FLAGS k", IMAP_PARSE_OK, IMAP_STORE },
		{ "a COPY 1,3:5 x", IMAP_PARSE_OK, IMAP_COPY },
		{ "a UID EXPUNGE 1:4", IMAP_PARSE_OK, IMAP_EXPUNGE },
		{ "a EXPUNGE 1:4", IMAP_PARSE_BAD, IMAP_EXPUNGE },
		{ "a FETCH 1 FULL", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a NOTIFY NONE", IMAP_PARSE_OK, IMAP_NOTIFY },
		{ "a NOTIFY SET STATUS (selected (MessageNew (UID) MessageExpunge)) (personal (MailboxName))", IMAP_PARSE_OK, IMAP_NOTIFY },
		{ "a NOTIFY SET (mailboxes (a \"b c\") NONE)", IMAP_PARSE_OK, IMAP_NOTIFY },
		{ "a NOTIFY SET (personal (X-Other))", IMAP_PARSE_OK, IMAP_NOTIFY },
		{ "a NOTIFY SET (personal (MessageNew))", IMAP_PARSE_BAD, IMAP_NOTIFY },
		{ "a NOTIFY SET (selected (MailboxName))", IMAP_PARSE_BAD, IMAP_NOTIFY },
		{ "a NOTIFY SET", IMAP_PARSE_BAD, IMAP_NOTIFY },
		{ "a ESEARCH IN (personal subtree (a b)) RETURN (MIN) ALL", IMAP_PARSE_OK, IMAP_ESEARCH },
		{ "a ESEARCH IN (selected-delayed) ALL", IMAP_PARSE_BAD, IMAP_ESEARCH },
		{ "a CANCELUPDATE \"b1\" \"b2\"", IMAP_PARSE_OK, IMAP_CANCELUPDATE },
		{ "a CANCELUPDATE b1", IMAP_PARSE_BAD, IMAP_CANCELUPDATE },
		{ "a SEARCH RETURN (UPDATE (UID BODY.PEEK[1]) CONTEXT) ALL", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH RETURN (UPDATE(UID) COUNT) ALL", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH RETURN (UPDATE (UID) (FLAGS)) ALL", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a SEARCH UIDAFTER 1 UIDBEFORE 4294967294", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH UIDBEFORE 0", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a FETCH 1 (UID BODY.PEEK[1.2.HEADER.FIELDS (From To)]<0.100> RFC822.SIZE)", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 BODY[MIME]", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a FETCH 1 BODY[1.MIME]", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 BODY[0]", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a FETCH 1 BODY[]<0.0>", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a FETCH 1 ()", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a SEARCH ALL", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH CHARSET UTF-8 OR (SUBJECT x NOT SEEN) 1:3 SINCE 1-Feb-1994", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH NOT", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a SEARCH ((((((((((((1))))))))))))", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a SEARCH SINCE 31-Feb-1994", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a FETCH 1 (BINARY.PEEK[1.2]<0.9> BINARY.SIZE[] BINARY[2])", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 BINARY[1.]", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a FETCH 1 BINARY.SIZE[1]<0.1>", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a APPEND x (\\Seen) UTF8 (~{2+}\r\nhi)", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x ~{2}\r\nhi", IMAP_PARSE_OK, IMAP_APPEND },
		{ "a APPEND x UTF8 ({2}\r\nhi)", IMAP_PARSE_BAD, IMAP_APPEND },
		{ "a UID SORT RETURN (PARTIAL -1:-9) (REVERSE DATE SUBJECT) UTF-8 ALL", IMAP_PARSE_OK, IMAP_SORT },
		{ "a SORT () UTF-8 ALL", IMAP_PARSE_BAD, IMAP_SORT },
		{ "a THREAD REFS US-ASCII 1:*", IMAP_PARSE_OK, IMAP_THREAD },
		{ "a THREAD JWZ US-ASCII 1:*", IMAP_PARSE_BAD, IMAP_THREAD },
		{ "a SEARCH RETURN (PARTIAL 1:-9) ALL", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a UID FETCH 1:* FLAGS (PARTIAL -1:-30)", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a COMPRESS DEFLATE", IMAP_PARSE_OK, IMAP_COMPRESS },
		{ "a COMPRESS", IMAP_PARSE_BAD, IMAP_COMPRESS },
		{ "a UNAUTHENTICATE", IMAP_PARSE_OK, IMAP_UNAUTHENTICATE },
		{ "a FETCH 1 (EMAILID THREADID)", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a SEARCH EMAILID E1 OR THREADID x SEEN", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a STATUS x (APPENDLIMIT MAILBOXID)", IMAP_PARSE_OK, IMAP_STATUS },
		{ "a LIST (RECURSIVEMATCH SUBSCRIBED) \"\" % RETURN (STATUS (MESSAGES SIZE) MYRIGHTS)", IMAP_PARSE_OK, IMAP_LIST },
		{ "a LIST (RECURSIVEMATCH REMOTE) \"\" %", IMAP_PARSE_BAD, IMAP_LIST },
		{ "a LIST \"\" % RETURN (STATUS ())", IMAP_PARSE_BAD, IMAP_LIST },
		{ "a SEARCH RETURN (MIN SAVE) CHARSET UTF-8 $ MODSEQ \"/flags/\\\\Seen\" all 5 OLDER 3", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH RETURN () 1", IMAP_PARSE_OK, IMAP_SEARCH },
		{ "a SEARCH RETURN (X) 1", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a SEARCH YOUNGER 0", IMAP_PARSE_BAD, IMAP_SEARCH },
		{ "a UID FETCH $ (FLAGS MODSEQ) (CHANGEDSINCE 1 VANISHED)", IMAP_PARSE_OK, IMAP_FETCH },
		{ "a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", IMAP_PARSE_BAD, IMAP_FETCH },
		{ "a STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)", IMAP_PARSE_OK, IMAP_STORE },
		{ "a STORE 1 (UNCHANGEDSINCE) +FLAGS (\\Seen)", IMAP_PARSE_BAD, IMAP_STORE },
		{ "a SELECT x (QRESYNC (1 2 1:9 (1,5 2,8)) CONDSTORE)", IMAP_PARSE_OK, IMAP_SELECT },
		{ "a EXAMINE x (QRESYNC (1 2 (1,5 2,8)))", IMAP_PARSE_OK, IMAP_EXAMINE },
		{ "a SELECT x (QRESYNC (1 2 1:9 (1,5 2)))", IMAP_PARSE_BAD, IMAP_SELECT },
		{ "a STATUS x (HIGHESTMODSEQ)", IMAP_PARSE_OK, IMAP_STATUS },
		{ "a ID (\"name\" \"x\" \"version\" NIL)", IMAP_PARSE_OK, IMAP_ID },
		{ "a ID (\"name\")", IMAP_PARSE_BAD, IMAP_ID },
		{ "a ENABLE CONDSTORE X", IMAP_PARSE_OK, IMAP_ENABLE },
		{ "a SETACL x bob +lr", IMAP_PARSE_OK, IMAP_SETACL },
		{ "a AUTHENTICATE PLAIN =", IMAP_PARSE_OK, IMAP_AUTHENTICATE },
		{ "a IDLE", IMAP_PARSE_OK, IMAP_IDLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes in = bytes_of(rows[i].in);
		struct imap_command cmd;
		struct fault why;

		/* The whole, and cut at every octet: never beyond the end (each in memory of its own, for the sanitizer). */
		for (size_t n = 0; n <= in.n; n++) {
			struct arena a = { 0 };
			uint8_t *copy = malloc(n + 1);
			enum imap_parse result;

			assert_non_null(copy);
			memcpy(copy, in.p, n);
			result = imap_command_parse(bytes_make(copy, n), &limits, &a, &cmd, &why);
			if (n == in.n && (result != rows[i].result || cmd.verb != rows[i].verb))
				fail_msg("row %zu \"%s\": %d %s", i, rows[i].in, result, result == IMAP_PARSE_OK ? "" : why.what);
			arena_fini(&a);
			free(copy);
		}
	}
}

static void sections_and_searches_keep_what_was_asked(void **state)
{
	struct arena a = { 0 };
	struct imap_command cmd;
	struct fault why;

	(void)state;
	assert_int_equal(imap_command_parse(BYTES_LIT("t UID FETCH 2:4,9 (FLAGS BODY[1.2.TEXT]<5.10>)\r\n"), &limits, &a, &cmd,
	                                    &why), IMAP_PARSE_OK);
	assert_true(cmd.is_uid);
	assert_int_equal(cmd.item_count, 2);
	assert_int_equal(cmd.items[1].part_count, 2);
	assert_int_equal(cmd.items[1].parts[1], 2);
	assert_int_equal(cmd.items[1].kind, SECTION_TEXT);
	assert_int_equal(cmd.items[1].offset, 5);
	assert_true(bytes_equal_str(cmd.items[1].text, "BODY[1.2.TEXT]"));
	seqset_resolve(&cmd.set, 100);
	assert_true(seqset_has(&cmd.set, 9));
	assert_false(seqset_has(&cmd.set, 5));
	assert_int_equal(imap_command_parse(BYTES_LIT("t SEARCH UNSEEN FROM bob"), &limits, &a, &cmd, &why), IMAP_PARSE_OK);
	assert_int_equal(cmd.search->type, SEARCH_AND);
	assert_int_equal(cmd.search->children->type, SEARCH_NOT);
	assert_int_equal(cmd.search->children->children->flags, IMAP_FLAG_SEEN);
	assert_true(bytes_equal_str(cmd.search->children->next->field, "From"));
	arena_fini(&a);
}

static void sets_resolve_sort_and_merge(void **state)
{
	struct arena a = { 0 };
	struct cursor c = cursor_of(BYTES_LIT("9,1:3,4,*:7 x"));
	struct buffer out = { 0 };
	struct seqset set;
	struct fault why;

	(void)state;
	assert_true(seqset_parse(&c, &a, 100, &set, &why));
	assert_int_equal(cursor_peek(&c), ' ');
	seqset_resolve(&set, 12);
	seqset_write(&out, set.ranges, set.count);
	assert_true(bytes_equal_str(buffer_bytes(&out), "1:4,7:12"));
	buffer_fini(&out);
	arena_fini(&a);
}

/* Feed IN octet by octet; returns the transcript of what the framer said. */
static void frames(struct bytes in, struct buffer *out)
{
	const struct imap_frame_limits l = { 100, 20, 200, 50, 80 };
	struct imap_framer f = { 0 };
	size_t start = 0, end = 0;

	while (end <= in.n) {
		struct bytes tag;
		struct fault why;
		size_t n = 0;

		switch (imap_framer_next(&f, bytes_sub(in, start, end - start), &l, &n, &tag, &why)) {
		case FRAME_MORE:
			assert_true(n > end - start);
			end++;
			break;
		case FRAME_COMMAND:
			buffer_addf(out, "C%zu ", n);
			start += n;
			break;
		case FRAME_CONTINUE:
			buffer_addf(out, "+ ");
			break;
		case FRAME_SKIP:
			start += n;
			break;
		case FRAME_REFUSED:
		case FRAME_TOO_BIG:
			buffer_addf(out, "R:%.*s ", BYTES_FMT(tag));
			start += n;
			break;
		case FRAME_FATAL:
			buffer_addf(out, "F ");
			return;
		}
	}
}

static void framer_finds_commands_octet_by_octet(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "a NOOP\r\nb NOOP\n", "C8 C7 " },
		{ "a LOGIN {1}\r\nx {2+}\r\nyz\r\n", "+ C25 " },
		{ "a APPEND x {30}\r\n012345678901234567890123456789\r\nb NOOP\r\n", "+ C49 C8 " },
		{ "a APPEND x {60}\r\nb NOOP\r\n", "R:a C8 " },
		{ "a APPEND x {60+}\r\n012345678901234567890123456789012345678901234567890123456789\r\nb NOOP\r\n", "R:a C8 " },
		{ "a LOGIN {21+}\r\n012345678901234567890 {2+}\r\nab\r\nb NOOP\r\n", "R:a C8 " },
		/* Messages count by themselves, together; a mailbox's name is none, and may be no longer than other literals. */
		{ "a APPEND x {50+}\r\n01234567890123456789012345678901234567890123456789 {30+}\r\n012345678901234567890123456789\r\nb NOOP\r\n", "C108 C8 " },
		{ "a APPEND x {50+}\r\n01234567890123456789012345678901234567890123456789 {31}\r\nb NOOP\r\n", "R:a C8 " },
		{ "a APPEND x {50+}\r\n01234567890123456789012345678901234567890123456789 {31+}\r\n0123456789012345678901234567890 {1+}\r\nx\r\nb NOOP\r\n", "R:a C8 " },
		{ "a APPEND {21}\r\nb NOOP\r\n", "R:a C8 " },
		{ "a UID REPLACE 4 {21}\r\nb NOOP\r\n", "R:a C8 " },
		{ "a UID REPLACE 4 {1+}\r\nx {21+}\r\n012345678901234567890\r\n", "C54 " },
		{ "a REPLACE 4 \"a b\" {21+}\r\n012345678901234567890\r\n", "C48 " },
		{ "a LOGIN {9999999999999+}\r\n", "F " },
		{ "a x {5\r\n", "C8 " },
		{ "a 00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\r\nb N\r\n",
		  "R:a C5 " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer out = { 0 };

		frames(bytes_of(rows[i].in), &out);
		if (!bytes_equal_str(buffer_bytes(&out), rows[i].want))
			fail_msg("row %zu: %.*s", i, BYTES_FMT(buffer_bytes(&out)));
		buffer_fini(&out);
	}
}

static void dates_go_both_ways(void **state)
{
	struct buffer out = { 0 };
	int64_t t;

	(void)state;
	assert_true(imap_datetime_parse(BYTES_LIT("17-Jul-1996 02:44:25 -0700"), &t));
	assert_int_equal(t, 837596665);
	imap_datetime_write(&out, t);
	assert_true(bytes_equal_str(buffer_bytes(&out), "\"17-Jul-1996 09:44:25 +0000\""));
	assert_true(imap_datetime_parse(BYTES_LIT(" 1-Jan-1970 00:00:00 +0000"), &t));
	assert_int_equal(t, 0);
	assert_false(imap_datetime_parse(BYTES_LIT("30-Feb-1996 00:00:00 +0000"), &t));
	assert_false(imap_datetime_parse(BYTES_LIT("1-Jan-1996 25:00:00 +0000"), &t));
	buffer_fini(&out);
}

static void strings_never_break_a_line(void **state)
{
	struct buffer out = { 0 };

	(void)state;
	imap_write_astring(&out, BYTES_LIT("a b\"c"), false);
	imap_write_astring(&out, BYTES_LIT("x\r\ny"), false);
	imap_write_astring(&out, BYTES_LIT(""), false);
	imap_write_astring(&out, BYTES_LIT("atom]"), false);
	imap_write_astring(&out, BYTES_LIT("nil"), false);
	assert_true(bytes_equal_str(buffer_bytes(&out), "\"a b\\\"c\"{4}\r\nx\r\ny\"\"atom]\"nil\""));
	buffer_fini(&out);
}

static void responses_are_taken_apart(void **state)
{
	struct imap_response r;
	size_t n;
	bool has_literal;
	uint64_t literal;

	(void)state;
	assert_true(imap_response_segment(BYTES_LIT("* 1 FETCH (BODY[] {12}\r\nhello"), &n, &has_literal, &literal));
	assert_int_equal(n, 24);
	assert_true(has_literal);
	assert_int_equal(literal, 12);
	assert_true(imap_response_parse(BYTES_LIT("a7 OK [COPYUID 1 2 3] Done\r\n"), &r));
	assert_true(bytes_equal_str(r.tag, "a7"));
	assert_true(bytes_equal_str(r.word, "OK"));
	assert_true(bytes_equal_str(r.code, "COPYUID 1 2 3"));
	assert_true(bytes_equal_str(r.text, "Done"));
}

static void numbers_of_messages_are_found_wherever_they_stand(void **state)
{
	static const struct {
		const char *in;
		bool uses;
	} rows[] = {
		{ "a FETCH 1 FLAGS", true },
		{ "a UID FETCH 1:* FLAGS", false },
		{ "a STORE 1 FLAGS x", true },
		{ "a SEARCH ALL", true },
		{ "a UID SEARCH ALL", false },
		{ "a UID SEARCH UID 1:*", false },
		{ "a UID SEARCH $", false },
		{ "a UID SEARCH 1", true },
		{ "a UID SEARCH NOT (FLAGGED OR SEEN 3)", true },
		{ "a UID SORT (DATE) UTF-8 *", true },
		{ "a UID THREAD REFS UTF-8 FLAGGED", false },
		{ "a MOVE 1 x", true },
		{ "a UID COPY 1 x", false },
		{ "a NOOP", false },
		{ "a SELECT x (QRESYNC (1 2 1:5))", false },
		{ "a SELECT x (QRESYNC (1 2 1:5 (1 5)))", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct imap_command c;
		struct fault why;

		assert_int_equal(imap_command_parse(bytes_of(rows[i].in), &limits, &a, &c, &why), IMAP_PARSE_OK);
		if (imap_command_uses_numbers(&c) != rows[i].uses)
			fail_msg("%s", rows[i].in);
		arena_fini(&a);
	}
}

static void groups_of_notify_keep_what_was_written(void **state)
{
	struct arena a = { 0 };
	struct imap_command c;
	struct fault why;
	const struct notify_group *g;

	(void)state;
	assert_int_equal(imap_command_parse(BYTES_LIT("a NOTIFY SET (subscribed (MailboxName)) (selected MessageNew (UID FLAGS) MessageExpunge)"),
	                                    &limits, &a, &c, &why),
	                 IMAP_PARSE_OK);
	assert_true(c.is_notify_set && !c.wants_status);
	assert_int_equal(c.group_count, 2);
	g = &c.groups[0];
	assert_int_equal(g->filter.kind, FILTER_SUBSCRIBED);
	assert_int_equal(g->events, NOTIFY_MAILBOX_NAME);
	assert_true(bytes_equal_str(g->octets, "(subscribed (MailboxName))"));
	assert_true(bytes_equal_str(g->event_octets, "(MailboxName)"));
	g = &c.groups[1];
	assert_int_equal(g->events, NOTIFY_BOTH);
	assert_int_equal(g->item_count, 2);
	assert_true(bytes_equal_str(g->event_octets, "MessageNew (UID FLAGS) MessageExpunge"));
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_of_notify_keep_what_was_written),
		cmocka_unit_test(numbers_of_messages_are_found_wherever_they_stand),
		cmocka_unit_test(commands_are_taken_or_refused_as_the_table_says),
		cmocka_unit_test(sections_and_searches_keep_what_was_asked),
		cmocka_unit_test(sets_resolve_sort_and_merge),
		cmocka_unit_test(framer_finds_commands_octet_by_octet),
		cmocka_unit_test(dates_go_both_ways),
		cmocka_unit_test(strings_never_break_a_line),
		cmocka_unit_test(responses_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
