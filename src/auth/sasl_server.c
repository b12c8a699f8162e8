/* sasl_server.c - the server's side by GNU SASL: its callback asks the credential store for a password's verdict
 * (PLAIN, LOGIN) or for the stored keys (SCRAM). A wrong user takes as long as a wrong password. */
#include <gsasl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"
#include "sasl.h"

struct sasl_server {
	Gsasl_session *session;
	struct users *users;
	char *authcid, *authzid; /* set once known */
};

static Gsasl *context;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

static int validate(Gsasl_session *session, struct sasl_server *s)
{
	const char *name = gsasl_property_fast(session, GSASL_AUTHID);
	const char *password = gsasl_property_fast(session, GSASL_PASSWORD);

	if (name == NULL || password == NULL)
		return GSASL_AUTHENTICATION_ERROR;
	return users_verify(s->users, bytes_of(name), bytes_of(password)) ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static int set_base64(Gsasl_session *session, Gsasl_property prop, struct bytes raw)
{
	struct buffer text = { 0 };
	int rc;

	base64_encode(&text, raw);
	buffer_add_u8(&text, '\0');
	rc = gsasl_property_set(session, prop, (const char *)text.p);
	buffer_fini(&text);
	return rc;
}

/* SCRAM asks for each of four properties; an unknown user gets none and fails like a wrong password. */
static int give_scram(Gsasl_session *session, struct sasl_server *s)
{
	const char *name = gsasl_property_fast(session, GSASL_AUTHID);
	struct users_key key;
	char iterations[16];
	int rc;

	if (name == NULL || !users_lookup(s->users, bytes_of(name), &key))
		return GSASL_NO_CALLBACK;
	(void)snprintf(iterations, sizeof(iterations), "%u", key.iterations);
	rc = gsasl_property_set(session, GSASL_SCRAM_ITER, iterations);
	if (rc == GSASL_OK)
		rc = set_base64(session, GSASL_SCRAM_SALT, bytes_make(key.salt, key.salt_size));
	if (rc == GSASL_OK)
		rc = set_base64(session, GSASL_SCRAM_STOREDKEY, bytes_make(key.stored, USERS_KEY_SIZE));
	if (rc == GSASL_OK)
		rc = set_base64(session, GSASL_SCRAM_SERVERKEY, bytes_make(key.server, USERS_KEY_SIZE));
	return rc;
}

static int on_property(Gsasl *ctx, Gsasl_session *session, Gsasl_property prop)
{
	struct sasl_server *s = gsasl_session_hook_get(session);

	(void)ctx;
	switch ((int)prop) {
	case GSASL_VALIDATE_SIMPLE:
		return validate(session, s);
	case GSASL_SCRAM_ITER:
	case GSASL_SCRAM_SALT:
	case GSASL_SCRAM_STOREDKEY:
	case GSASL_SCRAM_SERVERKEY:
		return give_scram(session, s);
	default:
		return GSASL_NO_CALLBACK;
	}
}

static void make_context(void)
{
	if (gsasl_init(&context) != GSASL_OK)
		abort();
	gsasl_callback_set(context, on_property);
}

struct sasl_server *sasl_server_new(struct users *users, struct bytes mechanism)
{
	static const char *const known[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256" };
	struct sasl_server *s;

	(void)pthread_once(&context_once, make_context);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!bytes_equal_nocase_str(mechanism, known[i]))
			continue;
		s = must_calloc(1, sizeof(*s));
		s->users = users;
		if (gsasl_server_start(context, known[i], &s->session) != GSASL_OK) {
			free(s);
			return NULL;
		}
		gsasl_session_hook_set(s->session, s);
		return s;
	}
	return NULL;
}

void sasl_server_free(struct sasl_server **sp)
{
	struct sasl_server *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	gsasl_finish(s->session);
	free(s->authcid);
	free(s->authzid);
	free(s);
}

static enum sasl_result finish(struct sasl_server *s, struct fault *why)
{
	const char *authcid = gsasl_property_fast(s->session, GSASL_AUTHID);
	const char *authzid = gsasl_property_fast(s->session, GSASL_AUTHZID);

	if (authcid == NULL || authcid[0] == '\0') {
		(void)fault_set(why, FAULT_CLIENT, "no name was given");
		return SASL_FAIL;
	}
	s->authcid = must_strdup(authcid);
	s->authzid = must_strdup(authzid == NULL || authzid[0] == '\0' ? authcid : authzid);
	return SASL_OK;
}

enum sasl_result sasl_server_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                  struct fault *why)
{
	char *challenge = NULL;
	size_t n = 0;
	/* GNU SASL tells "no response yet" by a NULL of no length; an empty response needs an address. */
	const char *in = !has_response ? NULL : response.n == 0 ? "" : (const char *)response.p;
	int rc = gsasl_step(s->session, in, has_response ? response.n : 0, &challenge, &n);

	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		(void)fault_set(why, FAULT_CLIENT, "%s", gsasl_strerror(rc));
		gsasl_free(challenge);
		return SASL_FAIL;
	}
	buffer_add(out, bytes_make(challenge, n));
	gsasl_free(challenge);
	return rc == GSASL_NEEDS_MORE ? SASL_MORE : finish(s, why);
}

struct bytes sasl_server_authcid(const struct sasl_server *s)
{
	return bytes_of(s->authcid);
}

struct bytes sasl_server_authzid(const struct sasl_server *s)
{
	return bytes_of(s->authzid);
}
