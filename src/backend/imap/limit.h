/* limit.h - how many messages one command may work on (RFC 9738): imap_message_limit, 0 where there is no limit. */
#ifndef ROOST_BACKEND_IMAP_LIMIT_H
#define ROOST_BACKEND_IMAP_LIMIT_H

#include "imap_session.h"

/* Keep of the COUNT ascending indices at *INDEX the last, as many as are allowed; then the command's OK tells so. */
void limit_cut(struct session *s, struct command *cmd, uint32_t **index, size_t *count);
/* Whether COUNT ascending indices are too many for a command that is done as a whole or not at all: then the tagged answer is
 * set. */
bool limit_refuses(struct session *s, struct command *cmd, const uint32_t *index, size_t count);
/* NO [MESSAGELIMIT n]. */
enum cmd_step limit_refuse(struct session *s, struct command *cmd);
/* Put the response code into the answer that is set, or before it where another one is there. */
void limit_tell(struct session *s, struct command *cmd);

#endif
