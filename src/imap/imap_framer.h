/* imap_framer.h - finds whole commands in a client's stream of octets: a line, or lines with literals between them
 * (RFC 3501 section 7.5, RFC 7888). It looks at each octet once, holds no copy, and bounds everything. Pure. */
#ifndef ROOST_IMAP_FRAMER_H
#define ROOST_IMAP_FRAMER_H

#include "buffer.h"
#include "fault.h"

struct imap_frame_limits {
	size_t line;    /* all lines of one command, without literals */
	size_t literal; /* one literal, but for a message's */
	size_t command; /* lines and literals of one command, but for messages' literals */
	size_t message; /* one literal of APPEND or REPLACE */
	size_t messages; /* all of one such command */
};

/* Zero-initialise; the same again after each command. */
struct imap_framer {
	size_t at;        /* scanned so far */
	size_t segment;   /* where the present line began */
	size_t literals;  /* octets of literals so far, without the message */
	size_t message;   /* octets of messages' literals so far */
	bool is_continued; /* the announcement at AT was answered */
	uint64_t skip;    /* octets of a refused literal still to be thrown away */
	bool is_skipping; /* a refused command: through its last line */
};

enum imap_frame {
	FRAME_MORE,     /* *n_r octets are wanted in all (more than there are) */
	FRAME_COMMAND,  /* the first *n_r octets are a command with its line end */
	FRAME_CONTINUE, /* send "+ ", then call again: a synchronising literal is accepted */
	FRAME_SKIP,     /* consume *n_r octets (of a refused command), then call again */
	FRAME_REFUSED,  /* answer *tag_r ("*" if it has none) with BAD or NO and WHY; consume *n_r; the rest is skipped */
	FRAME_TOO_BIG,  /* as FRAME_REFUSED: a message of an APPEND or REPLACE is over its limit, NO [TOOBIG] (RFC 7889) */
	FRAME_FATAL,    /* hopeless: say BYE with WHY and close */
};

/* Look at IN, which begins where the last command ended. */
enum imap_frame imap_framer_next(struct imap_framer *f, struct bytes in, const struct imap_frame_limits *limits, size_t *n_r,
                                 struct bytes *tag_r, struct fault *why);

/* Whether COMMAND, or its beginning, is one whose literals are messages: APPEND, REPLACE. */
bool imap_framer_has_messages(struct bytes command);

/* Append COMMAND, one whole command as it was found, with its literals made such that a server need not say "+" (RFC 7888):
 * the same command to whoever parses it. */
void imap_framer_add_non_sync(struct buffer *to, struct bytes command);

#endif
