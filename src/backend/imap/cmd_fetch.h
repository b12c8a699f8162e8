/* cmd_fetch.h - FETCH responses that no FETCH asked for. */
#ifndef ROOST_BACKEND_IMAP_CMD_FETCH_H
#define ROOST_BACKEND_IMAP_CMD_FETCH_H

#include "imap_session.h"

/* Tell of message NUMBER, MSG of mailbox M, the COUNT ITEMS; \Seen is left alone. One that cannot be read is not told. */
void fetch_tell(struct session *s, struct store_view *v, const struct mailbox *m, uint32_t number, const struct message *msg,
                const struct fetch_item *items, size_t count);

#endif
