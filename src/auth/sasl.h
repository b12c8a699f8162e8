/* sasl.h - SASL exchanges as octets in, octets out (RFC 4422). No sockets, no base64: the protocol's session does both. One
 * exchange is used by one thread at a time. */
#ifndef ROOST_AUTH_SASL_H
#define ROOST_AUTH_SASL_H

#include "buffer.h"
#include "users.h"

enum sasl_result {
	SASL_MORE, /* send the output, give the peer's answer to the next step */
	SASL_OK,   /* it is over and right; output may still have to be sent (a server's last words, client's last answer) */
	SASL_FAIL, /* it is over: wrong credentials or a malformed answer; WHY says which (for logs, not for the peer) */
	SASL_ASK,  /* a server's: somebody else has to say whether what was sent is right, see sasl_server_question() */
};

/* What ties an exchange to the TLS connection that it goes over (RFC 5929, RFC 9266); each may be empty: not to be had. */
struct sasl_bindings {
	struct bytes exporter;  /* tls-exporter, of TLS 1.3 */
	struct bytes end_point; /* tls-server-end-point: a hash of the server's certificate */
	struct bytes unique;    /* tls-unique: of the handshake's end */
};

/* What a server's exchange may do; all is lent for its life. */
struct sasl_options {
	struct users *users;
	bool asks_passwords;           /* PLAIN and LOGIN end in SASL_ASK; else USERS decides */
	struct sasl_bindings bindings; /* without any there is no SCRAM-SHA-256-PLUS */
	bool offers_plus;              /* it was offered to the client: one that says it was not is refused */
	struct bytes certificate;      /* EXTERNAL: the name that the client's certificate proves; empty: none */
	const char *oauth_error;       /* members of the JSON that a refused token is answered with, behind its status; may be "" */
};

struct sasl_server;

/* Begin as the server. MECHANISM is one of EXTERNAL, LOGIN, OAUTHBEARER, PLAIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, XOAUTH2, in any
 * case; NULL: unknown. The caller has checked that it is allowed (policy.h). */
struct sasl_server *sasl_server_new(const struct sasl_options *options, struct bytes mechanism);
/* Sets *S to NULL; NULL is allowed. */
void sasl_server_free(struct sasl_server **s);
/* Its name as registered, a fixed text. */
const char *sasl_server_mechanism(const struct sasl_server *s);
/* Give the client's response, or HAS_RESPONSE false where it gave no initial one; the challenge is appended to OUT.
 * After SASL_OK with non-empty OUT (SCRAM's server-final) a protocol that cannot carry data with success sends it as a
 * challenge and takes an empty response before it says OK. */
enum sasl_result sasl_server_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                  struct fault *why);
/* After SASL_OK: who authenticated, and as whom it wants to act (the same where it did not say). Before, or after SASL_FAIL: who it
 * says it is as far as is known, else empty. Lent until the free. */
struct bytes sasl_server_authcid(const struct sasl_server *s);
struct bytes sasl_server_authzid(const struct sasl_server *s);

/* After SASL_ASK: what is to be looked at, lent until the verdict. */
enum sasl_question_kind { SASL_PASSWORD, SASL_TOKEN };
struct sasl_question {
	enum sasl_question_kind kind;
	struct bytes name;   /* SASL_PASSWORD: whose it is said to be */
	struct bytes secret; /* the password, or the bearer token */
};
void sasl_server_question(const struct sasl_server *s, struct sasl_question *q_r);

enum sasl_verdict { SASL_RIGHT, SASL_WRONG, SASL_WRONG_SCOPE };
/* The answer. NAME: whom a token names; not looked at for a password. As sasl_server_step(): a refused token is first explained to the
 * client (SASL_MORE), and fails when that has answered (RFC 7628 section 3.2.3). */
enum sasl_result sasl_server_verdict(struct sasl_server *s, enum sasl_verdict verdict, struct bytes name, struct buffer *out,
                                     struct fault *why);

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
