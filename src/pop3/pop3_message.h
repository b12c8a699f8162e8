/* pop3_message.h - a message's octets as RETR and TOP send them (RFC 1939 sections 3, 5 and 7). Pure.
 *
 * The message is handed over in pieces of any length; what comes out does not depend on where they end. A dot that begins a line
 * is doubled. Lines end with CR LF on the wire: a bare LF becomes one, as a client that takes LF for a line's end could otherwise
 * be shown an end where there is none. */
#ifndef ROOST_POP3_MESSAGE_H
#define ROOST_POP3_MESSAGE_H

#include "buffer.h"

#define POP3_ALL_LINES UINT64_MAX

/* Where a message stands. Zero-initialise, then set LINES. */
struct pop3_message {
	uint64_t lines; /* lines of the text still wanted, POP3_ALL_LINES for RETR */
	bool in_text;   /* the empty line after the header has gone by */
	bool in_line, is_after_cr;
};

/* Append to TO what goes over the wire for the next piece, IN. True: TOP has its lines, what follows is not wanted. */
bool pop3_message_add(struct pop3_message *m, struct bytes in, struct buffer *to);
/* The end: a CR LF where the message did not end with one, and the lone dot. */
void pop3_message_end(struct pop3_message *m, struct buffer *to);

#endif
