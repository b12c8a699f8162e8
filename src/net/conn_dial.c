/* conn_dial.c - connecting: resolve the name on the pool, connect, then TLS if asked for.
 *
 * The request outlives a connection that ends meanwhile: conn_finish() cuts the two apart and the request's own callback
 * frees it.
 *
 * BUGS: of several addresses one is tried, an IPv4 one if there is any. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "conn_private.h"
#include "loop_private.h"
#include "net_address.h"

struct dial {
	uv_getaddrinfo_t resolve;
	uv_connect_t connect;
	struct conn *conn; /* NULL once the connection has ended meanwhile */
	struct tls_context *tls;
	uint64_t timeout_ms;
	char host[NET_HOST_MAX];
};

void conn_dial_detach(struct conn *c)
{
	if (c->dial != NULL)
		c->dial->conn = NULL;
	c->dial = NULL;
}

static void refuse(struct dial *d, const char *reason)
{
	struct fault why;

	(void)fault_set(&why, FAULT_TRANSIENT, "%s: cannot connect: %s", d->conn->peer, reason);
	conn_finish(d->conn, &why);
	free(d);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct dial *d = req->data;
	struct conn *c = d->conn;

	if (c == NULL) {
		free(d);
		return;
	}
	if (status != 0) {
		refuse(d, uv_strerror(status));
		return;
	}
	c->dial = NULL;
	conn_opened(c);
	if (d->tls != NULL) {
		conn_set_timeout(c, d->timeout_ms);
		conn_tls_start(c, d->tls, d->host);
	} else {
		conn_set_timeout(c, 0);
		if (c->events->on_ready != NULL)
			c->events->on_ready(c, c->arg);
	}
	free(d);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct dial *d = req->data;
	const struct addrinfo *best = found;
	int rc;

	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
		if (a->ai_family == AF_INET) {
			best = a;
			break;
		}
	}
	if (d->conn == NULL) {
		free(d);
	} else if (status != 0 || best == NULL) {
		refuse(d, status != 0 ? uv_strerror(status) : "no address");
	} else {
		d->connect.data = d;
		rc = uv_tcp_connect(&d->connect, &d->conn->tcp, best->ai_addr, on_connected);
		if (rc != 0)
			refuse(d, uv_strerror(rc));
	}
	uv_freeaddrinfo(found);
}

struct conn *conn_dial(struct loop *l, const char *address, struct tls_context *tls, uint64_t timeout_ms,
                       const struct conn_events *events, void *arg)
{
	struct conn *c = conn_new(l);
	struct dial *d = must_calloc(1, sizeof(*d));
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct fault why;
	char port_text[8];
	unsigned port;
	int rc;

	conn_set_events(c, events, arg);
	(void)snprintf(c->peer, sizeof(c->peer), "%s", address);
	d->conn = c;
	d->tls = tls;
	d->timeout_ms = timeout_ms;
	d->resolve.data = d;
	c->dial = d;
	conn_set_timeout(c, timeout_ms);
	if (!net_address_split(address, d->host, &port, &why)) {
		rc = UV_EINVAL;
	} else {
		(void)snprintf(port_text, sizeof(port_text), "%u", port);
		rc = uv_getaddrinfo(loop_uv(l), &d->resolve, on_resolved, d->host, port_text, &hints);
		if (rc != 0)
			(void)fault_set(&why, FAULT_TRANSIENT, "%s: %s", address, uv_strerror(rc));
	}
	if (rc != 0) {
		/* conn_finish() calls nobody before the loop's next turn. */
		conn_finish(c, &why);
		free(d);
	}
	return c;
}
