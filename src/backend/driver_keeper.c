/* driver_keeper.c - what keeps the partition in shape, on a thread of its own: nothing that it does is waited for by a turn.
 *
 * The writer's loop decides and begins a job, the keeper's thread runs it, the loop ends it. One job at a time. */
#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "store_compact.h"
#include "store_copy.h"

/* After a job that failed; what made it fail (a full disk) may be mended by then. */
#define RETRY_MS 60000

static void job_done(void *arg);

static void *keeper_main(void *arg)
{
	struct driver *d = arg;
	struct keeper *k = &d->keeper;
	enum keeper_job job;

	(void)pthread_mutex_lock(&k->lock);
	for (;;) {
		while (k->job == KEEPER_IDLE && !k->is_stopping)
			(void)pthread_cond_wait(&k->wake, &k->lock);
		/* What was begun is run, for it has to be ended; it does not take long now. */
		if (k->job == KEEPER_IDLE)
			break;
		job = k->job;
		(void)pthread_mutex_unlock(&k->lock);
		if (job == KEEPER_CHECKPOINT)
			store_checkpoint_run(d->o.store);
		else
			store_compact_run(d->o.store);
		(void)pthread_mutex_lock(&k->lock);
		k->job = KEEPER_IDLE;
		loop_post(d->loop, job_done, d);
	}
	(void)pthread_mutex_unlock(&k->lock);
	return NULL;
}

bool driver_keeper_start(struct driver *d, struct fault *why)
{
	struct keeper *k = &d->keeper;
	int rc;

	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_cond_init(&k->wake, NULL);
	rc = pthread_create(&k->thread, NULL, keeper_main, d);
	return rc == 0 || fault_errno(why, FAULT_OPERATOR, rc, "the keeper's thread");
}

/* On the loop, which begins the jobs: so none is begun that nobody would run. */
static void stop_here(void *arg)
{
	struct keeper *k = arg;

	(void)pthread_mutex_lock(&k->lock);
	k->is_stopping = true;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
}

void driver_keeper_stop(struct driver *d)
{
	struct keeper *k = &d->keeper;

	/* In this order: what fails because of the second is found done after the first. */
	loop_post(d->loop, stop_here, k);
	store_background_stop(d->o.store);
	(void)pthread_join(k->thread, NULL);
	(void)pthread_cond_destroy(&k->wake);
	(void)pthread_mutex_destroy(&k->lock);
}

static void begin_job(struct driver *d, enum keeper_job job)
{
	struct keeper *k = &d->keeper;

	k->running = k->last = job;
	k->began_ns = clock_mono_ns();
	(void)pthread_mutex_lock(&k->lock);
	k->job = job;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
}

/* JOB could not be done; not to be tried at once again. */
static void job_failed(struct driver *d, enum keeper_job job, const struct fault *why)
{
	if (d->is_closed || d->keeper.is_stopping)
		return;
	if (job == KEEPER_CHECKPOINT)
		log_event(LOG_WARNING, "driver.checkpoint.failed", LOG_FAULT(why));
	else
		log_event(LOG_ERROR, "driver.compaction.failed", LOG_FAULT(why));
	d->keeper.not_before_ms[job] = clock_mono_ms() + RETRY_MS;
}

static void checkpoint_done(struct driver *d)
{
	struct fault why;

	if (store_checkpoint_done(d->o.store, &why))
		log_event(LOG_INFO, "driver.checkpoint.made", LOG_U64("lsn", store_checkpoint_lsn(d->o.store)),
		          LOG_NS("dur", clock_mono_ns() - d->keeper.began_ns));
	else
		job_failed(d, KEEPER_CHECKPOINT, &why);
}

static void compaction_done(struct driver *d)
{
	struct store_compacted what;
	struct fault why;

	if (!store_compact_done(d->o.store, &what, &why))
		job_failed(d, KEEPER_COMPACTION, &why);
	else if (what.first != 0)
		log_event(LOG_INFO, "driver.journal.compacted", LOG_U64("first", what.first), LOG_U64("last", what.last),
		          LOG_U64("before", what.before), LOG_U64("after", what.after),
		          LOG_NS("dur", clock_mono_ns() - d->keeper.began_ns));
}

static void job_done(void *arg)
{
	struct driver *d = arg;
	enum keeper_job job = d->keeper.running;

	d->keeper.running = KEEPER_IDLE;
	if (job == KEEPER_CHECKPOINT)
		checkpoint_done(d);
	else
		compaction_done(d);
}

static bool may_try(const struct driver *d, enum keeper_job job)
{
	return clock_mono_ms() >= d->keeper.not_before_ms[job];
}

static void begin_checkpoint(struct driver *d)
{
	struct fault why;

	d->keeper.wants_checkpoint = false;
	if (store_checkpoint_begin(d->o.store, &why))
		begin_job(d, KEEPER_CHECKPOINT);
	else
		job_failed(d, KEEPER_CHECKPOINT, &why);
}

void driver_keeper_tick(struct driver *d)
{
	const struct store_compact_options o = { .keep = config_number(d->o.config, "journal_keep"),
		                                 .hold = driver_give_hold(d),
		                                 .rate = config_number(d->o.config, "compact_rate") };
	uint64_t after = d->keeper.wants_checkpoint ? 0 : config_number(d->o.config, "journal_checkpoint");
	bool wants_checkpoint, wants_compaction;

	store_note_replicated(d->o.store, replica_replicated(d->core));
	if (d->keeper.running != KEEPER_IDLE || d->keeper.is_stopping)
		return;
	wants_checkpoint = may_try(d, KEEPER_CHECKPOINT) && store_wants_checkpoint(d->o.store, after);
	wants_compaction = may_try(d, KEEPER_COMPACTION) && store_wants_compaction(d->o.store, &o);
	/* In turns: under much load there is always a checkpoint to be made. */
	if (wants_compaction && (!wants_checkpoint || d->keeper.last == KEEPER_CHECKPOINT)) {
		store_compact_begin(d->o.store, &o);
		begin_job(d, KEEPER_COMPACTION);
	} else if (wants_checkpoint) {
		begin_checkpoint(d);
	}
}
