/* kv.c - LMDB's calls with the map's growth, stale readers and errors taken care of in one place. */
#include "kv.h"

#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>

#include "alloc.h"
#include "file.h"
#include "log.h"

#define READERS_MAX 1024

struct kv {
	MDB_env *env;
	MDB_dbi dbi[KV_TABLES_MAX];
	size_t table_count;
	char *dir;
};

struct kv_txn {
	struct kv *kv;
	MDB_txn *txn;
};

struct kv_cursor {
	MDB_cursor *cursor;
};

static MDB_val val_of(struct bytes b)
{
	return (MDB_val){ b.n, (void *)(uintptr_t)b.p };
}

static struct bytes bytes_of_val(MDB_val v)
{
	return bytes_make(v.mv_data, v.mv_size);
}

static enum kv_result result_of(const struct kv *kv, int rc)
{
	if (rc == 0)
		return KV_OK;
	if (rc == MDB_NOTFOUND)
		return KV_NOT_FOUND;
	log_event(LOG_ERROR, "kv.access.failed", LOG_STR("dir", kv->dir), LOG_STR("why", mdb_strerror(rc)));
	if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC)
		return KV_FULL;
	assert(rc != MDB_BAD_VALSIZE && rc != EINVAL);
	return KV_FAILED;
}

static bool open_tables(struct kv *kv, const char *const *tables, bool is_reader, int *rc_r)
{
	MDB_txn *txn;

	*rc_r = mdb_txn_begin(kv->env, NULL, is_reader ? MDB_RDONLY : 0, &txn);
	if (*rc_r != 0)
		return false;
	for (size_t i = 0; i < kv->table_count && *rc_r == 0; i++)
		*rc_r = mdb_dbi_open(txn, tables[i], is_reader ? 0 : MDB_CREATE, &kv->dbi[i]);
	if (*rc_r != 0)
		mdb_txn_abort(txn);
	else
		*rc_r = mdb_txn_commit(txn);
	return *rc_r == 0;
}

struct kv *kv_open(const char *dir, size_t map_size, const char *const *tables, size_t table_count, bool is_durable,
                   bool is_reader, struct fault *why)
{
	struct kv *kv = must_calloc(1, sizeof(*kv));
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (is_durable ? 0 : MDB_NOSYNC) | (is_reader ? MDB_RDONLY : 0);
	int rc = 0;

	assert(table_count <= KV_TABLES_MAX);
	kv->table_count = table_count;
	kv->dir = must_strdup(dir);
	if (!is_reader && !file_make_dirs(dir, 0700, why)) {
		kv_close(&kv);
		return NULL;
	}
	rc = mdb_env_create(&kv->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(kv->env, map_size);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(kv->env, (MDB_dbi)table_count);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(kv->env, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(kv->env, dir, flags, 0600);
	if (rc == 0) {
		int dead;

		(void)mdb_reader_check(kv->env, &dead);
		(void)open_tables(kv, tables, is_reader, &rc);
	}
	if (rc != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "%s/data.mdb: cannot be used: %s", dir, mdb_strerror(rc));
		kv_close(&kv);
	}
	return kv;
}

void kv_close(struct kv **kv)
{
	if (*kv == NULL)
		return;
	if ((*kv)->env != NULL)
		mdb_env_close((*kv)->env);
	free((*kv)->dir);
	free(*kv);
	*kv = NULL;
}

bool kv_sync(struct kv *kv, struct fault *why)
{
	int rc = mdb_env_sync(kv->env, 1);

	return rc == 0 || fault_set(why, FAULT_OPERATOR, "%s/data.mdb: sync: %s", kv->dir, mdb_strerror(rc));
}

static struct kv_txn *begin(struct kv *kv, unsigned flags, struct fault *why)
{
	struct kv_txn *t = must_calloc(1, sizeof(*t));
	int rc = mdb_txn_begin(kv->env, NULL, flags, &t->txn);

	t->kv = kv;
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
	int rc = mdb_txn_commit((*t)->txn);
	bool ok = rc == 0 ||
	          fault_set(why, FAULT_OPERATOR, "%s/data.mdb: cannot commit: %s", (*t)->kv->dir, mdb_strerror(rc));

	free(*t);
	*t = NULL;
	return ok;
}

void kv_end(struct kv_txn **t)
{
	if (*t == NULL)
		return;
	mdb_txn_abort((*t)->txn);
	free(*t);
	*t = NULL;
}

enum kv_result kv_get(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r)
{
	MDB_val k = val_of(key), v;
	enum kv_result result;

	if (key.n == 0 || key.n > KV_KEY_MAX)
		return KV_NOT_FOUND;
	result = result_of(t->kv, mdb_get(t->txn, t->kv->dbi[table], &k, &v));
	if (result == KV_OK)
		*value_r = bytes_of_val(v);
	return result;
}

enum kv_result kv_put(struct kv_txn *t, size_t table, struct bytes key, struct bytes value)
{
	MDB_val k = val_of(key), v = val_of(value);

	assert(key.n > 0 && key.n <= KV_KEY_MAX);
	return result_of(t->kv, mdb_put(t->txn, t->kv->dbi[table], &k, &v, 0));
}

enum kv_result kv_del(struct kv_txn *t, size_t table, struct bytes key)
{
	MDB_val k = val_of(key);

	if (key.n == 0 || key.n > KV_KEY_MAX)
		return KV_NOT_FOUND;
	return result_of(t->kv, mdb_del(t->txn, t->kv->dbi[table], &k, NULL));
}

size_t kv_count(struct kv_txn *t, size_t table)
{
	MDB_stat stat;

	return mdb_stat(t->txn, t->kv->dbi[table], &stat) == 0 ? stat.ms_entries : 0;
}

enum kv_result kv_clear(struct kv_txn *t, size_t table)
{
	return result_of(t->kv, mdb_drop(t->txn, t->kv->dbi[table], 0));
}

static bool cursor_get(struct kv_cursor *c, struct bytes key, MDB_cursor_op op, struct bytes *key_r,
                       struct bytes *value_r)
{
	MDB_val k = val_of(key), v;

	if (mdb_cursor_get(c->cursor, &k, &v, op) != 0)
		return false;
	*key_r = bytes_of_val(k);
	*value_r = bytes_of_val(v);
	return true;
}

bool kv_reseek(struct kv_cursor *c, struct bytes key, struct bytes *key_r, struct bytes *value_r)
{
	return cursor_get(c, key, key.n == 0 ? MDB_FIRST : MDB_SET_RANGE, key_r, value_r);
}

struct kv_cursor *kv_seek(struct kv_txn *t, size_t table, struct bytes key, struct bytes *key_r, struct bytes *value_r)
{
	struct kv_cursor *c = must_calloc(1, sizeof(*c));

	if (mdb_cursor_open(t->txn, t->kv->dbi[table], &c->cursor) != 0) {
		free(c);
		return NULL;
	}
	if (!kv_reseek(c, key, key_r, value_r))
		kv_cursor_end(&c);
	return c;
}

bool kv_next(struct kv_cursor *c, struct bytes *key_r, struct bytes *value_r)
{
	return cursor_get(c, BYTES_NONE, MDB_NEXT, key_r, value_r);
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
	struct kv_cursor c = { 0 };
	enum kv_result result = result_of(t->kv, mdb_cursor_open(t->txn, t->kv->dbi[table], &c.cursor));
	bool found;

	if (result != KV_OK)
		return result;
	if (kv_reseek(&c, key, key_r, value_r))
		found = cursor_get(&c, BYTES_NONE, MDB_PREV, key_r, value_r);
	else
		found = cursor_get(&c, BYTES_NONE, MDB_LAST, key_r, value_r);
	mdb_cursor_close(c.cursor);
	return found ? KV_OK : KV_NOT_FOUND;
}
