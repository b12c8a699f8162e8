/* test_imap_names.c - mailbox names both ways, patterns, access control lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "acl.h"
#include "list_pattern.h"
#include "mailbox_filter.h"
#include "names.h"

static void names_go_both_ways_as_the_table_says(void **state)
{
	static const struct {
		const char *config, *user;
		bool is_admin;
		const char *external, *internal; /* NULL: refused */
		const char *back;                /* NULL: as EXTERNAL */
	} rows[] = {
		{ "", "fred", false, "INBOX", "user.fred", NULL },
		{ "", "fred", false, "inbox", "user.fred", "INBOX" },
		{ "", "fred", false, "Work", "user.fred.Work", NULL },
		{ "", "fred", false, "Work/2026/", "user.fred.Work.2026", "Work/2026" },
		{ "", "fred", false, "INBOX/x", "user.fred.INBOX.x", NULL },
		{ "", "fred", false, "a.b", "user.fred.a^b", NULL },
		{ "", "fred.smith", false, "INBOX", "user.fred^smith", NULL },
		{ "", "fred", false, "Other Users/bob/Shared", "user.bob.Shared", NULL },
		{ "", "fred", false, "Other Users/fred/x", "user.fred.x", "x" },
		{ "", "fred", false, "Shared Folders/news", "news", NULL },
		{ "", "fred", false, "Other Users", NULL, NULL },
		/* Shown to Fred these would be another mailbox. */
		{ "", "fred", false, "Other Users/fred/INBOX", NULL, NULL },
		{ "", "fred", false, "Other Users/fred/Other Users/bob", NULL, NULL },
		{ "", "fred", false, "Shared Folders/user/fred/Shared Folders/x", NULL, NULL },
		{ "", "fred", false, "Shared Folders/user/fred/x", "user.fred.x", "x" },
		{ "", "fred", false, "a//b", NULL, NULL },
		{ "", "fred", false, "/a", NULL, NULL },
		{ "", "fred", false, "", NULL, NULL },
		{ "", "fred", false, "a*", NULL, NULL },
		{ "", "fred", false, "caf&AOk-", "user.fred.caf&AOk-", NULL },
		{ "", "fred", false, "caf\xc3\xa9", NULL, NULL },
		{ "", "fred", false, "a&b", NULL, NULL },
		{ "", "fred", false, "a&AGE-", NULL, NULL }, /* an 'a' that should be plain */
		{ "", "fred", false, "a&-b", "user.fred.a&-b", NULL },
		{ "altnamespace: no", "fred", false, "INBOX/Work", "user.fred.Work", NULL },
		{ "altnamespace: no", "fred", false, "user/bob/x", "user.bob.x", NULL },
		{ "altnamespace: no", "fred", false, "news", "news", NULL },
		{ "altnamespace: no\nunixhierarchysep: no", "fred", false, "INBOX.a", "user.fred.a", NULL },
		{ "", "admin", true, "user/fred/Work", "user.fred.Work", NULL },
		{ "", "admin", true, "user/fred.smith", "user.fred^smith", NULL },
		{ "", "admin", true, "news", "news", NULL },
		{ "", "admin", true, "user", NULL, NULL },
		{ "virtdomains: yes", "fred@Example.com", false, "INBOX", "example.com!user.fred", NULL },
		{ "virtdomains: yes", "fred@example.com", false, "Work", "example.com!user.fred.Work", NULL },
		{ "virtdomains: yes", "admin", true, "user/fred@example.com", "example.com!user.fred", NULL },
		{ "virtdomains: yes", "admin", true, "user/fred@Example.COM", "example.com!user.fred", "user/fred@example.com" },
		{ "virtdomains: yes", "admin", true, "user/fred@", NULL, NULL },
		{ "virtdomains: yes\ndefaultdomain: example.com", "fred@Example.com", false, "Work", "user.fred.Work", NULL },
		{ "virtdomains: yes\ndefaultdomain: example.com", "admin", true, "user/fred@example.com", "user.fred", "user/fred" },
		{ "unixhierarchysep: no", "fred", false, "a/b", NULL, NULL },
		{ "", "admin", true, "INBOX/x", "user.admin.x", "user/admin/x" },
		{ "virtdomains: yes", "admin", true, "@example.com", NULL, NULL },
		{ "virtdomains: yes", "admin", true, "user/fred@a b", NULL, NULL },
		{ "virtdomains: yes", "admin", true, "user/fred@example.com/x", NULL, NULL },
		{ "virtdomains: yes", "bob", false, "Other Users/fred@example.com/x", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fault why;
		struct config *c = config_parse(bytes_of(rows[i].config), "test", &why);
		struct names n = names_of(c, bytes_of(rows[i].user), rows[i].is_admin);
		struct buffer internal = { 0 }, back = { 0 };
		bool ok = names_to_internal(&n, bytes_of(rows[i].external), &internal, &why);

		if (ok != (rows[i].internal != NULL))
			fail_msg("row %zu: \"%s\"", i, rows[i].external);
		if (ok) {
			if (!bytes_equal_str(buffer_bytes(&internal), rows[i].internal))
				fail_msg("row %zu: got \"%.*s\"", i, BYTES_FMT(buffer_bytes(&internal)));
			names_to_external(&n, buffer_bytes(&internal), &back);
			if (!bytes_equal_str(buffer_bytes(&back), rows[i].back != NULL ? rows[i].back : rows[i].external))
				fail_msg("row %zu: back \"%.*s\"", i, BYTES_FMT(buffer_bytes(&back)));
		}
		buffer_fini(&internal);
		buffer_fini(&back);
		config_free(&c);
	}
}

static void recipients_are_users_and_folders_as_the_table_says(void **state)
{
	static const struct {
		const char *config, *address, *user, *folder;
	} rows[] = {
		{ "", "fred", "fred", "" },
		{ "", "Fred@Example.COM", "fred", "" },
		{ "", "Fred+Work/2026@example.com", "fred", "user.fred.Work.2026" },
		{ "altnamespace: no", "fred+Work/2026", "fred", "user.fred.Work.2026" },
		{ "altnamespace: no", "fred+INBOX/Work", "fred", "user.fred.INBOX.Work" },
		{ "unixhierarchysep: no", "fred+Work.2026", "fred", "user.fred.Work.2026" },
		{ "unixhierarchysep: no", "fred+Work/2026", "fred", "" },
		{ "", "fred+v1.2", "fred", "user.fred.v1^2" },
		{ "", "fred.smith+a", "fred.smith", "user.fred^smith.a" },
		{ "", "fred+a+b", "fred", "user.fred.a+b" },
		{ "", "fred+", "fred", "" },
		{ "", "fred+a//b", "fred", "" },
		{ "", "fred+*", "fred", "" },
		{ "", "fred+caf\xc3\xa9", "fred", "" },
		{ "", "+news/old", "", "news.old" },
		{ "", "+user/fred", "", "" },
		{ "", "+user", "", "" },
		{ "", "+users/x", "", "users.x" },
		{ "", "+", "", "" },
		{ "", "", "", "" },
		{ "postuser: bb", "+news", "", "" },
		{ "postuser: bb", "bb+news@example.com", "", "news" },
		{ "postuser: bb", "bb@example.com", "bb", "" },
		{ "virtdomains: userid", "fred+a@Example.com", "fred@Example.com", "example.com!user.fred.a" },
		{ "virtdomains: userid", "+news@Example.com", "", "example.com!news" },
		{ "virtdomains: userid", "fred+a", "fred", "user.fred.a" },
		{ "virtdomains: userid\ndefaultdomain: example.com", "fred+a@Example.com", "fred@Example.com", "user.fred.a" },
		{ "virtdomains: off", "fred+a@b@c", "fred", "user.fred.a@b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fault why;
		struct config *c = config_parse(bytes_of(rows[i].config), "test", &why);
		struct buffer user = { 0 }, folder = { 0 };

		names_recipient(c, bytes_of(rows[i].address), true, &user, &folder);
		if (!bytes_equal_str(buffer_bytes(&user), rows[i].user) || !bytes_equal_str(buffer_bytes(&folder), rows[i].folder))
			fail_msg("row %zu: \"%.*s\" \"%.*s\"", i, BYTES_FMT(buffer_bytes(&user)), BYTES_FMT(buffer_bytes(&folder)));
		buffer_clear(&user);
		buffer_clear(&folder);
		names_recipient(c, BYTES_LIT("Fred+Work"), false, &user, &folder);
		assert_true(bytes_equal_str(buffer_bytes(&user), "Fred") && bytes_equal_str(buffer_bytes(&folder), "user.Fred.Work"));
		buffer_fini(&user);
		buffer_fini(&folder);
		config_free(&c);
	}
}

static void a_domain_that_begins_like_a_user_is_not_his(void **state)
{
	struct fault why;
	struct config *c = config_parse(BYTES_LIT("virtdomains: yes"), "test", &why);
	struct names local = names_of(c, BYTES_LIT("fred"), false);
	struct names far = names_of(c, BYTES_LIT("fred@Example.com"), false);
	struct names admin = names_of(c, BYTES_LIT("admin"), true);

	(void)state;
	assert_false(names_is_owner(&local, BYTES_LIT("user.fred.org!x"), BYTES_LIT("fred")));
	assert_true(names_is_owner(&local, BYTES_LIT("user.fred.org"), BYTES_LIT("fred")));
	assert_false(names_is_below(BYTES_LIT("a.b!x"), BYTES_LIT("a")));
	assert_true(names_is_below(BYTES_LIT("b!a.x"), BYTES_LIT("b!a")));
	assert_false(names_is_visible(&local, BYTES_LIT("example.com!user.bob")));
	assert_true(names_is_visible(&local, BYTES_LIT("user.bob")));
	assert_true(names_is_visible(&far, BYTES_LIT("example.com!user.bob")));
	assert_false(names_is_visible(&far, BYTES_LIT("user.bob")));
	assert_true(names_is_visible(&admin, BYTES_LIT("example.com!user.bob")));
	config_free(&c);
}

static void patterns_match_as_the_table_says(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool want;
	} rows[] = {
		{ "*", "a/b/c", true },      { "%", "a", true },       { "%", "a/b", false },     { "a/%", "a/b", true },
		{ "a/%", "a/b/c", false },   { "a/*", "a/b/c", true }, { "inbox", "INBOX", true }, { "inb%", "INBOX", true },
		{ "inbox/x", "INBOX/X", false }, { "Inbox/X", "INBOX/X", true }, { "A", "a", false }, { "", "", true },
		{ "%/%", "a/b", true },      { "*b", "a/b", true },    { "%b", "a/b", false },    { "a*c*e", "abcde", true },
		{ "*****************************************x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (list_match(bytes_of(rows[i].pattern), bytes_of(rows[i].name), '/') != rows[i].want)
			fail_msg("row %zu", i);
	}
	{
		size_t n = 0;

		assert_true(list_match_parent(BYTES_LIT("%"), BYTES_LIT("a/b/c"), '/', &n));
		assert_int_equal(n, 1);
		assert_false(list_match_parent(BYTES_LIT("%"), BYTES_LIT("a/b/c"), '/', &n));
	}
}

static void rights_come_from_entries_negatives_and_ownership(void **state)
{
	struct buffer b = { 0 };
	struct bytes acl = BYTES_LIT("fred\tlrswipkxtecdan\tbob\tlr\tanyone\tp\t-bob\tr\t");
	acl_rights_t r;

	(void)state;
	assert_int_equal(acl_effective(acl, BYTES_LIT("fred"), false), ACL_ALL);
	assert_int_equal(acl_effective(acl, BYTES_LIT("bob"), false), ACL_LOOKUP | ACL_POST);
	assert_int_equal(acl_effective(acl, BYTES_LIT("eve"), false), ACL_POST);
	assert_int_equal(acl_effective(BYTES_NONE, BYTES_LIT("eve"), true), ACL_OWNER);
	/* As Cyrus writes them: c and d for any part of what they stand for. */
	assert_int_equal(acl_get(BYTES_LIT("bob\tlrxcd\t"), BYTES_LIT("bob")), ACL_LOOKUP | ACL_READ | ACL_DELETE_MAILBOX);
	assert_int_equal(acl_get(BYTES_LIT("bob\tlrcd\t"), BYTES_LIT("bob")),
	                 ACL_LOOKUP | ACL_READ | ACL_CREATE | ACL_DELETE_MAILBOX | ACL_DELETE | ACL_EXPUNGE);
	assert_true(acl_rights_parse(BYTES_LIT("lrd"), &r));
	assert_int_equal(r, ACL_LOOKUP | ACL_READ | ACL_DELETE_MAILBOX | ACL_DELETE | ACL_EXPUNGE);
	assert_false(acl_rights_parse(BYTES_LIT("lz"), &r));
	acl_set(&b, acl, BYTES_LIT("bob"), ACL_LOOKUP);
	assert_int_equal(acl_get(buffer_bytes(&b), BYTES_LIT("bob")), ACL_LOOKUP);
	buffer_clear(&b);
	acl_set(&b, acl, BYTES_LIT("bob"), 0);
	assert_int_equal(acl_get(buffer_bytes(&b), BYTES_LIT("bob")), 0);
	buffer_fini(&b);
}

static void utf8_and_modified_utf7_are_each_others_inverse(void **state)
{
	static const struct {
		const char *utf8, *mutf7;
	} rows[] = {
		{ "plain", "plain" },
		{ "a & b", "a &- b" },
		{ "Gr\xc3\xbc\xc3\x9f" "e", "Gr&APwA3w-e" },
		{ "\xe5\x8f\xb0\xe5\x8c\x97", "&U,BTFw-" },
		{ "\xf0\x9f\x99\x82", "&2D3eQg-" },
		{ "\xc3\xa9/\xc3\xa0", "&AOk-/&AOA-" },
		{ "\xff", NULL },
		{ "\xc3", NULL },
		{ "\xc0\xaf", NULL },
		{ "\xed\xa0\x80", NULL },
		{ "\xf4\x90\x80\x80", NULL },
		{ "a\tb", NULL },
		{ "\x7f", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer there = { 0 }, back = { 0 };
		bool ok = names_utf8_to_mutf7(bytes_of(rows[i].utf8), &there);

		if (ok != (rows[i].mutf7 != NULL) || (ok && !bytes_equal_str(buffer_bytes(&there), rows[i].mutf7)))
			fail_msg("row %zu: %.*s", i, BYTES_FMT(buffer_bytes(&there)));
		if (ok) {
			names_mutf7_to_utf8(buffer_bytes(&there), &back);
			assert_true(bytes_equal_str(buffer_bytes(&back), rows[i].utf8));
		}
		buffer_fini(&there);
		buffer_fini(&back);
	}
}

static void sets_of_mailboxes_have_what_the_client_sees_in_them(void **state)
{
	static const struct {
		const char *config;
		enum filter_kind kind;
		const char *name, *internal;
		bool has;
	} rows[] = {
		{ "", FILTER_PERSONAL, NULL, "user.fred", true },
		{ "", FILTER_PERSONAL, NULL, "user.fred.a.b", true },
		{ "", FILTER_INBOXES, NULL, "user.freddy", false },
		{ "", FILTER_PERSONAL, NULL, "news", false },
		{ "", FILTER_MAILBOXES, "Work", "user.fred.Work", true },
		{ "", FILTER_MAILBOXES, "Work", "user.fred.Work.a", false },
		{ "", FILTER_MAILBOXES, "W*", "user.fred.Work", false },
		{ "", FILTER_SUBTREE, "Work", "user.fred.Work", true },
		{ "", FILTER_SUBTREE, "Work", "user.fred.Work.a.b", true },
		{ "", FILTER_SUBTREE, "Work", "user.fred.Workshop", false },
		{ "", FILTER_SUBTREE_ONE, "Work", "user.fred.Work", true },
		{ "", FILTER_SUBTREE_ONE, "Work", "user.fred.Work.a", true },
		{ "", FILTER_SUBTREE_ONE, "Work", "user.fred.Work.a.b", false },
		{ "", FILTER_SUBTREE, "INBOX", "user.fred", true },
		{ "", FILTER_SUBTREE, "INBOX", "user.fred.Work", false },
		{ "", FILTER_SUBTREE, "INBOX", "user.fred.INBOX.x", true },
		{ "altnamespace: no", FILTER_SUBTREE, "INBOX", "user.fred.Work", true },
		{ "", FILTER_SUBTREE, "Shared Folders/news", "news.x", true },
		{ "", FILTER_SUBTREE, "Other Users/bob", "user.bob.x", true },
		{ "", FILTER_SUBTREE, "a//b", "user.fred", false },
		{ "", FILTER_SELECTED, NULL, "user.fred", false },
		{ "", FILTER_SUBSCRIBED, NULL, "user.fred", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fault why;
		struct config *c = config_parse(bytes_of(rows[i].config), "test", &why);
		struct names n;
		struct arena a = { 0 };
		struct bytes name = rows[i].name == NULL ? BYTES_NONE : bytes_of(rows[i].name);
		struct mailbox_filter f = { rows[i].kind, &name, rows[i].name != NULL };

		assert_non_null(c);
		n = names_of(c, BYTES_LIT("fred"), false);
		mailbox_filter_resolve(&f, &n, &a);
		if (mailbox_filter_has(&f, &n, bytes_of(rows[i].internal)) != rows[i].has)
			fail_msg("row %zu: %s", i, rows[i].internal);
		arena_fini(&a);
		config_free(&c);
	}
}

static void a_filter_keeps_no_name_that_another_covers(void **state)
{
	struct fault why;
	struct config *c = config_parse(BYTES_LIT(""), "test", &why);
	struct bytes names[] = { BYTES_LIT("Work.a"),  BYTES_LIT("Work"), BYTES_LIT("Work"), BYTES_LIT("Workshop"),
		                 BYTES_LIT("INBOX"),   BYTES_LIT("Work.a.b.c") };
	static const char *const kept[] = { "user.fred.Work", "user.fred.Workshop", "user.fred" };
	struct mailbox_filter f = { FILTER_SUBTREE, names, sizeof(names) / sizeof(names[0]) };
	struct arena a = { 0 };
	struct names n;

	(void)state;
	assert_non_null(c);
	n = names_of(c, BYTES_LIT("fred"), false);
	for (size_t i = 0; i < f.name_count; i++) {
		struct buffer external = { 0 };

		for (size_t k = 0; k < names[i].n; k++)
			buffer_add_u8(&external, names[i].p[k] == '.' ? (uint8_t)n.sep : names[i].p[k]);
		names[i] = arena_copy(&a, buffer_bytes(&external));
		buffer_fini(&external);
	}
	mailbox_filter_resolve(&f, &n, &a);
	assert_int_equal(f.name_count, 3);
	for (size_t i = 0; i < f.name_count; i++)
		assert_true(bytes_equal_str(f.names[i], kept[i]));
	assert_true(mailbox_filter_has(&f, &n, BYTES_LIT("user.fred.Work.a.b.c")));
	arena_fini(&a);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways_as_the_table_says),
		cmocka_unit_test(a_filter_keeps_no_name_that_another_covers),
		cmocka_unit_test(recipients_are_users_and_folders_as_the_table_says),
		cmocka_unit_test(a_domain_that_begins_like_a_user_is_not_his),
		cmocka_unit_test(sets_of_mailboxes_have_what_the_client_sees_in_them),
		cmocka_unit_test(patterns_match_as_the_table_says),
		cmocka_unit_test(utf8_and_modified_utf7_are_each_others_inverse),
		cmocka_unit_test(rights_come_from_entries_negatives_and_ownership),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
