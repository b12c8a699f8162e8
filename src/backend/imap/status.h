/* status.h - the STATUS response of one mailbox, for STATUS and for LIST (RFC 5819). */
#ifndef ROOST_BACKEND_IMAP_STATUS_H
#define ROOST_BACKEND_IMAP_STATUS_H

#include "imap_session.h"

/* Append "* STATUS NAME (...)" with ITEMS (enum status_item, at least one) of M; NAME as the client knows it. DELETED is what M's messages with
 * \Deleted come to; NULL: they are added up here.
 *
 * BUGS: where that is asked for all messages up to the last that has it are looked at, in one turn of the loop. */
void status_write(struct session *s, struct store_view *v, const struct mailbox *m, struct bytes name, unsigned items,
                  const struct view_deleted *deleted, struct buffer *to);

#endif
