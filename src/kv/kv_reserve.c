/* kv_reserve.c - LMDB writes a page anew to change it, so on a full disk, or in a full map, nothing could even be deleted.
 * A durable store therefore has a file "reserve" beside it, which takes room on the disk and is given up for changes that
 * make room, and the last of the map is theirs, too. What grows waits until the reserve is there again, or as much is free
 * in the store itself.
 *
 * BUGS: a reader that stays (an export that nobody reads on) keeps pages from being used again. */
#include "kv_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"

static char *reserve_path(const struct kv *kv)
{
	return must_printf("%s/reserve", kv->dir);
}

void kv_take_reserve(struct kv *kv)
{
	char *path = reserve_path(kv);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int rc = fd < 0 ? errno : posix_fallocate(fd, 0, KV_RESERVE);

	if (fd >= 0)
		(void)close(fd);
	/* Half of one is none, and in the way. */
	if (rc != 0)
		(void)unlink(path);
	kv->has_reserve = rc == 0;
	free(path);
}

/* Octets that are free in the store's own file; those that the last transactions freed can be used a little later. */
static size_t free_octets(struct kv *kv)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_txn *txn;
	size_t pages = 0, count;
	int rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return 0;
	rc = mdb_cursor_open(txn, 0, &cursor);
	if (rc == 0) {
		while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0 && v.mv_size >= sizeof(count)) {
			memcpy(&count, v.mv_data, sizeof(count));
			pages += count;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages * kv->page_size;
}

bool kv_may_grow(struct kv_txn *t, size_t octets, struct fault *why)
{
	struct kv *kv = kv_of(t);
	MDB_envinfo info;
	size_t is_free;
	bool fits;

	if (!kv->has_reserve)
		kv_take_reserve(kv);
	fits = mdb_env_info(kv->env, &info) == 0 &&
	       (info.me_last_pgno + 1) * kv->page_size + octets + KV_RESERVE <= info.me_mapsize;
	if (kv->has_reserve && fits)
		return true;
	KV_CALL(kv, is_free, free_octets(kv));
	if (is_free >= octets + KV_RESERVE)
		return true;
	return fault_set(why, FAULT_OPERATOR, "%s/data.mdb: %s; what is left is kept for changes that make room", kv->dir,
	                 fits ? "No space left on device" : "index_map_size is used up");
}

void kv_measure(struct kv *kv, uint64_t *used_r, uint64_t *room_r)
{
	uint64_t size, room, is_free;
	MDB_envinfo info;
	struct statvfs v;

	KV_CALL(kv, is_free, free_octets(kv));
	size = mdb_env_info(kv->env, &info) == 0 ? (info.me_last_pgno + 1) * kv->page_size : 0;
	room = size < kv->map_size ? kv->map_size - size : 0;
	if (statvfs(kv->dir, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < room)
		room = (uint64_t)v.f_bavail * v.f_frsize;
	*used_r = is_free < size ? size - is_free : 0;
	*room_r = room + is_free;
}

bool kv_is_tight(const struct kv_txn *t)
{
	return kv_of(t)->is_durable && !kv_of(t)->has_reserve;
}

bool kv_give_up_reserve(struct kv *kv)
{
	char *path = reserve_path(kv);
	bool had = kv->has_reserve && unlink(path) == 0;
	struct stat file;

	/* At once into the store's file, or somebody else takes it. */
	if (had && fstat(kv->fd, &file) == 0)
		(void)posix_fallocate(kv->fd, file.st_size, KV_RESERVE);
	kv->has_reserve = false;
	free(path);
	return had;
}
