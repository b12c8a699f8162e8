/* threads.c - the driver's threads as coroutines: one that waits for a condition has nothing to do until it is signalled and
 * its time has come, which for the flusher is how long the disk takes. Locks are never contended, since nobody is interrupted. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <ucontext.h>

#include "alloc.h"
#include "whole.h"

#define STACK (256u << 10)

struct thread {
	struct thread *next;
	struct whole_member *m;
	ucontext_t here, back;
	void *(*fn)(void *);
	void *arg, *stack;
	pthread_cond_t *waits_for; /* NULL: may run at DUE */
	uint64_t due;
	bool is_over;
	loop_fn *work, *done; /* of the pool: instead of FN */
};

static struct thread *running; /* NULL: the member's loop, or the world */
static pthread_cond_t *signalled;

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	(void)lock;
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
	(void)lock;
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	return __wrap_pthread_cond_signal(c);
}

static struct thread *starting;

static void trampoline(void)
{
	struct thread *t = starting;

	if (t->work != NULL) {
		t->work(t->arg);
		loop_post(&t->m->loop, t->done, t->arg);
	} else {
		(void)t->fn(t->arg);
	}
	t->is_over = true;
	(void)swapcontext(&t->here, &t->back);
}

static void resume(struct thread *t)
{
	starting = t; /* where it has not begun yet */
	running = t;
	(void)swapcontext(&t->back, &t->here);
	running = NULL;
}

static struct thread *thread_new(struct whole_member *m, void *arg)
{
	struct thread *t = must_calloc(1, sizeof(*t));

	*t = (struct thread){ .m = m, .next = m->threads, .arg = arg, .stack = must_alloc(STACK) };
	m->threads = t;
	(void)getcontext(&t->here);
	t->here.uc_stack.ss_sp = t->stack;
	t->here.uc_stack.ss_size = STACK;
	makecontext(&t->here, trampoline, 0);
	return t;
}

static void thread_free(struct thread *t)
{
	struct thread **at = &t->m->threads;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t->stack);
	free(t);
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
	struct thread *t = thread_new(w.current, arg);

	(void)a;
	t->fn = fn;
	*id = (pthread_t)(uintptr_t)t;
	resume(t); /* up to where it first waits */
	return 0;
}

void loop_work(struct loop *l, loop_fn *fn, loop_fn *done, void *arg)
{
	struct thread *t = thread_new(l->m, arg);

	t->work = fn;
	t->done = done;
	t->due = w.now + 20 + chance(200);
	if (l->m->disk.slow_until > w.now)
		t->due += chance(500 * MS);
}

int __wrap_pthread_join(pthread_t id, void **result)
{
	struct thread *t = (struct thread *)(uintptr_t)id;

	(void)result;
	while (!t->is_over) {
		assert(t->waits_for == NULL);
		resume(t);
	}
	thread_free(t);
	return 0;
}

/* A loop waits: whoever can do what it waits for does it, and the loop stands still so long. */
static void wait_on_loop(pthread_cond_t *c)
{
	struct whole_member *m = w.current;

	signalled = NULL;
	while (signalled != c) {
		struct thread *t = m->threads;

		while (t != NULL && (t->waits_for != NULL || t->is_over))
			t = t->next;
		assert(t != NULL);
		if (t->due > m->paused_until)
			m->paused_until = t->due;
		resume(t);
	}
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock)
{
	(void)lock;
	if (running == NULL) {
		wait_on_loop(c);
	} else {
		struct thread *t = running;

		t->waits_for = c;
		(void)swapcontext(&t->here, &t->back);
	}
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
	signalled = c;
	for (struct thread *t = w.current->threads; t != NULL; t = t->next) {
		if (t->waits_for != c)
			continue;
		t->waits_for = NULL;
		t->due = w.now + 100 + chance(2 * MS);
		if (w.current->disk.slow_until > w.now)
			t->due += chance(3 * SECOND);
	}
	return 0;
}

uint64_t threads_due(const struct whole_member *m)
{
	uint64_t due = NEVER;

	for (const struct thread *t = m->threads; t != NULL; t = t->next) {
		if (t->waits_for == NULL && !t->is_over && t->due < due)
			due = t->due;
	}
	return due;
}

void threads_run(struct whole_member *m, bool is_all)
{
	for (struct thread *t = m->threads, *next; t != NULL; t = next) {
		next = t->next;
		if (t->waits_for == NULL && !t->is_over && (is_all || t->due <= w.now))
			resume(t);
		if (t->is_over && t->work != NULL)
			thread_free(t);
	}
}
