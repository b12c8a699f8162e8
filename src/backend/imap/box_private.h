/* box_private.h - shared by the files of the selected mailbox: what only bringing the picture up to date changes. */
#ifndef ROOST_BACKEND_IMAP_BOX_PRIVATE_H
#define ROOST_BACKEND_IMAP_BOX_PRIVATE_H

#include "box.h"

/* Give the box UIDs of its own, which can be changed. */
void box_own_uids(struct box *box);
/* Add the messages above last_uid that M has. Its result is that of reading V. */
enum store_result box_take_new(struct session *s, struct box *box, struct store_view *v, const struct mailbox *m);
/* UID was expunged: note it in box->gone, if it has a number and is not there yet. */
void box_add_gone(struct box *box, uint32_t uid);

#endif
