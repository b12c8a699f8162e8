/* net.c - loops, timers, connections and listeners in place of src/net, for members that are called by the world.
 *
 * A turn of a member's loop is: one event (octets, a timer, the end of a thread's work), then what was posted, then what was
 * written leaves, one packet for each connection. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "conn.h"
#include "listener.h"
#include "whole.h"

struct post {
	struct list in_loop;
	loop_fn *fn;
	void *arg;
};

struct timer {
	struct timer *next;
	struct whole_member *m;
	loop_fn *fn;
	void *arg;
	uint64_t due; /* NEVER: stopped */
	uint64_t repeat;
};

struct conn {
	struct conn *next;
	struct whole_member *m;
	uint64_t id;
	int peer;
	bool is_open, is_ended, is_over, was_high;
	struct buffer in, out;
	size_t want;
	const struct conn_events *events;
	void *arg;
	uint64_t timeout_us, traffic_at, dial_until;
	char text[32];
	struct fault why;
	bool has_why;
};

struct listener {
	struct whole_member *m;
};

uint64_t world_of_ms(const struct whole_member *m, uint64_t ms)
{
	return (uint64_t)((double)ms * 1000 / m->rate) + 1;
}

static void end(struct conn *c, bool with_output, const char *why);

/* Loops. */

struct loop *loop_start(const char *name, struct fault *why)
{
	(void)name;
	(void)why;
	return &w.current->loop;
}

struct loop *loop_current(void)
{
	return w.current == NULL ? NULL : &w.current->loop;
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
	struct post *p;

	/* From another thread than the loop's, which is there for the start and the end only, it is run at once. */
	if (!l->m->is_running) {
		l->m->is_running = true;
		fn(arg);
		net_settle(l->m);
		l->m->is_running = false;
		return;
	}
	p = must_alloc(sizeof(*p));
	*p = (struct post){ .fn = fn, .arg = arg };
	list_push(&l->posts, &p->in_loop);
}

void loop_stop(struct loop *l)
{
	l->is_stopped = true;
}

/* An orderly stop takes its time, in which the world goes on. Of a ghost nobody sees what it does, and its clock runs as fast as
 * it likes. */
void loop_join(struct loop **l)
{
	struct whole_member *m = (*l)->m;

	while (!m->loop.is_stopped && !m->is_ghost && !m->is_starting && w.problem[0] == '\0')
		world_advance(NEVER);
	w.current = m;
	m->is_ghost = m->is_ghost || !m->loop.is_stopped;
	m->is_running = true;
	for (int turns = 0; !m->loop.is_stopped; turns++) {
		assert(turns < 1000);
		m->ghost_ms += 100;
		for (struct timer *t = m->timers, *next; t != NULL; t = next) {
			next = t->next;
			if (t->due == NEVER)
				continue;
			t->fn(t->arg);
			break;
		}
		threads_run(m, true);
		net_settle(m);
	}
	threads_run(m, true); /* a loop does not end before its work on the pool has */
	net_settle(m);
	/* Nor before its last connection; those that are not authenticated yet nobody closes. */
	for (struct conn *c = m->conns; c != NULL; c = c->next)
		end(c, false, "timed out");
	net_settle(m);
	m->is_running = false;
	*l = NULL;
}

/* Timers. */

struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg)
{
	struct timer *t = must_calloc(1, sizeof(*t));

	*t = (struct timer){ .next = l->m->timers, .m = l->m, .fn = fn, .arg = arg, .due = NEVER };
	l->m->timers = t;
	return t;
}

void timer_start(struct timer *t, uint64_t ms, uint64_t repeat_ms)
{
	t->due = w.now + world_of_ms(t->m, ms);
	t->repeat = repeat_ms == 0 ? 0 : world_of_ms(t->m, repeat_ms);
}

void timer_stop(struct timer *t)
{
	t->due = NEVER;
}

void timer_free(struct timer **tp)
{
	struct timer *t = *tp, **at;

	if (t == NULL)
		return;
	at = &t->m->timers;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
	*tp = NULL;
}

/* Connections. */

static struct conn *conn_new(struct whole_member *m, int peer, uint64_t id)
{
	struct conn *c = must_calloc(1, sizeof(*c));

	c->next = m->conns;
	c->m = m;
	c->peer = peer;
	c->id = id;
	c->traffic_at = w.now;
	c->dial_until = NEVER;
	(void)snprintf(c->text, sizeof(c->text), "%s:%llu", node_names[peer], (unsigned long long)id);
	m->conns = c;
	return c;
}

static void conn_free(struct conn *c)
{
	struct conn **at = &c->m->conns;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	buffer_fini(&c->in);
	buffer_fini(&c->out);
	free(c);
}

static void send(struct conn *c, enum packet_kind kind, struct buffer *data)
{
	struct packet p = { .kind = kind, .conn = c->id };

	if (data != NULL) {
		p.data = *data;
		*data = (struct buffer){ 0 };
	}
	c->traffic_at = w.now;
	packet_send(c->m->self, c->peer, &p);
}

static void end(struct conn *c, bool with_output, const char *why)
{
	if (c->is_ended)
		return;
	if (with_output && c->out.n > 0 && c->is_open)
		send(c, PACKET_DATA, &c->out);
	c->is_ended = true;
	c->has_why = why != NULL;
	if (why != NULL)
		(void)fault_set(&c->why, FAULT_TRANSIENT, "%s", why);
	send(c, PACKET_CLOSED, NULL);
}

void conn_set_events(struct conn *c, const struct conn_events *events, void *arg)
{
	c->events = events;
	c->arg = arg;
}

const char *conn_peer(const struct conn *c)
{
	return c->text;
}

bool conn_is_loopback(const struct conn *c)
{
	(void)c;
	return true;
}

struct conn *conn_dial(struct loop *l, const char *address, struct tls_context *tls, uint64_t timeout_ms,
                       const struct conn_events *events, void *arg)
{
	struct conn *c = conn_new(l->m, address[0] - 'a', ++w.conns);

	(void)tls;
	conn_set_events(c, events, arg);
	c->dial_until = w.now + world_of_ms(l->m, timeout_ms);
	send(c, PACKET_DIAL, NULL);
	return c;
}

struct bytes conn_input(struct conn *c)
{
	return buffer_bytes(&c->in);
}

void conn_consume(struct conn *c, size_t n)
{
	buffer_drop_front(&c->in, n);
}

void conn_want(struct conn *c, size_t n)
{
	c->want = n;
}

void conn_write(struct conn *c, struct bytes b)
{
	if (!c->is_ended)
		buffer_add(&c->out, b);
	c->was_high = c->was_high || c->out.n >= CONN_OUTPUT_HIGH;
}

size_t conn_pending(const struct conn *c)
{
	return c->out.n;
}

void conn_set_timeout(struct conn *c, uint64_t ms)
{
	c->timeout_us = ms == 0 ? 0 : world_of_ms(c->m, ms);
	c->traffic_at = w.now;
}

void conn_close(struct conn *c)
{
	end(c, true, NULL);
}

void conn_abort(struct conn *c)
{
	end(c, false, "aborted");
}

struct listener *listener_open(struct loop *home, const struct loops *to, const char *address, struct tls_context *tls,
                               size_t max, listener_fn *called, void *arg, struct fault *why)
{
	struct listener *l = must_calloc(1, sizeof(*l));

	(void)to;
	(void)address;
	(void)tls;
	(void)max;
	(void)why;
	l->m = home->m;
	home->m->called = called;
	home->m->called_arg = arg;
	return l;
}

const char *listener_address(const struct listener *l)
{
	static const char *const addresses[] = { "a:1", "b:1", "c:1" };

	return addresses[l->m->self];
}

void listener_close(struct listener **l)
{
	if (*l != NULL)
		(*l)->m->called = NULL;
	free(*l);
	*l = NULL;
}

/* A turn. */

static bool settle_conns(struct whole_member *m)
{
	for (struct conn *c = m->conns; c != NULL; c = c->next) {
		if (c->is_ended && !c->is_over) {
			c->is_over = true;
			c->events->on_closed(c, c->arg, c->has_why ? &c->why : NULL);
			conn_free(c);
			return true;
		}
		if (c->out.n > 0 && c->is_open && !c->is_ended)
			send(c, PACKET_DATA, &c->out);
		if (c->was_high && c->out.n == 0 && !c->is_ended) {
			c->was_high = false;
			if (c->events->on_drained != NULL)
				c->events->on_drained(c, c->arg);
			return true;
		}
	}
	return false;
}

void net_settle(struct whole_member *m)
{
	struct list *at;

	for (;;) {
		while ((at = list_shift(&m->loop.posts)) != NULL) {
			struct post p = *LIST_OBJECT(at, struct post, in_loop);

			free(LIST_OBJECT(at, struct post, in_loop));
			p.fn(p.arg);
		}
		if (!settle_conns(m) && list_is_empty(&m->loop.posts))
			return;
	}
}

static struct conn *find(struct whole_member *m, const struct packet *p)
{
	for (struct conn *c = m->conns; c != NULL; c = c->next) {
		if (c->id == p->conn && c->peer == p->from)
			return c;
	}
	return NULL;
}

static void take_data(struct conn *c, struct packet *p)
{
	c->traffic_at = w.now;
	buffer_add(&c->in, buffer_bytes(&p->data));
	if (c->in.n >= c->want)
		c->events->on_input(c, c->arg);
}

void net_take(struct whole_member *m, struct packet *p)
{
	struct conn *c = find(m, p);

	if (p->kind == PACKET_DIAL) {
		c = conn_new(m, p->from, p->conn);
		c->is_open = true;
		if (m->called == NULL) {
			c->is_over = true;
			end(c, false, NULL);
			conn_free(c);
			return;
		}
		m->called(c, m->called_arg);
		send(c, PACKET_UP, NULL);
	} else if (c == NULL || c->is_ended) {
		struct packet closed = { .kind = PACKET_CLOSED, .conn = p->conn };

		if (p->kind != PACKET_CLOSED)
			packet_send(m->self, p->from, &closed);
	} else if (p->kind == PACKET_UP) {
		c->is_open = true;
		c->dial_until = NEVER;
		c->events->on_ready(c, c->arg);
	} else if (p->kind == PACKET_DATA) {
		take_data(c, p);
	} else {
		end(c, false, "the peer is gone");
	}
}

uint64_t net_due(const struct whole_member *m)
{
	uint64_t due = NEVER;

	for (const struct timer *t = m->timers; t != NULL; t = t->next)
		due = t->due < due ? t->due : due;
	for (const struct conn *c = m->conns; c != NULL; c = c->next) {
		due = c->dial_until < due ? c->dial_until : due;
		if (c->timeout_us != 0 && c->traffic_at + c->timeout_us < due)
			due = c->traffic_at + c->timeout_us;
	}
	return due;
}

void net_run(struct whole_member *m)
{
	for (struct timer *t = m->timers; t != NULL; t = t->next) {
		if (t->due > w.now)
			continue;
		t->due = t->repeat == 0 ? NEVER : w.now + t->repeat;
		t->fn(t->arg);
		return; /* it may have changed the list; the rest is due still */
	}
	for (struct conn *c = m->conns; c != NULL; c = c->next) {
		if (c->dial_until <= w.now || (c->timeout_us != 0 && c->traffic_at + c->timeout_us <= w.now)) {
			end(c, false, "timed out");
			return;
		}
	}
}

void net_clear(struct whole_member *m)
{
	while (m->conns != NULL)
		conn_free(m->conns);
	assert(m->timers == NULL && list_is_empty(&m->loop.posts));
}

void net_close_all(struct whole_member *m)
{
	for (struct conn *c = m->conns; c != NULL; c = c->next) {
		if (!c->is_ended)
			send(c, PACKET_CLOSED, NULL);
	}
}

/* The network breaks what stands between A and B. */
void net_break(int a, int b)
{
	for (const struct conn *c = w.members[a].conns; c != NULL; c = c->next) {
		struct packet to_a = { .kind = PACKET_CLOSED, .conn = c->id }, to_b = to_a;

		if (c->peer != b)
			continue;
		packet_send(b, a, &to_a);
		packet_send(a, b, &to_b);
	}
}
