/* Quota roots of the store: what is counted, what is refused, and that all members count the same. */
#include "entry.h"
#include "quota.h"
#include "store_lib.h"
#include "store_private.h"

static struct quota_limits limits(int64_t storage, int64_t message, int64_t mailbox)
{
	const int64_t of[QUOTA_RESOURCES] = { storage, message, mailbox };
	struct quota_limits l = { 0 };

	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		l.is_limited[r] = of[r] >= 0;
		l.limit[r] = of[r] >= 0 ? (uint64_t)of[r] : 0;
	}
	return l;
}

static enum store_result set(struct store *s, const char *root, struct quota_limits l)
{
	struct arena a = { 0 };
	enum store_result r = run(s, (struct intent){ .op = INTENT_SET_QUOTA, .set_quota = { bytes_of(root), l } }, &a).result;

	arena_fini(&a);
	return r;
}

static enum store_result make(struct store *s, const char *name)
{
	struct arena a = { 0 };
	enum store_result r = run(s, create(name), &a).result;

	arena_fini(&a);
	return r;
}

/* "bytes messages mailboxes" of a root; "none". */
static const char *used(struct store *s, const char *root)
{
	static char text[4][80];
	static int next;
	char *to = text[next++ % 4];
	struct fault why;
	struct quota q;
	struct store_view *v = store_view_open(s, &why);

	if (store_view_quota(v, bytes_of(root), &q, &why) == STORE_OK)
		(void)snprintf(to, 80, "%llu %llu %llu", (unsigned long long)q.used[0], (unsigned long long)q.used[1],
		               (unsigned long long)q.used[2]);
	else
		(void)snprintf(to, 80, "none");
	store_view_close(&v);
	return to;
}

static mailbox_id_t id_of(struct store *s, const char *name)
{
	struct fault why;
	struct mailbox m = { 0 };
	struct store_view *v = store_view_open(s, &why);

	assert_int_equal(store_view_mailbox(v, bytes_of(name), &m, &why), STORE_OK);
	store_view_close(&v);
	return m.id;
}

static enum store_result rename_to(struct store *s, const char *const (*names)[2], size_t count)
{
	struct rename_pair pairs[8];
	struct arena a = { 0 };
	enum store_result r;

	for (size_t i = 0; i < count; i++)
		pairs[i] = (struct rename_pair){ bytes_of(names[i][0]), bytes_of(names[i][1]) };
	r = run(s, (struct intent){ .op = INTENT_RENAME, .rename = { pairs, count } }, &a).result;
	arena_fini(&a);
	return r;
}

static enum store_result transfer(struct store *s, enum intent_op op, const char *from, uint32_t uid, const char *to)
{
	struct arena a = { 0 };
	struct uid_range r = { uid, uid };
	enum store_result result = run(s, (struct intent){ .op = op, .copy = { .mailbox = id_of(s, from), .uids = &r, .uid_count = 1, .target = bytes_of(to) } }, &a).result;

	arena_fini(&a);
	return result;
}

static void a_root_counts_its_own_and_those_below_without_a_nearer_one(void **state)
{
	struct store *s = must_open("counts");

	(void)state;
	(void)make(s, "user.fred");
	(void)make(s, "user.fred.a");
	(void)make(s, "user.fred.a.b");
	(void)make(s, "user.freddy");
	(void)make(s, "user.fred-x");
	(void)append(s, "user.fred.a", "12345", "", NULL);
	assert_string_equal(used(s, "user.fred"), "none");
	assert_int_equal(set(s, "user.nobody", limits(1, -1, -1)), STORE_NO_MAILBOX);
	assert_int_equal(set(s, "", limits(1, -1, -1)), STORE_BAD);
	assert_int_equal(set(s, "user.fred", limits(10, -1, -1)), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "5 1 3");
	(void)append(s, "user.freddy", "xyz", "", NULL);
	(void)append(s, "user.fred", "xyz", "", NULL);
	assert_string_equal(used(s, "user.fred"), "8 2 3");
	/* A nearer one takes over, and what is made below it counts there. */
	assert_int_equal(set(s, "user.fred.a", limits(-1, 100, -1)), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "3 1 1");
	assert_string_equal(used(s, "user.fred.a"), "5 1 2");
	(void)make(s, "user.fred.a.c");
	assert_string_equal(used(s, "user.fred.a"), "5 1 3");
	/* It goes with its last mailbox, not before. */
	{
		static const char *const gone[] = { "user.fred.a", "user.fred.a.b", "user.fred.a.c" };
		struct arena a = { 0 };

		for (size_t i = 0; i < 3; i++) {
			assert_string_not_equal(used(s, "user.fred.a"), "none");
			assert_int_equal(run(s, (struct intent){ .op = INTENT_DELETE, .delete = { bytes_of(gone[i]) } }, &a).result, STORE_OK);
		}
		arena_fini(&a);
	}
	assert_string_equal(used(s, "user.fred.a"), "none");
	assert_string_equal(used(s, "user.fred"), "3 1 1");
	/* The same again writes nothing. */
	{
		lsn_t last = store_last_lsn(s);

		assert_int_equal(set(s, "user.fred", limits(10, -1, -1)), STORE_OK);
		assert_int_equal(store_last_lsn(s), last);
	}
	store_close(&s);
	assert_int_equal(verify("counts"), 0);
}

static void domains_are_no_levels(void **state)
{
	struct store *s = must_open("domains");

	(void)state;
	(void)make(s, "example.com!user.fred");
	(void)make(s, "example.com!user.fred.x");
	(void)make(s, "example.org!user.fred");
	(void)make(s, "example");
	assert_int_equal(set(s, "example", limits(0, 0, 5)), STORE_OK);
	assert_int_equal(set(s, "example.com!user.fred", limits(1, -1, -1)), STORE_OK);
	assert_string_equal(used(s, "example.com!user.fred"), "0 0 2");
	assert_string_equal(used(s, "example"), "0 0 1");
	(void)make(s, "example.com!user.joe");
	assert_string_equal(used(s, "example"), "0 0 1");
	store_close(&s);
	assert_int_equal(verify("domains"), 0);
}

static void what_does_not_fit_changes_nothing(void **state)
{
	static char kib[1024 + 1];
	struct store *s = must_open("refuses");
	char *before, *after;

	(void)state;
	memset(kib, 'x', 1024);
	(void)make(s, "user.fred");
	(void)make(s, "user.bob");
	assert_int_equal(set(s, "user.fred", limits(2, 3, 2)), STORE_OK);
	assert_int_equal(append(s, "user.fred", kib, "", NULL), STORE_OK);
	assert_int_equal(append(s, "user.fred", kib, "", NULL), STORE_OK); /* exactly full */
	assert_int_equal(append(s, "user.bob", "x", "", NULL), STORE_OK);
	before = dump(s);
	assert_int_equal(append(s, "user.fred", "x", "", NULL), STORE_OVER_QUOTA);
	assert_int_equal(transfer(s, INTENT_COPY, "user.bob", 1, "user.fred"), STORE_OVER_QUOTA);
	assert_int_equal(transfer(s, INTENT_MOVE, "user.bob", 1, "user.fred"), STORE_OVER_QUOTA);
	assert_int_equal(transfer(s, INTENT_COPY, "user.fred", 1, "user.fred"), STORE_OVER_QUOTA);
	after = dump(s);
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* Within one root a move is nothing more. */
	assert_int_equal(make(s, "user.fred.a"), STORE_OK);
	assert_int_equal(transfer(s, INTENT_MOVE, "user.fred", 1, "user.fred.a"), STORE_OK);
	assert_int_equal(make(s, "user.fred.b"), STORE_OVER_QUOTA);
	/* Limits below what is there refuse, and remove nothing. */
	assert_int_equal(set(s, "user.fred", limits(0, 0, 0)), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "2048 2 2");
	assert_int_equal(transfer(s, INTENT_MOVE, "user.fred.a", 1, "user.fred"), STORE_OK);
	assert_int_equal(append(s, "user.fred", "x", "", NULL), STORE_OVER_QUOTA);
	/* A number of octets that only fits 63 bits. */
	assert_int_equal(set(s, "user.fred", limits(INT64_MAX, INT64_MAX, INT64_MAX)), STORE_OK);
	assert_int_equal(append(s, "user.fred", "x", "", NULL), STORE_OK);
	{
		struct quota_limits beyond = limits(0, -1, -1);

		beyond.limit[0] = (uint64_t)INT64_MAX + 1;
		assert_int_equal(set(s, "user.fred", beyond), STORE_BAD);
	}
	store_close(&s);
	assert_int_equal(verify("refuses"), 0);
}

/* One message for several, some of which share a root. */
static void each_target_of_a_delivery_is_asked_for_itself(void **state)
{
	struct store *s = must_open("targets");
	struct append_target t[4] = { { .mailbox = BYTES_LIT("user.fred") }, { .mailbox = BYTES_LIT("user.fred.a") },
		                      { .mailbox = BYTES_LIT("user.bob") }, { .mailbox = BYTES_LIT("user.fred") } };
	struct intent in = { .op = INTENT_APPEND, .append = { .targets = t, .target_count = 4, .body = BYTES_LIT("12345678") } };
	struct arena a = { 0 };

	(void)state;
	(void)make(s, "user.fred");
	(void)make(s, "user.fred.a");
	(void)make(s, "user.bob");
	assert_int_equal(set(s, "user.fred", limits(-1, 1, -1)), STORE_OK);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(t[0].result, STORE_OK);
	assert_int_equal(t[1].result, STORE_OVER_QUOTA);
	assert_int_equal(t[2].result, STORE_OK);
	assert_int_equal(t[3].result, STORE_OK); /* the same mailbox twice is one delivery */
	assert_string_equal(used(s, "user.fred"), "8 1 2");
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(t[0].result, STORE_OVER_QUOTA);
	assert_int_equal(t[2].result, STORE_OK);
	/* The message that passes the limit is taken, the next is not. */
	for (int i = 0; i < 4; i++)
		t[i].quota = QUOTA_CHECK_OVER;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(t[0].result, STORE_OK);
	assert_int_equal(t[1].result, STORE_OVER_QUOTA);
	assert_string_equal(used(s, "user.fred"), "16 2 2");
	t[1].quota = QUOTA_CHECK_NONE;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(t[0].result, STORE_OVER_QUOTA);
	assert_int_equal(t[1].result, STORE_OK);
	/* Nobody takes it. */
	t[1].quota = QUOTA_CHECK;
	in.append.target_count = 2;
	assert_int_equal(run(s, in, &a).result, STORE_OVER_QUOTA);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("targets"), 0);
}

static void intents_of_one_turn_see_each_other(void **state)
{
	struct store *s = must_open("turn");
	struct append_target t[3] = { { .mailbox = BYTES_LIT("user.fred") }, { .mailbox = BYTES_LIT("user.fred") },
		                      { .mailbox = BYTES_LIT("user.fred") } };
	struct intent in[3];
	struct intent_answer out[3];
	struct arena a = { 0 };
	struct fault why;

	(void)state;
	(void)make(s, "user.fred");
	assert_int_equal(set(s, "user.fred", limits(-1, 2, -1)), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	for (int i = 0; i < 3; i++) {
		in[i] = (struct intent){ .op = INTENT_APPEND, .append = { .targets = &t[i], .target_count = 1, .body = BYTES_LIT("x") } };
		store_turn_add(s, &in[i], &a, &out[i]);
	}
	assert_int_equal(out[1].result, STORE_OK);
	assert_int_equal(out[2].result, STORE_OVER_QUOTA);
	flush(s);
	assert_int_equal(store_turn_commit(s, store_last_lsn(s), NULL, &why), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "2 2 1");
	arena_fini(&a);
	store_close(&s);
}

static void a_rename_takes_its_root_along_or_has_to_fit(void **state)
{
	static const char *const away[][2] = { { "user.fred", "user.joe" }, { "user.fred.a", "user.joe.a" }, { "user.fred.a.b", "user.joe.a.b" } };
	static const char *const in[][2] = { { "user.bob.x", "user.joe.x" } };
	static const char *const out[][2] = { { "user.joe.a", "shared.a" }, { "user.joe.a.b", "shared.a.b" } };
	struct store *s = must_open("rename");
	struct intent inbox = { .op = INTENT_RENAME_INBOX, .rename_inbox = { BYTES_LIT("user.bob"), BYTES_LIT("user.joe.in"),
		                                                              BYTES_NONE, BYTES_LIT("default"), 0 } };
	struct arena a = { 0 };
	char *before, *after;

	(void)state;
	(void)make(s, "user.fred");
	(void)make(s, "user.fred.a");
	(void)make(s, "user.fred.a.b");
	(void)make(s, "user.bob");
	(void)make(s, "user.bob.x");
	(void)append(s, "user.fred.a.b", "12345", "", NULL);
	(void)append(s, "user.bob.x", "123", "", NULL);
	(void)append(s, "user.bob", "1234567", "", NULL);
	assert_int_equal(set(s, "user.fred", limits(-1, 1, 3)), STORE_OK);
	assert_int_equal(set(s, "user.fred.a", limits(-1, 1, -1)), STORE_OK);
	assert_int_equal(set(s, "user.bob", limits(-1, 9, -1)), STORE_OK);
	assert_int_equal(rename_to(s, away, 3), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "none");
	assert_string_equal(used(s, "user.fred.a"), "none");
	assert_string_equal(used(s, "user.joe"), "0 0 1");
	assert_string_equal(used(s, "user.joe.a"), "5 1 2");
	/* What comes from another root has to fit, whole. */
	assert_int_equal(rename_to(s, in, 1), STORE_OK);
	assert_string_equal(used(s, "user.joe"), "3 1 2");
	assert_string_equal(used(s, "user.bob"), "7 1 1");
	before = dump(s);
	assert_int_equal(run(s, inbox, &a).result, STORE_OVER_QUOTA);
	after = dump(s);
	assert_string_equal(before, after);
	free(before);
	free(after);
	assert_int_equal(set(s, "user.joe", limits(-1, 2, 3)), STORE_OK);
	assert_int_equal(run(s, inbox, &a).result, STORE_OK);
	assert_string_equal(used(s, "user.joe"), "10 2 3");
	assert_string_equal(used(s, "user.bob"), "0 0 1");
	assert_int_equal(rename_to(s, out, 2), STORE_OK);
	assert_string_equal(used(s, "shared.a"), "5 1 2");
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("rename"), 0);
}

static void a_new_mailbox_may_begin_with_limits(void **state)
{
	const struct quota_limits l = limits(100, 5, -1);
	struct intent in = create("user.fred");
	struct store *s = must_open("begins");
	struct arena a = { 0 };

	(void)state;
	in.create.limits = &l;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_string_equal(used(s, "user.fred"), "0 0 1");
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("begins"), 0);
}

static mailbox_id_t id_or_none(struct store *s, const char *name)
{
	struct fault why;
	struct mailbox m = { 0 };
	struct store_view *v = store_view_open(s, &why);

	if (store_view_mailbox(v, bytes_of(name), &m, &why) != STORE_OK)
		m.id = 0;
	store_view_close(&v);
	return m.id;
}

/* One or two messages to TO, for which one of FROM may go. */
static void replace_some(struct store *s, const char *to, const char *from, mailbox_id_t id, uint32_t uid)
{
	struct place_message two[2] = { { .body = bytes_of(&"some octets of a message"[rand() % 20]), .structure = BYTES_LIT("s") },
		                        { .body = BYTES_LIT("another"), .structure = BYTES_LIT("s") } };
	struct arena a = { 0 };
	mailbox_id_t other = rand() % 2 ? id : id_or_none(s, from);

	(void)run(s, (struct intent){ .op = INTENT_PLACE, .place = { .target = bytes_of(to), .messages = two, .count = 1 + (size_t)rand() % 2,
	                                                             .source = other, .replaced = other == 0 ? 0 : uid } }, &a);
	arena_fini(&a);
}

/* Mailboxes at three levels, roots among them, and all that changes either. */
static void some_limited_life(struct store *s, unsigned seed)
{
	static const char *const names[] = { "user.a", "user.a.x", "user.a.x.1", "user.a.y", "user.b", "user.b.x", "user.b.x.1", "shared" };
	struct arena a = { 0 };

	srand(seed);
	for (int i = 0; i < 400; i++) {
		const char *name = names[rand() % 8], *other = names[rand() % 8];
		const struct uid_range r = { 1 + (uint32_t)rand() % 5, 5 + (uint32_t)rand() % 5 };
		struct fault why;
		struct mailbox m;
		struct store_view *v = store_view_open(s, &why);
		bool is_there = store_view_mailbox(v, bytes_of(name), &m, &why) == STORE_OK;

		store_view_close(&v);
		switch (is_there ? 1 + rand() % 13 : rand() % 2 * 9) {
		case 0:
			(void)make(s, name);
			break;
		case 1:
		case 2:
		case 3:
			(void)append(s, name, &"some octets of a message"[rand() % 20], "", NULL);
			break;
		case 4:
			(void)run(s, (struct intent){ .op = INTENT_STORE, .store = { m.id, &r, 1, INTENT_FLAGS_ADD, IMAP_FLAG_DELETED,
			                                                             NULL, 0, false, 0 } }, &a);
			break;
		case 5:
			(void)run(s, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { m.id, &r, 1, false, true } }, &a);
			break;
		case 6:
			(void)run(s, (struct intent){ .op = rand() % 2 ? INTENT_COPY : INTENT_MOVE, .copy = { .mailbox = m.id, .uids = &r, .uid_count = 1, .target = bytes_of(other) } }, &a);
			break;
		case 7:
			if (rand() % 3 == 0)
				(void)run(s, (struct intent){ .op = INTENT_DELETE, .delete = { bytes_of(name) } }, &a);
			else
				(void)run(s, (struct intent){ .op = INTENT_UNDELETE, .undelete = { .name = bytes_of(name) } }, &a);
			break;
		case 8: {
			const char *const pair[][2] = { { name, other } };

			(void)rename_to(s, pair, 1);
			break;
		}
		case 9:
			(void)set(s, name, limits(rand() % 3 - 1, rand() % 40 - 1, rand() % 9 - 1));
			break;
		case 10:
			replace_some(s, name, other, m.id, r.first);
			break;
		case 11:
			(void)run(s, (struct intent){ .op = INTENT_RENAME_INBOX, .rename_inbox = { .from = bytes_of(name), .to = bytes_of(other) } }, &a);
			break;
		case 12: {
			/* One below the other, so that a name is free only once its mailbox has gone on. */
			const char *const pairs[][2] = { { "user.a.x.1", "user.b.x.1" }, { "user.a.x", "user.a.x.1" }, { "user.a", "user.a.x" } };

			(void)rename_to(s, pairs + rand() % 3, 1);
			(void)rename_to(s, pairs, 3);
			break;
		}
		case 13: {
			const struct attribute_change c = { BYTES_NONE, bytes_of(rand() % 2 ? "/x" : "/y"), bytes_of(name), rand() % 3 != 0, BYTES_NONE };

			(void)run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .mailbox = m.id, .uids = &r, .uid_count = 1,
			                                                                     .changes = { .at = &c, .count = 1 } } }, &a);
			break;
		}
		}
		arena_fini(&a);
	}
}

/* What IN says of quota roots, in the order that it has them. */
static size_t count_quota_lines(const char *text)
{
	const char *at = text;
	size_t n = 0;

	while ((at = strstr(at, "\nquota ")) != NULL) {
		at++;
		n++;
	}
	return n;
}

static void follower_rebuilt_index_and_checkpoint_count_the_same(void **state)
{
	size_t roots = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 6; seed++) {
		char mine[16], other[16];
		struct store *m, *f;
		struct store_options o;
		struct fault why;
		char *a, *b;

		(void)snprintf(mine, sizeof(mine), "m%u", seed);
		(void)snprintf(other, sizeof(other), "f%u", seed);
		o = options(mine);
		o.expunge_delay = seed % 2 * 1000;
		m = store_open(&o, &why);
		f = must_open(other);
		some_limited_life(m, seed);
		checkpoint(m);
		some_limited_life(m, seed + 100);
		copy_entries(m, f);
		a = dump(m);
		b = dump(f);
		assert_string_equal(a, b);
		roots += count_quota_lines(a);
		free(b);
		store_close(&f);
		store_close(&m);
		assert_int_equal(verify(mine), 0);
		assert_int_equal(verify(other), 0);
		o = options(mine);
		assert_true(store_rebuild(&o, stdout, &why));
		m = must_open(mine);
		(void)store_apply_committed(m, store_last_lsn(m), NULL, &why);
		b = dump(m);
		assert_string_equal(a, b);
		free(a);
		free(b);
		store_close(&m);
	}
	assert_true(roots > 6);
}

static void copy_table(struct kv *from, struct kv *to, size_t table)
{
	struct fault why;
	struct kv_txn *r = kv_read(from, &why), *w = kv_write(to, &why);
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(r, table, BYTES_NONE, &key, &value);

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value))
		assert_int_equal(kv_put(w, table, key, value), KV_OK);
	kv_cursor_end(&c);
	kv_end(&r);
	assert_true(kv_commit(&w, &why));
}

/* As who only reads sees it; to be freed. */
static char *dump_closed(const struct store_options *o)
{
	struct fault why;
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_true(store_dump(o, out, &why));
	(void)fclose(out);
	return text;
}

/* An index as versions before had it: without the tables that came since. */
static void an_index_of_before_quotas_is_gone_on_with(void **state)
{
	struct store *s = must_open("old");
	struct store_options o = options("old");
	char from[160], to[160], file[200], new_file[200], *before, *after;
	struct kv *k, *old;
	struct fault why;

	(void)state;
	(void)make(s, "user.fred");
	(void)append(s, "user.fred", "12345", "", NULL);
	store_close(&s);
	(void)snprintf(from, sizeof(from), "%s/index", o.dir);
	(void)snprintf(to, sizeof(to), "%s/index.old", o.dir);
	k = kv_open(from, 64u << 20, store_tables, T_COUNT, false, false, &why);
	old = kv_open(to, 64u << 20, store_tables, T_ATTRIBUTE, false, false, &why);
	assert_true(k != NULL && old != NULL);
	for (size_t i = 0; i < T_ATTRIBUTE; i++)
		copy_table(k, old, i);
	kv_close(&k);
	kv_close(&old);
	(void)snprintf(file, sizeof(file), "%s/data.mdb", to);
	(void)snprintf(new_file, sizeof(new_file), "%s/data.mdb", from);
	assert_int_equal(rename(file, new_file), 0);
	/* To who only reads they are empty, as they will be after the next start. */
	assert_int_equal(verify("old"), 0);
	before = dump_closed(&o);
	assert_non_null(strstr(before, "\nmessage uid=1 "));
	s = must_open("old");
	store_close(&s);
	after = dump_closed(&o);
	assert_string_equal(before, after);
	free(before);
	free(after);
	s = must_open("old");
	assert_int_equal(set(s, "user.fred", limits(1, -1, -1)), STORE_OK);
	assert_string_equal(used(s, "user.fred"), "5 1 1");
	store_close(&s);
	assert_int_equal(verify("old"), 0);
}

static void verify_tells_of_counters_that_are_wrong(void **state)
{
	struct store *s = must_open("wrong");
	struct store_options o = options("wrong");
	char dir[160];
	struct kv *k;
	struct kv_txn *t;
	struct fault why;
	struct buffer b = { 0 };
	const struct quota_limits l = limits(1, -1, -1);

	(void)state;
	(void)make(s, "user.fred");
	assert_int_equal(set(s, "user.fred", l), STORE_OK);
	store_close(&s);
	assert_int_equal(verify("wrong"), 0);
	(void)snprintf(dir, sizeof(dir), "%s/index", o.dir);
	k = kv_open(dir, 64u << 20, store_tables, T_COUNT, false, false, &why);
	t = kv_write(k, &why);
	for (int i = 0; i < QUOTA_RESOURCES; i++)
		buffer_add_u64le(&b, 7);
	quota_limits_write(&b, &l);
	assert_int_equal(kv_put(t, T_QUOTA, BYTES_LIT("user.fred"), buffer_bytes(&b)), KV_OK);
	assert_true(kv_commit(&t, &why));
	kv_close(&k);
	buffer_fini(&b);
	assert_int_equal(verify("wrong"), 2); /* and its digest */
}

static void what_is_to_go_is_added_up_in_steps(void **state)
{
	struct store *s = must_open("deleted");
	struct arena a = { 0 };
	const struct uid_range some[] = { { 2, 3 }, { 7, 7 } };
	struct view_deleted d = { .uid = 1 };
	struct store_view *v;
	struct mailbox m;
	struct fault why;
	int steps = 0;

	(void)state;
	(void)make(s, "user.fred");
	for (int i = 0; i < 9; i++)
		(void)append(s, "user.fred", &"123456789"[i], "", NULL);
	(void)run(s, (struct intent){ .op = INTENT_STORE, .store = { id_of(s, "user.fred"), some, 2, INTENT_FLAGS_ADD, IMAP_FLAG_DELETED,
	                                                             NULL, 0, false, 0 } }, &a);
	v = store_view_open(s, &why);
	assert_int_equal(store_view_mailbox(v, BYTES_LIT("user.fred"), &m, &why), STORE_OK);
	for (; d.uid != 0 && steps < 20; steps++)
		assert_int_equal(store_view_deleted(v, &m, 2, &d, &why), STORE_OK);
	assert_int_equal(steps, 4); /* behind the last there is nothing to look for */
	assert_int_equal(d.count, 3);
	assert_int_equal(d.bytes, 8 + 7 + 3);
	m.deleted = 4; /* as it was told before one went */
	d = (struct view_deleted){ .uid = 1 };
	assert_int_equal(store_view_deleted(v, &m, SIZE_MAX, &d, &why), STORE_OK);
	assert_true(d.uid == 0 && d.count == 3);
	store_view_close(&v);
	arena_fini(&a);
	store_close(&s);
}

static void an_entry_is_read_as_it_was_written_and_nothing_else(void **state)
{
	struct entry e = { .type = ENTRY_QUOTA, .lsn = 5, .epoch = 1, .name = BYTES_LIT("user.fred"), .limits = limits(1, -1, INT64_MAX) };
	struct buffer b = { 0 };
	struct arena a = { 0 };
	struct entry back;
	struct fault why;

	(void)state;
	entry_write(&b, &e);
	assert_int_equal(b.n, ENTRY_HEADER + 4 + 9 + 1 + 16);
	assert_true(entry_read(buffer_bytes(&b), BYTES_NONE, true, &a, &back, &why));
	assert_true(quota_limits_equal(&e.limits, &back.limits) && bytes_equal(e.name, back.name));
	buffer_fini(&b);
	e.name = BYTES_NONE;
	entry_write(&b, &e);
	assert_false(entry_read(buffer_bytes(&b), BYTES_NONE, true, &a, &back, &why));
	buffer_fini(&b);
	e.name = BYTES_LIT("x");
	e.limits.limit[QUOTA_MAILBOX] = (uint64_t)INT64_MAX + 1;
	entry_write(&b, &e);
	assert_false(entry_read(buffer_bytes(&b), BYTES_NONE, true, &a, &back, &why));
	buffer_fini(&b);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_root_counts_its_own_and_those_below_without_a_nearer_one),
		cmocka_unit_test(domains_are_no_levels),
		cmocka_unit_test(what_does_not_fit_changes_nothing),
		cmocka_unit_test(each_target_of_a_delivery_is_asked_for_itself),
		cmocka_unit_test(intents_of_one_turn_see_each_other),
		cmocka_unit_test(a_rename_takes_its_root_along_or_has_to_fit),
		cmocka_unit_test(a_new_mailbox_may_begin_with_limits),
		cmocka_unit_test(follower_rebuilt_index_and_checkpoint_count_the_same),
		cmocka_unit_test(an_index_of_before_quotas_is_gone_on_with),
		cmocka_unit_test(verify_tells_of_counters_that_are_wrong),
		cmocka_unit_test(what_is_to_go_is_added_up_in_steps),
		cmocka_unit_test(an_entry_is_read_as_it_was_written_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
