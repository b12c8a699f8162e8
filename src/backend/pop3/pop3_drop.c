/* pop3_drop.c - twelve octets for each message; the messages themselves stay in the store. */
#include "pop3_drop.h"

#include <stdlib.h>

#include "alloc.h"

enum store_result pop3_drop_open(struct store_view *v, const struct mailbox *m, size_t limit, struct pop3_drop *drop_r,
                                 struct fault *why)
{
	size_t skip = m->exists > limit ? m->exists - limit : 0;
	size_t wanted = m->exists - skip;
	struct view_messages it;
	struct message msg;

	*drop_r = (struct pop3_drop){ .mailbox = m->id, .uidvalidity = m->uidvalidity };
	drop_r->items = must_calloc(wanted + 1, sizeof(*drop_r->items));
	store_view_messages(v, m->id, 1, &it);
	while (drop_r->count < wanted && view_messages_next(&it, &msg)) {
		if (skip > 0) {
			skip--;
			continue;
		}
		drop_r->items[drop_r->count++] = (struct pop3_item){ .uid = msg.uid, .size = msg.size };
		drop_r->octets += msg.size;
	}
	view_messages_end(&it);
	if (it.result == STORE_OK)
		return STORE_OK;
	(void)fault_set(why, FAULT_OPERATOR, "the messages of a mailbox cannot be read");
	pop3_drop_fini(drop_r);
	return it.result;
}

void pop3_drop_fini(struct pop3_drop *drop)
{
	free(drop->items);
	*drop = (struct pop3_drop){ 0 };
}

struct pop3_item *pop3_drop_item(const struct pop3_drop *drop, uint32_t number)
{
	struct pop3_item *item = number >= 1 && number <= drop->count ? &drop->items[number - 1] : NULL;

	return item != NULL && !item->is_deleted ? item : NULL;
}

void pop3_drop_delete(struct pop3_drop *drop, struct pop3_item *item)
{
	item->is_deleted = true;
	drop->deleted++;
	drop->deleted_octets += item->size;
}

void pop3_drop_reset(struct pop3_drop *drop)
{
	for (size_t i = 0; i < drop->count; i++)
		drop->items[i].is_deleted = false;
	drop->deleted = 0;
	drop->deleted_octets = 0;
}

struct uid_range *pop3_drop_ranges(const struct pop3_drop *drop, struct arena *a, size_t *count_r)
{
	struct uid_range *ranges = arena_array(a, drop->deleted, sizeof(*ranges));
	size_t n = 0;
	bool goes_on = false; /* the message before was one of them: what lies between is gone already */

	for (size_t i = 0; i < drop->count; i++) {
		if (drop->items[i].is_deleted && goes_on)
			ranges[n - 1].last = drop->items[i].uid;
		else if (drop->items[i].is_deleted)
			ranges[n++] = (struct uid_range){ drop->items[i].uid, drop->items[i].uid };
		goes_on = drop->items[i].is_deleted;
	}
	*count_r = n;
	return ranges;
}
