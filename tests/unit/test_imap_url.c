/* test_imap_url.c - URLs that name messages, as a table of what they mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "imap_url.h"

static const struct imap_command_limits limits = { 100, 10 };
#define HEX "91354a473744909de610943775f92038"

static void urls_mean_what_the_rfcs_say(void **state)
{
	static const struct {
		const char *in, *user, *host, *mailbox;
		uint32_t uidvalidity, uid;
		const char *section;
		enum imap_url_access access;
		const char *rump;
	} rows[] = {
		/* RFC 4469 section 4 */
		{ "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", NULL, "", "Drafts", 385759045, 20, "BODY[HEADER]", URL_ACCESS_NONE, "" },
		{ "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME", NULL, "", "Drafts", 385759045, 20, "BODY[1.MIME]", URL_ACCESS_NONE, "" },
		{ ";UID=20/;section=2", NULL, "", NULL, 0, 20, "BODY[2]", URL_ACCESS_NONE, "" },
		{ "/;UID=20", NULL, "", NULL, 0, 20, NULL, URL_ACCESS_NONE, "" },
		/* RFC 5092, 4467 */
		{ "imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024", NULL, "minbari.example.org", "gray-council",
		  385759045, 20, NULL, URL_ACCESS_NONE, "" },
		{ "imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97/;UID=1", NULL, "psicorp.example.org",
		  "~peter/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e/\xe5\x8f\xb0\xe5\x8c\x97", 0, 1, NULL, URL_ACCESS_NONE, "" },
		{ "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:" HEX, "joe", "example.com", "INBOX", 0, 20, "BODY[1.2]",
		  URL_ACCESS_SUBMIT, "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred" },
		{ "imap://joe;AUTH=*@example.com:143/INBOX/;uid=20;expire=2006-11-09T08:00:00-08:00;urlauth=anonymous", "joe", "example.com", "INBOX", 0, 20,
		  NULL, URL_ACCESS_ANONYMOUS, "imap://joe;AUTH=*@example.com:143/INBOX/;uid=20;expire=2006-11-09T08:00:00-08:00;urlauth=anonymous" },
		{ "IMAP://[::1]:143/a%20b/c/;UID=4294967295/;SECTION=HEADER.FIELDS%20(TO%20CC)", NULL, "[::1]", "a b/c", 0, UINT32_MAX,
		  "BODY[HEADER.FIELDS (TO CC)]", URL_ACCESS_NONE, "" },
		{ "//example.com/INBOX/;UID=1;URLAUTH=authuser", NULL, "example.com", "INBOX", 0, 1, NULL, URL_ACCESS_AUTHUSER,
		  "//example.com/INBOX/;UID=1;URLAUTH=authuser" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct imap_url u;
		struct fault why;

		if (!imap_url_parse(bytes_of(rows[i].in), &limits, &a, &u, &why))
			fail_msg("row %zu: %s", i, why.what);
		if ((rows[i].user == NULL) != (u.user.p == NULL) || (rows[i].user != NULL && !bytes_equal_str(u.user, rows[i].user)) ||
		    !bytes_equal_str(u.host, rows[i].host) || (rows[i].mailbox == NULL) != (u.mailbox.p == NULL) ||
		    (rows[i].mailbox != NULL && !bytes_equal_str(u.mailbox, rows[i].mailbox)) || u.uidvalidity != rows[i].uidvalidity ||
		    u.uid != rows[i].uid || u.access != rows[i].access || !bytes_equal_str(u.rump, rows[i].rump) ||
		    (rows[i].section == NULL ? u.section.text.n != 0 : !bytes_equal_str(u.section.text, rows[i].section)))
			fail_msg("row %zu is read otherwise", i);
		arena_fini(&a);
	}
}

static void what_breaks_a_rule_is_no_url(void **state)
{
	static const char *const rows[] = {
		"", "/", "/INBOX", "INBOX/;UID=1", "Drafts", "/INBOX;UID=1;UID=2", "/INBOX/;UID=0", "/INBOX/;UID=", "/INBOX/;UID=4294967296",
		"/INBOX/;UID=1x", "/INBOX;UIDVALIDITY=0/;UID=1", "/INBOX/;UID=1;UIDVALIDITY=1", "/INBOX/;UID=1/;SECTION=", "/INBOX/;UID=1/;SECTION=1.",
		"/INBOX/;UID=1/;SECTION=FOO", "/INBOX/;UID=1/;SECTION=1]", "/INBOX/;UID=1/;SECTION=0", "/INBOX/;UID=1/;SECTION=MIME", "/INBOX/;UID=1/;PARTIAL=",
		"/INBOX/;UID=1/;PARTIAL=1.0", "/INBOX/;UID=1/;PARTIAL=1.", "/INBOX/;UID=1/;PARTIAL=a", "/INBOX/;UID=1/;FOO=1", "/INBOX/;UID", "/INBOX/;=1",
		"/IN%BOX/;UID=1", "/IN%4/;UID=1", "/IN%00BOX/;UID=1", "/IN%0d%0aBOX/;UID=1", "/IN BOX/;UID=1", "/IN\"BOX/;UID=1", "/IN\x7f" "BOX/;UID=1",
		"/IN\xc3\xa4/;UID=1", "imap:/INBOX/;UID=1", "imap:INBOX/;UID=1", "imap:///INBOX/;UID=1", "imap://@/INBOX/;UID=1", "imap://a:0/INBOX/;UID=1",
		"imap://a:x/INBOX/;UID=1", "imap://a:65536/INBOX/;UID=1", "imap://a", "imap://a/;UID=1", "http://a/INBOX/;UID=1", "imaps://a/INBOX/;UID=1",
		"/INBOX/;UID=1;EXPIRE=2006-11-09T08:00:00Z", "/INBOX/;UID=1;EXPIRE=tomorrow;URLAUTH=authuser", "/INBOX/;UID=1;EXPIRE=2006-02-30T08:00:00Z;URLAUTH=authuser",
		"/INBOX/;UID=1;URLAUTH=", "/INBOX/;UID=1;URLAUTH=user+", "/INBOX/;UID=1;URLAUTH=user", "/INBOX/;UID=1;URLAUTH=authuser+x",
		"/INBOX/;UID=1;URLAUTH=nobody", "/INBOX/;UID=1;URLAUTH=authuser:", "/INBOX/;UID=1;URLAUTH=authuser:INTERNAL", "/INBOX/;UID=1;URLAUTH=authuser:INTERNAL:",
		"/INBOX/;UID=1;URLAUTH=authuser:INTERNAL:91354a", "/INBOX/;UID=1;URLAUTH=authuser::" HEX, "/INBOX/;UID=1;URLAUTH=authuser:INTERNAL:" HEX "g",
		"imap://host//;UID=8", "//;UID=8", "///;UID=8", "imap://joe;AU3/x/;UID=8", "imap://a(b/x/;UID=8",
		";UIDVALIDITY=1/;UID=1", "/INBOX/;UID=1;URLAUTH=authuser;EXPIRE=2006-11-09T08:00:00Z",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct imap_url u;
		struct fault why;

		if (imap_url_parse(bytes_of(rows[i]), &limits, &a, &u, &why))
			fail_msg("row %zu \"%s\" is taken", i, rows[i]);
		assert_int_not_equal(why.kind, FAULT_NONE);
		arena_fini(&a);
	}
}

static void a_long_url_is_refused_and_any_is_written_safely(void **state)
{
	struct buffer b = { 0 }, safe = { 0 };
	struct arena a = { 0 };
	struct imap_url u;
	struct fault why;

	(void)state;
	buffer_add_str(&b, "/");
	while (b.n < IMAP_URL_MAX)
		buffer_add_u8(&b, 'x');
	buffer_add_str(&b, "/;UID=1");
	assert_false(imap_url_parse(buffer_bytes(&b), &limits, &a, &u, &why));
	assert_int_equal(why.kind, FAULT_LIMIT);
	imap_url_write_safe(&safe, BYTES_LIT("/a]b\"c\r\n\xff"));
	assert_true(bytes_equal_str(buffer_bytes(&safe), "\"/a%5Db%22c%0D%0A%FF\""));
	buffer_fini(&b);
	buffer_fini(&safe);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_mean_what_the_rfcs_say),
		cmocka_unit_test(what_breaks_a_rule_is_no_url),
		cmocka_unit_test(a_long_url_is_refused_and_any_is_written_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
