/* login.h - one SASL exchange of a session as lines of base64, and who it made of the client.
 *
 * IMAP (RFC 3501 section 6.2.2) and LMTP (RFC 4954) carry the same exchange behind different words. */
#ifndef ROOST_BACKEND_LOGIN_H
#define ROOST_BACKEND_LOGIN_H

#include "buffer.h"
#include "config.h"
#include "fault.h"
#include "users.h"

/* Who a client is. Zero: nobody yet. */
struct identity {
	char *user;    /* owned; the name it acts as; NULL: not authenticated */
	char *authcid; /* owned; the name whose password was given */
	bool is_admin; /* USER is one of `admins` */
	bool is_proxy; /* AUTHCID is one of `proxyservers`: a frontend speaks for USER */
};
void identity_fini(struct identity *id);
/* NAME proved itself and wants to act as AUTHZID. False: it may not; WHY for the log. */
bool identity_set(struct identity *id, const struct config *cfg, struct bytes authcid, struct bytes authzid,
                  struct fault *why);

/* An exchange under way. Zero: none. */
struct login {
	struct sasl_server *sasl;
	bool has_spoken_last; /* the server's last words are out, the client has to answer with an empty line */
};

enum login_result {
	LOGIN_CONTINUE,  /* send *challenge_r (base64), read a line, login_step() */
	LOGIN_OK,        /* identity is set */
	LOGIN_REFUSED,   /* wrong, or may not act as whom it wants; WHY is for the log */
	LOGIN_MALFORMED, /* not base64 */
	LOGIN_ABORTED,   /* the client sent "*" */
	LOGIN_UNKNOWN,   /* no such mechanism, or not allowed on this connection */
};

/* Begin with MECHANISM, one of the blank-separated ALLOWED. INITIAL is the base64 initial response ("=": empty), used if
 * HAS_INITIAL. The exchange is over unless LOGIN_CONTINUE. */
enum login_result login_start(struct login *l, const struct config *cfg, struct users *users, struct bytes mechanism,
                              const char *allowed, bool has_initial, struct bytes initial, struct identity *id_r,
                              struct buffer *challenge_r, struct fault *why);
/* LINE is the client's answer without its line end. */
enum login_result login_step(struct login *l, const struct config *cfg, struct bytes line, struct identity *id_r,
                             struct buffer *challenge_r, struct fault *why);
void login_fini(struct login *l);

#endif
