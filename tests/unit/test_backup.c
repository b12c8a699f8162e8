/* Backups that are broken off: what was there stays good, and the next run brings it up. */
#include "store_lib.h"

#include "crash_lib.h"
#include "log.h"
#include "store_backup.h"

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

	if (!store_restore(&o, backup_dir(), lsn, stdout, &why))
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
	char *a, *b;
	int n;

	(void)state;
	log_set_level(LOG_ERROR);
	some_life(s, 31);
	first = store_last_lsn(s);
	a = dump(s);
	store_close(&s);
	for (n = 1; crashes_at(n, back_up, (void *)"of"); n += 5)
		assert_int_equal(problems(), 99); /* no base has its name yet */
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

	if (!store_restore(&o, backup_dir(), 0, stdout, &why))
		_exit(1);
}

static void partition_that_was_half_restored_is_not_taken_for_an_empty_one(void **state)
{
	struct store_options o = options("half");
	struct fault why;

	(void)state;
	assert_true(crashes_at(9, restore_again, (void *)"half"));
	assert_false(store_restore(&o, backup_dir(), 0, stdout, &why));
	assert_non_null(strstr(why.what, "move it away"));
}

static void what_is_not_there_is_refused(void **state)
{
	struct store_options o = options("none");
	struct fault why;

	(void)state;
	assert_false(store_restore(&o, backup_dir(), 1, stdout, &why));
	assert_non_null(strstr(why.what, "as old as that"));
	assert_false(store_restore(&o, backup_dir(), 1u << 30, stdout, &why));
	assert_non_null(strstr(why.what, "ends with entry"));
	assert_false(store_restore(&o, "/nonexistent", 0, stdout, &why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backup_that_is_killed_or_finds_no_room_harms_nothing),
		cmocka_unit_test(partition_that_was_half_restored_is_not_taken_for_an_empty_one),
		cmocka_unit_test(what_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
