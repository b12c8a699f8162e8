/* store.c - opening and closing a partition, and its figures. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "log.h"
#include "store_copy.h"
#include "store_private.h"

#define MAP_DEFAULT (64ull << 30)
#define SEGMENT_DEFAULT (64ull << 20)

bool store_open_kv(struct store *s, const struct store_options *o, bool is_reader, struct fault *why)
{
	char *dir = must_printf("%s/index", o->dir);

	s->kv = kv_open(dir, o->map_size == 0 ? MAP_DEFAULT : o->map_size, store_tables, T_COUNT, false, is_reader, why);
	free(dir);
	if (s->kv == NULL)
		return fault_context(why, "the index (\"roost rebuild\" makes it anew from the journal)");
	return true;
}

static bool lock_dir(struct store *s, struct fault *why)
{
	char *path = must_printf("%s/lock", s->dir);

	s->lock_fd = file_open(path, O_RDWR | O_CREAT, 0600, why);
	if (s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: in use by another process", s->dir);
		file_close(&s->lock_fd);
	}
	free(path);
	return s->lock_fd >= 0;
}

struct store_reign store_reign_of(const struct entry *e)
{
	return (struct store_reign){ e->lsn, e->epoch, e->master, e->in_sync };
}

void store_note_reign(struct store *s, const struct store_reign *r)
{
	char *text = must_alloc(r->master.n + r->in_sync.n + 1);

	if (r->master.n > 0)
		memcpy(text, r->master.p, r->master.n);
	if (r->in_sync.n > 0)
		memcpy(text + r->master.n, r->in_sync.p, r->in_sync.n);
	free(s->reign_text);
	s->reign_text = text;
	s->has_reign = true;
	s->reign = (struct store_reign){ r->lsn, r->epoch, bytes_make(text, r->master.n),
		                         bytes_make(text + r->master.n, r->in_sync.n) };
}

bool store_read_entry(struct store *s, lsn_t lsn, bool check_body, struct arena *a, struct entry *e_r, struct fault *why)
{
	struct bytes head, body;
	struct segment *in;
	struct fault unused;
	uint64_t at;

	*e_r = (struct entry){ 0 };
	if (!journal_find(&s->journal, lsn, &head, &body, why))
		return false;
	if (entry_read(head, body, check_body, a, e_r, why))
		return true;
	if (journal_locate(&s->journal, lsn, &in, &at, &unused) == JOURNAL_FOUND)
		return fault_context(why, "%s: at %llu", in->path, (unsigned long long)at);
	return fault_context(why, "%s: entry %llu", s->dir, (unsigned long long)lsn);
}

/* The newest epoch entry stands at the beginning of one of the last epochs; of those that were applied the index knows it. */
bool store_find_reign(struct store *s, struct fault *why)
{
	lsn_t applied = store_applied_lsn(s);
	struct store_reign reign;
	struct kv_txn *t;

	s->has_reign = false;
	for (size_t i = s->journal.epoch_count; i > 0 && !s->has_reign && s->journal.epochs[i - 1].first > applied; i--) {
		struct arena a = { 0 };
		struct entry e;
		bool ok = store_read_entry(s, s->journal.epochs[i - 1].first, false, &a, &e, why);

		if (ok && e.type == ENTRY_EPOCH) {
			reign = store_reign_of(&e);
			store_note_reign(s, &reign);
		}
		arena_fini(&a);
		if (!ok)
			return false;
	}
	if (s->has_reign)
		return true;
	t = kv_read(s->kv, why);
	if (t == NULL)
		return false;
	if (index_reign(t, &reign) == KV_OK)
		store_note_reign(s, &reign);
	kv_end(&t);
	return true;
}

static void close_parts(struct store *s)
{
	store_checkpoint_drop(s);
	store_compaction_drop(s);
	kv_close(&s->kv);
	if (s->journal.dir != NULL)
		journal_close(&s->journal);
	s->journal = (struct journal){ 0 };
	free(s->reign_text);
	s->reign_text = NULL;
	s->has_reign = false;
}

static void free_store(struct store *s)
{
	close_parts(s);
	file_close(&s->lock_fd);
	(void)pthread_mutex_destroy(&s->gate);
	free(s->digest.mailbox);
	free(s->salvage_dir);
	free(s->dir);
	free(s);
}

/* Everything but the lock. */
static bool open_parts(struct store *s, struct fault *why)
{
	const struct store_options o = {
		.dir = s->dir, .map_size = s->map_size, .segment_size = s->segment_size, .keywords_max = s->keywords_max
	};
	char *journal = must_printf("%s/journal", s->dir);
	bool ok = store_take_incoming(s->dir, why) && store_read_floor(s, why) &&
	          journal_open(&s->journal, journal, s->segment_size == 0 ? SEGMENT_DEFAULT : s->segment_size, false, why) &&
	          store_recover_index(s, &o, why) && store_find_reign(s, why) && store_salvage_resume(s, why) &&
	          store_read_restored(s, why);

	free(journal);
	if (!ok)
		return false;
	store_note_checkpoints(s);
	store_compaction_tidy(s);
	log_event(LOG_INFO, "store.partition.opened", LOG_STR("dir", s->dir), LOG_U64("last", s->journal.last),
	          LOG_U64("applied", store_applied_lsn(s)));
	return true;
}

struct store *store_open(const struct store_options *o, struct fault *why)
{
	struct store *s = must_calloc(1, sizeof(*s));

	s->dir = must_strdup(o->dir);
	s->salvage_dir = must_printf("%s/salvage", o->dir);
	atomic_store(&s->replicated, UINT64_MAX);
	s->lock_fd = -1;
	s->expunge_delay = o->expunge_delay;
	s->keywords_max = o->keywords_max == 0 ? KEYWORDS_MAX : o->keywords_max;
	s->map_size = o->map_size;
	s->segment_size = o->segment_size;
	(void)pthread_mutex_init(&s->gate, NULL);
	if (!file_make_dirs(o->dir, 0700, why) || !lock_dir(s, why) || (o->rebuilds && !store_distrust_index(s->dir, why)) ||
	    !open_parts(s, why)) {
		free_store(s);
		return NULL;
	}
	return s;
}

void store_close(struct store **sp)
{
	struct store *s = *sp;
	struct fault why;

	if (s == NULL)
		return;
	*sp = NULL;
	/* A later sync would say nothing of what this one did not write: the index is made anew. */
	if (s->kv != NULL && kv_sync(s->kv, &why))
		(void)store_mark_index(s->dir, true, &why);
	else if (s->kv != NULL)
		(void)store_distrust_index(s->dir, &why);
	free_store(s);
}

bool store_reopen_begin(struct store *s)
{
	bool may;

	if (s->checkpoint != NULL || store_is_compacting(s))
		return false;
	(void)pthread_mutex_lock(&s->gate);
	may = s->views == 0;
	s->is_reopening = may;
	(void)pthread_mutex_unlock(&s->gate);
	return may;
}

bool store_reopen_run(struct store *s, struct fault *why)
{
	close_parts(s);
	s->is_failed = false;
	if (open_parts(s, why))
		return true;
	close_parts(s);
	s->is_failed = true;
	s->failure = *why;
	return false;
}

void store_reopen_done(struct store *s)
{
	(void)pthread_mutex_lock(&s->gate);
	s->is_reopening = false;
	(void)pthread_mutex_unlock(&s->gate);
}

lsn_t store_last_lsn(const struct store *s)
{
	return s->journal.last;
}

lsn_t store_durable_lsn(const struct store *s)
{
	return s->journal.durable;
}

lsn_t store_applied_lsn(const struct store *s)
{
	return atomic_load(&s->applied);
}

bool store_is_failed(const struct store *s)
{
	return s->is_failed;
}

void store_failure(const struct store *s, struct fault *why)
{
	*why = s->failure;
}

const struct store_epoch *store_epochs(const struct store *s, size_t *count_r)
{
	*count_r = s->journal.epoch_count;
	return s->journal.epochs;
}

epoch_t store_epoch_at(const struct store *s, lsn_t lsn)
{
	return journal_epoch_at(&s->journal, lsn);
}

bool store_reign(const struct store *s, struct store_reign *reign_r)
{
	*reign_r = s->reign;
	return s->has_reign;
}

void store_get_stats(struct store *s, struct store_stats *st)
{
	struct fault why;
	struct kv_txn *t = kv_read(s->kv, &why);

	*st = (struct store_stats){ .last = s->journal.last,
		                    .durable = s->journal.durable,
		                    .applied = store_applied_lsn(s),
		                    .epoch = journal_epoch_at(&s->journal, s->journal.last),
		                    .segments = s->journal.count,
		                    .journal_bytes = journal_used(&s->journal),
		                    .first = journal_first_whole(&s->journal),
		                    .checkpoint = atomic_load(&s->checkpoint_lsn),
		                    .flushes = s->journal.flushes,
		                    .flushed_bytes = s->journal.flushed_bytes,
		                    .entries = s->journal.entries,
		                    .flush_ns = s->journal.flush_ns,
		                    .digest = s->digest.lsn,
		                    .differences = s->digest.differences,
		                    .differs = s->digest.differs,
		                    .differs_in = s->digest.mailbox,
		                    .mailboxes = t == NULL ? 0 : kv_count(t, T_MAILBOX) };
	kv_end(&t);
}
