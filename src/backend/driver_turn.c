/* driver_turn.c - the turn: intents to entries, one write and one sync for all, and, once committed, the answers.
 *
 * One turn at a time: while it is being made durable here and there, what comes meanwhile waits and makes up the next. So
 * the busier it is, the more share one sync. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "salvage_file.h"

#define TURN_BYTES (16u << 20)
#define TURN_INTENTS 2048

/* The flusher: writes and syncs while the writer's loop goes on answering beacons. */

static void flushed(void *arg);

static void *flusher_main(void *arg)
{
	struct driver *d = arg;
	struct flusher *f = &d->flusher;

	(void)pthread_mutex_lock(&f->lock);
	for (;;) {
		while (!f->is_asked && !f->is_stopping)
			(void)pthread_cond_wait(&f->wake, &f->lock);
		if (!f->is_asked)
			break;
		(void)pthread_mutex_unlock(&f->lock);
		store_flush_run(d->o.store);
		(void)pthread_mutex_lock(&f->lock);
		f->is_asked = false;
		f->is_done = true;
		(void)pthread_cond_signal(&f->done);
		loop_post(d->loop, flushed, d);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return NULL;
}

bool driver_flusher_start(struct driver *d, struct fault *why)
{
	struct flusher *f = &d->flusher;
	int rc;

	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->wake, NULL);
	(void)pthread_cond_init(&f->done, NULL);
	rc = pthread_create(&f->thread, NULL, flusher_main, d);
	return rc == 0 || fault_errno(why, FAULT_OPERATOR, rc, "the flusher's thread");
}

void driver_flusher_stop(struct driver *d)
{
	struct flusher *f = &d->flusher;

	(void)pthread_mutex_lock(&f->lock);
	f->is_stopping = true;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
	(void)pthread_join(f->thread, NULL);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_cond_destroy(&f->done);
	(void)pthread_mutex_destroy(&f->lock);
}

static void start_flush(struct driver *d)
{
	struct flusher *f = &d->flusher;

	if (d->is_flushing || !store_flush_begin(d->o.store))
		return;
	d->is_flushing = true;
	(void)pthread_mutex_lock(&f->lock);
	f->is_asked = true;
	f->is_done = false;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
}

void driver_give_up(struct driver *d)
{
	if (!d->has_given_up && !d->is_stopping)
		(void)kill(getpid(), SIGTERM);
	d->has_given_up = true;
}

/* The flush has been run: tell the store, then the core. */
static void finish_flush(struct driver *d)
{
	struct fault why;

	d->is_flushing = false;
	if (!store_flush_done(d->o.store, &why)) {
		log_event(LOG_ERROR, "driver.journal.failed", LOG_FAULT(&why));
		driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
		driver_give_up(d);
		return;
	}
	driver_tell(d, EVENT_LOCAL_DURABLE, store_durable_lsn(d->o.store), 0);
}

static void flushed(void *arg)
{
	struct driver *d = arg;

	(void)pthread_mutex_lock(&d->flusher.lock);
	/* Somebody may have waited for it and taken it already. */
	if (!d->flusher.is_done) {
		(void)pthread_mutex_unlock(&d->flusher.lock);
		return;
	}
	d->flusher.is_done = false;
	(void)pthread_mutex_unlock(&d->flusher.lock);
	finish_flush(d);
	if (d->is_closed)
		return;
	start_flush(d); /* what was appended meanwhile, on a follower */
	driver_sync_pump(d);
	driver_turn(d);
}

void driver_flush_wait(struct driver *d)
{
	struct flusher *f = &d->flusher;

	for (;;) {
		start_flush(d);
		if (!d->is_flushing)
			return;
		(void)pthread_mutex_lock(&f->lock);
		while (!f->is_done)
			(void)pthread_cond_wait(&f->done, &f->lock);
		f->is_done = false;
		(void)pthread_mutex_unlock(&f->lock);
		finish_flush(d);
	}
}

/* A master's turn. */

static void refuse(struct driver_request *r, enum store_result result, bool had_no_effect)
{
	r->answer = (struct intent_answer){ .result = result };
	r->had_no_effect = had_no_effect;
	driver_answer(r);
}

void driver_fail_waiting(struct driver *d)
{
	struct list *m;

	while ((m = list_shift(&d->waiting)) != NULL)
		refuse(LIST_OBJECT(m, struct driver_request, waiting), STORE_NOT_MASTER, true);
}

/* Move waiting requests to the turn, as many as one turn takes. Returns what they cost. */
static uint64_t gather(struct driver *d)
{
	uint64_t cost = d->wants_epoch ? intent_cost(&d->epoch_intent) : 0;
	size_t count = 0;

	while (d->is_gate_open && !list_is_empty(&d->waiting) && count < TURN_INTENTS) {
		struct driver_request *r = LIST_OBJECT(d->waiting.next, struct driver_request, waiting);

		if (count > 0 && cost + r->cost > TURN_BYTES)
			break;
		list_remove(&r->waiting);
		list_push(&d->in_turn, &r->waiting);
		cost += r->cost;
		count++;
	}
	return cost;
}

static void answer_turn(struct driver *d)
{
	struct list *m;

	while ((m = list_shift(&d->in_turn)) != NULL)
		driver_answer(LIST_OBJECT(m, struct driver_request, waiting));
}

static void refuse_turn(struct driver *d, enum store_result result, bool had_no_effect)
{
	struct list *m;

	while ((m = list_shift(&d->in_turn)) != NULL)
		refuse(LIST_OBJECT(m, struct driver_request, waiting), result, had_no_effect);
}

static void turn_over(struct driver *d)
{
	d->is_turn_open = false;
	arena_fini(&d->turn_arena);
}

/* There were changes since the last one, and some time has passed. */
static bool digest_is_due(const struct driver *d)
{
	return d->is_gate_open && d->digest_due_ms != 0 && clock_mono_ms() >= d->digest_due_ms &&
	       store_last_lsn(d->o.store) > store_digest_lsn(d->o.store);
}

static void put_off_digest(struct driver *d)
{
	if (d->digest_due_ms != 0)
		d->digest_due_ms = clock_mono_ms() + config_number(d->o.config, "digest_interval_s") * 1000;
}

static enum store_result add_digest(struct driver *d)
{
	struct intent_answer answer;

	store_turn_add(d->o.store, &d->digest_intent, &d->turn_arena, &answer);
	put_off_digest(d);
	return answer.result;
}

/* Nothing of it was done. An entry that begins a reign is still wanted. */
static void turn_failed(struct driver *d, bool had_epoch)
{
	store_turn_abort(d->o.store);
	refuse_turn(d, STORE_FAILED, true);
	turn_over(d);
	d->wants_epoch = had_epoch;
}

/* The store has failed, and the turn is over. */
static void commit_failed(struct driver *d, const struct fault *why, bool had_no_effect)
{
	log_event(LOG_ERROR, "driver.commit.failed", LOG_FAULT(why));
	refuse_turn(d, STORE_FAILED, had_no_effect);
	turn_over(d);
	driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
	driver_give_up(d);
}

/* Nothing was changed, so there is nothing to be made durable. */
static void end_empty_turn(struct driver *d)
{
	struct store_changes changes = { 0 };
	struct fault why;

	if (store_turn_commit(d->o.store, store_last_lsn(d->o.store), &changes, &why) != STORE_OK) {
		commit_failed(d, &why, true);
		return;
	}
	store_changes_fini(&changes);
	answer_turn(d);
	turn_over(d);
}

void driver_turn(struct driver *d)
{
	uint64_t epoch = replica_epoch(d->core);
	struct intent_answer begun = { .result = STORE_OK };
	enum store_result result;
	struct fault why;
	uint64_t cost;
	size_t count;
	bool with_digest, with_epoch = d->wants_epoch;

	if (d->is_turn_open || d->is_flushing || d->is_stepping || d->is_closed || replica_role(d->core) != REPLICA_MASTER)
		return;
	with_digest = digest_is_due(d);
	if (!d->wants_epoch && !with_digest && (!d->is_gate_open || list_is_empty(&d->waiting)))
		return;
	/* What changes nothing is answered without a commit: not from what may be out of date. And what cannot be committed
	 * now had better wait here, where it has had no effect yet. */
	if (!d->wants_epoch && !replica_may_act(d->core, clock_mono_ms()))
		return;
	if (store_is_failed(d->o.store))
		return;
	/* What was followed until now, and is not on the disk yet, becomes part of the turn, which reads it from there. */
	if (store_last_lsn(d->o.store) > store_durable_lsn(d->o.store)) {
		start_flush(d);
		return;
	}
	cost = gather(d) + (with_digest ? intent_cost(&d->digest_intent) : 0);
	result = store_reserve_space(d->o.store, cost, &why);
	if (result == STORE_OK)
		result = store_turn_begin(d->o.store, epoch, &why);
	if (result != STORE_OK) {
		put_off_digest(d);
		log_event(LOG_ERROR, "driver.turn.refused", LOG_FAULT(&why));
		refuse_turn(d, result, true);
		/* A store that has failed stays so: whoever starts us anew recovers, and an in-sync member takes over meanwhile. */
		if (result == STORE_FAILED) {
			driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
			driver_give_up(d);
		}
		return;
	}
	d->is_turn_open = true;
	d->wants_epoch = false;
	if (with_epoch)
		store_turn_add(d->o.store, &d->epoch_intent, &d->turn_arena, &begun);
	if (begun.result != STORE_OK && begun.result != STORE_BAD) {
		turn_failed(d, with_epoch);
		return;
	}
	LIST_EACH(m, &d->in_turn) {
		struct driver_request *r = LIST_OBJECT(m, struct driver_request, waiting);

		store_turn_add(d->o.store, r->intent, r->arena, &r->answer);
		if (r->answer.result == STORE_FAILED) {
			turn_failed(d, with_epoch);
			return;
		}
		(void)atomic_fetch_add(&d->turned, 1);
	}
	if (with_digest && add_digest(d) == STORE_FAILED) {
		turn_failed(d, with_epoch);
		return;
	}
	(void)atomic_fetch_add(&d->turns, 1);
	(void)store_turn_entries(d->o.store, &count);
	if (count == 0) {
		end_empty_turn(d);
		return;
	}
	d->turn_last = store_last_lsn(d->o.store);
	d->turn_first = d->turn_last - count + 1;
	/* The followers get the entries while they are being written here: the two syncs run side by side. */
	driver_tell(d, EVENT_LOCAL_APPENDED, d->turn_last, epoch);
	driver_sync_pump(d);
	start_flush(d);
}

void driver_turn_commit(struct driver *d, lsn_t lsn)
{
	struct store_changes changes = { 0 };
	struct fault why;

	if (!d->is_turn_open || lsn < d->turn_last)
		return;
	if (store_turn_commit(d->o.store, d->turn_last, &changes, &why) != STORE_OK) {
		commit_failed(d, &why, false);
		return;
	}
	/* Watchers hear before the answers leave: who was told OK finds others told, too. */
	d->o.events->on_changes(d->o.arg, &changes);
	store_changes_fini(&changes);
	answer_turn(d);
	turn_over(d);
	driver_tell(d, EVENT_APPLIED, store_applied_lsn(d->o.store), 0);
}

void driver_turn_abort(struct driver *d)
{
	if (!d->is_turn_open)
		return;
	driver_flush_wait(d);
	if (!d->is_turn_open)
		return;
	store_turn_abort(d->o.store);
	refuse_turn(d, STORE_NOT_MASTER, false);
	turn_over(d);
}

/* A follower. */

/* Append one entry; false: the connection was dropped. */
static bool follow_one(struct driver *d, struct bytes raw, lsn_t lsn, epoch_t epoch, lsn_t *untold)
{
	struct fault why;
	enum store_follow result;

	/* BUSY at most twice: what is being flushed, and what was appended since. */
	while ((result = store_follow_append(d->o.store, raw, &why)) == STORE_FOLLOW_BUSY) {
		if (*untold != 0)
			driver_tell(d, EVENT_FOLLOWED, *untold, store_epoch_at(d->o.store, *untold));
		*untold = 0;
		start_flush(d);
		driver_flush_wait(d);
	}
	if (result == STORE_FOLLOW_DUPLICATE)
		return true;
	if (result == STORE_FOLLOW_FAILED && d->has_given_up)
		return false; /* that was told, and the connection is gone */
	if (result != STORE_FOLLOW_OK) {
		log_event(result == STORE_FOLLOW_GAP ? LOG_WARNING : LOG_ERROR, "driver.follow.refused", LOG_U64("lsn", lsn),
		          LOG_FAULT(&why));
		d->has_refused = result == STORE_FOLLOW_NO_SPACE;
		driver_sync_disconnect(d, d->message_peer);
		return false;
	}
	/* The core must hear of the first entry of each epoch, and of the last of all. */
	if (lsn == 1 || store_epoch_at(d->o.store, lsn - 1) != epoch) {
		if (*untold != 0)
			driver_tell(d, EVENT_FOLLOWED, *untold, store_epoch_at(d->o.store, *untold));
		driver_tell(d, EVENT_FOLLOWED, lsn, epoch);
		*untold = 0;
	} else {
		*untold = lsn;
	}
	return true;
}

void driver_follow(struct driver *d)
{
	struct bytes raw = d->message->raw;
	lsn_t untold = 0;

	while (raw.n > 0) {
		lsn_t lsn;
		epoch_t epoch;
		uint64_t n;

		/* A master has entries of its own and earlier reigns only. And an event is queued for each epoch: a real stretch of
		 * a journal has few. */
		if (!store_entry_peek(raw, &lsn, &epoch, &n) || n > raw.n || epoch > d->message->epoch ||
		    d->queue_count >= DRIVER_EVENTS_MAX / 2) {
			log_event(LOG_ERROR, "driver.follow.broken", LOG_STR("peer", d->peers[d->message_peer].name));
			driver_sync_disconnect(d, d->message_peer);
			break;
		}
		if (!follow_one(d, bytes_sub(raw, 0, (size_t)n), lsn, epoch, &untold))
			break;
		raw = bytes_from(raw, (size_t)n);
	}
	if (untold != 0)
		driver_tell(d, EVENT_FOLLOWED, untold, store_epoch_at(d->o.store, untold));
	start_flush(d);
}

static void apply_more(void *arg)
{
	struct driver *d = arg;

	d->is_applying = false;
	if (!d->is_closed && replica_role(d->core) == REPLICA_FOLLOWER)
		driver_apply(d, d->apply_to);
}

void driver_apply(struct driver *d, lsn_t lsn)
{
	struct store_changes changes = { 0 };
	struct fault why;
	lsn_t before = store_applied_lsn(d->o.store);
	enum store_result result;

	d->apply_to = lsn;
	if (d->is_applying)
		return;
	result = store_apply_committed(d->o.store, lsn, &changes, &why);
	d->o.events->on_changes(d->o.arg, &changes);
	store_changes_fini(&changes);
	if (result != STORE_OK) {
		log_event(LOG_ERROR, "driver.apply.failed", LOG_FAULT(&why));
		driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
		/* What the master sent does not fit what is here, now or ever: stay, say so, and stay away from it. */
		d->has_refused = true;
		if (result == STORE_BAD && replica_master(d->core) >= 0)
			driver_sync_disconnect(d, (size_t)replica_master(d->core));
		if (result != STORE_BAD)
			driver_give_up(d);
		return;
	}
	driver_tell(d, EVENT_APPLIED, store_applied_lsn(d->o.store), 0);
	if (store_applied_lsn(d->o.store) < lsn && store_applied_lsn(d->o.store) > before) {
		d->is_applying = true;
		loop_post(d->loop, apply_more, d);
	}
}

void driver_truncate(struct driver *d, lsn_t lsn)
{
	struct fault why;

	driver_flush_wait(d);
	driver_wait_readers(d);
	log_event(LOG_WARNING, "driver.journal.truncated", LOG_U64("after", lsn), LOG_U64("had", store_last_lsn(d->o.store)));
	if (store_truncate_after(d->o.store, lsn, &why) != STORE_OK) {
		log_event(LOG_ERROR, "driver.truncate.failed", LOG_FAULT(&why));
		driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
		driver_give_up(d);
	}
}

void driver_save(struct driver *d, lsn_t lsn)
{
	struct fault why;
	enum store_result result;

	driver_flush_wait(d);
	driver_wait_readers(d);
	/* A checkpoint under way may be one of what goes. */
	if (d->keeper.running != KEEPER_IDLE) {
		d->has_refused = true;
		return;
	}
	d->apply_to = lsn; /* what was committed by the old journal's numbers */
	result = store_save_after(d->o.store, lsn, &why);
	d->o.events->on_replaced(d->o.arg);
	if (result == STORE_OK) {
		salvage_want_no_more(store_salvage_dir(d->o.store));
		driver_salvage_look(d);
		driver_tell(d, EVENT_SAVED, lsn, 0);
		return;
	}
	log_event(LOG_ERROR, "driver.suffix.unsaved", LOG_U64("after", lsn), LOG_U64("had", store_last_lsn(d->o.store)), LOG_FAULT(&why));
	if (result != STORE_FAILED) {
		d->has_refused = true; /* not at once again */
		return;
	}
	driver_tell(d, EVENT_LOCAL_FAILED, 0, 0);
	driver_give_up(d);
}
