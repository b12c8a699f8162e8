/* pop3_session.h - one POP3 connection (RFC 1939). */
#ifndef ROOST_BACKEND_POP3_SESSION_H
#define ROOST_BACKEND_POP3_SESSION_H

#include "conn.h"

/* listener_fn; ARG is the struct backend. */
void pop3_session_called(struct conn *conn, void *arg);

#endif
