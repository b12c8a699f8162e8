/* sasl.h - SASL exchanges as octets in, octets out (RFC 4422), by GNU SASL. No sockets, no base64: the protocol's
 * session does both. One exchange is used by one thread at a time. */
#ifndef ROOST_AUTH_SASL_H
#define ROOST_AUTH_SASL_H

#include "buffer.h"
#include "users.h"

enum sasl_result {
	SASL_MORE, /* send the output, give the peer's answer to the next step */
	SASL_OK,   /* it is over and right; output may still have to be sent (a server's last words, client's last answer) */
	SASL_FAIL, /* it is over: wrong credentials or a malformed answer; WHY says which (for logs, not for the peer) */
};

struct sasl_server;

/* Begin as the server. MECHANISM is one of PLAIN, LOGIN, SCRAM-SHA-256, in any case; NULL: unknown. The caller has
 * checked that it is allowed (policy.h). USERS is lent for the exchange. */
struct sasl_server *sasl_server_new(struct users *users, struct bytes mechanism);
/* Sets *S to NULL; NULL is allowed. */
void sasl_server_free(struct sasl_server **s);
/* Give the client's response, or HAS_RESPONSE false where it gave no initial one; the challenge is appended to OUT.
 * After SASL_OK with non-empty OUT (SCRAM's server-final) a protocol that cannot carry data with success sends it as a
 * challenge and takes an empty response before it says OK. */
enum sasl_result sasl_server_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                  struct fault *why);
/* After SASL_OK: who authenticated, and as whom it wants to act (the same where it did not say). Lent until the free. */
struct bytes sasl_server_authcid(const struct sasl_server *s);
struct bytes sasl_server_authzid(const struct sasl_server *s);

struct sasl_client;

/* Begin as the client with PLAIN or SCRAM-SHA-256. The strings are copied; AUTHZID may be empty. NULL: unknown. */
struct sasl_client *sasl_client_new(const char *mechanism, struct bytes authcid, struct bytes authzid, struct bytes password);
void sasl_client_free(struct sasl_client **c);
/* Give the server's challenge (empty at first: the output is then the initial response). SASL_MORE until the server has
 * been heard out; SASL_OK: nothing more is needed from us (and, for SCRAM, the server has proved itself). */
enum sasl_result sasl_client_step(struct sasl_client *c, struct bytes challenge, struct buffer *out, struct fault *why);
/* The best of ours among OFFERED (words), given whether plain may be sent; NULL: none. */
const char *sasl_client_choose(struct bytes offered, bool may_send_plain);

#endif
