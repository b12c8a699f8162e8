/* Decisions on a view of the records, and the copy of another directory's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dir_mirror.h"
#include "record_store.h"

struct fixture {
	char dir[64];
	struct kv *kv;
	struct dir_mirror *mirror;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct fault why;

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-unit-directory-%d", (int)getpid());
	f->kv = record_store_open(f->dir, 64u << 20, false, &why);
	assert_non_null(f->kv);
	f->mirror = dir_mirror_new(f->kv);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[96];

	dir_mirror_free(&f->mirror);
	kv_close(&f->kv);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", f->dir);
	(void)unlink(path);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static const struct record none = { .state = RECORD_NONE };

static struct record active(const char *location, const char *acl)
{
	return (struct record){ RECORD_ACTIVE, bytes_of(location), bytes_of(acl) };
}

static void put(struct fixture *f, const char *name, struct record r)
{
	struct fault why;

	assert_true(dir_mirror_put(f->mirror, bytes_of(name), &r, BYTES_NONE, &why));
}

/* Commit; how many changes there were. */
static size_t commit(struct fixture *f)
{
	struct change *first;
	struct fault why;
	size_t n = 0;

	assert_true(dir_mirror_commit(f->mirror, &first, &why));
	for (; first != NULL; n++) {
		struct change *c = first;

		assert_true(c->is_changed);
		first = c->next;
		change_free(&c);
	}
	return n;
}

static enum record_state state_of(struct fixture *f, const char *name)
{
	struct fault why;
	struct kv_txn *t = kv_read(f->kv, &why);
	struct record r;

	assert_non_null(t);
	assert_int_equal(record_get(t, bytes_of(name), &r), KV_OK);
	kv_end(&t);
	return r.state;
}

static void test_mirror_tells_differences_only(void **state)
{
	struct fixture *f = *state;

	put(f, "user.a", active("b!default", "a\tlrs\t"));
	put(f, "user.b", active("b!default", ""));
	assert_int_equal(commit(f), 2);
	put(f, "user.a", active("b!default", "a\tlrs\t"));
	assert_int_equal(commit(f), 0);
	put(f, "user.a", active("b!default", "a\tlr\t"));
	put(f, "user.b", none);
	put(f, "user.c", none);
	assert_int_equal(commit(f), 2);
	assert_int_equal(state_of(f, "user.b"), RECORD_NONE);
}

static void test_list_removes_what_is_not_in_it(void **state)
{
	struct fixture *f = *state;
	struct fault why;
	size_t removed = 0;
	bool more;
	char name[32];

	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "user.u%05d", i);
		put(f, name, active("b!default", ""));
	}
	assert_int_equal(commit(f), 10000);
	assert_true(dir_mirror_list_begin(f->mirror, &why));
	for (int i = 9999; i >= 0; i -= 2000) {
		(void)snprintf(name, sizeof(name), "user.u%05d", i);
		put(f, name, active("b!default", ""));
	}
	assert_int_equal(commit(f), 0);
	do {
		assert_true(dir_mirror_list_end(f->mirror, &more, &why));
		removed += commit(f);
	} while (more);
	assert_int_equal(removed, 9995);
	assert_int_equal(state_of(f, "user.u09999"), RECORD_ACTIVE);
	assert_int_equal(state_of(f, "user.u01999"), RECORD_ACTIVE);
	assert_int_equal(state_of(f, "user.u00000"), RECORD_NONE);
}

static void test_mirror_forgets_what_is_not_committed(void **state)
{
	struct fixture *f = *state;

	put(f, "user.x", active("b!default", ""));
	dir_mirror_free(&f->mirror);
	f->mirror = dir_mirror_new(f->kv);
	assert_int_equal(state_of(f, "user.x"), RECORD_NONE);
}

static void test_names_that_cannot_be_kept(void **state)
{
	struct fixture *f = *state;
	char name[RECORD_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(name) - 1; i++)
		name[i] = 'n';
	name[sizeof(name) - 1] = '\0';
	put(f, name, active("b!default", ""));
	put(f, "", active("b!default", ""));
	assert_int_equal(commit(f), 0);
	name[RECORD_NAME_MAX] = '\0';
	put(f, name, active("b!default", ""));
	assert_int_equal(commit(f), 1);
}

/* The table of states, docs/architecture.md. What is there, what is asked, by whom; then the answer, whether followers are
 * told, whether it counts as a move, and what is there afterwards. */
static const struct {
	enum record_command command;
	enum record_state now;
	const char *location, *acl;
	const char *asked, *asked_acl, *deleted_by, *server;
	bool is_ok, is_changed, is_move;
	enum record_state next;
	const char *next_location;
} cells[] = {
	/* no record */
	{ RECORD_RESERVE, RECORD_NONE, "", "", "a!p", "", "", "a", true, true, false, RECORD_RESERVED, "a!p" },
	{ RECORD_ACTIVATE, RECORD_NONE, "", "", "a!p", "x lr", "", "a", true, true, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_DEACTIVATE, RECORD_NONE, "", "", "a!p", "", "", "a", false, false, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_NONE, "", "", "", "", "", "a", false, false, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_NONE, "", "", "", "", "a", "a", true, false, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_NONE, "", "", "", "", "A", "a", true, false, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_NONE, "", "", "", "", "b", "a", false, false, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_NONE, "", "", "", "", "a", "", false, false, false, RECORD_NONE, "" },
	/* reserved, same location: the server without regard to case, an empty partition is any */
	{ RECORD_RESERVE, RECORD_RESERVED, "a!p", "", "a!p", "", "", "a", true, false, false, RECORD_RESERVED, "a!p" },
	{ RECORD_RESERVE, RECORD_RESERVED, "a!p", "", "A!p", "", "", "a", true, false, false, RECORD_RESERVED, "a!p" },
	{ RECORD_RESERVE, RECORD_RESERVED, "a!p", "", "a!", "", "", "a", true, false, false, RECORD_RESERVED, "a!p" },
	{ RECORD_RESERVE, RECORD_RESERVED, "a!", "", "a!p", "", "", "a", true, false, false, RECORD_RESERVED, "a!" },
	{ RECORD_ACTIVATE, RECORD_RESERVED, "a!p", "", "a!p", "x lr", "", "a", true, true, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_RESERVED, "a!", "", "a!p", "x lr", "", "a", true, true, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_DEACTIVATE, RECORD_RESERVED, "a!p", "", "a!p", "", "", "a", false, false, false, RECORD_RESERVED, "a!p" },
	{ RECORD_DELETE, RECORD_RESERVED, "a!p", "", "", "", "", "a", true, true, false, RECORD_NONE, "" },
	{ RECORD_DELETE, RECORD_RESERVED, "a!p", "", "", "", "", "", true, true, false, RECORD_NONE, "" },
	/* active, same location */
	{ RECORD_RESERVE, RECORD_ACTIVE, "a!p", "x lr", "a!p", "", "", "a", true, false, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_RESERVE, RECORD_ACTIVE, "a!p", "x lr", "a!", "", "", "a", true, false, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "a!p", "x lr", "a!p", "x lr", "", "a", true, false, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "a!p", "x lr", "a!", "x lr", "", "a", true, false, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "a!p", "x lr", "a!p", "x lrs", "", "a", true, true, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "a!", "x lr", "a!p", "x lr", "", "a", true, true, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_DEACTIVATE, RECORD_ACTIVE, "a!p", "x lr", "a!p", "", "", "a", true, true, false, RECORD_RESERVED, "a!p" },
	{ RECORD_DEACTIVATE, RECORD_ACTIVE, "a!p", "x lr", "a!", "", "", "a", true, true, false, RECORD_RESERVED, "a!p" },
	{ RECORD_DELETE, RECORD_ACTIVE, "a!p", "x lr", "", "", "", "A", true, true, false, RECORD_NONE, "" },
	/* another location: another server, or another partition of it, whose case counts */
	{ RECORD_RESERVE, RECORD_RESERVED, "b!p", "", "a!p", "", "", "a", false, false, false, RECORD_RESERVED, "b!p" },
	{ RECORD_RESERVE, RECORD_ACTIVE, "b!p", "x lr", "a!p", "", "", "a", false, false, false, RECORD_ACTIVE, "b!p" },
	{ RECORD_RESERVE, RECORD_ACTIVE, "a!p", "x lr", "a!P", "", "", "a", false, false, false, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_RESERVED, "b!p", "", "a!p", "x lr", "", "a", true, true, true, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "b!p", "x lr", "a!p", "x lr", "", "a", true, true, true, RECORD_ACTIVE, "a!p" },
	{ RECORD_ACTIVATE, RECORD_ACTIVE, "a!q", "x lr", "a!p", "x lr", "", "a", true, true, true, RECORD_ACTIVE, "a!p" },
	{ RECORD_DEACTIVATE, RECORD_RESERVED, "b!p", "", "a!p", "", "", "a", false, false, false, RECORD_RESERVED, "b!p" },
	{ RECORD_DEACTIVATE, RECORD_ACTIVE, "b!p", "x lr", "a!p", "", "", "a", false, false, false, RECORD_ACTIVE, "b!p" },
	{ RECORD_DEACTIVATE, RECORD_ACTIVE, "a!q", "x lr", "a!p", "", "", "a", false, false, false, RECORD_ACTIVE, "a!q" },
	{ RECORD_DELETE, RECORD_RESERVED, "b!p", "", "", "", "", "a", false, false, false, RECORD_RESERVED, "b!p" },
	{ RECORD_DELETE, RECORD_ACTIVE, "b!p", "x lr", "", "", "a", "a", false, false, false, RECORD_ACTIVE, "b!p" },
};

static void test_the_table_of_states(void **state)
{
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		const struct record now = { cells[i].now, bytes_of(cells[i].location), bytes_of(cells[i].acl) };
		struct record_change c = record_decide(cells[i].command, &now, bytes_of(cells[i].asked), bytes_of(cells[i].asked_acl),
		                                       bytes_of(cells[i].deleted_by), bytes_of(cells[i].server));
		const struct record *then = c.is_changed ? &c.next : &now;

		if (c.is_ok != cells[i].is_ok || c.is_changed != cells[i].is_changed || c.is_move != cells[i].is_move ||
		    then->state != cells[i].next || !bytes_equal_str(then->location, cells[i].next_location))
			fail_msg("row %zu: %d on %d %s, asked for %s", i, cells[i].command, cells[i].now, cells[i].location, cells[i].asked);
		if (then->state == RECORD_ACTIVE && cells[i].command == RECORD_ACTIVATE)
			assert_true(bytes_equal_str(then->acl, cells[i].asked_acl));
		else if (then->state == RECORD_ACTIVE)
			assert_true(bytes_equal_str(then->acl, cells[i].acl));
		assert_true(c.text != NULL && c.text[0] != '\0');
	}
}

/* A view of one reign. */
static enum kv_result get_reign(void *at, struct bytes server, struct reign *reign_r)
{
	*reign_r = *(struct reign *)at;
	return KV_OK;
}

static enum kv_result put_reign(void *at, struct bytes server, const struct reign *reign)
{
	*(struct reign *)at = *reign;
	return KV_OK;
}

static const struct dir_view view = { .get_reign = get_reign, .put_reign = put_reign };

static void test_a_reign_asked_for_again(void **state)
{
	struct reign now = { 4, BYTES_LIT("a"), BYTES_LIT("a b") };
	struct change *c = change_new(CHANGE_REIGN);

	c->server = BYTES_LIT("s");
	c->member = BYTES_LIT("b");
	c->asked_epoch = 4;
	c->wanted = (struct reign){ 0, BYTES_LIT("b"), BYTES_LIT("b") };
	assert_int_equal(change_decide(&view, &now, c), KV_OK);
	assert_true(c->is_ok && c->is_changed);
	assert_int_equal(now.epoch, 5);
	/* The same again is refused: another may have been granted what it wants. */
	assert_int_equal(change_decide(&view, &now, c), KV_OK);
	assert_false(c->is_ok);
	/* Unless it is known that this one was on its way. */
	c->may_be_done = true;
	assert_int_equal(change_decide(&view, &now, c), KV_OK);
	assert_true(c->is_ok && !c->is_changed);
	assert_int_equal(now.epoch, 5);
	change_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mirror_tells_differences_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list_removes_what_is_not_in_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mirror_forgets_what_is_not_committed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_that_cannot_be_kept, set_up, tear_down),
		cmocka_unit_test(test_the_table_of_states),
		cmocka_unit_test(test_a_reign_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
