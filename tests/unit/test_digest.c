/* Digests: a master's and a follower's are the same whatever happened, and a difference is found in the mailbox where it is. */
#include "store_lib.h"
#include "store_private.h"

/* Have the master make digests, and the follower compare them, until every mailbox has had its turn. */
static uint64_t compare(struct store *m, struct store *f)
{
	struct arena a = { 0 };
	struct store_stats st;

	for (int i = 0; i < 8; i++) {
		(void)run(m, (struct intent){ .op = INTENT_DIGEST }, &a);
		copy_entries(m, f);
	}
	arena_fini(&a);
	store_get_stats(f, &st);
	assert_int_equal(st.digest, store_last_lsn(m));
	return st.differences;
}

static void members_with_the_same_journal_have_the_same_digests(void **state)
{
	struct store *m = must_open("same-m"), *f = must_open("same-f");
	struct store_stats st;

	(void)state;
	for (unsigned i = 1; i < 5; i++) {
		some_life(m, i);
		assert_int_equal(compare(m, f), 0);
	}
	store_get_stats(f, &st);
	assert_true(!st.differs && st.differs_in == NULL);
	store_close(&m);
	store_close(&f);
	assert_int_equal(verify("same-m"), 0);
	assert_int_equal(verify("same-f"), 0);
}

struct plant {
	const char *what;
	void (*change)(struct kv_txn *t, struct mailbox *m);
	bool is_in_all;  /* the sum over all records shows it, too */
	bool is_in_own;  /* the member's own record shows it */
};

static void change_flags(struct kv_txn *t, struct mailbox *m)
{
	struct message msg;

	assert_int_equal(index_message(t, m->id, 1, &msg), KV_OK);
	msg.flags ^= 1;
	assert_int_equal(index_put_message(t, m->id, &msg), KV_OK);
}

static void lose_message(struct kv_txn *t, struct mailbox *m)
{
	uint8_t key[KEY_MAX];

	assert_int_equal(kv_del(t, T_MESSAGE, bytes_make(key, key_message(key, m->id, 1))), KV_OK);
}

static void change_acl(struct kv_txn *t, struct mailbox *m)
{
	m->acl = BYTES_LIT("bob\tlrs\t");
	assert_int_equal(index_put_mailbox(t, m), KV_OK);
}

static void rot_record(struct kv_txn *t, struct mailbox *m)
{
	uint8_t key[KEY_MAX];
	struct bytes k = bytes_make(key, key_u64(key, m->id)), value;
	struct buffer b = { 0 };

	assert_int_equal(kv_get(t, T_MAILBOX, k, &value), KV_OK);
	buffer_add(&b, value);
	b.p[4] ^= 0x40;
	assert_int_equal(kv_put(t, T_MAILBOX, k, buffer_bytes(&b)), KV_OK);
	buffer_fini(&b);
}

static void a_difference_is_found_in_its_mailbox(void **state)
{
	static const struct plant plants[] = {
		{ "other flags", change_flags, false, true },
		{ "a message is missing", lose_message, false, true },
		{ "another ACL", change_acl, true, false },
		{ "a rotten record", rot_record, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
		char mn[16], fn[16];
		struct store *m, *f;
		struct arena a = { 0 };
		struct kv_txn *t;
		struct mailbox box;
		struct store_stats st;
		struct fault why;

		(void)snprintf(mn, sizeof(mn), "m%zu", i);
		(void)snprintf(fn, sizeof(fn), "f%zu", i);
		m = must_open(mn);
		f = must_open(fn);
		for (int n = 0; n < 5; n++) {
			char name[32];

			(void)snprintf(name, sizeof(name), "user.fred.%d", n);
			assert_int_equal(run(m, create(name), &a).result, STORE_OK);
			assert_int_equal(append(m, name, "Subject: x\r\n\r\nbody\r\n", "", NULL), STORE_OK);
		}
		arena_fini(&a);
		assert_int_equal(compare(m, f), 0);
		t = kv_write(f->kv, &why);
		assert_int_equal(index_mailbox(t, 3, &box), KV_OK);
		plants[i].change(t, &box);
		assert_true(kv_commit(&t, &why));
		if (compare(m, f) == 0)
			fail_msg("%s: not found", plants[i].what);
		store_get_stats(f, &st);
		assert_string_equal(st.differs_in, "user.fred.2");
		assert_int_equal(st.differs, plants[i].is_in_all);
		store_close(&m);
		store_close(&f);
		/* A tool finds by itself what the index says against itself. */
		assert_int_equal(verify(fn) > 0, plants[i].is_in_own || plants[i].change == rot_record);
	}
}

/* A mailbox of more messages than one slice takes is looked at in pieces. */
static void a_large_mailbox_is_compared_in_pieces(void **state)
{
	struct store *m = must_open("large-m"), *f = must_open("large-f");
	struct uid_range all = { 1, UINT32_MAX };
	struct arena a = { 0 };
	struct intent_answer made;
	struct kv_txn *t;
	struct message msg;
	struct store_stats st;
	struct fault why;

	(void)state;
	made = run(m, create("user.fred"), &a);
	assert_int_equal(append(m, "user.fred", "body", "", NULL), STORE_OK);
	for (int i = 0; i < 13; i++)
		(void)run(m, (struct intent){ .op = INTENT_COPY, .copy = { .mailbox = made.mailbox, .uids = &all, .uid_count = 1, .target = BYTES_LIT("user.fred"), .user = BYTES_LIT("fred") } }, &a);
	arena_fini(&a);
	assert_int_equal(compare(m, f), 0);
	t = kv_write(f->kv, &why);
	assert_int_equal(index_message(t, made.mailbox, 7001, &msg), KV_OK);
	msg.modseq++;
	assert_int_equal(index_put_message(t, made.mailbox, &msg), KV_OK);
	assert_true(kv_commit(&t, &why));
	assert_int_not_equal(compare(m, f), 0);
	store_get_stats(f, &st);
	assert_string_equal(st.differs_in, "user.fred");
	store_close(&m);
	store_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_with_the_same_journal_have_the_same_digests),
		cmocka_unit_test(a_difference_is_found_in_its_mailbox),
		cmocka_unit_test(a_large_mailbox_is_compared_in_pieces),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
