/* status.h - the STATUS response of one mailbox, for STATUS and for LIST (RFC 5819). */
#ifndef ROOST_BACKEND_IMAP_STATUS_H
#define ROOST_BACKEND_IMAP_STATUS_H

#include "imap_session.h"

/* Append "* STATUS NAME (...)" with ITEMS (enum status_item, at least one) of M; NAME as the client knows it. */
void status_write(struct session *s, struct store_view *v, const struct mailbox *m, struct bytes name, unsigned items,
                  struct buffer *to);

#endif
