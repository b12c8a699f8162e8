/* listener.c - accepts on one loop and hands each socket to the next of the others.
 *
 * When the process is out of descriptors, a spare one is given up for a moment, so that who calls can be told instead of
 * waiting for nothing. */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "conn_private.h"
#include "log.h"
#include "loop_private.h"
#include "net_address.h"

#define ACCEPT_BATCH 64
#define REST_MS 100
#define HANDSHAKE_MS 30000

struct listener {
	uv_poll_t poll;
	struct loop *home;
	const struct loops *to;
	size_t next;
	int fd;
	int spare; /* a descriptor to give up when there is no other; -1: none */
	struct tls_context *tls;
	const char *refusal;
	size_t max;
	listener_fn *called;
	void *arg;
	struct conn_count *count;
	struct timer *rest;
	char address[80];
};

/* A socket on its way to its loop, then a connection in its TLS handshake. */
struct arrival {
	struct loop *loop;
	struct tls_context *tls;
	listener_fn *called;
	void *arg;
	struct conn_count *count;
	int fd;
};

static void on_secured(struct conn *c, void *arg)
{
	struct arrival a = *(struct arrival *)arg;

	free(arg);
	conn_set_timeout(c, 0);
	conn_set_events(c, NULL, NULL);
	a.called(c, a.arg);
}

static void on_handshake_failed(struct conn *c, void *arg, const struct fault *why)
{
	log_event(LOG_INFO, "net.tls.refused", LOG_STR("peer", conn_peer(c)), LOG_STR("why", why == NULL ? "" : why->what));
	free(arg);
}

static const struct conn_events handshake_events = { .on_ready = on_secured, .on_closed = on_handshake_failed };

static void arrive(void *arg)
{
	struct arrival *a = arg;
	struct conn *c = conn_new(a->loop);

	c->count = a->count;
	if (!conn_adopt(c, a->fd) || a->tls == NULL) {
		if (c->state == CONN_OPEN)
			a->called(c, a->arg);
		free(a);
		return;
	}
	conn_set_events(c, &handshake_events, a);
	conn_set_timeout(c, HANDSHAKE_MS);
	conn_start_tls_server(c, a->tls);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void rest_over(void *arg)
{
	struct listener *l = arg;

	(void)uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void turn_away(struct listener *l, int fd)
{
	log_event(LOG_WARNING, "net.listener.full", LOG_STR("address", l->address), LOG_U64("max", l->max),
	          LOG_U64("open", atomic_load(&l->count->open)));
	/* A new socket takes so little at once, or the caller has gone. */
	if (l->refusal != NULL && l->tls == NULL)
		(void)send(fd, l->refusal, strlen(l->refusal), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

static int accept_one(const struct listener *l)
{
	return accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* There is no descriptor left: tell all who call. False: that, too, cannot be done. */
static bool turn_away_with_spare(struct listener *l)
{
	int fd = 0, rc = EAGAIN;

	for (int i = 0; i < ACCEPT_BATCH && fd >= 0; i++) {
		if (l->spare < 0)
			return false;
		(void)close(l->spare);
		fd = accept_one(l);
		rc = errno;
		if (fd >= 0)
			turn_away(l, fd);
		l->spare = open_spare();
	}
	return fd >= 0 || rc == EAGAIN || rc == EWOULDBLOCK;
}

static void hand_over(struct listener *l, int fd)
{
	struct arrival *a;

	if (atomic_load(&l->count->open) >= l->max) {
		turn_away(l, fd);
		return;
	}
	(void)atomic_fetch_add(&l->count->open, 1);
	(void)atomic_fetch_add(&l->count->refs, 1);
	a = must_calloc(1, sizeof(*a));
	*a = (struct arrival){ l->to->at[l->next++ % l->to->count], l->tls, l->called, l->arg, l->count, fd };
	loop_post(a->loop, arrive, a);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept_one(l);
		int rc = errno;

		if (fd >= 0) {
			hand_over(l, fd);
			continue;
		}
		if (rc == EAGAIN || rc == EWOULDBLOCK)
			return;
		if (rc == EINTR || rc == ECONNABORTED)
			continue;
		log_event(LOG_WARNING, "net.accept.failed", LOG_STR("address", l->address), LOG_STR("why", strerror(rc)));
		if ((rc == EMFILE || rc == ENFILE) && turn_away_with_spare(l))
			return;
		(void)uv_poll_stop(&l->poll);
		timer_start(l->rest, REST_MS, 0);
		return;
	}
}

static bool resolve(const char *address, struct sockaddr_storage *addr_r, socklen_t *len_r, struct fault *why)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	char host[NET_HOST_MAX], port_text[8];
	unsigned port;
	int rc;

	if (!net_address_split(address, host, &port, why))
		return false;
	(void)snprintf(port_text, sizeof(port_text), "%u", port);
	rc = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port_text, &hints, &found);
	if (rc != 0)
		return fault_set(why, FAULT_OPERATOR, "%s: cannot listen: %s", address, gai_strerror(rc));
	memcpy(addr_r, found->ai_addr, found->ai_addrlen);
	*len_r = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static int open_socket(const char *address, struct fault *why)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int one = 1;
	int fd;

	if (!resolve(address, &addr, &len, why))
		return -1;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, 1024) != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot listen", address);
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

/* Descriptors are cheap, and the usual limit is an old one. */
static void raise_limit(const struct listener *l)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
			return;
	}
	if (limit.rlim_cur < l->max)
		log_event(LOG_INFO, "net.listener.limited", LOG_STR("address", l->address), LOG_U64("max", l->max),
		          LOG_U64("descriptors", (uint64_t)limit.rlim_cur));
}

/* The address as it is now that the system has chosen the port. */
static void describe(struct listener *l)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN] = "?";

	if (getsockname(l->fd, (struct sockaddr *)&addr, &len) != 0)
		return;
	if (addr.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(l->address, sizeof(l->address), "%s:%u", host, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&addr;

		(void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		(void)snprintf(l->address, sizeof(l->address), "[%s]:%u", host, ntohs(in->sin6_port));
	}
}

struct listener *listener_open(struct loop *home, const struct loops *to, const char *address, struct tls_context *tls,
                               size_t max, listener_fn *called, void *arg, struct fault *why)
{
	int fd = open_socket(address, why);
	struct listener *l;

	if (fd < 0)
		return NULL;
	l = must_calloc(1, sizeof(*l));
	l->home = home;
	l->to = to;
	l->fd = fd;
	l->spare = open_spare();
	l->tls = tls;
	l->max = max;
	l->called = called;
	l->arg = arg;
	l->count = must_calloc(1, sizeof(*l->count));
	atomic_store(&l->count->refs, 1);
	l->rest = timer_new(home, rest_over, l);
	l->poll.data = l;
	(void)uv_poll_init(loop_uv(home), &l->poll, fd);
	(void)uv_poll_start(&l->poll, UV_READABLE, on_readable);
	describe(l);
	raise_limit(l);
	return l;
}

void listener_set_refusal(struct listener *l, const char *text)
{
	l->refusal = text;
}

const char *listener_address(const struct listener *l)
{
	return l->address;
}

size_t listener_count(const struct listener *l)
{
	return atomic_load(&l->count->open);
}

static void on_poll_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	(void)close(l->fd);
	if (l->spare >= 0)
		(void)close(l->spare);
	if (atomic_fetch_sub(&l->count->refs, 1) == 1)
		free(l->count);
	free(l);
}

void listener_close(struct listener **lp)
{
	struct listener *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	timer_free(&l->rest);
	uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}
