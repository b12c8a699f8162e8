/* jwt.h - a signed JSON Web Token (RFC 7519 in RFC 7515's compact form), and what must be true of its claims or of an introspection's
 * answer (RFC 7662). Pure: the time is given. */
#ifndef ROOST_AUTH_JWT_H
#define ROOST_AUTH_JWT_H

#include "buffer.h"
#include "config.h"
#include "fault.h"
#include "jwks.h"

enum jwt_result {
	JWT_RIGHT,
	JWT_WRONG,   /* malformed, not signed by a key of the issuer's, another's, or for another */
	JWT_EXPIRED, /* or not valid yet */
	JWT_SCOPE,   /* right, but not for this */
	JWT_NO_KEY,  /* its key is not among those there are: newer ones may have it */
};

/* What is asked of a token; the words are lent. See docs/operations.md for the keys. */
struct jwt_rules {
	const char *issuer;      /* NULL: any that has the keys */
	const struct config *audiences, *scopes; /* keys `oauth_audience` (one of them must be named; none: any), `oauth_scope` (all of them) */
	const char *name_claim;
	const char *name_domain; /* cut off behind an '@'; NULL: nothing is */
	int64_t leeway_s;
};

/* Whose a token is, until when. */
struct jwt_claims {
	struct buffer name; /* owned */
	int64_t expires;    /* seconds since 1970; INT64_MAX: it does not say */
};
void jwt_claims_fini(struct jwt_claims *c);

/* Whether TOKEN has the form of one; any other is opaque. */
bool jwt_is_one(struct bytes token);
/* Check TOKEN at NOW (seconds since 1970). The caller calls jwt_claims_fini() whatever comes of it. WHY never holds a part of it. */
enum jwt_result jwt_verify(struct bytes token, const struct jwks *keys, const struct jwt_rules *rules, int64_t now,
                           struct jwt_claims *claims_r, struct fault *why);
/* The same for the answer of an introspection: JSON, whose "active" must be true. */
enum jwt_result jwt_introspected(struct bytes json, const struct jwt_rules *rules, int64_t now, struct jwt_claims *claims_r,
                                 struct fault *why);
/* NAME, of a claim or said by the client, as a user's: without name_domain. */
struct bytes jwt_user_of(const struct jwt_rules *rules, struct bytes name);

#endif
