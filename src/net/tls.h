/* tls.h - OpenSSL contexts from PEM files. TLS 1.2 and above. */
#ifndef ROOST_NET_TLS_H
#define ROOST_NET_TLS_H

#include "fault.h"

struct tls_context;

/* A server's: CERT and KEY are paths. LOGIN_CA: authorities (and, in the same file, their lists of what they revoked) of clients'
 * certificates, which are then asked for; one that cannot be checked, or none, does not end the handshake, but proves nothing
 * (conn_peer_name()). NULL: none is asked for. NULL with WHY naming the file and what is wrong with it. */
struct tls_context *tls_server_new(const char *cert, const char *key, const char *login_ca, struct fault *why);
/* A client's: peers are checked against the authorities in CA_FILE (NULL: the system's). */
struct tls_context *tls_client_new(const char *ca_file, struct fault *why);
/* Read the files again (SIGHUP); on failure the old ones stay in use. New connections use the new. Any thread. */
bool tls_reload(struct tls_context *t, struct fault *why);
void tls_free(struct tls_context **t);

#endif
