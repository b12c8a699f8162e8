/* admin.c - HTTP by libmicrohttpd, on one thread of its own that polls: a slow reader cannot hold the others up, and
 * connections and their time are bounded. */
#include "admin.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>

#include "alloc.h"
#include "status_page.h"

#define CONNECTIONS_MAX 256
#define TIMEOUT_S 10

struct admin {
	struct MHD_Daemon *daemon;
	const struct admin_source *source;
	char address[96];
};

static enum MHD_Result reply(struct MHD_Connection *conn, unsigned status, const char *type, struct buffer *body)
{
	struct MHD_Response *r;
	enum MHD_Result result;

	r = MHD_create_response_from_buffer(body->n, body->p, MHD_RESPMEM_MUST_COPY);
	buffer_fini(body);
	if (r == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result reply_text(struct MHD_Connection *conn, unsigned status, const char *text)
{
	struct buffer body = { 0 };

	buffer_add_str(&body, text);
	buffer_add_u8(&body, '\n');
	return reply(conn, status, "text/plain; charset=utf-8", &body);
}

static enum MHD_Result reply_role(struct MHD_Connection *conn, const char *role)
{
	bool is_up = strcmp(role, "replica") != 0 && strcmp(role, "unknown") != 0;

	return reply_text(conn, is_up ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, role);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_size, void **state)
{
	struct admin *a = arg;
	const struct admin_source *s = a->source;
	struct buffer body = { 0 };
	const char *role;

	(void)version;
	(void)data;
	(void)state;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		*data_size = 0;
		return reply_text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is served here");
	}
	if (strcmp(url, "/healthz") == 0)
		return reply_text(conn, MHD_HTTP_OK, "ok");
	if (strcmp(url, "/readyz") == 0)
		return s->is_ready(s->arg) ? reply_text(conn, MHD_HTTP_OK, "ready") :
		                             reply_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready");
	if (strcmp(url, "/role") == 0)
		return reply_role(conn, s->role(s->arg));
	if (strncmp(url, "/role/", 6) == 0 && s->role_of != NULL && (role = s->role_of(s->arg, url + 6)) != NULL)
		return reply_role(conn, role);
	if (strcmp(url, "/metrics") == 0) {
		s->metrics(s->arg, &body);
		return reply(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
	}
	if (strcmp(url, "/status.json") == 0) {
		s->status_json(s->arg, &body);
		buffer_add_u8(&body, '\n');
		return reply(conn, MHD_HTTP_OK, "application/json", &body);
	}
	if (strcmp(url, "/") == 0) {
		buffer_add_str(&body, status_page);
		return reply(conn, MHD_HTTP_OK, "text/html; charset=utf-8", &body);
	}
	return reply_text(conn, MHD_HTTP_NOT_FOUND, "not here: try /healthz /readyz /role /metrics /status.json /");
}

static int open_socket(const char *address, struct fault *why)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	const char *colon = strrchr(address, ':');
	char *host;
	int one = 1, fd = -1, rc;

	if (colon == NULL) {
		(void)fault_set(why, FAULT_OPERATOR, "admin_listen: \"%s\" is not HOST:PORT", address);
		return -1;
	}
	host = bytes_to_str(bytes_make(address, (size_t)(colon - address)));
	rc = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, colon + 1, &hints, &found);
	free(host);
	if (rc != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: cannot listen: %s", address, gai_strerror(rc));
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 256) != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot listen", address);
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static void describe(struct admin *a, int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64], port[16];

	if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(a->address, sizeof(a->address), "%s:%s", host, port);
}

struct admin *admin_start(const char *address, const struct admin_source *source, struct fault *why)
{
	int fd = open_socket(address, why);
	struct admin *a;

	if (fd < 0)
		return NULL;
	a = must_calloc(1, sizeof(*a));
	a->source = source;
	describe(a, fd);
	a->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, a,
	                             MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
	if (a->daemon == NULL) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: the HTTP server cannot start", address);
		(void)close(fd);
		free(a);
		return NULL;
	}
	return a;
}

const char *admin_address(const struct admin *a)
{
	return a->address;
}

void admin_stop(struct admin **a)
{
	if (*a == NULL)
		return;
	MHD_stop_daemon((*a)->daemon);
	free(*a);
	*a = NULL;
}
