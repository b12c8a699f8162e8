/* ops_message.c - intents about messages. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "imap_flags.h"
#include "quota.h"
#include "store_private.h"

void uid_list_add(struct uid_list *l, uint32_t uid)
{
	l->uids++;
	if (l->count > 0 && l->at[l->count - 1].last + 1 == uid) {
		l->at[l->count - 1].last = uid;
		return;
	}
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 8 : l->cap * 2;
		struct uid_range *more = arena_array(l->a, cap, sizeof(*more));

		if (l->count > 0)
			memcpy(more, l->at, l->count * sizeof(*more));
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count++] = (struct uid_range){ uid, uid };
}

static bool is_good_keyword(struct bytes k)
{
	if (k.n == 0 || k.n > KEYWORD_NAME_MAX || k.p[0] == '\\')
		return false;
	for (size_t i = 0; i < k.n; i++) {
		if (k.p[i] <= ' ' || k.p[i] >= 0x7f || strchr("(){%*\"\\]", k.p[i]) != NULL)
			return false;
	}
	return true;
}

static int keyword_bit(const struct mailbox *m, struct bytes k)
{
	for (unsigned i = 0; i < m->keyword_count; i++) {
		if (bytes_equal_nocase(m->keywords[i], k))
			return (int)i;
	}
	return -1;
}

enum store_result keyword_mask(struct store *s, struct mailbox *m, const struct bytes *keywords, size_t count, bool create,
                               uint64_t *mask_r)
{
	struct entry e = { .type = ENTRY_KEYWORDS, .mailbox = m->id };
	unsigned known = m->keyword_count;

	*mask_r = 0;
	for (size_t i = 0; i < count; i++) {
		int bit = keyword_bit(m, keywords[i]);

		if (!is_good_keyword(keywords[i]))
			return STORE_BAD;
		if (bit < 0 && !create)
			continue;
		if (bit < 0) {
			if (m->keyword_count >= s->keywords_max)
				return STORE_LIMIT;
			bit = (int)m->keyword_count;
			m->keywords[m->keyword_count++] = keywords[i];
		}
		*mask_r |= (uint64_t)1 << bit;
	}
	if (m->keyword_count == known)
		return STORE_OK;
	e.names = m->keywords;
	e.count = m->keyword_count;
	return turn_entry(s, &e);
}

static bool was_delivered(struct store *s, struct bytes op_id, mailbox_id_t mailbox, uint32_t *uid_r)
{
	struct buffer key = { 0 };
	uint8_t be[8];
	struct bytes value;
	enum kv_result r;

	if (op_id.n == 0)
		return false;
	(void)key_u64(be, mailbox);
	buffer_add(&key, bytes_make(be, 8));
	buffer_add(&key, op_id);
	r = kv_get(s->txn, T_OP, buffer_bytes(&key), &value);
	buffer_fini(&key);
	if (r != KV_OK || value.n != 12)
		return false;
	*uid_r = (uint32_t)value.p[8] | (uint32_t)value.p[9] << 8 | (uint32_t)value.p[10] << 16 | (uint32_t)value.p[11] << 24;
	return true;
}

/* What an intent's earlier targets bring to a root: the entry is applied only when all are known. */
struct root_sum {
	struct bytes root;
	uint64_t more[QUOTA_RESOURCES];
	struct root_sum *next;
};

struct appending {
	struct arena a;
	struct entry e;
	struct root_sum *sums;
};

static struct root_sum *sum_of(struct appending *p, struct bytes root)
{
	struct root_sum *sum = p->sums;

	while (sum != NULL && !bytes_equal(sum->root, root))
		sum = sum->next;
	if (sum != NULL)
		return sum;
	sum = arena_zalloc(&p->a, sizeof(*sum));
	sum->root = arena_copy(&p->a, root);
	sum->next = p->sums;
	p->sums = sum;
	return sum;
}

/* Whether one more message of OCTETS fits in the root of MAILBOX; it counts there from now on. */
static enum store_result take_quota(struct store *s, struct bytes mailbox, enum quota_check check, uint64_t octets,
                                    struct appending *p)
{
	const uint64_t one[QUOTA_RESOURCES] = { [QUOTA_STORAGE] = octets, [QUOTA_MESSAGE] = 1 };
	struct quota q;
	struct root_sum *sum;
	enum kv_result r = index_quota_of(s->txn, mailbox, &q);

	if (r != KV_OK)
		return r == KV_NOT_FOUND ? STORE_OK : STORE_FAILED;
	sum = sum_of(p, q.root);
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++)
		q.used[i] += sum->more[i];
	if ((check == QUOTA_CHECK && quota_is_exceeded_by(&q, one)) || (check == QUOTA_CHECK_OVER && quota_is_over(&q)))
		return STORE_OVER_QUOTA;
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++)
		sum->more[i] += one[i];
	return STORE_OK;
}

static enum store_result prepare_target(struct store *s, const struct intent_append *in, struct append_target *t,
                                        struct appending *p)
{
	struct entry *e = &p->e;
	struct entry_delivery *d = &e->deliveries[e->count];
	struct mailbox m;
	uint64_t keywords;
	enum store_result result = find_mailbox(s, t->mailbox, &m);

	if (result != STORE_OK)
		return result;
	t->mailbox_id = m.id;
	t->uidvalidity = m.uidvalidity;
	t->was_done = was_delivered(s, in->op_id, m.id, &t->uid) || was_delivered(s, in->also_id, m.id, &t->uid);
	if (t->was_done)
		return STORE_OK;
	if (m.uidnext >= UINT32_MAX - 1)
		return STORE_LIMIT;
	/* The same mailbox twice in one intent is one delivery. */
	for (size_t i = 0; i < e->count; i++) {
		if (e->deliveries[i].mailbox == m.id) {
			t->uid = e->deliveries[i].uid;
			return STORE_OK;
		}
	}
	result = take_quota(s, t->mailbox, t->quota, in->body.n, p);
	if (result == STORE_OK)
		result = keyword_mask(s, &m, t->keywords, t->keyword_count, true, &keywords);
	if (result != STORE_OK)
		return result;
	t->uid = m.uidnext;
	t->modseq = m.highestmodseq + 1;
	*d = (struct entry_delivery){ m.id, m.uidnext, m.highestmodseq + 1, t->internaldate, (uint8_t)(t->flags & IMAP_FLAGS_ALL),
		                      keywords };
	e->count++;
	return STORE_OK;
}

/* To the delivery of each target. */
static void give_attributes(const struct intent_append *in, struct appending *p)
{
	struct entry *e = &p->e;
	size_t count = 0;

	for (size_t i = 0; i < in->target_count; i++)
		count += in->targets[i].attributes.count;
	e->given = arena_array(&p->a, count, sizeof(*e->given));
	for (size_t i = 0; count > 0 && i < in->target_count; i++) {
		const struct append_target *t = &in->targets[i];
		uint32_t at = 0;

		if (t->result != STORE_OK || t->was_done)
			continue;
		while (e->deliveries[at].mailbox != t->mailbox_id)
			at++;
		attributes_add_new(e, at, &t->attributes);
	}
}

enum store_result op_append(struct store *s, struct intent_append *in, struct intent_answer *out)
{
	struct appending p = { .e = { .type = ENTRY_APPEND, .body = in->body, .op_id = in->op_id, .structure = in->structure,
		                      .time = clock_wall_s() } };
	enum store_result result = STORE_NO_MAILBOX;
	bool any_ok = false;

	if (in->body.n > ENTRY_BODY_MAX || in->structure.n > STRUCTURE_MAX || in->op_id.n > OP_ID_MAX)
		return STORE_LIMIT;
	p.e.deliveries = arena_array(&p.a, in->target_count, sizeof(*p.e.deliveries));
	for (size_t i = 0; i < in->target_count; i++) {
		struct append_target *t = &in->targets[i];

		t->result = attributes_check_new(s, &t->attributes, &p.a);
		if (t->result == STORE_OK)
			t->result = prepare_target(s, in, t, &p);
		if (t->result == STORE_FAILED) {
			arena_fini(&p.a);
			return STORE_FAILED;
		}
		if (t->result == STORE_OK && !any_ok) {
			any_ok = true;
			out->mailbox = t->mailbox_id;
			out->uidvalidity = t->uidvalidity;
		}
	}
	if (any_ok)
		result = STORE_OK;
	else if (in->target_count > 0)
		result = in->targets[0].result;
	if (p.e.count > 0) {
		struct buffer sums = { 0 };

		give_attributes(in, &p);
		p.e.body_hash = entry_hash(in->body);
		entry_sums(in->body, &sums);
		p.e.sums = buffer_bytes(&sums);
		result = turn_entry(s, &p.e);
		buffer_fini(&sums);
	}
	arena_fini(&p.a);
	return result;
}

/* STORE. */

struct store_op {
	const struct intent_store *in;
	uint64_t mask;
	struct entry e;
	struct arena *a;
	size_t cap;
	struct uid_list changed, refused;
};

static bool change_flags(void *arg, const struct message *msg)
{
	struct store_op *op = arg;
	uint32_t flags = op->in->flags & IMAP_FLAGS_ALL;
	struct entry_flag f = { .uid = msg->uid };

	if (op->in->is_conditional && msg->modseq > op->in->unchanged_since) {
		uid_list_add(&op->refused, msg->uid);
		return true;
	}
	switch (op->in->how) {
	case INTENT_FLAGS_REPLACE:
		f.flags = (uint8_t)flags;
		f.keywords = op->mask;
		break;
	case INTENT_FLAGS_ADD:
		f.flags = (uint8_t)(msg->flags | flags);
		f.keywords = msg->keywords | op->mask;
		break;
	case INTENT_FLAGS_TAKE:
		f.flags = (uint8_t)(msg->flags & ~flags);
		f.keywords = msg->keywords & ~op->mask;
		break;
	}
	if (f.flags == msg->flags && f.keywords == msg->keywords)
		return true;
	if (op->e.count == op->cap) {
		size_t cap = op->cap == 0 ? 16 : op->cap * 2;
		struct entry_flag *more = arena_array(op->a, cap, sizeof(*more));

		if (op->e.count > 0)
			memcpy(more, op->e.flags, op->e.count * sizeof(*more));
		op->e.flags = more;
		op->cap = cap;
	}
	op->e.flags[op->e.count++] = f;
	uid_list_add(&op->changed, msg->uid);
	return true;
}

enum store_result op_store(struct store *s, const struct intent_store *in, struct arena *a, struct intent_answer *out)
{
	struct store_op op = { .in = in, .a = a, .changed = { .a = a }, .refused = { .a = a },
		               .e = { .type = ENTRY_FLAGS, .mailbox = in->mailbox } };
	struct mailbox m;
	enum store_result result = result_of_kv(index_mailbox(s->txn, in->mailbox, &m));

	out->mailbox = in->mailbox;
	if (result == STORE_OK)
		result = keyword_mask(s, &m, in->keywords, in->keyword_count, in->how != INTENT_FLAGS_TAKE, &op.mask);
	if (result != STORE_OK)
		return result;
	index_each(s->txn, in->mailbox, in->uids, in->uid_count, false, change_flags, &op);
	out->uidvalidity = m.uidvalidity;
	out->modseq = m.highestmodseq;
	out->new_uids = op.refused.at;
	out->new_uid_count = op.refused.count;
	if (op.e.count == 0)
		return STORE_OK;
	op.e.modseq = out->modseq = m.highestmodseq + 1;
	out->uids = op.changed.at;
	out->uid_count = op.changed.count;
	out->message_count = op.changed.uids;
	return turn_entry(s, &op.e);
}

/* EXPUNGE. */

struct pick {
	struct arena *a;
	bool only_deleted;
	struct message *at;
	size_t count, cap;
};

static bool pick(void *arg, const struct message *m)
{
	struct pick *p = arg;

	if (p->only_deleted && (m->flags & IMAP_FLAG_DELETED) == 0)
		return true;
	if (p->count == p->cap) {
		size_t cap = p->cap == 0 ? 16 : p->cap * 2;
		struct message *more = arena_array(p->a, cap, sizeof(*more));

		if (p->count > 0)
			memcpy(more, p->at, p->count * sizeof(*more));
		p->at = more;
		p->cap = cap;
	}
	p->at[p->count++] = *m;
	return true;
}

enum store_result op_expunge(struct store *s, const struct intent_expunge *in, struct arena *a, struct intent_answer *out)
{
	struct entry e = { .type = s->expunge_delay > 0 ? ENTRY_RETAIN : ENTRY_EXPUNGE, .mailbox = in->mailbox };
	struct pick p = { .a = a, .only_deleted = in->only_deleted };
	struct uid_list gone = { .a = a };
	struct mailbox m;
	enum store_result result = result_of_kv(index_mailbox(s->txn, in->mailbox, &m));

	if (result != STORE_OK)
		return result;
	out->mailbox = in->mailbox;
	out->uidvalidity = m.uidvalidity;
	out->modseq = m.highestmodseq;
	if (!in->only_deleted || m.deleted > 0)
		index_each(s->txn, in->mailbox, in->uids, in->uid_count, in->is_all, pick, &p);
	if (p.count == 0)
		return STORE_OK;
	e.uids = arena_array(a, p.count, sizeof(*e.uids));
	for (size_t i = 0; i < p.count; i++) {
		e.uids[e.count++] = p.at[i].uid;
		uid_list_add(&gone, p.at[i].uid);
	}
	if (e.type == ENTRY_RETAIN)
		e.value = (uint64_t)clock_wall_s();
	e.modseq = out->modseq = m.highestmodseq + 1;
	out->uids = gone.at;
	out->uid_count = gone.count;
	out->message_count = gone.uids;
	return turn_entry(s, &e);
}

/* COPY and MOVE. */

/* KEYWORDS of FROM's numbering in TO's; what TO lacks is collected in MISSING. */
static uint64_t translate(const struct mailbox *from, const struct mailbox *to, uint64_t mask, struct bytes *missing,
                          size_t *missing_count)
{
	uint64_t result = 0;

	for (unsigned i = 0; i < from->keyword_count; i++) {
		int bit;

		if ((mask >> i & 1) == 0)
			continue;
		bit = keyword_bit(to, from->keywords[i]);
		if (bit >= 0)
			result |= (uint64_t)1 << bit;
		else if (missing != NULL)
			missing[(*missing_count)++] = from->keywords[i];
	}
	return result;
}

void keep_keywords(struct mailbox *m, struct arena *a)
{
	for (unsigned i = 0; i < m->keyword_count; i++)
		m->keywords[i] = arena_copy(a, m->keywords[i]);
}

/* One entry has them all, and their attributes. */
#define COPY_ROW 37
#define COPY_OCTETS_MAX (ENTRY_HEAD_MAX - 4096)
#define COPIES_MOST (COPY_OCTETS_MAX / COPY_ROW)

enum store_result op_copy(struct store *s, const struct intent_copy *in, bool is_move, bool is_whole, struct arena *a,
                          struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_COPY, .time = clock_wall_s() };
	struct pick p = { .a = a };
	struct uid_list sources = { .a = a }, made = { .a = a };
	struct bytes missing[KEYWORDS_MAX];
	size_t missing_count = 0;
	struct mailbox from, to;
	uint64_t all = 0, octets = 0, attributes_most, ignored;
	enum store_result result = result_of_kv(index_mailbox(s->txn, in->mailbox, &from));

	if (result != STORE_OK)
		return result;
	result = find_mailbox(s, in->target, &to);
	out->no_target = result == STORE_NO_MAILBOX;
	if (result != STORE_OK)
		return result;
	keep_keywords(&from, a);
	keep_keywords(&to, a);
	index_each(s->txn, in->mailbox, in->uids, in->uid_count, false, pick, &p);
	out->mailbox = to.id;
	out->uidvalidity = to.uidvalidity;
	if (p.count == 0)
		return STORE_OK;
	if (to.uidnext > UINT32_MAX - 1 - p.count || p.count > COPIES_MOST)
		return STORE_LIMIT;
	for (size_t i = 0; i < p.count; i++) {
		p.at[i].flags &= ~in->withheld;
		if (in->withholds_keywords)
			p.at[i].keywords = 0;
		all |= p.at[i].keywords;
		octets += p.at[i].size;
	}
	result = check_quota_of_move(s, is_move ? from.name : BYTES_NONE, in->target, octets, p.count, false);
	if (result != STORE_OK)
		return result;
	(void)translate(&from, &to, all, missing, &missing_count);
	result = keyword_mask(s, &to, missing, missing_count, true, &ignored);
	if (result != STORE_OK)
		return result;
	e.mailbox = to.id;
	e.modseq = to.highestmodseq + 1;
	e.count = p.count;
	e.copies = arena_array(a, p.count, sizeof(*e.copies));
	for (size_t i = 0; i < p.count; i++) {
		const struct message *m = &p.at[i];

		e.copies[i] = (struct entry_copy){ m->uid, to.uidnext + (uint32_t)i, m->body, m->size, m->internaldate,
			                           (uint8_t)m->flags, translate(&from, &to, m->keywords, NULL, NULL) };
		uid_list_add(&sources, m->uid);
		uid_list_add(&made, e.copies[i].uid);
	}
	if (is_move) {
		e.source = from.id;
		/* Within one mailbox the arrival comes first, then the departure, each with its modseq. */
		e.source_modseq = from.id == to.id ? e.modseq + 1 : from.highestmodseq + 1;
	}
	out->modseq = e.modseq;
	out->uids = sources.at;
	out->uid_count = sources.count;
	out->new_uids = made.at;
	out->new_uid_count = made.count;
	out->message_count = p.count;
	attributes_most = is_whole ? UINT64_MAX : COPIED_ATTRIBUTES(p.count);
	if (attributes_most > COPY_OCTETS_MAX - p.count * COPY_ROW)
		attributes_most = COPY_OCTETS_MAX - p.count * COPY_ROW;
	result = attributes_gather(s, is_whole ? NULL : in, from.id, attributes_most, a, &e);
	return result == STORE_OK ? turn_entry(s, &e) : result;
}
