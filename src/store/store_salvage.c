/* store_salvage.c - putting a suffix aside: the entries after the last that the reigning master has, too, leave the journal
 * and the index, and what they came to stays in salvage/.
 *
 * Steps, each durable before the next: (1) the suffix is copied to a file; (2) the journal is cut and the index brought back;
 * (3) what the suffix came to, against the index as it was before it, is written as items; (4) the copy is removed. A crash
 * between (1) and (2) leaves a copy of what is in the journal, which is dropped; later ones are gone on with at the next
 * opening, before anything is followed: step 3 needs the index of that very LSN. */
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "log.h"
#include "salvage_file.h"
#include "store_private.h"

struct before {
	struct store *s;
	struct kv_txn *t;
	bool has_failed;
};

static bool before_mailbox(void *arg, mailbox_id_t id, struct mailbox *m_r)
{
	struct before *b = arg;
	enum kv_result r = index_mailbox(b->t, id, m_r);

	b->has_failed = b->has_failed || r == KV_FAILED;
	return r == KV_OK;
}

static bool before_message(void *arg, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	struct before *b = arg;
	enum kv_result r = index_message(b->t, mailbox, uid, m_r);

	b->has_failed = b->has_failed || r == KV_FAILED;
	return r == KV_OK;
}

static bool before_body(void *arg, lsn_t body, struct bytes *body_r, struct bytes *structure_r)
{
	struct before *b = arg;
	struct index_body record;
	struct bytes head;
	struct fault ignored;

	if (index_body(b->t, body, &record) != KV_OK || !journal_find(&b->s->journal, body, &head, body_r, &ignored))
		return false;
	*structure_r = record.structure;
	return body_r->n == record.size && entry_hash(*body_r) == record.hash;
}

static bool before_is_subscribed(void *arg, struct bytes user, struct bytes name)
{
	struct before *b = arg;
	struct buffer key = { 0 };
	struct bytes value;
	bool is;

	buffer_add(&key, user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, name);
	is = kv_get(b->t, T_SUBSCRIPTION, buffer_bytes(&key), &value) == KV_OK;
	buffer_fini(&key);
	return is;
}

static bool before_attribute(void *arg, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r)
{
	struct before *b = arg;
	enum kv_result r = index_attribute(b->t, mailbox, of, value_r);

	b->has_failed = b->has_failed || r == KV_FAILED;
	return r == KV_OK;
}

static bool before_limits(void *arg, struct bytes root, struct quota_limits *limits_r)
{
	struct before *b = arg;
	struct quota q;
	enum kv_result r = index_quota(b->t, root, &q);

	b->has_failed = b->has_failed || r == KV_FAILED;
	if (r == KV_OK)
		*limits_r = q.limits;
	return r == KV_OK;
}

/* Play the suffix on the index as it is now, and write what it came to. */
static bool write_items(struct store *s, const struct salvage_suffix *x, struct before *b, struct fault *why)
{
	const struct salvage_before before = { before_mailbox, before_message, before_body, before_is_subscribed, before_attribute, before_limits,
		                               b };
	struct salvage *net = salvage_new(&before);
	const struct salvage_item *items;
	size_t at = 0, count = 0;
	bool is_over = false, ok = true;

	while (ok && !is_over) {
		struct arena a = { 0 };
		struct entry e;

		ok = salvage_suffix_next(x, &at, &a, &e, &is_over, why) ? salvage_add(net, &e, why) : is_over;
		arena_fini(&a);
	}
	ok = ok && salvage_items(net, &items, &count, why);
	if (ok && b->has_failed)
		ok = fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	if (ok && count > 0)
		ok = salvage_items_write(s->salvage_dir, x->name, x->last, items, count, why);
	if (ok)
		log_event(LOG_WARNING, "store.suffix.saved", LOG_STR("dir", s->salvage_dir), LOG_U64("epoch", x->name.epoch),
		          LOG_U64("from", x->name.first), LOG_U64("to", x->last), LOG_U64("items", count));
	salvage_free(&net);
	return ok;
}

/* Steps 3 and 4. The journal ends before the suffix. */
static bool finish_saving(struct store *s, struct salvage_name name, struct fault *why)
{
	struct before b = { .s = s };
	struct salvage_suffix x;
	bool ok;

	while (store_applied_lsn(s) < s->journal.last) {
		if (store_apply_to(s, s->journal.last, SIZE_MAX, NULL, why) != STORE_OK)
			return false;
	}
	if (!salvage_suffix_open(s->salvage_dir, name, &x, why))
		return false;
	b.t = kv_read(s->kv, why);
	ok = b.t != NULL && write_items(s, &x, &b, why);
	kv_end(&b.t);
	salvage_suffix_close(&x);
	return ok && salvage_suffix_remove(s->salvage_dir, name, why);
}

bool store_salvage_resume(struct store *s, struct fault *why)
{
	size_t count;
	struct salvage_name *names = salvage_names(s->salvage_dir, ".suffix", &count, why);
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < count; i++) {
		lsn_t first = names[i].first, last = s->journal.last;
		struct salvage_suffix x;
		lsn_t x_last;

		ok = salvage_suffix_open(s->salvage_dir, names[i], &x, why);
		if (!ok)
			break;
		x_last = x.last;
		salvage_suffix_close(&x);
		if (last >= x_last && journal_epoch_at(&s->journal, first) == names[i].epoch)
			ok = salvage_suffix_remove(s->salvage_dir, names[i], why); /* the journal was not cut: there is nothing to salvage */
		else if (last >= first && last < x_last && journal_epoch_at(&s->journal, first) == names[i].epoch)
			ok = store_roll_back(s, first - 1, why) == STORE_OK && finish_saving(s, names[i], why); /* it was in part */
		else if (last + 1 == first)
			ok = finish_saving(s, names[i], why);
		else
			log_event(LOG_ERROR, "store.suffix.stranded", LOG_STR("dir", s->salvage_dir), LOG_U64("epoch", names[i].epoch),
			          LOG_U64("from", names[i].first), LOG_U64("last", last));
	}
	free(names);
	return ok;
}

enum store_result store_save_after(struct store *s, lsn_t lsn, struct fault *why)
{
	struct salvage_name name = { journal_epoch_at(&s->journal, lsn + 1), lsn + 1 };
	enum store_result result;
	size_t count;

	if (s->is_failed) {
		*why = s->failure;
		return STORE_FAILED;
	}
	/* The index as of LSN would name messages that are not there any more. */
	if (!s->is_relic && lsn < store_applied_lsn(s) && lsn < journal_dropped(&s->journal)) {
		(void)fault_set(why, FAULT_OPERATOR,
		                "%s: cannot go back to entry %llu: what was expunged up to entry %llu is given back already; \"roost resync\" this member, "
		                "then \"roost salvage take\" what that has set aside",
		                s->dir, (unsigned long long)lsn, (unsigned long long)journal_dropped(&s->journal));
		return STORE_CONFLICT;
	}
	if (lsn < s->journal.last) {
		/* What was appended and is not on the disk yet nobody was told of by this member. */
		if (lsn < s->journal.durable && !salvage_suffix_write(s->salvage_dir, name, &s->journal, s->journal.durable, why))
			return STORE_NO_SPACE;
		result = store_roll_back(s, lsn, why);
		if (result != STORE_OK)
			return result;
	}
	{
		/* Also one that was cut before, and not finished. */
		struct salvage_name *names = salvage_names(s->salvage_dir, ".suffix", &count, why);
		bool ok = names != NULL;

		for (size_t i = 0; ok && i < count; i++)
			ok = names[i].first != lsn + 1 || finish_saving(s, names[i], why);
		free(names);
		if (!ok)
			return STORE_NO_SPACE;
	}
	return STORE_OK;
}

const char *store_salvage_dir(const struct store *s)
{
	return s->salvage_dir;
}
