/* jwks.h - an issuer's public keys (RFC 7517), as far as they are of use here: RSA of 2048 to 8192 bits, EC P-256, Ed25519, for
 * signatures. Never changes once made: any thread may read it. */
#ifndef ROOST_AUTH_JWKS_H
#define ROOST_AUTH_JWKS_H

#include "bytes.h"
#include "fault.h"

/* Longest document, and most keys that are kept of one. */
#define JWKS_SIZE_MAX (256 * 1024)
#define JWKS_KEYS_MAX 64

struct jwks;

/* How a token is signed; which keys may do so follows from it. */
enum jwt_algorithm { JWT_RS256, JWT_ES256, JWT_EDDSA };

enum jwks_result {
	JWKS_RIGHT,
	JWKS_WRONG,  /* a key that it may be of says no */
	JWKS_NO_KEY, /* no such key is there */
};

/* Keys that cannot be used are passed over. NULL with WHY: not such a document, or no key in it can be used. */
struct jwks *jwks_parse(struct bytes json, struct fault *why);
/* Sets *K to NULL; NULL is allowed. */
void jwks_free(struct jwks **k);
size_t jwks_count(const struct jwks *k);
/* Whether SIGNATURE is over SIGNED by the key named KID (empty: by any). A key of another kind than ALGORITHM's, or one that says it is
 * for another, is not asked. */
enum jwks_result jwks_verify(const struct jwks *k, enum jwt_algorithm algorithm, struct bytes kid, struct bytes signed_octets,
                             struct bytes signature);

#endif
