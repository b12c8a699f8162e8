/* conn_compress.c - DEFLATE between a connection's owner and its TLS or wire (RFC 4978): a stage of its own both ways.
 *
 * Input: what comes waits packed, at most what one read brings (or TLS makes of it), and is inflated in steps of the
 * loop's scratch memory, only while the owner's input is below its bound; the socket is not read before all of it is
 * out. A few octets that stand for gigabytes therefore cost their sender's connection time, and nobody memory.
 * Output: each flush takes one batch of what waits and ends it with a flush of the stream, so that the peer can read
 * all of it; what is left is the next turn's, so that others are not kept waiting. The deflater is the loop's.
 *
 * A stream that is not DEFLATE ends the connection, after the owner has seen what came before the fault. */
#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "conn_private.h"
#include "deflater.h"
#include "inflater.h"
#include "loop_private.h"

/* One batch: at some hundred MB a second its turn is far below a millisecond. */
#define BATCH_MAX (64 * 1024)

void conn_start_compress(struct conn *c)
{
	struct conn_stage *z;

	if (c->state != CONN_OPEN || c->stage != NULL)
		return;
	assert(!c->is_handshaking);
	z = must_calloc(1, sizeof(*z));
	z->inflater = inflater_new();
	/* What follows the command in the same read is compressed already. */
	buffer_add(&z->packed, conn_input(c));
	c->has_view = false;
	buffer_fini(&c->in);
	c->in_at = 0;
	c->stage = z;
	conn_update_reading(c);
}

bool conn_is_compressed(const struct conn *c)
{
	return c->stage != NULL;
}

void conn_stage_free(struct conn_stage **zp)
{
	struct conn_stage *z = *zp;

	if (z == NULL)
		return;
	out_drop(&z->clear, z->clear.n);
	inflater_free(&z->inflater);
	buffer_fini(&z->packed);
	free(z);
	*zp = NULL;
}

bool conn_stage_has_more(const struct conn_stage *z)
{
	return z->packed.n > 0 || z->is_full;
}

void conn_stage_input(struct conn *c, size_t room)
{
	struct conn_stage *z = c->stage;
	struct bytes rest = bytes_from(buffer_bytes(&z->packed), z->packed_at);
	uint8_t *scratch = loop_scratch(c->loop);
	enum inflate_result result;
	size_t n;

	assert(!c->has_view);
	if (!conn_stage_has_more(z) || z->is_broken || room == 0)
		return;
	result = inflater_step(z->inflater, &rest, scratch, room < LOOP_PACKED_SIZE ? room : LOOP_PACKED_SIZE, &n, &z->why);
	z->is_full = result == INFLATE_FULL;
	z->is_broken = result == INFLATE_BAD;
	z->packed_at = z->packed.n - rest.n;
	if (rest.n == 0) {
		buffer_fini(&z->packed);
		z->packed_at = 0;
	}
	if (conn_input(c).n > 0) {
		buffer_add(&c->in, bytes_make(scratch, n));
	} else if (n > 0) {
		c->view = bytes_make(scratch, n);
		c->has_view = true;
	}
}

static void to_wire(void *arg, struct bytes b)
{
	struct conn *c = arg;

	out_add(c->ssl != NULL ? &c->plain : &c->wire, b);
}

void conn_stage_output(struct conn *c)
{
	struct out_queue *clear = &c->stage->clear;
	/* While it closes, nobody marks it again: all goes. */
	size_t left = c->state == CONN_OPEN ? BATCH_MAX : clear->n;
	struct deflater *d = loop_deflater(c->loop);

	if (clear->n == 0)
		return;
	deflater_begin(d);
	while (clear->n > 0 && left > 0) {
		struct bytes piece = bytes_sub(clear->first->left, 0, left);

		deflater_add(d, piece, to_wire, c);
		left -= piece.n;
		out_drop(clear, piece.n);
	}
	deflater_end(d, to_wire, c);
}
