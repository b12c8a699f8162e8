/* tls_private.h - what conn.c needs of a TLS context: a connection's own state made from it. */
#ifndef ROOST_NET_TLS_PRIVATE_H
#define ROOST_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "tls.h"

/* A session over fresh memory BIOs, set to accept or connect as the context is a server's or a client's. HOST: whom a
 * client's peer must prove to be (name or address); NULL for servers. The caller frees with SSL_free(). NULL with WHY
 * where OpenSSL refuses. Any thread. */
SSL *tls_session_new(struct tls_context *t, const char *host, struct fault *why);
/* The oldest of OpenSSL's queued errors as text; the queue is then empty. */
const char *tls_error(char *text, size_t size);

#endif
