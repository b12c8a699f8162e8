/* test_kv.c - a table against a list of what was put: many changes in one transaction, in all orders, with readers beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kv.h"

#define KEYS 3000
#define VALUE_MAX 3000 /* larger than half a page: some are kept beside the tree */

static char dir[] = "/tmp/roost-test-kv.XXXXXX";
static const char *const tables[] = { "one", "two" };

/* What each key of each table should have: 0 nothing, else the length and first octet of its value. */
struct model {
	unsigned value[2][KEYS];
};

static struct bytes key_of(unsigned i, uint8_t key[16])
{
	/* Of different lengths, in the order of numbers. */
	return bytes_make(key, (size_t)snprintf((char *)key, 16, "k%05u%.*s", i, (int)(i % 7), "xxxxxxx"));
}

static struct bytes value_of(unsigned v, uint8_t value[VALUE_MAX])
{
	memset(value, (int)(v & 0xff), v);
	return bytes_make(value, v);
}

static void check_get(struct kv_txn *t, const struct model *m, size_t table, unsigned i)
{
	uint8_t key[16], value[VALUE_MAX];
	struct bytes got;
	enum kv_result r = kv_get(t, table, key_of(i, key), &got);

	assert_int_equal(r, m->value[table][i] == 0 ? KV_NOT_FOUND : KV_OK);
	if (r == KV_OK)
		assert_true(bytes_equal(got, value_of(m->value[table][i], value)));
}

/* All of a table, in order, is what the model has. */
static void check_all(struct kv_txn *t, const struct model *m, size_t table)
{
	uint8_t want_key[16], want[VALUE_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, table, BYTES_NONE, &key, &value);
	bool has = c != NULL;
	size_t count = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		if (m->value[table][i] == 0)
			continue;
		count++;
		assert_true(has);
		assert_true(bytes_equal(key, key_of(i, want_key)));
		assert_true(bytes_equal(value, value_of(m->value[table][i], want)));
		has = kv_next(c, &key, &value);
	}
	assert_false(has);
	kv_cursor_end(&c);
	assert_int_equal(kv_count(t, table), count);
}

static void put(struct kv_txn *t, struct model *m, size_t table, unsigned i, unsigned v)
{
	uint8_t key[16], value[VALUE_MAX];

	assert_int_equal(kv_put(t, table, key_of(i, key), value_of(v, value)), KV_OK);
	m->value[table][i] = v;
}

static void del(struct kv_txn *t, struct model *m, size_t table, unsigned i)
{
	uint8_t key[16];

	assert_int_equal(kv_del(t, table, key_of(i, key)), m->value[table][i] == 0 ? KV_NOT_FOUND : KV_OK);
	m->value[table][i] = 0;
}

/* As flags of one message behind the other are changed: each thing by its quick form, where the cursor stands there and where it does
 * not. */
static void change_next(struct kv_txn *t, struct model *m, size_t table, unsigned i, unsigned gone, unsigned v)
{
	uint8_t key[16], value[VALUE_MAX];
	struct bytes found;
	enum kv_result r = kv_get_next(t, table, key_of(i, key), &found);

	assert_int_equal(r, m->value[table][i] == 0 ? KV_NOT_FOUND : KV_OK);
	if (r == KV_OK)
		assert_true(bytes_equal(found, value_of(m->value[table][i], value)));
	assert_int_equal(kv_put_here(t, table, key_of(i, key), value_of(v, value)), KV_OK);
	m->value[table][i] = v;
	table = 1 - table;
	assert_int_equal(kv_del_next(t, table, key_of(gone, key)), m->value[table][gone] == 0 ? KV_NOT_FOUND : KV_OK);
	m->value[table][gone] = 0;
}

/* Some changes of one kind, at the places where trees are split and joined. */
static void change(struct kv_txn *t, struct model *m)
{
	size_t table = (size_t)rand() % 2;
	unsigned from = (unsigned)rand() % KEYS, n = (unsigned)rand() % 400, kind = (unsigned)rand() % 10;
	unsigned length = rand() % 4 == 0 ? VALUE_MAX : 60;

	for (unsigned k = 0; k < n; k++) {
		unsigned up = (from + k) % KEYS, down = (from + KEYS - k) % KEYS, any = (unsigned)rand() % KEYS;

		switch (kind) {
		case 0:
			put(t, m, table, up, 1 + (unsigned)rand() % length);
			break;
		case 1:
			put(t, m, table, down, 1 + (unsigned)rand() % length);
			break;
		case 2:
			del(t, m, table, up);
			break;
		case 3:
			del(t, m, table, down);
			break;
		case 4: /* as flags are changed: read, put in its place, beside it one goes and one comes */
			check_get(t, m, table, up);
			put(t, m, table, up, 1 + (unsigned)rand() % 60);
			del(t, m, 1 - table, down);
			put(t, m, 1 - table, any, 7);
			break;
		case 5:
			del(t, m, table, any);
			break;
		case 6:
			put(t, m, table, any, 1 + (unsigned)rand() % length);
			check_get(t, m, table, up);
			break;
		case 7: /* in place where there was one of as many octets */
			change_next(t, m, table, up, up, m->value[table][up] != 0 ? m->value[table][up] : 7);
			break;
		case 8:
			change_next(t, m, table, up, down, 1 + (unsigned)rand() % length);
			put(t, m, 1 - table, any, 7);
			break;
		case 9:
			change_next(t, m, table, any, up, 1 + (unsigned)rand() % length);
			break;
		}
	}
	if (rand() % 40 == 0) {
		assert_int_equal(kv_clear(t, table), KV_OK);
		memset(m->value[table], 0, sizeof(m->value[table]));
	}
}

static void tables_have_what_was_put_whatever_the_order(void **state)
{
	static struct model now, committed;
	struct fault why;
	struct kv *kv = kv_open(dir, 256u << 20, tables, 2, false, false, &why);

	(void)state;
	assert_non_null(kv);
	srand(11);
	for (unsigned round = 0; round < 150; round++) {
		struct kv_txn *t = kv_write(kv, &why), *reader = kv_read(kv, &why);
		bool is_kept = rand() % 5 != 0;

		assert_non_null(t);
		assert_non_null(reader);
		now = committed;
		for (int k = rand() % 12; k > 0; k--)
			change(t, &now);
		for (size_t table = 0; table < 2; table++)
			check_all(t, &now, table);
		change(t, &now); /* behind a walk */
		check_all(reader, &committed, round % 2);
		kv_end(&reader);
		if (is_kept) {
			assert_true(kv_commit(&t, &why));
			committed = now;
		} else {
			kv_end(&t);
		}
		reader = kv_read(kv, &why);
		for (size_t table = 0; table < 2; table++)
			check_all(reader, &committed, table);
		kv_end(&reader);
	}
	kv_close(&kv);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	(void)unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_have_what_was_put_whatever_the_order),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
