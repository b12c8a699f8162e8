/* Compaction: what is dead goes, what is live stays at its LSN, whatever happens meanwhile. */
#include <ftw.h>

#include "store_lib.h"

#include "crash_lib.h"
#include "log.h"
#include "store_compact.h"
#include "store_mend.h"
#include "store_private.h"

static const struct store_compact_options at_once = { .keep = 0, .rate = 0 };

/* Run while there is something to do. Returns how many segments were made. */
static int compact_all(struct store *s, const struct store_compact_options *o)
{
	struct store_compacted what;
	struct fault why;
	int made = 0;

	while (store_wants_compaction(s, o)) {
		store_compact_begin(s, o);
		store_compact_run(s);
		if (!store_compact_done(s, &what, &why))
			fail_msg("%s", why.what);
		made += what.first != 0;
	}
	return made;
}

/* One turn of COUNT deliveries of SIZE octets each. */
static void deliver(struct store *s, const char *name, int count, size_t size)
{
	static uint8_t body[64 * 1024];
	struct append_target targets[64];
	struct intent in[64];
	struct arena a = { 0 };
	struct fault why;
	uint64_t cost = 0;

	assert_true(count <= 64 && size <= sizeof(body));
	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)(rand() % 90 + 33);
	for (int i = 0; i < count; i++) {
		targets[i] = (struct append_target){ .mailbox = bytes_of(name), .internaldate = i };
		in[i] = (struct intent){ .op = INTENT_APPEND,
			                 .append = { .targets = &targets[i], .target_count = 1, .body = bytes_make(body + i, size - (size_t)i),
			                             .structure = BYTES_LIT("s") } };
		cost += intent_cost(&in[i]);
	}
	assert_int_equal(store_reserve_space(s, cost, &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	for (int i = 0; i < count; i++) {
		struct intent_answer out;

		store_turn_add(s, &in[i], &a, &out);
		assert_int_equal(out.result, STORE_OK);
	}
	flush(s);
	assert_int_equal(store_turn_commit(s, store_last_lsn(s), NULL, &why), STORE_OK);
	arena_fini(&a);
}

static mailbox_id_t mailbox(struct store *s, const char *name, struct mailbox *m_r)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);

	assert_int_equal(store_view_mailbox(v, bytes_of(name), m_r, &why), STORE_OK);
	store_view_close(&v);
	return m_r->id;
}

static void expunge(struct store *s, const char *name, uint32_t first, uint32_t last)
{
	struct uid_range r = { first, last };
	struct arena a = { 0 };
	struct mailbox m;

	(void)run(s, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { mailbox(s, name, &m), &r, 1, false, false } }, &a);
	arena_fini(&a);
}

static uint64_t disk;

static int add_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F)
		disk += (uint64_t)st->st_blocks * 512;
	return 0;
}

static uint64_t disk_of(const char *name, const char *below)
{
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%s/%s%s", base, name, below);
	disk = 0;
	assert_int_equal(nftw(dir, add_file, 16, FTW_PHYS), 0);
	return disk;
}

/* A store with a mailbox of which most is expunged, and two checkpoints. */
static struct store *wasteful(const char *name)
{
	struct store *s = must_open(name);
	struct arena a = { 0 };

	srand(3);
	(void)run(s, create("user.fred"), &a);
	for (int i = 0; i < 8; i++)
		deliver(s, "user.fred", 20, 5000);
	for (uint32_t uid = 1; uid < 150; uid += 10)
		expunge(s, "user.fred", uid, uid + 8);
	checkpoint(s);
	deliver(s, "user.fred", 3, 5000);
	checkpoint(s);
	deliver(s, "user.fred", 3, 5000);
	arena_fini(&a);
	return s;
}

static void read_all(struct store *s)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct view_messages it;
	struct buffer body = { 0 };
	struct mailbox m;
	struct message msg;

	assert_int_equal(store_view_mailbox(v, BYTES_LIT("user.fred"), &m, &why), STORE_OK);
	store_view_messages(v, m.id, 1, &it);
	while (view_messages_next(&it, &msg)) {
		buffer_clear(&body);
		if (store_view_body(v, msg.body, 0, SIZE_MAX, &body, &why) != STORE_OK)
			fail_msg("%s", why.what);
		assert_int_equal(body.n, msg.size);
	}
	view_messages_end(&it);
	buffer_fini(&body);
	store_view_close(&v);
}

static void what_is_expunged_is_given_back_and_nothing_else_changes(void **state)
{
	struct store *s = wasteful("back");
	uint64_t before = disk_of("back", "/journal"), after;
	lsn_t last = store_last_lsn(s), first;
	struct buffer raw = { 0 };
	struct fault why;
	char *a, *b;

	(void)state;
	a = dump(s);
	assert_int_equal(store_first_lsn(s), 1);
	assert_true(compact_all(s, &at_once) > 0);
	assert_false(store_wants_compaction(s, &at_once));
	after = disk_of("back", "/journal");
	if (after > before / 2)
		fail_msg("%llu octets of %llu are left", (unsigned long long)after, (unsigned long long)before);
	b = dump(s);
	assert_string_equal(a, b);
	free(b);
	read_all(s);
	first = store_first_lsn(s);
	assert_true(first > 1 && first <= store_checkpoint_lsn(s) + 1);
	assert_int_equal(store_read_entries(s, first - 1, 1000, &raw, &last, &why), STORE_GONE);
	assert_non_null(strstr(why.what, "copy"));
	assert_int_equal(store_read_entries(s, first, 1000, &raw, &last, &why), STORE_OK);
	assert_int_equal(store_entry_peek(buffer_bytes(&raw), &last, &(epoch_t){ 0 }, &(uint64_t){ 0 }), true);
	assert_int_equal(last, first);
	last = store_last_lsn(s);
	store_close(&s);
	assert_int_equal(verify("back"), 0);
	/* The same after a start, and where the index is made anew. */
	for (int i = 0; i < 2; i++) {
		struct store_options o = options("back");

		if (i == 1)
			assert_true(store_rebuild(&o, stdout, &why));
		s = must_open("back");
		assert_int_equal(store_last_lsn(s), last);
		assert_int_equal(store_first_lsn(s), first);
		(void)store_apply_committed(s, last, NULL, &why);
		b = dump(s);
		assert_string_equal(a, b);
		free(b);
		read_all(s);
		store_close(&s);
	}
	buffer_fini(&raw);
	free(a);
}

static void nothing_goes_without_two_checkpoints_or_of_what_is_kept(void **state)
{
	struct store_compact_options keep = { .keep = 100u << 20 };
	struct store *s = must_open("none");
	struct arena a = { 0 };

	(void)state;
	(void)run(s, create("user.fred"), &a);
	for (int i = 0; i < 8; i++)
		deliver(s, "user.fred", 20, 5000);
	expunge(s, "user.fred", 1, 150);
	assert_int_equal(compact_all(s, &at_once), 0);
	checkpoint(s);
	assert_false(store_wants_compaction(s, &at_once));
	deliver(s, "user.fred", 1, 5000);
	checkpoint(s);
	assert_true(store_wants_compaction(s, &at_once));
	assert_false(store_wants_compaction(s, &keep));
	keep.keep = 0;
	keep.hold = 1;
	assert_false(store_wants_compaction(s, &keep));
	keep.keep = 300u << 10;
	keep.hold = 0;
	assert_true(compact_all(s, &keep) > 0);
	assert_true(store_last_lsn(s) - store_first_lsn(s) >= 300 * 1024 / 5300);
	keep.keep = 0;
	keep.hold = store_first_lsn(s) + 20;
	expunge(s, "user.fred", 1, 1000);
	checkpoint(s);
	deliver(s, "user.fred", 1, 5000);
	checkpoint(s);
	(void)compact_all(s, &keep);
	assert_true(store_first_lsn(s) <= keep.hold);
	keep.hold = 0;
	assert_true(compact_all(s, &keep) > 0 && store_first_lsn(s) > 20);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("none"), 0);
}

static void view_reads_what_it_saw_though_it_was_expunged_and_compacted(void **state)
{
	struct store *s = wasteful("view");
	struct fault why;
	struct store_view *old, *young;
	struct view_messages it;
	struct message msg;
	struct buffer body = { 0 };
	struct mailbox m;
	int seen = 0;

	(void)state;
	old = store_view_open(s, &why);
	expunge(s, "user.fred", 1, 150);
	young = store_view_open(s, &why);
	checkpoint(s);
	deliver(s, "user.fred", 1, 5000);
	checkpoint(s);
	assert_true(compact_all(s, &at_once) > 0);
	assert_non_null(s->journal.retired);
	assert_int_equal(store_view_mailbox(old, BYTES_LIT("user.fred"), &m, &why), STORE_OK);
	store_view_messages(old, m.id, 1, &it);
	for (; view_messages_next(&it, &msg); seen++) {
		buffer_clear(&body);
		if (store_view_body(old, msg.body, 0, SIZE_MAX, &body, &why) != STORE_OK)
			fail_msg("%s", why.what);
	}
	view_messages_end(&it);
	assert_true(seen > 20);
	/* The last view that may need them lets them go, in whatever order they are closed. */
	store_view_close(&young);
	assert_non_null(s->journal.retired);
	store_view_close(&old);
	assert_null(s->journal.retired);
	buffer_fini(&body);
	store_close(&s);
}

static void reopen_and_compact(void *arg)
{
	struct store *s;

	log_set_level(LOG_ERROR);
	s = must_open(arg);
	(void)compact_all(s, &at_once);
	store_close(&s);
}

static void crash_in_any_step_loses_nothing(void **state)
{
	struct store *s = wasteful("crash");
	char *want, *is;
	int n = 1;

	(void)state;
	want = dump(s);
	store_close(&s);
	log_set_level(LOG_ERROR);
	for (; crashes_at(n, reopen_and_compact, (void *)"crash"); n++) {
		assert_int_equal(verify("crash"), 0);
		s = must_open("crash");
		is = dump(s);
		assert_string_equal(is, want);
		free(is);
		read_all(s);
		store_close(&s);
	}
	assert_true(n > 15);
	assert_int_equal(verify("crash"), 0);
	log_set_level(LOG_INFO);
	free(want);
}

static void failing_disk_leaves_all_as_it_is(void **state)
{
	struct store *s = wasteful("fail");
	struct store_compacted what;
	struct fault why;
	char *want, *is;
	bool ok = false;

	(void)state;
	want = dump(s);
	for (int n = 1; !ok; n++) {
		assert_true(store_wants_compaction(s, &at_once));
		store_compact_begin(s, &at_once);
		crash_left = n;
		fault_errno_set = EIO;
		store_compact_run(s);
		crash_left = -1;
		fault_errno_set = 0;
		ok = store_compact_done(s, &what, &why);
		is = dump(s);
		assert_string_equal(is, want);
		free(is);
		read_all(s);
	}
	(void)compact_all(s, &at_once);
	read_all(s);
	free(want);
	store_close(&s);
	assert_int_equal(verify("fail"), 0);
}

/* Asynchronous: what an expunge removed comes back if another member takes over without it. */
static void nothing_is_dropped_by_the_word_of_entries_that_may_be_lost(void **state)
{
	struct store *s = wasteful("async");
	struct store_compacted what;
	struct fault why;
	char *want = dump(s), *is;
	uint64_t used = journal_used(&s->journal);

	(void)state;
	store_note_replicated(s, store_applied_lsn(s) - 1);
	assert_false(store_wants_compaction(s, &at_once));
	for (int i = 0; i < 3; i++) {
		store_note_replicated(s, store_applied_lsn(s));
		assert_true(store_wants_compaction(s, &at_once));
		store_compact_begin(s, &at_once);
		/* While it ran something was expunged that the other has not yet. */
		store_note_replicated(s, store_applied_lsn(s) - 1);
		store_compact_run(s);
		assert_true(store_compact_done(s, &what, &why));
		assert_true(what.first == 0 && journal_used(&s->journal) == used);
	}
	store_note_replicated(s, UINT64_MAX);
	assert_true(compact_all(s, &at_once) > 0 && journal_used(&s->journal) < used);
	is = dump(s);
	assert_string_equal(is, want);
	read_all(s);
	free(is);
	free(want);
	store_close(&s);
	assert_int_equal(verify("async"), 0);
}

/* What a survey found before the journal was cut is not there any more, or something else. */
static void rollback_forgets_what_was_to_be_compacted(void **state)
{
	struct store *s = wasteful("rolled");
	struct store_compacted what;
	struct fault why;
	lsn_t cut = s->journal.segments[3]->first + 2;

	(void)state;
	log_set_level(LOG_ERROR);
	/* Segments are to be written anew, and none has been yet. */
	store_compact_begin(s, &at_once);
	store_note_replicated(s, store_applied_lsn(s) - 1);
	store_compact_run(s);
	assert_int_equal(store_roll_back(s, cut, &why), STORE_NO_SPACE);
	assert_true(store_compact_done(s, &what, &why));
	assert_true(what.first == 0);
	assert_int_equal(store_roll_back(s, cut, &why), STORE_OK);
	assert_int_equal(store_applied_lsn(s), cut);
	store_note_replicated(s, UINT64_MAX);
	for (int i = 0; i < 8; i++)
		deliver(s, "user.fred", 7, 5000);
	expunge(s, "user.fred", 30, 60);
	checkpoint(s);
	deliver(s, "user.fred", 3, 5000);
	checkpoint(s);
	deliver(s, "user.fred", 3, 5000);
	assert_true(compact_all(s, &at_once) > 0);
	read_all(s);
	store_close(&s);
	assert_int_equal(verify("rolled"), 0);
	s = must_open("rolled");
	read_all(s);
	store_close(&s);
}

/* What died after LSN is alive in an index as of then. */
static void rollback_beneath_what_compaction_went_by_is_refused(void **state)
{
	struct store *s = wasteful("beneath");
	lsn_t before = store_checkpoint_lsn(s), went_by;
	struct fault why;
	char *want, *is;

	(void)state;
	expunge(s, "user.fred", 1, 100);
	went_by = store_applied_lsn(s);
	assert_true(compact_all(s, &at_once) > 0);
	store_close(&s);
	s = must_open("beneath");
	want = dump(s);
	assert_int_equal(store_save_after(s, before, &why), STORE_CONFLICT);
	assert_non_null(strstr(why.what, "roost resync"));
	is = dump(s);
	assert_string_equal(is, want);
	free(is);
	deliver(s, "user.fred", 3, 5000);
	assert_int_equal(store_save_after(s, went_by, &why), STORE_OK);
	is = dump(s);
	assert_string_equal(is, want);
	free(is);
	free(want);
	read_all(s);
	store_close(&s);
	assert_int_equal(verify("beneath"), 0);
}

static void damaged_segment_is_left_and_told_and_the_others_go(void **state)
{
	struct store *s = wasteful("bad");
	struct store_compacted what;
	struct fault why;
	uint64_t octet;
	int failed = 0, made = 0;
	struct message msg;
	struct buffer whole = { 0 };
	struct bytes head, body;
	struct segment *spoilt;
	struct store_view *v;
	struct mailbox m;
	size_t at = 0;

	(void)state;
	/* Spoil the first live body. */
	v = store_view_open(s, &why);
	assert_int_equal(store_view_message(v, mailbox(s, "user.fred", &m), 10, &msg, &why), STORE_OK);
	assert_true(journal_find(&s->journal, msg.body, &head, &body, &why));
	while (s->journal.segments[at + 1]->first <= msg.body)
		at++;
	spoilt = s->journal.segments[at];
	octet = (uint64_t)(body.p - spoilt->map) + 17;
	assert_int_equal(store_entry_read(s, msg.body, &whole, &why), STORE_OK);
	store_view_close(&v);
	assert_int_equal(pwrite(spoilt->fd, "\0", 1, (off_t)octet), 1);
	while (store_wants_compaction(s, &at_once)) {
		store_compact_begin(s, &at_once);
		store_compact_run(s);
		if (store_compact_done(s, &what, &why)) {
			made += what.first != 0;
		} else {
			assert_non_null(strstr(why.what, "checksum"));
			failed++;
		}
	}
	assert_int_equal(failed, 1);
	assert_true(made > 0);
	at = 0;
	while (s->journal.segments[at + 1]->first <= msg.body)
		at++;
	assert_ptr_equal(s->journal.segments[at], spoilt);
	assert_false(spoilt->is_sparse);
	/* Once it is mended it goes like the others. */
	assert_int_equal(store_entry_mend(s, msg.body, buffer_bytes(&whole), &why), STORE_OK);
	assert_true(store_wants_compaction(s, &at_once));
	assert_true(compact_all(s, &at_once) > 0);
	for (at = 0; s->journal.segments[at + 1]->first <= msg.body; at++)
		;
	assert_true(s->journal.segments[at]->is_sparse);
	read_all(s);
	buffer_fini(&whole);
	store_close(&s);
	assert_int_equal(verify("bad"), 0);
}

/* Mail comes and goes; live data stays about the same, and so must the disk. */
static void week_of_churn_stays_within_half_more_than_what_is_live(void **state)
{
	const struct store_compact_options o = { .keep = 512u << 10 };
	struct store *s = must_open("week");
	struct arena a = { 0 };
	struct mailbox m;
	uint64_t most = 0, written = 0;

	(void)state;
	srand(1);
	(void)run(s, create("user.fred"), &a);
	for (int i = 0; i < 12; i++)
		deliver(s, "user.fred", 60, 20000);
	for (int hour = 0; hour < 7 * 24; hour++) {
		uint64_t used;

		deliver(s, "user.fred", 30, 1000 + (size_t)rand() % 30000);
		/* Most of what goes is young, some of any age. */
		(void)mailbox(s, "user.fred", &m);
		for (int i = 0; m.bytes > 14000000 && i < 40; i++) {
			uint32_t uid = rand() % 3 == 0 ? 1 + (uint32_t)rand() % (m.uidnext - 1) :
			                                 m.uidnext - 1 - (uint32_t)rand() % 300;

			expunge(s, "user.fred", uid, uid + (uint32_t)rand() % 5);
			(void)mailbox(s, "user.fred", &m);
		}
		if (store_wants_checkpoint(s, 512u << 10))
			checkpoint(s);
		(void)compact_all(s, &o);
		if (hour < 24)
			continue;
		used = disk_of("week", "") * 1000 / m.bytes;
		most = used > most ? used : most;
	}
	written = s->journal.flushed_bytes;
	print_message("at most %llu/1000 of the live octets, %llu MB of them, after %llu MB were journaled\n",
	              (unsigned long long)most, (unsigned long long)m.bytes >> 20, (unsigned long long)written >> 20);
	assert_true(written > 4 * m.bytes);
	assert_true(most < 1500);
	read_all(s);
	assert_true(s->journal.count < 400);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("week"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_expunged_is_given_back_and_nothing_else_changes),
		cmocka_unit_test(nothing_goes_without_two_checkpoints_or_of_what_is_kept),
		cmocka_unit_test(view_reads_what_it_saw_though_it_was_expunged_and_compacted),
		cmocka_unit_test(crash_in_any_step_loses_nothing),
		cmocka_unit_test(failing_disk_leaves_all_as_it_is),
		cmocka_unit_test(nothing_is_dropped_by_the_word_of_entries_that_may_be_lost),
		cmocka_unit_test(rollback_forgets_what_was_to_be_compacted),
		cmocka_unit_test(rollback_beneath_what_compaction_went_by_is_refused),
		cmocka_unit_test(damaged_segment_is_left_and_told_and_the_others_go),
		cmocka_unit_test(week_of_churn_stays_within_half_more_than_what_is_live),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
