/* kv_copy.c - copies of what is elsewhere: not synced, so they outlive the process and not the machine. "complete" beside
 * one says that it holds all, and in which life of the machine it was written, or "clean" after an orderly stop. */
#include "kv_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "kv_boot.h"
#include "log.h"

bool kv_copy_mark(const char *dir, bool is_clean, struct fault *why)
{
	char *path = must_printf("%s/complete", dir);
	bool ok = kv_boot_mark(path, is_clean, why);

	free(path);
	return ok;
}

bool kv_copy_is_whole(const char *dir)
{
	char *path = must_printf("%s/complete", dir), *data = must_printf("%s/data.mdb", dir);
	bool ok = access(data, F_OK) == 0 && kv_boot_is_sound(path);

	free(path);
	free(data);
	return ok;
}

static bool remove_copy(const char *dir, struct fault *why)
{
	static const char *const names[] = { "complete", "data.mdb", "lock.mdb" };
	bool ok = true;

	for (size_t i = 0; ok && i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = must_printf("%s/%s", dir, names[i]);

		if (unlink(path) != 0 && errno != ENOENT)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", path);
		free(path);
	}
	return ok;
}

/* Whether a process has the copy open: what it has must not be removed. */
static bool is_in_use(const char *dir, struct fault *why)
{
	char *data = must_printf("%s/data.mdb", dir);
	int fd = open(data, O_RDWR | O_CLOEXEC);
	bool is = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

	if (fd >= 0)
		(void)close(fd);
	if (is)
		(void)fault_set(why, FAULT_OPERATOR, "%s: in use by another process: stop it first", data);
	free(data);
	return is;
}

struct kv *kv_copy_open(const char *dir, size_t map_size, const char *const *tables, size_t table_count, bool *is_whole_r,
                        struct fault *why)
{
	struct kv *kv = NULL;

	*is_whole_r = false;
	if (is_in_use(dir, why))
		return NULL;
	*is_whole_r = kv_copy_is_whole(dir) && kv_copy_mark(dir, false, why);
	if (*is_whole_r) {
		kv = kv_open(dir, map_size, tables, table_count, false, false, why);
		if (kv == NULL)
			log_event(LOG_WARNING, "kv.copy.discarded", LOG_FAULT(why));
		*is_whole_r = kv != NULL;
	}
	if (kv == NULL && remove_copy(dir, why))
		kv = kv_open(dir, map_size, tables, table_count, false, false, why);
	return kv;
}
