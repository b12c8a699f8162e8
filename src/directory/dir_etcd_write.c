/* dir_etcd_write.c - the writer's part: changes are decided on what is known and written by a transaction that compares
 * all that they have read with what etcd has. Where it differs, what etcd has is known then, and they are decided again.
 *
 * A transaction that was sent and not answered may or may not have been made, or may be made yet. It is decided and sent
 * again: if it was made, the comparison fails and the state table finds the work done; if it comes later, it finds its own
 * comparison failing. */
#include <stdlib.h>

#include "alloc.h"
#include "dir_etcd_private.h"
#include "log.h"
#include "record_codec.h"
#include "record_store.h"

#define GIVE_UP_MS 10000
#define AGAIN_MS 100
/* Octets of keys and values in one transaction; etcd refuses 1.5 MiB. */
#define TXN_OCTETS (256 * 1024)
/* Who deleted a name is known so long at least. */
#define GRAVE_S (30u * 24 * 3600)
#define GRAVE_RENEW_MS (24ull * 3600 * 1000)

/* What is known of a key that the copy does not have yet. */
struct recent {
	int64_t revision;
	bool has;
	struct buffer value;
};

/* A key that this transaction reads or writes. */
struct touched {
	struct touched *next;
	struct buffer key; /* with the prefix */
	bool had, has, is_written;
	struct buffer before, after;
};

struct attempt {
	struct dir_etcd *e;
	struct kv_txn *copy;
	struct map by_key;
	struct touched *first, **last;
	size_t count, octets;
	int64_t revision; /* etcd's, of the answer */
};

static void attempt_fini(struct attempt *a)
{
	while (a->first != NULL) {
		struct touched *t = a->first;

		a->first = t->next;
		buffer_fini(&t->key);
		buffer_fini(&t->before);
		buffer_fini(&t->after);
		free(t);
	}
	a->last = &a->first;
	a->count = a->octets = 0;
	map_fini(&a->by_key);
	kv_end(&a->copy);
}

static void free_recent(struct recent *r)
{
	buffer_fini(&r->value);
	free(r);
}

void dir_etcd_forget(struct dir_etcd *e, bool all)
{
	int64_t copied = atomic_load(&e->copied);
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&e->recent, &it, &key, &value)) {
		struct recent *r = value;

		if (all || r->revision <= copied) {
			(void)map_take(&e->recent, key);
			free_recent(r);
		}
	}
	if (all)
		map_fini(&e->recent);
}

/* KEY is VALUE (NULL: absent) as of REVISION. */
static void know(struct dir_etcd *e, struct bytes key, const struct bytes *value, int64_t revision)
{
	struct recent *r = map_get(&e->recent, key);

	if (r == NULL) {
		r = must_calloc(1, sizeof(*r));
		(void)map_put(&e->recent, key, r);
	}
	r->revision = revision;
	r->has = value != NULL;
	buffer_clear(&r->value);
	if (value != NULL)
		buffer_add(&r->value, *value);
}

/* What the copy has for a mailbox: its record, or who deleted it. */
static enum kv_result load_record(struct attempt *a, struct bytes name, struct touched *t)
{
	struct record r;
	enum kv_result result = record_get(a->copy, name, &r);

	if (result == KV_OK && r.state == RECORD_NONE)
		result = record_deleted_by(a->copy, name, &r.location);
	t->had = r.state != RECORD_NONE || r.location.n > 0;
	if (result == KV_OK && t->had)
		record_encode(&t->before, &r);
	return result;
}

static enum kv_result load_reign(struct attempt *a, struct bytes server, struct touched *t)
{
	struct reign r;
	enum kv_result result = reign_get(a->copy, server, &r);

	t->had = r.epoch > 0;
	if (result == KV_OK && t->had)
		reign_encode(&t->before, &r);
	return result;
}

static enum kv_result touch(struct attempt *a, const char *table, struct bytes name, struct touched **t_r)
{
	struct buffer key = { 0 };
	struct touched *t;
	const struct recent *r;
	enum kv_result result = KV_OK;

	dir_etcd_key(a->e, &key, table, name);
	t = map_get(&a->by_key, buffer_bytes(&key));
	if (t == NULL) {
		t = must_calloc(1, sizeof(*t));
		buffer_add(&t->key, buffer_bytes(&key));
		*a->last = t;
		a->last = &t->next;
		(void)map_put(&a->by_key, buffer_bytes(&key), t);
		r = map_get(&a->e->recent, buffer_bytes(&key));
		if (r != NULL) {
			t->had = r->has;
			buffer_add(&t->before, buffer_bytes(&r->value));
		} else {
			result = table[0] == 'm' ? load_record(a, name, t) : load_reign(a, name, t);
		}
		t->has = t->had;
		buffer_add(&t->after, buffer_bytes(&t->before));
		a->count++;
		a->octets += key.n + t->before.n;
	}
	buffer_fini(&key);
	*t_r = t;
	return result;
}

static enum kv_result damaged(const struct touched *t)
{
	log_event(LOG_ERROR, "directory.etcd.damaged", LOG_BYTES("key", buffer_bytes(&t->key)));
	return KV_FAILED;
}

static enum kv_result get_any(void *at, struct bytes name, struct record *record_r)
{
	struct touched *t;
	enum kv_result result = touch(at, "mailbox/", name, &t);

	*record_r = (struct record){ .state = RECORD_NONE };
	if (result == KV_OK && t->has && !record_decode(buffer_bytes(&t->after), record_r))
		result = damaged(t);
	return result;
}

static enum kv_result get_record(void *at, struct bytes name, struct record *record_r)
{
	enum kv_result result = get_any(at, name, record_r);

	if (record_r->state == RECORD_NONE)
		*record_r = (struct record){ .state = RECORD_NONE };
	return result;
}

static enum kv_result get_deleted_by(void *at, struct bytes name, struct bytes *server_r)
{
	struct record r;
	enum kv_result result = get_any(at, name, &r);

	*server_r = r.state == RECORD_NONE ? r.location : BYTES_NONE;
	return result;
}

static enum kv_result put_record(void *at, struct bytes name, const struct record *record, struct bytes deleted_by)
{
	struct attempt *a = at;
	struct record grave = { .state = RECORD_NONE, .location = deleted_by };
	struct touched *t;
	enum kv_result result = touch(a, "mailbox/", name, &t);

	if (result != KV_OK)
		return result;
	buffer_clear(&t->after);
	record_encode(&t->after, record->state == RECORD_NONE ? &grave : record);
	t->has = t->is_written = true;
	a->octets += t->after.n;
	return KV_OK;
}

static enum kv_result get_reign(void *at, struct bytes server, struct reign *reign_r)
{
	struct touched *t;
	enum kv_result result = touch(at, "server/", server, &t);

	*reign_r = (struct reign){ 0 };
	if (result == KV_OK && t->has && !reign_decode(buffer_bytes(&t->after), reign_r))
		result = damaged(t);
	return result;
}

static enum kv_result put_reign(void *at, struct bytes server, const struct reign *reign)
{
	struct touched *t;
	enum kv_result result = touch(at, "server/", server, &t);

	if (result != KV_OK)
		return result;
	buffer_clear(&t->after);
	reign_encode(&t->after, reign);
	t->has = t->is_written = true;
	return KV_OK;
}

static const struct dir_view view = { get_record, get_deleted_by, put_record, get_reign, put_reign };

/* A lease for what is kept of deleted names. It is not renewed: a new one is taken each day. */
static int64_t grave_lease(struct dir_etcd *e)
{
	struct fault why;
	uint64_t now = dir_etcd_now_ms();

	if ((e->grave_lease == 0 || now > e->grave_lease_ms + GRAVE_RENEW_MS) &&
	    etcd_lease_grant(e->writing, GRAVE_S, &e->grave_lease, &why) == ETCD_OK)
		e->grave_lease_ms = now;
	return e->grave_lease;
}

static bool is_grave(const struct touched *t)
{
	return t->after.n > 0 && t->after.p[0] == RECORD_NONE && bytes_search(buffer_bytes(&t->key), BYTES_LIT("mailbox/")) < t->key.n;
}

static void on_fresh(void *arg, struct bytes key, struct bytes value)
{
	struct attempt *a = arg;
	struct touched *t = map_get(&a->by_key, key);

	if (t == NULL)
		return;
	t->had = true;
	buffer_clear(&t->before);
	buffer_add(&t->before, value);
}

/* Send what was decided, and know the outcome. *WRITES_R: something was to be written. */
static enum etcd_result commit(struct attempt *a, bool *writes_r, struct fault *why)
{
	struct etcd_txn txn = { 0 };
	enum etcd_result result;

	for (struct touched *t = a->first; t != NULL; t = t->next) {
		bool differs = t->had != t->has || !bytes_equal(buffer_bytes(&t->before), buffer_bytes(&t->after));

		if (t->had)
			etcd_txn_if_equal(&txn, buffer_bytes(&t->key), buffer_bytes(&t->before));
		else
			etcd_txn_if_absent(&txn, buffer_bytes(&t->key));
		if (t->is_written && differs)
			etcd_txn_put(&txn, buffer_bytes(&t->key), buffer_bytes(&t->after), is_grave(t) ? grave_lease(a->e) : 0);
		/* Should the comparison fail, all keys are read: one that on_fresh() is not given is not there. */
		t->had = false;
		buffer_clear(&t->before);
	}
	*writes_r = txn.write_count > 0;
	result = etcd_txn_do(a->e->writing, &txn, &a->revision, on_fresh, a, why);
	etcd_txn_fini(&txn);
	for (struct touched *t = a->first; t != NULL; t = t->next) {
		struct bytes value = buffer_bytes(result == ETCD_OK ? &t->after : &t->before);

		if (result == ETCD_OK)
			know(a->e, buffer_bytes(&t->key), t->has ? &value : NULL, a->revision);
		else if (result == ETCD_DIFFERS)
			know(a->e, buffer_bytes(&t->key), t->had ? &value : NULL, a->revision);
	}
	return result;
}

/* Decide as many of the chain as one transaction takes; *END_R: the first that it does not. False: the copy failed. */
static bool decide(struct attempt *a, struct change *first, struct change **end_r, struct fault *why)
{
	struct change *c;

	/* First what is copied, then the snapshot: what is forgotten is in it. */
	dir_etcd_forget(a->e, false);
	a->copy = kv_read(a->e->copy, why);
	if (a->copy == NULL)
		return false;
	for (c = first; c != *end_r; c = c->next) {
		if (a->count + 2 > ETCD_TXN_KEYS || (a->octets + c->name.n + c->acl.n > TXN_OCTETS && c != first))
			break;
		if (change_decide(&view, a, c) != KV_OK)
			return fault_set(why, FAULT_OPERATOR, "a record cannot be read: see the line before");
	}
	*end_r = c;
	kv_end(&a->copy);
	return true;
}

static void refuse(struct change *first, const struct change *end, const struct fault *why)
{
	log_event(LOG_ERROR, "directory.write.failed", LOG_FAULT(why));
	for (struct change *c = first; c != end; c = c->next)
		change_refuse(c, "the directory cannot write now");
}

/* Make changes from FIRST on until it is known what became of them. Returns the first that was not among them;
 * *REVISION_R: when they are in the copy, 0 where nothing was written. */
static struct change *make(struct dir_etcd *e, struct dir_writer *w, struct change *first, int64_t *revision_r)
{
	uint64_t deadline = dir_etcd_now_ms() + GIVE_UP_MS;
	struct change *end = NULL;
	struct fault why;

	*revision_r = 0;
	for (;;) {
		struct attempt a = { .e = e };
		bool writes = false;
		enum etcd_result result;

		a.last = &a.first;
		/* Tried again, it is the same changes, or fewer. */
		if (!decide(&a, first, &end, &why)) {
			attempt_fini(&a);
			refuse(first, end, &why);
			return end;
		}
		result = commit(&a, &writes, &why);
		attempt_fini(&a);
		if (result == ETCD_OK) {
			*revision_r = writes ? a.revision : 0;
			dir_writer_count(w, writes ? 1 : 0);
			return end;
		}
		if (result == ETCD_GONE)
			e->grave_lease = 0;
		if (atomic_load(&e->is_stopping) || dir_etcd_now_ms() > deadline || result == ETCD_REFUSED) {
			if (result == ETCD_DIFFERS)
				(void)fault_set(&why, FAULT_TRANSIENT, "others change the same records all the time");
			refuse(first, end, &why);
			return end;
		}
		if (result == ETCD_UNKNOWN) {
			for (struct change *c = first; c != end; c = c->next)
				c->may_be_done = true;
			dir_etcd_pause(e, AGAIN_MS, false);
		}
	}
}

void dir_etcd_batch(void *etcd, struct dir_writer *w, struct change *first)
{
	struct dir_etcd *e = etcd;

	while (first != NULL) {
		struct waiting *at = must_calloc(1, sizeof(*at));
		struct change *end = make(e, w, first, &at->revision);
		struct change *last = first;

		while (last->next != end)
			last = last->next;
		last->next = NULL;
		at->first = first;
		/* Followers hear of it from the copy. */
		for (struct change *c = first; c != NULL; c = c->next)
			c->is_changed = false;
		(void)pthread_mutex_lock(&e->lock);
		e->writer = w;
		*e->waiting_last = at;
		e->waiting_last = &at->next;
		(void)pthread_mutex_unlock(&e->lock);
		dir_etcd_deliver(e, NULL, NULL, 0);
		first = end;
	}
}
