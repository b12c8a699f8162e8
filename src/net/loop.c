/* loop.c - a libuv loop with a mailbox. Order of a turn: timers, messages and sockets, then (in uv_prepare, just before
 * the loop would sleep) connections that asked for their input again, then one flush of each connection with output. */
#include "loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "deflater.h"
#include "loop_private.h"

struct post {
	loop_fn *fn;
	void *arg;
};

struct signal_watch {
	uv_signal_t uv;
	struct signal_watch *next;
	loop_fn *fn;
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_async_t async;
	uv_prepare_t prepare;
	uv_idle_t idle; /* active while a list below is not empty, so that the loop does not sleep */
	pthread_t thread;
	bool has_thread;
	bool is_stopping; /* loop's thread only */
	char name[16];
	struct list dirty;
	struct list kicked;
	void (*flush)(struct list *m);
	void (*kick)(struct list *m);
	struct signal_watch *signals;
	uint8_t *scratch;
	struct deflater *deflater; /* NULL until a connection is compressed */

	pthread_mutex_t lock; /* guards the rest */
	struct post *posts;
	size_t post_count, post_cap;
	bool is_ended;
};

struct timer {
	uv_timer_t uv;
	loop_fn *fn;
	void *arg;
};

struct work {
	uv_work_t uv;
	loop_fn *fn, *done;
	void *arg;
};

static _Thread_local struct loop *current;

uv_loop_t *loop_uv(struct loop *l)
{
	return &l->uv;
}

uint8_t *loop_scratch(struct loop *l)
{
	return l->scratch;
}

struct deflater *loop_deflater(struct loop *l)
{
	if (l->deflater == NULL)
		l->deflater = deflater_new();
	return l->deflater;
}

struct list *loop_dirty(struct loop *l)
{
	return &l->dirty;
}

struct list *loop_kicked(struct loop *l)
{
	return &l->kicked;
}

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

void loop_wake(struct loop *l)
{
	if (!uv_is_active((uv_handle_t *)&l->idle) && !l->is_stopping)
		(void)uv_idle_start(&l->idle, on_idle);
}

void loop_set_turn(struct loop *l, void (*flush)(struct list *m), void (*kick)(struct list *m))
{
	l->flush = flush;
	l->kick = kick;
}

struct loop *loop_current(void)
{
	return current;
}

uint64_t loop_now_ms(struct loop *l)
{
	return uv_now(&l->uv);
}

static void run_posts(struct loop *l)
{
	struct post *posts;
	size_t count;

	(void)pthread_mutex_lock(&l->lock);
	posts = l->posts;
	count = l->post_count;
	l->posts = NULL;
	l->post_count = l->post_cap = 0;
	(void)pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < count; i++)
		posts[i].fn(posts[i].arg);
	free(posts);
}

static void on_async(uv_async_t *async)
{
	run_posts(async->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *l = prepare->data;
	struct list now;
	struct list *m;

	list_init(&now);
	while ((m = list_shift(&l->kicked)) != NULL)
		list_push(&now, m);
	while ((m = list_shift(&now)) != NULL)
		l->kick(m);
	do {
		while ((m = list_shift(&l->dirty)) != NULL)
			list_push(&now, m);
		while ((m = list_shift(&now)) != NULL)
			l->flush(m);
		/* What a flush has made dirty again waits for the next turn: a list that its reader takes as fast as it is
		 * written would keep all others waiting. A stopping loop may have no other turn. */
	} while (l->is_stopping && !list_is_empty(&l->dirty));
	if (list_is_empty(&l->kicked) && list_is_empty(&l->dirty))
		(void)uv_idle_stop(&l->idle);
}

struct loop *loop_new(struct fault *why)
{
	struct loop *l = must_calloc(1, sizeof(*l));
	int rc = uv_loop_init(&l->uv);

	if (rc != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "event loop: %s", uv_strerror(rc));
		free(l);
		return NULL;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	list_init(&l->dirty);
	list_init(&l->kicked);
	(void)pthread_mutex_init(&l->lock, NULL);
	l->scratch = must_alloc(LOOP_SCRATCH_SIZE);
	rc = uv_async_init(&l->uv, &l->async, on_async);
	assert(rc == 0);
	(void)uv_prepare_init(&l->uv, &l->prepare);
	(void)uv_idle_init(&l->uv, &l->idle);
	l->async.data = l->prepare.data = l;
	(void)uv_prepare_start(&l->prepare, on_prepare);
	return l;
}

void loop_run(struct loop *l)
{
	struct loop *before = current;

	current = l;
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	(void)pthread_mutex_lock(&l->lock);
	l->is_ended = true;
	(void)pthread_mutex_unlock(&l->lock);
	current = before;
}

static void *thread_main(void *arg)
{
	struct loop *l = arg;

	(void)pthread_setname_np(pthread_self(), l->name);
	loop_run(l);
	return NULL;
}

struct loop *loop_start(const char *name, struct fault *why)
{
	struct loop *l = loop_new(why);
	sigset_t all, old;
	int rc;

	if (l == NULL)
		return NULL;
	for (size_t i = 0; name[i] != '\0' && i + 1 < sizeof(l->name); i++)
		l->name[i] = name[i];
	/* Signals are the main thread's, but those that a thread's own fault raises: blocked, they would end the process before
	 * whoever takes them (kv_damage.c, segment_guard.c) can say which file is damaged. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGSEGV);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&l->thread, NULL, thread_main, l);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, rc, "thread %s", name);
		loop_stop(l);
		loop_run(l);
		loop_join(&l);
		return NULL;
	}
	l->has_thread = true;
	return l;
}

static void free_signal(uv_handle_t *h)
{
	free(LIST_OBJECT(h, struct signal_watch, uv));
}

static void stop_here(void *arg)
{
	struct loop *l = arg;

	if (l->is_stopping)
		return;
	l->is_stopping = true;
	while (l->signals != NULL) {
		struct signal_watch *s = l->signals;

		l->signals = s->next;
		uv_close((uv_handle_t *)&s->uv, free_signal);
	}
	/* The mailbox and the flush at each turn's end serve what is still closing: they no longer keep the loop alive. */
	uv_unref((uv_handle_t *)&l->async);
	uv_unref((uv_handle_t *)&l->prepare);
}

void loop_stop(struct loop *l)
{
	loop_post(l, stop_here, l);
}

void loop_join(struct loop **lp)
{
	struct loop *l = *lp;
	int rc;

	if (l == NULL)
		return;
	if (l->has_thread)
		(void)pthread_join(l->thread, NULL); /* until here the loop's own thread may read *LP */
	*lp = NULL;
	uv_close((uv_handle_t *)&l->async, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	rc = uv_loop_close(&l->uv);
	assert(rc == 0);
	free(l->posts);
	free(l->scratch);
	deflater_free(&l->deflater);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
	bool is_first;

	(void)pthread_mutex_lock(&l->lock);
	if (l->is_ended) {
		(void)pthread_mutex_unlock(&l->lock);
		return;
	}
	if (l->post_count == l->post_cap) {
		l->post_cap = l->post_cap == 0 ? 16 : l->post_cap * 2;
		l->posts = must_realloc(l->posts, l->post_cap, sizeof(*l->posts));
	}
	is_first = l->post_count == 0;
	l->posts[l->post_count++] = (struct post){ fn, arg };
	if (is_first)
		(void)uv_async_send(&l->async);
	(void)pthread_mutex_unlock(&l->lock);
}

static void work_run(uv_work_t *uv)
{
	struct work *w = LIST_OBJECT(uv, struct work, uv);

	w->fn(w->arg);
}

static void work_done(uv_work_t *uv, int status)
{
	struct work *w = LIST_OBJECT(uv, struct work, uv);

	(void)status; /* work is never cancelled */
	w->done(w->arg);
	free(w);
}

void loop_work(struct loop *l, loop_fn *fn, loop_fn *done, void *arg)
{
	struct work *w = must_calloc(1, sizeof(*w));
	int rc;

	w->fn = fn;
	w->done = done;
	w->arg = arg;
	rc = uv_queue_work(&l->uv, &w->uv, work_run, work_done);
	assert(rc == 0);
}

struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg)
{
	struct timer *t = must_calloc(1, sizeof(*t));

	(void)uv_timer_init(&l->uv, &t->uv);
	t->fn = fn;
	t->arg = arg;
	return t;
}

static void on_timer(uv_timer_t *uv)
{
	struct timer *t = LIST_OBJECT(uv, struct timer, uv);

	t->fn(t->arg);
}

void timer_start(struct timer *t, uint64_t ms, uint64_t repeat_ms)
{
	/* uv_now() is the turn's start: a long turn would make the timer fire early. */
	uv_update_time(t->uv.loop);
	(void)uv_timer_start(&t->uv, on_timer, ms, repeat_ms);
}

void timer_stop(struct timer *t)
{
	(void)uv_timer_stop(&t->uv);
}

static void free_timer(uv_handle_t *h)
{
	free(LIST_OBJECT(h, struct timer, uv));
}

void timer_free(struct timer **t)
{
	if (*t != NULL)
		uv_close((uv_handle_t *)&(*t)->uv, free_timer);
	*t = NULL;
}

static void on_signal(uv_signal_t *uv, int signo)
{
	struct signal_watch *s = LIST_OBJECT(uv, struct signal_watch, uv);

	(void)signo;
	s->fn(s->arg);
}

bool loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg, struct fault *why)
{
	struct signal_watch *s = must_calloc(1, sizeof(*s));
	int rc;

	s->fn = fn;
	s->arg = arg;
	(void)uv_signal_init(&l->uv, &s->uv);
	s->next = l->signals;
	l->signals = s;
	rc = uv_signal_start(&s->uv, on_signal, signo);
	return rc == 0 || fault_set(why, FAULT_OPERATOR, "signal %d: %s", signo, uv_strerror(rc));
}

bool loops_start(struct loops *ls, size_t count, struct fault *why)
{
	if (count == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);

		count = cores > 0 ? (size_t)cores : 1;
	}
	ls->at = must_calloc(count, sizeof(*ls->at));
	for (ls->count = 0; ls->count < count; ls->count++) {
		char *name = must_printf("loop-%zu", ls->count);

		ls->at[ls->count] = loop_start(name, why);
		free(name);
		if (ls->at[ls->count] == NULL) {
			loops_stop(ls);
			return false;
		}
	}
	return true;
}

void loops_stop(struct loops *ls)
{
	for (size_t i = 0; i < ls->count; i++)
		loop_stop(ls->at[i]);
	for (size_t i = 0; i < ls->count; i++)
		loop_join(&ls->at[i]);
	free(ls->at);
	*ls = (struct loops){ 0 };
}
