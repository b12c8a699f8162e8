/* Checkpoints: what is made from one is what the journal makes; what is damaged is noticed; a copy by one is the same. */
#include "store_lib.h"

#include "checkpoint_file.h"
#include "file.h"
#include "crash_lib.h"
#include "store_private.h"

static void forget_index(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s/index.boot", base, name);
	(void)unlink(path);
}

static char *checkpoint_of(const char *name, lsn_t lsn)
{
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%s/%s/journal", base, name);
	return checkpoint_path(dir, lsn);
}

static void flip(const char *path, long at)
{
	FILE *f = fopen(path, "r+");
	int c;

	assert_non_null(f);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	c = fgetc(f);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	(void)fputc(c ^ 0x10, f);
	(void)fclose(f);
}

static void reign(struct store *s, const char *master)
{
	struct arena a = { 0 };
	struct intent in = { .op = INTENT_EPOCH, .epoch = { epoch, bytes_of(master), BYTES_LIT("m1 m2") } };

	assert_int_equal(run(s, in, &a).result, STORE_OK);
	arena_fini(&a);
}

static void apply_all(struct store *s)
{
	struct fault why;

	while (store_applied_lsn(s) < store_last_lsn(s))
		assert_int_equal(store_apply_committed(s, store_last_lsn(s), NULL, &why), STORE_OK);
}

static void new_index_begins_with_the_newest_whole_checkpoint(void **state)
{
	struct store *s = must_open("begin");
	struct store_reign r;
	struct fault why;
	char *before, *after, *first, *second, segment[256];
	lsn_t one, two;

	(void)state;
	reign(s, "m1");
	some_life(s, 1);
	checkpoint(s);
	one = store_checkpoint_lsn(s);
	assert_int_equal(one, store_applied_lsn(s));
	some_life(s, 2);
	checkpoint(s);
	two = store_checkpoint_lsn(s);
	some_life(s, 3);
	before = dump(s);
	first = checkpoint_of("begin", one);
	second = checkpoint_of("begin", two);
	for (int round = 0; round < 3; round++) {
		store_close(&s);
		forget_index("begin");
		if (round == 1)
			flip(second, 5000);
		/* Now nobody can have begun with the first entry. */
		(void)snprintf(segment, sizeof(segment), "%s/begin/journal/%016x.seg", base, 1);
		if (round == 0)
			flip(segment, 16384 + 32 + 20);
		if (round == 2) {
			struct store_options o = options("begin");

			flip(first, 5000);
			assert_null(store_open(&o, &why));
			flip(segment, 16384 + 32 + 20);
		}
		s = must_open("begin");
		apply_all(s);
		after = dump(s);
		assert_string_equal(before, after);
		assert_true(store_reign(s, &r));
		assert_true(bytes_equal_str(r.master, "m1") && bytes_equal_str(r.in_sync, "m1 m2"));
		assert_int_equal(r.lsn, 1);
		free(after);
	}
	store_close(&s);
	assert_true(verify("begin") > 0); /* both checkpoints are told */
	free(before);
	free(first);
	free(second);
}

static void two_checkpoints_are_kept_and_one_is_wanted_after_so_much(void **state)
{
	struct store *s = must_open("kept");
	char *path;

	(void)state;
	assert_false(store_wants_checkpoint(s, 0));
	some_life(s, 1);
	assert_true(store_wants_checkpoint(s, 100000));
	assert_false(store_wants_checkpoint(s, 100u << 20));
	checkpoint(s);
	path = checkpoint_of("kept", store_checkpoint_lsn(s));
	assert_false(store_wants_checkpoint(s, 0));
	for (unsigned i = 2; i < 5; i++) {
		assert_int_equal(access(path, F_OK), i < 4 ? 0 : -1);
		some_life(s, i);
		assert_true(store_wants_checkpoint(s, 100000));
		checkpoint(s);
	}
	/* The same after a start. */
	some_life(s, 5);
	store_close(&s);
	s = must_open("kept");
	assert_true(store_checkpoint_lsn(s) > 0);
	assert_true(store_wants_checkpoint(s, 100000));
	free(path);
	store_close(&s);
}

static bool feed_in_pieces(struct bytes all, size_t piece, struct checkpoint_reader *r, struct fault *why)
{
	for (size_t at = 0; at < all.n; at += piece) {
		if (!checkpoint_feed(r, bytes_sub(all, at, piece), why))
			return false;
	}
	return r->is_whole;
}

static void what_is_cut_or_changed_is_no_checkpoint(void **state)
{
	struct store *s = must_open("cut");
	struct arena a = { 0 };
	struct buffer all = { 0 };
	struct fault why;
	char *path;

	(void)state;
	reign(s, "m1");
	(void)run(s, create("user.fred"), &a);
	assert_int_equal(append(s, "user.fred", "body", "op1", NULL), STORE_OK);
	checkpoint(s);
	path = checkpoint_of("cut", store_checkpoint_lsn(s));
	assert_true(file_read_all(path, 1u << 20, &all, NULL, &why));
	assert_true(all.n > 300);
	for (size_t piece = 1; piece < 40; piece += 7) {
		struct checkpoint_reader r = { 0 };

		assert_true(feed_in_pieces(buffer_bytes(&all), piece, &r, &why));
		assert_int_equal(r.head.lsn, store_checkpoint_lsn(s));
		assert_true(r.head.has_reign && bytes_equal_str(r.head.reign.master, "m1"));
		assert_false(checkpoint_feed(&r, BYTES_LIT("x"), &why));
		checkpoint_reader_fini(&r);
	}
	for (size_t i = 0; i < all.n; i++) {
		struct checkpoint_reader cut = { 0 }, changed = { 0 };

		assert_false(feed_in_pieces(bytes_sub(buffer_bytes(&all), 0, i), i + 1, &cut, &why));
		all.p[i] ^= 0x10;
		if (feed_in_pieces(buffer_bytes(&all), all.n, &changed, &why))
			fail_msg("octet %zu can be another", i);
		all.p[i] ^= 0x10;
		checkpoint_reader_fini(&cut);
		checkpoint_reader_fini(&changed);
	}
	free(path);
	buffer_fini(&all);
	arena_fini(&a);
	store_close(&s);
}

/* Copy what store S gives into partition NAME, in small pieces; every BREAK_OFF pieces the taking side begins again. */
static void copy_whole(struct store *s, const char *name, int break_off)
{
	struct store_options o = options(name);
	struct fault why;
	struct store_source *src = store_source_open(s, 0, &why);
	struct store_incoming *in;
	struct buffer piece = { 0 };
	int pieces = 0;
	lsn_t next = 1;

	assert_non_null(src);
	in = store_incoming_open(o.dir, store_source_lsn(src), 64u << 10, &why);
	assert_non_null(in);
	while (store_incoming_size(in) < store_source_size(src)) {
		buffer_clear(&piece);
		assert_true(store_source_read(src, store_incoming_size(in), 777, &piece, &why));
		if (!store_incoming_checkpoint(in, buffer_bytes(&piece), &why))
			fail_msg("%s", why.what);
		if (break_off > 0 && ++pieces % break_off == 0) {
			store_incoming_close(&in);
			in = store_incoming_open(o.dir, store_source_lsn(src), 64u << 10, &why);
			assert_non_null(in);
		}
	}
	for (next = store_incoming_next(in); next != 0;) {
		struct bytes rest;
		lsn_t lsn;
		epoch_t e;
		uint64_t n;

		buffer_clear(&piece);
		assert_true(store_source_bodies(src, next, 10000, &piece, &next, &why));
		for (rest = buffer_bytes(&piece); rest.n > 0; rest = bytes_from(rest, (size_t)n)) {
			assert_true(store_entry_peek(rest, &lsn, &e, &n));
			if (!store_incoming_entry(in, bytes_sub(rest, 0, (size_t)n), &why))
				fail_msg("%s", why.what);
		}
		if (break_off > 0 && next != 0 && ++pieces % break_off == 0) {
			store_incoming_close(&in);
			in = store_incoming_open(o.dir, store_source_lsn(src), 64u << 10, &why);
			assert_non_null(in);
			next = store_incoming_next(in);
			/* A segment at least is kept each time, or it would never end. */
			break_off += 3;
		}
	}
	if (!store_incoming_finish(in, store_source_lsn(src) + 1, &why))
		fail_msg("%s", why.what);
	store_incoming_close(&in);
	store_source_close(&src);
	buffer_fini(&piece);
}

static void copy_by_a_checkpoint_is_the_same(void **state)
{
	struct store *m = must_open("giver"), *f;
	struct buffer raw = { 0 };
	struct store_reign r;
	struct fault why;
	char *a, *b;
	lsn_t last;

	(void)state;
	reign(m, "m1");
	some_life(m, 11);
	some_life(m, 12);
	checkpoint(m);
	/* The old one stays usable to the end. */
	f = must_open("taker");
	some_life(f, 13);
	copy_whole(m, "taker", 4);
	some_life(f, 14);
	store_close(&f);
	f = must_open("taker");
	assert_int_equal(store_last_lsn(f), store_checkpoint_lsn(m));
	assert_int_equal(store_applied_lsn(f), store_checkpoint_lsn(m));
	assert_int_equal(store_first_lsn(f), store_last_lsn(f) + 1);
	assert_int_equal(store_epoch_at(f, store_last_lsn(f)), epoch);
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	free(a);
	free(b);
	assert_int_equal(store_read_entries(f, 5, 1000, &raw, &last, &why), STORE_GONE);
	assert_int_equal(last, 4);
	some_life(m, 15);
	copy_entries(m, f);
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	free(b);
	store_close(&f);
	assert_int_equal(verify("taker"), 0);
	forget_index("taker");
	f = must_open("taker");
	apply_all(f);
	b = dump(f);
	assert_string_equal(a, b);
	assert_true(store_reign(f, &r));
	assert_int_equal(r.lsn, 1);
	/* It can take the reign and go on. */
	some_life(f, 16);
	free(a);
	free(b);
	store_close(&f);
	store_close(&m);
	assert_int_equal(verify("taker"), 0);
}

static void open_partition_takes_a_copy_when_nobody_looks(void **state)
{
	struct store *m = must_open("giver2"), *f = must_open("taker2");
	struct store_source *src;
	struct store_view *v;
	struct fault why;
	uint64_t all, half;
	char *a, *b;

	(void)state;
	reign(m, "m1");
	some_life(m, 21);
	checkpoint(m);
	src = store_source_open(m, 0, &why);
	assert_true(store_source_weigh(src, 1, &all, &why) && all > 0);
	assert_true(store_source_weigh(src, store_source_lsn(src) / 2, &half, &why) && half < all);
	store_source_close(&src);
	some_life(f, 22);
	assert_int_equal(store_floor(f), 0);
	assert_int_equal(store_incoming_begun(options("taker2").dir), 0);
	copy_whole(m, "taker2", 0);
	assert_int_equal(store_incoming_begun(options("taker2").dir), store_checkpoint_lsn(m));
	v = store_view_open(f, &why);
	assert_non_null(v);
	assert_false(store_reopen_begin(f));
	store_view_close(&v);
	assert_true(store_reopen_begin(f));
	assert_null(store_view_open(f, &why));
	assert_int_equal(why.kind, FAULT_TRANSIENT);
	if (!store_reopen_run(f, &why))
		fail_msg("%s", why.what);
	store_reopen_done(f);
	assert_int_equal(store_last_lsn(f), store_checkpoint_lsn(m));
	a = dump(m);
	b = dump(f);
	assert_string_equal(a, b);
	/* Whole one entry later, and that is known in another life, too. */
	store_pass_floor(f);
	assert_int_equal(store_floor(f), store_last_lsn(f) + 1);
	store_close(&f);
	f = must_open("taker2");
	assert_int_equal(store_floor(f), store_last_lsn(f) + 1);
	some_life(m, 23);
	copy_entries(m, f);
	store_pass_floor(f);
	assert_int_equal(store_floor(f), 0);
	store_close(&f);
	f = must_open("taker2");
	assert_int_equal(store_floor(f), 0);
	free(a);
	free(b);
	store_close(&f);
	store_close(&m);
}

static void partition_that_cannot_be_opened_again_says_so_and_closes(void **state)
{
	struct store *f = must_open("spoilt");
	struct fault why;
	char path[256];
	FILE *file;

	(void)state;
	some_life(f, 24);
	(void)snprintf(path, sizeof(path), "%s/floor", options("spoilt").dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs("soon", file);
	(void)fclose(file);
	assert_true(store_reopen_begin(f));
	assert_false(store_reopen_run(f, &why));
	assert_true(strstr(why.what, "/floor") != NULL);
	assert_true(store_is_failed(f));
	store_close(&f);
}

static void open_and_close(void *arg)
{
	struct store_options o = options(arg);
	struct fault why;
	struct store *s = store_open(&o, &why);

	if (s == NULL)
		_exit(1);
	store_close(&s);
}

static void finish_again(void *arg)
{
	copy_whole(arg, "torn", 0);
}

static void crash_while_a_copy_is_taken_leaves_the_old_or_the_new(void **state)
{
	struct store *m = must_open("torn-giver"), *f = must_open("torn");
	char *old, *new, *is;
	int n = 1;

	(void)state;
	reign(m, "m1");
	some_life(m, 21);
	checkpoint(m);
	new = dump(m);
	some_life(f, 22);
	old = dump(f);
	store_close(&f);
	/* Received, but not marked as complete before its last step: the old one. */
	for (; crashes_at(n, finish_again, m); n += 7) {
		f = must_open("torn");
		is = dump(f);
		if (strcmp(is, old) != 0)
			break;
		free(is);
		is = NULL;
		store_close(&f);
	}
	if (f != NULL) {
		assert_string_equal(is, new);
		free(is);
		store_close(&f);
	}
	assert_true(n > 20);
	/* Taken: whatever step it dies in, the next opening goes on. */
	finish_again(m);
	(void)crashes_at(1, open_and_close, (void *)"torn");
	for (n = 1; crashes_at(n, open_and_close, (void *)"torn"); n++) {
		f = must_open("torn");
		is = dump(f);
		assert_string_equal(is, new);
		free(is);
		store_close(&f);
		finish_again(m);
	}
	assert_true(n > 8);
	assert_int_equal(verify("torn"), 0);
	free(old);
	free(new);
	store_close(&m);
}

static void checkpoint_that_does_not_fit_leaves_nothing(void **state)
{
	struct store *s = must_open("full");
	struct fault why;
	lsn_t before;

	(void)state;
	some_life(s, 1);
	checkpoint(s);
	before = store_checkpoint_lsn(s);
	some_life(s, 2);
	for (int n = 1; n < 4; n++) {
		assert_true(store_checkpoint_begin(s, &why));
		assert_false(store_checkpoint_begin(s, &why));
		crash_left = n;
		fault_errno_set = ENOSPC;
		store_checkpoint_run(s);
		crash_left = -1;
		fault_errno_set = 0;
		assert_false(store_checkpoint_done(s, &why));
		assert_non_null(strstr(why.what, "checkpoint.new"));
		assert_int_equal(store_checkpoint_lsn(s), before);
		assert_true(store_wants_checkpoint(s, 1000));
	}
	checkpoint(s);
	assert_true(store_checkpoint_lsn(s) > before);
	store_close(&s);
	assert_int_equal(verify("full"), 0);
}

/* The members of a murder may be of different versions while they are upgraded. */
static void checkpoint_of_another_form_is_refused_before_it_replaces_anything(void **state)
{
	struct store *s = must_open("form");
	struct store_options o = options("formtaker");
	struct checkpoint_head head;
	struct buffer octets = { 0 };
	struct store_incoming *in;
	atomic_bool never = false;
	struct arena a = { 0 };
	struct fault why;
	struct kv_txn *t;
	char *texts, *path;

	(void)state;
	assert_int_equal(run(s, create("user.fred"), &a).result, STORE_OK);
	t = kv_read(s->kv, &why);
	assert_true(store_checkpoint_head(s, t, &head, &texts));
	head.format++;
	assert_true(checkpoint_file_write(base, &t, &head, &never, &why));
	path = checkpoint_path(base, head.lsn);
	assert_true(file_read_all(path, 1u << 20, &octets, NULL, &why));
	in = store_incoming_open(o.dir, head.lsn, 0, &why);
	assert_non_null(in);
	assert_false(store_incoming_checkpoint(in, buffer_bytes(&octets), &why));
	assert_non_null(strstr(why.what, "form"));
	assert_int_equal(store_incoming_size(in), 0);
	store_incoming_close(&in);
	store_close(&s);
	buffer_fini(&octets);
	arena_fini(&a);
	free(head.epochs);
	free(texts);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checkpoint_of_another_form_is_refused_before_it_replaces_anything),
		cmocka_unit_test(new_index_begins_with_the_newest_whole_checkpoint),
		cmocka_unit_test(two_checkpoints_are_kept_and_one_is_wanted_after_so_much),
		cmocka_unit_test(what_is_cut_or_changed_is_no_checkpoint),
		cmocka_unit_test(copy_by_a_checkpoint_is_the_same),
		cmocka_unit_test(open_partition_takes_a_copy_when_nobody_looks),
		cmocka_unit_test(partition_that_cannot_be_opened_again_says_so_and_closes),
		cmocka_unit_test(crash_while_a_copy_is_taken_leaves_the_old_or_the_new),
		cmocka_unit_test(checkpoint_that_does_not_fit_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
