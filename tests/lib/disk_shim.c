/* disk_shim.c - preloaded into a daemon of a test: a disk that forgets what was not synced, and that fails when told to.
 *
 * For the files below $ROOST_DISK_ROOT it keeps an undo log in $ROOST_DISK_STATE (on the same file system, outside of the
 * root): before a sector is written for the first time since the file's last sync, what it held; before a directory is
 * changed, how to change it back. After the daemon was killed, disk.py takes back a seeded choice of what no later
 * fsync() or fdatasync() covered: the machine's power has gone. Rules, all of them what POSIX and Linux leave open:
 *  - a write is durable by a sync of its file that began after it and succeeded, or by O_DSYNC;
 *  - after a sync that failed nothing of what it should have covered is ever made durable by a later one (Linux marks
 *    the pages clean), only by being written again;
 *  - a name is durable by an fsync() of its directory.
 * The log outlives the process: what a killed daemon left unsynced stays so under the next, until that one syncs it.
 *
 * $ROOST_DISK_STATE/faults, written by disk.py, says what fails, and /proc/sys/kernel/random/boot_id is read from
 * $ROOST_DISK_STATE/boot_id, since a machine that lost its power has booted anew.
 *
 * Not kept: what is written through mappings (LMDB's lock file only, which no reboot is told from). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512
#define FDS_MAX 65536
#define FILES_MAX 4096

enum record_type { R_OLD = 1, R_SIZE, R_SYNCED, R_POISONED, R_RANGE_SYNCED, R_CREATE, R_RENAME, R_UNLINK, R_MKDIR, R_DIR_SYNCED, R_RMDIR };

/* A record of the undo log; N octets of data follow. */
struct record {
	uint32_t type, n;
	uint64_t ino; /* of the file; of the directory for R_CREATE and what follows it */
	uint64_t gen;
	uint64_t off; /* R_SIZE: the size before. R_CREATE, R_RENAME: the file's inode */
	uint64_t len;
};

enum op { OP_WRITE, OP_SYNC, OP_TRUNCATE, OP_ALLOCATE, OP_OPEN, OP_COUNT };

/* What disk.py says: CONTROL and RULE there. */
struct fault_rule {
	uint32_t error;      /* errno; 0: none. For OP_WRITE with IS_SHORT: write the half and say so */
	uint32_t per_million; /* how often */
	int32_t countdown;   /* if > 0: the n-th from now fails, once */
	uint32_t delay_us;   /* before each */
	uint32_t is_short;
};
struct control {
	char match[64];  /* a part of the paths that the rules are for; "" is all */
	struct fault_rule rules[OP_COUNT];
	uint32_t bus;    /* grows by one to have a page of a mapping of MATCH fail */
	uint32_t bus_span; /* among the first so many octets of it */
	uint64_t hits[OP_COUNT];
};

struct file {
	uint64_t ino, gen;
	int read_fd;
	bool is_dir;
	uint64_t *logged; /* a bit a sector: its old content is in the log, of this generation */
	size_t words;
	bool has_size;    /* its size before is in the log, of this generation */
	char path[PATH_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *root, *state;
static int log_fd = -1;
static uint64_t next_gen, saved_count;
static struct file *files[FILES_MAX], *by_fd[FDS_MAX];
static bool is_dsync[FDS_MAX];
static struct control *control;
static uint32_t bus_seen;
static unsigned seed;

#define REAL(result, name, ...)                                                                                                           \
	static result (*real_##name)(__VA_ARGS__);                                                                                        \
	if (real_##name == NULL)                                                                                                          \
	real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int do_open(const char *path, int flags, mode_t mode)
{
	REAL(int, open64, const char *, int, ...);
	return real_open64(path, flags, mode);
}

static ssize_t do_write(int fd, const void *p, size_t n)
{
	REAL(ssize_t, write, int, const void *, size_t);
	return real_write(fd, p, n);
}

static int do_close(int fd)
{
	REAL(int, close, int);
	return real_close(fd);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)dprintf(2, "disk_shim: %s: %s\n", what, strerror(errno));
	abort();
}

/* A process that was killed may have left a part of a record at the end of the log, behind which nothing could be read. */
static void trim_log(void)
{
	uint64_t size, at = 0;
	const uint8_t *p;
	struct record r;
	struct stat st;

	REAL(int, ftruncate64, int, off_t);
	must(fstat(log_fd, &st) == 0, "fstat");
	size = (uint64_t)st.st_size;
	if (size == 0)
		return;
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, log_fd, 0);
	must(p != MAP_FAILED, "the undo log");
	while (size - at >= sizeof(r)) {
		memcpy(&r, p + at, sizeof(r));
		if (size - at - sizeof(r) < r.n)
			break;
		at += sizeof(r) + r.n;
	}
	(void)munmap((void *)(uintptr_t)p, size);
	if (at < size)
		must(real_ftruncate64(log_fd, (off_t)at) == 0, "trimming the undo log");
}

static void start(void)
{
	char path[PATH_MAX];
	struct timespec now;

	root = getenv("ROOST_DISK_ROOT");
	state = getenv("ROOST_DISK_STATE");
	if (root == NULL || state == NULL)
		return;
	(void)snprintf(path, sizeof(path), "%s/undo", state);
	log_fd = do_open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	must(log_fd >= 0, path);
	trim_log();
	(void)clock_gettime(CLOCK_REALTIME, &now);
	/* Generations grow from process to process. */
	next_gen = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	seed = (unsigned)now.tv_nsec;
	(void)snprintf(path, sizeof(path), "%s/faults", state);
	int fd = do_open(path, O_RDWR | O_CLOEXEC, 0);
	if (fd >= 0) {
		control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		must(control != MAP_FAILED, path);
		bus_seen = control->bus;
		(void)do_close(fd);
	}
}

static bool is_on(void)
{
	(void)pthread_once(&once, start);
	return log_fd >= 0;
}

/* The root itself, too: it is synced for the names in it. */
static bool is_below(const char *path)
{
	size_t n = is_on() ? strlen(root) : 0;

	return n > 0 && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The log. */

static void put(enum record_type type, uint64_t ino, uint64_t gen, uint64_t off, uint64_t len, const void *data, size_t n)
{
	struct record r = { type, (uint32_t)n, ino, gen, off, len };
	struct iovec v[2] = { { &r, sizeof(r) }, { (void *)(uintptr_t)data, n } };

	REAL(ssize_t, writev, int, const struct iovec *, int);
	must(real_writev(log_fd, v, 2) == (ssize_t)(sizeof(r) + n), "the undo log");
}

static struct file *find_file(uint64_t ino, const char *path)
{
	struct file *f;
	size_t i;

	for (i = 0; i < FILES_MAX && files[i] != NULL; i++) {
		if (files[i]->ino == ino)
			return files[i];
	}
	must(i < FILES_MAX, "too many files");
	f = calloc(1, sizeof(*f));
	must(f != NULL, "memory");
	f->ino = ino;
	f->gen = next_gen++;
	f->read_fd = -1;
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	files[i] = f;
	return f;
}

/* An inode's number is another file's now. */
static void renew_file(struct file *f, const char *path)
{
	if (f->read_fd >= 0)
		(void)do_close(f->read_fd);
	f->read_fd = -1;
	f->gen = next_gen++;
	f->has_size = false;
	if (f->words > 0)
		memset(f->logged, 0, f->words * sizeof(*f->logged));
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
}

static struct file *file_of(int fd)
{
	return is_on() && fd >= 0 && fd < FDS_MAX ? by_fd[fd] : NULL;
}

static bool is_logged(struct file *f, uint64_t sector)
{
	return sector / 64 < f->words && (f->logged[sector / 64] >> (sector % 64) & 1) != 0;
}

static void note_logged(struct file *f, uint64_t sector)
{
	if (sector / 64 >= f->words) {
		size_t words = (size_t)(sector / 64) * 2 + 64;

		f->logged = realloc(f->logged, words * sizeof(*f->logged));
		must(f->logged != NULL, "memory");
		memset(f->logged + f->words, 0, (words - f->words) * sizeof(*f->logged));
		f->words = words;
	}
	f->logged[sector / 64] |= (uint64_t)1 << (sector % 64);
}

static uint64_t size_of(int fd)
{
	struct stat st;

	must(fstat(fd, &st) == 0, "fstat");
	return (uint64_t)st.st_size;
}

static void log_size(struct file *f, int fd)
{
	if (!f->has_size)
		put(R_SIZE, f->ino, f->gen, size_of(fd), 0, NULL, 0);
	f->has_size = true;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

/* Log what OFF..OFF+N of the file holds, in runs of sectors that are not yet in the log. */
static void log_old(struct file *f, int fd, uint64_t off, uint64_t n)
{
	static uint8_t old[SECTOR * 256];
	uint64_t from = off / SECTOR, to = (off + n + SECTOR - 1) / SECTOR;

	if (f->read_fd < 0) {
		char own[64];

		(void)snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
		f->read_fd = do_open(own, O_RDONLY | O_CLOEXEC, 0);
		must(f->read_fd >= 0, own);
	}
	while (from < to) {
		uint64_t count = 0;
		ssize_t got;

		if (is_logged(f, from)) {
			from++;
			continue;
		}
		while (from + count < to && count < 256 && !is_logged(f, from + count))
			note_logged(f, from + count++);
		memset(old, 0, count * SECTOR);
		got = pread(f->read_fd, old, count * SECTOR, (off_t)(from * SECTOR));
		must(got >= 0, "reading what was there");
		put(R_OLD, f->ino, f->gen, from * SECTOR, count * SECTOR, old, is_zero(old, count * SECTOR) ? 0 : count * SECTOR);
		from += count;
	}
}

/* Faults. */

/* A page of a mapping cannot be read any more, as if its sector were gone. */
static void break_page(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128], *found[64];
	size_t count = 0;
	int empty = memfd_create("lost", MFD_CLOEXEC);

	while (maps != NULL && count < 64 && fgets(line, sizeof(line), maps) != NULL) {
		unsigned long start_at, end_at;

		if (strstr(line, root) == NULL || strstr(line, control->match) == NULL || sscanf(line, "%lx-%lx", &start_at, &end_at) != 2)
			continue;
		if (control->bus_span > 0 && end_at - start_at > control->bus_span)
			end_at = start_at + control->bus_span;
		found[count++] = (char *)start_at + (unsigned long)rand_r(&seed) % ((end_at - start_at) / 4096) * 4096;
	}
	if (maps != NULL)
		(void)fclose(maps);
	if (count > 0)
		(void)mmap(found[(unsigned)rand_r(&seed) % count], 4096, PROT_READ, MAP_SHARED | MAP_FIXED, empty, 0);
	(void)do_close(empty);
}

/* Whether OP on PATH fails now, with errno set, or is to be short. Waits as long as a slow disk does. */
static bool fails(enum op op, const char *path, bool *is_short_r)
{
	struct fault_rule *r;
	bool hit;

	*is_short_r = false;
	if (control == NULL || strstr(path, control->match) == NULL)
		return false;
	if (control->bus != bus_seen) {
		bus_seen = control->bus;
		break_page();
	}
	r = &control->rules[op];
	if (r->delay_us > 0)
		(void)nanosleep(&(struct timespec){ r->delay_us / 1000000, (long)(r->delay_us % 1000000) * 1000 }, NULL);
	if (r->countdown > 0)
		hit = --r->countdown == 0;
	else
		hit = r->per_million > 0 && (unsigned)rand_r(&seed) % 1000000 < r->per_million;
	if (!hit || (r->error == 0 && !r->is_short))
		return false;
	control->hits[op]++;
	*is_short_r = r->is_short != 0;
	errno = (int)r->error;
	return true;
}

/* Writing: REST is how it is done. */

static ssize_t write_range(struct file *f, int fd, const struct iovec *v, int count, off_t off)
{
	uint64_t n = 0, size;
	bool is_short;
	ssize_t put_n;

	REAL(ssize_t, pwritev64, int, const struct iovec *, int, off_t);
	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	if (fails(OP_WRITE, f->path, &is_short) && !is_short)
		return -1;
	(void)pthread_mutex_lock(&lock);
	size = size_of(fd);
	if ((uint64_t)off + n > size)
		log_size(f, fd);
	log_old(f, fd, (uint64_t)off, n);
	if (is_short && n > 1) {
		/* Half of the first piece: a file system may do so at any write. */
		struct iovec half = { v[0].iov_base, (v[0].iov_len + 1) / 2 };

		put_n = real_pwritev64(fd, &half, 1, off);
	} else {
		put_n = real_pwritev64(fd, v, count, off);
	}
	if (put_n > 0 && is_dsync[fd]) {
		put(R_RANGE_SYNCED, f->ino, f->gen, (uint64_t)off, (uint64_t)put_n, NULL, 0);
		for (uint64_t s = (uint64_t)off / SECTOR; s <= ((uint64_t)off + (uint64_t)put_n - 1) / SECTOR; s++) {
			if (s / 64 < f->words)
				f->logged[s / 64] &= ~((uint64_t)1 << (s % 64));
		}
	}
	(void)pthread_mutex_unlock(&lock);
	return put_n;
}

ssize_t pwritev64(int fd, const struct iovec *v, int count, off_t off)
{
	struct file *f = file_of(fd);

	REAL(ssize_t, pwritev64, int, const struct iovec *, int, off_t);
	return f == NULL ? real_pwritev64(fd, v, count, off) : write_range(f, fd, v, count, off);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t off)
{
	return pwritev64(fd, v, count, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t off)
{
	struct iovec v = { (void *)(uintptr_t)p, n };

	return pwritev64(fd, &v, 1, off);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	return pwrite64(fd, p, n, off);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	struct file *f = file_of(fd);
	off_t at;
	ssize_t n;

	REAL(ssize_t, writev, int, const struct iovec *, int);
	if (f == NULL)
		return real_writev(fd, v, count);
	at = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? (off_t)size_of(fd) : lseek(fd, 0, SEEK_CUR);
	n = write_range(f, fd, v, count, at);
	if (n > 0)
		(void)lseek(fd, at + n, SEEK_SET);
	return n;
}

ssize_t write(int fd, const void *p, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)p, n };

	return file_of(fd) == NULL ? do_write(fd, p, n) : writev(fd, &v, 1);
}

static int change_size(struct file *f, int fd, uint64_t size)
{
	uint64_t was = size_of(fd);

	REAL(int, ftruncate64, int, off_t);
	log_size(f, fd);
	if (size < was)
		log_old(f, fd, size, was - size);
	return real_ftruncate64(fd, (off_t)size);
}

int ftruncate64(int fd, off_t size)
{
	struct file *f = file_of(fd);
	bool is_short;
	int rc;

	REAL(int, ftruncate64, int, off_t);
	if (f == NULL)
		return real_ftruncate64(fd, size);
	if (fails(OP_TRUNCATE, f->path, &is_short))
		return -1;
	(void)pthread_mutex_lock(&lock);
	rc = change_size(f, fd, (uint64_t)size);
	(void)pthread_mutex_unlock(&lock);
	return rc;
}

int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

int fallocate64(int fd, int mode, off_t off, off_t n)
{
	struct file *f = file_of(fd);
	bool is_short;
	int rc;

	REAL(int, fallocate64, int, int, off_t, off_t);
	if (f == NULL)
		return real_fallocate64(fd, mode, off, n);
	if (fails(OP_ALLOCATE, f->path, &is_short))
		return -1;
	(void)pthread_mutex_lock(&lock);
	if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
		log_size(f, fd);
	if (mode != 0)
		log_old(f, fd, (uint64_t)off, (uint64_t)n);
	rc = real_fallocate64(fd, mode, off, n);
	(void)pthread_mutex_unlock(&lock);
	return rc;
}

int fallocate(int fd, int mode, off_t off, off_t n)
{
	return fallocate64(fd, mode, off, n);
}

int posix_fallocate64(int fd, off_t off, off_t n)
{
	struct file *f = file_of(fd);
	int rc;

	REAL(int, posix_fallocate64, int, off_t, off_t);
	if (f == NULL)
		return real_posix_fallocate64(fd, off, n);
	rc = fallocate64(fd, 0, off, n) == 0 ? 0 : errno;
	return rc;
}

int posix_fallocate(int fd, off_t off, off_t n)
{
	return posix_fallocate64(fd, off, n);
}

/* Syncing. */

static int sync_file(int fd, int (*sync_it)(int))
{
	struct file *f = file_of(fd);
	bool is_short;
	uint64_t gen;
	int rc, error;

	if (f == NULL)
		return sync_it(fd);
	(void)pthread_mutex_lock(&lock);
	gen = f->gen;
	f->gen = next_gen++;
	f->has_size = false;
	if (f->words > 0)
		memset(f->logged, 0, f->words * sizeof(*f->logged));
	(void)pthread_mutex_unlock(&lock);
	rc = fails(OP_SYNC, f->path, &is_short) ? -1 : sync_it(fd);
	error = errno;
	(void)pthread_mutex_lock(&lock);
	if (!f->is_dir)
		put(rc == 0 ? R_SYNCED : R_POISONED, f->ino, gen, 0, 0, NULL, 0);
	else if (rc == 0)
		put(R_DIR_SYNCED, f->ino, gen, 0, 0, NULL, 0);
	(void)pthread_mutex_unlock(&lock);
	errno = error;
	return rc;
}

int fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	return sync_file(fd, real_fdatasync);
}

int fsync(int fd)
{
	REAL(int, fsync, int);
	return sync_file(fd, real_fsync);
}

/* Names. */

/* The directory that PATH stands in; its generation is what a change of it now belongs to. */
static struct file *dir_of(const char *path)
{
	char dir[PATH_MAX], *slash;
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	*slash = '\0';
	must(stat(dir, &st) == 0, dir);
	return find_file((uint64_t)st.st_ino, dir);
}

/* Keep what PATH names beside the log, so that the name can be given back to it; "" where there is nothing. */
static void save(const char *path, char saved[PATH_MAX])
{
	saved[0] = '\0';
	if (access(path, F_OK) != 0)
		return;
	do {
		(void)snprintf(saved, PATH_MAX, "%s/saved.%d.%llu", state, (int)getpid(), (unsigned long long)saved_count++);
	} while (access(saved, F_OK) == 0);
	must(link(path, saved) == 0, saved);
}

static void put_names(enum record_type type, struct file *dir, uint64_t ino, const char *a, const char *b, const char *c)
{
	char data[3 * PATH_MAX];
	size_t n = 0;
	const char *names[] = { a, b, c };

	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(names[i]) + 1;

		memcpy(data + n, names[i], len);
		n += len;
	}
	put(type, dir->ino, dir->gen, ino, 0, data, n);
}

static int open_file(const char *path, int flags, mode_t mode)
{
	char other[PATH_MAX];
	bool is_new, is_short;
	struct stat st;
	struct file *f;
	int fd;

	if (is_on() && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
		(void)snprintf(other, sizeof(other), "%s/boot_id", state);
		return do_open(access(other, R_OK) == 0 ? other : path, flags, mode);
	}
	if (!is_below(path))
		return do_open(path, flags, mode);
	if (fails(OP_OPEN, path, &is_short))
		return -1;
	(void)pthread_mutex_lock(&lock);
	is_new = (flags & O_CREAT) != 0 && access(path, F_OK) != 0;
	fd = do_open(path, flags & ~O_TRUNC, mode);
	if (fd >= 0 && fd < FDS_MAX && fstat(fd, &st) == 0) {
		f = find_file((uint64_t)st.st_ino, path);
		f->is_dir = S_ISDIR(st.st_mode);
		if (is_new) {
			renew_file(f, path);
			put_names(R_CREATE, dir_of(path), f->ino, path, "", "");
		} else if (!f->is_dir && strcmp(f->path, path) != 0) {
			(void)snprintf(f->path, sizeof(f->path), "%s", path);
		}
		by_fd[fd] = f;
		is_dsync[fd] = (flags & O_DSYNC) != 0;
		if ((flags & O_TRUNC) != 0 && st.st_size > 0)
			(void)change_size(f, fd, 0);
	}
	(void)pthread_mutex_unlock(&lock);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(path, flags, mode);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX) {
		by_fd[fd] = NULL;
		is_dsync[fd] = false;
	}
	return do_close(fd);
}

int rename(const char *from, const char *to)
{
	char saved[PATH_MAX];
	struct stat st;
	int rc;

	REAL(int, rename, const char *, const char *);
	if (!is_below(from))
		return real_rename(from, to);
	(void)pthread_mutex_lock(&lock);
	save(to, saved);
	rc = stat(from, &st);
	if (rc == 0)
		rc = real_rename(from, to);
	if (rc == 0) {
		put_names(R_RENAME, dir_of(to), (uint64_t)st.st_ino, from, to, saved);
		(void)snprintf(find_file((uint64_t)st.st_ino, to)->path, PATH_MAX, "%s", to);
	}
	(void)pthread_mutex_unlock(&lock);
	return rc;
}

int unlink(const char *path)
{
	char saved[PATH_MAX];
	int rc;

	REAL(int, unlink, const char *);
	if (!is_below(path))
		return real_unlink(path);
	(void)pthread_mutex_lock(&lock);
	save(path, saved);
	rc = real_unlink(path);
	if (rc == 0)
		put_names(R_UNLINK, dir_of(path), 0, path, saved, "");
	(void)pthread_mutex_unlock(&lock);
	return rc;
}

/* A directory goes with what its own inode was known as. */
int rmdir(const char *path)
{
	int rc;

	REAL(int, rmdir, const char *);
	rc = real_rmdir(path);
	if (rc == 0 && is_below(path)) {
		(void)pthread_mutex_lock(&lock);
		put_names(R_RMDIR, dir_of(path), 0, path, "", "");
		(void)pthread_mutex_unlock(&lock);
	}
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	int rc;

	REAL(int, mkdir, const char *, mode_t);
	rc = real_mkdir(path, mode);
	if (rc == 0 && is_below(path)) {
		(void)pthread_mutex_lock(&lock);
		put_names(R_MKDIR, dir_of(path), 0, path, "", "");
		(void)pthread_mutex_unlock(&lock);
	}
	return rc;
}
