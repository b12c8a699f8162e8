/* conn_private.h - a connection's inside, for net/ only. */
#ifndef ROOST_NET_CONN_PRIVATE_H
#define ROOST_NET_CONN_PRIVATE_H

#include <netdb.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <uv.h>

#include "buffer.h"
#include "conn.h"
#include "list.h"

/* A piece of output: either DATA behind it (cap > 0, room for more at its end) or lent memory with its release. */
struct out_piece {
	struct out_piece *next;
	struct bytes left; /* not yet written */
	loop_fn *release;  /* NULL for own data */
	void *arg;
	size_t cap;
	uint8_t data[];
};

struct out_queue {
	struct out_piece *first;
	struct out_piece *last;
	size_t n; /* octets in all pieces */
};

/* Connections of one listener; counted so that it outlives whichever of them ends last. */
struct conn_count {
	atomic_size_t refs;
	atomic_size_t open;
};

enum conn_state {
	CONN_DIALING,   /* resolving or connecting */
	CONN_OPEN,      /* a TLS handshake may be under way */
	CONN_FLUSHING,  /* conn_close(): output leaves */
	CONN_LINGERING, /* our direction is ended; input is thrown away until the peer ends too, so that no reset of the
	                   system's takes the last words from it */
	CONN_CLOSED,    /* handles are closing */
};

/* What a connection has only once it is compressed. */
struct conn_stage {
	struct inflater *inflater;
	struct buffer packed; /* input not yet inflated, from packed_at on; owns nothing while all is */
	size_t packed_at;
	bool is_full;   /* the inflater holds more than it had room for */
	bool owes_eof;  /* on_eof is due when all is inflated */
	bool is_broken; /* and WHY; what came before that is still delivered */
	struct fault why;
	struct out_queue clear; /* waits for compression */
};

struct conn {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct loop *loop;
	const struct conn_events *events;
	void *arg;
	uint64_t id;
	enum conn_state state;
	unsigned handles; /* open libuv handles; the last to close frees */
	struct list dirty, kicked;

	struct bytes view; /* input still in the loop's scratch memory; only while has_view */
	bool has_view;
	struct buffer in; /* else input is here, from in_at on */
	size_t in_at;
	size_t want;
	bool is_paused, is_reading, has_eof;

	struct conn_stage *stage; /* owned; NULL: not compressed */
	struct out_queue plain;   /* waits for encryption; unused without TLS */
	struct out_queue wire;    /* waits for the system */
	bool is_writing;          /* a uv_write() holds the first pieces of wire: */
	unsigned writing;         /* so many */
	bool was_high;

	uint64_t timeout_ms, last_ms;
	struct fault *why; /* owned; reason for on_closed */
	struct conn_count *count;
	struct dial *dial; /* while DIALING */
	SSL *ssl;
	bool is_handshaking;
	bool is_loopback;
	char peer[64];
};

/* A connection without a socket on L. */
struct conn *conn_new(struct loop *l);
/* Take over the connected descriptor FD; false: it was closed and the connection is ending. */
bool conn_adopt(struct conn *c, int fd);
/* The socket is connected: read its address and start reading. */
void conn_opened(struct conn *c);
/* End it with WHY (NULL: orderly). Idempotent. */
void conn_finish(struct conn *c, const struct fault *why);
/* Look whether reading should go on or stop. */
void conn_update_reading(struct conn *c);
/* Have the turn flush C. */
void conn_mark_dirty(struct conn *c);
/* Call on_input if there is what it waits for. */
void conn_deliver(struct conn *c);

/* conn_queue.c: a copy of B; B itself, RELEASE(ARG) once it is gone; N octets are gone. */
void out_add(struct out_queue *q, struct bytes b);
void out_add_lent(struct out_queue *q, struct bytes b, loop_fn *release, void *arg);
void out_drop(struct out_queue *q, size_t n);

/* conn_dial.c: the connection ends while it is being dialled. */
void conn_dial_detach(struct conn *c);

/* conn_tls.c: RAW octets came from the system; decrypt, go on with the handshake. */
void conn_tls_input(struct conn *c, struct bytes raw);
/* Encrypt what waits in plain, as long as wire is not full. */
void conn_tls_output(struct conn *c);
void conn_tls_start(struct conn *c, struct tls_context *tls, const char *host);

/* conn_compress.c. Whether there is packed input, or more may come of what was taken. */
bool conn_stage_has_more(const struct conn_stage *z);
/* Inflate one step, of ROOM octets at most, into view or in; there is no view before. */
void conn_stage_input(struct conn *c, size_t room);
/* Compress one batch of what waits in clear to plain or wire; all of it once the connection closes. */
void conn_stage_output(struct conn *c);
void conn_stage_free(struct conn_stage **z);

#endif
