/* store_compact.c - see store_compact.h. Which bodies are live is asked of the index, in small pieces, so that no snapshot
 * stays open: a body that dies meanwhile is kept until the next time, and one that is dead cannot come back: nothing is dropped by the
 * word of entries that may still be lost (store_note_replicated()). */
#include "store_compact.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint_file.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "sparse.h"
#include "store_private.h"

/* A segment is written anew if less than so much of it is live, percent. */
#define LIVE_ENOUGH 75
/* So many small neighbours become one even where nothing of them is dead. */
#define SMALL_MANY 4
#define SURVEY_RECORDS 1000
#define COPY_RECORDS 1000
#define COPY_OCTETS (1u << 20)
#define PACE_SLICE_NS 20000000ull
/* What an entry takes beside its body and its structure, with one delivery. */
#define ENTRY_REST 105

struct old_segment {
	lsn_t first, last;
	uint64_t used, live;
	bool is_sparse;
};

struct run {
	lsn_t first, last;
	uint64_t used, live;
};

/* Between begin and done all of it is the running thread's. */
struct compaction {
	struct store_compact_options o;
	bool is_running;
	struct old_segment *old; /* what may be written anew; of this begin */
	size_t old_count;
	struct store_epoch *epochs;
	size_t epoch_count;
	lsn_t checkpoint; /* the older of the two */

	struct run *queue; /* of the last survey, the least live first */
	size_t queue_count, queue_at;
	lsn_t surveyed_to;
	uint64_t surveyed_freed;
	bool must_survey; /* something could not be done */
	lsn_t *damaged;   /* first LSNs of segments that cannot be read whole: left alone until something was mended */
	size_t damaged_count;
	uint64_t mended;  /* as it was when they were found */
	lsn_t checked; /* checkpoint that was found whole */
	lsn_t asked;   /* what the index had applied when it was last asked what is live */

	struct segment *made;
	struct store_compacted what;
	bool is_ok;
	struct fault why;
};

void store_compaction_drop(struct store *s)
{
	struct compaction *c = s->compaction;

	if (c == NULL)
		return;
	segment_free(c->made);
	free(c->old);
	free(c->epochs);
	free(c->queue);
	free(c->damaged);
	free(c);
	s->compaction = NULL;
}

bool store_is_compacting(const struct store *s)
{
	return s->compaction != NULL && s->compaction->is_running;
}

void store_compaction_tidy(const struct store *s)
{
	char *fresh = must_printf("%s/compact.new", s->journal.dir);

	(void)unlink(fresh);
	free(fresh);
}

/* How many segments, from the first on, are old. */
static size_t count_old(const struct store *s, const struct store_compact_options *o)
{
	const struct journal *j = &s->journal;
	uint64_t newer = 0;
	size_t n = j->count;

	while (n > 0 && newer < o->keep)
		newer += j->segments[--n]->used;
	/* The last is being written to. */
	if (n > 0 && n == j->count)
		n--;
	while (n > 0 && (j->segments[n]->first > s->older_checkpoint + 1 || (o->hold != 0 && j->segments[n]->first > o->hold)))
		n--;
	return s->older_checkpoint == 0 ? 0 : n;
}

void store_note_replicated(struct store *s, lsn_t lsn)
{
	atomic_store(&s->replicated, lsn);
}

bool store_wants_compaction(struct store *s, const struct store_compact_options *o)
{
	const struct compaction *c = s->compaction;
	size_t n;
	uint64_t enough;

	if (s->is_failed || (c != NULL && c->is_running) || atomic_load(&s->replicated) < store_applied_lsn(s))
		return false;
	/* The first run has the reserve taken, while there is room. */
	if (c == NULL)
		return s->journal.count > 1;
	n = count_old(s, o);
	if (n == 0)
		return false;
	if (c->damaged_count > 0 && atomic_load(&s->mended) != c->mended)
		return true;
	if (c->must_survey || c->queue_at < c->queue_count || s->journal.segments[n]->first - 1 > c->surveyed_to)
		return true;
	enough = journal_used((struct journal *)&s->journal) / 50;
	return s->freed - c->surveyed_freed > (enough > s->journal.segment_size / 2 ? enough : s->journal.segment_size / 2);
}

void store_compact_begin(struct store *s, const struct store_compact_options *o)
{
	struct journal *j = &s->journal;
	struct compaction *c = s->compaction;

	if (c == NULL)
		c = s->compaction = must_calloc(1, sizeof(*c));
	assert(!c->is_running);
	if (c->damaged_count > 0 && atomic_load(&s->mended) != c->mended) {
		c->damaged_count = 0;
		c->queue_count = c->queue_at = 0;
	}
	c->mended = atomic_load(&s->mended);
	free(c->old);
	free(c->epochs);
	c->o = *o;
	c->is_running = true;
	c->old_count = count_old(s, o);
	c->old = must_calloc(c->old_count + 1, sizeof(*c->old));
	for (size_t i = 0; i < c->old_count; i++) {
		const struct segment *of = j->segments[i];

		c->old[i] = (struct old_segment){ .first = of->first, .last = j->segments[i + 1]->first - 1, .used = of->used,
			                          .is_sparse = of->is_sparse };
	}
	c->epoch_count = j->epoch_count;
	c->epochs = must_calloc(j->epoch_count + 1, sizeof(*c->epochs));
	memcpy(c->epochs, j->epochs, j->epoch_count * sizeof(*c->epochs));
	c->checkpoint = s->older_checkpoint;
	c->what = (struct store_compacted){ 0 };
	if (c->queue_at == c->queue_count)
		c->surveyed_freed = s->freed;
}

/* The survey. */

static struct old_segment *segment_of(struct compaction *c, lsn_t lsn, size_t *at)
{
	while (*at < c->old_count && c->old[*at].last < lsn)
		(*at)++;
	return *at < c->old_count && c->old[*at].first <= lsn ? &c->old[*at] : NULL;
}

/* Count live octets of bodies from *NEXT on, some records of the index. *next is 0 at the end. */
static bool count_some(struct store *s, struct compaction *c, lsn_t *next, size_t *at)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_txn *t = kv_read(s->kv, &c->why);
	struct kv_cursor *cursor;
	size_t n = 0;
	bool has;

	if (t == NULL)
		return false;
	cursor = kv_seek(t, T_BODY, bytes_make(start, key_u64(start, *next)), &key, &value);
	*next = 0;
	for (has = cursor != NULL; has; has = kv_next(cursor, &key, &value)) {
		lsn_t lsn = key_read_u64(key, 0);
		struct old_segment *of = segment_of(c, lsn, at);
		struct index_body b;

		if (*at == c->old_count)
			break;
		if (n++ == SURVEY_RECORDS) {
			*next = lsn;
			break;
		}
		if (of != NULL && index_decode_body(value, &b))
			of->live += journal_padded(ENTRY_REST + (uint64_t)b.size + b.structure.n);
	}
	kv_cursor_end(&cursor);
	has = !kv_has_failed(t);
	kv_end(&t);
	return has || fault_set(&c->why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
}

static bool is_damaged(const struct compaction *c, const struct old_segment *o)
{
	for (size_t i = 0; i < c->damaged_count; i++) {
		if (c->damaged[i] == o->first)
			return true;
	}
	return false;
}

static bool is_wasteful(const struct old_segment *o)
{
	return o->used > 2 * SEGMENT_HEADER && o->live < o->used / 100 * LIVE_ENOUGH;
}

/* Add the run of neighbours from I on that are to be one segment. Returns where the next may begin. */
static size_t add_run(struct compaction *c, size_t i, uint64_t most)
{
	struct run r = { .first = c->old[i].first };
	size_t n = 0;
	bool has_waste = false;

	for (; i + n < c->old_count; n++) {
		const struct old_segment *o = &c->old[i + n];
		bool is_small = o->is_sparse && o->live < most / 4;

		if ((!is_wasteful(o) && !is_small) || is_damaged(c, o) || (n > 0 && r.live + o->live > most))
			break;
		has_waste = has_waste || is_wasteful(o);
		r.last = o->last;
		r.used += o->used;
		r.live += o->live;
	}
	if (has_waste || n >= SMALL_MANY) {
		c->queue = must_realloc(c->queue, c->queue_count + 1, sizeof(*c->queue));
		c->queue[c->queue_count++] = r;
	}
	return i + (n > 0 ? n : 1);
}

/* What frees the most for what it writes comes first: on a full disk that is also what needs least room. */
static int least_live_first(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	double dx = (double)x->live / (double)(x->used + 1), dy = (double)y->live / (double)(y->used + 1);

	return dx < dy ? -1 : dx > dy ? 1 : 0;
}

static bool survey(struct store *s, struct compaction *c)
{
	lsn_t next = 1;
	size_t at = 0;

	c->queue_count = c->queue_at = 0;
	c->must_survey = false;
	while (next != 0) {
		if (atomic_load(&s->is_stopping))
			return fault_set(&c->why, FAULT_TRANSIENT, "given up, as the member stops");
		if (!count_some(s, c, &next, &at))
			return false;
	}
	for (size_t i = 0; i < c->old_count;)
		i = add_run(c, i, s->journal.segment_size);
	if (c->queue_count > 1)
		qsort(c->queue, c->queue_count, sizeof(*c->queue), least_live_first);
	c->surveyed_to = c->old_count > 0 ? c->old[c->old_count - 1].last : 0;
	return true;
}

/* Writing anew. */

static char *reserve_path(const struct store *s)
{
	return must_printf("%s/reserve", s->journal.dir);
}

/* Have the reserve, if it can be had: room for the largest segment that there can be by the rules above; of one large entry alone more may be needed. */
static void take_reserve(struct store *s)
{
	char *path = reserve_path(s);
	int fd, rc;

	if (access(path, F_OK) == 0) {
		free(path);
		return;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	rc = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)s->journal.segment_size);

	file_close(&fd);
	/* Half of one is none, and in the way. */
	if (rc != 0)
		(void)unlink(path);
	free(path);
}

/* Sleep until so much may have been written. false: it is to end. */
static bool pace(struct store *s, const struct compaction *c, uint64_t began_ns, uint64_t written)
{
	while (!atomic_load(&s->is_stopping)) {
		const struct timespec slice = { .tv_nsec = PACE_SLICE_NS };

		if (c->o.rate == 0 || (double)(clock_mono_ns() - began_ns) * (double)c->o.rate >= (double)written * 1e9)
			return true;
		(void)nanosleep(&slice, NULL);
	}
	return false;
}

static void note_damage(struct compaction *c, lsn_t lsn)
{
	size_t at = 0;
	const struct old_segment *o = segment_of(c, lsn, &at);

	if (o == NULL)
		return;
	c->damaged = must_realloc(c->damaged, c->damaged_count + 1, sizeof(*c->damaged));
	c->damaged[c->damaged_count++] = o->first;
}

/* Copy an entry as it is; one that is damaged stays where it is, with its whole segment, for whoever mends it. */
static bool copy_entry(struct store *s, struct compaction *c, struct sparse_writer *w, lsn_t lsn, uint64_t *octets)
{
	struct arena a = { 0 };
	struct bytes head, body;
	struct entry e;
	bool ok = journal_find(&s->journal, lsn, &head, &body, &c->why) &&
	          (entry_read(head, body, true, &a, &e, &c->why) || fault_context(&c->why, "%s", s->dir));

	arena_fini(&a);
	if (!ok) {
		note_damage(c, lsn);
		return false;
	}
	*octets += head.n + body.n;
	return sparse_add(w, lsn, head, body, &c->why);
}

static bool copy_some(struct store *s, struct compaction *c, struct sparse_writer *w, lsn_t last, lsn_t *next)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct journal_pin pin;
	struct kv_txn *t;
	struct kv_cursor *cursor = NULL;
	uint64_t octets = 0;
	size_t n = 0;
	bool has, ok;

	journal_pin(&s->journal, &pin);
	t = kv_read(s->kv, &c->why);
	ok = t != NULL;
	if (ok)
		cursor = kv_seek(t, T_BODY, bytes_make(start, key_u64(start, *next)), &key, &value);
	*next = 0;
	for (has = cursor != NULL; ok && has; has = kv_next(cursor, &key, &value)) {
		lsn_t lsn = key_read_u64(key, 0);

		if (lsn > last)
			break;
		if (n++ == COPY_RECORDS || octets >= COPY_OCTETS) {
			*next = lsn;
			break;
		}
		ok = copy_entry(s, c, w, lsn, &octets);
	}
	kv_cursor_end(&cursor);
	if (ok && kv_has_failed(t))
		ok = fault_set(&c->why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	kv_end(&t);
	journal_unpin(&s->journal, &pin);
	return ok;
}

static bool write_anew(struct store *s, struct compaction *c, const struct run *r, const char *fresh)
{
	char *reserve = reserve_path(s);
	struct sparse_writer w = { 0 };
	uint64_t began = clock_mono_ns();
	lsn_t next = r->first;
	bool ok;

	/* What the reserve takes on the disk is this one's room. */
	(void)rename(reserve, fresh);
	free(reserve);
	ok = sparse_begin(&w, fresh, r->first, &c->why);
	while (ok && next != 0) {
		ok = copy_some(s, c, &w, r->last, &next);
		if (ok && !pace(s, c, began, w.used))
			ok = fault_set(&c->why, FAULT_TRANSIENT, "%s: given up, as the member stops", fresh);
	}
	c->asked = store_applied_lsn(s);
	if (!ok) {
		sparse_drop(&w);
		return false;
	}
	return sparse_end(&w, r->last, c->asked, c->epochs, c->epoch_count, &c->why);
}

/* The new one takes the first one's name; from then on the others are left over, as every opening knows. */
static bool put_in_place(struct store *s, struct compaction *c, const struct run *r, const char *fresh)
{
	char *path = must_printf("%s/%016llx.seg", s->journal.dir, (unsigned long long)r->first);
	bool ok = rename(fresh, path) == 0 || fault_errno(&c->why, FAULT_OPERATOR, errno, "%s: cannot replace", path);

	ok = ok && file_sync_dir(s->journal.dir, &c->why);
	for (size_t i = 0; ok && i < c->old_count; i++) {
		char *other = must_printf("%s/%016llx.seg", s->journal.dir, (unsigned long long)c->old[i].first);

		if (c->old[i].first > r->first && c->old[i].last <= r->last && unlink(other) != 0 && errno != ENOENT)
			ok = fault_errno(&c->why, FAULT_OPERATOR, errno, "%s: cannot be removed", other);
		free(other);
	}
	c->made = ok ? segment_open(path, false, &c->why) : NULL;
	free(path);
	return c->made != NULL;
}

static bool compact(struct store *s, struct compaction *c, const struct run *r)
{
	char *fresh = must_printf("%s/compact.new", s->journal.dir);
	bool ok = write_anew(s, c, r, fresh), is_wanted = atomic_load(&s->replicated) >= c->asked;

	if (ok && !is_wanted) {
		/* What died lately may come to life again: another time. */
		(void)unlink(fresh);
		c->must_survey = true;
	} else if (ok) {
		ok = put_in_place(s, c, r, fresh);
	}
	if (ok && is_wanted)
		c->what = (struct store_compacted){ r->first, r->last, r->used, c->made->size };
	free(fresh);
	take_reserve(s);
	return ok;
}

/* What is dropped here is in no other place than the checkpoint: it must be whole. */
static bool check_checkpoint(struct store *s, struct compaction *c)
{
	struct checkpoint_reader r = { 0 };
	bool ok = c->checked == c->checkpoint || checkpoint_file_read(s->journal.dir, c->checkpoint, &r, &c->why);

	checkpoint_reader_fini(&r);
	if (ok)
		c->checked = c->checkpoint;
	return ok;
}

void store_compact_run(struct store *s)
{
	struct compaction *c = s->compaction;

	take_reserve(s);
	c->is_ok = true;
	if (c->old_count == 0)
		return;
	/* What was found before somebody wanted it stays. */
	while (c->queue_at < c->queue_count && c->queue[c->queue_at].last > c->old[c->old_count - 1].last)
		c->queue_at++;
	c->is_ok = check_checkpoint(s, c) && (c->queue_at < c->queue_count || survey(s, c));
	if (c->is_ok && c->queue_at < c->queue_count)
		c->is_ok = compact(s, c, &c->queue[c->queue_at++]);
	if (!c->is_ok)
		c->must_survey = true;
}

bool store_compact_done(struct store *s, struct store_compacted *what_r, struct fault *why)
{
	struct compaction *c = s->compaction;

	c->is_running = false;
	*what_r = c->what;
	if (!c->is_ok) {
		*why = c->why;
		return false;
	}
	if (c->made != NULL)
		journal_replace(&s->journal, c->made);
	c->made = NULL;
	return true;
}
