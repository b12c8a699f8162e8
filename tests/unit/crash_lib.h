/* crash_lib.h - the process dies at its Nth call that changes a file: this program's own definitions of the calls stand in
 * front of the C library's. What a kill leaves is then looked at by the parent. Include it in one file of a program only. */
#ifndef ROOST_UNIT_CRASH_LIB_H
#define ROOST_UNIT_CRASH_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRASHED 77

/* Calls until the end; negative: there is none. Instead of dying, FAULT_ERRNO makes that call, and all after it, fail. */
static int crash_left = -1;
static int fault_errno_set;

static inline bool crash_here(void)
{
	if (crash_left < 0)
		return false;
	if (crash_left > 0 && --crash_left > 0)
		return false;
	if (fault_errno_set == 0)
		_exit(CRASHED);
	errno = fault_errno_set;
	return true;
}

int rename(const char *from, const char *to)
{
	return crash_here() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	/* What makes room does not fail for want of it. */
	return fault_errno_set != ENOSPC && crash_here() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return fault_errno_set != ENOSPC && crash_here() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int fsync(int fd)
{
	return crash_here() ? -1 : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t length)
{
	return crash_here() ? -1 : (int)syscall(SYS_ftruncate, fd, length);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	return crash_here() ? -1 : syscall(SYS_pwritev, fd, v, (long)count, (long)at, 0L);
}

/* Run FN(ARG) in a child that dies at its Nth such call. false: it came to its end before. */
static inline bool crashes_at(int n, void (*fn)(void *arg), void *arg)
{
	pid_t child;
	int status = 0;

	(void)fflush(NULL);
	child = fork();
	if (child == 0) {
		crash_left = n;
		fn(arg);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CRASHED);
	return WEXITSTATUS(status) == CRASHED;
}

#endif
