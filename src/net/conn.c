/* conn.c - a connection's life, input and output.
 *
 * Input normally never gets a buffer of its own: a read goes to the loop's scratch memory, the owner looks at it there,
 * and only what it leaves is copied. Output is a queue of pieces that one flush per turn hands to the system; what the
 * system does not take waits for a uv_write(). Closing counts handles: the last closed one calls on_closed and frees. */
#include "conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "conn_private.h"
#include "loop_private.h"

#define FLUSH_PIECES 16
#define CLOSE_FLUSH_MS 10000
#define LINGER_MS 500

static const struct conn_events no_events;
static atomic_uint_fast64_t next_id = 1;

/* Life. */

static void on_handle_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	if (--c->handles > 0)
		return;
	conn_stage_free(&c->stage);
	out_drop(&c->plain, c->plain.n);
	out_drop(&c->wire, c->wire.n);
	if (c->events->on_closed != NULL)
		c->events->on_closed(c, c->arg, c->why);
	if (c->count != NULL) {
		(void)atomic_fetch_sub(&c->count->open, 1);
		if (atomic_fetch_sub(&c->count->refs, 1) == 1)
			free(c->count);
	}
	SSL_free(c->ssl);
	buffer_fini(&c->in);
	free(c->why);
	free(c);
}

struct conn *conn_new(struct loop *l)
{
	struct conn *c = must_calloc(1, sizeof(*c));
	int rc = uv_tcp_init(loop_uv(l), &c->tcp);

	assert(rc == 0);
	(void)uv_timer_init(loop_uv(l), &c->timer);
	c->tcp.data = c->timer.data = c->write.data = c->shutdown.data = c;
	c->handles = 2;
	c->loop = l;
	c->id = atomic_fetch_add(&next_id, 1);
	c->events = &no_events;
	list_init(&c->dirty);
	list_init(&c->kicked);
	return c;
}

/* The first reason is the one that counts. */
static void note_why(struct conn *c, const struct fault *why)
{
	if (c->why != NULL)
		return;
	c->why = must_alloc(sizeof(*c->why));
	*c->why = *why;
}

void conn_finish(struct conn *c, const struct fault *why)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	if (why != NULL)
		note_why(c, why);
	list_remove(&c->dirty);
	list_remove(&c->kicked);
	conn_dial_detach(c);
	uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void finish_uv(struct conn *c, const char *doing, int rc)
{
	struct fault why;

	(void)fault_set(&why, FAULT_TRANSIENT, "%s: %s: %s", c->peer, doing, uv_strerror(rc));
	conn_finish(c, &why);
}

static void describe_peer(struct conn *c)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr);
	char host[INET6_ADDRSTRLEN] = "?";

	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&addr, &len) != 0)
		return;
	if (addr.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;

		(void)uv_ip4_name(in, host, sizeof(host));
		c->is_loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
		(void)snprintf(c->peer, sizeof(c->peer), "%s:%u", host, ntohs(in->sin_port));
	} else if (addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&addr;

		(void)uv_ip6_name(in, host, sizeof(host));
		c->is_loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
		                 (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) && in->sin6_addr.s6_addr[12] == 127);
		(void)snprintf(c->peer, sizeof(c->peer), "[%s]:%u", host, ntohs(in->sin6_port));
	}
}

bool conn_adopt(struct conn *c, int fd)
{
	int rc = uv_tcp_open(&c->tcp, fd);

	if (rc != 0) {
		(void)close(fd);
		finish_uv(c, "accept", rc);
		return false;
	}
	conn_opened(c);
	return true;
}

void conn_opened(struct conn *c)
{
	c->state = CONN_OPEN;
	describe_peer(c);
	(void)uv_tcp_nodelay(&c->tcp, 1);
	c->last_ms = uv_now(loop_uv(c->loop));
	conn_update_reading(c);
	conn_mark_dirty(c);
}

void conn_set_events(struct conn *c, const struct conn_events *events, void *arg)
{
	c->events = events == NULL ? &no_events : events;
	c->arg = arg;
}

void *conn_arg(const struct conn *c)
{
	return c->arg;
}

struct loop *conn_loop(const struct conn *c)
{
	return c->loop;
}

uint64_t conn_id(const struct conn *c)
{
	return c->id;
}

const char *conn_peer(const struct conn *c)
{
	return c->peer;
}

bool conn_is_loopback(const struct conn *c)
{
	return c->is_loopback;
}

bool conn_is_tls(const struct conn *c)
{
	return c->ssl != NULL && !c->is_handshaking;
}

/* Timeouts. One timer, re-armed lazily: traffic only notes the time. */

static void on_timer(uv_timer_t *timer)
{
	struct conn *c = timer->data;
	uint64_t idle_ms = uv_now(loop_uv(c->loop)) - c->last_ms;
	struct fault why;

	switch (c->state) {
	case CONN_DIALING:
		(void)fault_set(&why, FAULT_TRANSIENT, "%s: no connection in time", c->peer);
		conn_finish(c, &why);
		return;
	case CONN_FLUSHING:
		(void)fault_set(&why, FAULT_TRANSIENT, "%s: the last output was not taken in time", c->peer);
		conn_finish(c, &why);
		return;
	case CONN_LINGERING:
		conn_finish(c, NULL);
		return;
	case CONN_OPEN:
		break;
	case CONN_CLOSED:
		return;
	}
	if (idle_ms < c->timeout_ms) {
		(void)uv_timer_start(&c->timer, on_timer, c->timeout_ms - idle_ms, 0);
		return;
	}
	c->last_ms = uv_now(loop_uv(c->loop));
	(void)uv_timer_start(&c->timer, on_timer, c->timeout_ms, 0);
	if (c->events->on_timeout != NULL && !c->is_handshaking) {
		c->events->on_timeout(c, c->arg);
		return;
	}
	(void)fault_set(&why, FAULT_TRANSIENT, "%s: silent for %llu ms", c->peer, (unsigned long long)c->timeout_ms);
	conn_finish(c, &why);
}

void conn_set_timeout(struct conn *c, uint64_t ms)
{
	c->timeout_ms = ms;
	c->last_ms = uv_now(loop_uv(c->loop));
	if (c->state == CONN_CLOSED || c->state == CONN_FLUSHING || c->state == CONN_LINGERING)
		return;
	if (ms == 0)
		(void)uv_timer_stop(&c->timer);
	else
		(void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

/* Input. */

struct bytes conn_input(struct conn *c)
{
	return c->has_view ? c->view : bytes_from(buffer_bytes(&c->in), c->in_at);
}

void conn_consume(struct conn *c, size_t n)
{
	assert(n <= conn_input(c).n);
	if (c->has_view) {
		c->view = bytes_from(c->view, n);
		return;
	}
	c->in_at += n;
	if (c->in_at == c->in.n) {
		buffer_fini(&c->in);
		c->in_at = 0;
	}
	conn_update_reading(c);
}

static bool may_deliver(const struct conn *c)
{
	return c->state == CONN_OPEN && !c->is_paused && !c->is_handshaking;
}

/* Copy what the owner left in the scratch memory to a buffer of its own. */
static void keep_view(struct conn *c)
{
	if (!c->has_view)
		return;
	c->has_view = false;
	buffer_add(&c->in, c->view);
}

/* How many more octets of input may wait for the owner. */
static size_t input_room(const struct conn *c)
{
	size_t limit = c->want > CONN_INPUT_MAX ? c->want : CONN_INPUT_MAX;
	size_t have = c->has_view ? c->view.n : c->in.n - c->in_at;

	return limit > have ? limit - have : 0;
}

static void tell_eof(struct conn *c)
{
	if (c->events->on_eof != NULL)
		c->events->on_eof(c, c->arg);
	else
		conn_close(c);
}

/* What follows from the stage when the owner has seen what it gave: its fault, or the end that it held back. */
static void after_stage(struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	if (c->stage->is_broken) {
		(void)fault_context(&c->stage->why, "%s", c->peer);
		note_why(c, &c->stage->why);
		conn_close(c); /* what was answered so far still leaves */
	} else if (c->stage->owes_eof && !conn_stage_has_more(c->stage)) {
		c->stage->owes_eof = false;
		tell_eof(c);
	}
}

void conn_deliver(struct conn *c)
{
	size_t n;

	if (c->stage != NULL && may_deliver(c))
		conn_stage_input(c, input_room(c));
	n = conn_input(c).n;
	if (may_deliver(c) && n > 0 && n >= c->want && c->events->on_input != NULL)
		c->events->on_input(c, c->arg);
	keep_view(c);
	if (c->in_at > 0 && (c->in_at >= c->in.n / 2 || c->in.n == 0)) {
		buffer_drop_front(&c->in, c->in_at);
		c->in_at = 0;
	}
	if (c->stage != NULL)
		after_stage(c);
	conn_update_reading(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct conn *c = h->data;
	size_t have = conn_input(c).n;
	size_t room = 16384;

	(void)suggested;
	if (c->ssl != NULL || c->stage != NULL || c->state != CONN_OPEN || (have == 0 && c->want <= LOOP_SCRATCH_SIZE)) {
		*buf = uv_buf_init((char *)loop_scratch(c->loop), c->ssl != NULL || c->stage != NULL ? LOOP_PACKED_SIZE : LOOP_SCRATCH_SIZE);
		return;
	}
	if (c->want > have && c->want - have > room)
		room = c->want - have;
	*buf = uv_buf_init((char *)buffer_reserve(&c->in, room), (unsigned)(room > 1u << 30 ? 1u << 30 : room));
}

static void on_eof(struct conn *c)
{
	c->has_eof = true;
	conn_update_reading(c);
	if (c->state != CONN_OPEN) {
		if (c->state == CONN_LINGERING)
			conn_finish(c, NULL);
		return;
	}
	if (c->is_handshaking) {
		struct fault why;

		(void)fault_set(&why, FAULT_TRANSIENT, "%s: closed during the TLS handshake", c->peer);
		conn_finish(c, &why);
	} else if (c->stage != NULL && conn_stage_has_more(c->stage)) {
		c->stage->owes_eof = true;
	} else {
		tell_eof(c);
	}
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = stream->data;
	bool is_scratch = (uint8_t *)buf->base == loop_scratch(c->loop);

	if (n == 0 || c->state == CONN_CLOSED)
		return;
	if (n == UV_EOF) {
		on_eof(c);
		return;
	}
	if (n < 0) {
		finish_uv(c, "read", (int)n);
		return;
	}
	c->last_ms = uv_now(loop_uv(c->loop));
	if (c->state != CONN_OPEN)
		return; /* thrown away while it closes */
	if (c->ssl != NULL) {
		conn_tls_input(c, bytes_make(buf->base, (size_t)n));
		return;
	}
	if (c->stage != NULL) {
		buffer_add(&c->stage->packed, bytes_make(buf->base, (size_t)n));
	} else if (is_scratch && conn_input(c).n > 0) {
		buffer_add(&c->in, bytes_make(buf->base, (size_t)n));
	} else if (is_scratch) {
		c->view = bytes_make(buf->base, (size_t)n);
		c->has_view = true;
	} else {
		c->in.n += (size_t)n;
	}
	conn_deliver(c);
}

void conn_update_reading(struct conn *c)
{
	bool should, has_more = c->stage != NULL && conn_stage_has_more(c->stage);

	if (c->state == CONN_CLOSED || c->state == CONN_DIALING)
		return;
	if (has_more && !c->is_paused && input_room(c) > 0)
		conn_kick(c);
	if (c->state == CONN_FLUSHING || c->has_eof)
		should = false;
	else if (c->state == CONN_LINGERING || c->is_handshaking)
		should = true;
	else
		should = !c->is_paused && !has_more && (c->has_view || input_room(c) > 0);
	if (should == c->is_reading)
		return;
	c->is_reading = should;
	if (should) {
		int rc = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);

		if (rc != 0)
			finish_uv(c, "read", rc);
	} else {
		(void)uv_read_stop((uv_stream_t *)&c->tcp);
	}
}

void conn_want(struct conn *c, size_t n)
{
	c->want = n;
	conn_update_reading(c);
}

void conn_kick(struct conn *c)
{
	if (c->state != CONN_OPEN || !list_is_empty(&c->kicked))
		return;
	list_push(loop_kicked(c->loop), &c->kicked);
	loop_wake(c->loop);
}

void conn_pause(struct conn *c, bool is_paused)
{
	if (c->is_paused && !is_paused)
		conn_kick(c);
	c->is_paused = is_paused;
	conn_update_reading(c);
}

static void kick(struct list *m)
{
	conn_deliver(LIST_OBJECT(m, struct conn, kicked));
}

/* Output. */

static void flush(struct conn *c);

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct conn *c = req->data;

	if (c->state == CONN_CLOSED)
		return;
	if (status != 0 || c->has_eof) {
		conn_finish(c, NULL);
		return;
	}
	c->state = CONN_LINGERING;
	(void)uv_timer_start(&c->timer, on_timer, LINGER_MS, 0);
	conn_update_reading(c);
}

/* All output has left: say so to the owner, or go on closing. */
static void flushed(struct conn *c)
{
	if (c->state == CONN_FLUSHING && conn_pending(c) == 0) {
		if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0)
			conn_finish(c, NULL);
		return;
	}
	if (c->was_high && conn_pending(c) <= CONN_OUTPUT_LOW) {
		c->was_high = false;
		if (c->state == CONN_OPEN && c->events->on_drained != NULL)
			c->events->on_drained(c, c->arg);
	}
}

static void on_written(uv_write_t *req, int status)
{
	struct conn *c = req->data;
	size_t n = 0;
	unsigned count = 0;

	c->is_writing = false;
	if (c->state == CONN_CLOSED)
		return;
	if (status != 0) {
		finish_uv(c, "write", status);
		return;
	}
	c->last_ms = uv_now(loop_uv(c->loop));
	for (struct out_piece *p = c->wire.first; p != NULL && count < c->writing; p = p->next) {
		n += p->left.n;
		count++;
	}
	out_drop(&c->wire, n);
	flush(c);
}

static unsigned gather(const struct conn *c, uv_buf_t *bufs)
{
	unsigned count = 0;

	for (struct out_piece *p = c->wire.first; p != NULL && count < FLUSH_PIECES; p = p->next)
		bufs[count++] = uv_buf_init((char *)(uintptr_t)p->left.p, (unsigned)p->left.n);
	return count;
}

static void flush(struct conn *c)
{
	uv_buf_t bufs[FLUSH_PIECES];
	unsigned count;
	int rc;

	if (c->state == CONN_CLOSED || c->state == CONN_DIALING || c->is_writing)
		return;
	if (c->stage != NULL)
		conn_stage_output(c);
	for (;;) {
		if (c->ssl != NULL)
			conn_tls_output(c);
		if (c->state == CONN_CLOSED)
			return;
		if (c->wire.n == 0)
			break;
		count = gather(c, bufs);
		rc = uv_try_write((uv_stream_t *)&c->tcp, bufs, count);
		if (rc == UV_EAGAIN)
			rc = 0;
		if (rc < 0) {
			finish_uv(c, "write", rc);
			return;
		}
		if (rc > 0)
			c->last_ms = uv_now(loop_uv(c->loop));
		out_drop(&c->wire, (size_t)rc);
		if (rc > 0 && (c->wire.n == 0 || count == FLUSH_PIECES))
			continue;
		count = gather(c, bufs);
		rc = uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, count, on_written);
		if (rc != 0) {
			finish_uv(c, "write", rc);
			return;
		}
		/* Pieces may be appended to while they are written: so many of them, as long as they are now, are held. */
		c->writing = count;
		c->wire.last->cap = 0;
		c->is_writing = true;
		break;
	}
	if (c->stage != NULL && c->stage->clear.n > 0 && !c->is_writing)
		conn_mark_dirty(c); /* the next batch is the next turn's */
	flushed(c);
}

static void flush_member(struct list *m)
{
	flush(LIST_OBJECT(m, struct conn, dirty));
}

void conn_mark_dirty(struct conn *c)
{
	loop_set_turn(c->loop, flush_member, kick);
	if (list_is_empty(&c->dirty))
		list_push(loop_dirty(c->loop), &c->dirty);
	loop_wake(c->loop);
}

static bool may_write(const struct conn *c)
{
	return c->state == CONN_OPEN || c->state == CONN_DIALING;
}

static void wrote(struct conn *c)
{
	if (conn_pending(c) >= CONN_OUTPUT_HIGH)
		c->was_high = true;
	conn_mark_dirty(c);
}

/* Where output begins its way. */
static struct out_queue *first_queue(struct conn *c)
{
	return c->stage != NULL ? &c->stage->clear : c->ssl != NULL ? &c->plain : &c->wire;
}

void conn_write(struct conn *c, struct bytes b)
{
	if (!may_write(c) || b.n == 0)
		return;
	out_add(first_queue(c), b);
	wrote(c);
}

void conn_write_through(struct conn *c, struct bytes b)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)b.p, (unsigned)(b.n > 1u << 30 ? 1u << 30 : b.n));
	int rc;

	if (c->state == CONN_OPEN && c->ssl == NULL && c->stage == NULL && !c->is_writing && c->wire.n == 0 && b.n > 0) {
		rc = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
		if (rc > 0) { /* an error comes again, and is told, at the flush */
			c->last_ms = uv_now(loop_uv(c->loop));
			b = bytes_from(b, (size_t)rc);
		}
	}
	conn_write(c, b);
}

void conn_write_lent(struct conn *c, struct bytes b, loop_fn *release, void *arg)
{
	if (!may_write(c) || b.n == 0) {
		release(arg);
		return;
	}
	out_add_lent(first_queue(c), b, release, arg);
	wrote(c);
}

size_t conn_pending(const struct conn *c)
{
	return (c->stage != NULL ? c->stage->clear.n : 0) + c->plain.n + c->wire.n;
}

/* Closing. */

void conn_close(struct conn *c)
{
	if (c->state == CONN_DIALING || (c->state == CONN_OPEN && c->is_handshaking)) {
		conn_finish(c, NULL);
		return;
	}
	if (c->state != CONN_OPEN)
		return;
	c->state = CONN_FLUSHING;
	keep_view(c);
	conn_update_reading(c);
	(void)uv_timer_start(&c->timer, on_timer, CLOSE_FLUSH_MS, 0);
	conn_mark_dirty(c);
}

void conn_abort(struct conn *c)
{
	const struct linger at_once = { .l_onoff = 1 };
	int fd;

	/* A peer that does not take what it is sent would have the system keep megabytes for it, and hear of the end last. */
	if (c->state != CONN_CLOSED && conn_pending(c) > 0 && uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	conn_finish(c, NULL);
}
