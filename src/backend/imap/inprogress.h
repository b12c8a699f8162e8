/* inprogress.h - telling a client how far a long command is (RFC 9585): "* OK [INPROGRESS (tag done total)]", first after
 * imap_progress_ms, then at five times that. */
#ifndef ROOST_BACKEND_IMAP_INPROGRESS_H
#define ROOST_BACKEND_IMAP_INPROGRESS_H

#include "imap_session.h"

/* DONE of TOTAL is done; TOTAL 0: nobody knows. Only where no response is half written. */
void inprogress_tell(struct session *s, struct command *cmd, uint64_t done, uint64_t total);
/* The command waits for a commit: tell now and then that it does. */
void inprogress_wait(struct session *s);
/* It has ended. */
void inprogress_end(struct session *s);

#endif
