/* client.c - the clients of a shard, and the ways of their requests to the writer's thread and back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "backend_private.h"

struct watch {
	struct list watchers;
};

static struct shard *shard_of_loop(struct backend *b, const struct loop *loop)
{
	for (size_t i = 0; i < b->loops.count; i++) {
		if (b->shards[i].loop == loop)
			return &b->shards[i];
	}
	return NULL;
}

bool client_enter(struct client *c, struct backend *b, struct conn *conn)
{
	c->backend = b;
	c->conn = conn;
	c->id = conn_id(conn);
	c->shard = shard_of_loop(b, conn_loop(conn));
	assert(c->shard != NULL);
	(void)map_put_u64(&c->shard->clients, c->id, c);
	return !c->shard->is_ending;
}

void client_leave(struct client *c)
{
	client_watch(c, 0);
	(void)map_take_u64(&c->shard->clients, c->id);
	c->conn = NULL;
}

bool backend_may_serve(struct backend *b)
{
	const struct driver *d;
	bool may;

	(void)pthread_rwlock_rdlock(&b->driver_lock);
	d = atomic_load(&b->driver);
	may = d != NULL && driver_may_serve(d);
	(void)pthread_rwlock_unlock(&b->driver_lock);
	return may;
}

void watcher_set(struct shard *s, struct watcher *w, uint64_t key)
{
	struct watch *of;

	if (w->key == key)
		return;
	if (w->key != 0) {
		list_remove(&w->in_watch);
		of = map_get_u64(&s->watched, w->key);
		if (list_is_empty(&of->watchers)) {
			(void)map_take_u64(&s->watched, w->key);
			free(of);
		}
		atomic_fetch_sub(&s->watch_count, 1);
	}
	w->key = key;
	if (key == 0)
		return;
	of = map_get_u64(&s->watched, key);
	if (of == NULL) {
		of = must_alloc(sizeof(*of));
		list_init(&of->watchers);
		(void)map_put_u64(&s->watched, key, of);
	}
	list_push(&of->watchers, &w->in_watch);
	atomic_fetch_add(&s->watch_count, 1);
}

static void client_changed(struct watcher *w, mailbox_id_t mailbox, uint32_t what)
{
	struct client *c = LIST_OBJECT(w, struct client, watcher);

	(void)mailbox;
	c->class->changed(c, what);
}

void client_watch(struct client *c, mailbox_id_t mailbox)
{
	c->watcher.changed = client_changed;
	watcher_set(c->shard, &c->watcher, mailbox);
}

void backend_submit(struct backend *b, struct driver_request *r)
{
	struct driver *d;

	(void)pthread_rwlock_rdlock(&b->driver_lock);
	d = atomic_load(&b->driver);
	if (d != NULL) {
		driver_submit(d, r);
	} else {
		r->answer = (struct intent_answer){ .result = STORE_NOT_MASTER };
		r->had_no_effect = true;
		loop_post(loop_current(), r->done, r->arg);
	}
	(void)pthread_rwlock_unlock(&b->driver_lock);
}

void backend_call_directory(struct backend *b, struct driver_directory_request *r)
{
	struct driver *d;

	(void)pthread_rwlock_rdlock(&b->driver_lock);
	d = atomic_load(&b->driver);
	if (d != NULL) {
		driver_directory(d, r);
	} else {
		r->outcome = MUPDATE_OUTCOME_LOST;
		loop_post(loop_current(), r->done, r->arg);
	}
	(void)pthread_rwlock_unlock(&b->driver_lock);
}

void backend_name_begin(struct backend *b, struct bytes name)
{
	struct driver *d;

	(void)pthread_rwlock_rdlock(&b->driver_lock);
	d = atomic_load(&b->driver);
	if (d != NULL)
		driver_name_begin(d, name);
	(void)pthread_rwlock_unlock(&b->driver_lock);
}

void backend_name_end(struct backend *b, struct bytes name)
{
	struct driver *d;

	(void)pthread_rwlock_rdlock(&b->driver_lock);
	d = atomic_load(&b->driver);
	if (d != NULL)
		driver_name_end(d, name);
	(void)pthread_rwlock_unlock(&b->driver_lock);
}

struct submission *submission_new(struct client *c)
{
	struct submission *s = must_calloc(1, sizeof(*s));

	s->shard = c->shard;
	s->client = c->id;
	return s;
}

void submission_free(struct submission *s)
{
	(void)inflight_set(&s->shard->backend->inflight, &s->share, 0);
	buffer_fini(&s->body);
	arena_fini(&s->arena);
	free(s);
}

/* loop_fn on the client's loop. */
static void submission_back(void *arg)
{
	struct submission *s = arg;
	struct client *c = map_get_u64(&s->shard->clients, s->client);

	if (c != NULL) {
		c->waiting--;
		if (c->class->committed != NULL)
			c->class->committed(c, s);
		s->answered(c, s);
	}
	submission_free(s);
}

void client_submit(struct client *c, struct submission *s, submission_fn *answered)
{
	s->answered = answered;
	s->request.intent = &s->intent;
	s->request.arena = &s->arena;
	s->request.done = submission_back;
	s->request.arg = s;
	c->waiting++;
	backend_submit(c->backend, &s->request);
}

struct client_mending {
	struct driver_mend mend;
	struct shard *shard;
	uint64_t client;
	client_told_fn *told;
};

/* loop_fn on the client's loop. */
static void mending_back(void *arg)
{
	struct client_mending *m = arg;
	struct client *c = map_get_u64(&m->shard->clients, m->client);

	if (c != NULL) {
		c->waiting--;
		m->told(c, m->mend.is_mended);
	}
	free(m);
}

void client_mend(struct client *c, lsn_t lsn, client_told_fn *told)
{
	struct client_mending *m = must_calloc(1, sizeof(*m));
	struct driver *d;

	*m = (struct client_mending){ { .lsn = lsn, .done = mending_back, .arg = m }, c->shard, c->id, told };
	c->waiting++;
	(void)pthread_rwlock_rdlock(&c->backend->driver_lock);
	d = atomic_load(&c->backend->driver);
	if (d != NULL)
		driver_mend(d, &m->mend);
	else
		loop_post(loop_current(), mending_back, m);
	(void)pthread_rwlock_unlock(&c->backend->driver_lock);
}

struct client_working {
	struct shard *shard;
	uint64_t client;
	loop_fn *fn;
	client_worked_fn *told;
	void *arg;
};

/* loop_fn on a pool thread. */
static void working(void *arg)
{
	const struct client_working *w = arg;

	w->fn(w->arg);
}

/* loop_fn on the client's loop. */
static void worked(void *arg)
{
	struct client_working *w = arg;
	struct client *c = map_get_u64(&w->shard->clients, w->client);

	if (c != NULL)
		c->waiting--;
	w->told(c, w->arg);
	free(w);
}

void client_work(struct client *c, loop_fn *fn, client_worked_fn *told, void *arg)
{
	struct client_working *w = must_alloc(sizeof(*w));

	*w = (struct client_working){ c->shard, c->id, fn, told, arg };
	c->waiting++;
	loop_work(c->shard->loop, working, worked, w);
}

void shard_init(struct shard *s, struct backend *b, struct loop *loop)
{
	s->backend = b;
	s->loop = loop;
}

void shard_fini(struct shard *s)
{
	assert(s->clients.n == 0 && s->watched.n == 0);
	map_fini(&s->clients);
	map_fini(&s->watched);
}

struct farewell_message {
	struct shard *shard;
	enum farewell why;
};

static void farewell_here(void *arg)
{
	struct farewell_message *m = arg;
	struct map_iter it = { 0 };
	struct bytes key;
	void *client;

	if (m->why == FAREWELL_STOPPING)
		m->shard->is_ending = true;
	/* A farewell closes a connection; the client leaves only when on_closed comes from the loop. */
	while (map_next(&m->shard->clients, &it, &key, &client)) {
		struct client *c = client;

		c->class->farewell(c, m->why);
	}
	free(m);
}

void shard_farewell(struct shard *s, enum farewell why)
{
	struct farewell_message *m = must_alloc(sizeof(*m));

	*m = (struct farewell_message){ s, why };
	loop_post(s->loop, farewell_here, m);
}

struct change_message {
	struct shard *shard;
	size_t n;
	struct store_change of[];
};

static void tell_watchers(struct shard *s, uint64_t key, const struct store_change *change)
{
	struct watch *of = map_get_u64(&s->watched, key);

	if (of == NULL)
		return;
	LIST_EACH(l, &of->watchers) {
		struct watcher *w = LIST_OBJECT(l, struct watcher, in_watch);

		w->changed(w, change->mailbox, change->what);
	}
}

static void changed_here(void *arg)
{
	const uint32_t of_list = STORE_CHANGE_CREATED | STORE_CHANGE_DELETED | STORE_CHANGE_NAME | STORE_CHANGE_ACL;
	struct change_message *m = arg;

	for (size_t i = 0; i < m->n; i++) {
		tell_watchers(m->shard, m->of[i].mailbox, &m->of[i]);
		if ((m->of[i].what & of_list) != 0)
			tell_watchers(m->shard, WATCH_LIST, &m->of[i]);
	}
	free(m);
}

void shard_changed(struct shard *s, const struct store_changes *changes)
{
	struct change_message *m;

	if (atomic_load(&s->watch_count) == 0 || changes->n == 0)
		return;
	m = must_alloc(sizeof(*m) + changes->n * sizeof(m->of[0]));
	m->shard = s;
	m->n = changes->n;
	memcpy(m->of, changes->of, changes->n * sizeof(m->of[0]));
	loop_post(s->loop, changed_here, m);
}
