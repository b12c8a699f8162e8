/* listener.h - a listening TCP socket whose connections are spread over loops, each pinned to one for its life. */
#ifndef ROOST_NET_LISTENER_H
#define ROOST_NET_LISTENER_H

#include "conn.h"

struct listener;

/* Called on the connection's loop; the callee sets its events (conn_set_events) before it returns. */
typedef void listener_fn(struct conn *c, void *arg);

/* Listen on ADDRESS ("127.0.0.1:143", "[::]:143", "*:143"; port 0 picks a free one).
 *
 * home      the loop that accepts; its thread, or before it runs
 * to        the loops that get the connections in turn; must outlive the listener
 * tls       NULL, or the server context used from the first octet (the handshake happens before CALLED is called)
 * max       most connections at once; one more is accepted and closed at once, and logged. The process's limit of
 *           descriptors is raised as far as it goes; beyond it connections are turned away likewise
 *
 * NULL with WHY set ("127.0.0.1:143: cannot listen: Address already in use"). */
struct listener *listener_open(struct loop *home, const struct loops *to, const char *address, struct tls_context *tls,
                               size_t max, listener_fn *called, void *arg, struct fault *why);
/* What a connection is sent that is turned away, such as "* BYE ...\r\n"; lent for the listener's life. Not sent where TLS
 * begins with the first octet. */
void listener_set_refusal(struct listener *l, const char *text);
/* The bound address with its real port, lent. */
const char *listener_address(const struct listener *l);
/* Connections open now. Any thread. */
size_t listener_count(const struct listener *l);
/* Stop accepting and free; open connections go on. On HOME's thread. Sets *L to NULL; NULL is allowed. */
void listener_close(struct listener **l);

#endif
