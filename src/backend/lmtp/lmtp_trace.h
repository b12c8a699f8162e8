/* lmtp_trace.h - the lines that go in front of a message that comes. */
#ifndef ROOST_BACKEND_LMTP_TRACE_H
#define ROOST_BACKEND_LMTP_TRACE_H

#include "buffer.h"
#include "conn.h"

/* Append Return-Path (RFC 5321 section 4.4) and the Received line of SERVER, for what HELO hands in on C. */
void lmtp_trace_write(struct buffer *to, struct bytes from, const char *helo, const struct conn *c, const char *server,
                      bool is_authenticated);

#endif
