/* dir_writer.c - the writer's thread: the list of waiting changes is taken whole, made in one transaction, and
 * handed back to the loop in its order. A change decides inside the transaction, so two that meet see each other. */
#include "dir_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "alloc.h"
#include "log.h"
#include "record_store.h"

#define BATCH_MAX 4096

struct dir_writer {
	struct kv *kv;
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
	struct dir_writer *writer;
	changes_done_fn *done;
	void *arg;
	struct change *first;
};

struct change *change_new(enum change_kind kind)
{
	struct change *c = must_calloc(1, sizeof(*c));

	c->kind = kind;
	return c;
}

void change_free(struct change **cp)
{
	struct change *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	arena_fini(&c->arena);
	free(c);
}

static enum kv_result refuse(struct change *c, const char *text)
{
	c->is_ok = false;
	c->text = text;
	return KV_OK;
}

/* A member that does not reign is answered positively and changes nothing: it only repeats, perhaps late, what the
 * master has done. */
static enum kv_result may_write(struct kv_txn *t, const struct change *c, bool *may_r)
{
	struct reign reign;
	enum kv_result result;

	*may_r = true;
	if (c->member.n == 0)
		return KV_OK;
	result = reign_get(t, c->server, &reign);
	if (result == KV_OK)
		*may_r = bytes_equal(reign.master, c->member);
	return result;
}

static enum kv_result do_record(struct kv_txn *t, struct change *c)
{
	struct record now;
	struct record_change decided;
	struct bytes deleted_by = BYTES_NONE;
	bool may;
	enum kv_result result = may_write(t, c, &may);

	if (result != KV_OK)
		return result;
	if (!may) {
		c->is_ok = true;
		c->text = "done";
		return KV_OK;
	}
	result = record_get(t, c->name, &now);
	if (result == KV_OK && c->command == RECORD_DELETE && now.state == RECORD_NONE)
		result = record_deleted_by(t, c->name, &deleted_by);
	if (result != KV_OK)
		return result;
	decided = record_decide(c->command, &now, c->location, c->acl, deleted_by, c->server);
	c->is_ok = decided.is_ok;
	c->text = decided.text;
	if (!decided.is_changed)
		return KV_OK;
	c->is_changed = true;
	c->is_move = decided.is_move;
	/* What the decision borrows from the transaction ends with it. */
	c->before = (struct record){ now.state, arena_copy(&c->arena, now.location), BYTES_NONE };
	c->after = (struct record){ decided.next.state, arena_copy(&c->arena, decided.next.location),
		                    arena_copy(&c->arena, decided.next.acl) };
	result = record_put(t, c->name, &c->after);
	if (result == KV_OK && c->command == RECORD_DELETE) {
		struct bytes server = c->before.location;

		server = bytes_sub(server, 0, bytes_find(server, '!'));
		result = record_note_deleted(t, c->name, server);
	}
	return result;
}

static enum kv_result do_reign(struct kv_txn *t, struct change *c)
{
	struct reign now, wanted = c->reign;
	const char *refusal = NULL;
	enum kv_result result = reign_get(t, c->server, &now);

	if (result != KV_OK)
		return result;
	c->reign = (struct reign){ now.epoch, arena_copy(&c->arena, now.master), arena_copy(&c->arena, now.in_sync) };
	if (c->kind == CHANGE_REIGN)
		refusal = reign_refusal(&now, c->member, c->asked_epoch, wanted.master, wanted.in_sync);
	else if (c->kind == CHANGE_FIRST_REIGN && now.epoch > 0)
		refusal = "the server has a configuration";
	if (refusal != NULL)
		return refuse(c, arena_printf(&c->arena, "%s: epoch is %llu", refusal, (unsigned long long)now.epoch));
	if (c->kind != CHANGE_FIRST_REIGN)
		wanted.epoch = now.epoch + 1;
	c->is_ok = true;
	c->is_changed = true;
	c->text = "done";
	c->reign = wanted;
	return reign_put(t, c->server, &wanted);
}

static bool do_all(struct kv_txn *t, struct change *first)
{
	for (struct change *c = first; c != NULL; c = c->next) {
		enum kv_result result = c->kind == CHANGE_RECORD ? do_record(t, c) : do_reign(t, c);

		if (result != KV_OK)
			return false;
	}
	return true;
}

static void do_batch(struct dir_writer *w, struct change *first)
{
	struct fault why;
	struct kv_txn *t = kv_write(w->kv, &why);
	bool ok = t != NULL;

	if (ok && !do_all(t, first)) {
		(void)fault_set(&why, FAULT_OPERATOR, "the directory's store cannot be written: see the line before");
		ok = false;
		kv_end(&t);
	}
	ok = ok && kv_commit(&t, &why);
	if (ok) {
		(void)atomic_fetch_add(&w->commits, 1);
		return;
	}
	log_event(LOG_ERROR, "directory.write.failed", LOG_FAULT(&why));
	for (struct change *c = first; c != NULL; c = c->next) {
		c->is_changed = false;
		(void)refuse(c, "the directory cannot write now");
	}
}

static void deliver(void *arg)
{
	struct batch *b = arg;

	b->done(b->arg, b->first);
	free(b);
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
		struct batch *b = must_alloc(sizeof(*b));

		do_batch(w, first);
		for (struct change *c = first; c != NULL; c = c->next)
			(void)atomic_fetch_add(&w->changes, 1);
		*b = (struct batch){ w, w->done, w->arg, first };
		loop_post(w->loop, deliver, b);
	}
	return NULL;
}

struct dir_writer *dir_writer_start(struct kv *kv, struct loop *l, changes_done_fn *done, void *arg, struct fault *why)
{
	struct dir_writer *w = must_calloc(1, sizeof(*w));
	int rc;

	w->kv = kv;
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
