/* store_incoming.c - taking a whole copy: it is built in DIR/incoming, and only when all of it is on the disk and was checked
 * does the file "complete" in there say so. The next opening of the partition puts it in the old one's place; a crash at
 * any moment leaves either the old one, or what the opening after it goes on with. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint_file.h"
#include "file.h"
#include "log.h"
#include "sparse.h"
#include "store_copy.h"
#include "store_private.h"

#define SEGMENT_DEFAULT (64ull << 20)

struct store_incoming {
	char *dir;     /* DIR/incoming */
	char *journal; /* DIR/incoming/journal */
	lsn_t lsn;
	uint64_t segment_size;
	int fd; /* of the checkpoint, by the name it has until all is finished */
	char *path;
	uint64_t size;
	struct checkpoint_reader reader;
	struct sparse_writer segment;
	lsn_t next; /* after the newest entry of all, or of the last finished segment */
};

bool store_remove_tree(const char *dir, int depth, struct fault *why)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool ok = true;

	if (d == NULL)
		return errno == ENOENT || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
	while (ok && (e = readdir(d)) != NULL) {
		char *path;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		path = must_printf("%s/%s", dir, e->d_name);
		if (unlink(path) != 0 && errno != ENOENT)
			ok = (errno == EISDIR || errno == EPERM) && depth > 0 ?
			             store_remove_tree(path, depth - 1, why) :
			             fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", path);
		free(path);
	}
	(void)closedir(d);
	return ok && (rmdir(dir) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", dir));
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool move(const char *from, const char *to, const char *dir, struct fault *why)
{
	if (rename(from, to) != 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot become %s", from, to);
	return file_sync_dir(dir, why);
}

/* Each step is known by what it leaves: the old index is without its mark, the old journal is away, the new one is there. */
static bool swap(const char *dir, const char *incoming, struct fault *why)
{
	char *boot = must_printf("%s/index.boot", dir), *old = must_printf("%s/journal.old", dir);
	char *journal = must_printf("%s/journal", dir), *fresh = must_printf("%s/journal", incoming);
	bool ok = true;

	if (exists(fresh)) {
		if (unlink(boot) != 0 && errno != ENOENT)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", boot);
		ok = ok && file_sync_dir(dir, why);
		if (ok && exists(journal))
			ok = store_unmark_restored(dir, why) && store_remove_tree(old, 1, why) && move(journal, old, dir, why);
		ok = ok && move(fresh, journal, dir, why);
	}
	free(boot);
	free(old);
	free(journal);
	free(fresh);
	return ok;
}

bool store_read_lsn(const char *path, lsn_t *lsn_r, struct fault *why)
{
	struct buffer is = { 0 };
	struct bytes text;
	int no = 0;
	bool ok = true;

	*lsn_r = 0;
	if (file_read_all(path, 64, &is, &no, why)) {
		text = buffer_bytes(&is);
		ok = (text.n > 0 && text.p[text.n - 1] == '\n' &&
		      bytes_to_u64(bytes_sub(text, 0, text.n - 1), UINT64_MAX, lsn_r)) ||
		     fault_set(why, FAULT_OPERATOR, "%s: damaged; remove this partition's directory and take a copy anew", path);
	} else {
		ok = no == ENOENT;
	}
	buffer_fini(&is);
	return ok;
}

bool store_write_lsn(const char *path, lsn_t lsn, struct fault *why)
{
	char *text = must_printf("%llu\n", (unsigned long long)lsn);
	bool ok = file_replace(path, bytes_of(text), 0600, why);

	free(text);
	return ok;
}

bool store_take_incoming(const char *dir, struct fault *why)
{
	char *incoming = must_printf("%s/incoming", dir), *complete = must_printf("%s/incoming/complete", dir);
	char *old = must_printf("%s/journal.old", dir), *floor = must_printf("%s/floor", dir);
	bool ok = true;
	lsn_t lsn;

	if (exists(complete)) {
		log_event(LOG_INFO, "store.copy.taken", LOG_STR("dir", dir));
		ok = store_read_lsn(complete, &lsn, why) && swap(dir, incoming, why) && store_write_lsn(floor, lsn, why) &&
		     store_remove_tree(incoming, 2, why);
	}
	ok = ok && store_remove_tree(old, 1, why);
	free(incoming);
	free(complete);
	free(old);
	free(floor);
	return ok;
}

bool store_read_floor(struct store *s, struct fault *why)
{
	char *path = must_printf("%s/floor", s->dir);
	bool ok = store_read_lsn(path, &s->floor, why);

	free(path);
	return ok;
}

lsn_t store_floor(const struct store *s)
{
	return s->floor;
}

void store_pass_floor(struct store *s)
{
	char *path;

	if (s->floor == 0 || store_applied_lsn(s) < s->floor)
		return;
	/* Where it stays it is found passed again at the next start. */
	path = must_printf("%s/floor", s->dir);
	(void)unlink(path);
	free(path);
	s->floor = 0;
}

static bool drop_checkpoint(struct store_incoming *in)
{
	bool ok = ftruncate(in->fd, 0) == 0;

	checkpoint_reader_fini(&in->reader);
	in->size = 0;
	return ok;
}

/* What an earlier one has left of the checkpoint: whole or its beginning. */
static bool resume_checkpoint(struct store_incoming *in, struct fault *why)
{
	uint8_t *piece = must_alloc(256u << 10);
	struct stat st;
	bool ok = true;

	in->fd = file_open(in->path, O_RDWR | O_CREAT, 0600, why);
	if (in->fd >= 0 && fstat(in->fd, &st) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s", in->path);
	for (ok = ok && in->fd >= 0; ok && in->size < (uint64_t)st.st_size;) {
		uint64_t left = (uint64_t)st.st_size - in->size;
		size_t n = left < 256u << 10 ? (size_t)left : 256u << 10;
		struct fault damaged;

		ok = file_pread(in->fd, piece, n, (off_t)in->size, in->path, why);
		in->size += n;
		if (ok && !checkpoint_feed(&in->reader, bytes_make(piece, n), &damaged)) {
			ok = drop_checkpoint(in) || fault_errno(why, FAULT_OPERATOR, errno, "%s", in->path);
			break;
		}
	}
	free(piece);
	return ok;
}

static char *segment_path(const struct store_incoming *in, lsn_t first)
{
	return must_printf("%s/%016llx.seg", in->journal, (unsigned long long)first);
}

/* Finished segments follow one another; one that was being written is not there by its name. */
static bool resume_segments(struct store_incoming *in, struct fault *why)
{
	in->next = 1;
	for (;;) {
		char *path = segment_path(in, in->next);
		struct segment *s = exists(path) ? segment_open(path, true, why) : NULL;
		bool is_there = exists(path), ok = s != NULL && s->is_sparse && s->first == in->next;

		if (ok)
			in->next = s->last + 1;
		segment_free(s);
		free(path);
		if (!is_there)
			return true;
		if (!ok)
			return fault_context(why, "the copy begun before (remove %s)", in->dir);
	}
}

/* The directory is for the copy of one checkpoint. */
static bool is_for(const struct store_incoming *in)
{
	char *path = must_printf("%s/lsn", in->dir);
	struct fault why;
	lsn_t lsn;
	bool ok = store_read_lsn(path, &lsn, &why) && lsn == in->lsn;

	free(path);
	return ok;
}

static bool begin(struct store_incoming *in, struct fault *why)
{
	char *path = must_printf("%s/lsn", in->dir);
	bool ok = store_remove_tree(in->dir, 2, why) && file_make_dirs(in->journal, 0700, why) && store_write_lsn(path, in->lsn, why);

	free(path);
	return ok;
}

lsn_t store_incoming_begun(const char *dir)
{
	char *path = must_printf("%s/incoming/lsn", dir);
	struct fault why;
	lsn_t lsn;

	if (!store_read_lsn(path, &lsn, &why))
		lsn = 0;
	free(path);
	return lsn;
}

bool store_incoming_remove(const char *dir, struct fault *why)
{
	char *incoming = must_printf("%s/incoming", dir);
	bool ok = store_remove_tree(incoming, 2, why);

	free(incoming);
	return ok;
}

struct store_incoming *store_incoming_open(const char *dir, lsn_t lsn, uint64_t segment_size, struct fault *why)
{
	struct store_incoming *in = must_calloc(1, sizeof(*in));

	in->dir = must_printf("%s/incoming", dir);
	in->journal = must_printf("%s/incoming/journal", dir);
	in->path = must_printf("%s/incoming/checkpoint.part", dir);
	in->lsn = lsn;
	in->segment_size = segment_size == 0 ? SEGMENT_DEFAULT : segment_size;
	in->fd = -1;
	if ((!is_for(in) && !begin(in, why)) || !file_make_dirs(in->journal, 0700, why) || !resume_checkpoint(in, why) || !resume_segments(in, why))
		store_incoming_close(&in);
	return in;
}

void store_incoming_close(struct store_incoming **inp)
{
	struct store_incoming *in = *inp;

	if (in == NULL)
		return;
	*inp = NULL;
	sparse_drop(&in->segment);
	checkpoint_reader_fini(&in->reader);
	file_close(&in->fd);
	free(in->dir);
	free(in->journal);
	free(in->path);
	free(in);
}

uint64_t store_incoming_size(const struct store_incoming *in)
{
	return in->size;
}

lsn_t store_incoming_next(const struct store_incoming *in)
{
	return in->next;
}

/* What is known of the checkpoint so far is what was asked for, and can be read here. */
static bool is_wanted(const struct store_incoming *in, struct fault *why)
{
	const struct checkpoint_head *h = &in->reader.head;

	if (!in->reader.has_head)
		return true;
	if (h->lsn != in->lsn)
		return fault_set(why, FAULT_OPERATOR, "%s: is the checkpoint of another LSN", in->path);
	return h->format == INDEX_FORMAT ||
	       fault_set(why, FAULT_OPERATOR, "%s: has records of form %u, this program reads %d: another version has made it", in->path, h->format,
	                 INDEX_FORMAT);
}

bool store_incoming_checkpoint(struct store_incoming *in, struct bytes piece, struct fault *why)
{
	struct iovec v = { (void *)(uintptr_t)piece.p, piece.n };
	size_t written;

	if (piece.n > 0 && !file_pwritev(in->fd, &v, 1, (off_t)in->size, in->path, &written, why))
		return false;
	in->size += piece.n;
	if (checkpoint_feed(&in->reader, piece, why) && is_wanted(in, why))
		return true;
	if (!drop_checkpoint(in))
		(void)fault_context(why, "%s: cannot be cut", in->path);
	return false;
}

/* The segment being written ends with LAST and gets its name. */
static bool end_segment(struct store_incoming *in, lsn_t last, struct fault *why)
{
	char *fresh = must_printf("%s/segment.part", in->dir), *path = segment_path(in, in->segment.first);
	bool ok = sparse_end(&in->segment, last, 0, in->reader.head.epochs, in->reader.head.epoch_count, why) &&
	          (rename(fresh, path) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot make", path)) &&
	          file_sync_dir(in->journal, why);

	free(fresh);
	free(path);
	return ok;
}

static bool begin_segment(struct store_incoming *in, struct fault *why)
{
	char *fresh = must_printf("%s/segment.part", in->dir);
	bool ok = sparse_begin(&in->segment, fresh, in->next, why);

	free(fresh);
	return ok;
}

bool store_incoming_entry(struct store_incoming *in, struct bytes raw, struct fault *why)
{
	struct arena a = { 0 };
	struct entry_header h;
	struct entry e;
	struct bytes head, body;
	bool ok;

	if (!in->reader.is_whole)
		return fault_set(why, FAULT_OPERATOR, "%s: the checkpoint comes first", in->dir);
	if (!entry_header_read(raw, &h) || (uint64_t)h.head_size + h.body_size != raw.n)
		return fault_set(why, FAULT_OPERATOR, "what came for %s is not an entry", in->dir);
	if (h.lsn < in->next || h.lsn > in->lsn)
		return fault_set(why, FAULT_OPERATOR, "entry %llu is out of order", (unsigned long long)h.lsn);
	head = bytes_sub(raw, 0, h.head_size);
	body = bytes_from(raw, h.head_size);
	ok = entry_read(head, body, true, &a, &e, why);
	arena_fini(&a);
	if (ok && in->segment.path != NULL && in->segment.used + raw.n > in->segment_size)
		ok = end_segment(in, in->segment.newest, why);
	if (ok && in->segment.path == NULL)
		ok = begin_segment(in, why);
	if (!ok || !sparse_add(&in->segment, h.lsn, head, body, why)) {
		in->next = in->segment.path != NULL ? in->segment.first : in->next;
		sparse_drop(&in->segment);
		return false;
	}
	in->next = h.lsn + 1;
	return true;
}

bool store_incoming_finish(struct store_incoming *in, lsn_t floor, struct fault *why)
{
	char *complete = must_printf("%s/complete", in->dir), *path = checkpoint_path(in->journal, in->lsn);
	bool ok = is_wanted(in, why);

	if (ok && !in->reader.is_whole)
		ok = fault_set(why, FAULT_OPERATOR, "%s: is not whole", in->path);
	/* The segments cover all up to the checkpoint, also where nothing is left of it. */
	if (ok && in->segment.path == NULL && in->next <= in->lsn)
		ok = begin_segment(in, why);
	if (ok && in->segment.path != NULL)
		ok = end_segment(in, in->lsn, why);
	if (ok) {
		in->next = in->lsn + 1;
		ok = fsync(in->fd) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: sync", in->path);
	}
	ok = ok && move(in->path, path, in->journal, why) && file_sync_dir(in->dir, why) &&
	     store_write_lsn(complete, floor, why);
	free(complete);
	free(path);
	return ok;
}
