/* Expunged messages that are kept: had back with what they were, let go when their time is over, the same on a follower. */
#include "store_lib.h"

#include "file.h"
#include "store_private.h"
#include "undelete.h"

static struct store *open_keeping(const char *name, uint64_t delay)
{
	struct store_options o = options(name);
	struct fault why;
	struct store *s;

	o.expunge_delay = delay;
	s = store_open(&o, &why);
	if (s == NULL)
		fail_msg("%s", why.what);
	return s;
}

static mailbox_id_t id_of(struct store *s, const char *name)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct mailbox m = { 0 };

	(void)store_view_mailbox(v, bytes_of(name), &m, &why);
	store_view_close(&v);
	return m.id;
}

static void expunge(struct store *s, const char *name, uint32_t first, uint32_t last)
{
	struct uid_range r = { first, last };
	struct arena a = { 0 };

	assert_int_equal(run(s, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { id_of(s, name), &r, 1, false, false } }, &a).result, STORE_OK);
	arena_fini(&a);
}

static size_t undelete(struct store *s, const char *name, const char *uids, int64_t since)
{
	struct arena a = { 0 };
	struct intent in = { .op = INTENT_UNDELETE, .undelete = { .name = bytes_of(name), .since = since } };
	struct intent_answer out;

	assert_true(undelete_parse_uids(bytes_of(uids), &a, &in.undelete));
	out = run(s, in, &a);
	assert_int_equal(out.result, STORE_OK);
	arena_fini(&a);
	return out.message_count;
}

static size_t reclaim(struct store *s, int64_t before, size_t most)
{
	struct arena a = { 0 };
	struct intent_answer out = run(s, (struct intent){ .op = INTENT_RECLAIM, .reclaim = { before, most } }, &a);

	assert_int_equal(out.result, STORE_OK);
	arena_fini(&a);
	return out.message_count;
}

static size_t count_of(struct store *s, size_t table)
{
	struct fault why;
	struct kv_txn *t = kv_read(s->kv, &why);
	size_t n = kv_count(t, table);

	kv_end(&t);
	return n;
}

static void fill(struct store *s)
{
	struct arena a = { 0 };

	(void)run(s, create("user.fred"), &a);
	for (int i = 0; i < 9; i++) {
		char body[32];

		(void)snprintf(body, sizeof(body), "message %d", i + 1);
		assert_int_equal(append(s, "user.fred", body, "", NULL), STORE_OK);
	}
	arena_fini(&a);
}

static void expunged_message_comes_back_as_it_was_under_a_new_uid(void **state)
{
	struct store *s = open_keeping("back", 3600);
	struct fault why;
	struct store_view *v;
	struct message m;
	struct buffer body = { 0 };

	(void)state;
	fill(s);
	expunge(s, "user.fred", 2, 4);
	assert_int_equal(count_of(s, T_EXPUNGED), 3);
	assert_int_equal(count_of(s, T_BODY), 9);
	assert_int_equal(undelete(s, "user.fred", "3,8:9", 0), 1);
	assert_int_equal(undelete(s, "user.fred", "3", 0), 0);
	assert_int_equal(undelete(s, "user.fred", "", INT64_MAX), 0);
	v = store_view_open(s, &why);
	assert_int_equal(store_view_message(v, id_of(s, "user.fred"), 3, &m, &why), STORE_NO_MAILBOX);
	assert_int_equal(store_view_message(v, id_of(s, "user.fred"), 10, &m, &why), STORE_OK);
	assert_int_equal(m.flags, IMAP_FLAG_SEEN);
	assert_int_equal(m.internaldate, 1000);
	assert_int_equal(m.keywords, 1);
	assert_int_equal(store_view_body(v, m.body, 0, SIZE_MAX, &body, &why), STORE_OK);
	assert_true(bytes_equal_str(buffer_bytes(&body), "message 3"));
	store_view_close(&v);
	assert_int_equal(undelete(s, "user.fred", "", 0), 2);
	assert_int_equal(count_of(s, T_EXPUNGED), 0);
	assert_int_equal(count_of(s, T_EXPUNGED_ORDER), 0);
	buffer_fini(&body);
	store_close(&s);
	assert_int_equal(verify("back"), 0);
}

static void what_is_over_is_let_go_in_batches_and_its_body_is_freed(void **state)
{
	struct store *s = open_keeping("over", 3600);

	(void)state;
	fill(s);
	expunge(s, "user.fred", 1, 5);
	assert_false(store_has_reclaimable(s, 1000));
	assert_int_equal(reclaim(s, 1000, 10), 0);
	assert_true(store_has_reclaimable(s, INT64_MAX));
	assert_int_equal(reclaim(s, INT64_MAX, 3), 3);
	assert_int_equal(count_of(s, T_BODY), 6);
	assert_int_equal(s->freed, 3 * strlen("message 1"));
	assert_int_equal(reclaim(s, INT64_MAX, 3), 2);
	assert_false(store_has_reclaimable(s, INT64_MAX));
	assert_int_equal(count_of(s, T_BODY), 4);
	assert_int_equal(count_of(s, T_EXPUNGED_ORDER), 0);
	store_close(&s);
	/* Without a delay nothing is kept. */
	s = open_keeping("over", 0);
	expunge(s, "user.fred", 6, 9);
	assert_int_equal(count_of(s, T_BODY), 0);
	assert_int_equal(count_of(s, T_EXPUNGED), 0);
	store_close(&s);
	assert_int_equal(verify("over"), 0);
}

static void deleted_mailbox_takes_what_is_kept_of_it_along(void **state)
{
	struct store *s = open_keeping("gone", 3600);
	struct arena a = { 0 };
	struct kv_txn *t;
	struct fault why;

	(void)state;
	fill(s);
	(void)run(s, create("user.other"), &a);
	assert_int_equal(append(s, "user.other", "stays", "", NULL), STORE_OK);
	expunge(s, "user.fred", 1, 9);
	expunge(s, "user.other", 1, 1);
	(void)run(s, (struct intent){ .op = INTENT_DELETE, .delete = { BYTES_LIT("user.fred") } }, &a);
	assert_int_equal(count_of(s, T_EXPUNGED), 1);
	assert_int_equal(count_of(s, T_EXPUNGED_ORDER), 1);
	assert_int_equal(count_of(s, T_BODY), 1);
	assert_int_equal(undelete(s, "user.other", "", 0), 1);
	arena_fini(&a);
	expunge(s, "user.other", 2, 2);
	store_close(&s);
	assert_int_equal(verify("gone"), 0);
	s = open_keeping("gone", 3600);
	/* An order that has lost a row is told. */
	t = kv_write(s->kv, &why);
	assert_int_equal(kv_clear(t, T_EXPUNGED_ORDER), KV_OK);
	assert_true(kv_commit(&t, &why));
	store_close(&s);
	assert_int_equal(verify("gone"), 1);
}

static void follower_and_rebuilt_index_keep_the_same(void **state)
{
	struct store *m = open_keeping("m", 3600), *f = must_open("f");
	struct store_options o = options("m");
	struct fault why;
	char *a, *b;

	(void)state;
	some_life(m, 41);
	fill(m);
	expunge(m, "user.fred", 1, 7);
	(void)undelete(m, "user.fred", "2:3", 0);
	(void)reclaim(m, INT64_MAX, 20);
	checkpoint(m);
	expunge(m, "user.fred", 8, 9);
	some_life(m, 42);
	a = dump(m);
	assert_non_null(strstr(a, "\nexpunged uid="));
	copy_entries(m, f);
	b = dump(f);
	assert_string_equal(a, b);
	free(b);
	store_close(&f);
	store_close(&m);
	assert_true(store_rebuild(&o, stdout, &why));
	m = open_keeping("m", 3600);
	(void)store_apply_committed(m, store_last_lsn(m), NULL, &why);
	b = dump(m);
	assert_string_equal(a, b);
	free(a);
	free(b);
	store_close(&m);
}

static void request_is_taken_once_and_what_is_none_is_removed(void **state)
{
	struct undelete_request r;
	struct buffer text = { 0 };
	struct arena a = { 0 };
	struct intent_undelete in = { .name = BYTES_LIT("user.fred"), .since = 77 };
	struct fault why;
	char path[256], *name;

	(void)state;
	assert_false(undelete_take(base, &r));
	assert_true(undelete_parse_uids(BYTES_LIT("1:3,9"), &a, &in));
	assert_true(undelete_ask(base, &in, &name, &why));
	assert_true(undelete_take(base, &r));
	assert_string_equal(r.name, name);
	assert_true(bytes_equal_str(r.intent.name, "user.fred") && r.intent.since == 77 && r.intent.uid_count == 2);
	assert_int_equal(r.intent.uids[1].first, 9);
	assert_false(undelete_give_up(base, name));
	assert_false(undelete_answered(base, name, &text));
	assert_true(undelete_answer(base, name, "ok\n", &why));
	assert_true(undelete_answered(base, name, &text));
	undelete_fini(&r);
	for (const char **bad = (const char *[]){ "", "x", "roost-undelete 1\n", "roost-undelete 1\n0\n\n", "roost-undelete 1\n-1\n\nn",
	                                          "roost-undelete 1\n0\n3:2\nn", "roost-undelete 1\n0\n1,\nn", NULL }; *bad != NULL; bad++) {
		(void)snprintf(path, sizeof(path), "%s/undelete/x.request", base);
		assert_true(file_replace(path, bytes_of(*bad), 0600, &why));
		assert_false(undelete_take(base, &r));
		assert_int_equal(access(path, F_OK), -1);
	}
	free(name);
	buffer_fini(&text);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expunged_message_comes_back_as_it_was_under_a_new_uid),
		cmocka_unit_test(what_is_over_is_let_go_in_batches_and_its_body_is_freed),
		cmocka_unit_test(deleted_mailbox_takes_what_is_kept_of_it_along),
		cmocka_unit_test(follower_and_rebuilt_index_keep_the_same),
		cmocka_unit_test(request_is_taken_once_and_what_is_none_is_removed),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
