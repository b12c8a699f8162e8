/* sasl_client.c - the client's side by GNU SASL: all properties are set at the start, the steps only pass octets on. */
#include <gsasl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sasl.h"

struct sasl_client {
	Gsasl_session *session;
};

static Gsasl *context;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

static void make_context(void)
{
	if (gsasl_init(&context) != GSASL_OK)
		abort();
}

static bool set(struct sasl_client *c, Gsasl_property prop, struct bytes value)
{
	char *text = bytes_to_str(value);
	bool ok = gsasl_property_set(c->session, prop, text) == GSASL_OK;

	explicit_bzero(text, value.n);
	free(text);
	return ok;
}

struct sasl_client *sasl_client_new(const char *mechanism, struct bytes authcid, struct bytes authzid, struct bytes password)
{
	struct sasl_client *c = must_calloc(1, sizeof(*c));

	(void)pthread_once(&context_once, make_context);
	if ((strcmp(mechanism, "PLAIN") != 0 && strcmp(mechanism, "SCRAM-SHA-256") != 0) ||
	    gsasl_client_start(context, mechanism, &c->session) != GSASL_OK) {
		free(c);
		return NULL;
	}
	if (!set(c, GSASL_AUTHID, authcid) || !set(c, GSASL_PASSWORD, password) ||
	    (authzid.n > 0 && !set(c, GSASL_AUTHZID, authzid)))
		sasl_client_free(&c);
	return c;
}

void sasl_client_free(struct sasl_client **c)
{
	if (*c == NULL)
		return;
	gsasl_finish((*c)->session);
	free(*c);
	*c = NULL;
}

enum sasl_result sasl_client_step(struct sasl_client *c, struct bytes challenge, struct buffer *out, struct fault *why)
{
	char *response = NULL;
	size_t n = 0;
	int rc = gsasl_step(c->session, challenge.n == 0 ? "" : (const char *)challenge.p, challenge.n, &response, &n);

	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		(void)fault_set(why, FAULT_OPERATOR, "%s", gsasl_strerror(rc));
		gsasl_free(response);
		return SASL_FAIL;
	}
	buffer_add(out, bytes_make(response, n));
	gsasl_free(response);
	return rc == GSASL_NEEDS_MORE ? SASL_MORE : SASL_OK;
}

static bool has_word(struct bytes words, const char *word)
{
	while (words.n > 0) {
		size_t n = 0;

		while (n < words.n && words.p[n] != ' ')
			n++;
		if (bytes_equal_nocase_str(bytes_sub(words, 0, n), word))
			return true;
		words = bytes_from(words, n + 1);
	}
	return false;
}

const char *sasl_client_choose(struct bytes offered, bool may_send_plain)
{
	/* PLAIN is one round trip and costs the server a cache look-up; what may not be read on the way gets SCRAM. */
	if (may_send_plain && has_word(offered, "PLAIN"))
		return "PLAIN";
	return has_word(offered, "SCRAM-SHA-256") ? "SCRAM-SHA-256" : NULL;
}
