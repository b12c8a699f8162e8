/* What a lost suffix comes to; putting it aside, killed at every step; and doing it anew at another master. */
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "imap_flags.h"
#include "salvage_file.h"
#include "store.h"
#include "store_copy.h"
#include "store_tool.h"

/* The process ends before the call that makes this 0. Linked with --wrap, these stand for the system's own. */
static long calls_left = -1;

static void count_call(void)
{
	if (calls_left > 0 && --calls_left == 0)
		_exit(9);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
	count_call();
	return __real_rename(from, to);
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
	count_call();
	return __real_unlink(path);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	count_call();
	return __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	count_call();
	return __real_fdatasync(fd);
}

/* ---- what a suffix comes to ---- */

/* Before: mailbox 1, user.fred, with keyword k1 and messages 1 to 3 of modseq 5, the third \Seen and k1; fred subscribed to it. */
static bool was_mailbox(void *arg, mailbox_id_t id, struct mailbox *m_r)
{
	(void)arg;
	*m_r = (struct mailbox){ .id = id, .name = BYTES_LIT("user.fred"), .acl = BYTES_LIT("fred\tlrs\t"), .keyword_count = 1 };
	m_r->keywords[0] = BYTES_LIT("k1");
	return id == 1;
}

static bool was_message(void *arg, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	(void)arg;
	*m_r = (struct message){ .uid = uid, .modseq = 5, .flags = uid == 3 ? IMAP_FLAG_SEEN : 0, .keywords = uid == 3 };
	return mailbox == 1 && uid <= 3;
}

static bool was_body(void *arg, lsn_t body, struct bytes *body_r, struct bytes *structure_r)
{
	(void)arg;
	*body_r = BYTES_LIT("old body");
	*structure_r = BYTES_NONE;
	return body < 10;
}

static bool was_subscribed(void *arg, struct bytes user, struct bytes name)
{
	(void)arg;
	return bytes_equal_str(user, "fred") && bytes_equal_str(name, "user.fred");
}

/* The shared "a" of the mailbox and of message 1 is "old". */
static bool had_attribute(void *arg, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r)
{
	(void)arg;
	*value_r = BYTES_LIT("old");
	return mailbox == 1 && of->uid <= 1 && of->user.n == 0 && bytes_equal_str(of->name, "a");
}

static bool was_limited(void *arg, struct bytes root, struct quota_limits *limits_r)
{
	(void)arg;
	*limits_r = (struct quota_limits){ .is_limited = { true }, .limit = { 100 } };
	return bytes_equal_str(root, "user.fred");
}

static const struct salvage_before before = { was_mailbox, was_message, was_body, was_subscribed, had_attribute, was_limited, NULL };

#define DELIVERY(m, u, f) &(struct entry_delivery){ m, u, 9, 1000, f, 0 }
#define COPY_OF(s, u, b) &(struct entry_copy){ s, u, b, 8, 1000, 0, 0 }
#define FLAG(u, f, k) &(struct entry_flag){ u, f, k }
#define NAME(n) &(struct bytes){ (const uint8_t *)(n), sizeof(n) - 1 }
#define ID(i) &(mailbox_id_t){ i }
#define UID(u) &(uint32_t){ u }
#define BODY .body = { (const uint8_t *)"new body.", 9 }

#define APPEND_TO(m, u, f) { .type = ENTRY_APPEND, .count = 1, .deliveries = DELIVERY(m, u, f), BODY }
#define FLAGS_OF(m, u, f, k) { .type = ENTRY_FLAGS, .mailbox = m, .modseq = 9, .count = 1, .flags = FLAG(u, f, k) }
#define EXPUNGE_OF(m, u) { .type = ENTRY_EXPUNGE, .mailbox = m, .modseq = 9, .count = 1, .uids = UID(u) }
#define CREATE_OF(m, n) { .type = ENTRY_CREATE, .mailbox = m, .uidvalidity = 7, .name = { (const uint8_t *)(n), sizeof(n) - 1 } }
#define RENAME_OF(m, n) { .type = ENTRY_RENAME, .count = 1, .mailboxes = ID(m), .names = NAME(n) }
#define DELETE_OF(m) { .type = ENTRY_DELETE, .mailbox = m }
#define SUBSCRIBE_TO(n, on) { .type = ENTRY_SUBSCRIBE, .user = { (const uint8_t *)"fred", 4 }, .name = { (const uint8_t *)(n), sizeof(n) - 1 }, .is_on = on }

#define LIT(s) { (const uint8_t *)(s), sizeof(s) - 1 }
#define ATTRIBUTE_OF(m, u, who, n, v, on) \
	{ .type = ENTRY_ATTRIBUTE, .mailbox = m, .modseq = (u) > 0 ? 9 : 0, .count = 1, \
	  .attributes = &(struct entry_attribute){ { u, LIT(who), LIT(n), LIT(v) }, on } }
#define GIVEN(who, n, v) &(struct entry_given){ 0, LIT(who), LIT(n), LIT(v) }
#define QUOTA_OF(n, l) { .type = ENTRY_QUOTA, .name = { (const uint8_t *)(n), sizeof(n) - 1 }, .limits = { .is_limited = { true }, .limit = { l } } }

struct net_case {
	const char *name;
	struct entry entries[6];
	const char *want; /* a line per item; "": none */
};

static const struct net_case net_cases[] = {
	{ "attributes set, changed and removed",
	  { ATTRIBUTE_OF(0, 0, "fred", "b", "x", true), ATTRIBUTE_OF(1, 0, "", "a", "new", true), ATTRIBUTE_OF(1, 1, "", "a", "", false),
	    ATTRIBUTE_OF(1, 2, "fred", "a", "", true) },
	  "the private attribute b of fred of the server was set\nthe shared attribute a in user.fred was set\n"
	  "the shared attribute a of UID 1 in user.fred was removed\nthe private attribute a of fred of UID 2 in user.fred was set\n" },
	{ "a message and a mailbox that came with attributes",
	  { { .type = ENTRY_APPEND, .count = 1, .deliveries = DELIVERY(1, 4, 0), BODY, .given = GIVEN("fred", "b", "x"), .given_count = 1 },
	    { .type = ENTRY_CREATE, .mailbox = 2, .uidvalidity = 7, .name = LIT("new"), .given = GIVEN("", "a", "y"), .given_count = 1 } },
	  "mailbox new was created\na message of 9 octets arrived in user.fred (UID 4 there, 1970-01-01T00:16:40Z)\n"
	  "the shared attribute a in new was set\nthe private attribute b of fred of UID 4 in user.fred was set\n" },
	{ "set and set back", { ATTRIBUTE_OF(1, 0, "", "a", "new", true), ATTRIBUTE_OF(1, 0, "", "a", "old", true) }, "" },
	{ "set and removed", { ATTRIBUTE_OF(1, 0, "", "b", "new", true), ATTRIBUTE_OF(1, 0, "", "b", "", false) }, "" },
	{ "of what went", { ATTRIBUTE_OF(1, 2, "", "a", "x", true), EXPUNGE_OF(1, 2), CREATE_OF(2, "user.fred.a"),
	                    ATTRIBUTE_OF(2, 0, "", "a", "x", true), DELETE_OF(2) },
	  "UID 2 in user.fred was expunged\n" },
	{ "a message that arrived", { APPEND_TO(1, 4, IMAP_FLAG_SEEN) },
	  "a message of 9 octets arrived in user.fred (UID 4 there, 1970-01-01T00:16:40Z)\n" },
	{ "a limit that was set", { QUOTA_OF("user.fred", 200) }, "the quota of user.fred was set: STORAGE 200\n" },
	{ "set, and set back", { QUOTA_OF("user.fred", 200), QUOTA_OF("user.fred", 100) }, "" },
	{ "a root that was made", { QUOTA_OF("user.bob", 7) }, "the quota of user.bob was set: STORAGE 7\n" },
	{ "set, then renamed", { QUOTA_OF("user.fred", 5), RENAME_OF(1, "user.joe") },
	  "mailbox user.fred was renamed to user.joe\nthe quota of user.joe was set: STORAGE 5\n" },
	{ "one that came and went", { APPEND_TO(1, 4, 0), EXPUNGE_OF(1, 4) }, "" },
	{ "one that went, of before", { EXPUNGE_OF(1, 2) }, "UID 2 in user.fred was expunged\n" },
	{ "flagged, and unflagged again", { FLAGS_OF(1, 1, IMAP_FLAG_SEEN, 0), FLAGS_OF(1, 1, 0, 0) }, "" },
	{ "flags added and taken", { FLAGS_OF(1, 1, IMAP_FLAG_FLAGGED, 0), FLAGS_OF(1, 3, IMAP_FLAG_ANSWERED, 0) },
	  "UID 1 in user.fred was flagged: +\\Flagged\nUID 3 in user.fred was flagged: +\\Answered -\\Seen -k1\n" },
	{ "flagged, then removed", { FLAGS_OF(1, 1, IMAP_FLAG_DELETED, 0), EXPUNGE_OF(1, 1) }, "UID 1 in user.fred was expunged\n" },
	{ "a mailbox made and filled", { CREATE_OF(2, "user.fred.a"), APPEND_TO(2, 1, 0) },
	  "mailbox user.fred.a was created\na message of 9 octets arrived in user.fred.a (UID 1 there, 1970-01-01T00:16:40Z)\n" },
	{ "made, renamed and filled before", { CREATE_OF(2, "user.fred.a"), APPEND_TO(2, 1, 0), RENAME_OF(2, "user.fred.b") },
	  "mailbox user.fred.b was created\na message of 9 octets arrived in user.fred.b (UID 1 there, 1970-01-01T00:16:40Z)\n" },
	{ "made and deleted", { CREATE_OF(2, "user.fred.a"), APPEND_TO(2, 1, 0), DELETE_OF(2) }, "" },
	{ "renamed, and another made in its place", { RENAME_OF(1, "user.old"), CREATE_OF(2, "user.fred"), APPEND_TO(2, 1, 0) },
	  "mailbox user.fred was renamed to user.old\nmailbox user.fred was created\n"
	  "a message of 9 octets arrived in user.fred (UID 1 there, 1970-01-01T00:16:40Z)\n" },
	{ "renamed and back", { RENAME_OF(1, "user.old"), RENAME_OF(1, "user.fred") }, "" },
	{ "deleted, of before, with what had arrived", { APPEND_TO(1, 4, 0), DELETE_OF(1) }, "mailbox user.fred was deleted\n" },
	{ "a copy of an old message", { CREATE_OF(2, "b"), { .type = ENTRY_COPY, .mailbox = 2, .count = 1, .copies = COPY_OF(1, 1, 3) } },
	  "mailbox b was created\na message of 8 octets arrived in b (UID 1 there, 1970-01-01T00:16:40Z)\n" },
	{ "a move", { CREATE_OF(2, "b"), { .type = ENTRY_COPY, .mailbox = 2, .source = 1, .count = 1, .copies = COPY_OF(1, 1, 3) } },
	  "mailbox b was created\na message of 8 octets arrived in b (UID 1 there, 1970-01-01T00:16:40Z)\n"
	  "UID 1 in user.fred was expunged\n" },
	{ "a move of one that had arrived", { APPEND_TO(1, 4, 0), CREATE_OF(2, "b"),
	                                      { .type = ENTRY_COPY, .mailbox = 2, .source = 1, .count = 1, .copies = COPY_OF(4, 1, 10) } },
	  "mailbox b was created\na message of 9 octets arrived in b (UID 1 there, 1970-01-01T00:16:40Z)\n" },
	{ "access rights", { { .type = ENTRY_ACL, .mailbox = 1, .acl = { (const uint8_t *)"x", 1 } } },
	  "the access rights of user.fred were changed to x\n" },
	{ "subscriptions", { SUBSCRIBE_TO("user.fred", true), SUBSCRIBE_TO("user.x", true), SUBSCRIBE_TO("user.fred", false) },
	  "fred subscribed to user.x\nfred unsubscribed from user.fred\n" },
	{ "a reign alone", { { .type = ENTRY_EPOCH } }, "" },
};

static void suffix_comes_to_the_difference_of_end_and_beginning(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(net_cases) / sizeof(net_cases[0]); i++) {
		const struct net_case *c = &net_cases[i];
		struct salvage *s = salvage_new(&before);
		const struct salvage_item *items;
		struct buffer text = { 0 };
		struct fault why = { 0 };
		size_t count;

		for (size_t k = 0; k < 6 && c->entries[k].type != 0; k++) {
			struct entry e = c->entries[k];

			e.lsn = 10 + k;
			e.epoch = 3;
			if (!salvage_add(s, &e, &why))
				fail_msg("%s: %s", c->name, why.what);
		}
		if (!salvage_items(s, &items, &count, &why))
			fail_msg("%s: %s", c->name, why.what);
		for (size_t k = 0; k < count; k++) {
			struct buffer octets = { 0 }, again = { 0 };
			struct arena a = { 0 };
			struct salvage_item item;

			salvage_item_write(&octets, &items[k]);
			assert_true(salvage_item_read(buffer_bytes(&octets), &a, &item, &why));
			salvage_item_write(&again, &item);
			assert_true(bytes_equal(buffer_bytes(&octets), buffer_bytes(&again)));
			for (size_t n = 0; n < octets.n; n++)
				assert_false(salvage_item_read(bytes_sub(buffer_bytes(&octets), 0, n), &a, &item, &why));
			arena_fini(&a);
			buffer_fini(&octets);
			buffer_fini(&again);
			salvage_item_describe(&text, &items[k]);
			buffer_add_u8(&text, '\n');
		}
		buffer_add_u8(&text, '\0');
		if (strcmp((char *)text.p, c->want) != 0)
			fail_msg("%s:\n%s", c->name, (char *)text.p);
		buffer_fini(&text);
		salvage_free(&s);
	}
}

static void suffix_that_does_not_fit_is_told(void **state)
{
	const struct entry bad[] = {
		APPEND_TO(2, 4, 0), FLAGS_OF(1, 4, 0, 0), EXPUNGE_OF(1, 9), CREATE_OF(1, "x"), RENAME_OF(5, "x"), DELETE_OF(4),
		ATTRIBUTE_OF(4, 0, "", "a", "x", true), ATTRIBUTE_OF(1, 4, "", "a", "x", true),
		{ .type = ENTRY_COPY, .mailbox = 1, .source = 4, .count = 1, .copies = COPY_OF(4, 4, 3) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct salvage *s = salvage_new(&before);
		struct fault why;

		assert_false(salvage_add(s, &bad[i], &why));
		salvage_free(&s);
	}
}

/* ---- putting it aside, and doing it anew ---- */

static char base[64];

static struct store_options options(const char *name)
{
	static char dirs[8][160];
	static int next;
	char *dir = dirs[next++ % 8];

	(void)snprintf(dir, 160, "%s/%s", base, name);
	return (struct store_options){ .dir = dir, .map_size = 64u << 20, .segment_size = 96u << 10 };
}

static struct store *must_open(const char *name)
{
	struct store_options o = options(name);
	struct fault why;
	struct store *s = store_open(&o, &why);

	if (s == NULL)
		fail_msg("%s", why.what);
	return s;
}

static char *dump(struct store *s)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct fault why;

	assert_true(store_dump_open(s, f, &why));
	(void)fclose(f);
	return text;
}

static void flush(struct store *s)
{
	struct fault why;

	if (store_flush_begin(s)) {
		store_flush_run(s);
		assert_true(store_flush_done(s, &why));
	}
}

static struct intent_answer run_in(struct store *s, epoch_t epoch, struct intent in, struct arena *a)
{
	struct intent_answer out;
	struct fault why;

	assert_int_equal(store_reserve_space(s, intent_cost(&in), &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	store_turn_add(s, &in, a, &out);
	flush(s);
	assert_int_equal(store_turn_commit(s, store_last_lsn(s), NULL, &why), STORE_OK);
	return out;
}

static enum store_result run(struct store *s, epoch_t epoch, struct intent in)
{
	struct arena a = { 0 };
	enum store_result result = run_in(s, epoch, in, &a).result;

	arena_fini(&a);
	return result;
}

static struct intent reign(epoch_t epoch)
{
	return (struct intent){ .op = INTENT_EPOCH, .epoch = { epoch, BYTES_LIT("m"), BYTES_LIT("m f") } };
}

static struct intent create(const char *name)
{
	return (struct intent){ .op = INTENT_CREATE, .create = { .name = bytes_of(name), .acl = BYTES_LIT("fred\tlrs\t"), .partition = BYTES_LIT("default") } };
}

static void append(struct store *s, epoch_t epoch, const char *name, const char *body, const char *op_id)
{
	struct bytes keyword = BYTES_LIT("k1");
	struct append_target t = { .mailbox = bytes_of(name), .flags = IMAP_FLAG_SEEN, .keywords = &keyword, .keyword_count = 1,
		                   .internaldate = 1000 };
	struct intent in = { .op = INTENT_APPEND, .append = { &t, 1, bytes_of(op_id), bytes_of(body), BYTES_LIT("structure"), BYTES_NONE } };

	assert_int_equal(run(s, epoch, in), STORE_OK);
}

static struct intent flag(mailbox_id_t mailbox, const struct uid_range *uid, uint32_t flags)
{
	return (struct intent){ .op = INTENT_STORE,
		                .store = { .mailbox = mailbox, .uids = uid, .uid_count = 1, .how = INTENT_FLAGS_ADD, .flags = flags } };
}

static void copy_entries(struct store *from, struct store *to)
{
	struct buffer raw = { 0 };
	struct fault why;
	lsn_t last = store_last_lsn(to);

	while (last < store_last_lsn(from)) {
		struct bytes rest;
		lsn_t lsn;
		epoch_t e;
		uint64_t n;

		buffer_clear(&raw);
		assert_int_equal(store_read_entries(from, last + 1, 4096, &raw, &last, &why), STORE_OK);
		for (rest = buffer_bytes(&raw); rest.n > 0; rest = bytes_from(rest, (size_t)n)) {
			assert_true(store_entry_peek(rest, &lsn, &e, &n));
			if (store_follow_append(to, bytes_sub(rest, 0, (size_t)n), &why) != STORE_FOLLOW_OK)
				fail_msg("%s", why.what);
		}
		flush(to);
	}
	while (store_applied_lsn(to) < store_last_lsn(to))
		assert_int_equal(store_apply_committed(to, store_last_lsn(to), NULL, &why), STORE_OK);
	buffer_fini(&raw);
}

static const struct uid_range uids[] = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } };
static char big[40000];

static void checkpoint(struct store *s)
{
	struct fault why;

	assert_true(store_checkpoint_begin(s, &why));
	store_checkpoint_run(s);
	assert_true(store_checkpoint_done(s, &why));
}

/* The common beginning. */
static void begin(struct store *s)
{
	assert_int_equal(run(s, 1, reign(1)), STORE_OK);
	assert_int_equal(run(s, 1, create("user.fred")), STORE_OK);
	assert_int_equal(run(s, 1, create("user.fred.old")), STORE_OK);
	for (int i = 0; i < 4; i++)
		append(s, 1, "user.fred", "of both", "");
	checkpoint(s);
}

/* Two messages together, and one that goes for them. */
static void place(struct store *s, epoch_t epoch)
{
	const struct place_message m[] = { { .body = BYTES_LIT("together"), .structure = BYTES_LIT("structure"), .internaldate = 1000 },
		                           { .body = BYTES_LIT("together"), .structure = BYTES_LIT("structure"), .internaldate = 1000 } };

	assert_int_equal(run(s, epoch, (struct intent){ .op = INTENT_PLACE, .place = { BYTES_LIT("user.fred.new"), m, 2, 1, 3 } }), STORE_OK);
}

/* What one alone does after it. Some of it in other segments. */
static void go_on_alone(struct store *s)
{
	memset(big, 'x', sizeof(big) - 1);
	append(s, 1, "user.fred", "alone 1", "op-1");
	assert_int_equal(run(s, 1, flag(1, &uids[0], IMAP_FLAG_FLAGGED)), STORE_OK);
	assert_int_equal(run(s, 1, flag(1, &uids[1], IMAP_FLAG_ANSWERED)), STORE_OK);
	checkpoint(s); /* speaks of what will be lost */
	assert_int_equal(run(s, 1, create("user.fred.new")), STORE_OK);
	append(s, 1, "user.fred.new", "alone 2", "");
	append(s, 1, "user.fred.old", "alone 3", "op-3");
	place(s, 1);
	for (int i = 0; i < 6; i++)
		append(s, 1, "user.fred.new", big, "");
	assert_int_equal(run(s, 1, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { 1, &uids[3], 1, false, false } }), STORE_OK);
	assert_int_equal(run(s, 1, (struct intent){ .op = INTENT_SUBSCRIBE, .subscribe = { BYTES_LIT("fred"), BYTES_LIT("user.fred.new") } }),
	                 STORE_OK);
}

/* Each item of S's salvage files at M; the outcomes, a letter each (M merged, K kept). */
static void merge_items(struct store *s, struct store *m, epoch_t epoch, bool is_forced, char *outcomes)
{
	struct fault why;
	size_t count;
	struct salvage_name *names = salvage_names(store_salvage_dir(s), ".items", &count, &why);
	struct salvage_file *f;

	assert_int_equal(count, 1);
	f = salvage_file_open(store_salvage_dir(s), names[0], &why);
	assert_non_null(f);
	for (size_t i = 0; i < salvage_file_count(f); i++) {
		struct arena a = { 0 };
		struct salvage_item item;
		struct intent_answer out;

		assert_true(salvage_file_item(f, i, &a, &item, &why));
		out = run_in(m, epoch, (struct intent){ .op = INTENT_SALVAGE, .salvage = { &item, false, is_forced } }, &a);
		assert_int_equal(out.result, STORE_OK);
		if (out.salvage == SALVAGE_NEEDS_NAME)
			out = run_in(m, epoch, (struct intent){ .op = INTENT_SALVAGE, .salvage = { &item, true, is_forced } }, &a);
		assert_int_equal(out.result, STORE_OK);
		*outcomes++ = out.salvage == SALVAGE_MERGED ? 'M' : 'K';
		arena_fini(&a);
	}
	*outcomes = '\0';
	salvage_file_close(&f);
	free(names);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static void suffix_of_an_old_master_comes_back_at_the_new_one(void **state)
{
	struct store *m = must_open("m"), *f = must_open("f");
	struct fault why;
	lsn_t common, last;
	char outcomes[64];
	char *at_common, *a, *b;

	(void)state;
	begin(m);
	copy_entries(m, f);
	common = store_last_lsn(m);
	at_common = dump(m);
	go_on_alone(m);
	/* The other takes over without it: a message was sent again to it, another was flagged, a mailbox deleted. */
	assert_int_equal(run(f, 2, reign(2)), STORE_OK);
	append(f, 2, "user.fred", "alone 1", "op-1");
	assert_int_equal(run(f, 2, flag(1, &uids[1], IMAP_FLAG_SEEN | IMAP_FLAG_DELETED)), STORE_OK);
	assert_int_equal(run(f, 2, (struct intent){ .op = INTENT_DELETE, .delete = { BYTES_LIT("user.fred.old") } }), STORE_OK);

	assert_int_equal(store_save_after(m, common, &why), STORE_OK);
	a = dump(m);
	assert_string_equal(a, at_common);
	assert_int_equal(store_last_lsn(m), common);
	free(a);
	merge_items(m, f, 2, false, outcomes);
	/* MAILBOX; MESSAGE, FLAGS, FLAGS (changed there, too), 10 MESSAGEs, SUBSCRIBE; EXPUNGEs */
	assert_string_equal(outcomes, "MMMKMMMMMMMMMMMKK");
	last = store_last_lsn(f);
	merge_items(m, f, 2, false, outcomes);
	assert_string_equal(outcomes, "MMMKMMMMMMMMMMMKK");
	assert_int_equal(store_last_lsn(f), last); /* a second time nothing is done */
	a = dump(f);
	assert_int_equal(count_of(a, "size=7 "), 4 + 3); /* "of both", "alone 1" once, "alone 2", "alone 3" */
	assert_int_equal(count_of(a, "size=39999 "), 6);
	assert_int_equal(count_of(a, "internaldate=1000 "), 4 + 3 + 6 + 2);
	assert_non_null(strstr(a, "mailbox user.fred.old "));
	assert_non_null(strstr(a, "subscription fred%00user.fred.new"));
	assert_int_equal(count_of(a, " flags=0a "), 1); /* \Seen and now \Flagged */
	free(a);
	merge_items(m, f, 2, true, outcomes);
	assert_string_equal(outcomes, "MMMMMMMMMMMMMMMMM");
	copy_entries(f, m);
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	assert_int_equal(count_of(a, "message uid=4 "), 1); /* of user.fred.new; user.fred's was expunged, by force */
	free(a);
	free(b);
	free(at_common);
	store_close(&m);
	store_close(&f);
}

static void set(struct store *s, epoch_t epoch, const char *mailbox, mailbox_id_t id, const struct uid_range *uid, const char *user,
                const char *name, const char *value)
{
	const struct attribute_change c = { .user = bytes_of(user), .name = bytes_of(name), .value = bytes_of(value), .is_set = true };

	assert_int_equal(run(s, epoch, (struct intent){ .op = INTENT_ATTRIBUTE,
	                               .attribute = { .name = bytes_of(mailbox), .mailbox = id, .uids = uid, .uid_count = uid != NULL,
	                                              .changes = { .at = &c, .count = 1 } } }), STORE_OK);
}

static void attributes_of_a_suffix_come_back_where_they_can(void **state)
{
	struct store *m = must_open("am"), *f = must_open("af");
	struct fault why;
	lsn_t common;
	char outcomes[64];
	char *a, *b;

	(void)state;
	begin(m);
	set(m, 1, "user.fred", 0, NULL, "", "c", "both");
	set(m, 1, "", 1, &uids[3], "", "n", "both");
	checkpoint(m);
	copy_entries(m, f);
	common = store_last_lsn(m);
	/* Alone: */
	set(m, 1, "", 0, NULL, "", "s", "server");
	set(m, 1, "user.fred", 0, NULL, "fred", "a", "mailbox");
	set(m, 1, "user.fred", 0, NULL, "", "c", "alone");
	assert_int_equal(run(m, 1, create("user.fred.new")), STORE_OK);
	set(m, 1, "user.fred.new", 0, NULL, "", "c", "made");
	append(m, 1, "user.fred.new", "alone", "");
	set(m, 1, "", 3, &uids[0], "", "n", "of what arrived");
	set(m, 1, "", 1, &uids[0], "", "n", "of before");
	assert_int_equal(run(m, 1, flag(1, &uids[0], IMAP_FLAG_ANSWERED)), STORE_OK);
	set(m, 1, "", 1, &uids[1], "", "n", "of what goes there");
	assert_int_equal(run(m, 1, (struct intent){ .op = INTENT_COPY, .copy = { .mailbox = 1, .uids = &uids[3], .uid_count = 1, .target = BYTES_LIT("user.fred.new"), .user = BYTES_LIT("fred") } }), STORE_OK);
	/* The other: */
	assert_int_equal(run(f, 2, reign(2)), STORE_OK);
	set(f, 2, "user.fred", 0, NULL, "", "c", "since");
	assert_int_equal(run(f, 2, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { 1, &uids[1], 1, false, false } }), STORE_OK);

	assert_int_equal(store_save_after(m, common, &why), STORE_OK);
	merge_items(m, f, 2, false, outcomes);
	/* Made; the server's, the mailbox's, one that was changed since, the new one's, a message, the flag of one of before, a copy; then what
	 * messages had: the one that came, two of before, one of which is gone, the copy. */
	assert_string_equal(outcomes, "MMMKMMMMMMKM");
	common = store_last_lsn(f);
	merge_items(m, f, 2, false, outcomes);
	assert_string_equal(outcomes, "MMMKMMMMMMKM");
	assert_int_equal(store_last_lsn(f), common);
	a = dump(f);
	assert_non_null(strstr(a, "attribute uid=0 user= name=s value=server\n"));
	assert_non_null(strstr(a, "attribute uid=0 user=fred name=a value=mailbox\n"));
	assert_non_null(strstr(a, "attribute uid=0 user= name=c value=since\n"));
	assert_non_null(strstr(a, "attribute uid=0 user= name=c value=made\nattribute uid=1 user= name=n value=of%20what%20arrived\n"
	                          "attribute uid=2 user= name=n value=both\n"));
	assert_non_null(strstr(a, "attribute uid=1 user= name=n value=of%20before\n"));
	free(a);
	merge_items(m, f, 2, true, outcomes);
	assert_string_equal(outcomes, "MMMMMMMMMMKM");
	copy_entries(f, m);
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	free(a);
	free(b);
	store_close(&m);
	store_close(&f);
}

static int drop_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static struct intent limit(const char *root, uint64_t messages)
{
	return (struct intent){ .op = INTENT_SET_QUOTA, .set_quota = { bytes_of(root), { .is_limited = { false, true, false },
		                                                                        .limit = { 0, messages, 0 } } } };
}

/* Limits that were set alone are set again where nobody has set others since; what an old master took over them is no matter. */
static void limits_of_an_old_master_come_back(void **state)
{
	struct store *m = must_open("lm"), *f = must_open("lf");
	struct fault why;
	lsn_t common;
	char outcomes[16], *a;

	(void)state;
	begin(m);
	assert_int_equal(run(m, 1, limit("user.fred", 10)), STORE_OK);
	copy_entries(m, f);
	common = store_last_lsn(m);
	assert_int_equal(run(m, 1, limit("user.fred", 3)), STORE_OK);
	assert_int_equal(run(m, 1, limit("user.fred.old", 7)), STORE_OK);
	append(m, 1, "user.fred.old", "alone 1", "");
	assert_int_equal(run(f, 2, reign(2)), STORE_OK);
	assert_int_equal(run(f, 2, limit("user.fred", 11)), STORE_OK);
	assert_int_equal(run(f, 2, limit("user.fred.old", 0)), STORE_OK);
	assert_int_equal(store_save_after(m, common, &why), STORE_OK);
	merge_items(m, f, 2, false, outcomes);
	assert_string_equal(outcomes, "KKM"); /* mail that was acknowledged is never over quota */
	merge_items(m, f, 2, true, outcomes);
	assert_string_equal(outcomes, "MMM");
	a = dump(f);
	assert_non_null(strstr(a, "quota user.fred storage=- message=3 mailbox=- bytes=28 messages=4 mailboxes=1\n"));
	assert_non_null(strstr(a, "quota user.fred.old storage=- message=7 mailbox=- bytes=7 messages=1 mailboxes=1\n"));
	free(a);
	store_close(&m);
	store_close(&f);
}

static void wipe(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	(void)nftw(path, drop_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The process is killed before each of the calls that make something lasting. */
static void killed_at_any_step_it_is_whole_in_the_journal_or_saved(void **state)
{
	lsn_t common = 0;
	char *at_common = NULL, *whole = NULL;
	long step = 1;
	int status = 1;

	(void)state;
	for (; status != 0; step++) {
		struct store *s;
		struct fault why;
		char *now;
		size_t count;
		struct salvage_name *names;
		struct salvage_file *f;
		pid_t child;

		wipe("k");
		s = must_open("k");
		begin(s);
		common = store_last_lsn(s);
		if (at_common == NULL)
			at_common = dump(s);
		go_on_alone(s);
		if (whole == NULL)
			whole = dump(s);
		store_close(&s);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			s = must_open("k");
			while (store_applied_lsn(s) < store_last_lsn(s))
				(void)store_apply_committed(s, store_last_lsn(s), NULL, &why);
			calls_left = step;
			if (store_save_after(s, common, &why) != STORE_OK)
				_exit(7);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
		/* Opened again, and asked again by the master if need be. */
		s = must_open("k");
		if (store_last_lsn(s) > common)
			assert_int_equal(store_save_after(s, common, &why), STORE_OK);
		assert_int_equal(store_last_lsn(s), common);
		while (store_applied_lsn(s) < common)
			assert_int_equal(store_apply_committed(s, common, NULL, &why), STORE_OK);
		now = dump(s);
		/* UIDVALIDITYs are of each second's own. */
		assert_int_equal(count_of(now, "\nmessage "), count_of(at_common, "\nmessage "));
		assert_null(strstr(now, "user.fred.new"));
		free(now);
		names = salvage_names(store_salvage_dir(s), ".suffix", &count, &why);
		assert_int_equal(count, 0);
		free(names);
		names = salvage_names(store_salvage_dir(s), ".items", &count, &why);
		assert_int_equal(count, 1);
		f = salvage_file_open(store_salvage_dir(s), names[0], &why);
		assert_non_null(f);
		assert_int_equal(salvage_file_count(f), 17);
		salvage_file_close(&f);
		free(names);
		store_close(&s);
	}
	assert_true(step > 12);
	free(at_common);
	free(whole);
}

/* No room for the suffix's copy: the journal stays as it is, and it is tried again. */
static void full_disk_keeps_the_suffix_in_the_journal(void **state)
{
	struct store *s = must_open("full");
	struct rlimit was, small;
	struct fault why;
	lsn_t common, last;
	char *before_it, *after;

	(void)state;
	begin(s);
	common = store_last_lsn(s);
	go_on_alone(s);
	last = store_last_lsn(s);
	before_it = dump(s);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	small = (struct rlimit){ 100000, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(store_save_after(s, common, &why), STORE_NO_SPACE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_non_null(strstr(why.what, ".suffix"));
	assert_int_equal(store_last_lsn(s), last);
	after = dump(s);
	assert_string_equal(before_it, after);
	assert_int_equal(store_save_after(s, common, &why), STORE_OK);
	assert_int_equal(store_last_lsn(s), common);
	free(before_it);
	free(after);
	store_close(&s);
}

static void items_and_decisions_survive_and_damage_is_told(void **state)
{
	struct salvage_item items[3] = { { .kind = SALVAGE_SUBSCRIBE, .epoch = 1, .lsn = 5, .user = BYTES_LIT("fred"), .name = BYTES_LIT("a") } };
	const struct salvage_name name = { 1, 5 };
	struct salvage_decision decisions[] = { { 1, true }, { 2, false } };
	struct salvage_file *f;
	struct fault why;
	struct salvage_fate fate;
	char dir[128], path[160];
	FILE *io;
	long size;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/files", base);
	items[1] = items[2] = items[0];
	items[1].body = BYTES_LIT("some octets");
	assert_true(salvage_items_write(dir, name, 9, items, 3, &why));
	f = salvage_file_open(dir, name, &why);
	assert_non_null(f);
	salvage_file_set(f, 0, &(struct salvage_fate){ SALVAGE_IS_KEPT, SALVAGE_CHANGED, 7, 8 });
	assert_true(salvage_file_ask(dir, name, decisions, 1, &why));
	assert_true(salvage_file_ask(dir, name, decisions + 1, 1, &why));
	assert_true(salvage_file_take_asked(f, &why));
	assert_true(salvage_file_take_asked(f, &why));
	salvage_file_close(&f);
	f = salvage_file_open(dir, name, &why);
	fate = salvage_file_fate(f, 0);
	assert_true(fate.state == SALVAGE_IS_KEPT && fate.outcome == SALVAGE_CHANGED && fate.lsn == 7 && fate.epoch == 8);
	assert_int_equal(salvage_file_fate(f, 1).state, SALVAGE_IS_FORCED);
	assert_int_equal(salvage_file_fate(f, 2).state, SALVAGE_IS_DISCARDED);
	salvage_file_close(&f);
	/* Every octet changed once, every length. */
	(void)snprintf(path, sizeof(path), "%s/1-5.items", dir);
	io = fopen(path, "r+");
	(void)fseek(io, 0, SEEK_END);
	size = ftell(io);
	for (long at = 0; at < size; at++) {
		int was;
		bool is_found;

		(void)fseek(io, at, SEEK_SET);
		was = fgetc(io);
		(void)fseek(io, at, SEEK_SET);
		(void)fputc(was ^ 0x40, io);
		(void)fflush(io);
		f = salvage_file_open(dir, name, &why);
		is_found = f == NULL;
		for (size_t i = 0; f != NULL && i < 3; i++) {
			struct arena a = { 0 };
			struct salvage_item item;

			is_found = !salvage_file_item(f, i, &a, &item, &why) || is_found;
			arena_fini(&a);
		}
		salvage_file_close(&f);
		if (!is_found && was != 0) /* padding */
			fail_msg("octet %ld of %ld may be changed unseen", at, size);
		(void)fseek(io, at, SEEK_SET);
		(void)fputc(was, io);
	}
	(void)fclose(io);
	while (size-- > 0) {
		assert_int_equal(truncate(path, size), 0);
		f = salvage_file_open(dir, name, &why);
		assert_null(f);
		assert_non_null(strstr(why.what, "1-5.items"));
	}
}

/* The process was killed while it wrote the states: what it left goes with the other files. */
static void states_that_were_being_written_go_with_the_files(void **state)
{
	const struct salvage_item item = { .kind = SALVAGE_SUBSCRIBE, .epoch = 1, .lsn = 5, .user = BYTES_LIT("fred"), .name = BYTES_LIT("a") };
	const struct salvage_fate fate = { SALVAGE_IS_KEPT, SALVAGE_CHANGED, 7, 8 };
	const struct salvage_name name = { 1, 5 };
	struct salvage_file *f;
	struct fault why;
	char dir[128];
	pid_t child;
	int status = 1;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/left", base);
	for (long step = 1; status != 0; step++) {
		assert_true(salvage_items_write(dir, name, 9, &item, 1, &why));
		f = salvage_file_open(dir, name, &why);
		assert_non_null(f);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			calls_left = step;
			salvage_file_set(f, 0, &fate);
			_exit(salvage_file_save(f, &why) ? 0 : 7);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
		assert_true(salvage_file_remove(f, &why));
		salvage_file_close(&f);
		assert_int_equal(rmdir(dir), 0); /* it is empty */
	}
}

static int make_base(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/roost-test-salvage-XXXXXX");
	return mkdtemp(base) == NULL;
}

static int drop_base(void **state)
{
	(void)state;
	return nftw(base, drop_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suffix_comes_to_the_difference_of_end_and_beginning),
		cmocka_unit_test(suffix_that_does_not_fit_is_told),
		cmocka_unit_test(suffix_of_an_old_master_comes_back_at_the_new_one),
		cmocka_unit_test(attributes_of_a_suffix_come_back_where_they_can),
		cmocka_unit_test(limits_of_an_old_master_come_back),
		cmocka_unit_test(killed_at_any_step_it_is_whole_in_the_journal_or_saved),
		cmocka_unit_test(full_disk_keeps_the_suffix_in_the_journal),
		cmocka_unit_test(items_and_decisions_survive_and_damage_is_told),
		cmocka_unit_test(states_that_were_being_written_go_with_the_files),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
