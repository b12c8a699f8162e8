/* store_checkpoint.c - making a checkpoint beside the writer, and reading one for a member that takes a copy. */
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
#include "store_copy.h"
#include "store_private.h"

#define CHECKPOINTS_KEPT 2

/* Between begin and done it belongs to the thread that runs it. */
struct checkpoint_job {
	struct kv_txn *t;
	struct checkpoint_head head;
	char *texts; /* the head's reign */
	uint64_t flushed; /* by the store when it was begun */
	bool is_ok;
	struct fault why;
};

static void free_job(struct checkpoint_job *job)
{
	kv_end(&job->t);
	free(job->head.epochs);
	free(job->texts);
	free(job);
}

void store_checkpoint_drop(struct store *s)
{
	if (s->checkpoint != NULL)
		free_job(s->checkpoint);
	s->checkpoint = NULL;
}

void store_note_checkpoints(struct store *s)
{
	lsn_t *lsns;
	size_t count;
	struct fault why;

	if (!checkpoint_list(s->journal.dir, &lsns, &count, &why))
		return;
	checkpoint_prune(s->journal.dir, CHECKPOINTS_KEPT);
	atomic_store(&s->checkpoint_lsn, count > 0 ? lsns[0] : 0);
	s->older_checkpoint = count > 1 ? lsns[1] : 0;
	s->since_checkpoint = journal_used_after(&s->journal, store_checkpoint_lsn(s));
	s->flushed_before = s->journal.flushed_bytes;
	free(lsns);
}

lsn_t store_checkpoint_lsn(const struct store *s)
{
	return atomic_load(&s->checkpoint_lsn);
}

lsn_t store_first_lsn(struct store *s)
{
	return journal_first_whole(&s->journal);
}

bool store_wants_checkpoint(const struct store *s, uint64_t bytes)
{
	return s->checkpoint == NULL && !s->is_failed && store_applied_lsn(s) > store_checkpoint_lsn(s) &&
	       s->since_checkpoint + (s->journal.flushed_bytes - s->flushed_before) > bytes;
}

/* The newest reign up to the snapshot, in memory of its own. */
static bool take_reign(struct kv_txn *t, struct checkpoint_head *h, char **texts_r)
{
	struct store_reign r;
	enum kv_result result = index_reign(t, &r);

	if (result != KV_OK)
		return result == KV_NOT_FOUND;
	*texts_r = must_alloc(r.master.n + r.in_sync.n + 1);
	if (r.master.n > 0)
		memcpy(*texts_r, r.master.p, r.master.n);
	if (r.in_sync.n > 0)
		memcpy(*texts_r + r.master.n, r.in_sync.p, r.in_sync.n);
	r.in_sync.p = (const uint8_t *)*texts_r + r.master.n;
	r.master.p = (const uint8_t *)*texts_r;
	h->reign = r;
	h->has_reign = true;
	return true;
}

bool store_checkpoint_head(struct store *s, struct kv_txn *t, struct checkpoint_head *h_r, char **texts_r)
{
	const struct journal *j = &s->journal;

	*h_r = (struct checkpoint_head){ .format = INDEX_FORMAT };
	*texts_r = NULL;
	if (index_meta(t, "applied", &h_r->lsn) != KV_OK || !take_reign(t, h_r, texts_r))
		return false;
	h_r->epochs = must_calloc(j->epoch_count + 1, sizeof(*h_r->epochs));
	for (size_t i = 0; i < j->epoch_count && j->epochs[i].first <= h_r->lsn; i++)
		h_r->epochs[h_r->epoch_count++] = j->epochs[i];
	return true;
}

bool store_checkpoint_begin(struct store *s, struct fault *why)
{
	struct checkpoint_job *job;
	struct kv_txn *t;

	if (s->checkpoint != NULL)
		return fault_set(why, FAULT_TRANSIENT, "%s: a checkpoint is being made", s->dir);
	t = kv_read(s->kv, why);
	if (t == NULL)
		return false;
	job = must_calloc(1, sizeof(*job));
	job->t = t;
	job->flushed = s->journal.flushed_bytes;
	if (!store_checkpoint_head(s, t, &job->head, &job->texts)) {
		free_job(job);
		return fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	}
	s->checkpoint = job;
	return true;
}

void store_checkpoint_run(struct store *s)
{
	struct checkpoint_job *job = s->checkpoint;

	job->is_ok = checkpoint_file_write(s->journal.dir, &job->t, &job->head, &s->is_stopping, &job->why);
}

bool store_checkpoint_done(struct store *s, struct fault *why)
{
	struct checkpoint_job *job = s->checkpoint;
	bool ok = job->is_ok;

	if (ok) {
		s->since_checkpoint = 0;
		s->flushed_before = job->flushed;
		if (job->head.lsn != store_checkpoint_lsn(s))
			s->older_checkpoint = store_checkpoint_lsn(s);
		atomic_store(&s->checkpoint_lsn, job->head.lsn);
		checkpoint_prune(s->journal.dir, CHECKPOINTS_KEPT);
	} else {
		*why = job->why;
	}
	store_checkpoint_drop(s);
	return ok;
}

void store_background_stop(struct store *s)
{
	atomic_store(&s->is_stopping, true);
}

/* Giving a copy. */

struct store_source {
	struct store *s;
	char *path;
	int fd;
	lsn_t lsn;
	uint64_t size;
};

static bool find_newest(struct store *s, lsn_t *lsn, struct fault *why)
{
	lsn_t *lsns;
	size_t count;

	if (!checkpoint_list(s->journal.dir, &lsns, &count, why))
		return false;
	*lsn = count > 0 ? lsns[0] : 0;
	free(lsns);
	return count > 0 || fault_set(why, FAULT_TRANSIENT, "%s: there is no checkpoint yet", s->journal.dir);
}

struct store_source *store_source_open(struct store *s, lsn_t lsn, struct fault *why)
{
	struct store_source *src;
	struct stat st;

	if (lsn == 0 && !find_newest(s, &lsn, why))
		return NULL;
	src = must_calloc(1, sizeof(*src));
	src->s = s;
	src->lsn = lsn;
	src->path = checkpoint_path(s->journal.dir, lsn);
	src->fd = open(src->path, O_RDONLY | O_CLOEXEC);
	if (src->fd < 0)
		(void)fault_errno(why, errno == ENOENT ? FAULT_TRANSIENT : FAULT_OPERATOR, errno, "%s", src->path);
	else if (fstat(src->fd, &st) != 0)
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s", src->path);
	else
		src->size = (uint64_t)st.st_size;
	if (src->size == 0)
		store_source_close(&src);
	return src;
}

void store_source_close(struct store_source **src)
{
	if (*src == NULL)
		return;
	file_close(&(*src)->fd);
	free((*src)->path);
	free(*src);
	*src = NULL;
}

lsn_t store_source_lsn(const struct store_source *src)
{
	return src->lsn;
}

uint64_t store_source_size(const struct store_source *src)
{
	return src->size;
}

bool store_source_read(struct store_source *src, uint64_t offset, size_t max, struct buffer *out, struct fault *why)
{
	size_t n;

	if (offset >= src->size)
		return true;
	n = src->size - offset < max ? (size_t)(src->size - offset) : max;
	if (!file_pread(src->fd, buffer_reserve(out, n), n, (off_t)offset, src->path, why))
		return false;
	out->n += n;
	return true;
}

/* Add entry LSN whole and checked: what this member's disk has spoilt must not become the other's. */
static bool add_entry(struct store *s, lsn_t lsn, struct bytes head, struct bytes body, struct buffer *out, struct fault *why)
{
	struct arena a = { 0 };
	struct entry e;
	bool ok = entry_read(head, body, true, &a, &e, why) || fault_context(why, "%s: entry %llu", s->dir, (unsigned long long)lsn);

	arena_fini(&a);
	if (!ok)
		return false;
	buffer_add(out, head);
	buffer_add(out, body);
	return true;
}

bool store_source_weigh(struct store_source *src, lsn_t from, uint64_t *octets_r, struct fault *why)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_txn *t = kv_read(src->s->kv, why);
	struct kv_cursor *c;
	bool has;

	*octets_r = 0;
	if (t == NULL)
		return false;
	c = kv_seek(t, T_BODY, bytes_make(start, key_u64(start, from)), &key, &value);
	for (has = c != NULL; has && key_read_u64(key, 0) <= src->lsn; has = kv_next(c, &key, &value)) {
		struct index_body b;

		/* The head of an entry is little more than the structure, which the record has, too. */
		if (index_decode_body(value, &b))
			*octets_r += b.size + b.structure.n + ENTRY_HEADER;
	}
	kv_cursor_end(&c);
	kv_end(&t);
	return true;
}

bool store_source_bodies(struct store_source *src, lsn_t from, size_t max_bytes, struct buffer *out, lsn_t *next_r,
                         struct fault *why)
{
	struct store *s = src->s;
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct journal_pin pin;
	struct kv_txn *t;
	struct kv_cursor *c;
	size_t before = out->n;
	bool has, ok = true;

	*next_r = 0;
	journal_pin(&s->journal, &pin);
	t = kv_read(s->kv, why);
	if (t == NULL) {
		journal_unpin(&s->journal, &pin);
		return false;
	}
	c = kv_seek(t, T_BODY, bytes_make(start, key_u64(start, from)), &key, &value);
	for (has = c != NULL; ok && has; has = kv_next(c, &key, &value)) {
		lsn_t lsn = key_read_u64(key, 0);
		struct bytes head, body;

		if (lsn > src->lsn)
			break;
		ok = journal_find(&s->journal, lsn, &head, &body, why);
		if (ok && out->n > before && out->n - before + head.n + body.n > max_bytes) {
			*next_r = lsn;
			break;
		}
		ok = ok && add_entry(s, lsn, head, body, out, why);
	}
	kv_cursor_end(&c);
	if (ok && kv_has_failed(t))
		ok = fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	kv_end(&t);
	journal_unpin(&s->journal, &pin);
	return ok;
}
