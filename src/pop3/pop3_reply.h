/* pop3_reply.h - the first line of a POP3 server's answer, as a client reads it (RFC 1939 section 3, RFC 2449 section 8, RFC 5034
 * section 4). Pure. */
#ifndef ROOST_POP3_REPLY_H
#define ROOST_POP3_REPLY_H

#include "bytes.h"

enum pop3_status {
	POP3_OK,
	POP3_ERR,
	POP3_CHALLENGE, /* "+ ": base64 follows */
};

struct pop3_reply {
	enum pop3_status status;
	struct bytes code; /* inside [ and ], such as SYS/TEMP; empty where there is none. Borrowed from the line, as the text */
	struct bytes text; /* behind the status, the code with its brackets included */
};

/* Parse one LINE, given without its line end. False: not a reply. */
bool pop3_reply_parse(struct bytes line, struct pop3_reply *reply_r);

#endif
