/* capabilities.h - what the frontend offers to IMAP clients: what it does by itself, and of the rest what every backend does.
 *
 * Which server can what is learned by logging in there: when a server is first heard of, whenever it has another master, and from each
 * session's login. It is kept beside the mailbox list, so that a frontend that starts knows it at once. A server that was never reached says
 * nothing and takes nothing away; while no server is known only what the frontend does by itself is offered. */
#ifndef ROOST_FRONTEND_CAPABILITIES_H
#define ROOST_FRONTEND_CAPABILITIES_H

#include "buffer.h"
#include "bytes.h"

struct frontend;
struct capabilities;

/* On the home loop's thread, as all that does not say otherwise. FE is lent for the life. */
struct capabilities *capabilities_new(struct frontend *fe);
/* Take what was kept beside the list: once, when the list is open. */
void capabilities_recall(struct capabilities *c);
/* End what is under way; nothing is learned from then on. */
void capabilities_stop(struct capabilities *c);
/* When all loops have ended. Sets *C to NULL; NULL is allowed. */
void capabilities_free(struct capabilities **c);

/* SERVER was heard of, or has another master: look what it offers. */
void capabilities_look(struct capabilities *c, struct bytes server);
/* SERVER has nothing any more. */
void capabilities_forget(struct capabilities *c, struct bytes server);
/* A whole mailbox list was read: all servers have been heard of. */
void capabilities_list_is_whole(struct capabilities *c);
/* A session has logged in to SERVER at ADDRESS, and was offered OFFERED, words. Any thread. */
void capabilities_learn(struct capabilities *c, const char *server, const char *address, struct bytes offered);

/* Whether every server has been looked at (or could not be), or the wait for that is over; stays so. Any thread. */
bool capabilities_is_settled(const struct capabilities *c);
/* Append " WORD" for each capability behind IMAP4rev1, of a client that IS_LOGGED_IN or not; without what depends on the connection
 * (STARTTLS, AUTH=). Returns the version, for comparison with the next. Any thread. */
uint64_t capabilities_write(struct capabilities *c, bool is_logged_in, struct buffer *to);
/* Grows with each change. Any thread. */
uint64_t capabilities_version(const struct capabilities *c);
/* The bits of enum imap_feature that may be ENABLEd. Any thread. */
unsigned capabilities_features(const struct capabilities *c);

#endif
