/* places.c - asking the list: mailboxes are in LMDB, where places_update.c writes them; servers and their masters are in memory,
 * under a lock. */
#include "places_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "json.h"
#include "kv_copy.h"
#include "location.h"
#include "log.h"

static const char *const tables[T_COUNT] = { "mailbox", "meta" };

bool places_decode(struct bytes value, uint64_t *generation_r, bool *active_r, struct bytes *location_r, struct bytes *acl_r)
{
	struct cursor c = cursor_of(value);
	uint8_t active;

	if (!cursor_u64le(&c, generation_r) || !cursor_u8(&c, &active) || !cursor_bytes32(&c, UINT32_MAX, location_r) ||
	    !cursor_bytes32(&c, UINT32_MAX, acl_r))
		return false;
	*active_r = active != 0;
	return true;
}

struct known_server *places_server_of(struct places *p, struct bytes name, bool create)
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

void places_copy_text(char *to, size_t size, struct bytes text)
{
	(void)snprintf(to, size, "%.*s", BYTES_FMT(text));
}

struct places *places_open(struct loop *home, const struct places_options *options, struct fault *why)
{
	struct places *p = must_calloc(1, sizeof(*p));
	const struct mupdate_client_options mo = { .config = options->config, .tls = options->tls, .is_follower = true,
		                                   .is_watcher = true, .events = &places_events, .arg = p };
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
	p->commit = timer_new(home, places_commit, p);
	p->client = mupdate_client_start(home, &mo);
	return p;
}

void places_stop(struct places *p)
{
	struct fault why;

	mupdate_client_stop(&p->client);
	places_commit(p);
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
	if (result == KV_OK && !places_decode(value, &generation, &place_r->is_active, &location, &acl))
		result = KV_FAILED;
	if (result == KV_OK) {
		struct bytes server = location_of(location).server;

		places_copy_text(place_r->server, sizeof(place_r->server), server);
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
			if (places_decode(value, &generation, &active, &location, &acl) && active && !fn(arg, key, location, acl))
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
	s = places_server_of(p, bytes_of(server), false);
	*epoch_r = s == NULL ? 0 : s->epoch;
	is_host = s == NULL || is_foreign(s);
	if (!is_host && s->master[0] != '\0')
		w = map_get(&s->members, bytes_of(s->master));
	if (w != NULL)
		places_copy_text(address_r, PLACES_ADDRESS_MAX, bytes_of(w->at[service]));
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
		places_copy_text(server_r, PLACES_SERVER_MAX, name);
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
		places_copy_text(server_r, PLACES_SERVER_MAX, name);
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
	places_commit(s->places);
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
	if (places_writing(p) == NULL)
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
