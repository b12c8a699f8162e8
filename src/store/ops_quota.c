/* ops_quota.c - the intent about quota roots, and whether the others' fit: decided against the turn's transaction, in which each intent
 * of the turn sees those before it. */
#include "quota.h"
#include "store_private.h"

enum store_result op_set_quota(struct store *s, const struct intent_set_quota *in, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_QUOTA, .name = in->name, .limits = in->limits };
	struct quota q;
	enum kv_result r;

	(void)out;
	if (in->name.n == 0 || in->name.n > MAILBOX_NAME_MAX || bytes_find(in->name, '\0') < in->name.n)
		return STORE_BAD;
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		if (in->limits.limit[i] > (in->limits.is_limited[i] ? (uint64_t)INT64_MAX : 0))
			return STORE_BAD;
	}
	r = index_quota(s->txn, in->name, &q);
	if (r == KV_FAILED)
		return STORE_FAILED;
	if (r == KV_OK && quota_limits_equal(&q.limits, &in->limits))
		return STORE_OK;
	if (r == KV_NOT_FOUND && !index_has_below(s->txn, in->name))
		return kv_has_failed(s->txn) ? STORE_FAILED : STORE_NO_MAILBOX;
	return turn_entry(s, &e);
}

enum store_result check_quota(struct store *s, struct bytes name, const uint64_t more[QUOTA_RESOURCES])
{
	struct quota q;
	enum kv_result r = index_quota_of(s->txn, name, &q);

	if (r == KV_NOT_FOUND)
		return STORE_OK;
	if (r != KV_OK)
		return STORE_FAILED;
	return quota_is_exceeded_by(&q, more) ? STORE_OVER_QUOTA : STORE_OK;
}

/* The length of the name of its root; 0: it has none. */
static enum store_result root_of(struct store *s, struct bytes name, struct quota *q)
{
	enum kv_result r = index_quota_of(s->txn, name, q);

	if (r == KV_NOT_FOUND)
		*q = (struct quota){ 0 };
	return r == KV_OK || r == KV_NOT_FOUND ? STORE_OK : STORE_FAILED;
}

enum store_result check_quota_of_move(struct store *s, struct bytes from, struct bytes to, uint64_t octets, uint64_t count,
                                      bool with_mailbox)
{
	uint64_t more[QUOTA_RESOURCES] = { octets, count, with_mailbox };
	struct quota old = { 0 }, new;
	enum store_result result = from.n == 0 ? STORE_OK : root_of(s, from, &old);

	if (result == STORE_OK)
		result = root_of(s, to, &new);
	if (result != STORE_OK)
		return result;
	if (bytes_equal(old.root, new.root))
		more[QUOTA_STORAGE] = more[QUOTA_MESSAGE] = 0;
	return quota_is_exceeded_by(&new, more) ? STORE_OVER_QUOTA : STORE_OK;
}

/* Whether a root of that name goes with one of the mailboxes. */
static bool is_among(const struct intent_rename *in, struct bytes root)
{
	for (size_t i = 0; i < in->count; i++) {
		if (bytes_equal(in->pairs[i].from, root))
			return true;
	}
	return false;
}

/* What comes to one root. */
struct coming {
	struct bytes root;
	uint64_t more[QUOTA_RESOURCES];
};

static struct coming *coming_to(struct coming *list, size_t *count, struct bytes root)
{
	for (size_t i = 0; i < *count; i++) {
		if (bytes_equal(list[i].root, root))
			return &list[i];
	}
	list[*count] = (struct coming){ .root = root };
	return &list[(*count)++];
}

enum store_result check_quota_of_rename(struct store *s, const struct intent_rename *in, struct arena *a)
{
	struct coming *list;
	struct quota old, new;
	struct bytes last = BYTES_NONE; /* a tree has few roots */
	bool last_goes = false;
	size_t count = 0;

	if (kv_count(s->txn, T_QUOTA) == 0)
		return STORE_OK;
	list = arena_array(a, in->count, sizeof(*list));
	for (size_t i = 0; i < in->count; i++) {
		struct coming *c;
		struct mailbox m;
		enum store_result result = find_mailbox(s, in->pairs[i].from, &m);

		if (result == STORE_OK)
			result = root_of(s, in->pairs[i].from, &old);
		if (result == STORE_OK)
			result = root_of(s, in->pairs[i].to, &new);
		if (result != STORE_OK)
			return result;
		if (!bytes_equal(last, old.root)) {
			last = old.root;
			last_goes = is_among(in, last);
		}
		if (new.root.n == 0 || bytes_equal(old.root, new.root) || (old.root.n > 0 && last_goes))
			continue;
		c = coming_to(list, &count, new.root);
		c->more[QUOTA_STORAGE] += m.bytes;
		c->more[QUOTA_MESSAGE] += m.exists;
		c->more[QUOTA_MAILBOX]++;
		if (quota_is_exceeded_by(&new, c->more))
			return STORE_OVER_QUOTA;
	}
	return STORE_OK;
}
