/* url_token.h - what authorizes a URL (RFC 4467 section 9, mechanism INTERNAL): an HMAC of it under a key that only the server has. */
#ifndef ROOST_AUTH_URL_TOKEN_H
#define ROOST_AUTH_URL_TOKEN_H

#include "buffer.h"

#define URL_KEY_SIZE 32
#define URL_TOKEN_SIZE 64 /* hexadecimal digits */

/* A new key, from the system's random numbers. False: there are none to be had. */
bool url_key_make(uint8_t key[URL_KEY_SIZE]);
/* Append the token of RUMP, the URL without what authorizes it. */
void url_token_write(struct bytes key, struct bytes rump, struct buffer *to);
/* Whether TOKEN is it, in time that does not depend on where it differs. Digits of any case. */
bool url_token_is_right(struct bytes key, struct bytes rump, struct bytes token);

#endif
