/* salvage.c - plays the suffix on what it touches. What it came to is salvage_compare.c's. */
#include "salvage_private.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "quota.h"

struct salvage *salvage_new(const struct salvage_before *before)
{
	struct salvage *s = must_calloc(1, sizeof(*s));

	s->before = *before;
	return s;
}

void salvage_free(struct salvage **sp)
{
	struct salvage *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	map_fini(&s->boxes);
	map_fini(&s->mails);
	map_fini(&s->subscriptions);
	map_fini(&s->roots);
	map_fini(&s->bodies);
	map_fini(&s->values);
	arena_fini(&s->arena);
	free(s->items);
	free(s);
}

static bool unfit(struct fault *why, const struct entry *e, const char *what)
{
	return fault_set(why, FAULT_OPERATOR, "entry %llu of the suffix: %s", (unsigned long long)e->lsn, what);
}

/* The mailbox as the suffix has it so far, found at the common point when it is first named. NULL: there is none. */
static struct box *find_box(struct salvage *s, mailbox_id_t id)
{
	struct box *b = map_get_u64(&s->boxes, id);
	struct mailbox m;

	if (b != NULL || !s->before.mailbox(s->before.arg, id, &m))
		return b;
	b = arena_zalloc(&s->arena, sizeof(*b));
	b->id = id;
	b->name = b->first_name = arena_copy(&s->arena, m.name);
	b->acl = b->first_acl = arena_copy(&s->arena, m.acl);
	b->partition = arena_copy(&s->arena, m.partition);
	b->keyword_count = m.keyword_count;
	for (unsigned i = 0; i < m.keyword_count; i++)
		b->keywords[i] = arena_copy(&s->arena, m.keywords[i]);
	(void)map_put_u64(&s->boxes, id, b);
	return b;
}

static struct box *find_living_box(struct salvage *s, mailbox_id_t id)
{
	struct box *b = find_box(s, id);

	return b == NULL || b->gone_lsn != 0 ? NULL : b;
}

static struct bytes mail_key(uint8_t to[12], mailbox_id_t mailbox, uint32_t uid)
{
	memcpy(to, &mailbox, 8);
	memcpy(to + 8, &uid, 4);
	return bytes_make(to, 12);
}

static struct mail *find_mail(struct salvage *s, struct box *b, uint32_t uid)
{
	uint8_t key[12];
	struct mail *m = map_get(&s->mails, mail_key(key, b->id, uid));
	struct message was;

	if (m != NULL || b->made_epoch != 0 || !s->before.message(s->before.arg, b->id, uid, &was))
		return m;
	m = arena_zalloc(&s->arena, sizeof(*m));
	m->box = b;
	m->uid = uid;
	m->flags = m->first_flags = (uint8_t)was.flags;
	m->keywords = m->first_keywords = was.keywords;
	m->first_modseq = was.modseq;
	(void)map_put(&s->mails, bytes_make(key, 12), m);
	return m;
}

static bool remove_mail(struct salvage *s, const struct entry *e, struct box *b, uint32_t uid, struct fault *why)
{
	struct mail *m = find_mail(s, b, uid);

	if (m == NULL || m->gone_lsn != 0)
		return unfit(why, e, "it removes a message that is not there");
	m->gone_epoch = e->epoch;
	m->gone_lsn = e->lsn;
	return true;
}

static bool make_mail(struct salvage *s, const struct entry *e, mailbox_id_t mailbox, const struct mail *as, struct fault *why)
{
	struct box *b = find_living_box(s, mailbox);
	struct mail *m;
	uint8_t key[12];

	if (b == NULL)
		return unfit(why, e, "it brings a message to a mailbox that is not there");
	m = arena_alloc(&s->arena, sizeof(*m));
	*m = *as;
	m->box = b;
	m->made_epoch = e->epoch;
	m->made_lsn = e->lsn;
	if (map_put(&s->mails, mail_key(key, mailbox, m->uid), m) != NULL)
		return unfit(why, e, "it uses a UID again");
	return true;
}

/* What was said of an attribute so far; at first, at the common point: there nothing of what the suffix made is known. */
static struct value *find_value(struct salvage *s, struct box *b, struct mail *m, const struct attribute *of)
{
	uint8_t number[12];
	struct buffer key = { 0 };
	struct value *v;
	struct bytes was;

	buffer_add(&key, mail_key(number, b == NULL ? 0 : b->id, of->uid));
	buffer_add(&key, of->user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, of->name);
	v = map_get(&s->values, buffer_bytes(&key));
	if (v == NULL) {
		v = arena_zalloc(&s->arena, sizeof(*v));
		v->box = b;
		v->mail = m;
		v->of = (struct attribute){ of->uid, arena_copy(&s->arena, of->user), arena_copy(&s->arena, of->name), BYTES_NONE };
		if ((b == NULL || b->made_epoch == 0) && (m == NULL || m->made_epoch == 0) &&
		    s->before.attribute(s->before.arg, b == NULL ? 0 : b->id, of, &was)) {
			v->was_set = true;
			v->was = arena_copy(&s->arena, was);
		}
		(void)map_put(&s->values, buffer_bytes(&key), v);
	}
	buffer_fini(&key);
	return v;
}

static void set_value(struct salvage *s, const struct entry *e, struct box *b, struct mail *m, const struct attribute *of, bool is_set)
{
	struct value *v = find_value(s, b, m, of);

	v->is_set = is_set;
	v->is = arena_copy(&s->arena, of->value);
	v->epoch = e->epoch;
	v->lsn = e->lsn;
}

/* Of what E has made. */
static void add_given(struct salvage *s, const struct entry *e)
{
	for (size_t i = 0; i < e->given_count; i++) {
		const struct entry_given *g = &e->given[i];
		struct box *b = find_living_box(s, e->type == ENTRY_APPEND ? e->deliveries[g->at].mailbox : e->mailbox);
		struct attribute of = { 0, g->user, g->name, g->value };

		if (e->type == ENTRY_APPEND)
			of.uid = e->deliveries[g->at].uid;
		else if (e->type != ENTRY_CREATE)
			of.uid = e->copies[g->at].uid;
		set_value(s, e, b, of.uid == 0 ? NULL : find_mail(s, b, of.uid), &of, true);
	}
}

static bool add_append(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct body *body = arena_zalloc(&s->arena, sizeof(*body));

	*body = (struct body){ e->body, e->structure };
	(void)map_put_u64(&s->bodies, e->lsn, body);
	for (size_t i = 0; i < e->count; i++) {
		const struct entry_delivery *d = &e->deliveries[i];
		const struct mail m = { .uid = d->uid, .body = e->lsn, .internaldate = d->internaldate, .op_id = e->op_id,
			                .flags = d->flags, .keywords = d->keywords };

		if (!make_mail(s, e, d->mailbox, &m, why))
			return false;
	}
	add_given(s, e);
	return true;
}

static bool add_copy(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct box *source = e->source == 0 ? NULL : find_living_box(s, e->source);

	if (e->source != 0 && source == NULL)
		return unfit(why, e, "it moves messages from a mailbox that is not there");
	for (size_t i = 0; i < e->count; i++) {
		const struct entry_copy *k = &e->copies[i];
		const struct mail m = { .uid = k->uid, .body = k->body, .internaldate = k->internaldate, .flags = k->flags,
			                .keywords = k->keywords };

		if (!make_mail(s, e, e->mailbox, &m, why) || (source != NULL && !remove_mail(s, e, source, k->source, why)))
			return false;
	}
	add_given(s, e);
	return true;
}

/* What was replaced is as if it had been expunged. */
static bool add_place(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct box *source = e->source == 0 ? NULL : find_living_box(s, e->source);

	if (e->source != 0 && source == NULL)
		return unfit(why, e, "it replaces a message in a mailbox that is not there");
	for (size_t i = 0; i < e->count; i++) {
		const struct entry_copy *k = &e->copies[i];
		const struct mail m = { .uid = k->uid, .body = k->body, .internaldate = k->internaldate, .flags = k->flags,
			                .keywords = k->keywords };

		if (!make_mail(s, e, e->mailbox, &m, why))
			return false;
	}
	add_given(s, e);
	return source == NULL || remove_mail(s, e, source, e->replaced, why);
}

static bool add_flags(struct salvage *s, const struct entry *e, struct box *b, struct fault *why)
{
	for (size_t i = 0; i < e->count; i++) {
		struct mail *m = find_mail(s, b, e->flags[i].uid);

		if (m == NULL || m->gone_lsn != 0)
			return unfit(why, e, "it changes a message that is not there");
		m->flags = e->flags[i].flags;
		m->keywords = e->flags[i].keywords;
		m->changed_epoch = e->epoch;
		m->changed_lsn = e->lsn;
	}
	return true;
}

static bool add_create(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct box *b;

	if (find_box(s, e->mailbox) != NULL)
		return unfit(why, e, "it makes a mailbox that is there");
	b = arena_zalloc(&s->arena, sizeof(*b));
	b->id = e->mailbox;
	b->made_epoch = b->name_epoch = e->epoch;
	b->made_lsn = b->name_lsn = e->lsn;
	b->name = arena_copy(&s->arena, e->name);
	b->acl = arena_copy(&s->arena, e->acl);
	b->partition = arena_copy(&s->arena, e->partition);
	(void)map_put_u64(&s->boxes, b->id, b);
	add_given(s, e);
	return true;
}

static struct bytes limits_text(struct salvage *s, const struct quota_limits *l)
{
	struct buffer b = { 0 };
	struct bytes text;

	quota_limits_write(&b, l);
	text = arena_copy(&s->arena, buffer_bytes(&b));
	buffer_fini(&b);
	return text;
}

static void add_quota(struct salvage *s, const struct entry *e)
{
	struct root *root = map_get(&s->roots, e->name);
	struct quota_limits before;

	if (root == NULL) {
		root = arena_zalloc(&s->arena, sizeof(*root));
		root->name = arena_copy(&s->arena, e->name);
		if (s->before.limits(s->before.arg, e->name, &before))
			root->first_limits = limits_text(s, &before);
		(void)map_put(&s->roots, root->name, root);
	}
	root->limits = limits_text(s, &e->limits);
	root->epoch = e->epoch;
	root->lsn = e->lsn;
}

/* A root of a mailbox's name goes with it. */
static void move_root(struct salvage *s, struct bytes from, struct bytes to)
{
	struct root *root = map_take(&s->roots, from);

	if (root == NULL)
		return;
	root->name = to;
	(void)map_put(&s->roots, to, root);
}

static bool add_rename(struct salvage *s, const struct entry *e, struct fault *why)
{
	for (size_t i = 0; i < e->count; i++) {
		struct box *b = find_living_box(s, e->mailboxes[i]);

		if (b == NULL)
			return unfit(why, e, "it renames a mailbox that is not there");
		move_root(s, b->name, arena_copy(&s->arena, e->names[i]));
		b->name = arena_copy(&s->arena, e->names[i]);
		b->name_epoch = e->epoch;
		b->name_lsn = e->lsn;
	}
	return true;
}

static void add_subscribe(struct salvage *s, const struct entry *e)
{
	struct buffer key = { 0 };
	struct subscription *sub;

	buffer_add(&key, e->user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, e->name);
	sub = map_get(&s->subscriptions, buffer_bytes(&key));
	if (sub == NULL) {
		sub = arena_zalloc(&s->arena, sizeof(*sub));
		sub->user = arena_copy(&s->arena, e->user);
		sub->name = arena_copy(&s->arena, e->name);
		sub->was_on = s->before.is_subscribed(s->before.arg, e->user, e->name);
		(void)map_put(&s->subscriptions, buffer_bytes(&key), sub);
	}
	buffer_fini(&key);
	sub->is_on = e->is_on;
	sub->epoch = e->epoch;
	sub->lsn = e->lsn;
}

static bool add_attributes(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct box *b = e->mailbox == 0 ? NULL : find_living_box(s, e->mailbox);

	if (e->mailbox != 0 && b == NULL)
		return unfit(why, e, "its mailbox is not there");
	for (size_t i = 0; i < e->count; i++) {
		const struct entry_attribute *t = &e->attributes[i];
		struct mail *m = b == NULL || t->of.uid == 0 ? NULL : find_mail(s, b, t->of.uid);

		if (t->of.uid > 0 && (m == NULL || m->gone_lsn != 0))
			return unfit(why, e, "it changes a message that is not there");
		set_value(s, e, b, m, &t->of, t->is_set);
	}
	return true;
}

/* An entry about one mailbox that has to be there. */
static bool add_to_box(struct salvage *s, const struct entry *e, struct fault *why)
{
	struct box *b = find_living_box(s, e->mailbox);

	if (b == NULL)
		return unfit(why, e, "its mailbox is not there");
	if (e->type == ENTRY_FLAGS)
		return add_flags(s, e, b, why);
	if (e->type == ENTRY_DELETE) {
		b->gone_epoch = e->epoch;
		b->gone_lsn = e->lsn;
	} else if (e->type == ENTRY_ACL) {
		b->acl = arena_copy(&s->arena, e->acl);
		b->acl_epoch = e->epoch;
		b->acl_lsn = e->lsn;
	} else if (e->type == ENTRY_KEYWORDS) {
		b->keyword_count = (unsigned)e->count;
		for (size_t i = 0; i < e->count; i++)
			b->keywords[i] = arena_copy(&s->arena, e->names[i]);
	} else {
		for (size_t i = 0; i < e->count; i++) {
			if (!remove_mail(s, e, b, e->uids[i], why))
				return false;
		}
	}
	return true;
}

bool salvage_add(struct salvage *s, const struct entry *e, struct fault *why)
{
	switch (e->type) {
	case ENTRY_EPOCH:
	case ENTRY_DIGEST:
	case ENTRY_RECLAIM:
	case ENTRY_SALVAGED: /* what it names has been done at a master whose entry is lost, as this one is: it is done anew */
		return true;
	case ENTRY_CREATE:
		return add_create(s, e, why);
	case ENTRY_RENAME:
		return add_rename(s, e, why);
	case ENTRY_APPEND:
		return add_append(s, e, why);
	case ENTRY_COPY:
		return add_copy(s, e, why);
	case ENTRY_PLACE:
		return add_place(s, e, why);
	case ENTRY_SUBSCRIBE:
		add_subscribe(s, e);
		return true;
	case ENTRY_ATTRIBUTE:
		return add_attributes(s, e, why);
	case ENTRY_QUOTA:
		add_quota(s, e);
		return true;
	case ENTRY_DELETE:
	case ENTRY_ACL:
	case ENTRY_KEYWORDS:
	case ENTRY_FLAGS:
	case ENTRY_EXPUNGE:
	case ENTRY_RETAIN:
		return add_to_box(s, e, why);
	}
	return unfit(why, e, "an entry of a type that is not known here");
}
