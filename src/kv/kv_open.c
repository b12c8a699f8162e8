/* kv_open.c - opening and closing: the file is this store's, whole, and nobody else's. */
#include "kv_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"

#define READERS_MAX 1024
/* A head and a slot a reader, with what LMDB rounds up. */
#define LOCK_FILE_SIZE ((READERS_MAX + 64) * 64)

/* LMDB writes to its lock file through a mapping, where a full disk would be a SIGBUS: take the room beforehand. Not
 * while it is open, as closing any descriptor of it would drop LMDB's own locks. */
static bool take_lock_room(const char *dir, struct fault *why)
{
	char *path = must_printf("%s/lock.mdb", dir);
	int fd = file_open(path, O_RDWR | O_CREAT, 0600, why), rc;

	if (fd >= 0) {
		rc = posix_fallocate(fd, 0, LOCK_FILE_SIZE);
		file_close(&fd);
		if (rc != 0 && rc != EOPNOTSUPP && rc != EINVAL) {
			(void)fault_errno(why, FAULT_OPERATOR, rc, "%s", path);
			free(path);
			return false;
		}
		free(path);
		return true;
	}
	free(path);
	return false;
}

/* The file is nobody else's, and sound. A copy may be large and is made anew where it turns out not to be. */
static bool take_file(struct kv *kv, struct fault *why)
{
	char *path = must_printf("%s/data.mdb", kv->dir);
	bool ok = true;

	/* Created here, it is for LMDB a new one. */
	kv->fd = file_open(path, O_RDWR | O_CREAT, 0600, why);
	if (kv->fd < 0)
		ok = false;
	else if (flock(kv->fd, LOCK_EX | LOCK_NB) != 0)
		ok = fault_set(why, FAULT_OPERATOR, "%s: in use by another process: stop it first", path);
	free(path);
	return ok && kv_check(kv, kv->fd, kv->is_copy, why);
}

/* Each table of the file is one of TABLES. */
static int check_names(const struct kv *kv, MDB_txn *txn, const char *const *tables, struct fault *why)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_dbi names;
	int rc = mdb_dbi_open(txn, NULL, 0, &names);

	if (rc == 0)
		rc = mdb_cursor_open(txn, names, &cursor);
	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		struct bytes name = bytes_make(k.mv_data, k.mv_size);
		bool is_ours = false;

		for (size_t i = 0; i < kv->table_count; i++)
			is_ours = is_ours || bytes_equal_str(name, tables[i]);
		if (!is_ours) {
			(void)kv_is_damaged(kv, why, "holds a table \"%.*s\", so it is no file of this store",
			                    BYTES_FMT(bytes_sub(name, 0, 64)));
			rc = MDB_INCOMPATIBLE;
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool cannot_be_used(const struct kv *kv, int rc, struct fault *why)
{
	/* LMDB's own errors are below 0. */
	if (rc < 0)
		return kv_is_damaged(kv, why, "cannot be used: %s", mdb_strerror(rc));
	return fault_errno(why, FAULT_OPERATOR, rc, "%s/data.mdb: cannot be used", kv->dir);
}

/* Find where the file is mapped, from an entry's place and the number that its page carries. */
static int find_base(struct kv *kv, MDB_txn *txn)
{
	const uint8_t *page;
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_dbi names;
	MDB_stat shape;
	size_t number;
	uint32_t magic;
	int rc = mdb_env_stat(kv->env, &shape);

	if (rc == 0)
		rc = mdb_dbi_open(txn, NULL, 0, &names);
	/* A mapping begins at a page of the machine's, so this goes only for pages that are not larger. */
	if (rc != 0 || shape.ms_psize > (size_t)sysconf(_SC_PAGESIZE))
		return rc;
	rc = mdb_cursor_open(txn, names, &cursor);
	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
	mdb_cursor_close(cursor);
	if (rc != 0)
		return rc;
	page = (const uint8_t *)((uintptr_t)k.mv_data / shape.ms_psize * shape.ms_psize);
	memcpy(&number, page, sizeof(number));
	page -= number * shape.ms_psize;
	/* By a wrong number this is an address that is not there, which is told as damage, too. */
	memcpy(&magic, page + 16, sizeof(magic));
	if (magic != 0xbeefc0de)
		return MDB_CORRUPTED;
	kv->base = page;
	kv->page_size = shape.ms_psize;
	return 0;
}

/* LMDB's result; WHY is set where it alone says too little. */
static int open_tables(struct kv *kv, const char *const *tables, bool is_reader, struct fault *why)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, is_reader ? MDB_RDONLY : 0, &txn);

	if (rc != 0)
		return rc;
	rc = check_names(kv, txn, tables, why);
	for (size_t i = 0; i < kv->table_count && rc == 0; i++) {
		rc = mdb_dbi_open(txn, tables[i], is_reader ? 0 : MDB_CREATE, &kv->dbi[i]);
		/* An earlier version had none of that name, and who only reads cannot make one. */
		if (rc == MDB_NOTFOUND && is_reader) {
			kv->is_missing[i] = true;
			rc = 0;
		}
	}
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	rc = mdb_txn_commit(txn);
	if (rc == 0)
		rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0) {
		rc = find_base(kv, txn);
		mdb_txn_abort(txn);
	}
	return rc;
}

static int prepare(struct kv *kv, size_t map_size)
{
	int rc = mdb_env_create(&kv->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(kv->env, map_size);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(kv->env, (MDB_dbi)kv->table_count);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(kv->env, READERS_MAX);
	return rc;
}

/* An empty file of a start that failed would be taken for a file that has lost its content. */
static void remove_empty(const struct kv *kv)
{
	char *path = must_printf("%s/data.mdb", kv->dir);
	struct stat file;

	if (stat(path, &file) == 0 && S_ISREG(file.st_mode) && file.st_size == 0)
		(void)unlink(path);
	free(path);
}

static bool open_env(struct kv *kv, size_t map_size, const char *const *tables, bool is_reader, struct fault *why)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (kv->is_durable ? 0 : MDB_NOSYNC) | (is_reader ? MDB_RDONLY : 0);
	struct fault first = { .kind = FAULT_NONE };
	MDB_envinfo info;
	int rc = prepare(kv, map_size), dead;

	if (rc == 0) {
		kv_guard(kv);
		KV_CALL(kv, rc, mdb_env_open(kv->env, kv->dir, flags, 0600));
	}
	if (rc == 0) {
		(void)mdb_reader_check(kv->env, &dead);
		KV_CALL(kv, rc, open_tables(kv, tables, is_reader, &first));
	}
	if (rc == 0)
		rc = mdb_env_info(kv->env, &info);
	if (rc == 0) {
		kv->map_size = info.me_mapsize;
		return true;
	}
	if (first.kind == FAULT_NONE)
		(void)cannot_be_used(kv, rc, &first);
	if (why != NULL)
		*why = first;
	return false;
}

struct kv *kv_open(const char *dir, size_t map_size, const char *const *tables, size_t table_count, bool is_durable,
                   bool is_reader, struct fault *why)
{
	struct kv *kv = must_calloc(1, sizeof(*kv));
	bool ok = true;

	assert(table_count <= KV_TABLES_MAX);
	kv->table_count = table_count;
	kv->dir = must_strdup(dir);
	kv->is_durable = is_durable;
	kv->is_copy = !is_durable && !is_reader;
	kv->fd = -1;
	if (!is_reader)
		ok = file_make_dirs(dir, 0700, why) && take_lock_room(dir, why) && take_file(kv, why);
	ok = ok && open_env(kv, map_size, tables, is_reader, why) && (!is_durable || is_reader || file_sync_dir(dir, why));
	if (ok && is_durable)
		kv_take_reserve(kv);
	if (!ok && !is_reader)
		remove_empty(kv);
	if (!ok)
		kv_close(&kv);
	return kv;
}

void kv_close(struct kv **kvp)
{
	struct kv *kv = *kvp;

	if (kv == NULL)
		return;
	*kvp = NULL;
	kv_unguard(kv);
	if (kv->env != NULL)
		mdb_env_close(kv->env);
	file_close(&kv->fd);
	free(kv->dir);
	free(kv);
}
