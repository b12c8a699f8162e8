/* mailbox_filter.c - see mailbox_filter.h. Below a mailbox is what the client sees below it: with altnamespace INBOX/x is below INBOX, and
 * its internal name is not what that of INBOX is to others. */
#include "mailbox_filter.h"

#include "map.h"

static bool is_below_name(struct bytes internal, struct bytes parent, bool is_one_level)
{
	return names_is_below(internal, parent) &&
	       (!is_one_level || bytes_find(bytes_from(internal, parent.n + 1), '.') == internal.n - parent.n - 1);
}

static bool is_below(const struct names *n, struct bytes internal, struct bytes parent, bool is_one_level)
{
	struct buffer inbox = { 0 };
	bool is;

	if (n->alt && !n->is_admin && names_is_inbox(n, parent, n->user)) {
		buffer_add(&inbox, parent);
		buffer_add_str(&inbox, ".INBOX");
		is = is_below_name(internal, buffer_bytes(&inbox), is_one_level);
		buffer_fini(&inbox);
		return is;
	}
	return is_below_name(internal, parent, is_one_level);
}

/* Whether INTERNAL is below one of the names KNOWN. */
static bool is_covered(const struct names *n, const struct map *known, struct bytes internal)
{
	struct bytes above = internal;

	while (bytes_rfind(above, '.') < above.n) {
		above = bytes_sub(above, 0, bytes_rfind(above, '.'));
		if (map_get(known, above) != NULL && is_below(n, internal, above, false))
			return true;
	}
	return false;
}

void mailbox_filter_resolve(struct mailbox_filter *f, const struct names *n, struct arena *a)
{
	struct map known = { 0 };
	size_t count = 0, to = 0;

	for (size_t i = 0; i < f->name_count; i++) {
		struct buffer internal = { 0 };
		struct fault why;

		if (names_to_internal(n, f->names[i], &internal, &why) && map_get(&known, buffer_bytes(&internal)) == NULL) {
			f->names[count] = arena_copy(a, buffer_bytes(&internal));
			(void)map_put(&known, f->names[count++], f);
		}
		buffer_fini(&internal);
	}
	for (size_t i = 0; i < count; i++) {
		if (f->kind != FILTER_SUBTREE || !is_covered(n, &known, f->names[i]))
			f->names[to++] = f->names[i];
	}
	f->name_count = to;
	map_fini(&known);
}

bool mailbox_filter_names(const struct mailbox_filter *f, struct bytes internal)
{
	for (size_t i = 0; f->kind == FILTER_MAILBOXES && i < f->name_count; i++) {
		if (bytes_equal(f->names[i], internal))
			return true;
	}
	return false;
}

bool mailbox_filter_has(const struct mailbox_filter *f, const struct names *n, struct bytes internal)
{
	switch (f->kind) {
	case FILTER_SELECTED:
	case FILTER_SELECTED_DELAYED:
	case FILTER_SUBSCRIBED:
		return false;
	case FILTER_INBOXES:
	case FILTER_PERSONAL:
		return names_is_owner(n, internal, n->user);
	case FILTER_MAILBOXES:
		return mailbox_filter_names(f, internal);
	case FILTER_SUBTREE:
	case FILTER_SUBTREE_ONE:
		for (size_t i = 0; i < f->name_count; i++) {
			if (bytes_equal(f->names[i], internal) || is_below(n, internal, f->names[i], f->kind == FILTER_SUBTREE_ONE))
				return true;
		}
		return false;
	}
	return false;
}

void mailbox_filter_each_prefix(const struct mailbox_filter *f, const struct names *n, void (*fn)(void *arg, struct bytes prefix), void *arg)
{
	struct buffer inbox = { 0 };

	if (f->kind == FILTER_INBOXES || f->kind == FILTER_PERSONAL) {
		names_inbox(n, n->user, &inbox);
		fn(arg, buffer_bytes(&inbox));
		buffer_fini(&inbox);
	}
	for (size_t i = 0; i < f->name_count; i++)
		fn(arg, f->names[i]);
}
