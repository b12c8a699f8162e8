/* store_view.c - reading, for sessions: a snapshot of the index and the mapped journal. */
#include "store_view.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "imap_flags.h"
#include "store_private.h"

#define AHEAD_MAX 2048
#define CACHE_LINE 64

struct store_view {
	struct store *store;
	struct kv_txn *txn;
	struct journal_pin pin;
	lsn_t lsn;
	lsn_t last_body; /* the record of the body that was asked for last: a body and its structure are asked for in turn */
	struct index_body last;
	lsn_t ahead_body; /* where BODIES stands, if not 0, and its record */
	struct bytes ahead;
	struct kv_cursor *bodies; /* stands where the last one was found: the next is often on the same page */
};

static bool enter(struct store *s, struct fault *why)
{
	bool may;

	(void)pthread_mutex_lock(&s->gate);
	may = !s->is_reopening;
	s->views += may;
	(void)pthread_mutex_unlock(&s->gate);
	return may || fault_set(why, FAULT_TRANSIENT, "%s: a copy is being put in its place", s->dir);
}

static void leave(struct store *s)
{
	(void)pthread_mutex_lock(&s->gate);
	s->views--;
	(void)pthread_mutex_unlock(&s->gate);
}

struct store_view *store_view_open(struct store *s, struct fault *why)
{
	struct store_view *v;

	if (!enter(s, why))
		return NULL;
	v = must_calloc(1, sizeof(*v));
	v->store = s;
	journal_pin(&s->journal, &v->pin);
	v->txn = kv_read(s->kv, why);
	if (v->txn == NULL) {
		journal_unpin(&s->journal, &v->pin);
		leave(s);
		free(v);
		return NULL;
	}
	(void)index_meta(v->txn, "applied", &v->lsn);
	return v;
}

void store_view_close(struct store_view **v)
{
	if (*v == NULL)
		return;
	kv_cursor_end(&(*v)->bodies);
	kv_end(&(*v)->txn);
	journal_unpin(&(*v)->store->journal, &(*v)->pin);
	leave((*v)->store);
	free(*v);
	*v = NULL;
}

struct kv_txn *store_view_txn(const struct store_view *v)
{
	return v->txn;
}

lsn_t store_view_lsn(const struct store_view *v)
{
	return v->lsn;
}

uint64_t store_view_epoch(const struct store_view *v)
{
	struct store_reign reign;

	return index_reign(v->txn, &reign) == KV_OK ? reign.epoch : 0;
}

static enum store_result result(struct store_view *v, enum kv_result r, struct fault *why)
{
	if (r == KV_OK || r == KV_NOT_FOUND)
		return r == KV_OK ? STORE_OK : STORE_NO_MAILBOX;
	(void)fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", v->store->dir);
	return STORE_FAILED;
}

enum store_result store_view_mailbox(struct store_view *v, struct bytes name, struct mailbox *m_r, struct fault *why)
{
	mailbox_id_t id;
	enum kv_result r = index_name(v->txn, name, &id);

	return result(v, r == KV_OK ? index_mailbox(v->txn, id, m_r) : r, why);
}

enum store_result store_view_mailbox_by_id(struct store_view *v, mailbox_id_t id, struct mailbox *m_r, struct fault *why)
{
	return result(v, index_mailbox(v->txn, id, m_r), why);
}

enum store_result store_view_quota(struct store_view *v, struct bytes root, struct quota *q_r, struct fault *why)
{
	return result(v, index_quota(v->txn, root, q_r), why);
}

enum store_result store_view_quota_of(struct store_view *v, struct bytes mailbox, struct quota *q_r, struct fault *why)
{
	return result(v, index_quota_of(v->txn, mailbox, q_r), why);
}

/* Step an iterator's cursor: to START at first, then on. */
static bool advance(struct store_view *v, size_t table, struct kv_cursor **c, bool *is_started, struct bytes start,
                    struct bytes *key_r, struct bytes *value_r)
{
	if (!*is_started) {
		*is_started = true;
		*c = kv_seek(v->txn, table, start, key_r, value_r);
		return *c != NULL;
	}
	return *c != NULL && kv_next(*c, key_r, value_r);
}

void store_view_names(struct store_view *v, struct bytes prefix, struct view_names *it_r)
{
	store_view_names_from(v, prefix, prefix, it_r);
}

void store_view_names_from(struct store_view *v, struct bytes prefix, struct bytes from, struct view_names *it_r)
{
	*it_r = (struct view_names){ .view = v, .prefix = prefix, .from = bytes_compare(from, prefix) > 0 ? from : prefix };
}

bool view_names_next(struct view_names *it, struct bytes *name_r, mailbox_id_t *id_r)
{
	struct bytes value;
	struct cursor c;

	if (!advance(it->view, T_NAME, &it->cursor, &it->is_started, it->from, name_r, &value) ||
	    !bytes_starts(*name_r, it->prefix))
		return false;
	c = cursor_of(value);
	if (cursor_u64le(&c, id_r))
		return true;
	it->result = STORE_FAILED;
	return false;
}

void view_names_end(struct view_names *it)
{
	kv_cursor_end(&it->cursor);
}

void store_view_messages(struct store_view *v, mailbox_id_t mailbox, uint32_t from, struct view_messages *it_r)
{
	*it_r = (struct view_messages){ .view = v, .mailbox = mailbox, .from = from };
}

bool view_messages_next(struct view_messages *it, struct message *m_r)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;

	if (!advance(it->view, T_MESSAGE, &it->cursor, &it->is_started, bytes_make(start, key_message(start, it->mailbox, it->from)),
	             &key, &value) ||
	    key_read_u64(key, 0) != it->mailbox)
		return false;
	if (index_decode_message(key, value, m_r))
		return true;
	it->result = STORE_FAILED;
	return false;
}

void view_messages_end(struct view_messages *it)
{
	kv_cursor_end(&it->cursor);
}

enum store_result store_view_message(struct store_view *v, mailbox_id_t mailbox, uint32_t uid, struct message *m_r,
                                     struct fault *why)
{
	return result(v, index_message(v->txn, mailbox, uid, m_r), why);
}

enum store_result store_view_deleted(struct store_view *v, const struct mailbox *m, size_t most, struct view_deleted *d, struct fault *why)
{
	struct view_messages it;
	struct message msg;
	bool has = true;

	store_view_messages(v, m->id, d->uid, &it);
	for (size_t i = 0; i < most && d->count < m->deleted && (has = view_messages_next(&it, &msg)); i++) {
		d->uid = msg.uid + 1;
		if ((msg.flags & IMAP_FLAG_DELETED) == 0)
			continue;
		d->bytes += msg.size;
		d->count++;
	}
	if (!has || d->count >= m->deleted)
		d->uid = 0;
	view_messages_end(&it);
	return result(v, it.result == STORE_OK ? KV_OK : KV_FAILED, why);
}

void store_view_changes(struct store_view *v, mailbox_id_t mailbox, modseq_t since, struct view_changes *it_r)
{
	store_view_changes_from(v, mailbox, since + 1, 0, it_r);
}

void store_view_changes_from(struct store_view *v, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid,
                             struct view_changes *it_r)
{
	*it_r = (struct view_changes){ .view = v, .mailbox = mailbox, .modseq = modseq, .uid = uid };
}

bool view_changes_next(struct view_changes *it, struct view_change *c_r)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;

	if (!advance(it->view, T_MODSEQ, &it->cursor, &it->is_started,
	             bytes_make(start, key_modseq(start, it->mailbox, it->modseq, it->uid)), &key, &value) ||
	    key_read_u64(key, 0) != it->mailbox)
		return false;
	*c_r = (struct view_change){ key_read_u32(key, 16), key_read_u64(key, 8), value.n > 0 && value.p[0] != 0 };
	return true;
}

void view_changes_end(struct view_changes *it)
{
	kv_cursor_end(&it->cursor);
}

/* Bodies are mostly asked for in their order: the record behind the one that is told is looked up already, and on its way from memory
 * while this one is worked on. */
static void look_ahead(struct store_view *v)
{
	struct bytes key, value;

	v->ahead_body = 0;
	if (!kv_next(v->bodies, &key, &value))
		return;
	for (size_t i = 0; i < value.n && i < AHEAD_MAX; i += CACHE_LINE)
		__builtin_prefetch(value.p + i);
	v->ahead_body = key_read_u64(key, 0);
	v->ahead = value;
}

static enum kv_result find_body(struct store_view *v, lsn_t body, struct index_body *b_r)
{
	uint8_t start[KEY_MAX];
	struct bytes at = bytes_make(start, key_u64(start, body)), key, value;
	bool found;

	if (v->bodies != NULL && v->ahead_body == body) {
		value = v->ahead;
	} else {
		if (v->bodies == NULL) {
			v->bodies = kv_seek(v->txn, T_BODY, at, &key, &value);
			found = v->bodies != NULL;
		} else {
			found = kv_reseek(v->bodies, at, &key, &value);
		}
		if (!found && kv_has_failed(v->txn))
			return KV_FAILED;
		if (!found || !bytes_equal(key, at))
			return KV_NOT_FOUND;
	}
	look_ahead(v);
	return index_decode_body(value, b_r) ? KV_OK : KV_FAILED;
}

static enum kv_result body_of(struct store_view *v, lsn_t body, struct index_body *b_r)
{
	enum kv_result r = KV_OK;

	if (v->last_body == 0 || v->last_body != body)
		r = find_body(v, body, &v->last);
	v->last_body = r == KV_OK ? body : 0;
	*b_r = v->last;
	return r;
}

enum store_result store_view_structure(struct store_view *v, lsn_t body, struct bytes *structure_r, struct fault *why)
{
	struct index_body b;
	enum kv_result r = body_of(v, body, &b);

	*structure_r = r == KV_OK ? b.structure : BYTES_NONE;
	return result(v, r, why);
}

uint64_t store_view_bodies(const struct store_view *v)
{
	return kv_count(v->txn, T_BODY);
}

enum store_result store_view_body_size(struct store_view *v, lsn_t body, uint32_t *size_r, struct fault *why)
{
	struct index_body b;
	enum kv_result r = body_of(v, body, &b);

	if (r == KV_OK)
		*size_r = b.size;
	return result(v, r, why);
}

enum store_result store_view_body_hash(struct store_view *v, lsn_t body, uint64_t *hash_r, struct fault *why)
{
	struct index_body b;
	enum kv_result r = body_of(v, body, &b);

	if (r == KV_OK)
		*hash_r = b.hash;
	return result(v, r, why);
}

/* The hashes of the body's blocks, from its entry's head, which is checked. False: there are none to be had. */
static bool read_sums(struct store_view *v, lsn_t body, const struct index_body *b, struct arena *a, struct bytes *sums_r)
{
	struct buffer head = { 0 };
	struct entry e;
	struct fault why;
	bool ok = b->size > ENTRY_BLOCK && journal_read(&v->store->journal, body, JOURNAL_HEAD, 0, SIZE_MAX, &head, &why) &&
	          entry_read(buffer_bytes(&head), BYTES_NONE, false, a, &e, &why) && e.sums.n > 0 && e.body_hash == b->hash;

	if (ok)
		*sums_r = arena_copy(a, e.sums);
	buffer_fini(&head);
	return ok;
}

enum store_result store_view_body(struct store_view *v, lsn_t body, uint64_t off, size_t n, struct buffer *out, struct fault *why)
{
	struct index_body b;
	struct arena a = { 0 };
	struct bytes sums = BYTES_NONE, got;
	uint64_t first = 0, last;
	size_t start = out->n;
	bool ok;
	enum kv_result r = body_of(v, body, &b);

	if (r != KV_OK)
		return result(v, r, why);
	off = off > b.size ? b.size : off;
	n = n > b.size - off ? (size_t)(b.size - off) : n;
	last = b.size;
	if (read_sums(v, body, &b, &a, &sums)) {
		first = off / ENTRY_BLOCK * ENTRY_BLOCK;
		last = (off + n + ENTRY_BLOCK - 1) / ENTRY_BLOCK * ENTRY_BLOCK;
		last = last > b.size ? b.size : last;
	}
	ok = journal_read(&v->store->journal, body, JOURNAL_BODY, first, (size_t)(last - first), out, why);
	got = bytes_from(buffer_bytes(out), start);
	if (ok && (got.n != last - first || (sums.n > 0 ? !entry_blocks_are_whole(sums, first / ENTRY_BLOCK, got) : entry_hash(got) != b.hash)))
		ok = fault_set(why, FAULT_OPERATOR, "%s: the body of entry %llu has a wrong checksum", v->store->dir, (unsigned long long)body);
	arena_fini(&a);
	if (!ok) {
		out->n = start;
		return STORE_DAMAGED;
	}
	if (off > first && n > 0)
		memmove(out->p + start, out->p + start + (off - first), n);
	out->n = start + n;
	return STORE_OK;
}

void store_view_subscriptions(struct store_view *v, struct bytes user, struct view_subscriptions *it_r)
{
	*it_r = (struct view_subscriptions){ .view = v };
	if (user.n > MAILBOX_NAME_MAX)
		user.n = MAILBOX_NAME_MAX;
	memcpy(it_r->key, user.p, user.n);
	it_r->key[user.n] = '\0';
	it_r->key_length = user.n + 1;
}

bool view_subscriptions_next(struct view_subscriptions *it, struct bytes *name_r)
{
	struct bytes prefix = bytes_make(it->key, it->key_length), key, value;

	if (!advance(it->view, T_SUBSCRIPTION, &it->cursor, &it->is_started, prefix, &key, &value) || !bytes_starts(key, prefix))
		return false;
	*name_r = bytes_from(key, prefix.n);
	return true;
}

void view_subscriptions_end(struct view_subscriptions *it)
{
	kv_cursor_end(&it->cursor);
}

bool store_view_is_subscribed(struct store_view *v, struct bytes user, struct bytes name)
{
	struct buffer key = { 0 };
	struct bytes value;
	bool is;

	buffer_add(&key, user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, name);
	is = key.n <= KV_KEY_MAX && kv_get(v->txn, T_SUBSCRIPTION, buffer_bytes(&key), &value) == KV_OK;
	buffer_fini(&key);
	return is;
}

void store_view_attributes(struct store_view *v, mailbox_id_t mailbox, uint32_t uid, struct bytes user, struct view_attributes *it_r)
{
	*it_r = (struct view_attributes){ .view = v, .mailbox = mailbox, .uid = uid, .user = user };
}

bool view_attributes_next(struct view_attributes *it, struct attribute *of_r)
{
	uint8_t start[KV_KEY_MAX];
	struct bytes prefix = bytes_make(start, key_attributes(start, it->mailbox, it->uid, it->user)), key, value;

	if (prefix.n == 0 || !advance(it->view, T_ATTRIBUTE, &it->cursor, &it->is_started, prefix, &key, &value) ||
	    !bytes_starts(key, prefix))
		return false;
	return index_decode_attribute(key, value, of_r);
}

void view_attributes_end(struct view_attributes *it)
{
	kv_cursor_end(&it->cursor);
	it->result = kv_has_failed(it->view->txn) ? STORE_FAILED : STORE_OK;
}

enum store_result store_view_attribute(struct store_view *v, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r,
                                       struct fault *why)
{
	return result(v, index_attribute(v->txn, mailbox, of, value_r), why);
}
