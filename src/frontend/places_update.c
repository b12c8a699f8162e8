/* places_update.c - the update stream into LMDB, many records a transaction. A list that begins anew gets a new generation
 * number; when it is complete, what still has the old one is dropped. */
#include "places_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "kv_copy.h"
#include "location.h"
#include "log.h"

/* What was told is lost where it cannot be written: the whole list is asked for again. */
static void fail(struct places *p, const struct fault *why)
{
	log_event(LOG_ERROR, "frontend.list.unwritable", LOG_FAULT(why));
	p->is_skipping = true;
	if (p->client != NULL)
		mupdate_client_again(p->client, why->what);
}

void places_commit(void *arg)
{
	struct places *p = arg;
	struct fault why;

	if (p->txn != NULL && !kv_commit(&p->txn, &why))
		fail(p, &why);
}

struct kv_txn *places_writing(struct places *p)
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
	if (places_writing(p) != NULL)
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
		is_member = places_server_of(p, bytes_of(name), false) != NULL;
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
	if (name.n == 0 || name.n > KV_KEY_MAX || places_writing(p) == NULL)
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

	if (places_writing(p) != NULL)
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
	while (places_writing(p) != NULL) {
		struct kv_cursor *c = kv_seek(p->txn, T_MAILBOX, buffer_bytes(&at), &key, &value);
		uint64_t generation = 0;
		struct bytes location, acl;
		bool active, found = false;

		if (c == NULL)
			break;
		do {
			if (places_decode(value, &generation, &active, &location, &acl) && generation == p->generation)
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
	places_commit(p);
	if (p->is_skipping)
		return;
	if (!kv_copy_mark(p->dir, false, &why))
		log_event(LOG_ERROR, "frontend.list.unwritable", LOG_FAULT(&why));
	atomic_store(&p->is_ready, true);
	drop_hosts(p);
	p->o.events->whole(p->o.arg);
	log_event(LOG_INFO, "frontend.list.complete", LOG_U64("mailboxes", places_count(p)), LOG_U64("dropped", dropped));
}

static void on_server(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync)
{
	struct places *p = arg;
	struct known_server *s;
	bool is_new;

	(void)in_sync;
	(void)pthread_mutex_lock(&p->lock);
	s = places_server_of(p, server, true);
	is_new = !bytes_equal_str(master, s->master) || s->epoch != epoch;
	s->epoch = epoch;
	places_copy_text(s->master, sizeof(s->master), master);
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
	s = places_server_of(p, server, true);
	w = map_get(&s->members, member);
	is_created = w == NULL;
	if (is_created) {
		w = must_calloc(1, sizeof(*w));
		(void)map_put(&s->members, member, w);
	}
	is_new_master = bytes_equal_str(member, s->master) && (is_created || !bytes_equal_str(imap, w->at[PLACES_IMAP]));
	places_copy_text(w->at[PLACES_IMAP], PLACES_ADDRESS_MAX, imap);
	places_copy_text(w->at[PLACES_LMTP], PLACES_ADDRESS_MAX, lmtp);
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
	s = server.n == 0 ? NULL : places_server_of(p, server, false);
	w = s == NULL ? NULL : map_get(&s->members, name);
	if (w != NULL)
		places_copy_text(w->at[PLACES_POP3], PLACES_ADDRESS_MAX, pop3);
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

const struct mupdate_client_events places_events = {
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
