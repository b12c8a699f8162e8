/* Messages that come to a mailbox together: all or none, wherever the journal ends, and one that goes for them. */
#include "store_lib.h"

#include "entry.h"

static const char text[] = "0123456789 some octets of a message";

static uint32_t exists(struct store *s, const char *name)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct mailbox m;

	assert_int_equal(store_view_mailbox(v, bytes_of(name), &m, &why), STORE_OK);
	store_view_close(&v);
	return m.exists;
}

static bool has_body(struct store *s, lsn_t lsn)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	uint32_t size;
	enum store_result r = store_view_body_size(v, lsn, &size, &why);

	store_view_close(&v);
	return r == STORE_OK;
}

static mailbox_id_t make(struct store *s, const char *name)
{
	struct arena a = { 0 };
	mailbox_id_t id = run(s, create(name), &a).mailbox;

	arena_fini(&a);
	return id;
}

static void messages_come_together_and_one_goes(void **state)
{
	struct store *s = must_open("p"), *f = must_open("pf");
	mailbox_id_t fred, sent;
	struct intent_answer out;
	char *a, *b;

	(void)state;
	fred = make(s, "user.fred");
	sent = make(s, "user.fred.Sent");
	assert_int_equal(append(s, "user.fred", "old", "", NULL), STORE_OK);
	out = place(s, "user.fred", 3, text, 0, 0);
	assert_int_equal(out.result, STORE_OK);
	assert_true(out.message_count == 2 && out.new_uid_count == 1 && out.uid_count == 0 && out.mailbox == fred);
	assert_int_equal(exists(s, "user.fred"), 4);
	/* Within one mailbox, and from one to another. */
	out = place(s, "user.fred", 1, text, fred, 1);
	assert_true(out.result == STORE_OK && out.message_count == 5 && out.uid_count == 1);
	assert_int_equal(exists(s, "user.fred"), 4);
	out = place(s, "user.fred.Sent", 1, text, fred, 5);
	assert_true(out.result == STORE_OK && out.message_count == 1 && out.mailbox == sent);
	assert_int_equal(exists(s, "user.fred"), 3);
	assert_int_equal(exists(s, "user.fred.Sent"), 1);
	copy_entries(s, f);
	a = dump(s);
	b = dump(f);
	assert_string_equal(a, b);
	assert_int_equal(strstr(a, "keywords=k2,") != NULL, 1);
	free(a);
	free(b);
	store_close(&s);
	store_close(&f);
	assert_int_equal(verify("p"), 0);
	assert_int_equal(verify("pf"), 0);
}

static void what_cannot_be_done_leaves_nothing(void **state)
{
	struct store *s = must_open("none");
	struct place_message m[2] = { { .body = BYTES_LIT("a") }, { .body = BYTES_LIT("b") } };
	struct bytes bad = BYTES_LIT("a(b");
	struct intent in = { .op = INTENT_PLACE, .place = { BYTES_LIT("user.fred"), m, 2, 0, 0 } };
	struct intent_answer out;
	struct arena a = { 0 };
	mailbox_id_t fred;
	lsn_t last;

	(void)state;
	fred = make(s, "user.fred");
	last = store_last_lsn(s);
	out = place(s, "user.nobody", 2, text, 0, 0);
	assert_true(out.result == STORE_NO_MAILBOX && out.no_target);
	assert_int_equal(place(s, "user.fred", 2, text, fred, 1).result, STORE_CONFLICT);
	out = place(s, "user.fred", 2, text, fred + 1, 1);
	assert_true(out.result == STORE_NO_MAILBOX && !out.no_target);
	m[1].keywords = &bad;
	m[1].keyword_count = 1;
	assert_int_equal(run(s, in, &a).result, STORE_BAD);
	m[1].keyword_count = 0;
	m[1].structure = bytes_make(text, STRUCTURE_MAX + 1u); /* its octets are not looked at */
	in.op = INTENT_PLACE;
	assert_int_equal(run(s, in, &a).result, STORE_LIMIT);
	assert_int_equal(store_last_lsn(s), last);
	assert_int_equal(exists(s, "user.fred"), 0);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("none"), 0);
}

static void too_many_keywords_leave_nothing(void **state)
{
	struct store *s = must_open("words");
	struct place_message m[2] = { { .body = BYTES_LIT("a") }, { .body = BYTES_LIT("b") } };
	struct intent in = { .op = INTENT_PLACE, .place = { BYTES_LIT("user.fred"), m, 2, 0, 0 } };
	struct arena a = { 0 };
	struct bytes words[2][KEYWORDS_MAX];
	lsn_t last;

	(void)state;
	(void)make(s, "user.fred");
	last = store_last_lsn(s);
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < KEYWORDS_MAX; i++)
			words[k][i] = bytes_of(arena_printf(&a, "w%d-%d", k, i));
		m[k].keywords = words[k];
		m[k].keyword_count = KEYWORDS_MAX / 2 + 1;
	}
	assert_int_equal(run(s, in, &a).result, STORE_LIMIT);
	assert_int_equal(store_last_lsn(s), last);
	m[1].keyword_count--;
	m[0].keyword_count--;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(exists(s, "user.fred"), 2);
	arena_fini(&a);
	store_close(&s);
}

/* A follower that got only so many of the entries, and a new reign after them. */
static void wherever_it_breaks_off_none_came_and_nothing_is_left(void **state)
{
	struct store *s = must_open("whole");
	lsn_t before;

	(void)state;
	(void)make(s, "user.fred");
	assert_int_equal(append(s, "user.fred", "first", "", NULL), STORE_OK);
	before = store_last_lsn(s);
	assert_int_equal(place(s, "user.fred", 3, text, 1, 1).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), before + 1 + 3 + 1); /* keywords, three bodies, and where they go */
	for (lsn_t cut = before + 1; cut <= store_last_lsn(s); cut++) {
		char name[32];
		struct store *f;
		struct arena a = { 0 };
		struct fault why;
		char *at, *after;

		(void)snprintf(name, sizeof(name), "cut%llu", (unsigned long long)cut);
		f = must_open(name);
		while (store_last_lsn(f) < cut) {
			struct buffer raw = { 0 };
			lsn_t last;

			assert_int_equal(store_read_entries(s, store_last_lsn(f) + 1, 1, &raw, &last, &why), STORE_OK);
			assert_int_equal(store_follow_append(f, buffer_bytes(&raw), &why), STORE_FOLLOW_OK);
			flush(f);
			buffer_fini(&raw);
		}
		while (store_applied_lsn(f) < cut)
			assert_int_equal(store_apply_committed(f, cut, NULL, &why), STORE_OK);
		at = dump(f);
		assert_int_equal(exists(f, "user.fred"), cut == store_last_lsn(s) ? 3 : 1);
		for (lsn_t lsn = before + 2; lsn <= cut && lsn <= before + 4; lsn++)
			assert_true(has_body(f, lsn));
		/* Closed and opened in the midst it is the same; then somebody reigns. */
		store_close(&f);
		assert_int_equal(verify(name), 0);
		f = must_open(name);
		after = dump(f);
		assert_string_equal(at, after);
		free(after);
		(void)run(f, (struct intent){ .op = INTENT_EPOCH, .epoch = { 2, BYTES_LIT("f"), BYTES_LIT("f") } }, &a);
		for (lsn_t lsn = before + 2; lsn <= before + 4; lsn++)
			assert_int_equal(has_body(f, lsn), cut == store_last_lsn(s));
		if (cut < store_last_lsn(s))
			assert_int_equal(exists(f, "user.fred"), 1);
		assert_int_equal(append(f, "user.fred", "next", "", NULL), STORE_OK);
		store_close(&f);
		assert_int_equal(verify(name), 0);
		free(at);
		arena_fini(&a);
	}
	store_close(&s);
}

/* What a master that is damaged, or none, may send: the message that is there stays, and the counters. */
static void a_uid_that_was_given_is_not_given_again(void **state)
{
	static const enum entry_type types[] = { ENTRY_APPEND, ENTRY_COPY, ENTRY_PLACE };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const char *const names[] = { "given.a", "given.c", "given.p" };
		struct store *s = must_open(names[i]);
		struct arena a = { 0 };
		struct entry_copy copy = { .source = 1, .uid = 1, .size = 4 };
		struct entry_delivery delivery = { .uid = 1, .modseq = 9 };
		struct entry e = { .type = types[i], .epoch = 1, .count = 1, .modseq = 9, .copies = &copy, .deliveries = &delivery,
			           .body_hash = entry_hash(BYTES_NONE) };
		struct buffer raw = { 0 };
		struct fault why;
		char *was, *is;

		e.mailbox = delivery.mailbox = run(s, create("user.fred"), &a).mailbox;
		assert_int_equal(append(s, "user.fred", "body", "", NULL), STORE_OK);
		copy.body = store_last_lsn(s);
		e.lsn = store_last_lsn(s) + 1;
		e.epoch = store_epoch_at(s, store_last_lsn(s));
		was = dump(s);
		entry_write(&raw, &e);
		assert_int_equal(store_follow_append(s, buffer_bytes(&raw), &why), STORE_FOLLOW_OK);
		flush(s);
		assert_int_equal(store_apply_committed(s, e.lsn, NULL, &why), STORE_BAD);
		is = dump(s);
		assert_string_equal(is, was);
		free(was);
		free(is);
		buffer_fini(&raw);
		arena_fini(&a);
		store_close(&s);
	}
}

static void the_head_has_one_form(void **state)
{
	struct entry_copy copies[] = { { .uid = 7, .body = 3, .size = 5, .internaldate = -1, .flags = 4, .keywords = 9 } };
	struct entry e = { .type = ENTRY_PLACE, .lsn = 9, .epoch = 1, .mailbox = 2, .modseq = 8, .source = 4, .replaced = 6, .source_modseq = 5,
		           .value = 77, .time = 88, .count = 1, .copies = copies }, again;
	struct buffer head = { 0 }, second = { 0 };
	struct arena a = { 0 };
	struct fault why;

	(void)state;
	entry_write(&head, &e);
	assert_true(entry_read(buffer_bytes(&head), BYTES_NONE, false, &a, &again, &why));
	assert_true(again.replaced == 6 && again.value == 77 && again.time == 88 && again.copies[0].uid == 7 && again.copies[0].body == 3);
	entry_write(&second, &again);
	assert_true(bytes_equal(buffer_bytes(&head), buffer_bytes(&second)));
	/* What no master writes. */
	for (int i = 0; i < 4; i++) {
		struct entry bad = e;

		copies[0].body = i == 0 ? 9 : 3; /* of an entry that is not before it */
		copies[0].uid = i == 1 ? 0 : 7;
		bad.replaced = i == 2 ? 0 : 6;
		bad.mailbox = i == 3 ? 0 : 2;
		buffer_clear(&head);
		entry_write(&head, &bad);
		assert_false(entry_read(buffer_bytes(&head), BYTES_NONE, false, &a, &again, &why));
	}
	buffer_fini(&head);
	buffer_fini(&second);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_together_and_one_goes),
		cmocka_unit_test(what_cannot_be_done_leaves_nothing),
		cmocka_unit_test(too_many_keywords_leave_nothing),
		cmocka_unit_test(wherever_it_breaks_off_none_came_and_nothing_is_left),
		cmocka_unit_test(a_uid_that_was_given_is_not_given_again),
		cmocka_unit_test(the_head_has_one_form),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
