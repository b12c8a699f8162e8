/* ops_mailbox.c - intents about mailboxes as such: checked against the turn's transaction, made into entries. */
#include <string.h>

#include "clock.h"
#include "log.h"
#include "store_private.h"

enum store_result result_of_kv(enum kv_result r)
{
	return r == KV_OK ? STORE_OK : r == KV_NOT_FOUND ? STORE_NO_MAILBOX : r == KV_FULL ? STORE_NO_SPACE : STORE_FAILED;
}

enum store_result find_mailbox(struct store *s, struct bytes name, struct mailbox *m_r)
{
	mailbox_id_t id;
	enum kv_result r = index_name(s->txn, name, &id);

	if (r == KV_OK)
		r = index_mailbox(s->txn, id, m_r);
	return result_of_kv(r);
}

static bool is_good_name(struct bytes name)
{
	return name.n > 0 && name.n <= MAILBOX_NAME_MAX && bytes_find(name, '\0') == name.n;
}

static bool is_good_acl(struct bytes acl)
{
	return acl.n <= MAILBOX_ACL_MAX && bytes_find(acl, '\0') == acl.n;
}

/* Of a partition from a backup: so much is left out for mailboxes that were made after it. */
#define UIDVALIDITY_AHEAD (1u << 24)

/* A UIDVALIDITY that no mailbox of this server ever had: it only grows, and follows the clock where that is ahead. It can be used for
 * COUNT mailboxes, each the next. */
static enum store_result next_uidvalidity(struct store *s, uint64_t ahead, uint64_t count, uint32_t *v_r)
{
	uint64_t last, now = (uint64_t)clock_wall_s();
	enum kv_result r = index_meta(s->txn, "uidvalidity", &last);

	if (r != KV_OK)
		return result_of_kv(r);
	last++;
	if (now > last && now < UINT32_MAX)
		last = now;
	last += ahead;
	if (last >= UINT32_MAX || count >= UINT32_MAX - last)
		return STORE_LIMIT;
	*v_r = (uint32_t)last;
	return STORE_OK;
}

enum store_result make_mailbox(struct store *s, const struct intent_create *in, mailbox_id_t from, struct arena *a, struct intent_answer *out)
{
	static const uint64_t one[QUOTA_RESOURCES] = { [QUOTA_MAILBOX] = 1 };
	struct entry e = { .type = ENTRY_CREATE, .name = in->name, .acl = in->acl, .partition = in->partition };
	struct entry limits = { .type = ENTRY_QUOTA, .name = in->name };
	struct mailbox m;
	struct quota ignored;
	enum store_result result;
	uint64_t last;

	if (!is_good_name(in->name) || !is_good_acl(in->acl) || in->partition.n > 255)
		return STORE_BAD;
	result = find_mailbox(s, in->name, &m);
	if (result != STORE_NO_MAILBOX)
		return result == STORE_OK ? STORE_EXISTS : result;
	result = check_quota(s, in->name, one);
	if (result == STORE_OK)
		result = attributes_check(s, 0, &in->attributes, a, out);
	if (result == STORE_OK && !attributes_fit(&in->attributes))
		result = STORE_LIMIT;
	if (result == STORE_OK)
		result = next_uidvalidity(s, 0, 1, &e.uidvalidity);
	if (result == STORE_OK)
		result = result_of_kv(index_meta(s->txn, "mailbox", &last));
	if (result != STORE_OK)
		return result;
	e.mailbox = last + 1;
	out->mailbox = e.mailbox;
	out->uidvalidity = e.uidvalidity;
	if (in->attributes.count > 0) {
		e.given = arena_array(a, in->attributes.count, sizeof(*e.given));
		attributes_add_new(&e, 0, &in->attributes);
	} else if (from != 0) {
		result = attributes_gather_own(s, from, a, &e);
	}
	if (result == STORE_OK)
		result = turn_entry(s, &e);
	/* Made, but without its limits: only a turn that is dropped undoes that. */
	if (result == STORE_OK && in->limits != NULL && index_quota(s->txn, in->name, &ignored) != KV_OK) {
		limits.limits = *in->limits;
		result = turn_entry(s, &limits) == STORE_OK ? STORE_OK : STORE_FAILED;
	}
	return result;
}

enum store_result op_create(struct store *s, const struct intent_create *in, struct arena *a, struct intent_answer *out)
{
	return make_mailbox(s, in, 0, a, out);
}

enum store_result op_delete(struct store *s, const struct intent_delete *in, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_DELETE };
	struct mailbox m;
	enum store_result result = find_mailbox(s, in->name, &m);

	if (result != STORE_OK)
		return result;
	e.mailbox = out->mailbox = m.id;
	return turn_entry(s, &e);
}

/* Whether NAME is taken after the pairs before AT are done: by a mailbox that is not itself renamed before. */
static enum store_result check_free(struct store *s, const struct intent_rename *in, size_t at)
{
	struct mailbox m;
	enum store_result result = find_mailbox(s, in->pairs[at].to, &m);

	for (size_t i = 0; i < at; i++) {
		if (bytes_equal(in->pairs[i].to, in->pairs[at].to))
			return STORE_EXISTS;
		if (bytes_equal(in->pairs[i].from, in->pairs[at].to))
			return STORE_OK;
	}
	return result == STORE_NO_MAILBOX ? STORE_OK : result == STORE_OK ? STORE_EXISTS : result;
}

enum store_result op_rename(struct store *s, const struct intent_rename *in, struct arena *a, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_RENAME, .count = in->count };
	enum store_result result;

	e.mailboxes = arena_array(a, in->count, sizeof(*e.mailboxes));
	e.names = arena_array(a, in->count, sizeof(*e.names));
	for (size_t i = 0; i < in->count; i++) {
		struct mailbox m;

		result = is_good_name(in->pairs[i].to) ? find_mailbox(s, in->pairs[i].from, &m) : STORE_BAD;

		out->at = i;
		if (result == STORE_OK)
			result = check_free(s, in, i);
		if (result != STORE_OK)
			return result;
		e.mailboxes[i] = m.id;
		e.names[i] = in->pairs[i].to;
		out->mailbox = i == 0 ? m.id : out->mailbox;
	}
	result = check_quota_of_rename(s, in, a);
	return in->count == 0 || result != STORE_OK ? result : turn_entry(s, &e);
}

/* One entry has all messages and their attributes: fewer than a COPY takes. */
#define RENAMED_MOST 1500000

uint64_t rename_inbox_cost(const struct intent_rename_inbox *in, uint64_t messages)
{
	return MAILBOX_NAME_MAX + in->acl.n + (8u << 20) + 37 * (messages < RENAMED_MOST ? messages : RENAMED_MOST);
}

enum store_result op_rename_inbox(struct store *s, const struct intent_rename_inbox *in, struct arena *a,
                                  struct intent_answer *out)
{
	const struct intent_create create = { .name = in->to, .acl = in->acl, .partition = in->partition };
	struct intent_answer moved = { 0 };
	struct mailbox m;
	const struct uid_range all = { 1, UINT32_MAX };
	enum store_result result = find_mailbox(s, in->from, &m);
	struct intent_copy copy = { .uids = &all, .uid_count = 1, .target = in->to };
	struct fault why;

	if (result != STORE_OK)
		return result;
	copy.mailbox = m.id;
	result = check_quota_of_move(s, in->from, in->to, m.bytes, m.exists, true);
	/* Nothing may fail once the first entry is made. */
	if (result == STORE_OK && m.exists > RENAMED_MOST)
		result = STORE_LIMIT;
	if (result == STORE_OK)
		result = index_check_room(s, m.exists);
	if (result == STORE_OK) {
		result = journal_reserve(&s->journal, rename_inbox_cost(in, m.exists), &why);
		if (result == STORE_NO_SPACE)
			log_event(LOG_ERROR, "store.index.no_room", LOG_FAULT(&why));
	}
	if (result == STORE_OK)
		result = make_mailbox(s, &create, m.id, a, out);
	if (result != STORE_OK)
		return result;
	result = op_copy(s, &copy, true, true, a, &moved);
	/* Made, but not filled: only a turn that is dropped undoes that. */
	return result == STORE_OK ? STORE_OK : STORE_FAILED;
}

enum store_result op_set_acl(struct store *s, const struct intent_set_acl *in, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_ACL, .acl = in->new_acl };
	struct mailbox m;
	enum store_result result;

	if (!is_good_acl(in->new_acl))
		return STORE_BAD;
	result = find_mailbox(s, in->name, &m);
	if (result != STORE_OK)
		return result;
	out->mailbox = e.mailbox = m.id;
	if (!bytes_equal(m.acl, in->old_acl))
		return STORE_CONFLICT;
	return bytes_equal(m.acl, in->new_acl) ? STORE_OK : turn_entry(s, &e);
}

enum store_result op_subscribe(struct store *s, const struct intent_subscribe *in, bool is_on, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_SUBSCRIBE, .user = in->user, .name = in->name, .is_on = is_on };
	struct buffer key = { 0 };
	struct bytes value;
	enum kv_result r;

	(void)out;
	if (!is_good_name(in->user) || !is_good_name(in->name) || in->user.n + in->name.n + 1 > KV_KEY_MAX)
		return STORE_BAD;
	buffer_add(&key, in->user);
	buffer_add_u8(&key, '\0');
	buffer_add(&key, in->name);
	r = kv_get(s->txn, T_SUBSCRIPTION, buffer_bytes(&key), &value);
	buffer_fini(&key);
	if (r == KV_FAILED)
		return STORE_FAILED;
	return (r == KV_OK) == is_on ? STORE_OK : turn_entry(s, &e);
}

enum store_result op_epoch(struct store *s, const struct intent_epoch *in, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_EPOCH, .master = in->master, .in_sync = in->in_sync };

	(void)out;
	if (in->epoch < s->epoch)
		return STORE_BAD;
	if (store_must_renew(s)) {
		uint64_t count = kv_count(s->txn, T_MAILBOX);
		enum store_result result = next_uidvalidity(s, UIDVALIDITY_AHEAD, count, &e.uidvalidity);

		if (result != STORE_OK)
			return result;
		log_event(LOG_WARNING, "store.uidvalidity.renewed", LOG_STR("dir", s->dir), LOG_U64("lsn", s->restored),
		          LOG_U64("mailboxes", count), LOG_U64("from", e.uidvalidity));
	}
	return turn_entry(s, &e);
}
