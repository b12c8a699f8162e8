/* A master's store and a follower's in temporary directories: what one does the other repeats from the entries alone. */
#include "store_lib.h"

#include "clock.h"
#include "entry.h"

static void follower_and_rebuilt_index_are_the_same_as_the_master(void **state)
{
	struct store *m = must_open("m"), *f = must_open("f");
	struct store_options o;
	struct fault why;
	char *a, *b;

	(void)state;
	some_life(m, 7);
	copy_entries(m, f);
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	assert_true(strlen(a) > 1000);
	free(b);
	store_close(&m);
	store_close(&f);
	assert_int_equal(verify("m"), 0);
	o = options("m");
	assert_true(store_rebuild(&o, stdout, &why));
	m = must_open("m");
	/* The last entry is committed only by the word of another: the next turn takes it up. */
	(void)store_apply_committed(m, store_last_lsn(m), NULL, &why);
	b = dump(m);
	assert_string_equal(a, b);
	free(a);
	free(b);
	store_close(&m);
}

/* As copy_entries(), but as the earlier version wrote them: without times. */
static void copy_old_entries(struct store *from, struct store *to)
{
	for (lsn_t lsn = store_last_lsn(to) + 1; lsn <= store_last_lsn(from); lsn++) {
		struct buffer raw = { 0 }, old = { 0 };
		struct arena a = { 0 };
		struct entry_header h;
		struct entry e;
		struct fault why;
		lsn_t last;

		assert_int_equal(store_read_entries(from, lsn, 1, &raw, &last, &why), STORE_OK);
		assert_true(entry_header_read(buffer_bytes(&raw), &h) && h.lsn == lsn);
		assert_true(entry_read(bytes_sub(buffer_bytes(&raw), 0, h.head_size),
		                       bytes_sub(buffer_bytes(&raw), h.head_size, h.body_size), true, &a, &e, &why));
		e.time = 0;
		entry_write(&old, &e);
		buffer_add(&old, e.body);
		if (store_follow_append(to, buffer_bytes(&old), &why) != STORE_FOLLOW_OK)
			fail_msg("%s", why.what);
		flush(to);
		buffer_fini(&raw);
		buffer_fini(&old);
		arena_fini(&a);
	}
	while (store_applied_lsn(to) < store_last_lsn(to)) {
		struct fault why;

		assert_int_equal(store_apply_committed(to, store_last_lsn(to), NULL, &why), STORE_OK);
	}
}

static int64_t savedate(struct store *s, mailbox_id_t mailbox, uint32_t uid)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct message m;

	assert_int_equal(store_view_message(v, mailbox, uid, &m, &why), STORE_OK);
	store_view_close(&v);
	return m.savedate;
}

static void messages_of_the_earlier_version_have_no_savedate_and_go_on_beside_new_ones(void **state)
{
	struct store *s = must_open("timed"), *old = must_open("untimed"), *f = must_open("untimed2");
	struct uid_range one = { 1, 1 };
	struct intent copy = { .op = INTENT_COPY, .copy = { .uids = &one, .uid_count = 1, .target = BYTES_LIT("user.fred") } };
	struct intent flag = { .op = INTENT_STORE, .store = { .uids = &one, .uid_count = 1, .how = INTENT_FLAGS_ADD, .flags = IMAP_FLAG_FLAGGED } };
	struct arena a = { 0 };
	struct intent_answer out;
	int64_t now = clock_wall_s();
	char *text, *again;

	(void)state;
	out = run(s, create("user.fred"), &a);
	copy.copy.mailbox = flag.store.mailbox = out.mailbox;
	assert_int_equal(append(s, "user.fred", "body", "", NULL), STORE_OK);
	assert_int_equal(run(s, copy, &a).result, STORE_OK);
	assert_in_range(savedate(s, out.mailbox, 1), now, now + 60);
	assert_in_range(savedate(s, out.mailbox, 2), now, now + 60);
	copy_old_entries(s, old);
	assert_int_equal(savedate(old, out.mailbox, 1), 0);
	assert_int_equal(savedate(old, out.mailbox, 2), 0);
	text = dump(old);
	assert_null(strstr(text, "savedate="));
	free(text);
	/* The new version's, and a copy of an old one. */
	assert_int_equal(append(old, "user.fred", "body", "", NULL), STORE_OK);
	assert_int_equal(run(old, copy, &a).result, STORE_OK);
	assert_in_range(savedate(old, out.mailbox, 3), now, now + 60);
	assert_in_range(savedate(old, out.mailbox, 4), now, now + 60);
	assert_int_equal(run(old, flag, &a).result, STORE_OK);
	assert_int_equal(savedate(old, out.mailbox, 1), 0);
	copy_entries(old, f);
	text = dump(old);
	again = dump(f);
	assert_string_equal(text, again);
	free(text);
	free(again);
	store_close(&s);
	store_close(&old);
	store_close(&f);
	assert_int_equal(verify("untimed"), 0);
	arena_fini(&a);
}

static void second_delivery_of_an_operation_changes_nothing(void **state)
{
	struct store *s = must_open("op");
	struct arena a = { 0 };
	uint32_t first, second;
	lsn_t last;

	(void)state;
	assert_int_equal(run(s, create("user.fred"), &a).result, STORE_OK);
	assert_int_equal(run(s, create("user.fred"), &a).result, STORE_EXISTS);
	assert_int_equal(append(s, "user.fred", "body", "op1", &first), STORE_OK);
	last = store_last_lsn(s);
	assert_int_equal(append(s, "user.fred", "body", "op1", &second), STORE_OK);
	assert_int_equal(first, second);
	assert_int_equal(store_last_lsn(s), last);
	assert_int_equal(append(s, "user.nobody", "body", "op2", NULL), STORE_NO_MAILBOX);
	arena_fini(&a);
	store_close(&s);
}

static void a_second_id_is_looked_up_and_not_kept(void **state)
{
	struct store *s = must_open("also");
	struct append_target t = { .mailbox = BYTES_LIT("user.fred") };
	struct intent in = { .op = INTENT_APPEND, .append = { .targets = &t, .target_count = 1, .body = BYTES_LIT("body"),
		                                              .op_id = BYTES_LIT("new"), .also_id = BYTES_LIT("op1") } };
	struct arena a = { 0 };
	uint32_t first;

	(void)state;
	assert_int_equal(run(s, create("user.fred"), &a).result, STORE_OK);
	assert_int_equal(append(s, "user.fred", "body", "op1", &first), STORE_OK);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_true(t.was_done && t.uid == first);
	in.append.also_id = BYTES_LIT("op2");
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_true(!t.was_done && t.uid == first + 1);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_true(t.was_done && t.uid == first + 1);
	assert_int_equal(append(s, "user.fred", "body", "op2", &first), STORE_OK);
	assert_int_equal(first, t.uid + 1);
	arena_fini(&a);
	store_close(&s);
}

static void aborted_turn_leaves_no_trace(void **state)
{
	struct store *s = must_open("abort");
	struct intent in = create("user.eve");
	struct arena a = { 0 };
	struct intent_answer out;
	struct fault why;
	char *before, *after;

	(void)state;
	assert_int_equal(run(s, create("user.fred"), &a).result, STORE_OK);
	before = dump(s);
	assert_int_equal(store_reserve_space(s, 10000, &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	store_turn_add(s, &in, &a, &out);
	assert_int_equal(out.result, STORE_OK);
	store_turn_abort(s);
	after = dump(s);
	assert_string_equal(before, after);
	/* Written but not committed: still no trace in the index, and the next turn makes it visible. */
	assert_int_equal(store_reserve_space(s, 10000, &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	store_turn_add(s, &in, &a, &out);
	flush(s);
	store_turn_abort(s);
	free(after);
	after = dump(s);
	assert_string_equal(before, after);
	assert_int_equal(run(s, create("user.eve"), &a).result, STORE_EXISTS);
	free(before);
	free(after);
	arena_fini(&a);
	store_close(&s);
}

/* Cut the journal's only segment at N and see what opens. */
static void torn_tail_keeps_a_prefix_and_damage_before_it_is_told(void **state)
{
	struct store *s = must_open("torn");
	struct arena a = { 0 };
	char path[256], index[256];
	struct fault why;
	uint8_t *whole;
	size_t used;
	FILE *f;
	struct store_options o = options("torn");

	(void)state;
	for (int i = 0; i < 5; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "user.%d", i);
		(void)run(s, create(name), &a);
	}
	arena_fini(&a);
	{
		struct store_stats st;

		store_get_stats(s, &st);
		used = st.journal_bytes;
	}
	store_close(&s);
	(void)snprintf(path, sizeof(path), "%s/torn/journal/%016x.seg", base, 1);
	(void)snprintf(index, sizeof(index), "%s/torn/index.boot", base);
	whole = must_alloc(128u << 10);
	f = fopen(path, "r+");
	assert_int_equal(fread(whole, 1, 128u << 10, f), 128u << 10);
	for (size_t cut = 16384; cut < used - 8; cut += 3) {
		rewind(f);
		assert_int_equal(fwrite(whole, 1, cut, f), cut);
		for (size_t i = cut; i < used; i++)
			(void)fputc(0, f);
		(void)fflush(f);
		(void)unlink(index);
		s = store_open(&o, &why);
		if (s == NULL)
			fail_msg("cut at %zu: %s", cut, why.what);
		assert_true(store_last_lsn(s) < 5);
		store_close(&s);
	}
	for (size_t flip = 16384; flip < used - 200; flip += 5) {
		rewind(f);
		assert_int_equal(fwrite(whole, 1, 128u << 10, f), 128u << 10);
		(void)fseek(f, (long)flip, SEEK_SET);
		(void)fputc(whole[flip] ^ 0x10, f);
		(void)fflush(f);
		(void)unlink(index);
		s = store_open(&o, &why);
		/* Padding may be flipped unseen; everything else is told, with the segment's name. */
		if (s != NULL)
			assert_int_equal(store_last_lsn(s), 5);
		else
			assert_non_null(strstr(why.what, ".seg"));
		store_close(&s);
	}
	(void)fclose(f);
	free(whole);
}

static void rebuild_beside_who_has_it_open_is_refused_and_changes_nothing(void **state)
{
	struct store *s = must_open("busy");
	struct store_options o = options("busy");
	char boot[160];
	struct fault why;

	(void)state;
	(void)snprintf(boot, sizeof(boot), "%s/index.boot", o.dir);
	assert_int_equal(access(boot, F_OK), 0);
	assert_false(store_rebuild(&o, stdout, &why));
	assert_non_null(strstr(why.what, "in use"));
	assert_int_equal(access(boot, F_OK), 0);
	store_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rebuild_beside_who_has_it_open_is_refused_and_changes_nothing),
		cmocka_unit_test(follower_and_rebuilt_index_are_the_same_as_the_master),
		cmocka_unit_test(messages_of_the_earlier_version_have_no_savedate_and_go_on_beside_new_ones),
		cmocka_unit_test(second_delivery_of_an_operation_changes_nothing),
		cmocka_unit_test(a_second_id_is_looked_up_and_not_kept),
		cmocka_unit_test(aborted_turn_leaves_no_trace),
		cmocka_unit_test(torn_tail_keeps_a_prefix_and_damage_before_it_is_told),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
