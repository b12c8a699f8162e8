/* inflater.h - the reading half of DEFLATE between two peers (RFC 1951, raw, as RFC 4978 uses it): octets in, octets
 * out, never more at once than the caller has room for. No socket: conn_start_compress() in conn.h is the stage that
 * uses this.
 *
 * Memory: 7 KiB, and 32 KiB more from the first octet on; INFLATER_MEMORY_MAX holds both. The window cannot be smaller:
 * how far back the stream refers is the peer's choice, up to 32 KiB. */
#ifndef ROOST_NET_INFLATER_H
#define ROOST_NET_INFLATER_H

#include "bytes.h"
#include "fault.h"

#define INFLATER_MEMORY_MAX (42 * 1024)

struct inflater;

enum inflate_result {
	INFLATE_MORE, /* all input is taken and all that came of it is out */
	INFLATE_FULL, /* the room is used up: there may be more to come out, also without further input */
	INFLATE_BAD,  /* not DEFLATE, or octets behind the stream's own end; it stays at that */
};

/* A stream's beginning. Freed with inflater_free(). Any one thread at a time. */
struct inflater *inflater_new(void);
/* Sets *I to NULL; NULL is allowed. */
void inflater_free(struct inflater **i);

/* Take from the front of *IN and write to TO.
 *
 * in    borrowed; afterwards what was not taken
 * to    room for ROOM octets, at least 1; what was written before a fault stands there, too
 * n_r   so many were written
 * why   set on INFLATE_BAD: FAULT_CLIENT, "the peer's DEFLATE stream: ..." */
enum inflate_result inflater_step(struct inflater *i, struct bytes *in, uint8_t *to, size_t room, size_t *n_r,
                                  struct fault *why);

#endif
