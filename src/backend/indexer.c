/* indexer.c - the indexer's thread and its rounds.
 *
 * A round takes the mailboxes that commits have named since the last one, or, at the start, after a failure, and for a new file, all that
 * there are, and brings each up to its newest message. Nothing is read from the journal in its order, and no type of entry is known here:
 * whatever put a message into a mailbox, its UID was not there before, and names the same octets for ever (promise 4). */
#include "indexer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "indexer_private.h"
#include "json.h"
#include "log.h"

/* Commits that come together are taken together. */
#define GATHER_MS 200
/* An operator's request is a file. */
#define POLL_MS 1000
/* After a round that did not end. */
#define AGAIN_MS 500
/* Mailboxes that are remembered; beyond it all are looked at. */
#define DIRTY_MAX 100000
/* Names read through one view. */
#define NAMES_PIECE 200
#define NICE 15
#define IOPRIO_IDLE (3 << 13)
#define IOPRIO_WHO_PROCESS 1

/* More texts than this many times what is alive: the file is made anew. */
#define GONE_FACTOR 2
#define GONE_MIN 1000

/* Sleep for at most MS, or until there is something new. False: the end. */
static bool rest(struct indexer *ix, uint64_t ms)
{
	const struct timespec until = clock_deadline(ms);

	(void)pthread_mutex_lock(&ix->lock);
	if (!ix->is_stopping)
		(void)pthread_cond_timedwait(&ix->wake, &ix->lock, &until);
	(void)pthread_mutex_unlock(&ix->lock);
	return !atomic_load(&ix->is_ending);
}

/* All mailboxes, some names at a time. */
static bool scan(struct indexer *ix)
{
	mailbox_id_t ids[NAMES_PIECE];
	struct buffer from = { 0 };
	bool is_over = false, ok = true;

	while (ok && !is_over) {
		struct fault why;
		struct store_view *v = store_view_open(ix->store, &why);
		struct view_names it;
		struct bytes name;
		size_t n = 0;

		if (v == NULL) {
			ok = false;
			break;
		}
		store_view_names_from(v, BYTES_NONE, buffer_bytes(&from), &it);
		while (n < NAMES_PIECE && view_names_next(&it, &name, &ids[n]))
			n++;
		is_over = n < NAMES_PIECE;
		if (n > 0) {
			buffer_clear(&from);
			buffer_add(&from, name);
			buffer_add_u8(&from, '\0'); /* the least that is behind it */
		}
		ok = it.result == STORE_OK;
		view_names_end(&it);
		store_view_close(&v);
		for (size_t i = 0; ok && i < n; i++)
			ok = batch_take_mailbox(ix, ids[i]);
	}
	buffer_fini(&from);
	return ok && batch_flush(ix);
}

static bool take_dirty(struct indexer *ix, struct map *dirty)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;
	bool ok = true;

	while (ok && map_next(dirty, &it, &key, &value)) {
		mailbox_id_t id;

		memcpy(&id, key.p, sizeof(id));
		ok = batch_take_mailbox(ix, id);
	}
	return ok && batch_flush(ix);
}

/* How many bodies the member has. False: not to be had now. */
static bool count_bodies(struct indexer *ix, uint64_t *count_r)
{
	struct fault ignored;
	struct store_view *v = store_view_open(ix->store, &ignored);

	if (v == NULL)
		return false;
	*count_r = store_view_bodies(v);
	store_view_close(&v);
	return true;
}

/* It has everything: for the first time it is told, and is what is asked from now on. */
static void caught_up(struct indexer *ix)
{
	uint64_t bodies;
	struct fault why;
	enum fulltext_result result;

	atomic_store(&ix->state, INDEXER_CURRENT);
	if (fulltext_fact(ix->text, FULLTEXT_CURRENT) != 0 || !count_bodies(ix, &bodies))
		return;
	(void)(fulltext_begin(ix->text) && fulltext_set_fact(ix->text, FULLTEXT_TEXTS, fulltext_texts(ix->text)) &&
	       fulltext_set_fact(ix->text, FULLTEXT_BODIES, bodies) && fulltext_set_fact(ix->text, FULLTEXT_CURRENT, 1));
	result = fulltext_end(ix->text, true, &why);
	if (result != FULLTEXT_OK) {
		files_failed(ix, result, &why);
		return;
	}
	files_serve(ix);
	log_event(LOG_INFO, "search.index.current", LOG_U64("texts", fulltext_texts(ix->text)), LOG_U64("octets", files_octets(ix)),
	          LOG_NS("dur", clock_mono_ns() - ix->began_ns));
}

/* What is expunged stays in the file. As many texts as there were for a body when all of them were alive are expected. */
static bool has_too_many(struct indexer *ix)
{
	uint64_t texts = fulltext_fact(ix->text, FULLTEXT_TEXTS), bodies = fulltext_fact(ix->text, FULLTEXT_BODIES);
	uint64_t now;
	double alive;

	if (fulltext_texts(ix->text) < GONE_MIN || fulltext_fact(ix->text, FULLTEXT_CURRENT) == 0 || !count_bodies(ix, &now))
		return false;
	alive = (double)now * (texts > bodies && bodies > 0 ? (double)texts / (double)bodies : 1);
	return (double)fulltext_texts(ix->text) > GONE_FACTOR * alive + GONE_MIN;
}

/* One round. */
static void work(struct indexer *ix)
{
	lsn_t through = store_applied_lsn(ix->store);
	struct map dirty;
	bool wants_scan, ok;
	enum anew anew;

	(void)pthread_mutex_lock(&ix->lock);
	anew = ix->wants_anew;
	(void)pthread_mutex_unlock(&ix->lock);
	if (anew == ANEW_NOT && (files_take_request(ix) || (ix->text != NULL && has_too_many(ix))))
		anew = ANEW_ASKED;
	if (anew != ANEW_NOT)
		files_begin_anew(ix, anew == ANEW_ASKED);
	else if (ix->text == NULL) /* of what is there nobody knows by now which history it is of */
		files_begin_anew(ix, true);
	if (ix->text == NULL)
		return;
	(void)pthread_mutex_lock(&ix->lock);
	wants_scan = ix->wants_scan;
	ix->wants_scan = false;
	dirty = ix->dirty;
	ix->dirty = (struct map){ 0 };
	(void)pthread_mutex_unlock(&ix->lock);
	if (wants_scan || dirty.n > 0)
		atomic_store(&ix->state, INDEXER_BEHIND);
	ok = (!wants_scan || scan(ix)) && take_dirty(ix, &dirty);
	map_fini(&dirty);
	if (!ok) {
		if (ix->not_before_ms < clock_mono_ms() + AGAIN_MS)
			ix->not_before_ms = clock_mono_ms() + AGAIN_MS;
		(void)pthread_mutex_lock(&ix->lock);
		ix->wants_scan = true;
		(void)pthread_mutex_unlock(&ix->lock);
		return;
	}
	caught_up(ix);
	atomic_store(&ix->through, through);
}

/* Whether there is something to do now; else for how long there is not. */
static bool has_work(struct indexer *ix, uint64_t *rest_ms_r)
{
	uint64_t now = clock_mono_ms();
	bool has;

	(void)pthread_mutex_lock(&ix->lock);
	has = ix->wants_scan || ix->dirty.n > 0 || ix->wants_anew != ANEW_NOT || ix->text == NULL;
	(void)pthread_mutex_unlock(&ix->lock);
	*rest_ms_r = POLL_MS;
	if (has && now < ix->not_before_ms) {
		has = false;
		*rest_ms_r = ix->not_before_ms - now < POLL_MS ? ix->not_before_ms - now : POLL_MS;
	}
	return has;
}

static void *indexer_main(void *arg)
{
	struct indexer *ix = arg;
	char *request = must_printf("%s/anew", ix->dir);
	uint64_t ms;

	(void)pthread_setname_np(pthread_self(), "indexer");
	/* Of this thread alone. What cannot be had is done without. */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
	while (!atomic_load(&ix->is_ending)) {
		if (has_work(ix, &ms) || access(request, F_OK) == 0) {
			work(ix);
			ms = GATHER_MS;
		} else if (atomic_load(&ix->state) == INDEXER_CURRENT) {
			/* Whatever was applied had nothing for us. */
			atomic_store(&ix->through, store_applied_lsn(ix->store));
		}
		(void)rest(ix, ms);
	}
	batch_drop(ix);
	free(request);
	return NULL;
}

/* Whether the file is of a history that this one goes on from. On the writer's thread, or before there is one. */
static bool is_of_this_history(struct indexer *ix)
{
	return ix->lsn == 0 || (ix->epoch != 0 && store_epoch_at(ix->store, ix->lsn) == ix->epoch);
}

struct indexer *indexer_start(struct store *store, const char *partition_dir, const struct mime_limits *limits, struct fault *why)
{
	struct indexer *ix = must_calloc(1, sizeof(*ix));
	pthread_condattr_t monotonic;
	int rc;

	ix->store = store;
	ix->limits = limits;
	ix->dir = must_printf("%s/search", partition_dir);
	ix->told = INDEXER_CURRENT;
	(void)pthread_mutex_init(&ix->history, NULL);
	(void)pthread_mutex_init(&ix->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&ix->wake, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	files_open(ix);
	if (ix->text != NULL && !is_of_this_history(ix))
		files_begin_anew(ix, false);
	rc = pthread_create(&ix->thread, NULL, indexer_main, ix);
	if (rc == 0)
		return ix;
	(void)fault_errno(why, FAULT_OPERATOR, rc, "the indexer's thread");
	ix->is_stopping = true;
	indexer_stop(&ix);
	return NULL;
}

void indexer_stop(struct indexer **ixp)
{
	struct indexer *ix = *ixp;

	if (ix == NULL)
		return;
	*ixp = NULL;
	if (!ix->is_stopping) {
		(void)pthread_mutex_lock(&ix->lock);
		ix->is_stopping = true;
		atomic_store(&ix->is_ending, true);
		(void)pthread_cond_signal(&ix->wake);
		(void)pthread_mutex_unlock(&ix->lock);
		(void)pthread_join(ix->thread, NULL);
	}
	files_close(ix);
	batch_fini(&ix->batch);
	map_fini(&ix->dirty);
	(void)pthread_cond_destroy(&ix->wake);
	(void)pthread_mutex_destroy(&ix->lock);
	(void)pthread_mutex_destroy(&ix->history);
	free(ix->dir);
	free(ix);
}

void indexer_changed(struct indexer *ix, const struct store_changes *changes)
{
	bool is_first;

	(void)pthread_mutex_lock(&ix->lock);
	is_first = ix->dirty.n == 0;
	for (size_t i = 0; !ix->wants_scan && i < changes->n; i++) {
		if ((changes->of[i].what & STORE_CHANGE_MESSAGES) != 0)
			(void)map_put_u64(&ix->dirty, changes->of[i].mailbox, ix);
	}
	if (ix->dirty.n > DIRTY_MAX) {
		map_fini(&ix->dirty);
		ix->wants_scan = true;
	}
	if (is_first && ix->dirty.n > 0)
		(void)pthread_cond_signal(&ix->wake);
	(void)pthread_mutex_unlock(&ix->lock);
}

void indexer_replaced(struct indexer *ix)
{
	bool is_same;

	(void)pthread_mutex_lock(&ix->history);
	ix->generation++;
	is_same = is_of_this_history(ix);
	(void)pthread_mutex_lock(&ix->lock);
	ix->wants_scan = true;
	if (!is_same) {
		ix->wants_anew = ANEW_DAMAGED;
		ix->serving = 0;
	}
	(void)pthread_cond_signal(&ix->wake);
	(void)pthread_mutex_unlock(&ix->lock);
	(void)pthread_mutex_unlock(&ix->history);
}

static const char *state_name(struct indexer *ix)
{
	switch ((enum indexer_state)atomic_load(&ix->state)) {
	case INDEXER_BEHIND:
		return "behind";
	case INDEXER_CURRENT:
		return "current";
	case INDEXER_FULL:
		return "full";
	case INDEXER_FAILED:
		return "failed";
	}
	return "";
}

/* Entries that may have brought what is not in. */
static uint64_t lag(struct indexer *ix)
{
	uint64_t applied = store_applied_lsn(ix->store), through = atomic_load(&ix->through);

	return applied > through ? applied - through : 0;
}

void indexer_status_json(struct indexer *ix, struct buffer *to)
{
	json_key_string(to, "search_index", bytes_of(state_name(ix)));
	json_key_u64(to, "search_lag", lag(ix));
	json_key_u64(to, "search_texts", atomic_load(&ix->texts));
	json_key_u64(to, "search_octets", atomic_load(&ix->octets));
}

static void metric(struct buffer *to, const char *name, const char *type, uint64_t value)
{
	buffer_addf(to, "# TYPE %s %s\n%s %" PRIu64 "\n", name, type, name, value);
}

void indexer_metrics(struct indexer *ix, struct buffer *to)
{
	metric(to, "roost_search_lag", "gauge", lag(ix));
	metric(to, "roost_search_texts", "gauge", atomic_load(&ix->texts));
	metric(to, "roost_search_octets", "gauge", atomic_load(&ix->octets));
	metric(to, "roost_search_asked_total", "counter", atomic_load(&ix->asked));
	metric(to, "roost_search_answered_total", "counter", atomic_load(&ix->answered));
	metric(to, "roost_search_failures_total", "counter", atomic_load(&ix->failures));
	metric(to, "roost_search_anew_total", "counter", atomic_load(&ix->anews));
}
