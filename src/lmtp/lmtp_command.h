/* lmtp_command.h - one LMTP command line to a struct (RFC 2033, RFC 5321 section 4.1, RFC 4954 for AUTH). Pure. */
#ifndef ROOST_LMTP_COMMAND_H
#define ROOST_LMTP_COMMAND_H

#include "arena.h"
#include "bytes.h"
#include "fault.h"

enum lmtp_verb {
	LMTP_LHLO,
	LMTP_MAIL,
	LMTP_RCPT,
	LMTP_DATA,
	LMTP_RSET,
	LMTP_NOOP,
	LMTP_VRFY,
	LMTP_QUIT,
	LMTP_AUTH,
	LMTP_STARTTLS,
	LMTP_HELP,
	LMTP_UNKNOWN, /* not a verb of LMTP, EHLO and HELO among them: 500 5.5.1 */
};

/* Octets of the operation id that a proxy gives with MAIL, as 32 hex digits on the wire. */
#define LMTP_OP_ID_SIZE 16

struct lmtp_command {
	enum lmtp_verb verb;
	/* LHLO: the name; AUTH: the mechanism; VRFY, NOOP: the argument, may be empty. Borrowed from the line. */
	struct bytes word;
	/* AUTH: the initial response in base64, "=" for an empty one; n 0 with p NULL where none was given. */
	struct bytes initial;
	/* MAIL, RCPT: the address between < and >, unquoted, without a source route; empty for <>. lmtp_address_write() can
	 * write it. In the arena. */
	struct bytes address;
	/* MAIL: SIZE=, 0 where not given. */
	uint64_t size;
	/* RCPT: IGNOREQUOTA. */
	bool ignores_quota;
	/* MAIL: XROOST-OP=. */
	bool has_op_id;
	uint8_t op_id[LMTP_OP_ID_SIZE];
};

enum lmtp_parse {
	LMTP_PARSE_OK,
	LMTP_PARSE_SYNTAX,        /* 501 5.5.4: WHY says what */
	LMTP_PARSE_BAD_PARAMETER, /* 555 5.5.4: a parameter of MAIL or RCPT that was not offered */
};

/* Parse LINE, given without its line end. UNKNOWN verbs are OK here and left to the session.
 *
 * a     holds what is unquoted
 * why_r set unless LMTP_PARSE_OK. Any thread. */
enum lmtp_parse lmtp_command_parse(struct bytes line, struct arena *a, struct lmtp_command *cmd_r, struct fault *why_r);

/* Longest command line with its end (RFC 5321 section 4.5.3.1.4 asks for 512 and room for parameters). */
#define LMTP_MAX_LINE 4096

/* Write an address as it stands between < and >: the local part is quoted where it needs to be. Octets that no address
 * may hold (controls, in a domain also blanks, quotes and brackets) are refused: false, nothing written. */
struct buffer;
bool lmtp_address_write(struct buffer *to, struct bytes address);

#endif
