/* admin.h - the HTTP side of every role: health, role, metrics, status, on admin_listen. It knows nothing of the roles:
 * it is handed functions that answer at once from any thread. */
#ifndef ROOST_ADMIN_H
#define ROOST_ADMIN_H

#include "buffer.h"
#include "fault.h"

struct admin_source {
	/* "master" or "replica" on a backend; else the role's name. A fixed text, read from an atomic: it never waits. */
	const char *(*role)(void *arg);
	/* The role of another: GET /role/MEMBER, MEMBER as it stands in the request. As role(), or "unknown"; NULL: it knows
	 * no such one. NULL itself where nobody else's role is known. */
	const char *(*role_of)(void *arg, const char *member);
	/* Whether it serves: GET /readyz. */
	bool (*is_ready)(void *arg);
	/* Append one JSON object. */
	void (*status_json)(void *arg, struct buffer *to);
	/* Append Prometheus text lines. */
	void (*metrics)(void *arg, struct buffer *to);
	void *arg;
};

struct admin;

/* Serve on ADDRESS (host:port, port 0 picks one) with threads of its own. SOURCE is lent until admin_stop(). NULL with
 * WHY naming the address. */
struct admin *admin_start(const char *address, const struct admin_source *source, struct fault *why);
/* The bound address with its real port, lent. */
const char *admin_address(const struct admin *a);
/* Stop; no function of the source is running or called afterwards. NULL is allowed; sets *A to NULL. */
void admin_stop(struct admin **a);

#endif
