/* login.h - how a client of any protocol becomes somebody: SASL exchanges as lines of base64, names with passwords, who has to be asked
 * about them, and how failures are slowed down, counted and logged.
 *
 * IMAP (RFC 3501 section 6.2.2), POP3 (RFC 5034), LMTP (RFC 4954) and MUPDATE (RFC 3656 section 4.1) carry the same exchange behind
 * different words. Each function below gives its result at once, or LOGIN_WAITS: then it comes later by the class's done(), from the
 * loop, and the session reads nothing until then. What takes long is done elsewhere (login_service.h), and a delay is a timer.
 *
 * An attempt waits first where its address has failed before (login_gate.h), then it is looked at; if it fails the answer is held back,
 * longer with each failure on the connection. */
#ifndef ROOST_LOGIN_LOGIN_H
#define ROOST_LOGIN_LOGIN_H

#include "buffer.h"
#include "conn.h"
#include "login_gate.h"
#include "login_service.h"

/* Longest line of an exchange, octets. */
#define LOGIN_LINE_MAX 16384

/* Who a client is. Zero: nobody yet. */
struct identity {
	char *user;    /* owned; the name it acts as; NULL: not authenticated */
	char *authcid; /* owned; the name whose password was given */
	bool is_admin; /* USER is one of `admins` */
	bool is_proxy; /* AUTHCID is one of `proxyservers`: a frontend speaks for USER */
};
void identity_fini(struct identity *id);

enum login_result {
	LOGIN_CONTINUE,    /* send login_challenge(), read a line, login_line() */
	LOGIN_OK,          /* the identity is set */
	LOGIN_REFUSED,     /* wrong, or may not act as whom it wants; it is logged */
	LOGIN_UNAVAILABLE, /* nobody could say, or too many attempts wait: it may be tried again */
	LOGIN_MALFORMED,   /* not base64 */
	LOGIN_ABORTED,     /* the client sent "*" */
	LOGIN_UNKNOWN,     /* no such mechanism, or not offered on this connection */
	LOGIN_NEEDS_TLS,   /* offered under TLS only */
	LOGIN_WAITS,       /* done() tells */
};

/* What the sessions of one protocol have in common. */
struct login_class {
	const char *protocol; /* as services are called: "imap", "pop", "lmtp", "mupdate" */
	/* The result, after LOGIN_WAITS; not if login_fini() comes first. */
	void (*done)(void *arg, enum login_result result);
	/* Whether the identity, which is set, is one for this protocol. NULL: any. False with WHY: it is refused. */
	bool (*may)(void *arg, struct fault *why);
	bool takes_any_authzid; /* what it means is the session's business */
	bool takes_tokens;      /* people come here; no token is taken for a daemon */
};

enum login_phase { LOGIN_IDLE, LOGIN_HELD, LOGIN_EXCHANGE, LOGIN_CHECKING, LOGIN_PENALTY };

/* Embedded in a session. Its fields are login.c's. */
struct login {
	const struct login_class *class;
	void *arg;
	struct login_service *service;
	struct conn *conn;          /* lent */
	struct identity *identity;  /* the session's, set with LOGIN_OK */
	enum login_phase phase;
	struct sasl_server *sasl;
	bool is_bare;               /* a name with a password, no mechanism */
	bool has_spoken_last;       /* the server's last words are out, the client has to answer with an empty line */
	struct buffer challenge;    /* base64 */
	struct buffer exporter, end_point, unique, certificate; /* what the mechanism may look at */
	struct buffer response;     /* while HELD; wiped */
	bool has_response;
	struct timer *timer;
	struct login_check *check;  /* while CHECKING; the service's, which is told if we go */
	struct gate_address address;
	bool is_inside;             /* the gate counts us */
	uint64_t what;              /* stands for what is tried */
	bool is_counted;            /* it has failed already */
	unsigned failures;          /* on this connection */
	bool is_spent;
};

/* Zero-initialised before; IDENTITY is the session's. CLASS lives for ever. */
void login_init(struct login *l, const struct login_class *class, struct login_service *service, struct conn *conn,
                struct identity *identity, void *arg);
/* The connection is gone, or nobody wants to know any more. */
void login_fini(struct login *l);

/* Append the mechanisms that are offered now, separated by blanks. */
void login_mechanisms(const struct login *l, struct buffer *to);
/* Whether a bare name and password are taken on this connection. */
bool login_takes_passwords(const struct login *l);

/* Begin with MECHANISM. INITIAL is the base64 initial response ("=" or nothing: an empty one), used if HAS_INITIAL. The exchange is over
 * unless LOGIN_CONTINUE or LOGIN_WAITS. */
enum login_result login_start(struct login *l, struct bytes mechanism, bool has_initial, struct bytes initial);
/* LINE is the client's answer without its line end. */
enum login_result login_line(struct login *l, struct bytes line);
/* A bare name and its password. */
enum login_result login_password(struct login *l, struct bytes name, struct bytes password);
/* With LOGIN_CONTINUE: base64 for the client, lent until the next call. */
struct bytes login_challenge(const struct login *l);
/* Whether the client has failed too often: the session ends once it has its answer. */
bool login_is_spent(const struct login *l);

#endif
