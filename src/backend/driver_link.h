/* driver_link.h - one connection with another member, for driver_sync.c and what sends and takes through it. */
#ifndef ROOST_BACKEND_DRIVER_LINK_H
#define ROOST_BACKEND_DRIVER_LINK_H

#include "driver_private.h"

/* A frame of entries has at most so much, or one entry. */
#define STREAM_PIECE (256u << 10)

struct link {
	struct driver *driver;
	struct conn *conn;
	bool is_incoming, has_magic, is_authed, is_streaming, is_dead;
	bool is_over;   /* what still comes is not looked at */
	bool is_proven; /* dialler: the other side has shown that it knows the password */
	struct timer *login; /* until it is authenticated */
	struct list calling; /* incoming and not authenticated: in the driver's callers */
	size_t peer; /* known once authed, or dialled */
	struct sasl_server *server;
	struct sasl_client *client;

	/* driver_stream.c */
	lsn_t next; /* to be sent */
	struct reading *reading; /* on a pool thread; NULL: none */

	struct give *give; /* driver_give.c; NULL: none */
	bool is_taking;    /* driver_take.c */
};

/* driver_sync.c */
void link_frame(struct link *l, struct bytes head, struct bytes body);
/* A message and what it holds. */
void link_send(struct link *l, const struct peer_message *m);
/* End it now; WHY is logged if it is not NULL. */
void link_drop(struct link *l, const char *why);

/* driver_stream.c: send what can be sent. */
void link_pump(struct link *l);
/* L ends. */
void link_forget_reading(struct link *l);

/* driver_give.c: TAKE and TAKEN; send what can be sent; L ends, or its follower needs no copy. */
void driver_give_hear(struct link *l, const struct peer_message *m);
void driver_give_pump(struct link *l);
void driver_give_end(struct link *l);

/* driver_take.c: PIECE and BODIES; the master needs no copy to be followed; L ends. */
void driver_take_hear(struct link *l, const struct peer_message *m);
void driver_take_not(struct driver *d);
void driver_take_end(struct link *l);

#endif
