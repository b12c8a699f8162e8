/* pop3_command.h - one POP3 command line to a struct (RFC 1939, RFC 2449 for CAPA, RFC 2595 for STLS, RFC 5034 for AUTH). Pure. */
#ifndef ROOST_POP3_COMMAND_H
#define ROOST_POP3_COMMAND_H

#include "bytes.h"
#include "fault.h"

enum pop3_verb {
	POP3_USER,
	POP3_PASS,
	POP3_AUTH,
	POP3_CAPA,
	POP3_STLS,
	POP3_QUIT,
	POP3_STAT,
	POP3_LIST,
	POP3_RETR,
	POP3_DELE,
	POP3_NOOP,
	POP3_RSET,
	POP3_TOP,
	POP3_UIDL,
	POP3_UNKNOWN, /* not a command here, APOP among them */
};

struct pop3_command {
	enum pop3_verb verb;
	/* USER: the name; PASS: the password, which may hold blanks; AUTH: the mechanism. Never empty. Borrowed from the line. */
	struct bytes word;
	/* AUTH: the initial response in base64, "=" for an empty one; n 0 with p NULL where none was given. */
	struct bytes initial;
	/* LIST, UIDL: 0 where no message is named; RETR, DELE, TOP: the message's number, from 1. */
	uint32_t number;
	/* TOP: lines of the text. */
	uint32_t lines;
};

/* Parse LINE, given without its line end. UNKNOWN verbs are parsed, and left to the session. Numbers are of digits only and fit 32
 * bits: what is larger counts as UINT32_MAX, which no message has. False: WHY (FAULT_CLIENT) says what the command wants; it
 * never quotes the line, which may hold a password. Any thread. */
bool pop3_command_parse(struct bytes line, struct pop3_command *cmd_r, struct fault *why_r);

#endif
