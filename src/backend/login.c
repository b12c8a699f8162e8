/* login.c - the lines of an exchange to and from base64, and the identity that comes out of it: an account may act
 * as another user only where policy.h lets it. */
#include "login.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "policy.h"
#include "sasl.h"

void identity_fini(struct identity *id)
{
	free(id->user);
	free(id->authcid);
	*id = (struct identity){ 0 };
}

bool identity_set(struct identity *id, const struct config *cfg, struct bytes authcid, struct bytes authzid,
                  struct fault *why)
{
	if (!auth_may_act_as(cfg, authcid, authzid))
		return fault_set(why, FAULT_CLIENT, "%.*s may not act as %.*s", BYTES_FMT(authcid), BYTES_FMT(authzid));
	identity_fini(id);
	id->user = bytes_to_str(authzid);
	id->authcid = bytes_to_str(authcid);
	id->is_admin = auth_is_admin(cfg, authzid);
	id->is_proxy = auth_is_proxy(cfg, authcid);
	return true;
}

void login_fini(struct login *l)
{
	sasl_server_free(&l->sasl);
	l->has_spoken_last = false;
}

static bool is_word_of(const char *words, struct bytes word)
{
	size_t n;

	for (; *words != '\0'; words += n) {
		while (*words == ' ')
			words++;
		n = strcspn(words, " ");
		if (n > 0 && bytes_equal_nocase(bytes_make(words, n), word))
			return true;
	}
	return false;
}

static enum login_result finish(struct login *l, const struct config *cfg, struct identity *id, struct fault *why)
{
	bool is_set = identity_set(id, cfg, sasl_server_authcid(l->sasl), sasl_server_authzid(l->sasl), why);

	login_fini(l);
	return is_set ? LOGIN_OK : LOGIN_REFUSED;
}

/* Give RESPONSE (plain octets) to the mechanism. */
static enum login_result give(struct login *l, const struct config *cfg, bool has_response, struct bytes response,
                              struct identity *id, struct buffer *challenge, struct fault *why)
{
	struct buffer out = { 0 };
	enum sasl_result result = sasl_server_step(l->sasl, has_response, response, &out, why);
	enum login_result answer = LOGIN_CONTINUE;

	if (result == SASL_FAIL) {
		login_fini(l);
		answer = LOGIN_REFUSED;
	} else if (result == SASL_OK && out.n == 0) {
		answer = finish(l, cfg, id, why);
	} else {
		l->has_spoken_last = result == SASL_OK;
		base64_encode(challenge, buffer_bytes(&out));
	}
	buffer_fini(&out);
	return answer;
}

enum login_result login_start(struct login *l, const struct config *cfg, struct users *users, struct bytes mechanism,
                              const char *allowed, bool has_initial, struct bytes initial, struct identity *id_r,
                              struct buffer *challenge_r, struct fault *why)
{
	struct buffer plain = { 0 };
	enum login_result result = LOGIN_MALFORMED;

	login_fini(l);
	if (!is_word_of(allowed, mechanism))
		return LOGIN_UNKNOWN;
	l->sasl = sasl_server_new(users, mechanism);
	if (l->sasl == NULL)
		return LOGIN_UNKNOWN;
	if (!has_initial || bytes_equal_str(initial, "=") || base64_decode(&plain, initial))
		result = give(l, cfg, has_initial, buffer_bytes(&plain), id_r, challenge_r, why);
	else
		login_fini(l);
	if (plain.p != NULL)
		explicit_bzero(plain.p, plain.n);
	buffer_fini(&plain);
	return result;
}

enum login_result login_step(struct login *l, const struct config *cfg, struct bytes line, struct identity *id_r,
                             struct buffer *challenge_r, struct fault *why)
{
	struct buffer plain = { 0 };
	enum login_result result;

	if (bytes_equal_str(line, "*")) {
		login_fini(l);
		return LOGIN_ABORTED;
	}
	if (!base64_decode(&plain, line)) {
		login_fini(l);
		buffer_fini(&plain);
		return LOGIN_MALFORMED;
	}
	if (l->has_spoken_last)
		result = finish(l, cfg, id_r, why);
	else
		result = give(l, cfg, true, buffer_bytes(&plain), id_r, challenge_r, why);
	if (plain.p != NULL)
		explicit_bzero(plain.p, plain.n);
	buffer_fini(&plain);
	return result;
}
