/* sasl_server.c - the server's side: the table of mechanisms, and those of one or two lines: PLAIN (RFC 4616), LOGIN, EXTERNAL
 * (RFC 4422 appendix A). A wrong user takes as long as a wrong password.
 *
 * GNU SASL, which is our client, is not used here: its server cannot be told the keys of nobody in time, waits for no answer of
 * others, and knows no tls-server-end-point. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sasl_private.h"

bool sasl_name_is_fine(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] < ' ' || name.p[i] == 0x7f)
			return false;
	}
	return name.n > 0 && name.n <= USERS_NAME_MAX;
}

static void wipe(struct sasl_server *s)
{
	if (s->secret.p == NULL)
		return;
	explicit_bzero((uint8_t *)(uintptr_t)s->secret.p, s->secret.n);
	free((uint8_t *)(uintptr_t)s->secret.p);
	s->secret = BYTES_NONE;
}

void sasl_set_names(struct sasl_server *s, struct bytes name, struct bytes authzid)
{
	char *authcid = bytes_to_str(name), *as = bytes_to_str(authzid.n > 0 ? authzid : name);

	free(s->authcid);
	free(s->authzid);
	s->authcid = authcid;
	s->authzid = as;
}

enum sasl_result sasl_ask(struct sasl_server *s, enum sasl_question_kind kind, struct bytes secret)
{
	wipe(s);
	s->secret = bytes_make(bytes_to_str(secret), secret.n);
	s->asked = kind;
	return SASL_ASK;
}

/* s->authcid has sent PASSWORD. */
static enum sasl_result take_password(struct sasl_server *s, struct bytes password, struct fault *why)
{
	if (password.n > SASL_PASSWORD_MAX) {
		(void)fault_set(why, FAULT_CLIENT, "the password is too long");
		return SASL_FAIL;
	}
	if (s->o.asks_passwords)
		return sasl_ask(s, SASL_PASSWORD, password);
	if (users_verify(s->o.users, bytes_of(s->authcid), password))
		return SASL_OK;
	(void)fault_set(why, FAULT_CLIENT, "wrong name or password");
	return SASL_FAIL;
}

static enum sasl_result malformed(struct fault *why)
{
	(void)fault_set(why, FAULT_CLIENT, "a malformed response");
	return SASL_FAIL;
}

static enum sasl_result plain_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                   struct fault *why)
{
	struct bytes authzid = bytes_sub(response, 0, bytes_find(response, '\0'));
	struct bytes rest = bytes_from(response, authzid.n + 1);
	struct bytes name = bytes_sub(rest, 0, bytes_find(rest, '\0'));
	struct bytes password = bytes_from(rest, name.n + 1);

	(void)out;
	if (!has_response)
		return SASL_MORE;
	if (name.n == rest.n || !sasl_name_is_fine(name) || (authzid.n > 0 && !sasl_name_is_fine(authzid)) ||
	    bytes_find(password, '\0') < password.n)
		return malformed(why);
	sasl_set_names(s, name, authzid);
	return take_password(s, password, why);
}

static enum sasl_result login_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                   struct fault *why)
{
	if (!has_response) {
		buffer_add_str(out, "Username:");
		return SASL_MORE;
	}
	if (s->authcid != NULL)
		return bytes_find(response, '\0') < response.n ? malformed(why) : take_password(s, response, why);
	if (!sasl_name_is_fine(response))
		return malformed(why);
	sasl_set_names(s, response, BYTES_NONE);
	buffer_add_str(out, "Password:");
	return SASL_MORE;
}

/* The certificate has proved itself in the handshake; the response says as whom to act. */
static enum sasl_result external_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                      struct fault *why)
{
	(void)out;
	if (!has_response)
		return SASL_MORE;
	if (response.n > 0 && !sasl_name_is_fine(response))
		return malformed(why);
	sasl_set_names(s, s->o.certificate, response);
	return SASL_OK;
}

static const struct sasl_mechanism mechanisms[] = {
	{ "EXTERNAL", external_step, false },
	{ "LOGIN", login_step, false },
	{ "OAUTHBEARER", sasl_oauthbearer_step, false },
	{ "PLAIN", plain_step, false },
	{ "SCRAM-SHA-256", sasl_scram_step, false },
	{ "SCRAM-SHA-256-PLUS", sasl_scram_step, true },
	{ "XOAUTH2", sasl_xoauth2_step, false },
};

struct sasl_server *sasl_server_new(const struct sasl_options *o, struct bytes mechanism)
{
	const struct sasl_mechanism *m = NULL;
	struct sasl_server *s;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (bytes_equal_nocase_str(mechanism, mechanisms[i].name))
			m = &mechanisms[i];
	}
	if (m == NULL || (m->is_plus && o->bindings.exporter.n == 0 && o->bindings.end_point.n == 0) ||
	    (m->step == external_step && !sasl_name_is_fine(o->certificate)))
		return NULL;
	s = must_calloc(1, sizeof(*s));
	s->mechanism = m;
	s->o = *o;
	return s;
}

void sasl_server_free(struct sasl_server **sp)
{
	struct sasl_server *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	wipe(s);
	sasl_scram_free(&s->scram);
	free(s->authcid);
	free(s->authzid);
	free(s);
}

const char *sasl_server_mechanism(const struct sasl_server *s)
{
	return s->mechanism->name;
}

enum sasl_result sasl_server_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                  struct fault *why)
{
	return s->mechanism->step(s, has_response, response, out, why);
}

void sasl_server_question(const struct sasl_server *s, struct sasl_question *q_r)
{
	*q_r = (struct sasl_question){ s->asked, bytes_of(s->authcid), s->secret };
}

enum sasl_result sasl_server_verdict(struct sasl_server *s, enum sasl_verdict verdict, struct bytes name, struct buffer *out,
                                     struct fault *why)
{
	wipe(s);
	if (s->asked == SASL_PASSWORD) {
		if (verdict == SASL_RIGHT)
			return SASL_OK;
		(void)fault_set(why, FAULT_CLIENT, "wrong name or password");
		return SASL_FAIL;
	}
	if (verdict != SASL_RIGHT)
		return sasl_oauth_refuse(s, verdict == SASL_WRONG_SCOPE ? "insufficient_scope" : "invalid_token", out);
	sasl_set_names(s, name, bytes_of(s->authzid));
	return SASL_OK;
}

struct bytes sasl_server_authcid(const struct sasl_server *s)
{
	return bytes_of(s->authcid);
}

struct bytes sasl_server_authzid(const struct sasl_server *s)
{
	return bytes_of(s->authzid);
}
