/* session_private.h - an IMAP session, for the files that make it up: imap_session.c, session_command.c and session_input.c. */
#ifndef ROOST_BACKEND_IMAP_SESSION_PRIVATE_H
#define ROOST_BACKEND_IMAP_SESSION_PRIVATE_H

#include "imap_session.h"

#define IMAP_BAD_MAX 10

/* imap_session.c */
void session_say_farewell(struct session *s);

/* session_command.c */
/* The first N octets of the input are a command: run it, and take them from the input. */
void session_command(struct session *s, size_t n);
/* The handler of the command at hand returned STEP. */
void session_stepped(struct session *s, enum cmd_step step);
/* Tell the news to a client that idles, or that has asked for them at any time; what is too much for one turn in the next. */
void session_tell_news(struct session *s);
void session_free_command(struct session *s);

/* session_input.c */
/* Take from the input what the session is ready for, until nothing is left or something is waited for. */
void session_run(struct session *s);

#endif
