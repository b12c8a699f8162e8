/* lmtp_quota.h - deliveries to those who are over quota, by the keys of Cyrus's names. */
#ifndef ROOST_BACKEND_LMTP_QUOTA_H
#define ROOST_BACKEND_LMTP_QUOTA_H

#include "backend_private.h"
#include "store_view.h"

/* How the store is to look at a recipient's quota. */
enum quota_check lmtp_quota_check(const struct backend *b, bool is_ignored);
/* Whether MAILBOX will refuse a message of SIZE octets (0: not known) as things stand: to say so before it is sent. */
bool lmtp_quota_is_over(const struct backend *b, struct store_view *v, struct bytes mailbox, uint64_t size);
/* The reply, without its line end. */
const char *lmtp_quota_text(const struct backend *b);

#endif
