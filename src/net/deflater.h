/* deflater.h - the writing half of DEFLATE between two peers (RFC 1951, raw, as RFC 4978 uses it): a batch of octets
 * in, compressed octets out, ending so that the peer can read all of the batch at once.
 *
 * Batches are independent: each begins with an empty dictionary and ends with Z_SYNC_FLUSH on an octet's boundary, so
 * that one after the other they are one DEFLATE stream to the peer. A deflater therefore keeps nothing of a stream
 * between its batches, and one serves all connections of a loop. That is the choice made here: a deflater of its own
 * would cost a connection 262 KiB with zlib's defaults (38 KiB with a 4 KiB window), used while it writes, held while
 * it is idle. The price: a small batch is hardly smaller than what it says, for want of a dictionary; lists are what
 * COMPRESS is for. It also leaves no memory of one answer in the length of another (BREACH). */
#ifndef ROOST_NET_DEFLATER_H
#define ROOST_NET_DEFLATER_H

#include "bytes.h"

struct deflater;

/* Where compressed octets go: B is lent during the call. */
typedef void deflater_sink_fn(void *arg, struct bytes b);

/* 285 KiB. Freed with deflater_free(). Any one thread at a time. */
struct deflater *deflater_new(void);
/* Sets *D to NULL; NULL is allowed. */
void deflater_free(struct deflater **d);

/* Forget all before: a batch begins. */
void deflater_begin(struct deflater *d);
/* Compress B; SINK may be called any number of times with what has come of this and earlier calls. */
void deflater_add(struct deflater *d, struct bytes b, deflater_sink_fn *sink, void *arg);
/* The batch ends: SINK gets the rest. Nothing is written for an empty batch. */
void deflater_end(struct deflater *d, deflater_sink_fn *sink, void *arg);

#endif
