/* journal.c - a batch is collected in memory, written and synced by another thread, and then found durable, in three
 * steps that the writer's turn calls. Opening and recovery are journal_open.c. */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "log.h"

uint64_t journal_padded(uint64_t n)
{
	return (n + 7) & ~(uint64_t)7;
}

void segment_note(struct segment *s, uint64_t off)
{
	if (s->offset_count == s->offset_cap) {
		s->offset_cap = s->offset_cap == 0 ? 256 : s->offset_cap * 2;
		s->offsets = must_realloc(s->offsets, s->offset_cap, sizeof(*s->offsets));
	}
	s->offsets[s->offset_count++] = off;
}

void journal_note_epoch(struct journal *j, epoch_t epoch, lsn_t lsn)
{
	if (j->epoch_count > 0 && j->epochs[j->epoch_count - 1].epoch == epoch)
		return;
	if (j->epoch_count == j->epoch_cap) {
		j->epoch_cap = j->epoch_cap == 0 ? 16 : j->epoch_cap * 2;
		j->epochs = must_realloc(j->epochs, j->epoch_cap, sizeof(*j->epochs));
	}
	j->epochs[j->epoch_count++] = (struct store_epoch){ epoch, lsn };
}

epoch_t journal_epoch_at(const struct journal *j, lsn_t lsn)
{
	if (lsn == 0 || lsn > j->last)
		return 0;
	for (size_t i = j->epoch_count; i > 0; i--) {
		if (j->epochs[i - 1].first <= lsn)
			return j->epochs[i - 1].epoch;
	}
	return 0;
}

lsn_t journal_common(const struct journal *a, const struct journal *b)
{
	lsn_t lsn = a->last < b->last ? a->last : b->last;

	while (lsn > 0 && journal_epoch_at(a, lsn) != journal_epoch_at(b, lsn))
		lsn--;
	return lsn;
}

void segment_write_batch_header(uint8_t to[BATCH_HEADER], uint64_t bytes, lsn_t first)
{
	struct buffer b = { 0 };

	buffer_add_u32le(&b, BATCH_MAGIC);
	buffer_add_u32le(&b, 0);
	buffer_add_u64le(&b, bytes);
	buffer_add_u64le(&b, first);
	buffer_add_u64le(&b, entry_hash(buffer_bytes(&b)));
	memcpy(to, b.p, BATCH_HEADER);
	buffer_fini(&b);
}

/* Whether an entry of N padded octets can join what is pending, behind what is being flushed. */
static bool fits(const struct journal *j, uint64_t n)
{
	const struct segment *s = j->count > 0 ? j->segments[j->count - 1] : NULL;
	uint64_t before = BATCH_HEADER + j->pending.bytes;

	if (j->is_flushing)
		before += BATCH_HEADER + j->flushing.bytes;
	/* A sparse one is finished, whatever its file system says of its size. */
	return s != NULL && !s->is_sparse && s->size - s->used >= before && s->size - s->used - before >= n;
}

bool journal_must_flush(const struct journal *j, uint64_t bytes)
{
	/* What is pending belongs to one batch, which stays in one segment: only an empty one may go to a new segment. */
	return !fits(j, journal_padded(bytes)) && (j->pending.count > 0 || j->is_flushing);
}

enum store_result journal_reserve(struct journal *j, uint64_t bytes, struct fault *why)
{
	if (j->is_failed) {
		*why = j->failure;
		return STORE_FAILED;
	}
	if (fits(j, journal_padded(bytes)))
		return STORE_OK;
	if (journal_must_flush(j, bytes)) {
		(void)fault_set(why, FAULT_TRANSIENT, "%s: the segment is full, and not yet flushed", j->dir);
		return STORE_NO_SPACE;
	}
	if (journal_new_segment(j, journal_padded(bytes) + BATCH_HEADER, why))
		return STORE_OK;
	return j->is_failed ? STORE_FAILED : STORE_NO_SPACE;
}

bool journal_append(struct journal *j, epoch_t epoch, struct bytes head, struct bytes body, bool copy_body)
{
	struct segment *s = j->segments[j->count - 1];
	struct batch *b = &j->pending;
	uint64_t n = journal_padded(head.n + body.n);
	/* The batch being flushed lies before this one. */
	uint64_t base = s->used + (j->is_flushing ? BATCH_HEADER + j->flushing.bytes : 0) + BATCH_HEADER;

	if (!fits(j, n))
		return false;
	if (b->count == b->cap) {
		b->cap = b->cap == 0 ? 64 : b->cap * 2;
		b->entries = must_realloc(b->entries, b->cap, sizeof(*b->entries));
	}
	j->last++;
	journal_note_epoch(j, epoch, j->last);
	b->entries[b->count++] = (struct store_entry){ j->last, epoch, arena_copy(&b->arena, head),
		                                       copy_body ? arena_copy(&b->arena, body) : body };
	(void)pthread_mutex_lock(&j->lock);
	segment_note(s, base + b->bytes);
	(void)pthread_mutex_unlock(&j->lock);
	b->bytes += n;
	return true;
}

static void clear_batch(struct batch *b)
{
	arena_fini(&b->arena);
	b->count = 0;
	b->bytes = 0;
}

/* Forget the entries after LSN in memory. */
static void forget_after(struct journal *j, lsn_t lsn)
{
	struct segment *s = j->segments[j->count - 1];

	j->last = lsn;
	while (j->epoch_count > 0 && j->epochs[j->epoch_count - 1].first > lsn)
		j->epoch_count--;
	(void)pthread_mutex_lock(&j->lock);
	while (s->offset_count > 0 && s->first + s->offset_count - 1 > lsn)
		s->offset_count--;
	(void)pthread_mutex_unlock(&j->lock);
}

void journal_drop_pending(struct journal *j)
{
	if (j->pending.count == 0)
		return;
	forget_after(j, j->last - j->pending.count);
	clear_batch(&j->pending);
}

bool journal_flush_begin(struct journal *j)
{
	struct batch empty = j->flushing;

	if (j->is_failed || j->pending.count == 0)
		return false;
	assert(!j->is_flushing);
	j->flushing = j->pending;
	j->pending = empty;
	j->flush_to = j->segments[j->count - 1];
	j->is_flushing = true;
	return true;
}

static bool write_batch(struct journal *j, struct fault *why)
{
	static const uint8_t zeros[8];
	struct segment *s = j->flush_to;
	const struct batch *b = &j->flushing;
	struct iovec *v = must_calloc(1 + b->count * 3, sizeof(*v));
	uint8_t header[BATCH_HEADER];
	int count = 1;
	size_t written;
	bool ok;

	segment_write_batch_header(header, b->bytes, b->entries[0].lsn);
	v[0] = (struct iovec){ header, BATCH_HEADER };
	for (size_t i = 0; i < b->count; i++) {
		const struct store_entry *e = &b->entries[i];
		size_t n = e->head.n + e->body.n;

		v[count++] = (struct iovec){ (void *)(uintptr_t)e->head.p, e->head.n };
		if (e->body.n > 0)
			v[count++] = (struct iovec){ (void *)(uintptr_t)e->body.p, e->body.n };
		if (journal_padded(n) > n)
			v[count++] = (struct iovec){ (void *)(uintptr_t)zeros, (size_t)(journal_padded(n) - n) };
	}
	ok = file_pwritev(s->fd, v, count, (off_t)s->used, s->path, &written, why) && file_datasync(s->fd, s->path, why);
	free(v);
	return ok;
}

void journal_flush_run(struct journal *j)
{
	uint64_t start = clock_mono_ns();
	struct fault why;

	/* Only the flusher looks at these until journal_flush_done(). */
	if (!write_batch(j, &why)) {
		j->failure = why;
		j->is_failed = true;
	}
	j->flushing_ns = clock_mono_ns() - start;
}

bool journal_flush_done(struct journal *j, struct fault *why)
{
	struct segment *s = j->segments[j->count - 1];

	j->is_flushing = false;
	if (j->is_failed) {
		*why = j->failure;
		return false;
	}
	s->used += BATCH_HEADER + j->flushing.bytes;
	j->durable = j->flushing.entries[j->flushing.count - 1].lsn;
	j->flushes++;
	j->flush_ns += j->flushing_ns;
	j->flushed_bytes += j->flushing.bytes;
	j->entries += j->flushing.count;
	clear_batch(&j->flushing);
	return true;
}

static bool find_segment(struct journal *j, lsn_t lsn, struct segment **s_r)
{
	size_t low = 0, high = j->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->segments[mid]->first <= lsn)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return false;
	*s_r = j->segments[low - 1];
	return true;
}

enum journal_place journal_locate(struct journal *j, lsn_t lsn, struct segment **s_r, uint64_t *off_r, struct fault *why)
{
	struct segment *current = NULL, *s = NULL;
	bool found, is_missing = false;

	(void)pthread_mutex_lock(&j->lock);
	found = lsn > 0 && find_segment(j, lsn, &current);
	s = current;
	if (found && s->is_sparse) {
		found = segment_find_sparse(s, lsn, off_r) || journal_find_retired(j, lsn, &s, off_r);
	} else if (found) {
		if (!s->is_scanned)
			segment_scan(j, current);
		found = lsn - s->first < s->offset_count;
		*off_r = found ? s->offsets[lsn - s->first] : 0;
		is_missing = !found && s != j->segments[j->count - 1];
	}
	(void)pthread_mutex_unlock(&j->lock);
	*s_r = s;
	if (found && *off_r != 0 && *off_r <= s->size)
		return JOURNAL_FOUND;
	if (found)
		(void)fault_set(why, FAULT_OPERATOR, "%s: the header of entry %llu is damaged; restore this member from the other",
		                s->path, (unsigned long long)lsn);
	else
		(void)fault_set(why, FAULT_OPERATOR, "%s: there is no entry %llu", j->dir, (unsigned long long)lsn);
	return found || is_missing ? JOURNAL_DAMAGED : JOURNAL_NOWHERE;
}

static bool read_exactly(const struct segment *s, uint64_t off, size_t n, struct buffer *to, struct fault *why)
{
	uint8_t *at = buffer_reserve(to, n);
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(s->fd, at + done, n - done, (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fault_errno(why, FAULT_OPERATOR, errno, "%s: at %llu", s->path, (unsigned long long)(off + done));
		if (got == 0)
			return fault_set(why, FAULT_OPERATOR, "%s: ends before %llu", s->path, (unsigned long long)(off + n));
		done += (size_t)got;
	}
	to->n += n;
	return true;
}

bool journal_read(struct journal *j, lsn_t lsn, enum journal_part part, uint64_t from, size_t n, struct buffer *to, struct fault *why)
{
	struct segment *s;
	struct entry_header h;
	struct buffer header = { 0 };
	uint64_t off, size;
	bool ok = journal_locate(j, lsn, &s, &off, why) == JOURNAL_FOUND && read_exactly(s, off, ENTRY_HEADER, &header, why);

	if (ok && (!entry_header_read(buffer_bytes(&header), &h) || h.lsn != lsn || (uint64_t)h.head_size + h.body_size > s->size - off))
		ok = fault_set(why, FAULT_OPERATOR, "%s: the header of entry %llu at %llu is damaged", s->path, (unsigned long long)lsn,
		               (unsigned long long)off);
	buffer_fini(&header);
	if (!ok)
		return false;
	size = part == JOURNAL_HEAD ? h.head_size : h.body_size;
	off += part == JOURNAL_HEAD ? 0 : h.head_size;
	from = from > size ? size : from;
	n = n > size - from ? (size_t)(size - from) : n;
	return read_exactly(s, off + from, n, to, why);
}

bool journal_find(struct journal *j, lsn_t lsn, struct bytes *head_r, struct bytes *body_r, struct fault *why)
{
	struct segment *s;
	struct entry_header h;
	uint64_t off, size;
	const uint8_t *map;

	if (journal_locate(j, lsn, &s, &off, why) != JOURNAL_FOUND)
		return false;
	map = s->map;
	size = s->size;
	if (!entry_header_read(bytes_make(map + off, (size_t)(size - off)), &h) || h.lsn != lsn ||
	    (uint64_t)h.head_size + h.body_size > size - off)
		return fault_set(why, FAULT_OPERATOR, "%s: entry %llu at %llu is damaged; restore this member from the other",
		                 s->path, (unsigned long long)lsn, (unsigned long long)off);
	*head_r = bytes_make(map + off, h.head_size);
	*body_r = bytes_make(map + off + h.head_size, h.body_size);
	return true;
}

uint64_t journal_used(struct journal *j)
{
	uint64_t used = 0;

	for (size_t i = 0; i < j->count; i++)
		used += j->segments[i]->used;
	return used;
}

lsn_t journal_first_whole(struct journal *j)
{
	lsn_t first;

	(void)pthread_mutex_lock(&j->lock);
	first = j->first_whole;
	(void)pthread_mutex_unlock(&j->lock);
	return first;
}

lsn_t journal_dropped(const struct journal *j)
{
	lsn_t dropped = 0;

	for (size_t i = 0; i < j->count; i++)
		dropped = j->segments[i]->dropped > dropped ? j->segments[i]->dropped : dropped;
	return dropped;
}

uint64_t journal_used_after(const struct journal *j, lsn_t lsn)
{
	uint64_t used = 0;

	for (size_t i = j->count; i > 0 && j->segments[i - 1]->first > lsn; i--)
		used += j->segments[i - 1]->used;
	return used;
}

/* Where S ends if it is to hold nothing after entry LSN. *partial_r: the batch before that place, which then is shorter than its
 * header says; 0: none. */
static uint64_t find_cut(const struct segment *s, lsn_t lsn, uint64_t *partial_r, lsn_t *partial_first_r)
{
	uint64_t off = SEGMENT_HEADER, bytes;
	lsn_t first;

	*partial_r = 0;
	while (segment_batch(s, off, &bytes, &first) && first <= lsn) {
		uint64_t at = off + BATCH_HEADER, end = at + bytes;
		struct entry_header h;

		while (at < end && entry_header_read(bytes_make(s->map + at, (size_t)(end - at)), &h) && h.lsn <= lsn)
			at += journal_padded((uint64_t)h.head_size + h.body_size);
		if (at < end) {
			*partial_r = off;
			*partial_first_r = first;
			return at;
		}
		off = end;
	}
	return off;
}

/* Cut the torn end of the last batch of the journal, in place: nothing whole stands behind it, at any moment. */
bool journal_cut_tail(struct journal *j, struct fault *why)
{
	struct segment *s = j->segments[j->count - 1];
	lsn_t first = 0;
	uint64_t partial, off = find_cut(s, j->last, &partial, &first);

	if (partial != 0) {
		uint8_t header[BATCH_HEADER];
		struct iovec v = { header, BATCH_HEADER };
		size_t written;

		segment_write_batch_header(header, off - partial - BATCH_HEADER, first);
		if (!file_pwritev(s->fd, &v, 1, (off_t)partial, s->path, &written, why))
			return false;
	}
	s->used = off;
	/* Zeros from here on, so that no old batch is ever found behind a new one. */
	if (off >= s->size)
		return file_datasync(s->fd, s->path, why);
	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)(s->size - off)) != 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot cut", s->path);
	if (fallocate(s->fd, 0, (off_t)off, (off_t)(s->size - off)) != 0 && errno != EOPNOTSUPP)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot extend", s->path);
	return file_datasync(s->fd, s->path, why);
}

/* The segment S without what is at OFF and after, as a file of its own that takes S's name when it is synced. */
static bool write_cut(struct journal *j, const struct segment *s, uint64_t off, uint64_t partial, lsn_t first, struct fault *why)
{
	char *fresh = must_printf("%s/new", j->dir);
	uint8_t header[BATCH_HEADER];
	struct iovec all = { (void *)(uintptr_t)s->map, off }, one = { header, BATCH_HEADER };
	size_t written;
	int fd = file_open(fresh, O_RDWR | O_CREAT | O_TRUNC, 0600, why), rc;
	bool ok = fd >= 0;

	if (ok && (rc = posix_fallocate(fd, 0, (off_t)s->size)) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, rc, "%s: no room for a segment of %llu octets", j->dir, (unsigned long long)s->size);
	ok = ok && file_pwritev(fd, &all, 1, 0, fresh, &written, why);
	if (ok && partial != 0) {
		segment_write_batch_header(header, off - partial - BATCH_HEADER, first);
		ok = file_pwritev(fd, &one, 1, (off_t)partial, fresh, &written, why);
	}
	ok = ok && (fsync(fd) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", fresh));
	if (ok && rename(fresh, s->path) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot replace", s->path);
	if (ok)
		ok = file_sync_dir(j->dir, why);
	else
		(void)unlink(fresh);
	file_close(&fd);
	free(fresh);
	return ok;
}

/* Make the last segment hold nothing after entry LSN. What it loses may be many whole batches: cut in place a crash could leave
 * some of them. */
static bool cut_last(struct journal *j, lsn_t lsn, struct fault *why)
{
	struct segment *old = j->segments[j->count - 1], *s;
	uint64_t partial, off, bytes;
	lsn_t first = 0, next;

	off = find_cut(old, lsn, &partial, &first);
	old->used = off;
	if (partial == 0 && !segment_batch(old, off, &bytes, &next))
		return true;
	if (!write_cut(j, old, off, partial, first, why))
		return false;
	s = segment_open(old->path, false, why);
	if (s == NULL)
		return false;
	s->first = old->first;
	s->used = off;
	(void)pthread_mutex_lock(&j->lock);
	s->offsets = old->offsets;
	s->offset_count = old->offset_count;
	s->offset_cap = old->offset_cap;
	s->is_scanned = old->is_scanned;
	old->offsets = NULL;
	j->segments[j->count - 1] = s;
	(void)pthread_mutex_unlock(&j->lock);
	journal_retire_cut(j, old);
	return true;
}

void segment_free(struct segment *s)
{
	if (s == NULL)
		return;
	segment_unguard(s);
	if (s->map != NULL)
		(void)munmap((void *)(uintptr_t)s->map, s->size);
	file_close(&s->fd);
	free(s->path);
	free(s->offsets);
	free(s);
}

enum store_result journal_truncate_after(struct journal *j, lsn_t lsn, struct fault *why)
{
	assert(!j->is_flushing);
	if (j->is_failed) {
		*why = j->failure;
		return STORE_FAILED;
	}
	if (lsn >= j->last)
		return STORE_OK;
	clear_batch(&j->pending);
	/* Later segments go first and newest first: a crash in between leaves a shorter suffix. */
	while (j->count > 1 && j->segments[j->count - 1]->first > lsn) {
		struct segment *s = j->segments[j->count - 1];

		if (unlink(s->path) != 0 || !file_sync_dir(j->dir, why)) {
			(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot remove", s->path);
			return STORE_FAILED;
		}
		(void)pthread_mutex_lock(&j->lock);
		j->count--;
		(void)pthread_mutex_unlock(&j->lock);
		journal_retire_cut(j, s);
	}
	(void)pthread_mutex_lock(&j->lock);
	if (!j->segments[j->count - 1]->is_sparse && !j->segments[j->count - 1]->is_scanned)
		segment_scan(j, j->segments[j->count - 1]);
	(void)pthread_mutex_unlock(&j->lock);
	if (!j->segments[j->count - 1]->is_sparse && !cut_last(j, lsn, why)) {
		j->is_failed = true;
		j->failure = *why;
		return STORE_FAILED;
	}
	forget_after(j, lsn);
	if (j->durable > lsn)
		j->durable = lsn;
	return STORE_OK;
}

void journal_close(struct journal *j)
{
	for (size_t i = 0; i < j->count; i++)
		segment_free(j->segments[i]);
	journal_free_retired(j);
	clear_batch(&j->pending);
	clear_batch(&j->flushing);
	free(j->pending.entries);
	free(j->flushing.entries);
	free(j->segments);
	free(j->epochs);
	free(j->dir);
	(void)pthread_mutex_destroy(&j->lock);
	(void)pthread_mutex_destroy(&j->pin_lock);
}
