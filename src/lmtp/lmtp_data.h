/* lmtp_data.h - the octets between DATA's 354 and the lone dot: transparency (RFC 5321 section 4.5.2). Pure. */
#ifndef ROOST_LMTP_DATA_H
#define ROOST_LMTP_DATA_H

#include "buffer.h"

/* Where an incoming body stands. Zero-initialise at the 354. */
struct lmtp_data {
	enum {
		LMTP_AT_LINE_START, /* also at the very start */
		LMTP_IN_LINE,
		LMTP_AFTER_CR,
		LMTP_AFTER_DOT,    /* a dot began the line */
		LMTP_AFTER_DOT_CR, /* dot, CR at the start of a line */
	} state;
};

enum lmtp_data_result {
	LMTP_DATA_MORE, /* all was taken, the end has not come */
	LMTP_DATA_END,  /* the end has come: what follows *used_r is the next command */
};

/* Take what is there of the body.
 *
 * Only CR LF "." CR LF (or "." CR LF at the very start) ends it: a bare LF is an octet like others and the dots around
 * it have no meaning, so that no second message can be smuggled in. The CR LF before the dot belongs to the body.
 *
 * in      borrowed
 * to      gets the body with its dots unstuffed; up to LIMIT octets in all, what is over that is dropped
 * over_r  set to true once something was dropped; not touched otherwise
 * used_r  octets of IN that were taken */
enum lmtp_data_result lmtp_data_take(struct lmtp_data *d, struct bytes in, struct buffer *to, size_t limit, bool *over_r,
                                     size_t *used_r);

/* Append BODY as it goes over the wire: dots stuffed, a CR LF added where it does not end with one, and the lone dot. */
void lmtp_data_write(struct buffer *to, struct bytes body);

#endif
