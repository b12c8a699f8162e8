/* fuzz_token.c - what comes from issuers and whoever says so. Input: 't' and a token; 'p' and its head, LF, its claims, as JSON; 'i' and the
 * answer of an introspection; 'k' and a set of keys.
 *
 * Nothing is right but by a signature, which nobody here can make; a name that an answer gives is one. */
#include "base64.h"
#include "fuzz.h"
#include "jwt.h"
#include "users.h"

static const char keys_json[] = "{\"keys\":[{\"kid\":\"d1\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void encode(struct buffer *to, struct bytes text)
{
	size_t start = to->n;

	base64_encode(to, text);
	while (to->n > start && to->p[to->n - 1] == '=')
		to->n--;
	for (size_t i = start; i < to->n; i++)
		to->p[i] = to->p[i] == '+' ? '-' : to->p[i] == '/' ? '_' : to->p[i];
}

static void check(struct bytes token, const struct jwks *keys, const struct jwt_rules *rules)
{
	struct jwt_claims claims;
	struct fault why = { 0 };

	(void)jwt_is_one(token);
	FUZZ_CHECK(jwt_verify(token, keys, rules, 1800000000, &claims, &why) != JWT_RIGHT && why.kind == FAULT_CLIENT);
	jwt_claims_fini(&claims);
}

static void check_parts(struct bytes in, const struct jwks *keys, const struct jwt_rules *rules)
{
	static const uint8_t signature[64];
	struct buffer token = { 0 };

	encode(&token, fuzz_take_line(&in));
	buffer_add_u8(&token, '.');
	encode(&token, in);
	buffer_add_u8(&token, '.');
	encode(&token, bytes_make(signature, sizeof(signature)));
	check(buffer_bytes(&token), keys, rules);
	buffer_fini(&token);
}

static void check_answer(struct bytes in, const struct jwt_rules *rules)
{
	struct jwt_claims claims;
	struct fault why = { 0 };

	if (jwt_introspected(in, rules, 1800000000, &claims, &why) == JWT_RIGHT) {
		FUZZ_CHECK(claims.name.n > 0 && claims.name.n <= USERS_NAME_MAX && claims.expires > 1800000000 - 60);
		for (size_t i = 0; i < claims.name.n; i++)
			FUZZ_CHECK(claims.name.p[i] > ' ');
	} else {
		FUZZ_CHECK(why.kind == FAULT_CLIENT);
	}
	jwt_claims_fini(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config *cfg;
	static struct jwks *keys;
	struct bytes in = bytes_make(data, size);
	struct jwks *read;
	struct jwt_rules rules;
	struct fault why = { 0 };

	if (keys == NULL) {
		cfg = config_parse(BYTES_LIT("oauth_audience: imap\noauth_scope: email\n"), "fuzz", &why);
		keys = jwks_parse(bytes_of(keys_json), &why);
		FUZZ_CHECK(cfg != NULL && keys != NULL);
	}
	rules = (struct jwt_rules){ .issuer = "https://i", .audiences = cfg, .scopes = cfg, .name_claim = "name", .name_domain = "example.org",
		                    .leeway_s = 60 };
	switch (fuzz_take_octet(&in)) {
	case 't':
		check(in, keys, &rules);
		break;
	case 'p':
		check_parts(in, keys, &rules);
		break;
	case 'i':
		check_answer(in, &rules);
		break;
	default:
		read = jwks_parse(in, &why);
		FUZZ_CHECK(read == NULL ? why.kind == FAULT_OPERATOR : jwks_count(read) > 0 && jwks_count(read) <= JWKS_KEYS_MAX);
		jwks_free(&read);
		break;
	}
	return 0;
}
