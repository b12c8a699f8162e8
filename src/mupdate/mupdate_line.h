/* mupdate_line.h - one line of MUPDATE, command or response (RFC 3656 section 3): TAG WORD ARGUMENT ... CRLF, an
 * argument being a quoted string or a literal. Both directions have this form; who may say which word is the session's
 * affair. Pure. */
#ifndef ROOST_MUPDATE_LINE_H
#define ROOST_MUPDATE_LINE_H

#include "arena.h"
#include "buffer.h"
#include "fault.h"

/* UPDATE may name servers: Cyrus takes 30. */
#define MUPDATE_ARGS_MAX 32
#define MUPDATE_TAG_MAX 64
/* Longest line without its strings. */
#define MUPDATE_LINE_MAX 4096

struct mupdate_line {
	struct bytes tag;  /* "*" for untagged; empty when the line is a "+" continuation or bare text (see TEXT) */
	struct bytes word; /* upper-cased; in the arena */
	size_t count;
	struct bytes args[MUPDATE_ARGS_MAX]; /* in the arena if unescaped, else borrowed from the input */
	bool has_atom;                       /* an argument was neither quoted nor a literal: RFC 3656 has none */
};

enum mupdate_parse {
	MUPDATE_OK,
	MUPDATE_MORE,     /* the line is not complete; *used_r octets are needed before that can change */
	MUPDATE_GO_AHEAD, /* the input ends with a synchronising literal's announcement: the peer waits for "+" */
	MUPDATE_BAD,      /* malformed; *used_r is what to skip (through the line's end); the tag is set if it could be read */
	MUPDATE_LIMIT,    /* a string or line over its limit; the connection can only be closed */
};

/* Parse the first line of IN.
 *
 * max_string  longest string accepted
 * used_r      octets of the line with its end, on MUPDATE_OK and MUPDATE_BAD; octets that are needed at least, on
 *             MUPDATE_MORE and MUPDATE_GO_AHEAD
 * why_r       set on MUPDATE_BAD and MUPDATE_LIMIT
 * Any thread. */
enum mupdate_parse mupdate_line_parse(struct bytes in, size_t max_string, struct arena *a, struct mupdate_line *line_r,
                                      size_t *used_r, struct fault *why_r);

/* Append " " and S as a non-synchronising literal, as Cyrus does with every string. */
void mupdate_add_string(struct buffer *to, struct bytes s);
/* Append TEXT quoted; what cannot stand in quotes (CR, LF, NUL, 8-bit) becomes '?'. For the text of answers. */
void mupdate_add_text(struct buffer *to, struct bytes text);

#endif
