/* conn.h - one stream connection on one loop: TCP, with TLS over it at any time, and DEFLATE over that; buffered both
 * ways with back-pressure.
 *
 * Input collects in a buffer that the owner looks at (conn_input) and takes from (conn_consume). Output is queued and
 * leaves in one write per turn of the loop. An idle connection holds neither buffer. All functions are for the loop's
 * thread only, and none of them calls an event from within itself: events come from the loop.
 *
 * Life: made by conn_dial() or a listener; ends with exactly one on_closed, after which the connection is gone and no
 * other event comes. conn_close() and conn_abort() lead to that on_closed too. */
#ifndef ROOST_NET_CONN_H
#define ROOST_NET_CONN_H

#include "buffer.h"
#include "fault.h"
#include "loop.h"
#include "tls.h"

struct conn;

struct conn_events {
	/* Only for conn_dial() and TLS handshakes: connected, and if asked for, TLS established. NULL: not wanted. */
	void (*on_ready)(struct conn *c, void *arg);
	/* Octets arrived since the last call (at least conn_want() of them are buffered). */
	void (*on_input)(struct conn *c, void *arg);
	/* Output that had been over the high-water mark is below the low one again. NULL: not wanted. */
	void (*on_drained)(struct conn *c, void *arg);
	/* Nothing was read, nor written, for the time set by conn_set_timeout(). NULL: the connection is aborted. */
	void (*on_timeout)(struct conn *c, void *arg);
	/* The peer has ended its direction; input left may still be consumed. NULL: the connection is closed. */
	void (*on_eof)(struct conn *c, void *arg);
	/* Gone. WHY is NULL after conn_close() or the peer's orderly end; else the reason. WHY lives during the call. */
	void (*on_closed)(struct conn *c, void *arg, const struct fault *why);
};

/* Set (or change) who is told. EVENTS must live for ever (a static table). */
void conn_set_events(struct conn *c, const struct conn_events *events, void *arg);
void *conn_arg(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
/* A number unique in the process, for logs. */
uint64_t conn_id(const struct conn *c);
/* "192.0.2.1:4711", lent for the connection's life. */
const char *conn_peer(const struct conn *c);
/* Whether the peer's address is this machine's loopback (127.0.0.0/8, ::1). */
bool conn_is_loopback(const struct conn *c);
bool conn_is_tls(const struct conn *c);

/* What ties something above TLS to this very connection (channel bindings), for a server's end. */
enum conn_binding {
	CONN_BIND_EXPORTER,  /* tls-exporter (RFC 9266); of TLS 1.3 only, where it is unique without further ado */
	CONN_BIND_END_POINT, /* tls-server-end-point (RFC 5929 section 4): the hash of our certificate */
	CONN_BIND_UNIQUE,    /* tls-unique (RFC 5929 section 3): not of TLS 1.2 without the extended master secret (RFC 7627) */
};
/* Append it. False: without TLS, or not to be had of it. */
bool conn_binding(const struct conn *c, enum conn_binding kind, struct buffer *to);
/* Which name of the client's certificate is meant. */
enum conn_name { CONN_NAME_CN, CONN_NAME_EMAIL /* subjectAltName rfc822Name */ };
/* Append the name that the client's certificate proves. False: none was shown, the context's authorities (tls_server_new()) do not vouch
 * for it, or it has no such name or several. */
bool conn_peer_name(const struct conn *c, enum conn_name kind, struct buffer *to);

/* Connect to ADDRESS ("host:port", "[v6]:port"; names are resolved on the pool) on L. Never fails from within: on_closed
 * tells. TLS: NULL, or the client context to be used from the first octet, checking the certificate against the host's
 * name. TIMEOUT_MS bounds everything up to on_ready. */
struct conn *conn_dial(struct loop *l, const char *address, struct tls_context *tls, uint64_t timeout_ms,
                       const struct conn_events *events, void *arg);

/* Start TLS on a connected connection, as server or client. Input buffered so far is dropped (what came before the
 * handshake must not be taken for protected). on_ready follows, or on_closed. HOST (client only) is checked. */
void conn_start_tls_server(struct conn *c, struct tls_context *tls);
void conn_start_tls_client(struct conn *c, struct tls_context *tls, const char *host);

/* From here on both directions are DEFLATE (raw, RFC 4978), for either end: of the server when it has written the OK
 * and consumed the command, of the client when it has consumed the OK. Input that is not consumed by then is taken for
 * compressed; what was written before leaves as it is. Once per connection; TLS lies beneath and must be up before, if
 * it is wanted. Does nothing where it is compressed or ending already.
 *
 * conn_input(), conn_want() and their bounds are of what the owner reads: never more than they allow is inflated,
 * however small it came. on_eof waits until all is inflated. What the peer sends that is no DEFLATE ends the connection
 * as conn_close() does, but with a FAULT_CLIENT for on_closed, after an on_input for what came before it. Output goes
 * out in batches of 64 KiB, one per turn and connection, each readable by the peer when it arrives; conn_pending()
 * counts what waits as it is: clear, then packed.
 *
 * Memory: 42 KiB per connection for reading (inflater.h), of which few are touched where little is said; none for
 * writing (deflater.h: one per loop, 285 KiB). */
void conn_start_compress(struct conn *c);
bool conn_is_compressed(const struct conn *c);

/* What has arrived and was not consumed; lent until the next conn_consume() or return to the loop. */
struct bytes conn_input(struct conn *c);
/* Take N octets (at most what conn_input() showed) off the front. */
void conn_consume(struct conn *c, size_t n);
/* Do not call on_input before N octets are buffered, and make room for them now: for a literal's body. 0 or 1: at any.
 * Reading also stops by itself while CONN_INPUT_MAX octets or N, whichever is more, wait unconsumed. */
void conn_want(struct conn *c, size_t n);
#define CONN_INPUT_MAX (128 * 1024)
/* Stop or resume reading. on_input is called on resuming if input waits. */
void conn_pause(struct conn *c, bool is_paused);
/* Have on_input called again in this or the next turn if input waits, though nothing new arrives. */
void conn_kick(struct conn *c);

/* Queue a copy of B. After conn_close(), conn_abort() or the peer's end it is dropped silently (on_closed comes). */
void conn_write(struct conn *c, struct bytes b);
/* The same for what is large and comes piece by piece: what the system takes at once, behind nothing that waits, is not copied. */
void conn_write_through(struct conn *c, struct bytes b);
/* Queue B without copying (large bodies); RELEASE(ARG) is called exactly once, when B is no longer needed. */
void conn_write_lent(struct conn *c, struct bytes b, loop_fn *release, void *arg);
/* Octets queued and not yet taken by the system. Long answers stop at CONN_OUTPUT_HIGH and go on at on_drained. */
size_t conn_pending(const struct conn *c);
#define CONN_OUTPUT_HIGH (256 * 1024)
#define CONN_OUTPUT_LOW (64 * 1024)

/* Milliseconds without traffic until on_timeout; 0: never. Counted anew from this call and from each octet. */
void conn_set_timeout(struct conn *c, uint64_t ms);

/* End it once the queued output has left (within 10 s, else it is aborted); no more on_input. */
void conn_close(struct conn *c);
/* End it now; queued output is dropped. If there is any the peer sees a reset. */
void conn_abort(struct conn *c);

#endif
