/* index_attribute.c - the records of attributes. Key: u64 mailbox (0: the server), u32 UID (0: the mailbox itself), user, NUL, name;
 * so what belongs to one message, or to one user of it, stands together. */
#include <string.h>

#include "store_private.h"

_Static_assert(8 + 4 + 1 + ATTRIBUTE_USER_AND_NAME_MAX <= KV_KEY_MAX, "an attribute's key must fit");

size_t key_attributes(uint8_t to[KV_KEY_MAX], mailbox_id_t mailbox, uint32_t uid, struct bytes user)
{
	size_t n = key_message(to, mailbox, uid);

	if (user.n > KV_KEY_MAX - n - 1)
		return 0;
	if (user.n > 0)
		memcpy(to + n, user.p, user.n);
	n += user.n;
	to[n++] = '\0';
	return n;
}

size_t key_attribute(uint8_t to[KV_KEY_MAX], mailbox_id_t mailbox, const struct attribute *of)
{
	size_t n = key_attributes(to, mailbox, of->uid, of->user);

	if (n == 0 || of->name.n > KV_KEY_MAX - n)
		return 0;
	memcpy(to + n, of->name.p, of->name.n);
	return n + of->name.n;
}

bool index_decode_attribute(struct bytes key, struct bytes value, struct attribute *of_r)
{
	struct bytes rest = bytes_from(key, 12);
	size_t end = bytes_find(rest, '\0');

	if (end == rest.n || end + 1 == rest.n)
		return false;
	*of_r = (struct attribute){ key_read_u32(key, 8), bytes_sub(rest, 0, end), bytes_from(rest, end + 1), value };
	return true;
}

enum kv_result index_attribute(struct kv_txn *t, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r)
{
	uint8_t key[KV_KEY_MAX];
	size_t n = key_attribute(key, mailbox, of);

	return n == 0 ? KV_NOT_FOUND : kv_get(t, T_ATTRIBUTE, bytes_make(key, n), value_r);
}

enum kv_result index_put_attribute(struct kv_txn *t, mailbox_id_t mailbox, const struct attribute *of, bool is_set)
{
	uint8_t key[KV_KEY_MAX];
	size_t n = key_attribute(key, mailbox, of);
	enum kv_result r;

	if (n == 0)
		return KV_FAILED;
	r = is_set ? index_put_counted(t, T_ATTRIBUTE, bytes_make(key, n), of->value) :
	             index_del_counted(t, T_ATTRIBUTE, bytes_make(key, n));
	return r == KV_NOT_FOUND ? KV_OK : r;
}

enum kv_result index_drop_attributes(struct kv_txn *t, struct bytes prefix)
{
	uint8_t copy[KV_KEY_MAX];
	struct bytes key, value;
	enum kv_result r = KV_OK;

	while (r == KV_OK) {
		struct kv_cursor *c = kv_seek(t, T_ATTRIBUTE, prefix, &key, &value);
		bool is_one = c != NULL && bytes_starts(key, prefix);

		if (is_one)
			memcpy(copy, key.p, key.n);
		kv_cursor_end(&c);
		if (!is_one)
			break;
		r = index_del_counted(t, T_ATTRIBUTE, bytes_make(copy, key.n));
	}
	return r;
}

enum kv_result index_count_attributes(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct bytes user, size_t most,
                                      size_t *count_r)
{
	uint8_t start[KV_KEY_MAX];
	struct bytes prefix = bytes_make(start, key_attributes(start, mailbox, uid, user)), key, value;
	struct kv_cursor *c = kv_seek(t, T_ATTRIBUTE, prefix, &key, &value);
	bool has = c != NULL;

	for (*count_r = 0; has && *count_r < most && bytes_starts(key, prefix); has = kv_next(c, &key, &value))
		++*count_r;
	kv_cursor_end(&c);
	return kv_has_failed(t) ? KV_FAILED : KV_OK;
}
