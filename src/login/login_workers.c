/* login_workers.c - one queue, a lock and a condition. */
#include "login_workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"

struct worker {
	struct workers *of;
	pthread_t thread;
	void *own;
	void (*free_own)(void *own);
};

struct workers {
	struct worker *threads;
	size_t count, max_waiting;
	atomic_bool is_stopping;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t come;
	struct list queue;
	size_t waiting;
};

static void give_back(void *arg)
{
	struct work_item *w = arg;

	w->done(w, w->was_run);
}

/* The next item; NULL: it is over. */
static struct work_item *take(struct workers *ws)
{
	struct list *m = NULL;

	(void)pthread_mutex_lock(&ws->lock);
	while (!atomic_load(&ws->is_stopping) && list_is_empty(&ws->queue))
		(void)pthread_cond_wait(&ws->come, &ws->lock);
	if (!atomic_load(&ws->is_stopping)) {
		m = list_shift(&ws->queue);
		ws->waiting--;
	}
	(void)pthread_mutex_unlock(&ws->lock);
	return m == NULL ? NULL : LIST_OBJECT(m, struct work_item, in_queue);
}

static void *work(void *arg)
{
	struct worker *on = arg;
	struct work_item *w;

	while ((w = take(on->of)) != NULL) {
		w->was_run = clock_mono_ms() <= w->until_ms;
		if (w->was_run)
			w->run(w, on);
		loop_post(w->loop, give_back, w);
	}
	if (on->own != NULL)
		on->free_own(on->own);
	return NULL;
}

struct workers *workers_start(size_t count, size_t max_waiting, struct fault *why)
{
	struct workers *ws = must_calloc(1, sizeof(*ws));

	ws->threads = must_calloc(count, sizeof(*ws->threads));
	ws->max_waiting = max_waiting;
	list_init(&ws->queue);
	(void)pthread_mutex_init(&ws->lock, NULL);
	(void)pthread_cond_init(&ws->come, NULL);
	for (size_t i = 0; i < count; i++) {
		int rc;

		ws->threads[i].of = ws;
		rc = pthread_create(&ws->threads[i].thread, NULL, work, &ws->threads[i]);
		if (rc != 0) {
			(void)fault_errno(why, FAULT_OPERATOR, rc, "cannot start a thread");
			workers_free(&ws);
			return NULL;
		}
		(void)pthread_setname_np(ws->threads[i].thread, "login");
		ws->count++;
	}
	return ws;
}

bool workers_add(struct workers *ws, struct work_item *w)
{
	bool may;

	w->was_run = false;
	list_init(&w->in_queue);
	(void)pthread_mutex_lock(&ws->lock);
	may = !atomic_load(&ws->is_stopping) && ws->waiting < ws->max_waiting;
	if (may) {
		list_push(&ws->queue, &w->in_queue);
		ws->waiting++;
		(void)pthread_cond_signal(&ws->come);
	}
	(void)pthread_mutex_unlock(&ws->lock);
	return may;
}

void workers_stop(struct workers *ws)
{
	struct list *m;

	if (ws == NULL || atomic_load(&ws->is_stopping))
		return;
	(void)pthread_mutex_lock(&ws->lock);
	atomic_store(&ws->is_stopping, true);
	(void)pthread_cond_broadcast(&ws->come);
	(void)pthread_mutex_unlock(&ws->lock);
	for (size_t i = 0; i < ws->count; i++)
		(void)pthread_join(ws->threads[i].thread, NULL);
	while ((m = list_shift(&ws->queue)) != NULL) {
		struct work_item *w = LIST_OBJECT(m, struct work_item, in_queue);

		loop_post(w->loop, give_back, w);
	}
}

void workers_free(struct workers **wp)
{
	struct workers *ws = *wp;

	if (ws == NULL)
		return;
	*wp = NULL;
	workers_stop(ws);
	(void)pthread_cond_destroy(&ws->come);
	(void)pthread_mutex_destroy(&ws->lock);
	free(ws->threads);
	free(ws);
}

size_t workers_waiting(struct workers *ws)
{
	size_t n;

	(void)pthread_mutex_lock(&ws->lock);
	n = ws->waiting;
	(void)pthread_mutex_unlock(&ws->lock);
	return n;
}

bool worker_is_stopping(const struct worker *w)
{
	return atomic_load(&w->of->is_stopping);
}

void **worker_own(struct worker *w, void (*free_own)(void *own))
{
	w->free_own = free_own;
	return &w->own;
}
