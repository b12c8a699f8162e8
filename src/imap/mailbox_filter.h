/* mailbox_filter.h - sets of mailboxes as ESEARCH (RFC 7377) and NOTIFY (RFC 5465 section 6) name them. Pure. */
#ifndef ROOST_IMAP_MAILBOX_FILTER_H
#define ROOST_IMAP_MAILBOX_FILTER_H

#include "arena.h"
#include "imap_command.h"
#include "names.h"

/* Turn the filter's names into internal ones, in A; what can be no mailbox's name is dropped, as nothing is known by it,
 * and what is named twice, or is below another of a subtree's names, as each costs a walk through all that is below it. */
void mailbox_filter_resolve(struct mailbox_filter *f, const struct names *n, struct arena *a);
/* Whether the mailbox INTERNAL is in F, which was resolved, for N's user. Nothing is in FILTER_SELECTED, _SELECTED_DELAYED and
 * _SUBSCRIBED: the caller knows more. "inboxes" is as "personal": mail may be delivered to any of a user's mailboxes. */
bool mailbox_filter_has(const struct mailbox_filter *f, const struct names *n, struct bytes internal);
/* Whether INTERNAL is named one by one, so that it need not be listable. */
bool mailbox_filter_names(const struct mailbox_filter *f, struct bytes internal);
/* Call FN(ARG) with what all internal names in F begin with, once for each beginning there is; none for the three above. */
void mailbox_filter_each_prefix(const struct mailbox_filter *f, const struct names *n, void (*fn)(void *arg, struct bytes prefix), void *arg);

#endif
