/* dir_writer.c - the writer's thread: the list of waiting changes is taken whole and given to the store. */
#include "dir_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "alloc.h"

#define BATCH_MAX 4096

struct dir_writer {
	write_batch_fn *batch;
	void *batch_arg;
	struct loop *loop;
	changes_done_fn *done;
	void *arg;
	pthread_t thread;
	atomic_uint_fast64_t commits, changes;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t wake;
	struct change *first, **last;
	bool is_stopping;
};

struct batch {
	changes_done_fn *done;
	void *arg;
	struct change *first;
};

static void deliver(void *arg)
{
	struct batch *b = arg;

	b->done(b->arg, b->first);
	free(b);
}

void dir_writer_deliver(struct dir_writer *w, struct change *first)
{
	struct batch *b = must_alloc(sizeof(*b));

	*b = (struct batch){ w->done, w->arg, first };
	loop_post(w->loop, deliver, b);
}

void dir_writer_count(struct dir_writer *w, uint64_t commits)
{
	(void)atomic_fetch_add(&w->commits, commits);
}

/* Take up to BATCH_MAX waiting changes; NULL: stop. */
static struct change *take(struct dir_writer *w)
{
	struct change *first;
	struct change *last;

	(void)pthread_mutex_lock(&w->lock);
	while (w->first == NULL && !w->is_stopping)
		(void)pthread_cond_wait(&w->wake, &w->lock);
	first = last = w->first;
	for (size_t n = 1; last != NULL && last->next != NULL && n < BATCH_MAX; n++)
		last = last->next;
	if (last != NULL) {
		w->first = last->next;
		last->next = NULL;
		if (w->first == NULL)
			w->last = &w->first;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return first;
}

static void *run(void *arg)
{
	struct dir_writer *w = arg;
	struct change *first;

	while ((first = take(w)) != NULL) {
		for (struct change *c = first; c != NULL; c = c->next)
			(void)atomic_fetch_add(&w->changes, 1);
		w->batch(w->batch_arg, w, first);
	}
	return NULL;
}

struct dir_writer *dir_writer_start(write_batch_fn *batch, void *batch_arg, struct loop *l, changes_done_fn *done, void *arg,
                                    struct fault *why)
{
	struct dir_writer *w = must_calloc(1, sizeof(*w));
	int rc;

	w->batch = batch;
	w->batch_arg = batch_arg;
	w->loop = l;
	w->done = done;
	w->arg = arg;
	w->last = &w->first;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	rc = pthread_create(&w->thread, NULL, run, w);
	if (rc != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, rc, "the writer's thread");
		free(w);
		return NULL;
	}
	return w;
}

void dir_writer_submit(struct dir_writer *w, struct change *c)
{
	c->next = NULL;
	(void)pthread_mutex_lock(&w->lock);
	*w->last = c;
	w->last = &c->next;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

void dir_writer_stop(struct dir_writer **wp)
{
	struct dir_writer *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	(void)pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

void dir_writer_counts(const struct dir_writer *w, uint64_t *commits_r, uint64_t *changes_r)
{
	*commits_r = atomic_load(&w->commits);
	*changes_r = atomic_load(&w->changes);
}
