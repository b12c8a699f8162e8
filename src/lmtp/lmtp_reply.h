/* lmtp_reply.h - replies of an LMTP server, as a client reads them (RFC 5321 section 4.2). Pure. */
#ifndef ROOST_LMTP_REPLY_H
#define ROOST_LMTP_REPLY_H

#include "bytes.h"

struct lmtp_reply {
	unsigned code;     /* 200..599 */
	bool is_last;      /* false: "250-...", more lines of the same reply follow */
	struct bytes text; /* behind the code and its separator; borrowed from the line */
};

/* Parse one LINE, given without its line end. False: not a reply. */
bool lmtp_reply_parse(struct bytes line, struct lmtp_reply *reply_r);

#endif
