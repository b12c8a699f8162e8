/* policy.c - the rules of authentication, each read from the configuration when asked. */
#include "policy.h"

bool auth_may_send_plain(const struct config *c, bool is_tls, bool is_loopback)
{
	return is_tls || is_loopback || config_switch(c, "allowplaintext");
}

const char *auth_mechanisms(bool may_send_plain)
{
	return may_send_plain ? "SCRAM-SHA-256 PLAIN LOGIN" : "SCRAM-SHA-256";
}

bool auth_is_admin(const struct config *c, struct bytes name)
{
	return config_has_word(c, "admins", name);
}

bool auth_is_proxy(const struct config *c, struct bytes name)
{
	return config_has_word(c, "proxyservers", name);
}

bool auth_may_act_as(const struct config *c, struct bytes authcid, struct bytes authzid)
{
	return bytes_equal(authcid, authzid) || auth_is_proxy(c, authcid) || auth_is_admin(c, authcid);
}
