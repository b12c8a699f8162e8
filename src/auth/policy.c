/* policy.c - the rules of authentication, each read from the configuration when asked. */
#include "policy.h"

bool auth_may_send_plain(const struct config *c, bool is_tls, bool is_loopback)
{
	return is_tls || is_loopback || config_switch(c, "allowplaintext");
}

struct mechanism {
	const char *name;
	bool sends_secret, needs_binding, needs_certificate, needs_oauth;
};

static const struct mechanism mechanisms[] = {
	{ .name = "EXTERNAL", .needs_certificate = true },
	{ .name = "SCRAM-SHA-256-PLUS", .needs_binding = true },
	{ .name = "SCRAM-SHA-256" },
	{ .name = "OAUTHBEARER", .sends_secret = true, .needs_oauth = true },
	{ .name = "XOAUTH2", .sends_secret = true, .needs_oauth = true },
	{ .name = "PLAIN", .sends_secret = true },
	{ .name = "LOGIN", .sends_secret = true },
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

static bool is_listed(const struct config *c, const char *name)
{
	struct bytes word;

	for (size_t i = 0; config_word(c, "sasl_mech_list", i, &word); i++) {
		if (bytes_equal_nocase_str(word, name))
			return true;
	}
	return !config_is_set(c, "sasl_mech_list");
}

void auth_mechanisms(const struct config *c, const struct auth_means *means, struct buffer *to)
{
	bool is_first = true;

	for (size_t i = 0; i < MECHANISMS; i++) {
		const struct mechanism *m = &mechanisms[i];

		if ((m->sends_secret && !means->may_send_plain) || (m->needs_binding && !means->has_binding) ||
		    (m->needs_certificate && !means->has_certificate) || (m->needs_oauth && !means->has_oauth) || !is_listed(c, m->name))
			continue;
		buffer_add_str(to, is_first ? "" : " ");
		buffer_add_str(to, m->name);
		is_first = false;
	}
}

bool auth_sends_secret(struct bytes mechanism)
{
	for (size_t i = 0; i < MECHANISMS; i++) {
		if (bytes_equal_nocase_str(mechanism, mechanisms[i].name))
			return mechanisms[i].sends_secret;
	}
	return false;
}

bool auth_takes_passwords(const struct config *c, bool may_send_plain)
{
	return may_send_plain && is_listed(c, "PLAIN");
}

bool auth_is_admin(const struct config *c, struct bytes name)
{
	return config_has_word(c, "admins", name);
}

bool auth_is_proxy(const struct config *c, struct bytes name)
{
	return config_has_word(c, "proxyservers", name);
}

bool auth_is_daemon(const struct config *c, struct bytes name)
{
	return auth_is_proxy(c, name) || config_has_word(c, "servers", name);
}

bool auth_is_privileged(const struct config *c, struct bytes name)
{
	return auth_is_admin(c, name) || auth_is_daemon(c, name);
}

bool auth_may_act_as(const struct config *c, struct bytes authcid, struct bytes authzid)
{
	return bytes_equal(authcid, authzid) || auth_is_proxy(c, authcid) || auth_is_admin(c, authcid);
}
