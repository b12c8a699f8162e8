/* lmtp_route.c - a recipient's address to a mailbox: "user+folder" to the user's folder if anyone may post there,
 * else to the user's INBOX; "+folder" to a shared one. */
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

void lmtp_route_user(const struct backend *b, struct bytes address, bool in_lower_case, struct buffer *to)
{
	struct buffer folder = { 0 };

	names_recipient(b->cfg, address, in_lower_case, to, &folder);
	buffer_fini(&folder);
}

static enum store_result route(struct backend *b, struct store_view *v, struct bytes address, bool in_lower_case, struct buffer *internal,
                               struct mailbox *m_r, struct fault *why)
{
	const struct names n = names_of(b->cfg, BYTES_NONE, false);
	struct buffer user = { 0 };
	enum store_result result = STORE_NO_MAILBOX;

	buffer_clear(internal);
	names_recipient(b->cfg, address, in_lower_case, &user, internal);
	if (internal->n > 0)
		result = find_folder(v, buffer_bytes(internal), m_r, why);
	if (result == STORE_NO_MAILBOX && user.n > 0) {
		buffer_clear(internal);
		names_inbox(&n, buffer_bytes(&user), internal);
		if (internal->n <= NAMES_MAX)
			result = store_view_mailbox(v, buffer_bytes(internal), m_r, why);
	}
	buffer_fini(&user);
	return result;
}

enum store_result lmtp_route(struct backend *b, struct store_view *v, struct bytes address, struct arena *a,
                             struct bytes *name_r, mailbox_id_t *id_r, uint32_t *uidnext_r, struct fault *why)
{
	struct buffer internal = { 0 };
	struct mailbox m;
	enum store_result result = route(b, v, address, false, &internal, &m, why);

	if (result == STORE_NO_MAILBOX && config_switch(b->cfg, "lmtp_downcase_rcpt"))
		result = route(b, v, address, true, &internal, &m, why);
	if (result == STORE_OK) {
		*name_r = arena_copy(a, buffer_bytes(&internal));
		*id_r = m.id;
		*uidnext_r = m.uidnext;
	}
	buffer_fini(&internal);
	return result;
}
