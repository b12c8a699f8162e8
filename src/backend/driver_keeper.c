/* driver_keeper.c - what keeps the partition in shape, on a thread of its own: nothing that it does is waited for by a turn.
 *
 * The writer's loop decides and begins a job, the keeper's thread runs it, the loop ends it. One job at a time. */
#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "store_copy.h"

/* After a job that failed; what made it fail (a full disk) may be mended by then. */
#define RETRY_MS 60000

static void job_done(void *arg);

static void *keeper_main(void *arg)
{
	struct driver *d = arg;
	struct keeper *k = &d->keeper;

	(void)pthread_mutex_lock(&k->lock);
	for (;;) {
		while (k->job == KEEPER_IDLE && !k->is_stopping)
			(void)pthread_cond_wait(&k->wake, &k->lock);
		if (k->is_stopping)
			break;
		(void)pthread_mutex_unlock(&k->lock);
		store_checkpoint_run(d->o.store);
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

void driver_keeper_stop(struct driver *d)
{
	struct keeper *k = &d->keeper;

	store_background_stop(d->o.store);
	(void)pthread_mutex_lock(&k->lock);
	k->is_stopping = true;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
	(void)pthread_join(k->thread, NULL);
	(void)pthread_cond_destroy(&k->wake);
	(void)pthread_mutex_destroy(&k->lock);
}

static void begin_job(struct driver *d, enum keeper_job job)
{
	struct keeper *k = &d->keeper;

	k->running = job;
	k->began_ns = clock_mono_ns();
	(void)pthread_mutex_lock(&k->lock);
	k->job = job;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
}

static void job_done(void *arg)
{
	struct driver *d = arg;
	struct keeper *k = &d->keeper;
	struct fault why;

	k->running = KEEPER_IDLE;
	if (store_checkpoint_done(d->o.store, &why)) {
		log_event(LOG_INFO, "driver.checkpoint.made", LOG_U64("lsn", store_checkpoint_lsn(d->o.store)),
		          LOG_NS("dur", clock_mono_ns() - k->began_ns));
	} else if (!d->is_closed) {
		log_event(LOG_WARNING, "driver.checkpoint.failed", LOG_FAULT(&why));
		k->not_before_ms = clock_mono_ms() + RETRY_MS;
	}
}

void driver_keeper_tick(struct driver *d)
{
	struct keeper *k = &d->keeper;
	struct fault why;

	if (k->running != KEEPER_IDLE || d->is_stopping || clock_mono_ms() < k->not_before_ms)
		return;
	if (!store_wants_checkpoint(d->o.store, k->wants_checkpoint ? 0 : config_number(d->o.config, "journal_checkpoint")))
		return;
	k->wants_checkpoint = false;
	if (store_checkpoint_begin(d->o.store, &why)) {
		begin_job(d, KEEPER_CHECKPOINT);
	} else {
		log_event(LOG_WARNING, "driver.checkpoint.failed", LOG_FAULT(&why));
		k->not_before_ms = clock_mono_ms() + RETRY_MS;
	}
}
