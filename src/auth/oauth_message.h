/* oauth_message.h - what a client sends with a bearer token: OAUTHBEARER (RFC 7628 section 3.1) and Google's XOAUTH2. Pure. */
#ifndef ROOST_AUTH_OAUTH_MESSAGE_H
#define ROOST_AUTH_OAUTH_MESSAGE_H

#include "buffer.h"
#include "fault.h"

/* Longest token that is looked at, octets. */
#define OAUTH_TOKEN_MAX 12288

struct oauth_message {
	struct buffer authzid; /* owned; empty: not said */
	struct bytes token;    /* in the message */
};

/* The caller calls oauth_message_fini() whatever comes of it. False with WHY: not such a message, no token in it, or one too long. */
bool oauthbearer_parse(struct bytes in, struct oauth_message *m_r, struct fault *why);
bool xoauth2_parse(struct bytes in, struct oauth_message *m_r, struct fault *why);
void oauth_message_fini(struct oauth_message *m);

#endif
