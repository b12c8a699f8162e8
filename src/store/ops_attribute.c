/* ops_attribute.c - intents about attributes: what is so already is left out, so that a modseq means a change. */
#include <string.h>

#include "map.h"
#include "store_private.h"

/* A longer entry would hold the writer and the followers for too long. */
#define ROWS_OCTETS_MAX (16u << 20)
/* Of an INBOX that is renamed, with those of its messages: intent_cost() reserves more. */
#define RENAMED_OCTETS_MAX (4u << 20)

static enum store_result check_change(const struct attribute_change *c)
{
	if (c->name.n == 0 || c->name.n > ATTRIBUTE_NAME_MAX || bytes_find(c->name, '\0') < c->name.n ||
	    c->user.n > MAILBOX_NAME_MAX || bytes_find(c->user, '\0') < c->user.n)
		return STORE_BAD;
	if (c->user.n + c->name.n > ATTRIBUTE_USER_AND_NAME_MAX || (c->is_set && c->value.n > ATTRIBUTE_VALUE_MAX))
		return STORE_LIMIT;
	return STORE_OK;
}

uint64_t attributes_cost(const struct attribute_changes *c)
{
	uint64_t cost = 0;

	for (size_t i = 0; i < c->count; i++)
		cost += 17 + c->at[i].user.n + c->at[i].name.n + c->at[i].value.n;
	return cost;
}

bool attributes_fit(const struct attribute_changes *c)
{
	return c->count <= (c->most == 0 ? ATTRIBUTES_MOST : c->most) && attributes_cost(c) <= ROWS_OCTETS_MAX;
}

/* The first word of *rest, which is moved behind it; empty at the end. */
static struct bytes take_word(struct bytes *rest)
{
	struct bytes word;

	*rest = bytes_trim(*rest);
	word = bytes_sub(*rest, 0, bytes_find(*rest, ' '));
	*rest = bytes_from(*rest, word.n);
	return word;
}

static bool have_a_word_in_common(struct bytes a, struct bytes b)
{
	for (struct bytes x = take_word(&a); x.n > 0; x = take_word(&a)) {
		struct bytes rest = b;

		for (struct bytes y = take_word(&rest); y.n > 0; y = take_word(&rest)) {
			if (bytes_equal_nocase(x, y))
				return true;
		}
	}
	return false;
}

/* Whether the mailbox that the record of T_NAME, KEY and VALUE, is of has a word of C's value. */
static bool has_word(struct store *s, struct bytes value, mailbox_id_t except, const struct attribute_change *c)
{
	const struct attribute of = { .user = c->user, .name = c->name };
	struct cursor at = cursor_of(value);
	mailbox_id_t id;
	struct bytes has;

	return cursor_u64le(&at, &id) && id != except && index_attribute(s->txn, id, &of, &has) == KV_OK &&
	       have_a_word_in_common(has, c->value);
}

static enum store_result check_words(struct store *s, mailbox_id_t except, const struct attribute_change *c, struct arena *a,
                                     struct intent_answer *out)
{
	struct bytes root = c->words_unique_below;
	struct buffer below = { 0 };
	struct bytes key, value;
	struct kv_cursor *k;
	bool has;

	if (kv_get(s->txn, T_NAME, root, &value) == KV_OK && has_word(s, value, except, c)) {
		out->taken_by = arena_copy(a, root);
		return STORE_CONFLICT;
	}
	buffer_add(&below, root);
	buffer_add_u8(&below, '.');
	k = kv_seek(s->txn, T_NAME, buffer_bytes(&below), &key, &value);
	for (has = k != NULL; has && bytes_starts(key, buffer_bytes(&below)); has = kv_next(k, &key, &value)) {
		if (!has_word(s, value, except, c))
			continue;
		out->taken_by = arena_copy(a, key);
		break;
	}
	kv_cursor_end(&k);
	buffer_fini(&below);
	return out->taken_by.n > 0 ? STORE_CONFLICT : kv_has_failed(s->txn) ? STORE_FAILED : STORE_OK;
}

enum store_result attributes_check(struct store *s, mailbox_id_t mailbox, const struct attribute_changes *in, struct arena *a,
                                   struct intent_answer *out)
{
	enum store_result result = STORE_OK;

	for (size_t i = 0; result == STORE_OK && i < in->count; i++) {
		const struct attribute_change *c = &in->at[i];

		out->at = i;
		result = check_change(c);
		if (result == STORE_OK && c->words_unique_below.n > 0 && c->is_set && c->value.n > 0)
			result = check_words(s, mailbox, c, a, out);
	}
	return result;
}

/* The rows of one entry. */
struct rows {
	struct store *s;
	const struct intent_attribute *in;
	struct arena *a;
	struct map last; /* user, NUL, name -> the last change of it */
	struct entry e;
	size_t cap;
	uint64_t octets;
	struct uid_list changed, refused;
	struct intent_answer *out;
	enum store_result result;
};

static struct bytes change_key(struct buffer *to, const struct attribute_change *c)
{
	buffer_clear(to);
	buffer_add(to, c->user);
	buffer_add_u8(to, '\0');
	buffer_add(to, c->name);
	return buffer_bytes(to);
}

static void note_last(struct rows *r)
{
	struct buffer key = { 0 };

	for (size_t i = 0; i < r->in->changes.count; i++)
		(void)map_put(&r->last, change_key(&key, &r->in->changes.at[i]), (void *)(uintptr_t)&r->in->changes.at[i]);
	buffer_fini(&key);
}

static bool is_last(struct rows *r, const struct attribute_change *c)
{
	struct buffer key = { 0 };
	bool is = map_get(&r->last, change_key(&key, c)) == c;

	buffer_fini(&key);
	return is;
}

static bool add_row(struct rows *r, const struct attribute *of, bool is_set)
{
	r->octets += 17 + of->user.n + of->name.n + of->value.n;
	if (r->octets > ROWS_OCTETS_MAX)
		return false;
	if (r->e.count == r->cap) {
		size_t cap = r->cap == 0 ? 8 : r->cap * 2;
		struct entry_attribute *more = arena_array(r->a, cap, sizeof(*more));

		if (r->e.count > 0)
			memcpy(more, r->e.attributes, r->e.count * sizeof(*more));
		r->e.attributes = more;
		r->cap = cap;
	}
	r->e.attributes[r->e.count++] = (struct entry_attribute){ *of, is_set };
	return true;
}

/* What the changes are for one mailbox or message. *added_r: attributes more (or less) that it has then, shared and the user's. */
static enum store_result add_rows(struct rows *r, uint32_t uid, int64_t added_r[2], const struct attribute_change *newest_r[2])
{
	for (size_t i = 0; i < r->in->changes.count; i++) {
		const struct attribute_change *c = &r->in->changes.at[i];
		struct attribute of = { uid, c->user, c->name, BYTES_NONE };
		struct bytes was;
		enum kv_result found;

		r->out->at = i;
		if (!is_last(r, c))
			continue;
		found = index_attribute(r->s->txn, r->e.mailbox, &of, &was);
		if (found == KV_FAILED)
			return STORE_FAILED;
		if (c->is_set ? found == KV_OK && (r->in->only_new || bytes_equal(was, c->value)) : found == KV_NOT_FOUND)
			continue;
		if (c->is_set)
			of.value = c->value;
		if (found == KV_NOT_FOUND) {
			added_r[c->user.n > 0]++;
			newest_r[c->user.n > 0] = c;
		} else if (!c->is_set) {
			added_r[c->user.n > 0]--;
		}
		if (!add_row(r, &of, c->is_set))
			return STORE_LIMIT;
	}
	return STORE_OK;
}

static enum store_result rows_of(struct rows *r, uint32_t uid)
{
	size_t most = r->in->changes.most == 0 ? ATTRIBUTES_MOST : r->in->changes.most;
	const struct attribute_change *newest[2] = { NULL, NULL };
	int64_t added[2] = { 0, 0 };
	enum store_result result = add_rows(r, uid, added, newest);

	for (size_t k = 0; result == STORE_OK && k < 2; k++) {
		size_t count;

		if (newest[k] == NULL)
			continue;
		r->out->at = (size_t)(newest[k] - r->in->changes.at);
		if (index_count_attributes(r->s->txn, r->e.mailbox, uid, newest[k]->user, most, &count) != KV_OK)
			result = STORE_FAILED;
		else if (added[k] > 0 && (uint64_t)added[k] > most - count)
			result = STORE_LIMIT;
	}
	return result;
}

static bool each_message(void *arg, const struct message *m)
{
	struct rows *r = arg;
	size_t before = r->e.count;

	if (r->in->is_conditional && m->modseq > r->in->unchanged_since) {
		uid_list_add(&r->refused, m->uid);
		return true;
	}
	r->result = rows_of(r, m->uid);
	if (r->e.count > before)
		uid_list_add(&r->changed, m->uid);
	return r->result == STORE_OK;
}

static enum store_result find_object(struct store *s, const struct intent_attribute *in, struct mailbox *m_r)
{
	if (in->mailbox > 0)
		return result_of_kv(index_mailbox(s->txn, in->mailbox, m_r));
	return in->name.n > 0 ? find_mailbox(s, in->name, m_r) : STORE_OK;
}

enum store_result op_attribute(struct store *s, const struct intent_attribute *in, struct arena *a, struct intent_answer *out)
{
	struct rows r = { .s = s, .in = in, .a = a, .e = { .type = ENTRY_ATTRIBUTE }, .changed = { .a = a }, .refused = { .a = a },
		          .out = out, .result = STORE_OK };
	struct mailbox m = { 0 };
	enum store_result result = find_object(s, in, &m);

	if (result == STORE_OK)
		result = attributes_check(s, m.id, &in->changes, a, out);
	if (result != STORE_OK)
		return result;
	out->mailbox = r.e.mailbox = m.id;
	out->uidvalidity = m.uidvalidity;
	out->modseq = m.highestmodseq;
	note_last(&r);
	if (in->mailbox > 0)
		index_each(s->txn, m.id, in->uids, in->uid_count, false, each_message, &r);
	else
		r.result = rows_of(&r, 0);
	map_fini(&r.last);
	if (r.result != STORE_OK)
		return r.result;
	out->new_uids = r.refused.at;
	out->new_uid_count = r.refused.count;
	out->uids = r.changed.at;
	out->uid_count = r.changed.count;
	out->message_count = r.changed.uids;
	if (r.e.count == 0)
		return STORE_OK;
	if (in->mailbox > 0)
		r.e.modseq = out->modseq = m.highestmodseq + 1;
	return turn_entry(s, &r.e);
}

static void add_given(struct entry *e, size_t *cap, struct arena *a, uint32_t at, const struct attribute *of)
{
	if (e->given_count == *cap) {
		size_t more = *cap == 0 ? 16 : *cap * 2;
		struct entry_given *given = arena_array(a, more, sizeof(*given));

		if (e->given_count > 0)
			memcpy(given, e->given, e->given_count * sizeof(*given));
		e->given = given;
		*cap = more;
	}
	e->given[e->given_count++] = (struct entry_given){ at, arena_copy(a, of->user), arena_copy(a, of->name), arena_copy(a, of->value) };
}

/* Whether attribute OF goes along with a copy that IN makes; IN may be NULL: all do. */
static bool goes_along(const struct intent_copy *in, const struct attribute *of)
{
	return in == NULL || (of->user.n == 0 ? !in->leaves_shared : bytes_equal(of->user, in->user));
}

enum store_result attributes_gather(struct store *s, const struct intent_copy *in, mailbox_id_t from, uint64_t most, struct arena *a,
                                    struct entry *e)
{
	uint8_t start[KV_KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *k = kv_seek(s->txn, T_ATTRIBUTE, bytes_make(start, key_message(start, from, 1)), &key, &value);
	uint64_t octets = 0;
	size_t cap = 0;
	bool has = k != NULL;

	/* Both are in the order of the sources' UIDs. */
	for (size_t i = 0; has && octets <= most && i < e->count && key_read_u64(key, 0) == from; has = kv_next(k, &key, &value)) {
		struct attribute of;

		while (i < e->count && e->copies[i].source < key_read_u32(key, 8))
			i++;
		if (i == e->count || e->copies[i].source > key_read_u32(key, 8) || !index_decode_attribute(key, value, &of) ||
		    !goes_along(in, &of))
			continue;
		octets += 17 + key.n + value.n;
		add_given(e, &cap, a, (uint32_t)i, &of);
	}
	kv_cursor_end(&k);
	if (kv_has_failed(s->txn))
		return STORE_FAILED;
	return octets > most ? STORE_LIMIT : STORE_OK;
}

enum store_result attributes_gather_own(struct store *s, mailbox_id_t from, struct arena *a, struct entry *e)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value, prefix = bytes_make(start, key_u64(start, from));
	struct kv_cursor *k = kv_seek(s->txn, T_ATTRIBUTE, prefix, &key, &value);
	uint64_t octets = 0;
	size_t cap = 0;
	bool has = k != NULL;

	for (; has && octets <= RENAMED_OCTETS_MAX && bytes_starts(key, prefix); has = kv_next(k, &key, &value)) {
		struct attribute of;

		octets += 17 + key.n + value.n;
		if (key_read_u32(key, 8) == 0 && index_decode_attribute(key, value, &of))
			add_given(e, &cap, a, 0, &of);
	}
	kv_cursor_end(&k);
	if (kv_has_failed(s->txn))
		return STORE_FAILED;
	return octets > RENAMED_OCTETS_MAX ? STORE_LIMIT : STORE_OK;
}

enum store_result attributes_check_new(struct store *s, const struct attribute_changes *in, struct arena *a)
{
	struct intent_answer ignored = { 0 };

	return attributes_fit(in) ? attributes_check(s, 0, in, a, &ignored) : STORE_LIMIT;
}

void attributes_add_new(struct entry *e, uint32_t at, const struct attribute_changes *in)
{
	const struct intent_attribute as = { .changes = *in };
	struct rows r = { .in = &as };

	note_last(&r);
	for (size_t i = 0; i < in->count; i++) {
		const struct attribute_change *c = &in->at[i];

		if (c->is_set && is_last(&r, c))
			e->given[e->given_count++] = (struct entry_given){ at, c->user, c->name, c->value };
	}
	map_fini(&r.last);
}
