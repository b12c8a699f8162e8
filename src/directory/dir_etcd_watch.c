/* dir_etcd_watch.c - the thread that keeps the copy: a whole list when it begins (or has missed what etcd has since
 * compacted), then each change as it comes. If nothing comes for SILENCE_MS, not even what this process itself writes to
 * be heard (dir_etcd_lease.c), the endpoint is cut off from the others, and the next is tried. */
#include <stdlib.h>

#include "alloc.h"
#include "dir_etcd_private.h"
#include "dir_move_private.h"
#include "log.h"
#include "record_codec.h"

#define PAGE_KEYS 2000
#define SILENCE_MS 6000
#define AGAIN_MS 200

/* What follows the prefix and TABLE in KEY; false: it is not of that table. */
static bool in_table(struct bytes key, const char *table, struct bytes *name_r)
{
	if (!bytes_starts(key, bytes_of(table)))
		return false;
	*name_r = bytes_from(key, bytes_of(table).n);
	return true;
}

static void push_presence(struct dir_etcd *e, enum presence_kind kind, struct bytes key, struct bytes value)
{
	struct presence *p = must_calloc(1, sizeof(*p));

	p->kind = kind;
	p->key = arena_copy(&p->arena, key);
	p->value = arena_copy(&p->arena, value);
	*e->heard_last = p;
	e->heard_last = &p->next;
}

static bool take_record(struct dir_etcd *e, struct bytes name, const struct bytes *value, struct fault *why)
{
	struct record r = { .state = RECORD_NONE };
	struct bytes deleted_by = BYTES_NONE;

	if (value != NULL && !record_decode(*value, &r)) {
		log_event(LOG_ERROR, "directory.etcd.damaged", LOG_BYTES("key", name));
		return true;
	}
	if (r.state == RECORD_NONE) {
		deleted_by = r.location;
		r = (struct record){ .state = RECORD_NONE };
	}
	return dir_mirror_put(e->mirror, name, &r, deleted_by, why);
}

static bool take_server(struct dir_etcd *e, struct bytes name, const struct bytes *value, struct fault *why)
{
	struct reign r;

	/* A configuration is never deleted while mupdate servers run. */
	if (value == NULL)
		return true;
	if (!reign_decode(*value, &r)) {
		log_event(LOG_ERROR, "directory.etcd.damaged", LOG_BYTES("key", name));
		return true;
	}
	return dir_mirror_put_reign(e->mirror, name, &r, why);
}

static void on_event(void *arg, struct bytes key, const struct bytes *value)
{
	struct dir_etcd *e = arg;
	struct bytes name;
	struct fault why;
	bool ok = true;

	key = bytes_from(key, e->prefix.n);
	if (e->has_failed)
		return;
	if (in_table(key, "mailbox/", &name))
		ok = take_record(e, name, value, &why);
	else if (in_table(key, "server/", &name))
		ok = take_server(e, name, value, &why);
	else if (in_table(key, "member/", &name) || in_table(key, "frontend/", &name) || in_table(key, "promote/", &name))
		push_presence(e, value == NULL ? PRESENCE_GONE : PRESENCE_PUT, key, value == NULL ? BYTES_NONE : *value);
	if (!ok) {
		log_event(LOG_ERROR, "directory.copy.failed", LOG_FAULT(&why));
		e->has_failed = true;
	}
}

/* Keep what was heard and hand it to the loop; REVISION 0: the list is not whole. */
static bool hand_over(struct dir_etcd *e, int64_t revision)
{
	struct change *changes;
	struct presence *heard = e->heard;
	struct fault why;

	if (!e->has_failed && !dir_mirror_commit(e->mirror, &changes, &why)) {
		log_event(LOG_ERROR, "directory.copy.failed", LOG_FAULT(&why));
		e->has_failed = true;
	}
	if (e->has_failed)
		return false;
	e->heard = NULL;
	e->heard_last = &e->heard;
	dir_etcd_deliver(e, changes, heard, revision);
	return true;
}

static void on_events_end(void *arg, int64_t revision)
{
	struct dir_etcd *e = arg;

	e->event_ms = dir_etcd_now_ms();
	(void)hand_over(e, revision);
}

static bool go_on(void *arg)
{
	struct dir_etcd *e = arg;

	return !atomic_load(&e->is_stopping) && !e->has_failed && dir_etcd_now_ms() < e->event_ms + SILENCE_MS;
}

struct listing {
	struct dir_etcd *e;
	struct buffer last;
};

static void on_listed(void *arg, struct bytes key, struct bytes value)
{
	struct listing *l = arg;

	buffer_clear(&l->last);
	buffer_add(&l->last, key);
	/* What was asked of a master before is not asked now. */
	if (!bytes_starts(bytes_from(key, l->e->prefix.n), BYTES_LIT("promote/")))
		on_event(l->e, key, &value);
}

static bool end_list(struct dir_etcd *e, struct fault *why)
{
	bool more = true;

	while (more && !e->has_failed) {
		if (!dir_mirror_list_end(e->mirror, &more, why))
			return false;
		if (more)
			(void)hand_over(e, 0);
	}
	return !e->has_failed;
}

/* Copy all there is. */
static enum etcd_result list(struct dir_etcd *e, struct fault *why)
{
	struct listing l = { .e = e };
	struct buffer to = { 0 };
	int64_t revision = 0;
	uint64_t began = dir_etcd_now_ms();
	bool more = true;
	enum etcd_result result = ETCD_OK;

	e->has_failed = !dir_mirror_list_begin(e->mirror, why);
	dir_prefix_end(e->prefix, &to);
	buffer_add(&l.last, e->prefix);
	push_presence(e, PRESENCE_RESET, BYTES_NONE, BYTES_NONE);
	while (result == ETCD_OK && more && !e->has_failed && !atomic_load(&e->is_stopping)) {
		result = etcd_range(e->watching, buffer_bytes(&l.last), buffer_bytes(&to), PAGE_KEYS, &revision, on_listed, &l, &more,
		                    why);
		buffer_add_u8(&l.last, 0); /* the next key that there can be */
		if (result == ETCD_OK && more)
			(void)hand_over(e, 0);
	}
	if (result == ETCD_OK && !atomic_load(&e->is_stopping) && !e->has_failed && end_list(e, why)) {
		push_presence(e, PRESENCE_LISTED, BYTES_NONE, BYTES_NONE);
		(void)hand_over(e, revision);
		log_event(LOG_INFO, "directory.etcd.copied", LOG_STR("endpoint", etcd_endpoint(e->watching)),
		          LOG_I64("revision", revision), LOG_U64("ms", dir_etcd_now_ms() - began));
	} else if (result == ETCD_OK) {
		result = ETCD_UNKNOWN;
	}
	buffer_fini(&to);
	buffer_fini(&l.last);
	return result;
}

static void ignore(void *arg, struct bytes key, struct bytes value)
{
}

/* An etcd that was restored from a backup may be behind what was copied. */
static enum etcd_result check_revision(struct dir_etcd *e, struct bytes to, struct fault *why)
{
	int64_t revision = 0;
	bool more;
	enum etcd_result result = etcd_range(e->watching, e->prefix, to, 1, &revision, ignore, NULL, &more, why);

	if (result == ETCD_OK && revision < atomic_load(&e->copied)) {
		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s has gone back from revision %lld to %lld",
		                etcd_endpoint(e->watching), (long long)atomic_load(&e->copied), (long long)revision);
		return ETCD_GONE;
	}
	return result;
}

static enum etcd_result watch(struct dir_etcd *e, struct fault *why)
{
	struct buffer to = { 0 };
	struct etcd_watch w = { .start = atomic_load(&e->copied) + 1, .on_event = on_event, .on_events_end = on_events_end,
		                .go_on = go_on, .arg = e };
	enum etcd_result result;

	dir_prefix_end(e->prefix, &to);
	w.from = e->prefix;
	w.to = buffer_bytes(&to);
	e->event_ms = dir_etcd_now_ms();
	result = check_revision(e, w.to, why);
	if (result == ETCD_OK)
		result = etcd_watch(e->watching, &w, why);
	if (result == ETCD_OK && !atomic_load(&e->is_stopping)) {
		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: nothing heard for %d ms", etcd_endpoint(e->watching), SILENCE_MS);
		result = ETCD_UNKNOWN;
	}
	buffer_fini(&to);
	return result;
}

void *dir_etcd_watcher(void *arg)
{
	struct dir_etcd *e = arg;
	bool is_whole = false;
	struct fault why;

	while (!atomic_load(&e->is_stopping)) {
		enum etcd_result result = ETCD_OK;

		if (!is_whole) {
			result = list(e, &why);
			is_whole = result == ETCD_OK;
			dir_etcd_check_reach(e);
		}
		if (is_whole)
			result = watch(e, &why);
		if (result == ETCD_GONE || e->has_failed)
			is_whole = false;
		if (result != ETCD_OK && !atomic_load(&e->is_stopping)) {
			log_event(LOG_WARNING, "directory.etcd.lost", LOG_FAULT(&why));
			etcd_switch(e->watching);
			dir_etcd_pause(e, AGAIN_MS, false);
		}
	}
	return NULL;
}
