/* lmtp_route.c - a recipient's address to a mailbox: "user+folder" to the user's folder if anyone may post there,
 * else to the user's INBOX. */
#include "lmtp_route.h"

#include "acl.h"
#include "names.h"

/* The mailbox INTERNAL if it is there and anyone may post to it. */
static enum store_result find_folder(struct store_view *v, struct bytes internal, struct mailbox *m_r, struct fault *why)
{
	enum store_result result = store_view_mailbox(v, internal, m_r, why);

	if (result == STORE_OK && (acl_effective(m_r->acl, BYTES_LIT("anyone"), false) & ACL_POST) == 0)
		return STORE_NO_MAILBOX;
	return result;
}

void lmtp_route_user(const struct backend *b, struct bytes address, struct buffer *to)
{
	size_t at = bytes_rfind(address, '@');
	struct bytes local = bytes_sub(address, 0, at), user = bytes_sub(local, 0, bytes_find(local, '+'));

	buffer_add(to, user);
	if (user.n > 0 && at < address.n && names_of(b->cfg, BYTES_NONE, false).virt)
		buffer_add(to, bytes_from(address, at));
}

enum store_result lmtp_route(struct backend *b, struct store_view *v, struct bytes address, struct arena *a,
                             struct bytes *name_r, mailbox_id_t *id_r, uint32_t *uidnext_r, struct fault *why)
{
	size_t at = bytes_rfind(address, '@');
	struct bytes local = bytes_sub(address, 0, at);
	size_t plus = bytes_find(local, '+');
	struct bytes folder = bytes_from(local, plus + 1);
	struct buffer user = { 0 }, internal = { 0 };
	struct names n;
	struct mailbox m;
	struct fault ignored;
	enum store_result result = STORE_NO_MAILBOX;

	lmtp_route_user(b, address, &user);
	n = names_of(b->cfg, buffer_bytes(&user), false);
	if (folder.n > 0 && names_to_internal(&n, folder, &internal, &ignored) &&
	    names_is_owner(&n, buffer_bytes(&internal), n.user))
		result = find_folder(v, buffer_bytes(&internal), &m, why);
	if (result == STORE_NO_MAILBOX && n.user.n > 0) {
		buffer_clear(&internal);
		names_inbox(&n, n.user, &internal);
		if (internal.n <= NAMES_MAX)
			result = store_view_mailbox(v, buffer_bytes(&internal), &m, why);
	}
	if (result == STORE_OK) {
		*name_r = arena_copy(a, buffer_bytes(&internal));
		*id_r = m.id;
		*uidnext_r = m.uidnext;
	}
	buffer_fini(&user);
	buffer_fini(&internal);
	return result;
}
