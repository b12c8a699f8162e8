/* dir_follow.c - the thread that follows: what the master says is put into the copy, committed when the turn is over or
 * BATCH_PUTS are put, and its changes go to the home loop.
 *
 * The copy is not synced: see kv_copy.h. */
#include "dir_follow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dir_mirror.h"
#include "kv_copy.h"
#include "log.h"
#include "mupdate_client.h"
#include "record_store.h"

#define BATCH_PUTS 8192
/* So many changes may wait for the home loop before the thread waits, and so many are given to it at once. */
#define WAITING_MAX 65536
#define GIVE_MAX 2048
#define KICK_MS 3000
#define MUPDATE_PORT 3905

struct dir_follow {
	const struct config *config;
	struct kv *copy;
	struct loop *home, *own;
	struct tls_context *tls;
	const struct dir_follow_events *events;
	void *arg;

	/* Of the own loop. */
	struct dir_mirror *mirror;
	struct mupdate_client *client;
	struct timer *commit, *patience;
	size_t puts;      /* since the commit */
	bool is_skipping; /* a put has failed: nothing is taken until the next list begins */
	struct change *kicks, **kicks_last; /* each waits for the answer to a NOOP */
	size_t kick_count, given_up;        /* answers that are due to nobody */

	atomic_bool is_connected;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t taken;
	struct change *first, **last; /* for the home loop */
	size_t waiting;
	bool is_posted, is_stopping;
	bool is_complete, is_complete_told; /* once what waits is given */
};

char *dir_follow_path(const struct config *c)
{
	return must_printf("%s/directory-followed", config_string(c, "configdirectory"));
}

struct kv *dir_follow_open(const struct config *c, bool *is_complete_r, struct fault *why)
{
	char *dir = dir_follow_path(c);
	struct kv *kv = record_store_open_copy(dir, (size_t)config_number(c, "index_map_size"), is_complete_r, why);

	free(dir);
	return kv;
}

/* To the home loop. */

static void give(void *arg)
{
	struct dir_follow *f = arg;
	struct change *first, *last;
	size_t n = 1;
	bool is_complete;

	(void)pthread_mutex_lock(&f->lock);
	first = last = f->first;
	for (; last != NULL && last->next != NULL && n < GIVE_MAX; n++)
		last = last->next;
	if (last == NULL) {
		n = 0;
	} else {
		f->first = last->next;
		last->next = NULL;
	}
	if (f->first == NULL)
		f->last = &f->first;
	f->waiting -= n;
	is_complete = f->first == NULL && f->is_complete && !f->is_complete_told;
	f->is_complete_told = f->is_complete_told || is_complete;
	f->is_posted = f->first != NULL;
	if (f->is_posted)
		loop_post(f->home, give, f);
	(void)pthread_cond_signal(&f->taken);
	(void)pthread_mutex_unlock(&f->lock);
	if (first != NULL)
		f->events->on_changes(f->arg, first);
	if (is_complete)
		f->events->on_complete(f->arg);
}

/* COUNT changes from FIRST; waits where too many wait already. */
static void deliver(struct dir_follow *f, struct change *first, size_t count, bool is_complete)
{
	(void)pthread_mutex_lock(&f->lock);
	while (f->waiting > WAITING_MAX && !f->is_stopping)
		(void)pthread_cond_wait(&f->taken, &f->lock);
	*f->last = first;
	while (*f->last != NULL)
		f->last = &(*f->last)->next;
	f->waiting += count;
	f->is_complete = f->is_complete || is_complete;
	if (!f->is_posted) {
		f->is_posted = true;
		loop_post(f->home, give, f);
	}
	(void)pthread_mutex_unlock(&f->lock);
}

/* The stream. */

static void fail(struct dir_follow *f, const struct fault *why)
{
	log_event(LOG_ERROR, "directory.follow.failed", LOG_FAULT(why));
	f->is_skipping = true;
	f->puts = 0;
	if (f->client != NULL)
		mupdate_client_again(f->client, why->what);
}

static void commit(void *arg)
{
	struct dir_follow *f = arg;
	size_t count = dir_mirror_pending(f->mirror);
	struct change *first;
	struct fault why;

	if (f->puts == 0)
		return;
	f->puts = 0;
	if (!dir_mirror_commit(f->mirror, &first, &why))
		fail(f, &why);
	else if (first != NULL)
		deliver(f, first, count, false);
}

static void put(struct dir_follow *f, struct bytes name, const struct record *record)
{
	struct fault why;

	if (f->is_skipping)
		return;
	if (f->puts++ == 0)
		timer_start(f->commit, 0, 0);
	if (!dir_mirror_put(f->mirror, name, record, BYTES_NONE, &why))
		fail(f, &why);
	else if (f->puts >= BATCH_PUTS)
		commit(f);
}

static void on_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	const struct record record = { is_active ? RECORD_ACTIVE : RECORD_RESERVED, location, acl };

	put(arg, name, &record);
}

static void on_deleted(void *arg, struct bytes name)
{
	static const struct record none = { .state = RECORD_NONE };

	put(arg, name, &none);
}

static void on_list_begin(void *arg)
{
	struct dir_follow *f = arg;
	struct fault why;

	f->is_skipping = false;
	f->puts++;
	if (!dir_mirror_list_begin(f->mirror, &why))
		fail(f, &why);
}

/* Remove what the list did not have, in as many transactions as that takes. */
static void on_list_end(void *arg)
{
	struct dir_follow *f = arg;
	bool has_more = true;
	struct fault why;
	char *dir;

	while (has_more && !f->is_skipping) {
		f->puts++;
		if (!dir_mirror_list_end(f->mirror, &has_more, &why))
			fail(f, &why);
		else
			commit(f);
	}
	if (f->is_skipping)
		return;
	dir = dir_follow_path(f->config);
	if (!kv_copy_mark(dir, false, &why))
		log_event(LOG_ERROR, "directory.follow.failed", LOG_FAULT(&why));
	free(dir);
	log_event(LOG_INFO, "directory.follow.complete");
	deliver(f, NULL, 0, true);
}

static void on_up(void *arg, bool is_roost)
{
	struct dir_follow *f = arg;

	(void)is_roost;
	atomic_store(&f->is_connected, true);
}

static void on_down(void *arg)
{
	struct dir_follow *f = arg;

	atomic_store(&f->is_connected, false);
	commit(f);
}

static const struct mupdate_client_events events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_list_begin = on_list_begin,
	.on_record = on_record,
	.on_deleted = on_deleted,
	.on_list_end = on_list_end,
};

/* Kicks. */

static struct change *take_kick(struct dir_follow *f)
{
	struct change *c = f->kicks;

	if (c == NULL)
		return NULL;
	f->kicks = c->next;
	if (f->kicks == NULL) {
		f->kicks_last = &f->kicks;
		timer_stop(f->patience);
	}
	c->next = NULL;
	f->kick_count--;
	return c;
}

static void kick_answered(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct dir_follow *f = arg;

	(void)outcome;
	(void)text;
	if (f->given_up > 0) {
		f->given_up--;
		return;
	}
	commit(f);
	deliver(f, take_kick(f), 1, false);
}

static void patience_over(void *arg)
{
	struct dir_follow *f = arg;

	f->given_up += f->kick_count;
	commit(f);
	while (f->kicks != NULL)
		deliver(f, take_kick(f), 1, false);
}

struct kick {
	struct dir_follow *f;
	struct change *c;
};

static void kick(void *arg)
{
	struct kick *k = arg;
	struct dir_follow *f = k->f;

	*f->kicks_last = k->c;
	f->kicks_last = &k->c->next;
	f->kick_count++;
	free(k);
	if (f->client == NULL || !mupdate_client_send(f->client, "NOOP", NULL, 0, NULL, kick_answered, f)) {
		commit(f);
		deliver(f, take_kick(f), 1, false);
	} else if (f->kick_count == 1) {
		timer_start(f->patience, KICK_MS, 0);
	}
}

void dir_follow_kick(struct dir_follow *f, struct change *c)
{
	struct kick *k = must_alloc(sizeof(*k));

	c->next = NULL;
	*k = (struct kick){ f, c };
	loop_post(f->own, kick, k);
}

bool dir_follow_is_connected(const struct dir_follow *f)
{
	return atomic_load(&f->is_connected);
}

char *dir_follow_url(const struct config *c)
{
	uint64_t port = config_number(c, "mupdate_port");
	struct bytes word = BYTES_NONE;

	(void)config_word(c, "mupdate_server", 0, &word);
	if (port == MUPDATE_PORT || bytes_find(word, ':') < word.n)
		return must_printf("mupdate://%.*s", BYTES_FMT(word));
	return must_printf("mupdate://%.*s:%llu", BYTES_FMT(word), (unsigned long long)port);
}

/* Life. */

static void begin_here(void *arg)
{
	struct dir_follow *f = arg;
	const struct mupdate_client_options o = {
		.config = f->config, .tls = f->tls, .is_follower = true, .events = &events, .arg = f
	};

	f->commit = timer_new(f->own, commit, f);
	f->patience = timer_new(f->own, patience_over, f);
	f->client = mupdate_client_start(f->own, &o);
}

static void end_here(void *arg)
{
	struct dir_follow *f = arg;

	mupdate_client_stop(&f->client);
	commit(f);
	timer_free(&f->commit);
	timer_free(&f->patience);
}

struct dir_follow *dir_follow_start(const struct config *c, struct kv *copy, struct loop *home, struct tls_context *tls,
                                    const struct dir_follow_events *told, void *arg, struct fault *why)
{
	struct dir_follow *f = must_calloc(1, sizeof(*f));

	f->config = c;
	f->copy = copy;
	f->home = home;
	f->tls = tls;
	f->events = told;
	f->arg = arg;
	f->last = &f->first;
	f->kicks_last = &f->kicks;
	f->own = loop_start("follow", why);
	if (f->own == NULL) {
		free(f);
		return NULL;
	}
	f->mirror = dir_mirror_new(copy);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->taken, NULL);
	loop_post(f->own, begin_here, f);
	return f;
}

static void free_changes(struct change *first)
{
	while (first != NULL) {
		struct change *c = first;

		first = c->next;
		change_free(&c);
	}
}

void dir_follow_stop(struct dir_follow **fp)
{
	struct dir_follow *f = *fp;
	struct fault why;
	char *dir;

	if (f == NULL)
		return;
	*fp = NULL;
	(void)pthread_mutex_lock(&f->lock);
	f->is_stopping = true;
	(void)pthread_cond_signal(&f->taken);
	(void)pthread_mutex_unlock(&f->lock);
	loop_post(f->own, end_here, f);
	loop_stop(f->own);
	loop_join(&f->own);
	dir = dir_follow_path(f->config);
	if (kv_copy_is_whole(dir) && (!kv_sync(f->copy, &why) || !kv_copy_mark(dir, true, &why)))
		log_event(LOG_WARNING, "directory.follow.failed", LOG_FAULT(&why));
	free(dir);
	free_changes(f->first);
	free_changes(f->kicks);
	dir_mirror_free(&f->mirror);
	(void)pthread_mutex_destroy(&f->lock);
	(void)pthread_cond_destroy(&f->taken);
	free(f);
}
