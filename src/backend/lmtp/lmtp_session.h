/* lmtp_session.h - one LMTP connection (RFC 2033). */
#ifndef ROOST_BACKEND_LMTP_SESSION_H
#define ROOST_BACKEND_LMTP_SESSION_H

#include "conn.h"

/* listener_fn; ARG is the struct backend. */
void lmtp_session_called(struct conn *conn, void *arg);

#endif
