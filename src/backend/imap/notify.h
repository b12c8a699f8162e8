/* notify.h - what a client wants to hear of, whatever mailbox is selected (RFC 5465): NOTIFY SET.
 *
 * A session holds a watcher for each mailbox that it is to hear of, with what the client was last told of it. A commit marks what it
 * changed; what that comes to is found when it is told: at once where no command runs, or with the next answer. So what waits
 * is bounded by the mailboxes that are watched, and these by imap_max_notify_mailboxes; where more come to be, the client is
 * told NOTIFICATIONOVERFLOW and hears no more. A change costs those who watch its mailbox; one of the list of mailboxes all who watch. */
#ifndef ROOST_BACKEND_IMAP_NOTIFY_H
#define ROOST_BACKEND_IMAP_NOTIFY_H

#include "imap_session.h"

struct notify;

/* Have what the command asks for watched; OLD is replaced when it has ended. NULL: the tagged answer is set. */
struct notify *notify_new(struct session *s, struct command *cmd);
void notify_free(struct notify **n);
/* Append what NOTIFY SET tells before its OK, some of it: NoAccess, and with STATUS the watched mailboxes'. False: there is more. */
bool notify_write_first(struct notify *n, struct store_view *v, bool wants_status, struct buffer *to);

/* What is told of the selected mailbox where the client has used NOTIFY: bits of enum notify_event; all where it has not. */
unsigned notify_selected(const struct session *s);
/* Whether EXPUNGE waits for a command that allows it. */
bool notify_delays_expunge(const struct session *s);
/* Fetch what the client wants of the messages that came to the selected mailbox, until the time UNTIL_NS is over. False: not of all. */
bool notify_fetch_new(struct session *s, struct store_view *v, const struct mailbox *m, uint64_t until_ns);
/* The selected mailbox is another: nothing in it is new. */
void notify_selected_anew(struct session *s);

/* Tell what waits, some of it. False: there is more, or the output is full. */
bool notify_tell(struct session *s);
/* The command at hand has changed what it was to change: that is no news. */
void notify_forget(struct session *s, const struct command *cmd);
/* An intent of this session was committed. */
void notify_committed(struct session *s, const struct submission *sub);

#endif
