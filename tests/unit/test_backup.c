/* Backups that are broken off: what was there stays good, and the next run brings it up. */
#include "store_lib.h"

#include "crash_lib.h"
#include "log.h"
#include "store_backup.h"
#include "store_private.h"

static char *backup_dir(void)
{
	static char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/backup", base);
	return dir;
}

static void back_up(void *arg)
{
	struct store_options o = options(arg);
	struct fault why;

	if (!store_backup(&o, backup_dir(), stdout, &why) && strstr(why.what, "space") == NULL) {
		(void)fprintf(stderr, "%s\n", why.what);
		_exit(1);
	}
}

static uint64_t problems(void)
{
	uint64_t n = 99;
	struct fault why;

	return store_backup_verify(backup_dir(), stdout, &n, &why) ? n : 99;
}

static void must_be_as(const char *name, lsn_t lsn, const char *want)
{
	struct store_options o = options(name);
	struct fault why;
	struct store *s;
	char *is;

	if (!store_restore(&o, backup_dir(), lsn, true, stdout, &why))
		fail_msg("%s", why.what);
	assert_int_equal(verify(name), 0);
	s = must_open(name);
	is = dump(s);
	assert_string_equal(is, want);
	free(is);
	store_close(&s);
}

static void backup_that_is_killed_or_finds_no_room_harms_nothing(void **state)
{
	struct store *s = must_open("of");
	lsn_t first, second;
	bool is_named = false;
	char *a, *b;
	int n;

	(void)state;
	log_set_level(LOG_ERROR);
	some_life(s, 31);
	first = store_last_lsn(s);
	a = dump(s);
	store_close(&s);
	for (n = 1; crashes_at(n, back_up, (void *)"of"); n += 5) {
		uint64_t found = problems();

		/* A base has its name only when it is whole, and then keeps it. */
		assert_true(found == 0 || (found == 99 && !is_named));
		is_named = found == 0;
	}
	assert_true(n > 40);
	assert_int_equal(problems(), 0);
	s = must_open("of");
	some_life(s, 32);
	second = store_last_lsn(s);
	b = dump(s);
	store_close(&s);
	for (n = 1; n < 60; n += 9) {
		crash_left = n;
		fault_errno_set = ENOSPC;
		back_up((void *)"of");
		crash_left = -1;
		fault_errno_set = 0;
		assert_int_equal(problems(), 0);
	}
	for (n = 1; crashes_at(n, back_up, (void *)"of"); n += 9)
		assert_int_equal(problems(), 0);
	back_up((void *)"of");
	assert_int_equal(problems(), 0);
	must_be_as("first", first, a);
	must_be_as("second", second, b);
	must_be_as("newest", 0, b);
	free(a);
	free(b);
}

static void restore_again(void *arg)
{
	struct store_options o = options(arg);
	struct fault why;

	if (!store_restore(&o, backup_dir(), 0, false, stdout, &why))
		_exit(1);
}

static void partition_that_was_half_restored_is_not_taken_for_an_empty_one(void **state)
{
	struct store_options o = options("half");
	struct fault why;

	(void)state;
	assert_true(crashes_at(15, restore_again, (void *)"half"));
	assert_false(store_restore(&o, backup_dir(), 0, false, stdout, &why));
	assert_non_null(strstr(why.what, "move it away"));
}

static void must_restore(const char *name, bool is_exact)
{
	struct store_options o = options(name);
	struct fault why;

	if (!store_restore(&o, backup_dir(), 0, is_exact, stdout, &why))
		fail_msg("%s", why.what);
}

/* The first entry of a reign, up to the sync; it is committed if IS_COMMITTED. */
static void reign(struct store *s, uint64_t of, bool is_committed)
{
	const struct intent_epoch in = { of, BYTES_LIT("one"), BYTES_LIT("one two") };
	struct intent intent = { .op = INTENT_EPOCH, .epoch = in };
	struct intent_answer out;
	struct arena a = { 0 };
	struct fault why;

	assert_int_equal(store_reserve_space(s, intent_cost(&intent), &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, of, &why), STORE_OK);
	store_turn_add(s, &intent, &a, &out);
	assert_int_equal(out.result, STORE_OK);
	flush(s);
	if (is_committed)
		assert_int_equal(store_turn_commit(s, store_last_lsn(s), NULL, &why), STORE_OK);
	else
		store_turn_abort(s);
	arena_fini(&a);
}

/* The lowest and the highest UIDVALIDITY of all mailboxes. */
static void span(struct store *s, uint32_t *low_r, uint32_t *high_r)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;

	*low_r = UINT32_MAX;
	*high_r = 0;
	store_view_names(v, BYTES_NONE, &it);
	while (view_names_next(&it, &name, &id)) {
		struct mailbox m;

		assert_int_equal(store_view_mailbox_by_id(v, id, &m, &why), STORE_OK);
		*low_r = m.uidvalidity < *low_r ? m.uidvalidity : *low_r;
		*high_r = m.uidvalidity > *high_r ? m.uidvalidity : *high_r;
	}
	view_names_end(&it);
	store_view_close(&v);
	assert_true(*high_r > 0);
}

static void must_not_change(struct store *s, uint32_t low, uint32_t high)
{
	uint32_t l, h;

	span(s, &l, &h);
	assert_int_equal(l, low);
	assert_int_equal(h, high);
}

static void first_reign_after_a_restore_renews_every_uidvalidity_on_all_members(void **state)
{
	struct store *of = must_open("of"), *s, *follower;
	struct arena a = { 0 };
	char *was, *is;
	uint32_t before, low, high;

	(void)state;
	was = dump(of);
	must_restore("reigns", false);
	must_restore("follows", true);
	/* What clients of the lost members saw after the backup. */
	for (int i = 0; i < 20; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "user.fred.new%d", i);
		(void)run(of, create(name), &a);
	}
	arena_fini(&a);
	span(of, &low, &before);
	store_close(&of);
	s = must_open("reigns");
	is = dump(s);
	assert_string_equal(is, was);
	free(is);
	reign(s, 2, true);
	span(s, &low, &high);
	assert_true(low > before);
	reign(s, 3, true);
	must_not_change(s, low, high);
	follower = must_open("follows");
	copy_entries(s, follower);
	free(was);
	was = dump(s);
	is = dump(follower);
	assert_string_equal(is, was);
	free(is);
	free(was);
	/* The follower's own reign changes nothing, nor does a later one of who was restored. */
	reign(follower, 4, true);
	must_not_change(follower, low, high);
	store_close(&s);
	store_close(&follower);
	assert_int_equal(verify("reigns"), 0);
	s = must_open("reigns");
	reign(s, 5, true);
	must_not_change(s, low, high);
	store_close(&s);
}

static void first_reign_that_is_broken_off_renews_once(void **state)
{
	struct store *s;
	uint32_t before, low, high, again_low, again_high;
	struct fault why;

	(void)state;
	must_restore("broken", false);
	s = must_open("broken");
	span(s, &low, &before);
	/* Made durable, and nobody knows whether it was committed. */
	reign(s, 2, false);
	must_not_change(s, low, before);
	store_close(&s);
	s = must_open("broken");
	reign(s, 3, true);
	span(s, &low, &high);
	assert_true(low > before);
	store_close(&s);
	/* One that was cut off again has renewed nothing. */
	must_restore("cut", false);
	s = must_open("cut");
	reign(s, 2, false);
	assert_int_equal(store_truncate_after(s, store_last_lsn(s) - 1, &why), STORE_OK);
	reign(s, 3, true);
	span(s, &again_low, &again_high);
	assert_true(again_low > before);
	store_close(&s);
}

static void exact_restore_changes_no_uidvalidity(void **state)
{
	struct store *s;
	uint32_t low, high;

	(void)state;
	must_restore("exact", true);
	s = must_open("exact");
	span(s, &low, &high);
	reign(s, 2, true);
	must_not_change(s, low, high);
	store_close(&s);
}

static char *output;

/* Bring DIR up to partition NAME; what it said is in output. */
static void back_up_to(const char *dir, const char *name)
{
	struct store_options o = options(name);
	char path[128];
	size_t n = 0;
	struct fault why;
	FILE *out;

	free(output);
	out = open_memstream(&output, &n);
	(void)snprintf(path, sizeof(path), "%s/%s", base, dir);
	if (!store_backup(&o, path, out, &why))
		fail_msg("%s", why.what);
	(void)fclose(out);
}

/* A new partition as the newest of DIR has it, or as of LSN. */
static struct store *must_have(const char *dir, const char *name, lsn_t lsn)
{
	struct store_options o = options(name);
	char path[128];
	struct fault why;

	(void)snprintf(path, sizeof(path), "%s/%s", base, dir);
	if (!store_restore(&o, path, lsn, true, stdout, &why))
		fail_msg("%s", why.what);
	return must_open(name);
}

static void must_be(struct store **s, const char *want)
{
	char *is = dump(*s);

	assert_string_equal(is, want);
	free(is);
	store_close(s);
}

static void histories_that_part_are_not_mixed(void **state)
{
	struct store *s = must_open("line");
	char *first, *second, *other, *third;
	lsn_t middle, end;

	(void)state;
	some_life(s, 41);
	middle = store_last_lsn(s);
	first = dump(s);
	store_close(&s);
	back_up_to("early", "line");
	s = must_open("line");
	some_life(s, 42);
	end = store_last_lsn(s);
	second = dump(s);
	store_close(&s);
	back_up_to("late", "line");
	/* A partition that is only behind adds nothing, and takes nothing away. */
	s = must_have("early", "behind", 0);
	must_be(&s, first);
	back_up_to("late", "behind");
	assert_non_null(strstr(output, "nothing to add"));
	s = must_have("late", "still", 0);
	must_be(&s, second);
	/* One that went another way under another epoch, and is not as far yet. */
	s = must_open("behind");
	reign(s, 2, true);
	other = dump(s);
	assert_true(store_last_lsn(s) < end);
	store_close(&s);
	back_up_to("late", "behind");
	assert_non_null(strstr(output, "another history"));
	s = must_have("late", "after", 0);
	must_be(&s, other);
	back_up_to("late", "behind");
	assert_non_null(strstr(output, "nothing to add"));
	/* The old one comes back. */
	back_up_to("late", "line");
	s = must_have("late", "back", 0);
	must_be(&s, second);
	/* One of the same epoch, as with a new directory. */
	s = must_have("early", "same", middle);
	some_life(s, 43);
	third = dump(s);
	store_close(&s);
	back_up_to("late", "same");
	assert_non_null(strstr(output, "another history"));
	s = must_have("late", "sameagain", 0);
	must_be(&s, third);
	/* What was in common stays to be restored. */
	back_up_to("early", "same");
	back_up_to("early", "line");
	s = must_have("early", "common", middle);
	must_be(&s, first);
	free(first);
	free(second);
	free(other);
	free(third);
	free(output);
}

/* A partition that was just restored ends with one; a file system that compresses says that it takes less than its size. */
static void nothing_is_written_behind_a_sparse_segment(void **state)
{
	struct store *s = must_have("early", "packed", 0);
	struct segment *last = s->journal.segments[s->journal.count - 1];

	(void)state;
	assert_true(last->is_sparse);
	last->used = SEGMENT_HEADER;
	assert_int_equal(append(s, "user.fred.0", "a message", "", NULL), STORE_OK);
	store_close(&s);
	assert_int_equal(verify("packed"), 0);
	s = must_open("packed");
	store_close(&s);
}

static void what_is_not_there_is_refused(void **state)
{
	struct store_options o = options("none");
	struct fault why;

	(void)state;
	assert_false(store_restore(&o, backup_dir(), 1, false, stdout, &why));
	assert_non_null(strstr(why.what, "as old as that"));
	assert_false(store_restore(&o, backup_dir(), 1u << 30, false, stdout, &why));
	assert_non_null(strstr(why.what, "ends with entry"));
	assert_false(store_restore(&o, "/nonexistent", 0, false, stdout, &why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backup_that_is_killed_or_finds_no_room_harms_nothing),
		cmocka_unit_test(partition_that_was_half_restored_is_not_taken_for_an_empty_one),
		cmocka_unit_test(first_reign_after_a_restore_renews_every_uidvalidity_on_all_members),
		cmocka_unit_test(first_reign_that_is_broken_off_renews_once),
		cmocka_unit_test(exact_restore_changes_no_uidvalidity),
		cmocka_unit_test(histories_that_part_are_not_mixed),
		cmocka_unit_test(nothing_is_written_behind_a_sparse_segment),
		cmocka_unit_test(what_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
