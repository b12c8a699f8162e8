/* checkpoint_file.c - a checkpoint gets its name when it is whole and on the disk. */
#include "checkpoint_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "store_private.h"

#define READ_PIECE (256u << 10)
/* So much is handed to the disk at once, so that the sync at the end is short. */
#define WRITE_BEHIND (8u << 20)

char *checkpoint_path(const char *dir, lsn_t lsn)
{
	return must_printf("%s/%016llx.ckp", dir, (unsigned long long)lsn);
}

static int newest_first(const void *a, const void *b)
{
	lsn_t x = *(const lsn_t *)a, y = *(const lsn_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

bool checkpoint_list(const char *dir, lsn_t **lsns_r, size_t *count_r, struct fault *why)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	*lsns_r = NULL;
	*count_r = 0;
	if (d == NULL)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
	while ((e = readdir(d)) != NULL) {
		char *end;
		lsn_t lsn;

		if (strlen(e->d_name) != 20 || strcmp(e->d_name + 16, ".ckp") != 0)
			continue;
		lsn = strtoull(e->d_name, &end, 16);
		if (end != e->d_name + 16)
			continue;
		*lsns_r = must_realloc(*lsns_r, *count_r + 1, sizeof(**lsns_r));
		(*lsns_r)[(*count_r)++] = lsn;
	}
	(void)closedir(d);
	if (*count_r > 0)
		qsort(*lsns_r, *count_r, sizeof(**lsns_r), newest_first);
	return true;
}

struct target {
	const char *path;
	int fd;
	off_t at, behind;
	atomic_bool *is_stopping;
};

static bool write_piece(void *arg, struct bytes piece, struct fault *why)
{
	struct target *t = arg;
	struct iovec v = { (void *)(uintptr_t)piece.p, piece.n };
	size_t written;

	if (atomic_load(t->is_stopping))
		return fault_set(why, FAULT_TRANSIENT, "%s: given up, as the member stops", t->path);
	if (!file_pwritev(t->fd, &v, 1, t->at, t->path, &written, why))
		return false;
	t->at += (off_t)piece.n;
	if (t->at - t->behind >= (off_t)WRITE_BEHIND) {
		/* A hint: that all is on the disk is for the sync to say. */
		(void)sync_file_range(t->fd, t->behind, t->at - t->behind, SYNC_FILE_RANGE_WRITE);
		t->behind = t->at;
	}
	return true;
}

bool checkpoint_file_write(const char *dir, struct kv_txn **t, const struct checkpoint_head *head, atomic_bool *is_stopping,
                           struct fault *why)
{
	char *fresh = must_printf("%s/checkpoint.new", dir), *path = checkpoint_path(dir, head->lsn);
	struct target to = { .path = fresh, .fd = file_open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600, why),
		             .is_stopping = is_stopping };
	bool ok = to.fd >= 0 && checkpoint_write(*t, T_COUNT, head, write_piece, &to, why);

	kv_end(t);
	ok = ok && (fsync(to.fd) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", fresh));
	if (ok && rename(fresh, path) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot make", path);
	ok = ok && file_sync_dir(dir, why);
	if (!ok)
		(void)unlink(fresh);
	file_close(&to.fd);
	free(fresh);
	free(path);
	return ok;
}

static bool feed_all(int fd, const char *path, struct checkpoint_reader *r, struct fault *why)
{
	uint8_t *piece = must_alloc(READ_PIECE);
	bool ok = true;

	for (;;) {
		ssize_t n = read(fd, piece, READ_PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: read", path);
		if (n <= 0)
			break;
		ok = checkpoint_feed(r, bytes_make(piece, (size_t)n), why) || fault_context(why, "%s", path);
		if (!ok)
			break;
	}
	free(piece);
	return ok;
}

bool checkpoint_file_read(const char *dir, lsn_t lsn, struct checkpoint_reader *r, struct fault *why)
{
	char *path = checkpoint_path(dir, lsn);
	int fd = file_open(path, O_RDONLY, 0, why);
	bool ok = fd >= 0 && feed_all(fd, path, r, why);

	if (ok && !r->is_whole)
		ok = fault_set(why, FAULT_OPERATOR, "%s: is cut short", path);
	if (ok && r->head.lsn != lsn)
		ok = fault_set(why, FAULT_OPERATOR, "%s: is the checkpoint of another LSN", path);
	file_close(&fd);
	free(path);
	return ok;
}

void checkpoint_prune(const char *dir, size_t keep)
{
	char *fresh = must_printf("%s/checkpoint.new", dir);
	lsn_t *lsns;
	size_t count;
	struct fault why;

	(void)unlink(fresh);
	free(fresh);
	if (!checkpoint_list(dir, &lsns, &count, &why))
		return;
	for (size_t i = keep; i < count; i++) {
		char *path = checkpoint_path(dir, lsns[i]);

		(void)unlink(path);
		free(path);
	}
	free(lsns);
}
