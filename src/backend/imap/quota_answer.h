/* quota_answer.h - what clients are told of quota roots. */
#ifndef ROOST_BACKEND_IMAP_QUOTA_ANSWER_H
#define ROOST_BACKEND_IMAP_QUOTA_ANSWER_H

#include "imap_session.h"

/* Append "* QUOTA ROOT (...)" (RFC 9208 section 4.2.1). */
void quota_answer_write(struct session *s, const struct quota *q, struct buffer *to);
/* Append an untagged NO where M's root has little left (the quotawarn keys), or nothing. */
void quota_answer_warn(struct session *s, struct store_view *v, const struct mailbox *m, struct buffer *to);

#endif
