/* login_private.h - between a login and its service. */
#ifndef ROOST_LOGIN_LOGIN_PRIVATE_H
#define ROOST_LOGIN_LOGIN_PRIVATE_H

#include <stdatomic.h>

#include "login.h"
#include "login_oauth.h"
#include "login_workers.h"
#include "sasl.h"

/* Why an attempt was refused: a word in the log and a label of the metrics. */
enum login_reason {
	REASON_CREDENTIALS,   /* wrong name, password, or proof */
	REASON_TOKEN,         /* not one of the issuer's, or for another */
	REASON_EXPIRED,       /* a token that was, or is not yet, right */
	REASON_SCOPE,         /* a token that is not for this */
	REASON_AUTHORIZATION, /* right, but may not act as that, or has no business here */
	REASON_MALFORMED,
	REASON_COUNT,
};

struct login_service {
	const struct config *config;
	struct users *users;
	struct gate *gate;
	struct oauth *oauth; /* NULL: no tokens */
	const char *saslauthd; /* path; NULL: passwords are the users_file's */
	struct workers *workers; /* NULL: nobody else is asked */
	struct workers *hashers; /* on which passwords are compared with the users_file's keys */
	uint8_t secret[32];  /* of this process, for what stands for what was tried */
	char *oauth_error;   /* owned; see sasl.h */
	unsigned max_failures;
	uint64_t timeout_ms;
	bool wants_certificates, name_is_email;
	atomic_uint_fast64_t accepted, refused[REASON_COUNT], turned_away, unavailable;
};

/* What came of asking. */
enum check_result { CHECK_RIGHT, CHECK_WRONG, CHECK_EXPIRED, CHECK_SCOPE, CHECK_UNAVAILABLE, CHECK_WAITS };

/* Whether what Q asks about is right, and whom a token names (NAME_R). CHECK_WAITS: L->check is set, and login_checked() is called on the
 * login's loop, unless login_check_drop() comes first. */
enum check_result login_check(struct login *l, const struct sasl_question *q, struct buffer *name_r, struct fault *why);
void login_checked(struct login *l, enum check_result result, struct bytes name, struct fault *why);
void login_check_drop(struct login *l);

#endif
