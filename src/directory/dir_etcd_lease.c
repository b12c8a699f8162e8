/* dir_etcd_lease.c - the thread that keeps the lease under which presence stands, and writes it. Each beat also writes a
 * key of this process, which the watch must then hear of: what proves that both work. */
#include <stdio.h>
#include <stdlib.h>

#include "dir_etcd_private.h"
#include "log.h"

#define BEAT_MS 2000
#define AGAIN_MS 300

struct keeper {
	struct dir_etcd *e;
	int64_t lease;
	uint64_t kept_ms; /* when it was last asked for with success */
	uint64_t beats;
};

static void holds(struct dir_etcd *e, bool holds_lease)
{
	(void)pthread_mutex_lock(&e->lock);
	e->holds_lease = holds_lease;
	(void)pthread_mutex_unlock(&e->lock);
	dir_etcd_check_reach(e);
}

static enum etcd_result put(struct keeper *k, struct bytes key, struct bytes value, struct fault *why)
{
	struct etcd_txn txn = { 0 };
	int64_t revision;
	enum etcd_result result;

	etcd_txn_put(&txn, key, value, k->lease);
	result = etcd_txn_do(k->e->leasing, &txn, &revision, NULL, NULL, why);
	etcd_txn_fini(&txn);
	return result;
}

static enum etcd_result beat(struct keeper *k, struct fault *why)
{
	struct buffer key = { 0 }, value = { 0 };
	enum etcd_result result;

	dir_etcd_key(k->e, &key, "mupdate/", dir_etcd_owner(k->e));
	buffer_add_u64(&value, ++k->beats);
	result = put(k, buffer_bytes(&key), buffer_bytes(&value), why);
	buffer_fini(&key);
	buffer_fini(&value);
	return result;
}


static void tell_forgotten(void *arg)
{
	struct dir_etcd *e = arg;

	e->events->on_forgotten(e->arg);
}

static enum etcd_result keep(struct keeper *k, struct fault *why)
{
	uint64_t now = dir_etcd_now_ms();
	enum etcd_result result = ETCD_GONE;

	if (k->lease != 0)
		result = etcd_lease_keep(k->e->leasing, k->lease, why);
	if (result == ETCD_GONE) {
		if (k->lease != 0)
			log_event(LOG_WARNING, "directory.etcd.lease_lost");
		k->lease = 0;
		result = etcd_lease_grant(k->e->leasing, DIR_ETCD_LEASE_S, &k->lease, why);
		if (result == ETCD_OK)
			loop_post(k->e->loop, tell_forgotten, k->e);
	}
	if (result == ETCD_OK)
		result = beat(k, why);
	if (result == ETCD_OK) {
		k->kept_ms = now;
		holds(k->e, true);
	}
	return result;
}

static struct saying *take_saying(struct dir_etcd *e)
{
	struct saying *s;

	(void)pthread_mutex_lock(&e->lock);
	s = e->sayings;
	if (s != NULL && (e->sayings = s->next) == NULL)
		e->sayings_last = &e->sayings;
	(void)pthread_mutex_unlock(&e->lock);
	return s;
}

static void put_back(struct dir_etcd *e, struct saying *s)
{
	(void)pthread_mutex_lock(&e->lock);
	s->next = e->sayings;
	if (e->sayings == NULL)
		e->sayings_last = &s->next;
	e->sayings = s;
	(void)pthread_mutex_unlock(&e->lock);
}

struct present {
	struct dir_etcd *e;
	bool is_ours;
	struct buffer value;
};

static void on_present(void *arg, struct bytes key, struct bytes value)
{
	struct present *p = arg;

	/* Every value begins with the length and octets of who wrote it. */
	p->is_ours = value.n >= 4 && bytes_starts(bytes_from(value, 4), dir_etcd_owner(p->e));
	buffer_add(&p->value, value);
}

/* Delete KEY if what is there was written by this process: another may have said newer. */
static enum etcd_result take_back(struct keeper *k, struct bytes key, struct fault *why)
{
	struct present p = { .e = k->e };
	struct buffer to = { 0 };
	struct etcd_txn txn = { 0 };
	int64_t revision = 0;
	bool more;
	enum etcd_result result;

	buffer_add(&to, key);
	buffer_add_u8(&to, 0);
	result = etcd_range(k->e->leasing, key, buffer_bytes(&to), 1, &revision, on_present, &p, &more, why);
	if (result == ETCD_OK && p.is_ours) {
		etcd_txn_if_equal(&txn, key, buffer_bytes(&p.value));
		etcd_txn_delete(&txn, key);
		result = etcd_txn_do(k->e->leasing, &txn, &revision, on_present, &p, why);
		if (result == ETCD_DIFFERS)
			result = ETCD_OK;
	}
	etcd_txn_fini(&txn);
	buffer_fini(&to);
	buffer_fini(&p.value);
	return result;
}

/* Write what is to be said. */
static enum etcd_result say_all(struct keeper *k, struct fault *why)
{
	struct saying *s;
	enum etcd_result result = ETCD_OK;

	while (k->lease != 0 && !atomic_load(&k->e->is_stopping) && (s = take_saying(k->e)) != NULL) {
		result = s->is_gone ? take_back(k, buffer_bytes(&s->key), why) :
		                      put(k, buffer_bytes(&s->key), buffer_bytes(&s->value), why);
		if (result == ETCD_UNKNOWN || result == ETCD_GONE) {
			put_back(k->e, s);
			return result;
		}
		if (result != ETCD_OK)
			log_event(LOG_ERROR, "directory.etcd.refused", LOG_BYTES("key", buffer_bytes(&s->key)), LOG_FAULT(why));
		buffer_fini(&s->key);
		buffer_fini(&s->value);
		free(s);
	}
	return result;
}

void *dir_etcd_keeper(void *arg)
{
	struct keeper k = { .e = arg };
	uint64_t next_ms = 0;
	char told[FAULT_WHAT_MAX] = "";
	struct fault why;

	while (!atomic_load(&k.e->is_stopping)) {
		enum etcd_result result = ETCD_OK;

		if (dir_etcd_now_ms() >= next_ms) {
			result = keep(&k, &why);
			next_ms = dir_etcd_now_ms() + BEAT_MS;
		}
		if (result == ETCD_OK)
			result = say_all(&k, &why);
		if (result == ETCD_OK) {
			uint64_t now = dir_etcd_now_ms();

			told[0] = '\0';
			dir_etcd_pause(k.e, next_ms > now ? (unsigned)(next_ms - now) : 1, true);
			continue;
		}
		next_ms = 0;
		if (!bytes_equal_str(bytes_of(told), why.what)) {
			log_event(LOG_WARNING, "directory.etcd.unreachable", LOG_FAULT(&why));
			(void)snprintf(told, sizeof(told), "%s", why.what);
		}
		if (dir_etcd_now_ms() > k.kept_ms + DIR_ETCD_LEASE_S * 1000)
			holds(k.e, false);
		dir_etcd_pause(k.e, AGAIN_MS, false);
	}
	if (k.lease != 0)
		(void)etcd_lease_revoke(k.e->leasing, k.lease, &why);
	return NULL;
}
