/* record_store.c - the tables that records are in. Who deleted a name last is kept for a
 * bounded number of names, the oldest is forgotten first. */
#include "record_store.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "alloc.h"
#include "buffer.h"
#include "kv_copy.h"
#include "log.h"
#include "record_codec.h"

enum { TABLE_MAILBOX, TABLE_DELETED, TABLE_DELETED_ORDER, TABLE_SERVER, TABLE_SEEN, TABLE_COUNT };

/* So many deletions are remembered also where there is no room. */
#define DELETED_MIN 1000

static const char *const tables[TABLE_COUNT] = { "mailbox", "deleted", "deleted-order", "server", "seen" };

/* LMDB takes an empty file for a new one; to begin with no mailboxes is not to be done unasked. */
static bool has_content(const char *dir, struct fault *why)
{
	char *path = must_printf("%s/data.mdb", dir);
	struct stat file;
	bool ok = stat(path, &file) != 0 || file.st_size > 0 ||
	          fault_set(why, FAULT_OPERATOR, "%s: is empty: put a copy in its place, or remove it to begin with nothing", path);

	free(path);
	return ok;
}

struct kv *record_store_open(const char *dir, size_t map_size, bool is_durable, struct fault *why)
{
	if (is_durable && !has_content(dir, why))
		return NULL;
	return kv_open(dir, map_size, tables, TABLE_COUNT, is_durable, false, why);
}

struct kv *record_store_open_copy(const char *dir, size_t map_size, bool *is_whole_r, struct fault *why)
{
	return kv_copy_open(dir, map_size, tables, TABLE_COUNT, is_whole_r, why);
}

static bool decode(struct bytes value, struct record *record_r)
{
	return record_decode(value, record_r) && record_r->state != RECORD_NONE;
}

struct kv *record_store_open_reader(const char *dir, size_t map_size, struct fault *why)
{
	return kv_open(dir, map_size, tables, TABLE_COUNT, false, true, why);
}

enum kv_result record_get(struct kv_txn *t, struct bytes name, struct record *record_r)
{
	struct bytes value;
	enum kv_result result = kv_get(t, TABLE_MAILBOX, name, &value);

	*record_r = (struct record){ .state = RECORD_NONE };
	if (result == KV_NOT_FOUND)
		return KV_OK;
	if (result == KV_OK && !decode(value, record_r)) {
		log_event(LOG_ERROR, "directory.record.damaged", LOG_BYTES("mbox", name));
		return KV_FAILED;
	}
	return result;
}

enum kv_result record_put(struct kv_txn *t, struct bytes name, const struct record *record)
{
	struct buffer value = { 0 };
	enum kv_result result;

	if (record->state == RECORD_NONE) {
		result = kv_del(t, TABLE_MAILBOX, name);
		return result == KV_NOT_FOUND ? KV_OK : result;
	}
	record_encode(&value, record);
	result = kv_put(t, TABLE_MAILBOX, name, buffer_bytes(&value));
	buffer_fini(&value);
	return result;
}

size_t record_count(struct kv_txn *t)
{
	return kv_count(t, TABLE_MAILBOX);
}

void record_cursor_open(struct kv_txn *t, struct bytes from, bool after, struct record_cursor *c_r)
{
	*c_r = (struct record_cursor){ .txn = t };
	c_r->cursor = kv_seek(t, TABLE_MAILBOX, from, &c_r->key, &c_r->value);
	c_r->has = c_r->cursor != NULL;
	if (c_r->has && after && bytes_equal(c_r->key, from))
		record_cursor_next(c_r);
}

bool record_cursor_get(struct record_cursor *c, struct bytes *name_r, struct record *record_r)
{
	if (!c->has)
		return false;
	*name_r = c->key;
	*record_r = (struct record){ .state = RECORD_NONE };
	if (!decode(c->value, record_r)) {
		log_event(LOG_ERROR, "directory.record.damaged", LOG_BYTES("mbox", c->key));
		*record_r = (struct record){ .state = RECORD_NONE };
		c->is_damaged = true;
	}
	return true;
}

void record_cursor_next(struct record_cursor *c)
{
	c->has = kv_next(c->cursor, &c->key, &c->value);
}

bool record_cursor_close(struct record_cursor *c)
{
	kv_cursor_end(&c->cursor);
	c->has = false;
	return !c->is_damaged && !kv_has_failed(c->txn);
}

/* "deleted": name -> u64 number, server. "deleted-order": the number, big-endian -> name. */
enum kv_result record_deleted_by(struct kv_txn *t, struct bytes name, struct bytes *server_r)
{
	struct bytes value;
	enum kv_result result = kv_get(t, TABLE_DELETED, name, &value);

	*server_r = BYTES_NONE;
	if (result == KV_NOT_FOUND)
		return KV_OK;
	if (result == KV_OK)
		*server_r = bytes_from(value, 8);
	return result;
}

static void big_endian(uint64_t v, uint8_t to[8])
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t from_big_endian(struct bytes b)
{
	uint64_t v = 0;

	for (size_t i = 0; i < b.n; i++)
		v = v << 8 | b.p[i];
	return v;
}

static enum kv_result forget(struct kv_txn *t, struct bytes order_key, struct bytes name)
{
	enum kv_result result = kv_del(t, TABLE_DELETED, name);

	if (result == KV_OK || result == KV_NOT_FOUND)
		result = kv_del(t, TABLE_DELETED_ORDER, order_key);
	return result == KV_NOT_FOUND ? KV_OK : result;
}

static enum kv_result forget_oldest(struct kv_txn *t)
{
	struct bytes key, name;
	struct kv_cursor *c = kv_seek(t, TABLE_DELETED_ORDER, BYTES_NONE, &key, &name);
	struct buffer copy = { 0 };
	enum kv_result result = KV_OK;

	if (c == NULL)
		return kv_has_failed(t) ? KV_FAILED : KV_OK;
	buffer_add(&copy, key);
	buffer_add(&copy, name);
	kv_cursor_end(&c);
	result = forget(t, bytes_sub(buffer_bytes(&copy), 0, 8), bytes_from(buffer_bytes(&copy), 8));
	buffer_fini(&copy);
	return result;
}

enum kv_result record_note_deleted(struct kv_txn *t, struct bytes name, struct bytes server)
{
	static const uint8_t last[9] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct bytes key, old;
	uint64_t number = 1;
	uint8_t order[8], old_order[8];
	struct buffer value = { 0 };
	enum kv_result result = kv_get(t, TABLE_DELETED, name, &old);

	if (result == KV_OK && old.n >= 8) {
		for (size_t i = 0; i < 8; i++)
			old_order[i] = old.p[i];
		result = forget(t, bytes_make(old_order, 8), name);
	}
	if (result != KV_OK && result != KV_NOT_FOUND)
		return result;
	result = kv_before(t, TABLE_DELETED_ORDER, bytes_make(last, sizeof(last)), &key, &old);
	if (result != KV_OK && result != KV_NOT_FOUND)
		return result;
	if (result == KV_OK)
		number = from_big_endian(key) + 1;
	big_endian(number, order);
	buffer_add(&value, bytes_make(order, 8));
	buffer_add(&value, server);
	result = kv_put(t, TABLE_DELETED, name, buffer_bytes(&value));
	if (result == KV_OK)
		result = kv_put(t, TABLE_DELETED_ORDER, bytes_make(order, 8), name);
	if (result == KV_OK && kv_count(t, TABLE_DELETED_ORDER) > RECORD_DELETED_MAX)
		result = forget_oldest(t);
	/* Where there is no room, memory must not take what the deletion gives. */
	for (int i = 0; i < 2 && result == KV_OK && kv_is_tight(t) && kv_count(t, TABLE_DELETED_ORDER) > DELETED_MIN; i++)
		result = forget_oldest(t);
	buffer_fini(&value);
	return result;
}

enum kv_result record_forget_deleted(struct kv_txn *t, struct bytes name)
{
	struct bytes value;
	uint8_t order[8];
	enum kv_result result = kv_get(t, TABLE_DELETED, name, &value);

	if (result == KV_NOT_FOUND || (result == KV_OK && value.n < 8))
		return KV_OK;
	for (size_t i = 0; result == KV_OK && i < 8; i++)
		order[i] = value.p[i];
	return result == KV_OK ? forget(t, bytes_make(order, 8), name) : result;
}

enum kv_result record_mark_seen(struct kv_txn *t, struct bytes name)
{
	return kv_put(t, TABLE_SEEN, name, BYTES_NONE);
}

bool record_was_seen(struct kv_txn *t, struct bytes name)
{
	struct bytes value;

	return kv_get(t, TABLE_SEEN, name, &value) == KV_OK;
}

enum kv_result record_clear_seen(struct kv_txn *t)
{
	return kv_clear(t, TABLE_SEEN);
}

enum kv_result reign_get(struct kv_txn *t, struct bytes server, struct reign *reign_r)
{
	struct bytes value;
	enum kv_result result = kv_get(t, TABLE_SERVER, server, &value);

	*reign_r = (struct reign){ 0 };
	if (result == KV_NOT_FOUND)
		return KV_OK;
	if (result == KV_OK && !reign_decode(value, reign_r)) {
		log_event(LOG_ERROR, "directory.server.damaged", LOG_BYTES("server", server));
		return KV_FAILED;
	}
	return result;
}

enum kv_result reign_put(struct kv_txn *t, struct bytes server, const struct reign *reign)
{
	struct buffer value = { 0 };
	enum kv_result result;

	reign_encode(&value, reign);
	result = kv_put(t, TABLE_SERVER, server, buffer_bytes(&value));
	buffer_fini(&value);
	return result;
}

bool reign_each(struct kv_txn *t, reign_each_fn *fn, void *arg)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, TABLE_SERVER, BYTES_NONE, &key, &value);
	bool has = c != NULL, ok = true;

	for (; has; has = kv_next(c, &key, &value)) {
		struct reign reign = { 0 };

		if (reign_decode(value, &reign)) {
			fn(arg, key, &reign);
		} else {
			log_event(LOG_ERROR, "directory.server.damaged", LOG_BYTES("server", key));
			ok = false;
		}
	}
	kv_cursor_end(&c);
	return ok && !kv_has_failed(t);
}
