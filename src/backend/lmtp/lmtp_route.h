/* lmtp_route.h - from a recipient's address to the mailbox its mail goes to. */
#ifndef ROOST_BACKEND_LMTP_ROUTE_H
#define ROOST_BACKEND_LMTP_ROUTE_H

#include "backend_private.h"
#include "store_view.h"

/* ADDRESS is as names_recipient() has it. The mailbox is the folder if it is there and anyone may post to it (RFC 4314 right `p`), else the
 * user's INBOX.
 * NAME_R lives in A; *uidnext_r and *id_r are the mailbox's. NO_MAILBOX: no such user. FAILED with WHY set. */
enum store_result lmtp_route(struct backend *b, struct store_view *v, struct bytes address, struct arena *a,
                             struct bytes *name_r, mailbox_id_t *id_r, uint32_t *uidnext_r, struct fault *why);

/* Append the user that ADDRESS is of, IN_LOWER_CASE or as it is; he need not be there. Empty: none can be. */
void lmtp_route_user(const struct backend *b, struct bytes address, bool in_lower_case, struct buffer *to);

#endif
