/* context.h - results of SEARCH and SORT that are kept up to date for a client (RFC 5267): RETURN (UPDATE).
 *
 * A context belongs to the selected mailbox and ends with it. box_sync.c tells it of each message that changed, came or went, as it finds
 * them; what that means for the results is collected, and told at the place that the RFC gives it: REMOVEFROM before EXPUNGE, ADDTO
 * behind EXISTS. A bit for each message says whether it is among the results; SORT's results have their order, too, 4 octets each. */
#ifndef ROOST_BACKEND_IMAP_CONTEXT_H
#define ROOST_BACKEND_IMAP_CONTEXT_H

#include "imap_session.h"

/* Whether the command may have its UPDATE; BAD is answered where its tag is in use. False: the tagged answer is set. */
bool context_check(struct session *s, struct command *cmd);
/* The search command has found RESULTS, COUNT indices into the selected box, in its order: keep them up to date, or tell NOUPDATE. */
void context_add(struct session *s, struct command *cmd, const uint32_t *results, size_t count);
/* False: there is none of that tag. */
bool context_cancel(struct box *box, struct bytes tag);
void contexts_free(struct box *box);
bool contexts_are_there(const struct box *box);

/* What box_sync.c has found, in a view of mailbox M. Message number INDEX + 1 has other flags now, or is new; or it is gone. */
void contexts_look(struct session *s, struct store_view *v, const struct mailbox *m, const struct message *msg, size_t index);
void contexts_gone(struct session *s, size_t index);
/* The messages FIRST.. up to the box's end have come: look at those that were not looked at, until the time UNTIL_NS is over. False:
 * not at all of them. */
bool contexts_take_new(struct session *s, struct store_view *v, const struct mailbox *m, uint64_t until_ns);
/* Tell what was collected. */
void contexts_tell(struct session *s);
/* The messages of the COUNT ascending indices leave the box. */
void contexts_drop(struct box *box, const uint32_t *index, size_t count);

#endif
