/* salvage_compare.c - what the suffix came to: each thing at its end against the common point. */
#include "salvage_private.h"

#include <stdlib.h>

#include "alloc.h"

static struct salvage_item *add_item(struct salvage *s, enum salvage_kind kind, epoch_t epoch, lsn_t lsn)
{
	if (s->count == s->cap) {
		s->cap = s->cap == 0 ? 64 : s->cap * 2;
		s->items = must_realloc(s->items, s->cap, sizeof(*s->items));
	}
	s->items[s->count] = (struct salvage_item){ .kind = kind, .epoch = epoch, .lsn = lsn };
	return &s->items[s->count++];
}

static struct salvage_item *add_box_item(struct salvage *s, enum salvage_kind kind, epoch_t epoch, lsn_t lsn, const struct box *b)
{
	struct salvage_item *item = add_item(s, kind, epoch, lsn);

	item->mailbox = b->id;
	item->mailbox_epoch = b->made_epoch;
	item->name = b->name;
	item->acl = b->acl;
	item->partition = b->partition;
	return item;
}

static void compare_box(struct salvage *s, const struct box *b)
{
	if (b->gone_lsn != 0) {
		if (b->made_epoch == 0)
			add_box_item(s, SALVAGE_DELETE, b->gone_epoch, b->gone_lsn, b)->name = b->first_name;
		return;
	}
	if (b->made_epoch != 0) {
		/* In its place among the names is when it got the one that it has. */
		(void)add_box_item(s, SALVAGE_MAILBOX, b->name_epoch, b->name_lsn, b);
		return;
	}
	if (!bytes_equal(b->name, b->first_name))
		add_box_item(s, SALVAGE_RENAME, b->name_epoch, b->name_lsn, b)->from = b->first_name;
	if (!bytes_equal(b->acl, b->first_acl))
		add_box_item(s, SALVAGE_ACL, b->acl_epoch, b->acl_lsn, b)->from = b->first_acl;
}

static const struct bytes *keyword_names(struct salvage *s, const struct box *b, uint64_t mask, size_t *count_r)
{
	struct bytes *names;

	*count_r = 0;
	if (mask == 0)
		return NULL;
	names = arena_array(&s->arena, KEYWORDS_MAX, sizeof(*names));
	for (unsigned i = 0; i < b->keyword_count; i++) {
		if ((mask >> i & 1) != 0)
			names[(*count_r)++] = b->keywords[i];
	}
	return names;
}

static bool compare_new_mail(struct salvage *s, const struct mail *m, struct fault *why)
{
	struct salvage_item *item = add_box_item(s, SALVAGE_MESSAGE, m->made_epoch, m->made_lsn, m->box);
	const struct body *body = map_get_u64(&s->bodies, m->body);

	item->uid = m->uid;
	item->flags = m->flags;
	item->keywords = keyword_names(s, m->box, m->keywords, &item->keyword_count);
	item->internaldate = m->internaldate;
	item->op_id = m->op_id;
	if (body == NULL)
		return s->before.body(s->before.arg, m->body, &item->body, &item->structure) ||
		       fault_set(why, FAULT_OPERATOR, "the body of entry %llu, copied by entry %llu of the suffix, cannot be read",
		                 (unsigned long long)m->body, (unsigned long long)m->made_lsn);
	item->body = body->octets;
	item->structure = body->structure;
	return true;
}

static bool compare_mail(struct salvage *s, const struct mail *m, struct fault *why)
{
	struct salvage_item *item;

	if (m->box->gone_lsn != 0)
		return true; /* went with its mailbox */
	if (m->made_epoch != 0)
		return m->gone_lsn != 0 || compare_new_mail(s, m, why);
	if (m->gone_lsn != 0) {
		item = add_box_item(s, SALVAGE_EXPUNGE, m->gone_epoch, m->gone_lsn, m->box);
	} else if (m->flags != m->first_flags || m->keywords != m->first_keywords) {
		item = add_box_item(s, SALVAGE_FLAGS, m->changed_epoch, m->changed_lsn, m->box);
		item->flags = (uint8_t)(m->flags & ~m->first_flags);
		item->taken_flags = (uint8_t)(m->first_flags & ~m->flags);
		item->keywords = keyword_names(s, m->box, m->keywords & ~m->first_keywords, &item->keyword_count);
		item->taken_keywords = keyword_names(s, m->box, m->first_keywords & ~m->keywords, &item->taken_count);
	} else {
		return true;
	}
	item->uid = m->uid;
	item->modseq = m->first_modseq;
	return true;
}

static void compare_value(struct salvage *s, const struct value *v)
{
	struct salvage_item *item;
	uint8_t key[SALVAGED_KEY_MAX];

	if ((v->box != NULL && v->box->gone_lsn != 0) || (v->mail != NULL && v->mail->gone_lsn != 0))
		return;
	if (v->is_set == v->was_set && bytes_equal(v->is, v->was))
		return;
	item = v->box != NULL ? add_box_item(s, SALVAGE_ATTRIBUTE, v->epoch, v->lsn, v->box) :
	                        add_item(s, SALVAGE_ATTRIBUTE, v->epoch, v->lsn);
	item->uid = v->of.uid;
	item->user = v->of.user;
	item->from = v->of.name;
	item->is_on = v->is_set;
	item->body = v->is;
	item->modseq = v->was_set ? salvage_value_hash(v->was) : 0;
	if (v->mail != NULL && v->mail->made_epoch != 0) {
		const struct salvage_item message = { .kind = SALVAGE_MESSAGE, .epoch = v->mail->made_epoch, .lsn = v->mail->made_lsn,
			                              .mailbox = v->box->id, .uid = v->mail->uid };

		item->op_id = arena_copy(&s->arena, salvage_item_key(&message, key));
	}
}

static int phase(const struct salvage_item *item)
{
	if (item->kind == SALVAGE_MAILBOX || item->kind == SALVAGE_RENAME)
		return 0;
	/* It gives the message a new modseq: flags that come behind it would be taken for changed since. */
	if (item->kind == SALVAGE_ATTRIBUTE && item->uid > 0)
		return 2;
	return item->kind == SALVAGE_EXPUNGE || item->kind == SALVAGE_DELETE ? 3 : 1;
}

static int by_order(const void *x, const void *y)
{
	const struct salvage_item *a = x, *b = y;

	if (phase(a) != phase(b))
		return phase(a) - phase(b);
	if (a->lsn != b->lsn)
		return a->lsn < b->lsn ? -1 : 1;
	if (a->mailbox != b->mailbox)
		return a->mailbox < b->mailbox ? -1 : 1;
	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	if (a->kind != b->kind)
		return (int)a->kind - (int)b->kind;
	return bytes_compare(a->user, b->user) != 0 ? bytes_compare(a->user, b->user) : bytes_compare(a->from, b->from);
}

bool salvage_items(struct salvage *s, const struct salvage_item **items_r, size_t *count_r, struct fault *why)
{
	struct map_iter boxes = { 0 }, mails = { 0 }, subscriptions = { 0 }, values = { 0 }, roots = { 0 };
	struct bytes key;
	void *value;

	s->count = 0;
	while (map_next(&s->boxes, &boxes, &key, &value))
		compare_box(s, value);
	while (map_next(&s->mails, &mails, &key, &value)) {
		if (!compare_mail(s, value, why))
			return false;
	}
	while (map_next(&s->subscriptions, &subscriptions, &key, &value)) {
		const struct subscription *sub = value;
		struct salvage_item *item;

		if (sub->is_on == sub->was_on)
			continue;
		item = add_item(s, SALVAGE_SUBSCRIBE, sub->epoch, sub->lsn);
		item->user = sub->user;
		item->name = sub->name;
		item->is_on = sub->is_on;
	}
	while (map_next(&s->values, &values, &key, &value))
		compare_value(s, value);
	while (map_next(&s->roots, &roots, &key, &value)) {
		const struct root *root = value;
		struct salvage_item *item;

		if (bytes_equal(root->limits, root->first_limits))
			continue;
		item = add_item(s, SALVAGE_QUOTA, root->epoch, root->lsn);
		item->name = root->name;
		item->acl = root->limits;
		item->from = root->first_limits;
	}
	if (s->count > 0)
		qsort(s->items, s->count, sizeof(*s->items), by_order);
	*items_r = s->items;
	*count_r = s->count;
	return true;
}
