/* apply.c - what an entry does to the index: the only code that writes it, on master and follower alike. It decides
 * nothing: the entry says which message has which UID, flags and modseq. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "imap_flags.h"
#include "log.h"
#include "store_private.h"

void changes_note(struct store_changes *c, mailbox_id_t mailbox, uint32_t what)
{
	size_t at = c->n;

	while (at > 0 && c->of[at - 1].mailbox > mailbox)
		at--;
	if (at > 0 && c->of[at - 1].mailbox == mailbox) {
		c->of[at - 1].what |= what;
		return;
	}
	if (c->n == c->cap) {
		c->cap = c->cap == 0 ? 16 : c->cap * 2;
		c->of = must_realloc(c->of, c->cap, sizeof(*c->of));
	}
	memmove(c->of + at + 1, c->of + at, (c->n - at) * sizeof(*c->of));
	c->of[at] = (struct store_change){ mailbox, what };
	c->n++;
}

/* Take a copy of what is lent by a page that the next change may move. */
static enum kv_result take_mailbox(struct kv_txn *t, mailbox_id_t id, struct arena *a, struct mailbox *m)
{
	enum kv_result r = index_mailbox(t, id, m);

	if (r != KV_OK)
		return r;
	m->name = arena_copy(a, m->name);
	m->acl = arena_copy(a, m->acl);
	m->partition = arena_copy(a, m->partition);
	for (unsigned i = 0; i < m->keyword_count; i++)
		m->keywords[i] = arena_copy(a, m->keywords[i]);
	return KV_OK;
}

static void count_in(struct mailbox *m, const struct message *msg, int by)
{
	uint32_t one = (uint32_t)by;

	m->exists += one;
	m->bytes += by > 0 ? msg->size : (uint64_t)0 - msg->size;
	m->digest += by > 0 ? index_message_digest(m->id, msg) : (uint64_t)0 - index_message_digest(m->id, msg);
	if ((msg->flags & IMAP_FLAG_SEEN) == 0)
		m->unseen += one;
	if ((msg->flags & IMAP_FLAG_DELETED) != 0)
		m->deleted += one;
}

/* UIDs only grow: what would take the place of another message is no entry that a master made from such an index. */
static enum kv_result put_new(struct kv_txn *t, struct mailbox *m, const struct message *msg)
{
	enum kv_result r = msg->uid < m->uidnext || msg->uid == UINT32_MAX ? KV_FAILED : index_put_message(t, m->id, msg);

	if (r == KV_OK)
		r = index_put_modseq(t, m->id, msg->modseq, msg->uid, false);
	count_in(m, msg, 1);
	m->uidnext = msg->uid + 1;
	if (msg->modseq > m->highestmodseq)
		m->highestmodseq = msg->modseq;
	return r;
}

/* Take message UID out, leaving its tombstone at MODSEQ. KEPT (NULL: it is not): the time as of which it can be had back. */
static enum kv_result remove_message(struct kv_txn *t, struct mailbox *m, uint32_t uid, modseq_t modseq, bool with_tombstone,
                                     const int64_t *kept, struct store_changes *changes)
{
	uint8_t key[KEY_MAX];
	struct message msg;
	enum kv_result r = index_message(t, m->id, uid, &msg);

	if (r != KV_OK)
		return r;
	r = kv_del(t, T_MESSAGE, bytes_make(key, key_message(key, m->id, uid)));
	if (r == KV_OK)
		r = index_drop_attributes(t, bytes_make(key, key_message(key, m->id, uid)));
	if (r == KV_OK)
		r = index_del_modseq(t, m->id, msg.modseq, uid);
	if (r == KV_OK && with_tombstone)
		r = index_put_modseq(t, m->id, modseq, uid, true);
	if (r == KV_OK)
		r = kept != NULL ? index_keep(t, m->id, &msg, *kept) : index_ref_body(t, msg.body, -1, &changes->freed);
	count_in(m, &msg, -1);
	if (modseq > m->highestmodseq)
		m->highestmodseq = modseq;
	return r;
}

/* Attributes of what E makes. A message's modseq is that with which it comes. */
static enum kv_result apply_given(struct kv_txn *t, const struct entry *e)
{
	enum kv_result r = KV_OK;

	for (size_t i = 0; r == KV_OK && i < e->given_count; i++) {
		const struct entry_given *g = &e->given[i];
		struct attribute of = { 0, g->user, g->name, g->value };

		if (e->type == ENTRY_APPEND)
			of.uid = e->deliveries[g->at].uid;
		else if (e->type != ENTRY_CREATE)
			of.uid = e->copies[g->at].uid;
		r = index_put_attribute(t, e->type == ENTRY_APPEND ? e->deliveries[g->at].mailbox : e->mailbox, &of, true);
	}
	return r;
}

static enum kv_result apply_create(struct kv_txn *t, const struct entry *e)
{
	struct mailbox m = { .id = e->mailbox, .name = e->name, .acl = e->acl, .partition = e->partition,
		             .uidvalidity = e->uidvalidity, .uidnext = 1, .highestmodseq = 1 };
	struct buffer id = { 0 };
	uint64_t last;
	enum kv_result r = index_put_mailbox(t, &m);

	buffer_add_u64le(&id, e->mailbox);
	if (r == KV_OK)
		r = kv_put(t, T_NAME, e->name, buffer_bytes(&id));
	buffer_fini(&id);
	if (r == KV_OK)
		r = index_put_meta(t, "mailbox", e->mailbox);
	if (r == KV_OK)
		r = index_meta(t, "uidvalidity", &last);
	if (r == KV_OK && e->uidvalidity > last)
		r = index_put_meta(t, "uidvalidity", e->uidvalidity);
	return r == KV_OK ? apply_given(t, e) : r;
}

struct collect {
	struct arena *a;
	uint32_t *uids;
	size_t count, cap;
};

static bool collect_uid(void *arg, const struct message *m)
{
	struct collect *c = arg;

	if (c->count == c->cap) {
		size_t cap = c->cap == 0 ? 64 : c->cap * 2;
		uint32_t *more = arena_array(c->a, cap, sizeof(*more));

		if (c->count > 0)
			memcpy(more, c->uids, c->count * sizeof(*more));
		c->uids = more;
		c->cap = cap;
	}
	c->uids[c->count++] = m->uid;
	return true;
}

/* Remove all keys of TABLE that begin with MAILBOX. */
static enum kv_result clear_prefix(struct kv_txn *t, size_t table, mailbox_id_t mailbox)
{
	uint8_t prefix[8], copy[KV_KEY_MAX];
	struct bytes start = bytes_make(prefix, key_u64(prefix, mailbox)), key, value;
	enum kv_result r = KV_OK;

	while (r == KV_OK) {
		struct kv_cursor *c = kv_seek(t, table, start, &key, &value);

		if (c == NULL)
			break;
		if (!bytes_starts(key, start)) {
			kv_cursor_end(&c);
			break;
		}
		memcpy(copy, key.p, key.n);
		key.p = copy;
		kv_cursor_end(&c);
		r = kv_del(t, table, key);
	}
	return r;
}

/* What was kept of a mailbox goes with it. */
static enum kv_result drop_kept(struct kv_txn *t, mailbox_id_t mailbox, struct store_changes *changes)
{
	uint8_t prefix[8];
	struct bytes start = bytes_make(prefix, key_u64(prefix, mailbox)), key, value;
	enum kv_result r = KV_OK;

	while (r == KV_OK) {
		struct kv_cursor *c = kv_seek(t, T_EXPUNGED, start, &key, &value);
		bool is_one = c != NULL && bytes_starts(key, start);
		uint32_t uid = is_one ? key_read_u32(key, 8) : 0;

		kv_cursor_end(&c);
		if (!is_one)
			break;
		r = index_drop(t, mailbox, uid, &changes->freed);
	}
	return r;
}

static enum kv_result apply_reclaim(struct kv_txn *t, const struct entry *e, struct store_changes *changes)
{
	enum kv_result r = KV_OK;

	for (size_t i = 0; r == KV_OK && i < e->count; i++)
		r = index_drop(t, e->mailboxes[i], e->uids[i], &changes->freed);
	return r;
}

static enum kv_result apply_delete(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	struct collect c = { .a = a };
	struct mailbox m;
	enum kv_result r = take_mailbox(t, e->mailbox, a, &m);

	if (r != KV_OK)
		return r;
	index_each(t, e->mailbox, NULL, 0, true, collect_uid, &c);
	for (size_t i = 0; r == KV_OK && i < c.count; i++)
		r = remove_message(t, &m, c.uids[i], 0, false, NULL, changes);
	if (r == KV_OK)
		r = drop_kept(t, e->mailbox, changes);
	if (r == KV_OK)
		r = clear_prefix(t, T_MODSEQ, e->mailbox);
	if (r == KV_OK) {
		uint8_t prefix[8];

		r = index_drop_attributes(t, bytes_make(prefix, key_u64(prefix, e->mailbox)));
	}
	if (r == KV_OK)
		r = kv_del(t, T_NAME, m.name);
	if (r == KV_OK)
		r = index_del_mailbox(t, e->mailbox);
	return r == KV_OK ? index_tidy_quotas(t, m.name) : r;
}

/* Once all have their new names: the quota roots of the old ones go with their mailboxes, or go. */
static enum kv_result rename_quotas(struct kv_txn *t, const struct entry *e, const struct bytes *from)
{
	enum kv_result r = KV_OK;

	if (kv_count(t, T_QUOTA) == 0)
		return KV_OK;
	for (size_t i = 0; r == KV_OK && i < e->count; i++)
		r = index_move_quota(t, from[i], e->names[i]);
	for (size_t i = 0; r == KV_OK && i < e->count; i++)
		r = index_tidy_quotas(t, from[i]);
	return r;
}

static enum kv_result apply_rename(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	struct bytes *from = arena_array(a, e->count, sizeof(*from));
	enum kv_result r = KV_OK;

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		struct buffer id = { 0 };
		struct mailbox m;

		r = take_mailbox(t, e->mailboxes[i], a, &m);
		if (r == KV_OK)
			r = kv_del(t, T_NAME, m.name);
		from[i] = m.name;
		m.name = e->names[i];
		if (r == KV_OK)
			r = index_put_mailbox(t, &m);
		buffer_add_u64le(&id, m.id);
		if (r == KV_OK)
			r = kv_put(t, T_NAME, m.name, buffer_bytes(&id));
		buffer_fini(&id);
		changes_note(changes, e->mailboxes[i], STORE_CHANGE_NAME);
	}
	return r == KV_OK ? rename_quotas(t, e, from) : r;
}

static enum kv_result forget_ops(struct kv_txn *t, lsn_t lsn)
{
	struct bytes key, value;
	enum kv_result r = KV_OK;

	for (int i = 0; r == KV_OK && i < 4 && lsn > OP_KEEP_LSNS; i++) {
		uint8_t order[KV_KEY_MAX];
		struct kv_cursor *c = kv_seek(t, T_OP_ORDER, BYTES_NONE, &key, &value);

		if (c == NULL)
			break;
		memcpy(order, key.p, key.n);
		key.p = order;
		kv_cursor_end(&c);
		if (key_read_u64(key, 0) >= lsn - OP_KEEP_LSNS)
			break;
		r = kv_del(t, T_OP_ORDER, key);
		if (r == KV_OK)
			r = kv_del(t, T_OP, bytes_from(key, 8));
	}
	return r == KV_NOT_FOUND ? KV_OK : r;
}

/* "op": mailbox, operation id -> u64 LSN, u32 UID. "op-order": LSN, then the same key. */
static enum kv_result put_op(struct kv_txn *t, const struct entry *e, const struct entry_delivery *d)
{
	struct buffer key = { 0 }, value = { 0 };
	uint8_t be[8];
	enum kv_result r;

	(void)key_u64(be, e->lsn);
	buffer_add(&key, bytes_make(be, 8));
	(void)key_u64(be, d->mailbox);
	buffer_add(&key, bytes_make(be, 8));
	buffer_add(&key, e->op_id);
	buffer_add_u64le(&value, e->lsn);
	buffer_add_u32le(&value, d->uid);
	r = kv_put(t, T_OP, bytes_from(buffer_bytes(&key), 8), buffer_bytes(&value));
	if (r == KV_OK)
		r = kv_put(t, T_OP_ORDER, buffer_bytes(&key), BYTES_NONE);
	buffer_fini(&key);
	buffer_fini(&value);
	return r;
}

/* Octets that came with no delivery wait for the PLACE behind them ("waiting" in meta: the first of them). If anything else comes, the
 * master died before it, or had no room: what is not placed is dropped, with the same entry on every member. */
static enum kv_result drop_waiting(struct kv_txn *t, const struct entry *e, lsn_t first, struct store_changes *changes)
{
	enum kv_result r = KV_OK;

	for (lsn_t lsn = first; r == KV_OK && lsn < e->lsn; lsn++) {
		struct index_body b;
		enum kv_result found = index_body(t, lsn, &b);

		if (found == KV_OK && b.refs == 0)
			r = index_drop_body(t, lsn, &changes->freed);
		else if (found != KV_NOT_FOUND)
			r = found;
	}
	return r == KV_OK ? index_put_meta(t, "waiting", 0) : r;
}

/* After E is applied. */
static enum kv_result settle_waiting(struct kv_txn *t, const struct entry *e, struct store_changes *changes)
{
	bool waits = e->type == ENTRY_APPEND && e->count == 0;
	lsn_t first;
	enum kv_result r = index_meta(t, "waiting", &first);

	if (r != KV_OK || (first == 0 && !waits) || (first != 0 && waits))
		return r;
	return waits ? index_put_meta(t, "waiting", e->lsn) : drop_waiting(t, e, first, changes);
}

static enum kv_result apply_append(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	const struct index_body body = { (uint32_t)e->body.n, e->body_hash, (uint32_t)e->count, e->structure };
	enum kv_result r = index_put_body(t, e->lsn, &body);

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		const struct entry_delivery *d = &e->deliveries[i];
		const struct message msg = { d->uid, d->flags, d->keywords, d->modseq, d->internaldate, (uint32_t)e->body.n,
			                     e->lsn, e->time };
		struct mailbox m;

		r = take_mailbox(t, d->mailbox, a, &m);
		if (r == KV_OK)
			r = put_new(t, &m, &msg);
		if (r == KV_OK)
			r = index_put_mailbox(t, &m);
		if (r == KV_OK && e->op_id.n > 0)
			r = put_op(t, e, d);
		changes_note(changes, d->mailbox, STORE_CHANGE_MESSAGES);
	}
	if (r == KV_OK)
		r = apply_given(t, e);
	return r == KV_OK ? forget_ops(t, e->lsn) : r;
}

/* The modseqs of before go first, then the new ones come: each of the two is one walk along its table. */
static enum kv_result apply_flags(struct kv_txn *t, const struct entry *e, struct mailbox *m)
{
	enum kv_result r = KV_OK;

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		const struct entry_flag *f = &e->flags[i];
		struct message msg;

		r = index_message_next(t, m->id, f->uid, &msg);
		if (r != KV_OK)
			break;
		count_in(m, &msg, -1);
		if (msg.modseq != e->modseq) /* else it is named twice */
			r = index_del_modseq_next(t, m->id, msg.modseq, msg.uid);
		msg.flags = f->flags;
		msg.keywords = f->keywords;
		msg.modseq = e->modseq;
		count_in(m, &msg, 1);
		if (r == KV_OK)
			r = index_put_message_here(t, m->id, &msg);
	}
	for (size_t i = 0; r == KV_OK && i < e->count; i++)
		r = index_put_modseq(t, m->id, e->modseq, e->flags[i].uid, false);
	if (e->modseq > m->highestmodseq)
		m->highestmodseq = e->modseq;
	return r;
}

static enum kv_result apply_copy(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	struct mailbox m;
	enum kv_result r = take_mailbox(t, e->mailbox, a, &m);

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		const struct entry_copy *k = &e->copies[i];
		const struct message msg = { k->uid, k->flags, k->keywords, e->modseq, k->internaldate, k->size, k->body,
			                     e->time };

		r = index_ref_body(t, k->body, 1, &changes->freed);
		if (r == KV_OK)
			r = put_new(t, &m, &msg);
	}
	if (r == KV_OK)
		r = index_put_mailbox(t, &m);
	if (r == KV_OK)
		r = apply_given(t, e);
	changes_note(changes, e->mailbox, STORE_CHANGE_MESSAGES);
	if (r != KV_OK || e->source == 0)
		return r;
	r = take_mailbox(t, e->source, a, &m);
	for (size_t i = 0; r == KV_OK && i < e->count; i++)
		r = remove_message(t, &m, e->copies[i].source, e->source_modseq, true, NULL, changes);
	if (r == KV_OK)
		r = index_put_mailbox(t, &m);
	changes_note(changes, e->source, STORE_CHANGE_MESSAGES);
	return r;
}

static enum kv_result apply_place(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	const int64_t kept = (int64_t)e->value;
	struct mailbox m;
	enum kv_result r = take_mailbox(t, e->mailbox, a, &m);

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		const struct entry_copy *k = &e->copies[i];
		const struct message msg = { k->uid, k->flags, k->keywords, e->modseq, k->internaldate, k->size, k->body,
			                     e->time };

		r = index_ref_body(t, k->body, 1, &changes->freed);
		if (r == KV_OK)
			r = put_new(t, &m, &msg);
	}
	if (r == KV_OK)
		r = index_put_mailbox(t, &m);
	if (r == KV_OK)
		r = apply_given(t, e);
	changes_note(changes, e->mailbox, STORE_CHANGE_MESSAGES);
	if (r != KV_OK || e->source == 0)
		return r;
	r = take_mailbox(t, e->source, a, &m);
	if (r == KV_OK)
		r = remove_message(t, &m, e->replaced, e->source_modseq, true, kept != 0 ? &kept : NULL, changes);
	if (r == KV_OK)
		r = index_put_mailbox(t, &m);
	changes_note(changes, e->source, STORE_CHANGE_MESSAGES);
	return r;
}

static enum kv_result apply_subscribe(struct kv_txn *t, const struct entry *e, struct store_changes *changes)
{
	struct buffer key = { 0 };
	enum kv_result r;

	buffer_add(&key, e->user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, e->name);
	r = key.n > KV_KEY_MAX ? KV_FAILED : index_subscribe(t, buffer_bytes(&key), e->is_on);
	buffer_fini(&key);
	changes_note(changes, store_change_of_user(e->user), STORE_CHANGE_SUBSCRIPTIONS);
	return r;
}

/* A message whose attributes change gets the entry's modseq. */
static enum kv_result touch_message(struct kv_txn *t, const struct entry *e, struct mailbox *m, uint32_t uid)
{
	struct message msg;
	enum kv_result r = index_message(t, m->id, uid, &msg);

	if (r != KV_OK || msg.modseq == e->modseq)
		return r;
	count_in(m, &msg, -1);
	r = index_del_modseq(t, m->id, msg.modseq, uid);
	msg.modseq = e->modseq;
	count_in(m, &msg, 1);
	if (r == KV_OK)
		r = index_put_message(t, m->id, &msg);
	return r == KV_OK ? index_put_modseq(t, m->id, e->modseq, uid, false) : r;
}

static enum kv_result apply_attribute(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	struct mailbox m = { 0 };
	enum kv_result r = e->mailbox == 0 ? KV_OK : take_mailbox(t, e->mailbox, a, &m);
	bool is_touched = false;

	for (size_t i = 0; r == KV_OK && i < e->count; i++) {
		const struct attribute *of = &e->attributes[i].of;

		r = index_put_attribute(t, e->mailbox, of, e->attributes[i].is_set);
		if (r == KV_OK && of->uid > 0)
			r = touch_message(t, e, &m, of->uid);
		is_touched = is_touched || of->uid > 0;
		if (e->mailbox == 0)
			changes_note(changes, STORE_CHANGE_OF_SERVER, STORE_CHANGE_ATTRIBUTES);
		else
			changes_note(changes, e->mailbox, of->uid > 0 ? STORE_CHANGE_MESSAGES : STORE_CHANGE_ATTRIBUTES);
	}
	if (r != KV_OK || !is_touched)
		return r;
	if (e->modseq > m.highestmodseq)
		m.highestmodseq = e->modseq;
	return index_put_mailbox(t, &m);
}

/* "salvaged": what names an item -> u64: of a mailbox, its id here. */
static enum kv_result apply_salvaged(struct kv_txn *t, const struct entry *e)
{
	struct buffer value = { 0 };
	enum kv_result r;

	buffer_add_u64le(&value, e->value);
	r = kv_put(t, T_SALVAGED, e->key, buffer_bytes(&value));
	buffer_fini(&value);
	return r;
}

static enum kv_result apply_to_mailbox(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	struct mailbox m;
	enum kv_result r = take_mailbox(t, e->mailbox, a, &m);

	if (r != KV_OK)
		return r;
	if (e->type == ENTRY_ACL) {
		m.acl = e->acl;
		changes_note(changes, m.id, STORE_CHANGE_ACL);
	} else if (e->type == ENTRY_KEYWORDS) {
		m.keyword_count = (unsigned)e->count;
		for (size_t i = 0; i < e->count; i++)
			m.keywords[i] = e->names[i];
		changes_note(changes, m.id, STORE_CHANGE_MESSAGES);
	} else if (e->type == ENTRY_FLAGS) {
		r = apply_flags(t, e, &m);
		changes_note(changes, m.id, STORE_CHANGE_MESSAGES);
	} else {
		int64_t time = (int64_t)e->value;

		for (size_t i = 0; r == KV_OK && i < e->count; i++)
			r = remove_message(t, &m, e->uids[i], e->modseq, true, e->type == ENTRY_RETAIN ? &time : NULL, changes);
		changes_note(changes, m.id, STORE_CHANGE_MESSAGES);
	}
	return r == KV_OK ? index_put_mailbox(t, &m) : r;
}

/* All mailboxes get a UIDVALIDITY anew, in the order of their ids. */
static enum kv_result renew_uidvalidity(struct kv_txn *t, const struct entry *e, struct arena *a)
{
	size_t cap = kv_count(t, T_MAILBOX), count = 0;
	mailbox_id_t *ids = arena_array(a, cap + 1, sizeof(*ids));
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_MAILBOX, BYTES_NONE, &key, &value);
	enum kv_result r = KV_OK;

	for (bool has = c != NULL; has && count < cap; has = kv_next(c, &key, &value))
		ids[count++] = key_read_u64(key, 0);
	kv_cursor_end(&c);
	if (kv_has_failed(t) || count > UINT32_MAX - e->uidvalidity)
		return KV_FAILED;
	for (size_t i = 0; r == KV_OK && i < count; i++) {
		struct mailbox m;
		struct arena one = { 0 };

		r = take_mailbox(t, ids[i], &one, &m);
		m.uidvalidity = e->uidvalidity + (uint32_t)i;
		if (r == KV_OK)
			r = index_put_mailbox(t, &m);
		arena_fini(&one);
	}
	return r == KV_OK ? index_put_meta(t, "uidvalidity", e->uidvalidity + (uint64_t)count) : r;
}

static enum kv_result apply_epoch(struct kv_txn *t, const struct entry *e, struct arena *a)
{
	const struct store_reign reign = store_reign_of(e);
	enum kv_result r = index_put_reign(t, &reign);

	return r == KV_OK && e->uidvalidity != 0 ? renew_uidvalidity(t, e, a) : r;
}

static enum kv_result apply(struct kv_txn *t, const struct entry *e, struct arena *a, struct store_changes *changes)
{
	switch (e->type) {
	case ENTRY_EPOCH:
		return apply_epoch(t, e, a);
	case ENTRY_CREATE:
		changes_note(changes, e->mailbox, STORE_CHANGE_CREATED | (e->given_count > 0 ? STORE_CHANGE_ATTRIBUTES : 0));
		return apply_create(t, e);
	case ENTRY_DELETE:
		changes_note(changes, e->mailbox, STORE_CHANGE_DELETED);
		return apply_delete(t, e, a, changes);
	case ENTRY_RENAME:
		return apply_rename(t, e, a, changes);
	case ENTRY_APPEND:
		return apply_append(t, e, a, changes);
	case ENTRY_ACL:
	case ENTRY_KEYWORDS:
	case ENTRY_FLAGS:
	case ENTRY_EXPUNGE:
	case ENTRY_RETAIN:
		return apply_to_mailbox(t, e, a, changes);
	case ENTRY_COPY:
		return apply_copy(t, e, a, changes);
	case ENTRY_SUBSCRIBE:
		return apply_subscribe(t, e, changes);
	case ENTRY_RECLAIM:
		return apply_reclaim(t, e, changes);
	case ENTRY_DIGEST:
		return KV_OK;
	case ENTRY_SALVAGED:
		return apply_salvaged(t, e);
	case ENTRY_ATTRIBUTE:
		return apply_attribute(t, e, a, changes);
	case ENTRY_QUOTA:
		return index_set_quota(t, e->name, &e->limits);
	case ENTRY_PLACE:
		return apply_place(t, e, a, changes);
	}
	return KV_FAILED;
}

bool apply_entry(struct kv_txn *t, const struct entry *e, struct store_changes *changes)
{
	struct arena a = { 0 };
	enum kv_result r = apply(t, e, &a, changes);

	if (r == KV_OK)
		r = settle_waiting(t, e, changes);
	if (r == KV_OK)
		r = index_put_meta(t, "applied", e->lsn);
	if (r != KV_OK)
		log_event(LOG_ERROR, "store.apply.failed", LOG_U64("lsn", e->lsn), LOG_U64("type", e->type), LOG_U64("result", r));
	arena_fini(&a);
	return r == KV_OK;
}
