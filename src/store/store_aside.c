/* store_aside.c - taking a partition out of the way as it is, so that the member gets all of it anew. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "store_tool.h"

/* Below the partition's directory itself, which may be where a disk is mounted. What waits to be merged stays, and what has come of
 * a copy. The journal goes first: without it, and with an index, nothing starts. */
static const char *const parts[] = { "journal", "journal.old", "index.boot", "index", "floor", "restored" };

static bool has_any(const char *dir)
{
	bool has = false;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *path = must_printf("%s/%s", dir, parts[i]);

		has = has || access(path, F_OK) == 0;
		free(path);
	}
	return has;
}

static bool move(const char *dir, const char *aside, struct fault *why)
{
	bool ok = true;

	for (size_t i = 0; ok && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *from = must_printf("%s/%s", dir, parts[i]), *to = must_printf("%s/%s", aside, parts[i]);

		if (rename(from, to) != 0 && errno != ENOENT)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be moved to %s", from, to);
		free(from);
		free(to);
	}
	return ok;
}

bool store_set_aside(const char *dir, store_confirm_fn *confirm, void *arg, char **aside_r, struct fault *why)
{
	char *lock = must_printf("%s/lock", dir), *aside;
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	int fd = file_open(lock, O_RDWR | O_CREAT, 0600, why);
	bool ok = fd >= 0;

	free(lock);
	if (!ok)
		return false;
	(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	aside = must_printf("%s/set-aside-%s", dir, stamp);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		ok = fault_set(why, FAULT_OPERATOR, "%s: in use by another process: stop the member first", dir);
	else if (!has_any(dir))
		ok = fault_set(why, FAULT_OPERATOR, "%s: there is nothing of a member in it", dir);
	/* Asked with the lock: nothing can start meanwhile. */
	ok = ok && confirm(arg, why);
	if (ok && mkdir(aside, 0700) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be made", aside);
	ok = ok && move(dir, aside, why) && file_sync_dir(aside, why) && file_sync_dir(dir, why);
	file_close(&fd);
	if (ok)
		*aside_r = aside;
	else
		free(aside);
	return ok;
}
