/* lmtp_duplicate.h - what makes two deliveries one: the Message-ID. */
#ifndef ROOST_BACKEND_LMTP_DUPLICATE_H
#define ROOST_BACKEND_LMTP_DUPLICATE_H

#include "intent.h"

/* If IN's body has a Message-ID, have that, as octets in A, take the operation id's place: who sends a message again sends the same. The
 * operation id is looked up still, as it may have been delivered under it by a member that did not look at Message-IDs. */
void lmtp_duplicate_name(struct intent_append *in, struct arena *a);

#endif
