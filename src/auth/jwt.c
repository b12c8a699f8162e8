/* jwt.c - a token's three parts, then its claims. What is not understood is refused: an algorithm that is not one of the three (so "none",
 * and every HMAC, for which the issuer's public key would be the secret), "crit", a type that is no token for us, JSON with a name twice. */
#include "jwt.h"

#include <jansson.h>
#include <string.h>

#include "base64.h"
#include "users.h"

#define TOKEN_MAX 16384

void jwt_claims_fini(struct jwt_claims *c)
{
	buffer_fini(&c->name);
}

static struct bytes text_of(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	return json_is_string(v) ? bytes_make(json_string_value(v), json_string_length(v)) : BYTES_NONE;
}

static enum jwt_result wrong(struct fault *why, const char *text)
{
	(void)fault_set(why, FAULT_CLIENT, "%s", text);
	return JWT_WRONG;
}

struct parts {
	struct bytes head, claims, signature, signed_octets;
};

static bool split(struct bytes token, struct parts *p_r)
{
	size_t first = bytes_find(token, '.'), last = bytes_rfind(token, '.');

	if (first >= last || last == token.n || token.n > TOKEN_MAX)
		return false;
	*p_r = (struct parts){ bytes_sub(token, 0, first), bytes_sub(token, first + 1, last - first - 1), bytes_from(token, last + 1),
		               bytes_sub(token, 0, last) };
	return bytes_find(p_r->claims, '.') == p_r->claims.n && p_r->head.n > 0 && p_r->claims.n > 0;
}

bool jwt_is_one(struct bytes token)
{
	struct parts p;

	/* '{' and '"' are "ey" in front. */
	return split(token, &p) && bytes_starts(token, BYTES_LIT("ey"));
}

/* The JSON object that TEXT encodes; NULL: none. */
static json_t *decode(struct bytes text)
{
	struct buffer raw = { 0 };
	json_t *object = NULL;

	if (base64url_decode(&raw, text) && raw.n > 0)
		object = json_loadb((const char *)raw.p, raw.n, JSON_REJECT_DUPLICATES, NULL);
	buffer_fini(&raw);
	if (!json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static bool take_head(const json_t *head, enum jwt_algorithm *algorithm_r, struct fault *why)
{
	static const struct {
		const char *name;
		enum jwt_algorithm algorithm;
	} rows[] = { { "RS256", JWT_RS256 }, { "ES256", JWT_ES256 }, { "EdDSA", JWT_EDDSA }, { "Ed25519", JWT_EDDSA } };
	struct bytes alg = text_of(head, "alg"), typ = text_of(head, "typ");

	/* RFC 7515 section 4.1.11: who does not understand what is critical refuses. */
	if (json_object_get(head, "crit") != NULL)
		return fault_set(why, FAULT_CLIENT, "the token has critical extensions");
	if (json_object_get(head, "typ") != NULL && !bytes_equal_nocase_str(typ, "JWT") && !bytes_equal_nocase_str(typ, "at+jwt") &&
	    !bytes_equal_nocase_str(typ, "application/at+jwt"))
		return fault_set(why, FAULT_CLIENT, "the token is of another type");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (bytes_equal_str(alg, rows[i].name)) {
			*algorithm_r = rows[i].algorithm;
			return true;
		}
	}
	return fault_set(why, FAULT_CLIENT, "the token's algorithm is none of RS256, ES256, EdDSA");
}

/* A NumericDate (RFC 7519 section 2); false: it is there and is none. *V_R is left where it is not there. */
static bool take_time(const json_t *claims, const char *name, int64_t *v_r)
{
	const json_t *v = json_object_get(claims, name);
	double d = json_number_value(v);

	if (v == NULL)
		return true;
	if (!json_is_number(v) || !(d >= 0 && d < 1e15))
		return false;
	*v_r = (int64_t)d;
	return true;
}

/* Times: exp must be there unless MAY_LAST. */
static enum jwt_result check_times(const json_t *claims, const struct jwt_rules *rules, int64_t now, bool may_last,
                                   struct jwt_claims *r, struct fault *why)
{
	int64_t expires = INT64_MAX, not_before = 0, issued = 0;

	if (!take_time(claims, "exp", &expires) || !take_time(claims, "nbf", &not_before) || !take_time(claims, "iat", &issued))
		return wrong(why, "the token has a time that is none");
	if (expires == INT64_MAX && !may_last)
		return wrong(why, "the token has no exp");
	r->expires = expires;
	if (expires != INT64_MAX && now >= expires + rules->leeway_s) {
		(void)fault_set(why, FAULT_CLIENT, "the token has expired");
		return JWT_EXPIRED;
	}
	if (now < not_before - rules->leeway_s || now < issued - rules->leeway_s) {
		(void)fault_set(why, FAULT_CLIENT, "the token is not valid yet");
		return JWT_EXPIRED;
	}
	return JWT_RIGHT;
}

/* "aud" is a string or an array of them. */
static bool is_for_us(const json_t *claims, const struct config *cfg)
{
	const json_t *aud = json_object_get(claims, "aud"), *one;
	size_t i;

	if (json_is_string(aud))
		return config_has_word(cfg, "oauth_audience", text_of(claims, "aud"));
	json_array_foreach((json_t *)(uintptr_t)aud, i, one) {
		if (json_is_string(one) && config_has_word(cfg, "oauth_audience", bytes_make(json_string_value(one), json_string_length(one))))
			return true;
	}
	return false;
}

static bool has_word(struct bytes words, struct bytes word)
{
	while (words.n > 0) {
		size_t n = bytes_find(words, ' ');

		if (bytes_equal(bytes_sub(words, 0, n), word))
			return true;
		words = bytes_from(words, n + 1);
	}
	return false;
}

/* RFC 8693 section 4.2: words in a string; some issuers have an array in "scp" or "scope". */
static bool has_scope(const json_t *claims, struct bytes scope)
{
	static const char *const names[] = { "scope", "scp" };

	for (size_t k = 0; k < 2; k++) {
		const json_t *v = json_object_get(claims, names[k]), *one;
		size_t i;

		if (has_word(text_of(claims, names[k]), scope))
			return true;
		json_array_foreach((json_t *)(uintptr_t)v, i, one) {
			if (json_is_string(one) && bytes_equal_str(scope, json_string_value(one)))
				return true;
		}
	}
	return false;
}

struct bytes jwt_user_of(const struct jwt_rules *rules, struct bytes name)
{
	size_t at = bytes_rfind(name, '@');

	if (rules->name_domain == NULL || at == name.n || !bytes_equal_nocase_str(bytes_from(name, at + 1), rules->name_domain))
		return name;
	return bytes_sub(name, 0, at);
}

static enum jwt_result take_name(const json_t *claims, const struct jwt_rules *rules, struct jwt_claims *r, struct fault *why)
{
	struct bytes name = jwt_user_of(rules, text_of(claims, rules->name_claim));

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] == 0x7f)
			return wrong(why, "the token's user is no name");
	}
	if (name.n == 0 || name.n > USERS_NAME_MAX) {
		(void)fault_set(why, FAULT_CLIENT, "the token has no user in \"%s\"", rules->name_claim);
		return JWT_WRONG;
	}
	buffer_add(&r->name, name);
	return JWT_RIGHT;
}

static enum jwt_result check_claims(const json_t *claims, const struct jwt_rules *rules, int64_t now, bool is_introspected,
                                    struct jwt_claims *r, struct fault *why)
{
	bool has_issuer = json_object_get(claims, "iss") != NULL;
	enum jwt_result result;
	struct bytes scope, audience;

	/* Who was asked about the token is the issuer, and need not say so (RFC 7662 section 2.2). */
	if (rules->issuer != NULL && (has_issuer || !is_introspected) && !bytes_equal_str(text_of(claims, "iss"), rules->issuer))
		return wrong(why, "the token is another issuer's");
	if (config_word(rules->audiences, "oauth_audience", 0, &audience) && !is_for_us(claims, rules->audiences))
		return wrong(why, "the token is for another audience");
	result = check_times(claims, rules, now, is_introspected, r, why);
	if (result == JWT_RIGHT)
		result = take_name(claims, rules, r, why);
	for (size_t i = 0; result == JWT_RIGHT && config_word(rules->scopes, "oauth_scope", i, &scope); i++) {
		if (!has_scope(claims, scope)) {
			(void)fault_set(why, FAULT_CLIENT, "the token lacks the scope \"%.*s\"", BYTES_FMT(scope));
			result = JWT_SCOPE;
		}
	}
	return result;
}

enum jwt_result jwt_verify(struct bytes token, const struct jwks *keys, const struct jwt_rules *rules, int64_t now,
                           struct jwt_claims *claims_r, struct fault *why)
{
	enum jwt_result result = JWT_WRONG;
	struct buffer signature = { 0 };
	enum jwt_algorithm algorithm = JWT_RS256;
	json_t *head = NULL, *claims = NULL;
	struct parts p;

	*claims_r = (struct jwt_claims){ 0 };
	if (!split(token, &p) || !base64url_decode(&signature, p.signature) || signature.n == 0 || (head = decode(p.head)) == NULL) {
		(void)fault_set(why, FAULT_CLIENT, "the token is malformed");
		goto out;
	}
	if (!take_head(head, &algorithm, why))
		goto out;
	switch (jwks_verify(keys, algorithm, text_of(head, "kid"), p.signed_octets, buffer_bytes(&signature))) {
	case JWKS_RIGHT:
		break;
	case JWKS_NO_KEY:
		(void)fault_set(why, FAULT_CLIENT, "the issuer has no such key");
		result = JWT_NO_KEY;
		goto out;
	case JWKS_WRONG:
		(void)fault_set(why, FAULT_CLIENT, "the token's signature is wrong");
		goto out;
	}
	claims = decode(p.claims);
	if (claims == NULL)
		(void)fault_set(why, FAULT_CLIENT, "the token is malformed");
	else
		result = check_claims(claims, rules, now, false, claims_r, why);
out:
	json_decref(head);
	json_decref(claims);
	buffer_fini(&signature);
	return result;
}

enum jwt_result jwt_introspected(struct bytes text, const struct jwt_rules *rules, int64_t now, struct jwt_claims *claims_r,
                                 struct fault *why)
{
	json_t *claims = json_loadb(text.n == 0 ? "" : (const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	enum jwt_result result;

	*claims_r = (struct jwt_claims){ 0 };
	if (!json_is_true(json_object_get(claims, "active")))
		result = wrong(why, "the issuer says that the token is not active");
	else
		result = check_claims(claims, rules, now, true, claims_r, why);
	json_decref(claims);
	return result;
}
