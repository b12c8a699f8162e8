/* journal_open.c - opening and recovering the journal, new segments, and checking whole ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "cursor.h"
#include "file.h"
#include "journal.h"
#include "log.h"

#define INDEX_ROOM_MIN (1u << 20)

static void take_epochs(struct journal *j, const struct segment *s)
{
	struct cursor c = cursor_of(bytes_make(s->map + 20, SEGMENT_HEADER - 20));
	uint32_t count;
	uint64_t epoch, first;

	(void)cursor_u32le(&c, &count);
	(void)cursor_u64le(&c, &first);
	for (uint32_t i = 0; i < count; i++) {
		(void)cursor_u64le(&c, &epoch);
		(void)cursor_u64le(&c, &first);
		journal_note_epoch(j, epoch, first);
	}
}

void journal_add_segment(struct journal *j, struct segment *s)
{
	(void)pthread_mutex_lock(&j->lock);
	if (j->count == j->cap) {
		j->cap = j->cap == 0 ? 16 : j->cap * 2;
		j->segments = must_realloc(j->segments, j->cap, sizeof(*j->segments));
	}
	j->segments[j->count++] = s;
	if (s->is_sparse)
		j->first_whole = s->last + 1;
	else if (j->count == 1)
		j->first_whole = s->first;
	(void)pthread_mutex_unlock(&j->lock);
}

/* A new segment leaves so much for the index, which grows with what comes into it: what it cannot take ends the process. */
static bool has_index_room(const struct journal *j, uint64_t size, struct fault *why)
{
	uint64_t want = size / 8 > INDEX_ROOM_MIN ? size / 8 : INDEX_ROOM_MIN;
	struct statvfs v;

	if (statvfs(j->dir, &v) != 0 || (uint64_t)v.f_bavail * v.f_frsize >= want)
		return true;
	return fault_errno(why, FAULT_OPERATOR, ENOSPC, "%s: no room for a segment of %llu octets, and %llu for the index", j->dir,
	                   (unsigned long long)size, (unsigned long long)want);
}

/* Nothing more is written to the last segment: what it has not used is the disk's again. A hint, and no file system must
 * have it. */
static void give_back_rest(const struct journal *j)
{
	const struct segment *s = j->count > 0 ? j->segments[j->count - 1] : NULL;

	if (s != NULL && !s->is_sparse && s->size > s->used)
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->used, (off_t)(s->size - s->used));
}

bool journal_new_segment(struct journal *j, uint64_t need, struct fault *why)
{
	lsn_t first = j->last + 1;
	uint64_t size = j->segment_size > need + SEGMENT_HEADER ? j->segment_size : need + SEGMENT_HEADER;
	char *path = must_printf("%s/%016llx.seg", j->dir, (unsigned long long)first);
	char *fresh = must_printf("%s/new", j->dir);
	struct buffer header = { 0 };
	struct iovec v;
	size_t written;
	struct segment *s = NULL;
	int fd = file_open(fresh, O_RDWR | O_CREAT | O_TRUNC, 0600, why);
	int rc;
	bool ok = fd >= 0, is_named;

	if (ok && (rc = posix_fallocate(fd, 0, (off_t)size)) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, rc, "%s: no room for a segment of %llu octets", j->dir,
		                 (unsigned long long)size);
	ok = ok && has_index_room(j, size, why);
	segment_header_write(&header, j->epochs, j->epoch_count, first, 0, 0, 0);
	v = (struct iovec){ header.p, header.n };
	/* Whole and synced under another name first: a segment that is there is a segment. */
	ok = ok && file_pwritev(fd, &v, 1, 0, fresh, &written, why) && (fsync(fd) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", fresh));
	if (ok && rename(fresh, path) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot make", path);
	is_named = ok;
	ok = ok && file_sync_dir(j->dir, why);
	if (!ok)
		(void)unlink(fresh);
	file_close(&fd);
	/* One without entries that is too small: the new one has taken its name. */
	if (ok && j->count > 0 && j->segments[j->count - 1]->first == first) {
		(void)pthread_mutex_lock(&j->lock);
		segment_free(j->segments[--j->count]);
		(void)pthread_mutex_unlock(&j->lock);
	}
	if (ok)
		s = segment_open(path, false, why);
	if (s != NULL) {
		give_back_rest(j);
		s->used = SEGMENT_HEADER;
		s->is_scanned = true;
		journal_add_segment(j, s);
	} else if (is_named) {
		/* It is there, or may be after a crash: nothing may be written any more to the one before it, or whose name it took. */
		j->is_failed = true;
		j->failure = *why;
	}
	buffer_fini(&header);
	free(path);
	free(fresh);
	return s != NULL;
}

bool segment_batch(const struct segment *s, uint64_t off, uint64_t *bytes_r, lsn_t *first_r)
{
	struct cursor c;
	uint32_t magic, zero;
	uint64_t hash;

	if (off > s->size || s->size - off < BATCH_HEADER)
		return false;
	c = cursor_of(bytes_make(s->map + off, BATCH_HEADER));
	(void)cursor_u32le(&c, &magic);
	(void)cursor_u32le(&c, &zero);
	(void)cursor_u64le(&c, bytes_r);
	(void)cursor_u64le(&c, first_r);
	(void)cursor_u64le(&c, &hash);
	if (magic != BATCH_MAGIC || hash != entry_hash(bytes_make(s->map + off, 24)))
		return false;
	/* A file that was cut: what is whole in it counts. */
	if (*bytes_r > s->size - off - BATCH_HEADER)
		*bytes_r = s->size - off - BATCH_HEADER;
	return true;
}

/* An entry as it should be begins at AT, before END. */
static bool is_whole_at(const struct segment *s, uint64_t at, uint64_t end, struct entry_header *h_r)
{
	return at < end && entry_header_read(bytes_make(s->map + at, (size_t)(end - at)), h_r) &&
	       (uint64_t)h_r->head_size + h_r->body_size <= end - at && entry_head_is_whole(bytes_make(s->map + at, h_r->head_size));
}

/* The first whole entry from *AT on, before END, that can follow NEXT. */
static bool find_entry(const struct segment *s, lsn_t next, uint64_t *at, uint64_t end, struct entry_header *h_r)
{
	const uint32_t magic = ENTRY_MAGIC; /* little-endian here as on disk */

	for (; *at < end && end - *at >= ENTRY_HEADER; *at += 8) {
		if (memcmp(s->map + *at, &magic, 4) == 0 && is_whole_at(s, *at, end, h_r) && h_r->lsn > next &&
		    h_r->lsn - next < s->size / ENTRY_HEADER)
			return true;
	}
	return false;
}

/* Entry LSN begins at AT with a header that can be believed: its checksum is right, or what is behind it is where it says. */
static bool is_entry_at(const struct segment *s, lsn_t lsn, uint64_t at, uint64_t end, struct entry_header *h_r)
{
	struct entry_header after;
	uint64_t n, behind = at + 8;

	if (is_whole_at(s, at, end, h_r))
		return h_r->lsn == lsn;
	if (at >= end || !entry_header_read(bytes_make(s->map + at, (size_t)(end - at)), h_r) || h_r->lsn != lsn)
		return false;
	n = journal_padded((uint64_t)h_r->head_size + h_r->body_size);
	if (find_entry(s, lsn, &behind, end, &after))
		return behind == at + n && after.lsn == lsn + 1;
	return n == end - at;
}

/* The entry at *AT, before END; where there is none, since something before or at *AT is damaged, the next whole one that can
 * follow NEXT. False: there is none. */
static bool next_entry(const struct segment *s, lsn_t next, uint64_t *at, uint64_t end, struct entry_header *h_r)
{
	if (is_entry_at(s, next, *at, end, h_r))
		return true;
	*at += 8;
	return find_entry(s, next, at, end, h_r);
}

/* The same for batches: the one at *OFF, or the next whole one with entries from NEXT on. */
static bool next_batch(const struct segment *s, lsn_t next, uint64_t *off, uint64_t *bytes_r, lsn_t *first_r)
{
	const uint32_t magic = BATCH_MAGIC;

	for (; s->size >= BATCH_HEADER && *off <= s->size - BATCH_HEADER; *off += 8) {
		if (memcmp(s->map + *off, &magic, 4) == 0 && segment_batch(s, *off, bytes_r, first_r) && *first_r >= next &&
		    *first_r - next < s->size / ENTRY_HEADER)
			return true;
	}
	return false;
}

/* The first entry that does not belong to S: of the next segment, or after the last. */
static lsn_t segment_end(const struct journal *j, const struct segment *s)
{
	for (size_t i = 0; i + 1 < j->count; i++) {
		if (j->segments[i] == s)
			return j->segments[i + 1]->first;
	}
	return j->last + 1;
}

/* Note the entries from NEXT on between AT and END. Returns which comes next. */
static lsn_t note_run(struct segment *s, lsn_t next, lsn_t stop, uint64_t at, uint64_t end)
{
	struct entry_header h;

	while (next < stop && next_entry(s, next, &at, end, &h)) {
		for (; next < h.lsn && next < stop; next++)
			segment_note(s, 0);
		segment_note(s, at);
		next = h.lsn + 1;
		at += journal_padded((uint64_t)h.head_size + h.body_size);
	}
	return next;
}

/* Note where the entries before STOP begin, by their heads only. What is damaged is passed over: it is missing, all else is there. */
static void note_entries(struct segment *s, lsn_t stop)
{
	uint64_t off = SEGMENT_HEADER, bytes;
	lsn_t first, next = s->first;

	s->offset_count = 0;
	while (next < stop) {
		uint64_t was = off;
		bool has = next_batch(s, next, &off, &bytes, &first);

		/* Without its batch's header an entry is still one. */
		if (off > was)
			next = note_run(s, next, stop, was + BATCH_HEADER, has ? off : s->size);
		if (!has)
			break;
		for (; next < first && next < stop; next++)
			segment_note(s, 0);
		next = note_run(s, next, stop, off + BATCH_HEADER, off + BATCH_HEADER + bytes);
		off += BATCH_HEADER + bytes;
	}
	s->used = off;
	s->is_scanned = true;
}

void segment_scan(struct journal *j, struct segment *s)
{
	note_entries(s, segment_end(j, s));
}

/* Whether a whole batch begins anywhere after OFF. */
static bool has_batch_after(const struct segment *s, uint64_t off, lsn_t next)
{
	uint64_t at = journal_padded(off), bytes;
	lsn_t first;

	return next_batch(s, next, &at, &bytes, &first);
}

/* Whether the entry at AT is whole; one whose body alone is spoilt counts where it was not torn: behind it stands what was
 * written later. */
static bool is_kept(const struct segment *s, uint64_t at, uint64_t end, const struct entry_header *h)
{
	struct bytes head = bytes_make(s->map + at, h->head_size), body = bytes_make(s->map + at + h->head_size, h->body_size);
	struct arena a = { 0 };
	struct entry e;
	struct fault why;
	bool ok = entry_read(head, body, true, &a, &e, &why);

	if (!ok && entry_read(head, body, false, &a, &e, &why) && has_batch_after(s, end, h->lsn + 1)) {
		ok = true;
		log_event(LOG_ERROR, "store.body.damaged", LOG_STR("segment", s->path), LOG_U64("at", at), LOG_U64("lsn", h->lsn));
	}
	arena_fini(&a);
	return ok;
}

/* Walk the last segment: everything is checked. What the last flush may have left torn is noted. */
static bool recover_last(struct journal *j, struct segment *s, bool is_reader, struct fault *why)
{
	uint64_t off = SEGMENT_HEADER, bytes, good, behind;
	lsn_t first, next = s->first;
	bool has_more;

	for (;;) {
		uint64_t at, end;

		if (!segment_batch(s, off, &bytes, &first) || first != next) {
			good = behind = off;
			break;
		}
		j->last_batch = off;
		at = off + BATCH_HEADER;
		end = at + bytes;
		while (at < end) {
			struct entry_header h;

			if (!entry_header_read(bytes_make(s->map + at, (size_t)(end - at)), &h) || h.lsn != next ||
			    (uint64_t)h.head_size + h.body_size > end - at || !is_kept(s, at, end, &h))
				break;
			segment_note(s, at);
			journal_note_epoch(j, h.epoch, next);
			next++;
			at += journal_padded((uint64_t)h.head_size + h.body_size);
		}
		off = at;
		if (at < end) {
			good = at;
			behind = end;       /* a message may hold what looks like a batch */
			j->has_tail = true; /* even if zeros follow: the batch's header speaks of entries that are not there */
			break;
		}
	}
	j->durable = j->last = next - 1;
	s->is_scanned = true;
	s->used = good;
	/* Looked for once: beside a process that writes the next look may find what it has just written. */
	has_more = has_batch_after(s, behind, next);
	if (has_more && is_reader) {
		/* Who only looks sees what is whole. */
		note_entries(s, UINT64_MAX);
		j->durable = j->last = s->first + s->offset_count - 1;
		return true;
	}
	if (has_more)
		return fault_set(why, FAULT_OPERATOR,
		                 "%s: damaged at %llu, though later entries are whole: not torn, corrupt; restore this member from "
		                 "the other",
		                 s->path, (unsigned long long)good);
	for (uint64_t i = good; i < s->size && !j->has_tail; i++)
		j->has_tail = s->map[i] != 0;
	return true;
}

/* What was read may be in the kernel only: its process was killed before it had synced, or the sync failed, after which the
 * kernel takes the pages for written. Only the last batch can be so. It is written and synced once more, before anybody is told
 * that it is durable and another batch is put behind it; and so is the directory, for the last segment's name. */
static bool make_durable(struct journal *j, const struct segment *s, struct fault *why)
{
	struct iovec v = { (void *)(uintptr_t)(s->map + j->last_batch), (size_t)(s->used - j->last_batch) };
	size_t written;

	if (j->last_batch != 0 && !file_pwritev(s->fd, &v, 1, (off_t)j->last_batch, s->path, &written, why))
		return false;
	return file_datasync(s->fd, s->path, why) && file_sync_dir(j->dir, why);
}

bool journal_settle(struct journal *j, lsn_t known, struct fault *why)
{
	const struct segment *s = j->count > 0 ? j->segments[j->count - 1] : NULL;

	if (known > j->last)
		return fault_set(why, FAULT_OPERATOR,
		                 "%s: ends at %llu with entry %llu, but %llu was applied: the journal's end is missing or damaged; restore "
		                 "this member from the other",
		                 s == NULL ? j->dir : s->path, s == NULL ? 0ull : (unsigned long long)s->used,
		                 (unsigned long long)j->last, (unsigned long long)known);
	if (s != NULL && !j->is_reader && !make_durable(j, s, why))
		return false;
	if (!j->has_tail)
		return true;
	/* Octets that nobody was told of. */
	log_event(LOG_WARNING, "store.journal.tail_cut", LOG_STR("segment", s->path), LOG_U64("at", s->used),
	          LOG_U64("last", j->last));
	j->has_tail = false;
	return journal_cut_tail(j, why);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **list_segments(const char *dir, size_t *count_r, struct fault *why)
{
	DIR *d = opendir(dir);
	char **names = NULL;
	struct dirent *e;

	*count_r = 0;
	if (d == NULL) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
		return NULL;
	}
	names = must_calloc(1, sizeof(*names));
	while ((e = readdir(d)) != NULL) {
		if (strlen(e->d_name) != 20 || strcmp(e->d_name + 16, ".seg") != 0)
			continue;
		names = must_realloc(names, *count_r + 1, sizeof(*names));
		names[(*count_r)++] = must_strdup(e->d_name);
	}
	(void)closedir(d);
	qsort(names, *count_r, sizeof(*names), by_name);
	return names;
}

/* A sparse segment may cover what stands after it by its name: a merge of several was broken off after it was in the first
 * one's place, and the others are left over. */
static bool is_left_over(const struct journal *j, const struct segment *s)
{
	const struct segment *before = j->count > 0 ? j->segments[j->count - 1] : NULL;

	return before != NULL && before->is_sparse && s->first <= before->last;
}

static bool open_one(struct journal *j, const char *name, bool is_reader, struct fault *why)
{
	char *path = must_printf("%s/%s", j->dir, name);
	struct segment *s = segment_open(path, is_reader, why);
	const struct segment *before = j->count > 0 ? j->segments[j->count - 1] : NULL;
	bool ok = s != NULL;

	if (ok && s->first != strtoull(name, NULL, 16))
		ok = fault_set(why, FAULT_OPERATOR, "%s: the header names another first entry", path);
	if (ok && is_left_over(j, s)) {
		if (!is_reader && unlink(path) != 0)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", path);
		segment_free(s);
	} else if (ok && before != NULL && before->is_sparse && s->first != before->last + 1) {
		ok = fault_set(why, FAULT_OPERATOR, "%s: the segment before it, with entries %llu to %llu, is missing", path,
		               (unsigned long long)before->last + 1, (unsigned long long)s->first - 1);
		segment_free(s);
	} else if (ok) {
		journal_add_segment(j, s);
	} else {
		segment_free(s);
	}
	free(path);
	return ok;
}

static bool open_segments(struct journal *j, bool is_reader, struct fault *why)
{
	size_t count;
	char **names = list_segments(j->dir, &count, why);
	bool ok = names != NULL;

	for (size_t i = 0; i < count; i++) {
		ok = ok && open_one(j, names[i], is_reader, why);
		free(names[i]);
	}
	free(names);
	if (ok && j->count > 0)
		take_epochs(j, j->segments[j->count - 1]);
	if (ok && j->count > 0 && j->segments[0]->first != 1)
		return fault_set(why, FAULT_OPERATOR, "%s: the journal's first segment is missing", j->segments[0]->path);
	return ok;
}

static void close_segments(struct journal *j)
{
	while (j->count > 0)
		segment_free(j->segments[--j->count]);
	j->epoch_count = 0;
	j->first_whole = 1;
}

/* Tries of who reads beside a daemon, which may replace segments between the listing and the opening. */
#define READER_TRIES 5

bool journal_open(struct journal *j, const char *dir, uint64_t segment_size, bool is_reader, struct fault *why)
{
	bool ok;

	*j = (struct journal){ .dir = must_strdup(dir), .segment_size = segment_size, .first_whole = 1, .is_reader = is_reader };
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_mutex_init(&j->pin_lock, NULL);
	if (!is_reader && !file_make_dirs(dir, 0700, why))
		return false;
	ok = open_segments(j, is_reader, why);
	for (int i = 0; !ok && is_reader && i < READER_TRIES; i++) {
		close_segments(j);
		ok = open_segments(j, is_reader, why);
	}
	if (ok && j->count > 0) {
		struct segment *last = j->segments[j->count - 1];

		if (last->is_sparse)
			j->durable = j->last = last->last;
		else
			ok = recover_last(j, last, is_reader, why);
	}
	return ok;
}

static uint64_t finding(FILE *out, const struct segment *s, uint64_t off, const char *what)
{
	if (out != NULL)
		(void)fprintf(out, "%s: at %llu: %s\n", s->path, (unsigned long long)off, what);
	return 1;
}

static uint64_t verify_entry(struct journal *j, const struct segment *s, uint64_t at, const struct entry_header *h, FILE *out)
{
	uint64_t n = (uint64_t)h->head_size + h->body_size, problems = 0;
	struct arena a = { 0 };
	struct entry e;
	struct fault why;

	if (!entry_read(bytes_make(s->map + at, h->head_size), bytes_make(s->map + at + h->head_size, h->body_size), true, &a, &e,
	                &why))
		problems += finding(out, s, at, why.what);
	for (uint64_t i = n; i < journal_padded(n) && i < s->size - at; i++) {
		if (s->map[at + i] != 0)
			problems += finding(out, s, at + i, "padding that is not zero: harmless in itself, but the disk has changed it");
	}
	arena_fini(&a);
	if (j->pace != NULL)
		pace_rest(j->pace, n);
	return problems;
}

/* Of a sparse segment: row I of its table must be that entry at that place. */
static bool is_row(const struct segment *s, uint64_t i, lsn_t lsn, uint64_t off)
{
	lsn_t row_lsn;
	uint64_t row_off;

	if (i >= s->table_count)
		return false;
	segment_row(s, i, &row_lsn, &row_off);
	return row_lsn == lsn && row_off == off;
}

static uint64_t verify_sparse(struct journal *j, const struct segment *s, FILE *out)
{
	uint64_t off = SEGMENT_HEADER, bytes, problems = 0, row = 0;
	lsn_t first, next = s->first;

	while (segment_batch(s, off, &bytes, &first)) {
		uint64_t at = off + BATCH_HEADER, end = at + bytes;

		while (at < end) {
			struct entry_header h;
			struct arena a = { 0 };
			struct entry e;
			struct fault why;

			if (!entry_header_read(bytes_make(s->map + at, (size_t)(end - at)), &h) || h.lsn < next || h.lsn > s->last ||
			    (uint64_t)h.head_size + h.body_size > end - at || !is_row(s, row, h.lsn, at))
				return problems + finding(out, s, at, "the entry's header is damaged");
			if (!entry_read(bytes_make(s->map + at, h.head_size), bytes_make(s->map + at + h.head_size, h.body_size), true,
			                &a, &e, &why))
				problems += finding(out, s, at, why.what);
			arena_fini(&a);
			if (j->pace != NULL)
				pace_rest(j->pace, (uint64_t)h.head_size + h.body_size);
			next = h.lsn + 1;
			row++;
			at += journal_padded((uint64_t)h.head_size + h.body_size);
		}
		off = end;
	}
	return row == s->table_count ? problems : problems + finding(out, s, off, "entries of the table are missing");
}

uint64_t journal_verify_segment(struct journal *j, size_t i, lsn_t last, FILE *out)
{
	struct segment *s = j->segments[i];
	lsn_t next = s->first, stop = i + 1 < j->count ? j->segments[i + 1]->first - 1 : last;
	uint64_t off = SEGMENT_HEADER, bytes, problems = 0;
	lsn_t first;

	if (s->is_sparse)
		return verify_sparse(j, s, out);
	while (next <= stop) {
		uint64_t at, end, damaged = off;

		if (!next_batch(s, next, &off, &bytes, &first))
			return problems + finding(out, s, damaged, "no batch where one must be, nor after it");
		if (off != damaged || first != next)
			problems += finding(out, s, damaged, "no batch where one must be");
		next = first;
		at = off + BATCH_HEADER;
		end = at + bytes;
		while (at < end && next <= stop) {
			uint64_t was = at;
			struct entry_header h;

			if (!next_entry(s, next, &at, end, &h)) {
				problems += finding(out, s, was, "the entry's header is damaged");
				break;
			}
			if (at != was)
				problems += finding(out, s, was, "the entry's header is damaged");
			problems += verify_entry(j, s, at, &h, out);
			next = h.lsn + 1;
			at += journal_padded((uint64_t)h.head_size + h.body_size);
		}
		off = end;
	}
	return problems;
}
