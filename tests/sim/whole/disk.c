/* disk.c - the system calls by which a store makes its files durable, put in their place at link time. The files are real, in
 * a directory in memory, and are what the kernel's page cache would be. Beside them stands, sector by sector, what the disk
 * has where that is older: a write keeps the old octets, a sync forgets them, a sync that fails forgets nothing and never
 * will, until the sector is written again. Renamed and removed files stand there until the directory is synced.
 *
 * A crash makes an image: the process's death a copy of the files; a loss of power a copy in which each sector that is not
 * synced has its old or its new octets, and each change of a directory is there or not. It may come within any of these calls;
 * then the process runs on as a ghost until it comes back to the world, and the image is what it starts from again. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc.h"
#include "whole.h"

#define SECTOR 512u

ssize_t __real_pwritev64(int fd, const struct iovec *v, int count, off_t off);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_fallocate64(int fd, int mode, off_t off, off_t n);
int __real_posix_fallocate64(int fd, off_t off, off_t n);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
bool __real_file_read_all(const char *path, size_t limit, struct buffer *b, int *errno_r, struct fault *why);
int __real_kill(pid_t pid, int signo);

ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int count, off_t off);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_fallocate64(int fd, int mode, off_t off, off_t n);
int __wrap_posix_fallocate64(int fd, off_t off, off_t n);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
bool __wrap_file_read_all(const char *path, size_t limit, struct buffer *b, int *errno_r, struct fault *why);
int __wrap_kill(pid_t pid, int signo);

static struct wdisk *disk(void)
{
	return w.current == NULL || w.current->is_ghost || w.current->disk.has_image ? NULL : &w.current->disk;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* The directory's image. */

static void copy_file(const char *from, const char *to)
{
	uint8_t piece[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	assert(in >= 0 && out >= 0);
	while ((n = read(in, piece, sizeof(piece))) > 0) {
		ssize_t put = write(out, piece, (size_t)n);

		assert(put == n);
	}
	(void)close(in);
	(void)close(out);
}

static void copy_dir(const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *e;

	(void)mkdir(to, 0700);
	while (d != NULL && (e = readdir(d)) != NULL) {
		char *a = must_printf("%s/%s", from, e->d_name), *b = must_printf("%s/%s", to, e->d_name);
		struct stat st;

		if (e->d_name[0] != '.' && stat(a, &st) == 0) {
			if (S_ISDIR(st.st_mode))
				copy_dir(a, b);
			else
				copy_file(a, b);
		}
		free(a);
		free(b);
	}
	if (d != NULL)
		(void)closedir(d);
}

static void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = must_printf("%s/%s", dir, e->d_name);

		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && __real_unlink(path) != 0)
			remove_dir(path);
		free(path);
	}
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(dir);
}

/* Unsynced directory changes, in the files themselves: what runs on is a ghost, which does not mind. */
static void undo_renames(struct wdisk *d)
{
	for (size_t i = d->rename_count; i > 0; i--) {
		struct renamed *r = &d->renames[i - 1];

		if (chance(2) == 0)
			continue;
		if (r->from != NULL)
			(void)__real_rename(r->to, r->from);
		if (r->kept != NULL)
			(void)__real_rename(r->kept, r->to);
	}
}

static void undo_sectors(struct wdisk *d, const char *path)
{
	static bool keeps[4096];
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	uint64_t how = chance(3); /* the new octets, the old ones, or some of each */

	assert(fd >= 0 && fstat(fd, &st) == 0);
	for (size_t i = 0; i < 4096; i++)
		keeps[i] = how == 0 || (how == 2 && chance(2) == 0);
	for (size_t i = 0; i < d->sector_count; i++) {
		const struct sector *s = &d->sectors[i];
		bool is_kept = s->group != 0 ? keeps[s->group % 4096] : how == 0 || (how == 2 && chance(3) != 0);
		ssize_t put;

		if (s->inode != st.st_ino || (is_kept && !s->is_lost))
			continue;
		put = pwrite(fd, s->old, SECTOR, (off_t)(s->number * SECTOR));
		assert(put == SECTOR);
	}
	(void)close(fd);
}

static void undo_all(struct wdisk *d)
{
	char *journal = must_printf("%s/journal", d->dir);
	DIR *dir = opendir(journal);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		char *path = must_printf("%s/%s", journal, e->d_name);

		if (e->d_name[0] != '.')
			undo_sectors(d, path);
		free(path);
	}
	if (dir != NULL)
		(void)closedir(dir);
	free(journal);
}

static void forget_renames(struct wdisk *d, bool with_kept)
{
	for (size_t i = 0; i < d->rename_count; i++) {
		struct renamed *r = &d->renames[i];

		if (with_kept && r->kept != NULL)
			(void)__real_unlink(r->kept);
		free(r->from);
		free(r->to);
		free(r->kept);
	}
	d->rename_count = 0;
}

/* Sectors are known by inode: those of the image are others. */
static void adopt_sectors(struct wdisk *d, const char *image)
{
	char *journal = must_printf("%s/journal", d->dir);
	DIR *dir = opendir(journal);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		char *a = must_printf("%s/%s", journal, e->d_name), *b = must_printf("%s/journal/%s", image, e->d_name);
		struct stat old, new;

		if (e->d_name[0] != '.' && stat(a, &old) == 0 && stat(b, &new) == 0) {
			for (size_t i = 0; i < d->sector_count; i++) {
				if (d->sectors[i].inode == old.st_ino && !d->sectors[i].is_adopted) {
					d->sectors[i].inode = new.st_ino;
					d->sectors[i].is_adopted = true;
				}
			}
		}
		free(a);
		free(b);
	}
	if (dir != NULL)
		(void)closedir(dir);
	for (size_t i = 0; i < d->sector_count; i++)
		d->sectors[i].is_adopted = false;
	free(journal);
}

void disk_crash(struct whole_member *m, bool is_power)
{
	struct wdisk *d = &m->disk;
	char *image;

	if (d->has_image)
		return;
	d->crash_in = 0;
	if (is_power) {
		undo_renames(d);
		undo_all(d);
		d->sector_count = 0;
		d->boots++;
		forget_renames(d, false);
	}
	image = must_printf("%s.image", d->dir);
	copy_dir(d->dir, image);
	adopt_sectors(d, image);
	free(image);
	d->has_image = true;
	m->wants_end = true;
	tell("%s: %s", node_names[m->self], is_power ? "power is lost" : "is killed");
}

void disk_restore(struct whole_member *m)
{
	struct wdisk *d = &m->disk;
	char *image = must_printf("%s.image", d->dir);

	assert(d->has_image);
	remove_dir(d->dir);
	(void)__real_rename(image, d->dir);
	d->has_image = false;
	free(image);
}

void disk_init(struct whole_member *m)
{
	char *kept;
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	m->disk.dir = must_printf("%s/roost-sim-%ld-%s", base, (long)getpid(), node_names[m->self]);
	kept = must_printf("%s.kept", m->disk.dir);
	remove_dir(m->disk.dir);
	remove_dir(kept);
	(void)mkdir(kept, 0700);
	free(kept);
}

void disk_fini(struct whole_member *m)
{
	char *kept = must_printf("%s.kept", m->disk.dir);

	remove_dir(m->disk.dir);
	remove_dir(kept);
	free(kept);
	forget_renames(&m->disk, false);
	free(m->disk.dir);
	free(m->disk.sectors);
}

/* The calls. */

/* True: it comes now, before the call. */
static bool crash_is_due(struct wdisk *d)
{
	return d->crash_in > 0 && --d->crash_in == 0;
}

static struct sector *sector_at(struct wdisk *d, uint64_t inode, uint64_t number)
{
	for (size_t i = d->sector_count; i > 0; i--) {
		if (d->sectors[i - 1].inode == inode && d->sectors[i - 1].number == number)
			return &d->sectors[i - 1];
	}
	return NULL;
}

/* Read sector N of the file that FD, which may be for writing only, has open; beyond its end are zeros. */
static void read_sector(int fd, uint64_t n, uint8_t to[SECTOR])
{
	char path[64];
	ssize_t got;
	int in;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	in = open(path, O_RDONLY | O_CLOEXEC);
	assert(in >= 0);
	got = pread(in, to, SECTOR, (off_t)(n * SECTOR));
	assert(got >= 0);
	(void)close(in);
}

/* Octets OFF to END of FD are about to change. */
static void keep_old(struct wdisk *d, int fd, off_t off, off_t end, unsigned group)
{
	uint64_t inode = inode_of(fd);

	for (uint64_t n = (uint64_t)off / SECTOR; n * SECTOR < (uint64_t)end; n++) {
		struct sector *s = sector_at(d, inode, n);

		if (s == NULL) {
			if (d->sector_count == d->sector_cap) {
				d->sector_cap = d->sector_cap * 2 + 64;
				d->sectors = must_realloc(d->sectors, d->sector_cap, sizeof(*d->sectors));
			}
			s = &d->sectors[d->sector_count++];
			*s = (struct sector){ .inode = inode, .number = n };
			read_sector(fd, n, s->old);
		}
		s->is_lost = false;
		s->group = group;
	}
}

static void synced(struct wdisk *d, int fd, bool is_ok)
{
	uint64_t inode = inode_of(fd);
	size_t kept = 0;

	for (size_t i = 0; i < d->sector_count; i++) {
		struct sector *s = &d->sectors[i];

		if (s->inode == inode && is_ok && !s->is_lost)
			continue;
		if (s->inode == inode && !is_ok)
			s->is_lost = true;
		d->sectors[kept++] = *s;
	}
	d->sector_count = kept;
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int count, off_t off)
{
	struct wdisk *d = disk();
	off_t n = 0;

	if (d == NULL)
		return __real_pwritev64(fd, v, count, off);
	if (d->full_until > w.now) {
		errno = ENOSPC;
		return -1;
	}
	for (int i = 0; i < count; i++)
		n += (off_t)v[i].iov_len;
	keep_old(d, fd, off, off + n, 0);
	if (crash_is_due(d)) {
		/* As much of it as was written when the process was killed. */
		if (!d->crash_is_power && count > 1 && chance(2) == 0)
			(void)__real_pwritev64(fd, v, 1 + (int)chance((uint64_t)count - 1), off);
		else if (chance(2) == 0)
			(void)__real_pwritev64(fd, v, count, off);
		disk_crash(w.current, d->crash_is_power);
	}
	return __real_pwritev64(fd, v, count, off);
}

static int sync_file(int fd, int (*real)(int fd))
{
	struct wdisk *d = disk();
	struct stat st;

	if (d == NULL)
		return real(fd);
	if (crash_is_due(d)) {
		disk_crash(w.current, d->crash_is_power);
		return 0;
	}
	if (d->fail_until > w.now) {
		synced(d, fd, false);
		errno = EIO;
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (w.lie != LIE_DIRECTORY_SYNC)
			forget_renames(d, true);
	} else if (w.lie != LIE_FILE_SYNC) {
		synced(d, fd, true);
	}
	return 0;
}

int __wrap_fdatasync(int fd)
{
	return sync_file(fd, __real_fdatasync);
}

int __wrap_fsync(int fd)
{
	return sync_file(fd, __real_fsync);
}

int __wrap_fallocate64(int fd, int mode, off_t off, off_t n)
{
	struct wdisk *d = disk();

	if (d != NULL && (mode & FALLOC_FL_PUNCH_HOLE) != 0) {
		keep_old(d, fd, off, off + n, ++d->groups);
		if (crash_is_due(d)) {
			if (chance(2) == 0)
				(void)__real_fallocate64(fd, mode, off, n);
			disk_crash(w.current, d->crash_is_power);
		}
	}
	return __real_fallocate64(fd, mode, off, n);
}

int __wrap_posix_fallocate64(int fd, off_t off, off_t n)
{
	struct wdisk *d = disk();

	if (d != NULL && d->full_until > w.now)
		return ENOSPC;
	if (d != NULL && crash_is_due(d))
		disk_crash(w.current, d->crash_is_power);
	return __real_posix_fallocate64(fd, off, n);
}

static bool is_in_journal(const char *path)
{
	return strstr(path, "/journal/") != NULL;
}

/* Another name for what is at PATH, where the member does not see it; NULL: nothing. */
static char *keep_file(struct wdisk *d, const char *path)
{
	char *kept = must_printf("%s.kept/%u", d->dir, ++d->groups);

	if (link(path, kept) == 0)
		return kept;
	free(kept);
	return NULL;
}

static void note_rename(struct wdisk *d, const char *from, const char *to, char *kept)
{
	if (d->rename_count == sizeof(d->renames) / sizeof(d->renames[0]))
		forget_renames(d, false); /* only with LIE_DIRECTORY_SYNC */
	d->renames[d->rename_count++] = (struct renamed){ from == NULL ? NULL : must_strdup(from), must_strdup(to), kept };
}

int __wrap_rename(const char *from, const char *to)
{
	struct wdisk *d = disk();
	char *kept = d != NULL && is_in_journal(to) ? keep_file(d, to) : NULL;
	int rc = __real_rename(from, to);

	if (d == NULL || rc != 0 || !is_in_journal(to)) {
		free(kept);
		return rc;
	}
	note_rename(d, from, to, kept);
	if (crash_is_due(d))
		disk_crash(w.current, d->crash_is_power);
	return rc;
}

int __wrap_unlink(const char *path)
{
	struct wdisk *d = disk();
	char *kept;
	int rc;

	if (d == NULL || !is_in_journal(path) || strstr(path, "/new") != NULL)
		return __real_unlink(path);
	kept = keep_file(d, path);
	if (kept != NULL)
		note_rename(d, NULL, path, kept);
	rc = __real_unlink(path);
	if (crash_is_due(d))
		disk_crash(w.current, d->crash_is_power);
	return rc;
}

/* A machine that lost power has another boot id. */
bool __wrap_file_read_all(const char *path, size_t limit, struct buffer *b, int *errno_r, struct fault *why)
{
	if (strcmp(path, "/proc/sys/kernel/random/boot_id") != 0 || w.current == NULL)
		return __real_file_read_all(path, limit, b, errno_r, why);
	buffer_addf(b, "boot %u", w.current->disk.boots);
	return true;
}

int __wrap_kill(pid_t pid, int signo)
{
	if (w.current == NULL || pid != getpid())
		return __real_kill(pid, signo);
	w.current->wants_end = true;
	return 0;
}
