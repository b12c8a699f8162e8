/* sparse.c - entries go to the file as they come; what says where they are, and that it is a segment, comes last. */
#include "sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "journal.h"

#define BATCH_USUAL (1u << 20)

bool sparse_begin(struct sparse_writer *w, const char *path, lsn_t first, struct fault *why)
{
	int fd = file_open(path, O_RDWR | O_CREAT, 0600, why);

	if (fd < 0)
		return false;
	*w = (struct sparse_writer){ .path = must_strdup(path), .fd = fd, .first = first, .newest = first - 1, .used = SEGMENT_HEADER };
	return true;
}

static bool write_at(struct sparse_writer *w, struct iovec *v, int count, uint64_t at, struct fault *why)
{
	size_t written;

	return file_pwritev(w->fd, v, count, (off_t)at, w->path, &written, why);
}

static bool end_batch(struct sparse_writer *w, struct fault *why)
{
	uint8_t header[BATCH_HEADER];
	struct iovec v = { header, BATCH_HEADER };
	uint64_t at = w->batch_at;

	if (at == 0)
		return true;
	segment_write_batch_header(header, w->used - at - BATCH_HEADER, w->batch_first);
	w->batch_at = 0;
	return write_at(w, &v, 1, at, why);
}

bool sparse_add(struct sparse_writer *w, lsn_t lsn, struct bytes head, struct bytes body, struct fault *why)
{
	static const uint8_t zeros[8];
	uint64_t n = (uint64_t)head.n + body.n;
	struct iovec v[] = { { (void *)(uintptr_t)head.p, head.n },
		             { (void *)(uintptr_t)body.p, body.n },
		             { (void *)(uintptr_t)zeros, (size_t)(journal_padded(n) - n) } };

	if (w->batch_at != 0 && w->used - w->batch_at > BATCH_USUAL && !end_batch(w, why))
		return false;
	if (w->batch_at == 0) {
		w->batch_at = w->used;
		w->batch_first = lsn;
		w->used += BATCH_HEADER;
	}
	if (!write_at(w, v, 3, w->used, why))
		return false;
	buffer_add_u64le(&w->rows, lsn);
	buffer_add_u64le(&w->rows, w->used);
	w->used += journal_padded(n);
	w->newest = lsn;
	w->entries++;
	return true;
}

static bool finish(struct sparse_writer *w, lsn_t last, lsn_t dropped, const struct store_epoch *epochs, size_t epoch_count, struct fault *why)
{
	struct buffer header = { 0 }, table = { 0 };
	struct iovec v;
	bool ok = end_batch(w, why);

	buffer_add_u32le(&table, TABLE_MAGIC);
	buffer_add_u32le(&table, 0);
	buffer_add_u64le(&table, w->entries);
	buffer_add_u64le(&table, entry_hash(buffer_bytes(&table)));
	buffer_add(&table, buffer_bytes(&w->rows));
	v = (struct iovec){ table.p, table.n };
	ok = ok && write_at(w, &v, 1, w->used, why);
	segment_header_write(&header, epochs, epoch_count, w->first, last, dropped, w->used);
	v = (struct iovec){ header.p, header.n };
	ok = ok && write_at(w, &v, 1, 0, why);
	/* What was there before may have been longer. */
	if (ok && ftruncate(w->fd, (off_t)(w->used + table.n)) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot cut", w->path);
	if (ok && fsync(w->fd) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", w->path);
	buffer_fini(&header);
	buffer_fini(&table);
	return ok;
}

bool sparse_end(struct sparse_writer *w, lsn_t last, lsn_t dropped, const struct store_epoch *epochs, size_t epoch_count, struct fault *why)
{
	if (!finish(w, last, dropped, epochs, epoch_count, why)) {
		sparse_drop(w);
		return false;
	}
	file_close(&w->fd);
	free(w->path);
	buffer_fini(&w->rows);
	*w = (struct sparse_writer){ 0 };
	return true;
}

void sparse_drop(struct sparse_writer *w)
{
	if (w->path == NULL)
		return;
	file_close(&w->fd);
	(void)unlink(w->path);
	free(w->path);
	buffer_fini(&w->rows);
	*w = (struct sparse_writer){ 0 };
}
