/* imap_envelope.h - an ENVELOPE (RFC 3501 section 7.4.2) taken apart, as far as somebody needs it: what was written for clients is
 * also what SORT and THREAD look at. Pure. */
#ifndef ROOST_IMAP_ENVELOPE_H
#define ROOST_IMAP_ENVELOPE_H

#include "arena.h"
#include "bytes.h"

struct envelope_address {
	struct bytes name, mailbox, host; /* p NULL: NIL, or there is no address */
};
struct envelope {
	struct bytes date, subject; /* p NULL: NIL */
	struct envelope_address from, to, cc; /* the first of each */
	struct bytes in_reply_to, message_id;
};

/* Read TEXT, at least up to and with the field UP_TO (the rest stays zero); strings are borrowed from it or in A. False: not an
 * ENVELOPE. */
enum envelope_field { ENVELOPE_DATE, ENVELOPE_SUBJECT, ENVELOPE_FROM, ENVELOPE_TO, ENVELOPE_CC, ENVELOPE_IDS };
bool envelope_read(struct bytes text, enum envelope_field up_to, struct arena *a, struct envelope *e_r);

#endif
