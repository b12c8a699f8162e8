/* mailbox_filter.c - see mailbox_filter.h. Below a mailbox is what the client sees below it: with altnamespace INBOX/x is below INBOX, and
 * its internal name is not what that of INBOX is to others. */
#include "mailbox_filter.h"

void mailbox_filter_resolve(struct mailbox_filter *f, const struct names *n, struct arena *a)
{
	size_t count = 0;

	for (size_t i = 0; i < f->name_count; i++) {
		struct buffer internal = { 0 };
		struct fault why;

		if (names_to_internal(n, f->names[i], &internal, &why))
			f->names[count++] = arena_copy(a, buffer_bytes(&internal));
		buffer_fini(&internal);
	}
	f->name_count = count;
}

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
