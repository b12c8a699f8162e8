/* base64.h - RFC 4648 section 4. Any thread. */
#ifndef ROOST_BASE_BASE64_H
#define ROOST_BASE_BASE64_H

#include "buffer.h"

/* Append the encoding of IN, padded, without line ends. */
void base64_encode(struct buffer *to, struct bytes in);
/* Append what IN encodes. False: an octet outside the alphabet, a wrong length or padding, or non-zero unused bits; TO
 * is then as before. */
bool base64_decode(struct buffer *to, struct bytes in);
/* The same with the alphabet of RFC 4648 section 5 and without padding, as JOSE has it (RFC 7515 section 2). */
bool base64url_decode(struct buffer *to, struct bytes in);

#endif
