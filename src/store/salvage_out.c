/* salvage_out.c - the files of salvage/: their names, their headers, writing them whole, mapping and removing them. */
#include "salvage_out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "cursor.h"
#include "file.h"

#define OUT_PIECE (1u << 20)

void salvage_name_text(struct salvage_name name, char to[SALVAGE_NAME_TEXT])
{
	(void)snprintf(to, SALVAGE_NAME_TEXT, "%" PRIu64 "-%" PRIu64, name.epoch, name.first);
}

char *salvage_out_path(const char *dir, struct salvage_name name, const char *extension)
{
	char text[SALVAGE_NAME_TEXT];

	salvage_name_text(name, text);
	return must_printf("%s/%s%s", dir, text, extension);
}

static bool read_name(struct bytes file, const char *extension, struct salvage_name *name_r)
{
	size_t dash = bytes_find(file, '-');
	struct bytes end = bytes_of(extension);

	return bytes_ends(file, end) && dash < file.n && bytes_to_u64(bytes_sub(file, 0, dash), UINT64_MAX, &name_r->epoch) &&
	       bytes_to_u64(bytes_sub(file, dash + 1, file.n - dash - 1 - end.n), UINT64_MAX, &name_r->first);
}

static int by_place(const void *x, const void *y)
{
	const struct salvage_name *a = x, *b = y;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->epoch < b->epoch ? -1 : a->epoch > b->epoch;
}

struct salvage_name *salvage_names(const char *dir, const char *extension, size_t *count_r, struct fault *why)
{
	struct salvage_name *names = must_calloc(1, sizeof(*names)), name;
	DIR *d = opendir(dir);
	struct dirent *e;

	*count_r = 0;
	if (d == NULL && errno == ENOENT)
		return names;
	if (d == NULL) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
		free(names);
		return NULL;
	}
	while ((e = readdir(d)) != NULL) {
		if (!read_name(bytes_of(e->d_name), extension, &name))
			continue;
		names = must_realloc(names, *count_r + 1, sizeof(*names));
		names[(*count_r)++] = name;
	}
	(void)closedir(d);
	qsort(names, *count_r, sizeof(*names), by_place);
	return names;
}

void salvage_out_header(struct buffer *b, const char *magic, struct salvage_name name, lsn_t last, uint64_t count)
{
	size_t start = b->n;

	buffer_add_str(b, magic);
	buffer_add_u32le(b, 1);
	buffer_add_u32le(b, 0);
	buffer_add_u32le(b, SALVAGE_HEADER);
	buffer_add_u32le(b, 0);
	buffer_add_u64le(b, name.epoch);
	buffer_add_u64le(b, name.first);
	buffer_add_u64le(b, last);
	buffer_add_u64le(b, count);
	buffer_add_u64le(b, entry_hash(bytes_from(buffer_bytes(b), start)));
}

bool salvage_out_read_header(struct bytes all, const char *magic, struct salvage_name name, const char *path, lsn_t *last_r,
                        uint64_t *count_r, struct fault *why)
{
	struct cursor c = cursor_of(all);
	struct salvage_name found;
	struct bytes m;
	uint32_t major, minor, size, zero;
	uint64_t hash;

	if (!cursor_bytes(&c, 8, &m) || !bytes_equal_str(m, magic))
		return fault_set(why, FAULT_OPERATOR, "%s: is not what its name says", path);
	if (!cursor_u32le(&c, &major) || major != 1)
		return fault_set(why, FAULT_OPERATOR, "%s: has another format version than this program reads, 1", path);
	if (!cursor_u32le(&c, &minor) || !cursor_u32le(&c, &size) || size != SALVAGE_HEADER || !cursor_u32le(&c, &zero) ||
	    !cursor_u64le(&c, &found.epoch) || !cursor_u64le(&c, &found.first) || !cursor_u64le(&c, last_r) ||
	    !cursor_u64le(&c, count_r) || !cursor_u64le(&c, &hash) || hash != entry_hash(bytes_sub(all, 0, SALVAGE_HEADER - 8)) ||
	    found.epoch != name.epoch || found.first != name.first || *last_r < found.first)
		return fault_set(why, FAULT_OPERATOR, "%s: the header is damaged", path);
	return true;
}

void salvage_out_open(struct salvage_out *o, const char *dir, struct salvage_name name, const char *extension, struct fault *why)
{
	*o = (struct salvage_out){ .fd = -1, .dir = dir, .path = salvage_out_path(dir, name, extension), .why = why };
	o->fresh = must_printf("%s.new", o->path);
	o->ok = file_make_dirs(dir, 0700, why);
	if (o->ok) {
		char *parent = must_printf("%s/..", dir);

		o->ok = file_sync_dir(parent, why);
		free(parent);
	}
	if (o->ok)
		o->fd = file_open(o->fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600, why);
	o->ok = o->fd >= 0;
}

static void salvage_out_flush(struct salvage_out *o)
{
	struct iovec v = { o->b.p, o->b.n };
	size_t written;

	if (o->ok && o->b.n > 0)
		o->ok = file_pwritev(o->fd, &v, 1, o->at, o->fresh, &written, o->why);
	o->at += (off_t)o->b.n;
	buffer_clear(&o->b);
}

void salvage_out_add(struct salvage_out *o, struct bytes b)
{
	buffer_add(&o->b, b);
	if (o->b.n >= OUT_PIECE)
		salvage_out_flush(o);
}

void salvage_out_pad(struct salvage_out *o)
{
	while (((uint64_t)o->at + o->b.n) % 8 != 0)
		buffer_add_u8(&o->b, 0);
}

bool salvage_out_close(struct salvage_out *o)
{
	salvage_out_flush(o);
	o->ok = o->ok && file_datasync(o->fd, o->fresh, o->why);
	if (o->ok && rename(o->fresh, o->path) != 0)
		o->ok = fault_errno(o->why, FAULT_OPERATOR, errno, "%s: cannot make", o->path);
	if (o->ok)
		o->ok = file_sync_dir(o->dir, o->why);
	else
		(void)unlink(o->fresh);
	file_close(&o->fd);
	buffer_fini(&o->b);
	free(o->path);
	free(o->fresh);
	return o->ok;
}

bool salvage_out_map(const char *path, const uint8_t **map_r, size_t *size_r, struct fault *why)
{
	int fd = file_open(path, O_RDONLY, 0, why);
	struct stat st;
	void *map = MAP_FAILED;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size >= SALVAGE_HEADER)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	file_close(&fd);
	if (map == MAP_FAILED)
		return fault_set(why, FAULT_OPERATOR, "%s: too short, or cannot be mapped", path);
	*map_r = map;
	*size_r = (size_t)st.st_size;
	return true;
}

bool salvage_out_remove(const char *dir, struct salvage_name name, const char *extension, struct fault *why)
{
	char *path = salvage_out_path(dir, name, extension);
	bool ok = unlink(path) == 0 || errno == ENOENT || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot remove", path);

	free(path);
	return ok;
}
