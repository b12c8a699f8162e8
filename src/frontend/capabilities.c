/* capabilities.c - a connection to each server when it is needed (here), and what all of them offer (capabilities_merge.c).
 *
 * All servers belong to the home loop; what sessions read is made anew there at each change, under a lock. A look that fails (no master, not
 * reached, refused) is repeated, ever less often; until one succeeds what was known of the server stays. */
#include "capabilities.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "capabilities_merge.h"
#include "fe_imap_login.h"
#include "imap_response.h"
#include "log.h"

#define DIAL_MS 3000
#define TALK_MS 5000
#define FIRST_PAUSE_MS 250
#define LAST_PAUSE_MS 60000
#define SETTLE_MS 5000 /* whoever is not known then does not keep clients away */
#define LOOKS_AT_ONCE 16
#define LINE_MAX_OCTETS 65536
#define KEY_PREFIX "capabilities/"

struct known {
	struct capabilities *owner;
	char name[PLACES_SERVER_MAX]; /* lower case */
	struct buffer offered;        /* empty: not known; changed under the lock */
	bool was_heard_of;            /* in this life */
	bool was_looked_at;           /* or could not be */
	struct look *look;            /* under way */
	bool again;                   /* it changed meanwhile */
	struct timer *retry;
	uint64_t pause_ms;
};

/* One connection to a server's master. */
struct look {
	struct known *known; /* NULL: nobody wants to know any more */
	struct conn *conn;
	char address[PLACES_ADDRESS_MAX];
	struct imap_login login;
	bool is_done;
};

struct capabilities {
	struct frontend *fe;
	struct map servers; /* struct known by its name */
	size_t looks;       /* under way */
	struct timer *settle;
	bool is_list_whole, is_stopped;
	pthread_mutex_t lock; /* guards what follows, and OFFERED of each server */
	struct buffer inside, outside;
	atomic_uint_fast64_t version;
	atomic_uint features;
	atomic_bool is_settled;
};

static void try_look(void *arg);

static void lower_name(char to[PLACES_SERVER_MAX], struct bytes name)
{
	size_t n = name.n < PLACES_SERVER_MAX - 1 ? name.n : PLACES_SERVER_MAX - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)ascii_lower(name.p[i]);
	to[n] = '\0';
}

static void consider_settled(struct capabilities *c)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	if (!c->is_list_whole || atomic_load(&c->is_settled))
		return;
	while (map_next(&c->servers, &it, &key, &value)) {
		const struct known *k = value;

		if (!k->was_looked_at)
			return;
	}
	atomic_store(&c->is_settled, true);
}

static void settle_now(void *arg)
{
	struct capabilities *c = arg;

	atomic_store(&c->is_settled, true);
}

/* What is offered now, to all who ask from here on. */
static void merge(struct capabilities *c)
{
	struct bytes *of = must_calloc(c->servers.n + 1, sizeof(*of));
	struct buffer inside = { 0 }, outside = { 0 };
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;
	size_t n = 0;
	unsigned features;

	while (map_next(&c->servers, &it, &key, &value)) {
		const struct known *k = value;

		if (k->offered.n > 0)
			of[n++] = buffer_bytes(&k->offered);
	}
	capabilities_merge(of, n, c->fe->max_message, &outside, &inside, &features);
	free(of);
	(void)pthread_mutex_lock(&c->lock);
	if (!bytes_equal(buffer_bytes(&inside), buffer_bytes(&c->inside)) || !bytes_equal(buffer_bytes(&outside), buffer_bytes(&c->outside))) {
		struct buffer old = c->inside;

		c->inside = inside;
		inside = old;
		old = c->outside;
		c->outside = outside;
		outside = old;
		atomic_store(&c->features, features);
		(void)atomic_fetch_add(&c->version, 1);
	}
	(void)pthread_mutex_unlock(&c->lock);
	buffer_fini(&inside);
	buffer_fini(&outside);
}

static void keep(struct capabilities *c, const struct known *k)
{
	struct buffer key = { 0 };

	buffer_add_str(&key, KEY_PREFIX);
	buffer_add_str(&key, k->name);
	places_note(c->fe->places, buffer_bytes(&key), buffer_bytes(&k->offered));
	buffer_fini(&key);
}

static void set_offered(struct capabilities *c, struct known *k, struct bytes offered)
{
	bool is_new;

	(void)pthread_mutex_lock(&c->lock);
	is_new = !bytes_equal(offered, buffer_bytes(&k->offered));
	if (is_new) {
		buffer_clear(&k->offered);
		buffer_add(&k->offered, offered);
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (!is_new)
		return;
	log_event(LOG_INFO, "frontend.capabilities.changed", LOG_STR("server", k->name), LOG_BYTES("offered", offered));
	keep(c, k);
	merge(c);
}

static struct known *known_of(struct capabilities *c, struct bytes server, bool create)
{
	char name[PLACES_SERVER_MAX];
	struct known *k;

	lower_name(name, server);
	k = map_get(&c->servers, bytes_of(name));
	if (k == NULL && create) {
		k = must_calloc(1, sizeof(*k));
		k->owner = c;
		(void)snprintf(k->name, sizeof(k->name), "%s", name);
		k->retry = timer_new(c->fe->home, try_look, k);
		k->pause_ms = FIRST_PAUSE_MS;
		(void)pthread_mutex_lock(&c->lock);
		(void)map_put(&c->servers, bytes_of(name), k);
		(void)pthread_mutex_unlock(&c->lock);
	}
	return k;
}

static void drop(struct capabilities *c, struct known *k)
{
	(void)pthread_mutex_lock(&c->lock);
	(void)map_take(&c->servers, bytes_of(k->name));
	(void)pthread_mutex_unlock(&c->lock);
	if (k->look != NULL) {
		k->look->known = NULL;
		conn_abort(k->look->conn);
	}
	timer_free(&k->retry);
	buffer_fini(&k->offered);
	free(k);
}

/* Looking. */

static void look_is_over(struct capabilities *c, struct known *k, bool is_known)
{
	k->was_looked_at = true;
	if (k->again) {
		k->again = false;
		k->pause_ms = FIRST_PAUSE_MS;
		timer_start(k->retry, 0, 0);
	} else if (!is_known) {
		timer_start(k->retry, k->pause_ms, 0);
		k->pause_ms = k->pause_ms * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : k->pause_ms * 2;
	}
	consider_settled(c);
}

static void go_on(struct look *l, enum imap_login_result result, const char *why)
{
	struct capabilities *c = l->known->owner;

	if (result == IMAP_LOGIN_FAILED) {
		log_event(LOG_DEBUG, "frontend.capabilities.unknown", LOG_STR("server", l->known->name), LOG_STR("why", why));
		conn_abort(l->conn);
	} else if (result == IMAP_LOGIN_DONE) {
		l->is_done = true;
		if (!l->known->again)
			set_offered(c, l->known, buffer_bytes(&l->login.capabilities));
		conn_write(l->conn, BYTES_LIT("FQ LOGOUT\r\n"));
		conn_close(l->conn);
	}
}

static void on_input(struct conn *conn, void *arg)
{
	struct look *l = arg;

	while (l->known != NULL && !l->is_done) {
		struct bytes in = conn_input(conn);
		size_t n = bytes_find(in, '\n');
		struct buffer line = { 0 };
		const char *why = "a line without end";
		enum imap_login_result result;

		if (n == in.n) {
			if (in.n > LINE_MAX_OCTETS)
				go_on(l, IMAP_LOGIN_FAILED, why);
			return;
		}
		/* The connection's input may go with a TLS handshake: take the line first. */
		buffer_add(&line, bytes_sub(in, 0, n + 1));
		conn_consume(conn, n + 1);
		result = imap_login_line(&l->login, conn, buffer_bytes(&line), &why);
		buffer_fini(&line);
		go_on(l, result, why);
		if (result == IMAP_LOGIN_FAILED)
			return;
	}
}

static void on_ready(struct conn *conn, void *arg)
{
	struct look *l = arg;
	const char *why = NULL;

	conn_set_timeout(conn, TALK_MS); /* then it is aborted */
	if (l->known != NULL)
		go_on(l, imap_login_ready(&l->login, conn, &why), why);
}

static void on_closed(struct conn *conn, void *arg, const struct fault *why)
{
	struct look *l = arg;
	struct known *k = l->known;

	(void)conn;
	(void)why;
	if (k != NULL) {
		k->look = NULL;
		k->owner->looks--;
		look_is_over(k->owner, k, l->is_done);
	}
	imap_login_fini(&l->login);
	free(l);
}

static const struct conn_events look_events = { .on_ready = on_ready, .on_input = on_input, .on_closed = on_closed };

static void try_look(void *arg)
{
	struct known *k = arg;
	struct capabilities *c = k->owner;
	char address[PLACES_ADDRESS_MAX];
	struct look *l;
	uint64_t epoch;

	if (c->looks >= LOOKS_AT_ONCE) {
		timer_start(k->retry, FIRST_PAUSE_MS, 0);
		return;
	}
	if (!places_master(c->fe->places, k->name, PLACES_IMAP, address, &epoch)) {
		look_is_over(c, k, false);
		return;
	}
	l = must_calloc(1, sizeof(*l));
	l->known = k;
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
	l->login = (struct imap_login){ .fe = c->fe, .address = l->address, .user = "" };
	k->look = l;
	c->looks++;
	l->conn = conn_dial(c->fe->home, l->address, NULL, DIAL_MS, &look_events, l);
}

void capabilities_look(struct capabilities *c, struct bytes server)
{
	struct known *k;

	if (c->is_stopped || server.n == 0 || server.n >= PLACES_SERVER_MAX)
		return;
	k = known_of(c, server, true);
	k->was_heard_of = true;
	if (k->look != NULL) {
		k->again = true;
		return;
	}
	k->pause_ms = FIRST_PAUSE_MS;
	timer_start(k->retry, 0, 0);
}

void capabilities_forget(struct capabilities *c, struct bytes server)
{
	struct known *k = known_of(c, server, false);

	if (k == NULL || c->is_stopped)
		return;
	if (k->look != NULL)
		c->looks--;
	buffer_clear(&k->offered);
	keep(c, k);
	drop(c, k);
	merge(c);
	consider_settled(c);
}

/* What was kept of servers that are no more is dropped. */
void capabilities_list_is_whole(struct capabilities *c)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&c->servers, &it, &key, &value)) {
		struct known *k = value;

		if (!k->was_heard_of)
			capabilities_forget(c, bytes_of(k->name));
	}
	c->is_list_whole = true;
	consider_settled(c);
}

/* Learning from sessions. */

struct lesson {
	struct capabilities *c;
	char server[PLACES_SERVER_MAX], address[PLACES_ADDRESS_MAX];
	struct buffer offered;
};

static void take_lesson(void *arg)
{
	struct lesson *l = arg;
	struct capabilities *c = l->c;
	char address[PLACES_ADDRESS_MAX];
	uint64_t epoch;

	/* What the master before this one said is no news. */
	if (!c->is_stopped && places_master(c->fe->places, l->server, PLACES_IMAP, address, &epoch) && strcmp(address, l->address) == 0) {
		struct known *k = known_of(c, bytes_of(l->server), true);

		k->was_heard_of = k->was_looked_at = true;
		timer_stop(k->retry);
		set_offered(c, k, buffer_bytes(&l->offered));
		consider_settled(c);
	}
	buffer_fini(&l->offered);
	free(l);
}

void capabilities_learn(struct capabilities *c, const char *server, const char *address, struct bytes offered)
{
	char name[PLACES_SERVER_MAX];
	const struct known *k;
	struct lesson *l;
	bool is_news;

	lower_name(name, bytes_of(server));
	(void)pthread_mutex_lock(&c->lock);
	k = map_get(&c->servers, bytes_of(name));
	is_news = offered.n > 0 && (k == NULL || !bytes_equal(offered, buffer_bytes(&k->offered)));
	(void)pthread_mutex_unlock(&c->lock);
	if (!is_news)
		return;
	l = must_calloc(1, sizeof(*l));
	l->c = c;
	(void)snprintf(l->server, sizeof(l->server), "%s", server);
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
	buffer_add(&l->offered, offered);
	loop_post(c->fe->home, take_lesson, l);
}

/* Telling. */

bool capabilities_is_settled(const struct capabilities *c)
{
	return atomic_load(&c->is_settled);
}

uint64_t capabilities_write(struct capabilities *c, bool is_logged_in, struct buffer *to)
{
	uint64_t version;

	(void)pthread_mutex_lock(&c->lock);
	buffer_add(to, buffer_bytes(is_logged_in ? &c->inside : &c->outside));
	version = atomic_load(&c->version);
	(void)pthread_mutex_unlock(&c->lock);
	return version;
}

uint64_t capabilities_version(const struct capabilities *c)
{
	return atomic_load(&c->version);
}

unsigned capabilities_features(const struct capabilities *c)
{
	return atomic_load(&c->features);
}

/* Life. */

struct capabilities *capabilities_new(struct frontend *fe)
{
	struct capabilities *c = must_calloc(1, sizeof(*c));

	c->fe = fe;
	(void)pthread_mutex_init(&c->lock, NULL);
	c->settle = timer_new(fe->home, settle_now, c);
	timer_start(c->settle, SETTLE_MS, 0);
	merge(c);
	return c;
}

static void recall(void *arg, struct bytes key, struct bytes value)
{
	struct capabilities *c = arg;
	struct known *k = known_of(c, bytes_from(key, strlen(KEY_PREFIX)), true);

	buffer_add(&k->offered, value);
	k->was_looked_at = true;
	atomic_store(&c->is_settled, true);
}

void capabilities_recall(struct capabilities *c)
{
	places_notes(c->fe->places, BYTES_LIT(KEY_PREFIX), recall, c);
	merge(c);
}

void capabilities_stop(struct capabilities *c)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	c->is_stopped = true;
	timer_free(&c->settle);
	while (map_next(&c->servers, &it, &key, &value)) {
		struct known *k = value;

		timer_free(&k->retry);
		if (k->look != NULL) {
			k->look->known = NULL;
			conn_abort(k->look->conn);
			k->look = NULL;
		}
	}
}

void capabilities_free(struct capabilities **cp)
{
	struct capabilities *c = *cp;
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	if (c == NULL)
		return;
	*cp = NULL;
	while (map_next(&c->servers, &it, &key, &value)) {
		drop(c, value); /* the key just returned may be taken */
	}
	map_fini(&c->servers);
	buffer_fini(&c->inside);
	buffer_fini(&c->outside);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
