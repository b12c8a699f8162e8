/* login_http.h - one HTTP exchange with an issuer of tokens, on a worker's thread: bounded in time and size, no redirects, no proxies. */
#ifndef ROOST_LOGIN_LOGIN_HTTP_H
#define ROOST_LOGIN_LOGIN_HTTP_H

#include "buffer.h"
#include "fault.h"
#include "login_workers.h"

struct http_request {
	const char *url;
	struct bytes form;          /* application/x-www-form-urlencoded, posted; p NULL: a GET */
	const char *user, *password; /* HTTP Basic; NULL: none */
	const char *ca_file;        /* NULL: the system's authorities */
	uint64_t timeout_ms;
	size_t max;                 /* longest answer, octets */
};

/* Append the body of a 200 to TO. False with WHY, which names the URL's host only: no connection, another status, too long an answer, no answer
 * in time, or the worker is being stopped. */
bool login_http(const struct http_request *r, struct worker *on, struct buffer *to, struct fault *why);
/* Whether URL may be asked: https, or http on this machine. */
bool login_http_may(const char *url);
/* Append TEXT, percent-encoded. */
void login_http_encode(struct buffer *to, struct bytes text);

#endif
