/* lmtp_recipient.h - what RCPT says of a recipient: where his mail goes, and whether it may. */
#ifndef ROOST_BACKEND_LMTP_RECIPIENT_H
#define ROOST_BACKEND_LMTP_RECIPIENT_H

#include "autocreate.h"
#include "backend_private.h"

struct lmtp_recipient {
	struct bytes mailbox; /* in the transaction's arena */
	mailbox_id_t id;
	uint32_t uidnext;
	bool ignores_quota;
	bool may_be_again; /* under an id: the message may be there already, and is then answered so, whatever else came */
};

/* Find ADDRESS's mailbox for a message of SIZE octets (0: not known); R->ignores_quota and may_be_again are set. The reply, without its line end; it begins with 2
 * where R is one. *is_unknown_r: there is no such user. */
const char *lmtp_recipient_find(struct client *c, struct bytes address, uint64_t size, struct arena *a, struct lmtp_recipient *r,
                                bool *is_unknown_r);
/* Begin to make an INBOX for ADDRESS, who has none. False: he is not to have one. */
bool lmtp_recipient_create(struct client *c, struct bytes address, mailbox_op_fn *ended);

#endif
