/* kv.c - transactions and what is done in them: LMDB's calls with their errors taken care of in one place. */
#include "kv_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"

#define CACHE_LINE 64

struct kv_txn {
	struct kv *kv;
	MDB_txn *txn;
	bool has_failed, is_writing;
	/* Of a write transaction, by table; NULL: not opened. Each access goes through the one of its table: LMDB then looks first
	 * where the last one was, and what is changed in the order of keys is found without a search from the top. */
	MDB_cursor *at[KV_TABLES_MAX];
};

struct kv_cursor {
	struct kv_txn *txn;
	size_t table;
	MDB_cursor *cursor;
	uintptr_t page; /* the one that it stood in at last */
};

static MDB_val val_of(struct bytes b)
{
	return (MDB_val){ b.n, (void *)(uintptr_t)b.p };
}

static struct bytes bytes_of_val(MDB_val v)
{
	return bytes_make(v.mv_data, v.mv_size);
}

static enum kv_result result_of(struct kv_txn *t, int rc)
{
	if (rc == 0)
		return KV_OK;
	if (rc == MDB_NOTFOUND)
		return KV_NOT_FOUND;
	t->has_failed = true;
	if (t->kv->is_copy && (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND))
		kv_damaged(t->kv, mdb_strerror(rc));
	log_event(LOG_ERROR, "kv.access.failed", LOG_STR("dir", t->kv->dir), LOG_STR("why", mdb_strerror(rc)));
	if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC)
		return KV_FULL;
	assert(rc != MDB_BAD_VALSIZE && rc != EINVAL);
	return KV_FAILED;
}

/* LMDB's page: u64 number, u16 unused, u16 flags. */
#define PAGE_HEAD 16
#define PAGE_LEAF 2
#define PAGE_OVERFLOW 4

/* Whether V, lent by LMDB, is where it can be: outside of the map (what this transaction wrote), or in a page of its kind
 * that carries its own number. A page that is anything else is not what LMDB has written there. */
static bool is_sound(const struct kv *kv, MDB_val v)
{
	size_t at = (uintptr_t)v.mv_data - (uintptr_t)kv->base, number, found;
	const uint8_t *page;
	uint16_t flags;

	/* What is empty may stand at its page's end. */
	if (kv->base == NULL || v.mv_size == 0 || at >= kv->map_size)
		return true;
	number = at / kv->page_size;
	page = kv->base + number * kv->page_size;
	memcpy(&found, page, sizeof(found));
	memcpy(&flags, page + 10, sizeof(flags));
	if (found != number || flags != (at % kv->page_size == PAGE_HEAD ? PAGE_OVERFLOW : PAGE_LEAF))
		return false;
	return v.mv_size <= kv->map_size - at;
}

static int cursor_step(const struct kv *kv, MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op)
{
	int rc;

	/* Of a page that says that it holds keys alone LMDB sets no value. */
	*v = (MDB_val){ 0 };
	KV_CALL(kv, rc, mdb_cursor_get(c, k, v, op));
	return rc == 0 && (k->mv_size == 0 || !is_sound(kv, *k) || !is_sound(kv, *v)) ? MDB_CORRUPTED : rc;
}

static int cursor_begin(struct kv_txn *t, size_t table, MDB_cursor **c_r)
{
	int rc;

	KV_CALL(t->kv, rc, mdb_cursor_open(t->txn, t->kv->dbi[table], c_r));
	return rc;
}

static int writer_at(struct kv_txn *t, size_t table, MDB_cursor **c_r)
{
	int rc = t->at[table] != NULL ? 0 : cursor_begin(t, table, &t->at[table]);

	*c_r = t->at[table];
	return rc;
}

static void close_all(struct kv_txn *t)
{
	for (size_t i = 0; i < t->kv->table_count; i++) {
		if (t->at[i] != NULL)
			mdb_cursor_close(t->at[i]);
	}
}

/* Nothing is there by what LMDB found: that counts only where its neighbours, and so the page that it would be in, are
 * sound, and an end where there are entries is one behind an entry. */
static int confirm_absent(struct kv_txn *t, size_t table, MDB_val key)
{
	MDB_val k = key, v;
	MDB_cursor *c;
	MDB_stat stat;
	int rc = cursor_begin(t, table, &c);

	if (rc != 0)
		return rc;
	rc = cursor_step(t->kv, c, &k, &v, key.mv_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
	if (rc == 0)
		rc = cursor_step(t->kv, c, &k, &v, MDB_PREV);
	else if (rc == MDB_NOTFOUND)
		rc = cursor_step(t->kv, c, &k, &v, MDB_LAST);
	if (rc == MDB_NOTFOUND && mdb_cursor_get(c, &k, &v, MDB_FIRST) == MDB_NOTFOUND &&
	    mdb_stat(t->txn, t->kv->dbi[table], &stat) == 0 && stat.ms_entries > 0)
		rc = MDB_CORRUPTED;
	mdb_cursor_close(c);
	return rc == 0 ? MDB_NOTFOUND : rc;
}

bool kv_sync(struct kv *kv, struct fault *why)
{
	int rc;

	KV_CALL(kv, rc, mdb_env_sync(kv->env, 1));
	return rc == 0 || fault_set(why, FAULT_OPERATOR, "%s/data.mdb: sync: %s", kv->dir, mdb_strerror(rc));
}

static struct kv_txn *begin(struct kv *kv, unsigned flags, struct fault *why)
{
	struct kv_txn *t = must_calloc(1, sizeof(*t));
	int rc;

	KV_CALL(kv, rc, mdb_txn_begin(kv->env, NULL, flags, &t->txn));
	t->kv = kv;
	t->is_writing = (flags & MDB_RDONLY) == 0;
	/* LMDB could not write its head and will do nothing any more. */
	if (rc == MDB_PANIC)
		kv_damaged(kv, mdb_strerror(rc));
	if (rc != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "%s/data.mdb: cannot begin: %s", kv->dir, mdb_strerror(rc));
		free(t);
		return NULL;
	}
	return t;
}

struct kv_txn *kv_read(struct kv *kv, struct fault *why)
{
	return begin(kv, MDB_RDONLY, why);
}

struct kv_txn *kv_write(struct kv *kv, struct fault *why)
{
	return begin(kv, 0, why);
}

bool kv_commit(struct kv_txn **t, struct fault *why)
{
	struct kv *kv = (*t)->kv;
	int rc = MDB_BAD_TXN;

	close_all(*t);
	if ((*t)->has_failed)
		mdb_txn_abort((*t)->txn);
	else
		KV_CALL(kv, rc, mdb_txn_commit((*t)->txn));
	free(*t);
	*t = NULL;
	return rc == 0 || fault_set(why, FAULT_OPERATOR, "%s/data.mdb: cannot commit: %s", kv->dir, mdb_strerror(rc));
}

void kv_end(struct kv_txn **t)
{
	if (*t == NULL)
		return;
	close_all(*t);
	mdb_txn_abort((*t)->txn);
	free(*t);
	*t = NULL;
}

struct kv *kv_of(const struct kv_txn *t)
{
	return t->kv;
}

bool kv_has_failed(const struct kv_txn *t)
{
	return t->has_failed;
}

enum kv_result kv_get(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r)
{
	MDB_val k = val_of(key), v = { 0 };
	enum kv_result result;
	MDB_cursor *c;
	int rc;

	if (key.n == 0 || key.n > KV_KEY_MAX || t->kv->is_missing[table])
		return KV_NOT_FOUND;
	if (!t->is_writing)
		KV_CALL(t->kv, rc, mdb_get(t->txn, t->kv->dbi[table], &k, &v));
	else if ((rc = writer_at(t, table, &c)) == 0)
		KV_CALL(t->kv, rc, mdb_cursor_get(c, &k, &v, MDB_SET));
	if (rc == 0 && !is_sound(t->kv, v))
		rc = MDB_CORRUPTED;
	if (rc == MDB_NOTFOUND)
		rc = confirm_absent(t, table, k);
	result = result_of(t, rc);
	if (result == KV_OK)
		*value_r = bytes_of_val(v);
	return result;
}

static bool is_key(MDB_val k, struct bytes key)
{
	return bytes_equal(bytes_of_val(k), key);
}

/* Stand at KEY, by one step from where the last access was if it follows that. */
static int step_to(struct kv_txn *t, size_t table, struct bytes key, MDB_cursor **c_r, MDB_val *v_r)
{
	MDB_val k;
	int rc = writer_at(t, table, c_r);

	if (rc != 0)
		return rc;
	rc = cursor_step(t->kv, *c_r, &k, v_r, MDB_NEXT);
	if ((rc == 0 && is_key(k, key)) || (rc != 0 && rc != MDB_NOTFOUND))
		return rc;
	k = val_of(key);
	KV_CALL(t->kv, rc, mdb_cursor_get(*c_r, &k, v_r, MDB_SET));
	return rc == 0 && !is_sound(t->kv, *v_r) ? MDB_CORRUPTED : rc;
}

enum kv_result kv_get_next(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r)
{
	enum kv_result result;
	MDB_cursor *c;
	MDB_val v;
	int rc;

	assert(t->is_writing);
	if (key.n == 0 || key.n > KV_KEY_MAX)
		return KV_NOT_FOUND;
	rc = step_to(t, table, key, &c, &v);
	if (rc == MDB_NOTFOUND)
		rc = confirm_absent(t, table, val_of(key));
	result = result_of(t, rc);
	if (result == KV_OK)
		*value_r = bytes_of_val(v);
	return result;
}

static enum kv_result put(struct kv_txn *t, size_t table, struct bytes key, struct bytes value, unsigned flags)
{
	MDB_val k = val_of(key), v = val_of(value);
	MDB_cursor *c;
	int rc = writer_at(t, table, &c);

	assert(key.n > 0 && key.n <= KV_KEY_MAX);
	if (rc == 0)
		KV_CALL(t->kv, rc, mdb_cursor_put(c, &k, &v, flags));
	return result_of(t, rc);
}

enum kv_result kv_put(struct kv_txn *t, size_t table, struct bytes key, struct bytes value)
{
	return put(t, table, key, value, 0);
}

enum kv_result kv_put_here(struct kv_txn *t, size_t table, struct bytes key, struct bytes value)
{
	MDB_val k, v;
	MDB_cursor *c;
	int rc = writer_at(t, table, &c);

	if (rc == 0)
		KV_CALL(t->kv, rc, mdb_cursor_get(c, &k, &v, MDB_GET_CURRENT));
	return put(t, table, key, value, rc == 0 && is_key(k, key) ? MDB_CURRENT : 0);
}

enum kv_result kv_put_last(struct kv_txn *t, size_t table, struct bytes key, struct bytes value)
{
	return put(t, table, key, value, MDB_APPEND);
}

enum kv_result kv_del(struct kv_txn *t, size_t table, struct bytes key)
{
	MDB_val k = val_of(key), v = { 0 };
	MDB_cursor *c;
	int rc;

	if (key.n == 0 || key.n > KV_KEY_MAX)
		return KV_NOT_FOUND;
	rc = writer_at(t, table, &c);
	if (rc == 0)
		KV_CALL(t->kv, rc, mdb_cursor_get(c, &k, &v, MDB_SET));
	if (rc == 0)
		KV_CALL(t->kv, rc, mdb_cursor_del(c, 0));
	return result_of(t, rc);
}

enum kv_result kv_del_next(struct kv_txn *t, size_t table, struct bytes key)
{
	MDB_cursor *c;
	MDB_val v;
	int rc;

	if (key.n == 0 || key.n > KV_KEY_MAX)
		return KV_NOT_FOUND;
	rc = step_to(t, table, key, &c, &v);
	if (rc == 0)
		KV_CALL(t->kv, rc, mdb_cursor_del(c, 0));
	return result_of(t, rc);
}

size_t kv_count(struct kv_txn *t, size_t table)
{
	MDB_stat stat;

	if (t->kv->is_missing[table])
		return 0;
	return mdb_stat(t->txn, t->kv->dbi[table], &stat) == 0 ? stat.ms_entries : 0;
}

enum kv_result kv_clear(struct kv_txn *t, size_t table)
{
	int rc;

	KV_CALL(t->kv, rc, mdb_drop(t->txn, t->kv->dbi[table], 0));
	return result_of(t, rc);
}

static bool cursor_get(struct kv_cursor *c, struct bytes key, MDB_cursor_op op, struct bytes *key_r,
                       struct bytes *value_r)
{
	MDB_val k = val_of(key), v;
	int rc = cursor_step(c->txn->kv, c->cursor, &k, &v, op);

	if (rc == MDB_NOTFOUND && (op == MDB_SET_RANGE || op == MDB_FIRST))
		rc = confirm_absent(c->txn, c->table, val_of(key));
	if (result_of(c->txn, rc) != KV_OK)
		return false;
	*key_r = bytes_of_val(k);
	*value_r = bytes_of_val(v);
	return true;
}

/* What follows one another in a table is mostly in pages that follow one another, too. A walk waits for memory more than for anything
 * else: so the page behind the one that is entered is asked for before anybody looks at it. If it is none, that is nothing. */
static void read_ahead(struct kv_cursor *c, struct bytes value)
{
	size_t size = c->txn->kv->page_size;
	uintptr_t page = (uintptr_t)value.p / size * size;

	if (page == c->page)
		return;
	c->page = page;
	for (size_t i = 0; i < size; i += CACHE_LINE)
		__builtin_prefetch((const void *)(page + size + i));
}

bool kv_next(struct kv_cursor *c, struct bytes *key_r, struct bytes *value_r)
{
	bool has = cursor_get(c, BYTES_NONE, MDB_NEXT, key_r, value_r);

	if (has)
		read_ahead(c, *value_r);
	return has;
}

bool kv_reseek(struct kv_cursor *c, struct bytes key, struct bytes *key_r, struct bytes *value_r)
{
	struct bytes at = bytes_sub(key, 0, KV_KEY_MAX);

	if (!cursor_get(c, at, at.n == 0 ? MDB_FIRST : MDB_SET_RANGE, key_r, value_r))
		return false;
	/* Of a KEY longer than any there can be, its own beginning is before it. */
	return at.n == key.n || !bytes_equal(*key_r, at) || kv_next(c, key_r, value_r);
}

struct kv_cursor *kv_seek(struct kv_txn *t, size_t table, struct bytes key, struct bytes *key_r, struct bytes *value_r)
{
	struct kv_cursor *c;

	if (t->kv->is_missing[table])
		return NULL;
	c = must_calloc(1, sizeof(*c));
	c->txn = t;
	c->table = table;
	if (result_of(t, cursor_begin(t, table, &c->cursor)) != KV_OK) {
		free(c);
		return NULL;
	}
	if (!kv_reseek(c, key, key_r, value_r))
		kv_cursor_end(&c);
	return c;
}

void kv_cursor_end(struct kv_cursor **c)
{
	if (*c == NULL)
		return;
	mdb_cursor_close((*c)->cursor);
	free(*c);
	*c = NULL;
}

enum kv_result kv_before(struct kv_txn *t, size_t table, struct bytes key, struct bytes *key_r, struct bytes *value_r)
{
	struct kv_cursor c = { .txn = t, .table = table };
	enum kv_result result;
	bool found;

	if (t->kv->is_missing[table])
		return KV_NOT_FOUND;
	result = result_of(t, cursor_begin(t, table, &c.cursor));
	if (result != KV_OK)
		return result;
	if (kv_reseek(&c, key, key_r, value_r))
		found = cursor_get(&c, BYTES_NONE, MDB_PREV, key_r, value_r);
	else
		found = cursor_get(&c, BYTES_NONE, MDB_LAST, key_r, value_r);
	mdb_cursor_close(c.cursor);
	if (t->has_failed)
		return KV_FAILED;
	return found ? KV_OK : KV_NOT_FOUND;
}
