/* fe_imap_login.h - the frontend's login at a backend's IMAP port, for a user or for itself: greeting, STARTTLS where it should be,
 * AUTHENTICATE with an authorization id, and what the backend offers then. Lines go in, answers out to the connection, which is the
 * caller's. Private to frontend/. */
#ifndef ROOST_FRONTEND_FE_IMAP_LOGIN_H
#define ROOST_FRONTEND_FE_IMAP_LOGIN_H

#include "buffer.h"
#include "frontend_private.h"
#include "sasl.h"

enum imap_login_state {
	IMAP_LOGIN_GREETING,
	IMAP_LOGIN_STARTTLS,
	IMAP_LOGIN_AUTH,
	IMAP_LOGIN_ASKING, /* logged in; the answer to CAPABILITY is awaited */
};

/* Zero-initialise; fe, address and user are lent for the exchange. */
struct imap_login {
	const struct frontend *fe;
	const char *address, *user; /* user "": for the frontend itself */
	enum imap_login_state state;
	struct sasl_client *sasl;
	struct buffer capabilities; /* of the backend, once it is over; may be empty */
};

enum imap_login_result {
	IMAP_LOGIN_MORE,
	IMAP_LOGIN_DONE,
	IMAP_LOGIN_FAILED, /* *why_r, static, says why; the connection is to be ended */
};

/* A line of the backend's, borrowed. It may lead to conn_start_tls_client(), so it must have been consumed before. */
enum imap_login_result imap_login_line(struct imap_login *g, struct conn *c, struct bytes line, const char **why_r);
/* The connection's on_ready(); nothing where TLS was not what it was for. */
enum imap_login_result imap_login_ready(struct imap_login *g, struct conn *c, const char **why_r);
void imap_login_fini(struct imap_login *g);

#endif
