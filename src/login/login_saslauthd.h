/* login_saslauthd.h - asking Cyrus SASL's saslauthd about a password (PAM, LDAP, ... stand behind it). Blocks: on a worker's thread. */
#ifndef ROOST_LOGIN_LOGIN_SASLAUTHD_H
#define ROOST_LOGIN_LOGIN_SASLAUTHD_H

#include "bytes.h"
#include "fault.h"
#include "login_workers.h"

enum saslauthd_result {
	SASLAUTHD_RIGHT,
	SASLAUTHD_WRONG,
	SASLAUTHD_UNAVAILABLE, /* no connection, no answer in time, or none that is understood; WHY says which */
};

/* PATH is its socket ("/run/saslauthd/mux"), SERVICE what PAM calls it. NAME is sent without what stands behind its last '@', which is the
 * realm, as Cyrus does it. */
enum saslauthd_result login_saslauthd(const char *path, struct bytes name, struct bytes password, const char *service,
                                      uint64_t timeout_ms, struct worker *on, struct fault *why);

#endif
