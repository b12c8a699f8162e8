/* dir_etcd.c - start, stop, and what the threads hand to the loop. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "alloc.h"
#include "clock.h"
#include "dir_etcd_private.h"
#include "log.h"

#define CALL_MS 2000

uint64_t dir_etcd_now_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void dir_etcd_pause(struct dir_etcd *e, unsigned ms, bool until_saying)
{
	const struct timespec until = clock_deadline(ms);

	(void)pthread_mutex_lock(&e->lock);
	while (!atomic_load(&e->is_stopping) && !(until_saying && e->sayings != NULL)) {
		if (pthread_cond_timedwait(&e->wake, &e->lock, &until) != 0)
			break;
	}
	(void)pthread_mutex_unlock(&e->lock);
}

void dir_etcd_key(const struct dir_etcd *e, struct buffer *to, const char *table, struct bytes name)
{
	buffer_clear(to);
	buffer_add(to, e->prefix);
	buffer_add_str(to, table);
	buffer_add(to, name);
}

void presence_free(struct presence **pp)
{
	struct presence *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	arena_fini(&p->arena);
	free(p);
}

struct delivery {
	struct dir_etcd *e;
	struct change *changes;
	struct presence *heard;
};

static void give(void *arg)
{
	struct delivery *d = arg;
	struct dir_etcd *e = d->e;

	if (d->changes != NULL)
		e->events->on_changes(e->arg, d->changes);
	while (d->heard != NULL) {
		struct presence *p = d->heard;

		d->heard = p->next;
		e->events->on_presence(e->arg, p);
	}
	free(d);
}

/* Whatever is posted is posted under the lock, so that chains keep their order. */
static void answer_waiting(struct dir_etcd *e, int64_t revision)
{
	while (e->waiting != NULL && e->waiting->revision <= revision) {
		struct waiting *w = e->waiting;

		e->waiting = w->next;
		if (e->waiting == NULL)
			e->waiting_last = &e->waiting;
		dir_writer_deliver(e->writer, w->first);
		free(w);
	}
}

void dir_etcd_deliver(struct dir_etcd *e, struct change *changes, struct presence *heard, int64_t revision)
{
	(void)pthread_mutex_lock(&e->lock);
	if (changes != NULL || heard != NULL) {
		struct delivery *d = must_alloc(sizeof(*d));

		*d = (struct delivery){ e, changes, heard };
		loop_post(e->loop, give, d);
	}
	if (revision > 0)
		atomic_store(&e->copied, revision);
	answer_waiting(e, atomic_load(&e->copied));
	(void)pthread_mutex_unlock(&e->lock);
}

struct reach {
	struct dir_etcd *e;
	bool is_in_reach;
};

static void tell_reach(void *arg)
{
	struct reach *r = arg;

	r->e->events->on_reach(r->e->arg, r->is_in_reach);
	free(r);
}

void dir_etcd_check_reach(struct dir_etcd *e)
{
	bool is_in_reach;

	(void)pthread_mutex_lock(&e->lock);
	is_in_reach = e->holds_lease && atomic_load(&e->copied) > 0;
	if (is_in_reach != e->is_in_reach) {
		struct reach *r = must_alloc(sizeof(*r));

		e->is_in_reach = is_in_reach;
		*r = (struct reach){ e, is_in_reach };
		loop_post(e->loop, tell_reach, r);
	}
	(void)pthread_mutex_unlock(&e->lock);
}

void dir_etcd_say(struct dir_etcd *e, struct bytes key, const struct bytes *value)
{
	struct saying *s = must_calloc(1, sizeof(*s));

	dir_etcd_key(e, &s->key, "", key);
	s->is_gone = value == NULL;
	if (value != NULL)
		buffer_add(&s->value, *value);
	(void)pthread_mutex_lock(&e->lock);
	*e->sayings_last = s;
	e->sayings_last = &s->next;
	(void)pthread_cond_broadcast(&e->wake);
	(void)pthread_mutex_unlock(&e->lock);
}

struct bytes dir_etcd_owner(const struct dir_etcd *e)
{
	return bytes_of(e->owner);
}

/* A password goes in the clear only to this machine, unless allowed. */
static bool check_endpoints(const struct config *c, struct fault *why)
{
	static const char *const near[] = { "http://127.", "http://localhost:", "http://[::1]" };
	struct bytes url;

	for (size_t i = 0; config_word(c, "etcd_endpoints", i, &url); i++) {
		bool is_near = false;

		for (size_t j = 0; j < sizeof(near) / sizeof(near[0]); j++)
			is_near = is_near || bytes_starts(url, bytes_of(near[j]));
		if (bytes_starts(url, BYTES_LIT("http://")) && !is_near && config_string(c, "etcd_user") != NULL &&
		    !config_switch(c, "allowplaintext"))
			return config_fault(c, "etcd_endpoints", why,
			                    "%.*s would send the password in the clear: use https://, or set allowplaintext: yes",
			                    BYTES_FMT(url));
	}
	return true;
}

static struct etcd *open_client(const struct config *c, struct buffer *endpoints, struct fault *why)
{
	struct etcd_options o = {
		.ca_file = config_string(c, "etcd_ca_file"),
		.cert_file = config_string(c, "etcd_cert_file"),
		.key_file = config_string(c, "etcd_key_file"),
		.user = config_string(c, "etcd_user"),
		.password = config_string(c, "etcd_password"),
		.timeout_ms = CALL_MS,
	};
	struct etcd *client;
	struct bytes url;

	buffer_clear(endpoints);
	for (size_t i = 0; config_word(c, "etcd_endpoints", i, &url); i++) {
		buffer_add_str(endpoints, i > 0 ? " " : "");
		buffer_add(endpoints, url);
	}
	o.endpoints = buffer_bytes(endpoints);
	client = etcd_open(&o, why);
	if (client == NULL)
		(void)config_fault(c, "etcd_endpoints", why, "%s", why->what);
	return client;
}

struct etcd *dir_etcd_client(const struct config *c, struct fault *why)
{
	struct buffer endpoints = { 0 };
	struct etcd *client = NULL;

	if (check_endpoints(c, why))
		client = open_client(c, &endpoints, why);
	buffer_fini(&endpoints);
	return client;
}

static bool open_all(struct dir_etcd *e, struct fault *why)
{
	int rc;

	e->writing = dir_etcd_client(e->config, why);
	e->watching = e->writing == NULL ? NULL : dir_etcd_client(e->config, why);
	e->leasing = e->watching == NULL ? NULL : dir_etcd_client(e->config, why);
	if (e->leasing == NULL)
		return false;
	rc = pthread_create(&e->watcher, NULL, dir_etcd_watcher, e);
	e->has_watcher = rc == 0;
	if (rc == 0) {
		rc = pthread_create(&e->keeper, NULL, dir_etcd_keeper, e);
		e->has_keeper = rc == 0;
	}
	return rc == 0 || fault_errno(why, FAULT_OPERATOR, rc, "a thread for etcd");
}

struct dir_etcd *dir_etcd_start(const struct config *c, struct kv *copy, struct loop *l, const struct dir_etcd_events *events,
                                void *arg, struct fault *why)
{
	struct dir_etcd *e = must_calloc(1, sizeof(*e));
	pthread_condattr_t monotonic;
	uint64_t id = 0;

	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		free(e);
		(void)fault_set(why, FAULT_OPERATOR, "the system gives no random numbers");
		return NULL;
	}
	(void)snprintf(e->owner, sizeof(e->owner), "%016" PRIx64, id);
	e->config = c;
	e->copy = copy;
	e->loop = l;
	e->events = events;
	e->arg = arg;
	e->prefix = bytes_of(config_string(c, "etcd_prefix"));
	e->mirror = dir_mirror_new(copy);
	e->heard_last = &e->heard;
	e->waiting_last = &e->waiting;
	e->sayings_last = &e->sayings;
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&e->wake, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	if (!open_all(e, why))
		dir_etcd_stop(&e);
	return e;
}

void dir_etcd_give_up(struct dir_etcd *e)
{
	if (e == NULL)
		return;
	(void)pthread_mutex_lock(&e->lock);
	atomic_store(&e->is_stopping, true);
	(void)pthread_cond_broadcast(&e->wake);
	(void)pthread_mutex_unlock(&e->lock);
}

static void free_sayings(struct dir_etcd *e)
{
	while (e->sayings != NULL) {
		struct saying *s = e->sayings;

		e->sayings = s->next;
		buffer_fini(&s->key);
		buffer_fini(&s->value);
		free(s);
	}
}

void dir_etcd_stop(struct dir_etcd **ep)
{
	struct dir_etcd *e = *ep;

	if (e == NULL)
		return;
	dir_etcd_give_up(e);
	if (e->has_watcher)
		(void)pthread_join(e->watcher, NULL);
	if (e->has_keeper)
		(void)pthread_join(e->keeper, NULL);
	*ep = NULL;
	while (e->waiting != NULL) {
		struct waiting *at = e->waiting;

		e->waiting = at->next;
		while (at->first != NULL) {
			struct change *c = at->first;

			at->first = c->next;
			change_free(&c);
		}
		free(at);
	}
	while (e->heard != NULL) {
		struct presence *p = e->heard;

		e->heard = p->next;
		presence_free(&p);
	}
	free_sayings(e);
	dir_etcd_forget(e, true);
	dir_mirror_free(&e->mirror);
	etcd_close(&e->writing);
	etcd_close(&e->watching);
	etcd_close(&e->leasing);
	(void)pthread_mutex_destroy(&e->lock);
	(void)pthread_cond_destroy(&e->wake);
	free(e);
}
