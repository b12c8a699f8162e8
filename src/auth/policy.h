/* policy.h - who may authenticate how, and act as whom. Pure. */
#ifndef ROOST_AUTH_POLICY_H
#define ROOST_AUTH_POLICY_H

#include "buffer.h"
#include "config.h"

/* Whether passwords may be sent in the clear: under TLS, from this machine, or if `allowplaintext` says so. */
bool auth_may_send_plain(const struct config *c, bool is_tls, bool is_loopback);

/* What can be had on a connection. */
struct auth_means {
	bool may_send_plain;
	bool has_binding;     /* the TLS connection gives something to bind to */
	bool has_certificate; /* the client has proved a name by one */
	bool has_oauth;       /* there is somebody to check tokens */
};
/* Append the SASL mechanisms to offer, best first, separated by blanks: what MEANS allow, and `sasl_mech_list` if it is given. */
void auth_mechanisms(const struct config *c, const struct auth_means *means, struct buffer *to);
/* Whether NAME is a mechanism that sends a secret as it is, and so would be offered under TLS. */
bool auth_sends_secret(struct bytes mechanism);
/* Whether a bare name and password are taken (LOGIN, USER and PASS): where PLAIN is. */
bool auth_takes_passwords(const struct config *c, bool may_send_plain);

/* Whether NAME is one of `admins`, of `proxyservers`. */
bool auth_is_admin(const struct config *c, struct bytes name);
bool auth_is_proxy(const struct config *c, struct bytes name);
/* Whether NAME is a daemon's: one of `proxyservers`, of `servers`. */
bool auth_is_daemon(const struct config *c, struct bytes name);
/* Whether NAME is a daemon's or an administrator's, for whom no issuer's word is taken. */
bool auth_is_privileged(const struct config *c, struct bytes name);
/* Whether AUTHCID, having authenticated, may act as AUTHZID (RFC 4422 section 3.4.1): as itself; as anybody if it is one
 * of `proxyservers` or `admins`. */
bool auth_may_act_as(const struct config *c, struct bytes authcid, struct bytes authzid);

#endif
