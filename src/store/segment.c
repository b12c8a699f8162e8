/* segment.c - a segment's file: its header, and the table of a sparse one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "alloc.h"
#include "cursor.h"
#include "file.h"
#include "journal.h"

/* Segment header: magic, u32 major 1, u32 minor 0 (1 if it is sparse), u32 header size, u32 count of epochs, u64 first LSN,
 * rows of u64 epoch and u64 first LSN, zeros, what a sparse one has (journal.h); the last eight octets are the hash of all
 * before. */
void segment_header_write(struct buffer *b, const struct store_epoch *epochs, size_t epoch_count, lsn_t first, lsn_t last,
                          lsn_t dropped, uint64_t table)
{
	size_t from, start = b->n;

	while (last != 0 && epoch_count > 0 && epochs[epoch_count - 1].first > last)
		epoch_count--;
	from = epoch_count > SEGMENT_EPOCHS_MAX ? epoch_count - SEGMENT_EPOCHS_MAX : 0;
	buffer_add_str(b, SEGMENT_MAGIC);
	buffer_add_u32le(b, 1);
	buffer_add_u32le(b, last != 0);
	buffer_add_u32le(b, SEGMENT_HEADER);
	buffer_add_u32le(b, (uint32_t)(epoch_count - from));
	buffer_add_u64le(b, first);
	for (size_t i = from; i < epoch_count; i++) {
		buffer_add_u64le(b, epochs[i].epoch);
		buffer_add_u64le(b, epochs[i].first);
	}
	memset(buffer_reserve(b, SEGMENT_HEADER), 0, SEGMENT_HEADER);
	b->n = start + SEGMENT_DROPPED_AT;
	buffer_add_u64le(b, dropped);
	buffer_add_u32le(b, last != 0 ? SEGMENT_SPARSE : 0);
	buffer_add_u32le(b, 0);
	buffer_add_u64le(b, last);
	buffer_add_u64le(b, table);
	buffer_add_u64le(b, entry_hash(bytes_from(buffer_bytes(b), start)));
}

static bool read_table(struct segment *s, uint64_t at, struct fault *why)
{
	struct cursor c;
	uint32_t magic, zero;
	uint64_t count, hash;

	if (at < SEGMENT_HEADER || at > s->size || s->size - at < TABLE_HEADER)
		return fault_set(why, FAULT_OPERATOR, "%s: is cut short", s->path);
	c = cursor_of(bytes_make(s->map + at, TABLE_HEADER));
	(void)cursor_u32le(&c, &magic);
	(void)cursor_u32le(&c, &zero);
	(void)cursor_u64le(&c, &count);
	(void)cursor_u64le(&c, &hash);
	if (magic != TABLE_MAGIC || hash != entry_hash(bytes_make(s->map + at, 16)) ||
	    count > (s->size - at - TABLE_HEADER) / TABLE_ROW)
		return fault_set(why, FAULT_OPERATOR, "%s: the table is damaged; restore this member from the other", s->path);
	s->table = at + TABLE_HEADER;
	s->table_count = count;
	return true;
}

static bool header_read(struct segment *s, struct fault *why)
{
	struct bytes all = bytes_make(s->map, SEGMENT_HEADER);
	struct cursor c = cursor_of(all), end = cursor_of(bytes_from(all, SEGMENT_DROPPED_AT));
	struct bytes magic;
	uint32_t major, minor, size, count, flags, zero;
	uint64_t hash, table, dropped;

	(void)cursor_bytes(&c, 8, &magic);
	(void)cursor_u32le(&c, &major);
	(void)cursor_u32le(&c, &minor);
	(void)cursor_u32le(&c, &size);
	(void)cursor_u32le(&c, &count);
	(void)cursor_u64le(&c, &s->first);
	(void)cursor_u64le(&end, &dropped);
	(void)cursor_u32le(&end, &flags);
	(void)cursor_u32le(&end, &zero);
	(void)cursor_u64le(&end, &s->last);
	(void)cursor_u64le(&end, &table);
	(void)cursor_u64le(&end, &hash);
	if (!bytes_equal_str(magic, SEGMENT_MAGIC))
		return fault_set(why, FAULT_OPERATOR, "%s: is not a journal segment", s->path);
	if (major != 1)
		return fault_set(why, FAULT_OPERATOR, "%s: has format version %u, this program reads 1 (or its header is damaged)",
		                 s->path, major);
	if (hash != entry_hash(bytes_sub(all, 0, SEGMENT_HEADER - 8)) || count > SEGMENT_EPOCHS_MAX || s->first == 0)
		return fault_set(why, FAULT_OPERATOR, "%s: the header is damaged; restore this member from the other", s->path);
	s->is_sparse = minor >= 1 && (flags & SEGMENT_SPARSE) != 0;
	if (!s->is_sparse)
		return true;
	if (s->last < s->first)
		return fault_set(why, FAULT_OPERATOR, "%s: the header is damaged; restore this member from the other", s->path);
	s->dropped = dropped;
	return read_table(s, table, why);
}

void segment_row(const struct segment *s, uint64_t i, lsn_t *lsn_r, uint64_t *off_r)
{
	struct cursor c = cursor_of(bytes_make(s->map + s->table + i * TABLE_ROW, TABLE_ROW));

	(void)cursor_u64le(&c, lsn_r);
	(void)cursor_u64le(&c, off_r);
}

bool segment_find_sparse(const struct segment *s, lsn_t lsn, uint64_t *off_r)
{
	uint64_t low = 0, high = s->table_count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		lsn_t at;

		segment_row(s, mid, &at, off_r);
		if (at == lsn)
			return true;
		if (at < lsn)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

struct segment *segment_open(const char *path, bool is_reader, struct fault *why)
{
	struct segment *s = must_calloc(1, sizeof(*s));
	struct stat st;
	void *map;

	s->path = must_strdup(path);
	s->fd = file_open(path, is_reader ? O_RDONLY : O_RDWR, 0, why);
	if (s->fd < 0)
		goto fail;
	if (fstat(s->fd, &st) != 0 || st.st_size < SEGMENT_HEADER) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: is too short for a journal segment", path);
		goto fail;
	}
	s->size = (uint64_t)st.st_size;
	map = mmap(NULL, s->size, PROT_READ, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot map", path);
		goto fail;
	}
	s->map = map;
	segment_guard(s);
	/* Of all but the last segment it is not known exactly, nor needed: what it takes on the disk. */
	s->used = (uint64_t)st.st_blocks * 512 < s->size ? (uint64_t)st.st_blocks * 512 : s->size;
	if (!header_read(s, why))
		goto fail;
	return s;
fail:
	segment_free(s);
	return NULL;
}
