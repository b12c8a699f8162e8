/* ops_salvage.c - one item of a lost suffix, done at the master: as far as nothing stands in the way.
 *
 * Each item is looked at within the turn, so that what it is compared with does not change meanwhile. What was done is noted
 * by a SALVAGED entry behind the entries that did it: a second time it is not done again. Where a crash has torn the two apart
 * the second time finds it so already; but for a mailbox that was made again, whose name is then taken: it is kept. */
#include <string.h>

#include "imap_flags.h"
#include "quota.h"
#include "store_private.h"

static const struct bytes op_prefix = { (const uint8_t *)"salvage:", 8 };

static enum store_result find_mark(struct store *s, struct bytes key, uint64_t *value_r)
{
	struct bytes value;
	enum kv_result r = kv_get(s->txn, T_SALVAGED, key, &value);
	struct cursor c;

	if (r != KV_OK)
		return result_of_kv(r);
	c = cursor_of(value);
	return cursor_u64le(&c, value_r) ? STORE_OK : STORE_FAILED;
}

static enum store_result mark(struct store *s, struct bytes key, uint64_t value)
{
	struct entry e = { .type = ENTRY_SALVAGED, .key = key, .value = value };

	return turn_entry(s, &e);
}

/* The mailbox here that the item is about. NO_MAILBOX with *was_made_r: it was made again, and deleted since. */
static enum store_result find_target(struct store *s, const struct salvage_item *item, struct arena *a, struct mailbox *m_r,
                                     bool *was_made_r)
{
	uint8_t key[SALVAGED_KEY_MAX];
	uint64_t id = item->mailbox;
	enum kv_result r = item->mailbox_epoch == 0 ? index_mailbox(s->txn, id, m_r) : KV_NOT_FOUND;

	*was_made_r = false;
	if (r == KV_NOT_FOUND) {
		enum store_result result = find_mark(s, salvage_mailbox_key(item, key), &id);

		if (result != STORE_OK)
			return result;
		*was_made_r = true;
		r = index_mailbox(s->txn, id, m_r);
	}
	if (r == KV_OK) {
		m_r->name = arena_copy(a, m_r->name);
		m_r->acl = arena_copy(a, m_r->acl);
		for (unsigned i = 0; i < m_r->keyword_count; i++)
			m_r->keywords[i] = arena_copy(a, m_r->keywords[i]);
	}
	return result_of_kv(r);
}

static enum store_result end(struct intent_answer *out, enum salvage_outcome outcome)
{
	out->salvage = outcome;
	return STORE_OK;
}

static bool is_refusal(enum store_result result)
{
	return result == STORE_BAD || result == STORE_LIMIT || result == STORE_OVER_QUOTA;
}

/* Make the item's mailbox, or take the one that has its name where an operator wants that. */
static enum store_result make_target(struct store *s, const struct intent_salvage *in, struct arena *a, struct mailbox *m_r,
                                     struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	const struct intent_create create = { .name = item->name, .acl = item->acl, .partition = item->partition };
	uint8_t key[SALVAGED_KEY_MAX];
	struct intent_answer made = { 0 };
	enum store_result result = find_mailbox(s, item->name, m_r);

	if (result == STORE_OK && !in->is_forced)
		return end(out, SALVAGE_NAME_TAKEN);
	if (result == STORE_NO_MAILBOX) {
		if (!in->has_name)
			return end(out, SALVAGE_NEEDS_NAME);
		result = op_create(s, &create, a, &made);
		if (is_refusal(result))
			return end(out, SALVAGE_REFUSED);
		if (result == STORE_OK)
			result = find_mailbox(s, item->name, m_r);
		out->new_name = item->name;
		out->new_acl = item->acl;
	}
	if (result != STORE_OK)
		return result;
	m_r->name = arena_copy(a, m_r->name);
	out->salvage = SALVAGE_MERGED;
	return mark(s, salvage_mailbox_key(item, key), m_r->id);
}

static enum store_result do_mailbox(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	struct mailbox m;
	bool was_made;
	enum store_result result = find_target(s, in->item, a, &m, &was_made);

	if (result == STORE_OK || (result == STORE_NO_MAILBOX && was_made))
		return end(out, SALVAGE_MERGED);
	return result == STORE_NO_MAILBOX ? make_target(s, in, a, &m, out) : result;
}

static enum store_result do_message(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	uint8_t key[SALVAGED_KEY_MAX];
	struct buffer op_id = { 0 };
	struct append_target t = { .flags = item->flags, .keywords = item->keywords, .keyword_count = item->keyword_count,
		                   .internaldate = item->internaldate, .quota = QUOTA_CHECK_NONE };
	struct intent_append append = { &t, 1, item->op_id, item->body, item->structure, BYTES_NONE };
	struct intent_answer appended = { 0 };
	struct mailbox m;
	bool was_made;
	enum store_result result = find_target(s, item, a, &m, &was_made);

	if (result == STORE_NO_MAILBOX) {
		if ((was_made || item->mailbox_epoch != 0) && !in->is_forced)
			return end(out, SALVAGE_NO_MAILBOX);
		result = make_target(s, in, a, &m, out);
		if (result == STORE_OK && out->salvage != SALVAGE_MERGED)
			return STORE_OK;
	}
	if (result != STORE_OK)
		return result;
	/* The delivery's own id, under which a frontend may have sent it again; else one of the item. */
	if (item->op_id.n == 0) {
		buffer_add(&op_id, op_prefix);
		buffer_add(&op_id, salvage_item_key(item, key));
		append.op_id = buffer_bytes(&op_id);
	}
	t.mailbox = m.name;
	result = op_append(s, &append, &appended);
	buffer_fini(&op_id);
	if (result == STORE_OK)
		result = t.result;
	out->mailbox = m.id;
	if (is_refusal(result))
		return end(out, SALVAGE_REFUSED);
	out->salvage = SALVAGE_MERGED;
	return result == STORE_OK ? mark(s, salvage_item_key(item, key), t.uid) : result;
}

static bool has_word(const struct bytes *words, size_t count, struct bytes word)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal_nocase(words[i], word))
			return true;
	}
	return false;
}

static enum store_result do_flags(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	const struct uid_range uid = { item->uid, item->uid };
	struct bytes *words = arena_array(a, KEYWORDS_MAX + item->keyword_count, sizeof(*words));
	struct intent_store want = { .uids = &uid, .uid_count = 1, .how = INTENT_FLAGS_REPLACE, .keywords = words };
	struct intent_answer stored = { 0 };
	struct message msg;
	struct mailbox m;
	bool was_made, is_so;
	enum store_result result = find_target(s, item, a, &m, &was_made);

	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MAILBOX) : result;
	/* In one that was made again no message has the UID it had. */
	result = was_made ? STORE_NO_MAILBOX : result_of_kv(index_message(s->txn, m.id, item->uid, &msg));
	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MESSAGE) : result;
	want.mailbox = m.id;
	want.flags = (msg.flags | item->flags) & ~(uint32_t)item->taken_flags;
	is_so = want.flags == msg.flags;
	for (unsigned i = 0; i < m.keyword_count; i++) {
		if ((msg.keywords >> i & 1) == 0)
			continue;
		if (has_word(item->taken_keywords, item->taken_count, m.keywords[i]))
			is_so = false;
		else
			words[want.keyword_count++] = m.keywords[i];
	}
	for (size_t i = 0; i < item->keyword_count; i++) {
		if (has_word(words, want.keyword_count, item->keywords[i]))
			continue;
		is_so = false;
		words[want.keyword_count++] = item->keywords[i];
	}
	if (!is_so && msg.modseq != item->modseq && !in->is_forced)
		return end(out, SALVAGE_CHANGED);
	out->mailbox = m.id;
	result = is_so ? STORE_OK : op_store(s, &want, a, &stored);
	if (is_refusal(result))
		return end(out, SALVAGE_REFUSED);
	out->salvage = SALVAGE_MERGED;
	return result;
}

static enum store_result do_expunge(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	const struct uid_range uid = { item->uid, item->uid };
	struct intent_expunge want = { .uids = &uid, .uid_count = 1 };
	struct intent_answer gone = { 0 };
	struct message msg;
	struct mailbox m;
	bool was_made;
	enum store_result result = find_target(s, item, a, &m, &was_made);

	if (result == STORE_OK)
		result = was_made ? STORE_NO_MAILBOX : result_of_kv(index_message(s->txn, m.id, item->uid, &msg));
	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_MERGED) : result;
	if (!in->is_forced)
		return end(out, SALVAGE_IS_REMOVAL);
	out->mailbox = want.mailbox = m.id;
	out->salvage = SALVAGE_MERGED;
	return op_expunge(s, &want, a, &gone);
}

static enum store_result do_rename(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	struct intent_answer renamed = { 0 };
	struct rename_pair pair = { .to = item->name };
	const struct intent_rename want = { &pair, 1 };
	struct mailbox m, other;
	bool was_made;
	enum store_result result = find_target(s, item, a, &m, &was_made);

	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MAILBOX) : result;
	if (bytes_equal(m.name, item->name))
		return end(out, SALVAGE_MERGED);
	if (!bytes_equal(m.name, item->from) && !in->is_forced)
		return end(out, SALVAGE_CHANGED);
	result = find_mailbox(s, item->name, &other);
	if (result != STORE_NO_MAILBOX)
		return result == STORE_OK ? end(out, SALVAGE_NAME_TAKEN) : result;
	if (!in->has_name)
		return end(out, SALVAGE_NEEDS_NAME);
	pair.from = m.name;
	result = op_rename(s, &want, a, &renamed);
	if (is_refusal(result))
		return end(out, SALVAGE_REFUSED);
	out->mailbox = m.id;
	out->gone_name = m.name;
	out->new_name = item->name;
	out->new_acl = m.acl;
	out->salvage = SALVAGE_MERGED;
	return result;
}

static enum store_result do_acl(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	struct intent_answer set = { 0 };
	struct intent_set_acl want = { .new_acl = item->acl };
	struct mailbox m;
	bool was_made;
	enum store_result result = find_target(s, item, a, &m, &was_made);

	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MAILBOX) : result;
	if (bytes_equal(m.acl, item->acl))
		return end(out, SALVAGE_MERGED);
	if (!bytes_equal(m.acl, item->from) && !in->is_forced)
		return end(out, SALVAGE_CHANGED);
	want.name = m.name;
	want.old_acl = m.acl;
	result = op_set_acl(s, &want, &set);
	if (is_refusal(result))
		return end(out, SALVAGE_REFUSED);
	out->mailbox = m.id;
	out->new_name = m.name;
	out->new_acl = item->acl;
	out->salvage = SALVAGE_MERGED;
	return result;
}

static enum store_result do_delete(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	struct intent_answer gone = { 0 };
	struct intent_delete want;
	struct mailbox m;
	bool was_made;
	enum store_result result = find_target(s, in->item, a, &m, &was_made);

	if (result != STORE_OK || was_made)
		return result == STORE_OK || result == STORE_NO_MAILBOX ? end(out, SALVAGE_MERGED) : result;
	if (!in->is_forced)
		return end(out, SALVAGE_IS_REMOVAL);
	want.name = out->gone_name = m.name;
	out->mailbox = m.id;
	out->salvage = SALVAGE_MERGED;
	return op_delete(s, &want, &gone);
}

static enum store_result do_subscribe(struct store *s, const struct intent_salvage *in, struct intent_answer *out)
{
	const struct intent_subscribe want = { in->item->user, in->item->name };
	struct intent_answer ignored = { 0 };
	enum store_result result = op_subscribe(s, &want, in->item->is_on, &ignored);

	if (is_refusal(result))
		return end(out, SALVAGE_REFUSED);
	out->salvage = SALVAGE_MERGED;
	return result;
}

/* Limits as the item has them; none where there is no root. False: malformed. */
static bool read_limits(struct bytes text, struct quota_limits *l_r, bool *is_root_r)
{
	struct cursor c = cursor_of(text);

	*l_r = (struct quota_limits){ 0 };
	*is_root_r = text.n > 0;
	return text.n == 0 || (quota_limits_read(&c, l_r) && cursor_at_end(&c));
}

static enum store_result do_quota(struct store *s, const struct intent_salvage *in, struct intent_answer *out)
{
	struct intent_set_quota want = { .name = in->item->name };
	struct intent_answer ignored = { 0 };
	struct quota_limits before;
	struct quota q = { 0 };
	bool was_root, is_wanted;
	enum kv_result r = index_quota(s->txn, in->item->name, &q);
	enum store_result result;

	if (r == KV_FAILED)
		return STORE_FAILED;
	if (!read_limits(in->item->from, &before, &was_root) || !read_limits(in->item->acl, &want.limits, &is_wanted) || !is_wanted)
		return end(out, SALVAGE_REFUSED);
	if (r == KV_OK && quota_limits_equal(&q.limits, &want.limits))
		return end(out, SALVAGE_MERGED);
	if ((was_root != (r == KV_OK) || (was_root && !quota_limits_equal(&q.limits, &before))) && !in->is_forced)
		return end(out, SALVAGE_CHANGED);
	result = op_set_quota(s, &want, &ignored);
	if (result == STORE_NO_MAILBOX)
		return end(out, SALVAGE_NO_MAILBOX);
	if (result == STORE_BAD)
		return end(out, SALVAGE_REFUSED);
	out->salvage = SALVAGE_MERGED;
	return result;
}

/* The message here that an attribute's item is about. NO_MAILBOX: it is not here. */
static enum store_result find_message_of(struct store *s, const struct salvage_item *item, const struct mailbox *m, bool was_made,
                                         uint32_t *uid_r)
{
	uint64_t uid = item->uid;
	struct message msg;
	enum store_result result = STORE_OK;

	if (item->op_id.n > 0)
		result = find_mark(s, item->op_id, &uid);
	else if (was_made)
		result = STORE_NO_MAILBOX;
	if (result == STORE_OK && uid > UINT32_MAX)
		result = STORE_NO_MAILBOX;
	*uid_r = (uint32_t)uid;
	return result == STORE_OK ? result_of_kv(index_message(s->txn, m->id, *uid_r, &msg)) : result;
}

static enum store_result set_attribute(struct store *s, const struct intent_salvage *in, mailbox_id_t mailbox, uint32_t uid,
                                       struct bytes name, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	const struct attribute of = { .uid = uid, .user = item->user, .name = item->from };
	const struct attribute_change change = { .user = item->user, .name = item->from, .value = item->body, .is_set = item->is_on };
	const struct uid_range uids = { uid, uid };
	struct intent_attribute want = { .name = name, .changes = { .at = &change, .count = 1 } };
	struct intent_answer set = { 0 };
	struct bytes now;
	enum kv_result r = index_attribute(s->txn, mailbox, &of, &now);
	enum store_result result;

	if (r == KV_FAILED)
		return STORE_FAILED;
	if (item->is_on ? r == KV_OK && bytes_equal(now, item->body) : r == KV_NOT_FOUND)
		return end(out, SALVAGE_MERGED);
	if ((r == KV_OK ? salvage_value_hash(now) : 0) != item->modseq && !in->is_forced)
		return end(out, SALVAGE_CHANGED);
	if (uid > 0) {
		want.mailbox = mailbox;
		want.uids = &uids;
		want.uid_count = 1;
	}
	result = op_attribute(s, &want, a, &set);
	out->mailbox = mailbox;
	if (result == STORE_LIMIT || result == STORE_BAD || result == STORE_CONFLICT)
		return end(out, SALVAGE_REFUSED);
	out->salvage = SALVAGE_MERGED;
	return result;
}

static enum store_result do_attribute(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	struct mailbox m = { 0 };
	bool was_made = false;
	uint32_t uid = 0;
	enum store_result result = STORE_OK;

	if (item->mailbox != 0)
		result = find_target(s, item, a, &m, &was_made);
	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MAILBOX) : result;
	if (item->uid > 0)
		result = find_message_of(s, item, &m, was_made, &uid);
	if (result != STORE_OK)
		return result == STORE_NO_MAILBOX ? end(out, SALVAGE_NO_MESSAGE) : result;
	return set_attribute(s, in, m.id, uid, m.name, a, out);
}

static enum store_result do_item(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	switch (in->item->kind) {
	case SALVAGE_MAILBOX:
		return do_mailbox(s, in, a, out);
	case SALVAGE_RENAME:
		return do_rename(s, in, a, out);
	case SALVAGE_ACL:
		return do_acl(s, in, a, out);
	case SALVAGE_MESSAGE:
		return do_message(s, in, a, out);
	case SALVAGE_FLAGS:
		return do_flags(s, in, a, out);
	case SALVAGE_SUBSCRIBE:
		return do_subscribe(s, in, out);
	case SALVAGE_EXPUNGE:
		return do_expunge(s, in, a, out);
	case SALVAGE_DELETE:
		return do_delete(s, in, a, out);
	case SALVAGE_ATTRIBUTE:
		return do_attribute(s, in, a, out);
	case SALVAGE_QUOTA:
		return do_quota(s, in, out);
	}
	return STORE_BAD;
}

enum store_result op_salvage(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out)
{
	const struct salvage_item *item = in->item;
	bool has_mark = item->kind == SALVAGE_MAILBOX || item->kind == SALVAGE_MESSAGE; /* of its own */
	size_t before = s->turn_count;
	uint8_t key[SALVAGED_KEY_MAX];
	uint64_t ignored;
	enum store_result result = STORE_NO_MAILBOX;

	if (item->kind != SALVAGE_MAILBOX)
		result = find_mark(s, salvage_item_key(item, key), &ignored);
	if (result == STORE_OK)
		return end(out, SALVAGE_MERGED);
	if (result == STORE_NO_MAILBOX)
		result = do_item(s, in, a, out);
	if (result == STORE_OK && out->salvage == SALVAGE_MERGED && s->turn_count > before && !has_mark)
		result = mark(s, salvage_item_key(item, key), 0);
	return result;
}
