/* policy.h - who may authenticate how, and act as whom. Pure. */
#ifndef ROOST_AUTH_POLICY_H
#define ROOST_AUTH_POLICY_H

#include "bytes.h"
#include "config.h"

/* Whether passwords may be sent in the clear: under TLS, from this machine, or if `allowplaintext` says so. */
bool auth_may_send_plain(const struct config *c, bool is_tls, bool is_loopback);
/* The SASL mechanisms to offer, separated by blanks, a fixed text. */
const char *auth_mechanisms(bool may_send_plain);

/* Whether NAME is one of `admins`, of `proxyservers`. */
bool auth_is_admin(const struct config *c, struct bytes name);
bool auth_is_proxy(const struct config *c, struct bytes name);
/* Whether AUTHCID, having authenticated, may act as AUTHZID (RFC 4422 section 3.4.1): as itself; as anybody if it is one
 * of `proxyservers` or `admins`. */
bool auth_may_act_as(const struct config *c, struct bytes authcid, struct bytes authzid);

#endif
