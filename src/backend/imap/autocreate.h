/* autocreate.h - a user's INBOX and first folders, made when he logs in or is sent mail for the first time (the autocreate_ keys).
 *
 * Everything is reserved at the directory first, INBOX before all, so that of two servers one makes it; the folders are made before INBOX, so
 * that whatever was broken off is gone on with the next time; what is there already is left. Two who do it at once both find it done. */
#ifndef ROOST_BACKEND_IMAP_AUTOCREATE_H
#define ROOST_BACKEND_IMAP_AUTOCREATE_H

#include "mailbox_op.h"

/* Whether the keys say what can be. False with WHY. */
bool autocreate_check(const struct config *cfg, struct fault *why);
/* Whether USER has no INBOX here and may have one made: at a login, or for mail that came. */
bool autocreate_is_due(struct backend *b, struct bytes user, bool is_mail);
/* Begin to make it; ENDED is called as mailbox_op.h says. It has logged what came of it. */
void autocreate_start(struct client *c, struct bytes user, mailbox_op_fn *ended);
/* For ENDED: log what came of it. */
void autocreate_note(struct client *c, const struct mailbox_op *op);

#endif
