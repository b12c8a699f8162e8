/* test_column.c - the cache of columns: what it keeps, what it lets go, and for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "column.h"

static struct column *made(enum column_kind kind, uint64_t mailbox, uint64_t epoch, size_t size)
{
	struct column *c = column_new(kind, mailbox, epoch);

	c->size = size;
	return c;
}

static void keep(struct column_cache *cache, enum column_kind kind, uint64_t mailbox, uint64_t epoch, size_t size)
{
	struct column *c = made(kind, mailbox, epoch, size);

	column_cache_put(cache, c);
	column_release(&c);
	assert_null(c);
}

static bool has(struct column_cache *cache, enum column_kind kind, uint64_t mailbox, uint64_t epoch)
{
	struct column *c = column_cache_get(cache, kind, mailbox, epoch);
	bool is = c != NULL;

	column_release(&c);
	return is;
}

static void the_least_used_go_first(void **state)
{
	struct column_cache cache;

	(void)state;
	column_cache_init(&cache, 1000);
	for (uint64_t m = 1; m <= 4; m++)
		keep(&cache, COLUMN_DATE, m, 1, 250);
	assert_true(has(&cache, COLUMN_DATE, 1, 1));
	keep(&cache, COLUMN_SIZE, 1, 1, 300); /* two have to go: 2 and 3 */
	assert_true(has(&cache, COLUMN_DATE, 1, 1) && has(&cache, COLUMN_SIZE, 1, 1) && has(&cache, COLUMN_DATE, 4, 1));
	assert_false(has(&cache, COLUMN_DATE, 2, 1) || has(&cache, COLUMN_DATE, 3, 1));
	assert_int_equal(cache.size, 800);
	column_cache_fini(&cache);
}

static void one_that_is_most_of_the_cache_is_not_kept(void **state)
{
	struct column_cache cache, none;

	(void)state;
	column_cache_init(&cache, 1000);
	keep(&cache, COLUMN_DATE, 1, 1, 500);
	keep(&cache, COLUMN_DATE, 2, 1, 501);
	assert_true(has(&cache, COLUMN_DATE, 1, 1));
	assert_false(has(&cache, COLUMN_DATE, 2, 1));
	column_cache_fini(&cache);
	column_cache_init(&none, 0);
	keep(&none, COLUMN_DATE, 1, 1, 1);
	assert_false(has(&none, COLUMN_DATE, 1, 1));
	column_cache_fini(&none);
}

static void a_column_takes_the_place_of_the_one_before(void **state)
{
	struct column_cache cache;
	struct column *held;

	(void)state;
	column_cache_init(&cache, 1000);
	keep(&cache, COLUMN_IDS, 7, 3, 100);
	held = column_cache_get(&cache, COLUMN_IDS, 7, 3);
	keep(&cache, COLUMN_IDS, 7, 3, 200);
	assert_int_equal(cache.size, 200);
	assert_int_equal(held->size, 100); /* whoever holds it goes on with it */
	column_cache_fini(&cache);
	assert_int_equal(held->mailbox, 7);
	column_release(&held);
}

static void another_reign_has_its_own(void **state)
{
	struct column_cache cache;

	(void)state;
	column_cache_init(&cache, 1000);
	keep(&cache, COLUMN_UIDS, 7, 3, 100);
	assert_false(has(&cache, COLUMN_UIDS, 7, 2)); /* a view of before leaves it */
	assert_true(has(&cache, COLUMN_UIDS, 7, 3));
	keep(&cache, COLUMN_UIDS, 7, 2, 100);
	assert_true(has(&cache, COLUMN_UIDS, 7, 3));
	assert_false(has(&cache, COLUMN_UIDS, 7, 4)); /* and that of a later one drops it */
	assert_int_equal(cache.size, 0);
	column_cache_fini(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_used_go_first),
		cmocka_unit_test(one_that_is_most_of_the_cache_is_not_kept),
		cmocka_unit_test(a_column_takes_the_place_of_the_one_before),
		cmocka_unit_test(another_reign_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
