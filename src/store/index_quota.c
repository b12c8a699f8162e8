/* index_quota.c - quota roots in the index: their limits, and what their mailboxes come to together.
 *
 * What a root's counters are at any LSN is the sum over the mailboxes whose nearest root it is. They are kept up as the mailboxes'
 * records change (index_put_mailbox()), so that neither asking for them nor checking a limit walks anything. Only where a root is made,
 * and where one moves with its mailbox, the names below it are walked, once. */
#include <string.h>

#include "quota.h"
#include "store_private.h"

/* ROOT is borrowed by q_r. */
enum kv_result index_quota(struct kv_txn *t, struct bytes root, struct quota *q_r)
{
	struct bytes value;
	enum kv_result r = kv_get(t, T_QUOTA, root, &value);
	struct cursor c;

	if (r != KV_OK)
		return r;
	c = cursor_of(value);
	q_r->root = root;
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		if (!cursor_u64le(&c, &q_r->used[i]))
			return KV_FAILED;
	}
	return quota_limits_read(&c, &q_r->limits) ? KV_OK : KV_FAILED;
}

enum kv_result index_quota_of(struct kv_txn *t, struct bytes mailbox, struct quota *q_r)
{
	enum kv_result r;

	if (kv_count(t, T_QUOTA) == 0)
		return KV_NOT_FOUND;
	do {
		r = index_quota(t, mailbox, q_r);
	} while (r == KV_NOT_FOUND && quota_above(&mailbox));
	return r;
}

static enum kv_result put(struct kv_txn *t, const struct quota *q)
{
	struct buffer b = { 0 };
	enum kv_result r;

	for (unsigned i = 0; i < QUOTA_RESOURCES; i++)
		buffer_add_u64le(&b, q->used[i]);
	quota_limits_write(&b, &q->limits);
	r = index_put_counted(t, T_QUOTA, q->root, buffer_bytes(&b));
	buffer_fini(&b);
	return r;
}

/* Counts are modulo 2^64, so that a difference can be added. */
static enum kv_result charge(struct kv_txn *t, struct bytes mailbox, const uint64_t by[QUOTA_RESOURCES])
{
	struct quota q;
	enum kv_result r = index_quota_of(t, mailbox, &q);

	if (r != KV_OK)
		return r == KV_NOT_FOUND ? KV_OK : r;
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++)
		q.used[i] += by[i];
	return put(t, &q);
}

enum kv_result index_recount(struct kv_txn *t, mailbox_id_t id, const struct mailbox *m)
{
	uint8_t name[MAILBOX_NAME_MAX];
	struct mailbox old = { 0 };
	uint64_t by[QUOTA_RESOURCES] = { 0 };
	enum kv_result r;

	if (kv_count(t, T_QUOTA) == 0)
		return KV_OK;
	r = index_mailbox(t, id, &old);
	if (r == KV_FAILED)
		return r;
	if (r == KV_OK && m != NULL && bytes_equal(old.name, m->name)) {
		by[QUOTA_STORAGE] = m->bytes - old.bytes;
		by[QUOTA_MESSAGE] = (uint64_t)m->exists - old.exists;
		return by[QUOTA_STORAGE] == 0 && by[QUOTA_MESSAGE] == 0 ? KV_OK : charge(t, m->name, by);
	}
	if (r == KV_OK) {
		/* The page that lends it changes. */
		memcpy(name, old.name.p, old.name.n);
		by[QUOTA_STORAGE] = 0 - old.bytes;
		by[QUOTA_MESSAGE] = (uint64_t)0 - old.exists;
		by[QUOTA_MAILBOX] = (uint64_t)0 - 1;
		r = charge(t, bytes_make(name, old.name.n), by);
		if (r != KV_OK)
			return r;
	}
	if (m == NULL)
		return KV_OK;
	by[QUOTA_STORAGE] = m->bytes;
	by[QUOTA_MESSAGE] = m->exists;
	by[QUOTA_MAILBOX] = 1;
	return charge(t, m->name, by);
}

/* Add what mailbox NAME comes to, unless it has a root nearer than at ROOT_LENGTH. */
static enum kv_result add_mailbox(struct kv_txn *t, struct bytes name, mailbox_id_t id, size_t root_length,
                                  uint64_t sum[QUOTA_RESOURCES])
{
	struct mailbox m;
	struct quota near;
	enum kv_result r = index_quota_of(t, name, &near);

	if (r == KV_FAILED || (r == KV_OK && near.root.n > root_length))
		return r;
	r = index_mailbox(t, id, &m);
	if (r != KV_OK)
		return KV_FAILED;
	sum[QUOTA_STORAGE] += m.bytes;
	sum[QUOTA_MESSAGE] += m.exists;
	sum[QUOTA_MAILBOX]++;
	return KV_OK;
}

/* Walks the names below a root: those of a domain that begins like it are not. */
struct below {
	struct buffer prefix;
	struct kv_cursor *cursor;
	bool is_started;
};

static bool below_next(struct kv_txn *t, struct below *w, struct bytes root, struct bytes *name_r, struct bytes *id_r)
{
	bool has;

	do {
		if (w->is_started) {
			has = w->cursor != NULL && kv_next(w->cursor, name_r, id_r);
		} else {
			w->is_started = true;
			buffer_add(&w->prefix, root);
			buffer_add_u8(&w->prefix, '.');
			w->cursor = kv_seek(t, T_NAME, buffer_bytes(&w->prefix), name_r, id_r);
			has = w->cursor != NULL;
		}
		if (!has || !bytes_starts(*name_r, buffer_bytes(&w->prefix)))
			return false;
	} while (bytes_find(bytes_from(*name_r, w->prefix.n), '!') < name_r->n - w->prefix.n);
	return true;
}

static void below_end(struct below *w)
{
	kv_cursor_end(&w->cursor);
	buffer_fini(&w->prefix);
}

static enum kv_result sum_below(struct kv_txn *t, struct bytes root, uint64_t sum[QUOTA_RESOURCES])
{
	struct below w = { 0 };
	struct bytes name, value;
	mailbox_id_t id;
	enum kv_result r = index_name(t, root, &id);

	if (r == KV_OK)
		r = add_mailbox(t, root, id, root.n, sum);
	if (r == KV_FAILED)
		return r;
	r = KV_OK;
	while (r == KV_OK && below_next(t, &w, root, &name, &value)) {
		struct cursor c = cursor_of(value);

		r = cursor_u64le(&c, &id) ? add_mailbox(t, name, id, root.n, sum) : KV_FAILED;
	}
	below_end(&w);
	return r == KV_OK && kv_has_failed(t) ? KV_FAILED : r;
}

enum kv_result index_set_quota(struct kv_txn *t, struct bytes root, const struct quota_limits *limits)
{
	struct quota q = { 0 }, above;
	enum kv_result r = index_quota(t, root, &q);

	if (r == KV_NOT_FOUND) {
		q = (struct quota){ .root = root };
		r = sum_below(t, root, q.used);
		if (r == KV_OK)
			r = index_quota_of(t, root, &above);
		if (r == KV_OK) {
			for (unsigned i = 0; i < QUOTA_RESOURCES; i++)
				above.used[i] -= q.used[i];
			r = put(t, &above);
		}
	}
	if (r == KV_FAILED || r == KV_FULL)
		return r;
	q.limits = *limits;
	return put(t, &q);
}

/* What it governs is the next root's above. */
static enum kv_result drop(struct kv_txn *t, const struct quota *q)
{
	enum kv_result r = index_del_counted(t, T_QUOTA, q->root);

	return r == KV_OK ? charge(t, q->root, q->used) : r;
}

enum kv_result index_move_quota(struct kv_txn *t, struct bytes from, struct bytes to)
{
	struct quota q, taken;
	enum kv_result r = index_quota(t, from, &q);

	if (r == KV_OK)
		r = drop(t, &q);
	if (r != KV_OK)
		return r == KV_NOT_FOUND ? KV_OK : r;
	r = index_quota(t, to, &taken);
	return r == KV_NOT_FOUND ? index_set_quota(t, to, &q.limits) : r;
}

bool index_has_below(struct kv_txn *t, struct bytes root)
{
	struct below w = { 0 };
	struct bytes name, value;
	mailbox_id_t id;
	bool has = index_name(t, root, &id) == KV_OK || below_next(t, &w, root, &name, &value);

	below_end(&w);
	return has;
}

enum kv_result index_tidy_quotas(struct kv_txn *t, struct bytes name)
{
	enum kv_result r = KV_OK;

	if (kv_count(t, T_QUOTA) == 0)
		return KV_OK;
	do {
		struct quota q;

		r = index_quota(t, name, &q);
		if (r == KV_OK && q.used[QUOTA_MAILBOX] == 0 && !index_has_below(t, name))
			r = kv_has_failed(t) ? KV_FAILED : drop(t, &q);
	} while ((r == KV_OK || r == KV_NOT_FOUND) && quota_above(&name));
	return r == KV_NOT_FOUND ? KV_OK : r;
}
