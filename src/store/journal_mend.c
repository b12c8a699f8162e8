/* journal_mend.c - where an entry belongs whose own header does not say so any more, and writing one there. */
#include "file.h"
#include "journal.h"

/* Where what stands before entry LSN ends, so that it begins there. 0: not known. */
static uint64_t begin_of(const struct segment *s, lsn_t lsn)
{
	uint64_t at = SEGMENT_HEADER, bytes;
	struct entry_header h;
	lsn_t first;

	if (lsn > s->first) {
		uint64_t before = s->offsets[lsn - 1 - s->first];

		if (before == 0 || !entry_header_read(bytes_make(s->map + before, (size_t)(s->size - before)), &h))
			return 0;
		at = before + journal_padded((uint64_t)h.head_size + h.body_size);
	}
	if (lsn == s->first || (segment_batch(s, at, &bytes, &first) && first == lsn))
		at += BATCH_HEADER;
	return at;
}

/* Whether an entry that ends at END reaches just to the next one, or, as the last of the segment, to nothing. */
static bool ends_at(const struct segment *s, lsn_t lsn, uint64_t end)
{
	uint64_t bytes, after;
	lsn_t first;

	if (end > s->size)
		return false;
	if (lsn - s->first + 1 >= s->offset_count) {
		for (uint64_t i = end; i < s->size && i < end + BATCH_HEADER; i++) {
			if (s->map[i] != 0)
				return false;
		}
		return true;
	}
	after = s->offsets[lsn - s->first + 1];
	return end == after || (segment_batch(s, end, &bytes, &first) && first == lsn + 1 && end + BATCH_HEADER == after);
}

enum journal_place journal_place_for(struct journal *j, lsn_t lsn, uint64_t n, struct segment **s_r, uint64_t *at_r, struct fault *why)
{
	enum journal_place place = journal_locate(j, lsn, s_r, at_r, why);
	const struct segment *s = *s_r;
	struct entry_header h;

	if (place == JOURNAL_NOWHERE)
		return place;
	/* Its own header first, then its neighbours. */
	if (place == JOURNAL_FOUND && entry_header_read(bytes_make(s->map + *at_r, (size_t)(s->size - *at_r)), &h) && h.lsn == lsn &&
	    (uint64_t)h.head_size + h.body_size == n && n <= s->size - *at_r)
		return JOURNAL_FOUND;
	place = JOURNAL_DAMAGED;
	(void)pthread_mutex_lock(&j->lock);
	if (!s->is_sparse && lsn - s->first < s->offset_count) {
		*at_r = begin_of(s, lsn);
		if (*at_r != 0 && ends_at(s, lsn, *at_r + journal_padded(n)))
			place = JOURNAL_FOUND;
	}
	(void)pthread_mutex_unlock(&j->lock);
	if (place == JOURNAL_DAMAGED)
		(void)fault_set(why, FAULT_OPERATOR, "%s: what is around entry %llu is damaged, too; restore this member from the other", s->path,
		                (unsigned long long)lsn);
	return place;
}

bool journal_put_back(struct journal *j, struct segment *s, lsn_t lsn, uint64_t at, struct bytes raw, struct fault *why)
{
	static const uint8_t zeros[8];
	struct iovec v[2] = { { (void *)(uintptr_t)raw.p, raw.n }, { (void *)(uintptr_t)zeros, (size_t)(journal_padded(raw.n) - raw.n) } };
	size_t written;

	if (!file_pwritev(s->fd, v, v[1].iov_len > 0 ? 2 : 1, (off_t)at, s->path, &written, why) || !file_datasync(s->fd, s->path, why))
		return false;
	(void)pthread_mutex_lock(&j->lock);
	if (!s->is_sparse && lsn - s->first < s->offset_count)
		s->offsets[lsn - s->first] = at;
	(void)pthread_mutex_unlock(&j->lock);
	return true;
}
