/* places.c - the update stream into LMDB, many records a transaction. A list that begins anew gets a new generation
 * number; when it is complete, what still has the old one is dropped. Servers and their masters are in memory, under
 * a lock. */
#include "places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "json.h"
#include "kv_copy.h"
#include "location.h"
#include "log.h"
#include "map.h"
#include "mupdate_client.h"

enum { T_MAILBOX, T_META, T_COUNT };
static const char *const tables[T_COUNT] = { "mailbox", "meta" };

struct where {
	char at[PLACES_SERVICES][PLACES_ADDRESS_MAX];
};

struct known_server {
	uint64_t epoch;
	char master[64];
	struct map members; /* struct where by name */
};

struct places {
	struct places_options o;
	struct loop *home;
	struct kv *kv;
	char *dir;
	struct mupdate_client *client;
	/* Writing, on the home loop: changes of one turn share a transaction. */
	struct kv_txn *txn;
	struct timer *commit;
	uint64_t generation;
	bool is_listing, is_skipping; /* skipping: what comes is of no use until a list begins */
	struct map hosts; /* servers of mailboxes: name to the generation of the list that had them last, as a pointer's value */
	atomic_bool is_ready, is_connected;

	pthread_mutex_t lock; /* guards the servers */
	struct map servers;   /* struct known_server by lower-cased name */
};

/* A record: u64 generation of the list that had it, u8 active, location, ACL. */
static bool decode(struct bytes value, uint64_t *generation_r, bool *active_r, struct bytes *location_r, struct bytes *acl_r)
{
	struct cursor c = cursor_of(value);
	uint8_t active;

	if (!cursor_u64le(&c, generation_r) || !cursor_u8(&c, &active) || !cursor_bytes32(&c, UINT32_MAX, location_r) ||
	    !cursor_bytes32(&c, UINT32_MAX, acl_r))
		return false;
	*active_r = active != 0;
	return true;
}

/* What was told is lost where it cannot be written: the whole list is asked for again. */
static void fail(struct places *p, const struct fault *why)
{
	log_event(LOG_ERROR, "frontend.list.unwritable", LOG_FAULT(why));
	p->is_skipping = true;
	if (p->client != NULL)
		mupdate_client_again(p->client, why->what);
}

static void commit_now(void *arg)
{
	struct places *p = arg;
	struct fault why;

	if (p->txn != NULL && !kv_commit(&p->txn, &why))
		fail(p, &why);
}

/* The turn's transaction; NULL where the list cannot be written. */
static struct kv_txn *writing(struct places *p)
{
	struct fault why;

	if (p->txn == NULL && !p->is_skipping) {
		p->txn = kv_write(p->kv, &why);
		if (p->txn == NULL)
			fail(p, &why);
		else
			timer_start(p->commit, 0, 0);
	}
	return p->txn;
}

static void put_generation(struct places *p)
{
	struct buffer b = { 0 };

	buffer_add_u64le(&b, p->generation);
	if (writing(p) != NULL)
		(void)kv_put(p->txn, T_META, BYTES_LIT("generation"), buffer_bytes(&b));
	buffer_fini(&b);
}

static void on_list_begin(void *arg)
{
	struct places *p = arg;

	p->generation++;
	p->is_listing = true;
	p->is_skipping = false;
}

static struct known_server *server_of(struct places *p, struct bytes name, bool create)
{
	char lower[PLACES_SERVER_MAX];
	struct known_server *s;
	size_t n = name.n < sizeof(lower) - 1 ? name.n : sizeof(lower) - 1;

	for (size_t i = 0; i < n; i++)
		lower[i] = (char)ascii_lower(name.p[i]);
	s = map_get(&p->servers, bytes_make(lower, n));
	if (s == NULL && create) {
		s = must_calloc(1, sizeof(*s));
		(void)map_put(&p->servers, bytes_make(lower, n), s);
	}
	return s;
}

/* A mailbox is at SERVER. */
static void see_host(struct places *p, struct bytes server)
{
	void *now = (void *)(uintptr_t)(p->generation + 1); /* not NULL */

	if (server.n == 0 || server.n >= PLACES_SERVER_MAX)
		return;
	if (map_get(&p->hosts, server) != now && map_put(&p->hosts, server, now) == NULL)
		p->o.events->changed(p->o.arg, server);
}

/* What no mailbox of the whole list was at is gone, but for servers that the directory itself knows. */
static void drop_hosts(struct places *p)
{
	struct map_iter it = { 0 };
	struct bytes host;
	void *seen;

	while (map_next(&p->hosts, &it, &host, &seen)) {
		char name[PLACES_SERVER_MAX];
		bool is_member;

		if (seen == (void *)(uintptr_t)(p->generation + 1))
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", BYTES_FMT(host));
		(void)map_take(&p->hosts, host);
		(void)pthread_mutex_lock(&p->lock);
		is_member = server_of(p, bytes_of(name), false) != NULL;
		(void)pthread_mutex_unlock(&p->lock);
		if (!is_member)
			p->o.events->gone(p->o.arg, bytes_of(name));
	}
}

static void on_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	struct places *p = arg;
	struct buffer b = { 0 };

	see_host(p, location_of(location).server);
	if (name.n == 0 || name.n > KV_KEY_MAX || writing(p) == NULL)
		return;
	buffer_add_u64le(&b, p->generation);
	buffer_add_u8(&b, is_active);
	buffer_add_bytes32(&b, location);
	buffer_add_bytes32(&b, acl);
	(void)kv_put(p->txn, T_MAILBOX, name, buffer_bytes(&b));
	buffer_fini(&b);
}

static void on_deleted(void *arg, struct bytes name)
{
	struct places *p = arg;

	if (writing(p) != NULL)
		(void)kv_del(p->txn, T_MAILBOX, name);
}

/* What the list did not name is gone. */
static void on_list_end(void *arg)
{
	struct places *p = arg;
	struct buffer at = { 0 };
	struct bytes key, value;
	struct fault why;
	size_t dropped = 0;

	p->is_listing = false;
	while (writing(p) != NULL) {
		struct kv_cursor *c = kv_seek(p->txn, T_MAILBOX, buffer_bytes(&at), &key, &value);
		uint64_t generation = 0;
		struct bytes location, acl;
		bool active, found = false;

		if (c == NULL)
			break;
		do {
			if (decode(value, &generation, &active, &location, &acl) && generation == p->generation)
				continue;
			buffer_clear(&at);
			buffer_add(&at, key);
			found = true;
			break;
		} while (kv_next(c, &key, &value));
		kv_cursor_end(&c);
		if (!found)
			break;
		(void)kv_del(p->txn, T_MAILBOX, buffer_bytes(&at));
		dropped++;
	}
	buffer_fini(&at);
	put_generation(p);
	commit_now(p);
	if (p->is_skipping)
		return;
	if (!kv_copy_mark(p->dir, false, &why))
		log_event(LOG_ERROR, "frontend.list.unwritable", LOG_FAULT(&why));
	atomic_store(&p->is_ready, true);
	drop_hosts(p);
	p->o.events->whole(p->o.arg);
	log_event(LOG_INFO, "frontend.list.complete", LOG_U64("mailboxes", places_count(p)), LOG_U64("dropped", dropped));
}

static void copy_text(char *to, size_t size, struct bytes text)
{
	(void)snprintf(to, size, "%.*s", BYTES_FMT(text));
}

static void on_server(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync)
{
	struct places *p = arg;
	struct known_server *s;
	bool is_new;

	(void)in_sync;
	(void)pthread_mutex_lock(&p->lock);
	s = server_of(p, server, true);
	is_new = !bytes_equal_str(master, s->master) || s->epoch != epoch;
	s->epoch = epoch;
	copy_text(s->master, sizeof(s->master), master);
	(void)pthread_mutex_unlock(&p->lock);
	if (!is_new)
		return;
	log_event(LOG_INFO, "frontend.server.changed", LOG_BYTES("server", server), LOG_U64("epoch", epoch),
	          LOG_BYTES("master", master));
	p->o.events->changed(p->o.arg, server);
}

static void on_member(void *arg, struct bytes server, struct bytes member, struct bytes imap, struct bytes lmtp,
                      struct bytes sync, struct bytes admin, bool is_up)
{
	struct places *p = arg;
	struct known_server *s;
	struct where *w;
	bool is_created, is_new_master;

	(void)sync;
	(void)admin;
	(void)is_up;
	(void)pthread_mutex_lock(&p->lock);
	s = server_of(p, server, true);
	w = map_get(&s->members, member);
	is_created = w == NULL;
	if (is_created) {
		w = must_calloc(1, sizeof(*w));
		(void)map_put(&s->members, member, w);
	}
	is_new_master = bytes_equal_str(member, s->master) && (is_created || !bytes_equal_str(imap, w->at[PLACES_IMAP]));
	copy_text(w->at[PLACES_IMAP], PLACES_ADDRESS_MAX, imap);
	copy_text(w->at[PLACES_LMTP], PLACES_ADDRESS_MAX, lmtp);
	w->at[PLACES_POP3][0] = '\0'; /* it is told next */
	(void)pthread_mutex_unlock(&p->lock);
	if (is_new_master)
		p->o.events->changed(p->o.arg, server);
}

static void on_pop3(void *arg, struct bytes server, struct bytes name, struct bytes pop3)
{
	struct places *p = arg;
	struct known_server *s;
	struct where *w;

	(void)pthread_mutex_lock(&p->lock);
	s = server.n == 0 ? NULL : server_of(p, server, false);
	w = s == NULL ? NULL : map_get(&s->members, name);
	if (w != NULL)
		copy_text(w->at[PLACES_POP3], PLACES_ADDRESS_MAX, pop3);
	(void)pthread_mutex_unlock(&p->lock);
}

static void on_up(void *arg, bool is_roost)
{
	struct places *p = arg;
	const struct bytes args[] = { bytes_of(p->o.name), bytes_of(p->o.imap_address), bytes_of(p->o.lmtp_address),
		                      bytes_of(p->o.admin_address), bytes_of(p->o.pop3_address) };

	atomic_store(&p->is_connected, true);
	if (is_roost)
		(void)mupdate_client_send(p->client, "XFRONTEND", args, args[4].n > 0 ? 5 : 4, NULL, NULL, NULL);
}

static void on_down(void *arg)
{
	struct places *p = arg;

	atomic_store(&p->is_connected, false);
}

static const struct mupdate_client_events events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_list_begin = on_list_begin,
	.on_record = on_record,
	.on_deleted = on_deleted,
	.on_list_end = on_list_end,
	.on_server = on_server,
	.on_member = on_member,
	.on_pop3 = on_pop3,
};

struct places *places_open(struct loop *home, const struct places_options *options, struct fault *why)
{
	struct places *p = must_calloc(1, sizeof(*p));
	const struct mupdate_client_options mo = { .config = options->config, .tls = options->tls, .is_follower = true,
		                                   .is_watcher = true, .events = &events, .arg = p };
	struct bytes value;
	struct kv_txn *t;
	bool is_whole;

	p->o = *options;
	p->home = home;
	(void)pthread_mutex_init(&p->lock, NULL);
	p->dir = must_printf("%s/mailboxes", config_string(options->config, "configdirectory"));
	p->kv = kv_copy_open(p->dir, (size_t)config_number(options->config, "index_map_size"), tables, T_COUNT, &is_whole, why);
	if (p->kv == NULL) {
		(void)fault_context(why, "the mailbox list (it may be removed: it is read anew)");
		places_free(&p);
		return NULL;
	}
	t = kv_read(p->kv, why);
	if (is_whole && t != NULL && kv_get(t, T_META, BYTES_LIT("generation"), &value) == KV_OK) {
		struct cursor c = cursor_of(value);

		atomic_store(&p->is_ready, cursor_u64le(&c, &p->generation));
	}
	kv_end(&t);
	p->commit = timer_new(home, commit_now, p);
	p->client = mupdate_client_start(home, &mo);
	return p;
}

void places_stop(struct places *p)
{
	struct fault why;

	mupdate_client_stop(&p->client);
	commit_now(p);
	timer_free(&p->commit);
	if (kv_copy_is_whole(p->dir) && (!kv_sync(p->kv, &why) || !kv_copy_mark(p->dir, true, &why)))
		log_event(LOG_WARNING, "frontend.list.unwritable", LOG_FAULT(&why));
}

void places_free(struct places **pp)
{
	struct places *p = *pp;
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	if (p == NULL)
		return;
	*pp = NULL;
	while (map_next(&p->servers, &it, &key, &value)) {
		struct known_server *s = value;
		struct map_iter inner = { 0 };
		void *where;

		while (map_next(&s->members, &inner, &key, &where))
			free(where);
		map_fini(&s->members);
		free(s);
	}
	map_fini(&p->servers);
	map_fini(&p->hosts);
	kv_close(&p->kv);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->dir);
	free(p);
}

bool places_is_ready(const struct places *p)
{
	return atomic_load(&p->is_ready);
}

enum places_result places_find(struct places *p, struct bytes name, struct arena *a, struct place *place_r)
{
	struct bytes value, location, acl;
	struct fault why;
	uint64_t generation;
	struct kv_txn *t = kv_read(p->kv, &why);
	enum kv_result result = t == NULL ? KV_FAILED : kv_get(t, T_MAILBOX, name, &value);

	if (t == NULL)
		log_event(LOG_ERROR, "frontend.list.unreadable", LOG_FAULT(&why));
	if (result == KV_OK && !decode(value, &generation, &place_r->is_active, &location, &acl))
		result = KV_FAILED;
	if (result == KV_OK) {
		struct bytes server = location_of(location).server;

		copy_text(place_r->server, sizeof(place_r->server), server);
		place_r->acl = arena_copy(a, acl);
		place_r->location = arena_copy(a, location);
	}
	kv_end(&t);
	if (result == KV_NOT_FOUND)
		return PLACES_NONE;
	return result == KV_OK ? PLACES_FOUND : PLACES_FAILED;
}

void places_each(struct places *p, struct bytes prefix, places_each_fn *fn, void *arg)
{
	places_each_from(p, prefix, prefix, fn, arg);
}

void places_each_from(struct places *p, struct bytes prefix, struct bytes from, places_each_fn *fn, void *arg)
{
	struct bytes key, value, location, acl;
	struct fault why;
	uint64_t generation;
	bool active;
	struct kv_txn *t = kv_read(p->kv, &why);
	struct kv_cursor *c;

	if (t == NULL)
		return;
	c = kv_seek(t, T_MAILBOX, bytes_compare(from, prefix) > 0 ? from : prefix, &key, &value);
	if (c != NULL) {
		do {
			if (!bytes_starts(key, prefix))
				break;
			if (decode(value, &generation, &active, &location, &acl) && active && !fn(arg, key, location, acl))
				break;
		} while (kv_next(c, &key, &value));
	}
	kv_cursor_end(&c);
	kv_end(&t);
}

/* Whether S has members, and none of them serves anywhere that the directory knows of: they are another mail server's, and who of them serves
 * is found under the server's name. Under the lock. */
static bool is_foreign(const struct known_server *s)
{
	struct map_iter it = { 0 };
	struct bytes member;
	void *value;
	bool has_members = false;

	while (map_next(&s->members, &it, &member, &value)) {
		const struct where *w = value;

		has_members = true;
		for (size_t i = 0; i < PLACES_SERVICES; i++) {
			if (w->at[i][0] != '\0')
				return false;
		}
	}
	return has_members;
}

bool places_master(struct places *p, const char *server, enum places_service service, char address_r[PLACES_ADDRESS_MAX],
                   uint64_t *epoch_r)
{
	static const int ports[] = { [PLACES_IMAP] = 143, [PLACES_LMTP] = 2003, [PLACES_POP3] = 110 };
	struct known_server *s;
	struct where *w = NULL;
	bool is_host;

	(void)pthread_mutex_lock(&p->lock);
	s = server_of(p, bytes_of(server), false);
	*epoch_r = s == NULL ? 0 : s->epoch;
	is_host = s == NULL || is_foreign(s);
	if (!is_host && s->master[0] != '\0')
		w = map_get(&s->members, bytes_of(s->master));
	if (w != NULL)
		copy_text(address_r, PLACES_ADDRESS_MAX, bytes_of(w->at[service]));
	(void)pthread_mutex_unlock(&p->lock);
	if (is_host) {
		/* As with Cyrus. */
		(void)snprintf(address_r, PLACES_ADDRESS_MAX, "%.80s:%d", server, ports[service]);
		return true;
	}
	return w != NULL && address_r[0] != '\0';
}

bool places_first_server(struct places *p, char server_r[PLACES_SERVER_MAX])
{
	return places_next_server(p, "", server_r);
}

bool places_next_server(struct places *p, const char *after, char server_r[PLACES_SERVER_MAX])
{
	char behind[PLACES_SERVER_MAX];
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;
	bool found = false;

	(void)snprintf(behind, sizeof(behind), "%s", after);
	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->servers, &it, &name, &value)) {
		if (bytes_compare(name, bytes_of(behind)) <= 0 || (found && bytes_compare(name, bytes_of(server_r)) >= 0))
			continue;
		found = true;
		copy_text(server_r, PLACES_SERVER_MAX, name);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

bool places_any_server(struct places *p, struct bytes key, char server_r[PLACES_SERVER_MAX])
{
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;
	uint64_t best = 0;
	bool found = false;

	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->servers, &it, &name, &value)) {
		/* Highest hash of key and server wins, so that a new server moves as little as can be. */
		uint64_t h = 14695981039346656037u;

		for (size_t i = 0; i < key.n; i++)
			h = (h ^ key.p[i]) * 1099511628211u;
		for (size_t i = 0; i < name.n; i++)
			h = (h ^ name.p[i]) * 1099511628211u;
		if (found && h <= best)
			continue;
		best = h;
		found = true;
		copy_text(server_r, PLACES_SERVER_MAX, name);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

struct sync {
	struct places *places;
	struct loop *loop;
	loop_fn *done;
	void *arg;
};

static void synced(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct sync *s = arg;

	(void)outcome;
	(void)text;
	commit_now(s->places);
	loop_post(s->loop, s->done, s->arg);
	free(s);
}

/* RFC 3656 section 4.10: NOOP in an update session is answered after everything that is pending. */
static void sync_here(void *arg)
{
	struct sync *s = arg;

	if (s->places->client == NULL ||
	    !mupdate_client_send(s->places->client, "NOOP", NULL, 0, NULL, synced, s))
		synced(s, MUPDATE_OUTCOME_LOST, BYTES_NONE);
}

void places_sync(struct places *p, loop_fn *done, void *arg)
{
	struct sync *s = must_alloc(sizeof(*s));

	*s = (struct sync){ p, loop_current(), done, arg };
	loop_post(p->home, sync_here, s);
}

void places_note(struct places *p, struct bytes key, struct bytes value)
{
	if (writing(p) == NULL)
		return;
	if (value.n > 0)
		(void)kv_put(p->txn, T_META, key, value);
	else
		(void)kv_del(p->txn, T_META, key);
}

void places_notes(struct places *p, struct bytes prefix, places_note_fn *fn, void *arg)
{
	struct bytes key, value;
	struct fault why;
	struct kv_txn *t = kv_read(p->kv, &why);
	struct kv_cursor *c = t == NULL ? NULL : kv_seek(t, T_META, prefix, &key, &value);

	if (c != NULL) {
		do {
			if (!bytes_starts(key, prefix))
				break;
			fn(arg, key, value);
		} while (kv_next(c, &key, &value));
	}
	kv_cursor_end(&c);
	kv_end(&t);
}

size_t places_count(struct places *p)
{
	struct fault why;
	struct kv_txn *t = kv_read(p->kv, &why);
	size_t n = t == NULL ? 0 : kv_count(t, T_MAILBOX);

	kv_end(&t);
	return n;
}

void places_status_json(struct places *p, struct buffer *to)
{
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;

	json_key_u64(to, "mailboxes", places_count(p));
	json_key_bool(to, "directory", atomic_load(&p->is_connected));
	json_key(to, "masters");
	buffer_add_u8(to, '{');
	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->servers, &it, &name, &value)) {
		struct known_server *s = value;

		json_sep(to);
		json_add_text(to, name);
		buffer_add_u8(to, ':');
		json_add_text(to, bytes_of(s->master));
	}
	(void)pthread_mutex_unlock(&p->lock);
	buffer_add_u8(to, '}');
}
