/* file.c - system calls in loops until all is done, with the path in every fault. A file is replaced by writing
 * beside it and renaming, with both the file and its directory synced. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"

int file_open(const char *path, int flags, mode_t mode, struct fault *why)
{
	int fd = open(path, flags | O_CLOEXEC, mode);

	if (fd < 0)
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot open", path);
	return fd;
}

void file_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

bool file_pread(int fd, void *to, size_t n, off_t off, const char *path, struct fault *why)
{
	uint8_t *p = to;

	while (n > 0) {
		ssize_t got = pread(fd, p, n, off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fault_errno(why, FAULT_OPERATOR, errno, "%s: read at %lld", path, (long long)off);
		if (got == 0)
			return fault_set(why, FAULT_OPERATOR, "%s: ends before %lld", path, (long long)off + (long long)n);
		p += got;
		off += got;
		n -= (size_t)got;
	}
	return true;
}

bool file_pwritev(int fd, struct iovec *v, int count, off_t off, const char *path, size_t *written_r, struct fault *why)
{
	*written_r = 0;
	while (count > 0) {
		ssize_t put = pwritev(fd, v, count > IOV_MAX ? IOV_MAX : count, off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fault_errno(why, FAULT_OPERATOR, errno, "%s: write at %lld", path, (long long)off);
		*written_r += (size_t)put;
		off += put;
		while (count > 0 && (size_t)put >= v->iov_len) {
			put -= (ssize_t)v->iov_len;
			v++;
			count--;
		}
		if (count > 0) {
			v->iov_base = (uint8_t *)v->iov_base + put;
			v->iov_len -= (size_t)put;
		}
	}
	return true;
}

bool file_datasync(int fd, const char *path, struct fault *why)
{
	if (fdatasync(fd) != 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", path);
	return true;
}

bool file_sync_dir(const char *dir, struct fault *why)
{
	int fd = file_open(dir, O_RDONLY | O_DIRECTORY, 0, why);
	bool ok;

	if (fd < 0)
		return false;
	ok = fsync(fd) == 0;
	if (!ok)
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", dir);
	file_close(&fd);
	return ok;
}

static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return must_strdup(".");
	if (slash == path)
		return must_strdup("/");
	return bytes_to_str(bytes_make(path, (size_t)(slash - path)));
}

bool file_replace(const char *path, struct bytes content, mode_t mode, struct fault *why)
{
	char *beside = must_printf("%s.new.%ld", path, (long)getpid());
	char *dir = dir_of(path);
	struct iovec v = { (void *)(uintptr_t)content.p, content.n };
	size_t written;
	bool ok = false;
	int fd = file_open(beside, O_WRONLY | O_CREAT | O_TRUNC, mode, why);

	if (fd < 0)
		goto out;
	ok = (content.n == 0 || file_pwritev(fd, &v, 1, 0, beside, &written, why)) && file_datasync(fd, beside, why);
	if (ok && rename(beside, path) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot replace", path);
	if (ok)
		ok = file_sync_dir(dir, why);
	else
		(void)unlink(beside);
out:
	file_close(&fd);
	free(dir);
	free(beside);
	return ok;
}

bool file_read_all(const char *path, size_t limit, struct buffer *b, int *errno_r, struct fault *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = b->n;
	bool ok = false;

	if (errno_r != NULL)
		*errno_r = fd < 0 ? errno : 0;
	if (fd < 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot open", path);
	for (;;) {
		ssize_t got = read(fd, buffer_reserve(b, 16384), 16384);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: read", path);
			break;
		}
		if (got == 0) {
			ok = true;
			break;
		}
		b->n += (size_t)got;
		if (b->n - start > limit) {
			(void)fault_set(why, FAULT_OPERATOR, "%s: larger than %zu octets", path, limit);
			break;
		}
	}
	file_close(&fd);
	return ok;
}

/* The name of DIR, in its parent, is durable. Who may not read the parent cannot sync it, nor has made it. */
static bool sync_name(const char *dir, struct fault *why)
{
	char *parent = dir_of(dir);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 ? fsync(fd) == 0 : errno == EACCES;

	if (!ok)
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", parent);
	file_close(&fd);
	free(parent);
	return ok;
}

bool file_make_dirs(const char *dir, mode_t mode, struct fault *why)
{
	char *path = must_strdup(dir);
	bool ok = true;

	for (char *p = path + 1; ok; p++) {
		char c = *p;
		bool is_new;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		is_new = mkdir(path, mode) == 0;
		if (!is_new && errno != EEXIST)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot create", path);
		/* The last also where it is there: who made it may have died before its sync. Those above it are durable then. */
		if (ok && (is_new || c == '\0'))
			ok = sync_name(path, why);
		*p = c;
		if (c == '\0')
			break;
	}
	free(path);
	return ok;
}
