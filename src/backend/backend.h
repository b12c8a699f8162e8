/* backend.h - the role `roost backend`: serves the mailboxes of one server over IMAP, LMTP and POP3 while this member is its
 * master, and follows the master while it is not. */
#ifndef ROOST_BACKEND_H
#define ROOST_BACKEND_H

#include "config.h"
#include "fault.h"

/* Run the role on this thread until SIGTERM or SIGINT; SIGHUP re-reads certificates. CONFIG lives until this returns. False
 * with WHY where it could not start (nothing is left open), or its disk failed and it ended in order; true after any other end. */
bool backend_run(const struct config *config, struct fault *why);

#endif
