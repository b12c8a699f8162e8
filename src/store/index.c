/* index.c - the records of the index's tables. */
#include <endian.h>
#include <string.h>

#include "cursor.h"
#include "store_private.h"

const char *const store_tables[T_COUNT] = { "meta", "name", "mailbox", "message", "modseq", "body", "subscription", "op",
	                                    "op-order", "salvaged", "expunged", "expunged-order", "attribute", "quota" };

/* The lowest WIDTH octets of V. */
static size_t put_be(uint8_t *to, uint64_t v, size_t width)
{
	v = htobe64(v << (8 * (sizeof(v) - width)));
	memcpy(to, &v, width);
	return width;
}

size_t key_u64(uint8_t *to, uint64_t v)
{
	return put_be(to, v, 8);
}

size_t key_message(uint8_t *to, mailbox_id_t mailbox, uint32_t uid)
{
	return put_be(to, mailbox, 8) + put_be(to + 8, uid, 4);
}

size_t key_modseq(uint8_t *to, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid)
{
	return put_be(to, mailbox, 8) + put_be(to + 8, modseq, 8) + put_be(to + 16, uid, 4);
}

static uint64_t read_be(struct bytes key, size_t at, size_t width)
{
	uint64_t v = 0;

	if (at <= key.n && key.n - at >= width) {
		memcpy(&v, key.p + at, width);
		return be64toh(v) >> (8 * (sizeof(v) - width));
	}
	for (size_t i = at; i < at + width && i < key.n; i++)
		v = v << 8 | key.p[i];
	return v;
}

uint64_t key_read_u64(struct bytes key, size_t at)
{
	return read_be(key, at, 8);
}

uint32_t key_read_u32(struct bytes key, size_t at)
{
	return (uint32_t)read_be(key, at, 4);
}

enum kv_result index_meta(struct kv_txn *t, const char *key, uint64_t *v_r)
{
	struct bytes value;
	enum kv_result r = kv_get(t, T_META, bytes_of(key), &value);
	struct cursor c;

	*v_r = 0;
	if (r == KV_NOT_FOUND)
		return KV_OK;
	if (r != KV_OK)
		return r;
	c = cursor_of(value);
	return cursor_u64le(&c, v_r) ? KV_OK : KV_FAILED;
}

enum kv_result index_put_meta(struct kv_txn *t, const char *key, uint64_t v)
{
	struct buffer b = { 0 };
	enum kv_result r;

	buffer_add_u64le(&b, v);
	r = kv_put(t, T_META, bytes_of(key), buffer_bytes(&b));
	buffer_fini(&b);
	return r;
}

enum kv_result index_reign(struct kv_txn *t, struct store_reign *r_r)
{
	struct bytes value;
	enum kv_result r = kv_get(t, T_META, BYTES_LIT("reign"), &value);
	struct cursor c;

	if (r != KV_OK)
		return r;
	c = cursor_of(value);
	return cursor_u64le(&c, &r_r->lsn) && cursor_u64le(&c, &r_r->epoch) && cursor_bytes32(&c, 4096, &r_r->master) &&
	                       cursor_bytes32(&c, 65536, &r_r->in_sync) ?
	               KV_OK :
	               KV_FAILED;
}

enum kv_result index_put_reign(struct kv_txn *t, const struct store_reign *r)
{
	struct buffer b = { 0 };
	enum kv_result result;

	buffer_add_u64le(&b, r->lsn);
	buffer_add_u64le(&b, r->epoch);
	buffer_add_bytes32(&b, r->master);
	buffer_add_bytes32(&b, r->in_sync);
	result = kv_put(t, T_META, BYTES_LIT("reign"), buffer_bytes(&b));
	buffer_fini(&b);
	return result;
}

enum kv_result index_name(struct kv_txn *t, struct bytes name, mailbox_id_t *id_r)
{
	struct bytes value;
	enum kv_result r = kv_get(t, T_NAME, name, &value);
	struct cursor c;

	if (r != KV_OK)
		return r;
	c = cursor_of(value);
	return cursor_u64le(&c, id_r) ? KV_OK : KV_FAILED;
}

enum kv_result index_mailbox(struct kv_txn *t, mailbox_id_t id, struct mailbox *m)
{
	uint8_t key[KEY_MAX];
	struct bytes value;
	enum kv_result r = kv_get(t, T_MAILBOX, bytes_make(key, key_u64(key, id)), &value);
	struct cursor c;
	uint8_t count;

	if (r != KV_OK)
		return r;
	c = cursor_of(value);
	m->id = id;
	if (!cursor_u32le(&c, &m->uidvalidity) || !cursor_u32le(&c, &m->uidnext) || !cursor_u64le(&c, &m->highestmodseq) ||
	    !cursor_u32le(&c, &m->exists) || !cursor_u32le(&c, &m->unseen) || !cursor_u32le(&c, &m->deleted) ||
	    !cursor_u64le(&c, &m->bytes) || !cursor_u64le(&c, &m->digest) || !cursor_bytes32(&c, MAILBOX_NAME_MAX, &m->name) ||
	    !cursor_bytes32(&c, MAILBOX_ACL_MAX, &m->acl) || !cursor_bytes32(&c, 255, &m->partition) || !cursor_u8(&c, &count) ||
	    count > KEYWORDS_MAX)
		return KV_FAILED;
	m->keyword_count = count;
	for (unsigned i = 0; i < count; i++) {
		if (!cursor_bytes32(&c, KEYWORD_NAME_MAX, &m->keywords[i]))
			return KV_FAILED;
	}
	return KV_OK;
}

/* "digest" in meta is the sum over all records of mailboxes, subscriptions and quota roots. */
static enum kv_result count_out(struct kv_txn *t, size_t table, struct bytes key, uint64_t *sum_r)
{
	struct bytes old;
	enum kv_result r = index_meta(t, "digest", sum_r);

	if (r == KV_OK)
		r = kv_get(t, table, key, &old);
	if (r == KV_OK)
		*sum_r -= digest_of(key, old);
	return r;
}

enum kv_result index_put_counted(struct kv_txn *t, size_t table, struct bytes key, struct bytes value)
{
	uint64_t sum;
	enum kv_result r = count_out(t, table, key, &sum);

	if (r == KV_NOT_FOUND || r == KV_OK)
		r = kv_put(t, table, key, value);
	return r == KV_OK ? index_put_meta(t, "digest", sum + digest_of(key, value)) : r;
}

enum kv_result index_del_counted(struct kv_txn *t, size_t table, struct bytes key)
{
	uint64_t sum;
	enum kv_result r = count_out(t, table, key, &sum);

	if (r == KV_OK)
		r = kv_del(t, table, key);
	return r == KV_OK ? index_put_meta(t, "digest", sum) : r;
}

enum kv_result index_put_mailbox(struct kv_txn *t, const struct mailbox *m)
{
	uint8_t key[KEY_MAX];
	struct buffer b = { 0 };
	enum kv_result r;

	buffer_add_u32le(&b, m->uidvalidity);
	buffer_add_u32le(&b, m->uidnext);
	buffer_add_u64le(&b, m->highestmodseq);
	buffer_add_u32le(&b, m->exists);
	buffer_add_u32le(&b, m->unseen);
	buffer_add_u32le(&b, m->deleted);
	buffer_add_u64le(&b, m->bytes);
	buffer_add_u64le(&b, m->digest);
	buffer_add_bytes32(&b, m->name);
	buffer_add_bytes32(&b, m->acl);
	buffer_add_bytes32(&b, m->partition);
	buffer_add_u8(&b, (uint8_t)m->keyword_count);
	for (unsigned i = 0; i < m->keyword_count; i++)
		buffer_add_bytes32(&b, m->keywords[i]);
	r = index_recount(t, m->id, m);
	if (r == KV_OK)
		r = index_put_counted(t, T_MAILBOX, bytes_make(key, key_u64(key, m->id)), buffer_bytes(&b));
	buffer_fini(&b);
	return r;
}

enum kv_result index_del_mailbox(struct kv_txn *t, mailbox_id_t id)
{
	uint8_t key[KEY_MAX];
	enum kv_result r = index_recount(t, id, NULL);

	return r == KV_OK ? index_del_counted(t, T_MAILBOX, bytes_make(key, key_u64(key, id))) : r;
}

enum kv_result index_subscribe(struct kv_txn *t, struct bytes key, bool is_on)
{
	enum kv_result r = is_on ? index_put_counted(t, T_SUBSCRIPTION, key, BYTES_NONE) : index_del_counted(t, T_SUBSCRIPTION, key);

	return r == KV_NOT_FOUND ? KV_OK : r;
}

/* A message: u64 modseq, u64 body, i64 internaldate, u32 size, u8 flags, u64 keywords, i64 savedate unless that is 0. */
bool index_decode_message(struct bytes key, struct bytes value, struct message *m)
{
	struct cursor c = cursor_of(value);
	uint64_t date, saved = 0;
	uint8_t flags;

	m->uid = key_read_u32(key, 8);
	if (!cursor_u64le(&c, &m->modseq) || !cursor_u64le(&c, &m->body) || !cursor_u64le(&c, &date) ||
	    !cursor_u32le(&c, &m->size) || !cursor_u8(&c, &flags) || !cursor_u64le(&c, &m->keywords) ||
	    (!cursor_at_end(&c) && !cursor_u64le(&c, &saved)))
		return false;
	m->savedate = (int64_t)saved;
	m->internaldate = (int64_t)date;
	m->flags = flags;
	return true;
}

typedef enum kv_result get_fn(struct kv_txn *t, size_t table, struct bytes key, struct bytes *value_r);

static enum kv_result message_by(get_fn *get, struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	uint8_t key[KEY_MAX];
	struct bytes k = bytes_make(key, key_message(key, mailbox, uid)), value;
	enum kv_result r = get(t, T_MESSAGE, k, &value);

	if (r == KV_OK && !index_decode_message(k, value, m_r))
		return KV_FAILED;
	return r;
}

enum kv_result index_message(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	return message_by(kv_get, t, mailbox, uid, m_r);
}

enum kv_result index_message_next(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	return message_by(kv_get_next, t, mailbox, uid, m_r);
}

#define MESSAGE_RECORD 45 /* at most */

static uint8_t *put_le(uint8_t *to, uint64_t v, size_t width)
{
	v = htole64(v);
	memcpy(to, &v, width);
	return to + width;
}

/* Into TO, of MESSAGE_RECORD octets; the record. Often done: for each change, and the digests of before and after. */
static struct bytes encode_message(uint8_t *to, const struct message *m)
{
	uint8_t *at = to;

	at = put_le(at, m->modseq, 8);
	at = put_le(at, m->body, 8);
	at = put_le(at, (uint64_t)m->internaldate, 8);
	at = put_le(at, m->size, 4);
	at = put_le(at, (uint8_t)m->flags, 1);
	at = put_le(at, m->keywords, 8);
	if (m->savedate != 0)
		at = put_le(at, (uint64_t)m->savedate, 8);
	return bytes_make(to, (size_t)(at - to));
}

uint64_t index_message_digest(mailbox_id_t mailbox, const struct message *m)
{
	uint8_t key[KEY_MAX], value[MESSAGE_RECORD];

	return digest_of(bytes_make(key, key_message(key, mailbox, m->uid)), encode_message(value, m));
}

enum kv_result index_put_message(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m)
{
	uint8_t key[KEY_MAX], value[MESSAGE_RECORD];

	return kv_put(t, T_MESSAGE, bytes_make(key, key_message(key, mailbox, m->uid)), encode_message(value, m));
}

enum kv_result index_put_message_here(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m)
{
	uint8_t key[KEY_MAX], value[MESSAGE_RECORD];

	return kv_put_here(t, T_MESSAGE, bytes_make(key, key_message(key, mailbox, m->uid)), encode_message(value, m));
}

static size_t key_kept_order(uint8_t *to, int64_t time, mailbox_id_t mailbox, uint32_t uid)
{
	return put_be(to, (uint64_t)time, 8) + put_be(to + 8, mailbox, 8) + put_be(to + 16, uid, 4);
}

enum kv_result index_keep(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m, int64_t time)
{
	uint8_t key[KEY_MAX], value[8 + MESSAGE_RECORD];
	struct bytes record = encode_message(put_le(value, (uint64_t)time, 8), m);
	enum kv_result r = kv_put(t, T_EXPUNGED, bytes_make(key, key_message(key, mailbox, m->uid)), bytes_make(value, 8 + record.n));

	if (r != KV_OK)
		return r;
	return kv_put(t, T_EXPUNGED_ORDER, bytes_make(key, key_kept_order(key, time, mailbox, m->uid)), BYTES_NONE);
}

bool index_decode_kept(struct bytes key, struct bytes value, struct message *m_r, int64_t *time_r)
{
	struct cursor c = cursor_of(value);
	uint64_t time;

	if (!cursor_u64le(&c, &time) || !index_decode_message(key, cursor_rest(&c), m_r))
		return false;
	*time_r = (int64_t)time;
	return true;
}

enum kv_result index_drop(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, uint64_t *freed)
{
	uint8_t key[KEY_MAX], order[KEY_MAX];
	struct bytes k = bytes_make(key, key_message(key, mailbox, uid)), value;
	struct message m;
	int64_t time;
	enum kv_result r = kv_get(t, T_EXPUNGED, k, &value);

	if (r == KV_OK && !index_decode_kept(k, value, &m, &time))
		r = KV_FAILED;
	if (r == KV_OK)
		r = kv_del(t, T_EXPUNGED, k);
	if (r == KV_OK)
		r = kv_del(t, T_EXPUNGED_ORDER, bytes_make(order, key_kept_order(order, time, mailbox, uid)));
	return r == KV_OK ? index_ref_body(t, m.body, -1, freed) : r;
}

enum kv_result index_put_modseq(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid, bool is_gone)
{
	uint8_t key[KEY_MAX], value = is_gone;

	return kv_put(t, T_MODSEQ, bytes_make(key, key_modseq(key, mailbox, modseq, uid)), bytes_make(&value, 1));
}

enum kv_result index_del_modseq(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid)
{
	uint8_t key[KEY_MAX];

	return kv_del(t, T_MODSEQ, bytes_make(key, key_modseq(key, mailbox, modseq, uid)));
}

enum kv_result index_del_modseq_next(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid)
{
	uint8_t key[KEY_MAX];

	return kv_del_next(t, T_MODSEQ, bytes_make(key, key_modseq(key, mailbox, modseq, uid)));
}

bool index_decode_body(struct bytes value, struct index_body *b_r)
{
	struct cursor c = cursor_of(value);

	if (!cursor_u32le(&c, &b_r->size) || !cursor_u64le(&c, &b_r->hash) || !cursor_u32le(&c, &b_r->refs))
		return false;
	b_r->structure = cursor_rest(&c);
	return true;
}

enum kv_result index_body(struct kv_txn *t, lsn_t body, struct index_body *b_r)
{
	uint8_t key[KEY_MAX];
	struct bytes value;
	enum kv_result r = kv_get(t, T_BODY, bytes_make(key, key_u64(key, body)), &value);

	if (r != KV_OK)
		return r;
	return index_decode_body(value, b_r) ? KV_OK : KV_FAILED;
}

enum kv_result index_put_body(struct kv_txn *t, lsn_t body, const struct index_body *b)
{
	uint8_t key[KEY_MAX];
	struct buffer v = { 0 };
	enum kv_result r;

	buffer_add_u32le(&v, b->size);
	buffer_add_u64le(&v, b->hash);
	buffer_add_u32le(&v, b->refs);
	buffer_add(&v, b->structure);
	r = kv_put(t, T_BODY, bytes_make(key, key_u64(key, body)), buffer_bytes(&v));
	buffer_fini(&v);
	return r;
}

enum kv_result index_ref_body(struct kv_txn *t, lsn_t body, int by, uint64_t *freed)
{
	uint8_t key[KEY_MAX];
	struct index_body b;
	enum kv_result r = index_body(t, body, &b);

	if (r != KV_OK)
		return r == KV_NOT_FOUND ? KV_FAILED : r;
	b.refs = (uint32_t)((int64_t)b.refs + by);
	if (b.refs == 0)
		*freed += b.size;
	if (b.refs == 0)
		return kv_del(t, T_BODY, bytes_make(key, key_u64(key, body)));
	return index_put_body(t, body, &b);
}

enum kv_result index_drop_body(struct kv_txn *t, lsn_t body, uint64_t *freed)
{
	uint8_t key[KEY_MAX];
	struct index_body b;
	enum kv_result r = index_body(t, body, &b);

	if (r != KV_OK)
		return r;
	*freed += b.size;
	return kv_del(t, T_BODY, bytes_make(key, key_u64(key, body)));
}

static bool each_range(struct kv_txn *t, mailbox_id_t mailbox, struct uid_range r, index_each_fn *fn, void *arg)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_MESSAGE, bytes_make(start, key_message(start, mailbox, r.first)), &key, &value);
	bool go_on = true;

	if (c == NULL)
		return true;
	do {
		struct message m;

		if (key_read_u64(key, 0) != mailbox || key_read_u32(key, 8) > r.last)
			break;
		go_on = index_decode_message(key, value, &m) && fn(arg, &m);
	} while (go_on && kv_next(c, &key, &value));
	kv_cursor_end(&c);
	return go_on;
}

void index_each(struct kv_txn *t, mailbox_id_t mailbox, const struct uid_range *ranges, size_t count, bool is_all,
                index_each_fn *fn, void *arg)
{
	if (is_all) {
		(void)each_range(t, mailbox, (struct uid_range){ 1, UINT32_MAX }, fn, arg);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!each_range(t, mailbox, ranges[i], fn, arg))
			return;
	}
}
