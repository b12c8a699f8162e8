/* test_token.c - bearer tokens: what a client sends, signatures and keys, claims, an issuer's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base64.h"
#include "jwt.h"
#include "oauth_message.h"
#include "sasl.h"
#include "token_rows.h"

static struct config *cfg;
static struct jwt_rules rules;

static int read_config(void **state)
{
	struct fault why;

	(void)state;
	cfg = config_parse(BYTES_LIT("oauth_audience: other imap\noauth_scope: email\n"), "test", &why);
	rules = (struct jwt_rules){ .issuer = "https://issuer.example/realms/mail", .audiences = cfg, .scopes = cfg,
		                    .name_claim = "preferred_username", .leeway_s = 60 };
	return cfg == NULL;
}

static int free_config(void **state)
{
	(void)state;
	config_free(&cfg);
	return 0;
}

static struct jwks *keys_of(const char *json)
{
	struct fault why;

	return jwks_parse(bytes_of(json), &why);
}

static void tokens_are_right_or_wrong(void **state)
{
	struct jwks *keys = keys_of(token_keys);

	(void)state;
	assert_non_null(keys);
	assert_int_equal(jwks_count(keys), 3);
	for (size_t i = 0; i < sizeof(token_rows) / sizeof(token_rows[0]); i++) {
		const struct token_row *r = &token_rows[i];
		struct jwt_claims claims;
		struct fault why = { 0 };
		enum jwt_result got = jwt_verify(bytes_of(r->token), keys, &rules, TOKEN_NOW, &claims, &why);

		if (got != r->want)
			print_error("%s: %d instead of %d (%s)\n", r->what, (int)got, (int)r->want, why.what);
		assert_int_equal(got, r->want);
		if (got == JWT_RIGHT)
			assert_true(bytes_equal_str(buffer_bytes(&claims.name), "fred"));
		else
			assert_int_equal(why.kind, FAULT_CLIENT);
		/* The log is no place for what logs in. */
		assert_true(strlen(r->token) < 8 || strstr(why.what, r->token + strlen(r->token) / 2) == NULL);
		jwt_claims_fini(&claims);
	}
	jwks_free(&keys);
}

/* Every octet of a right token is part of what is checked. */
static void no_octet_can_be_changed(void **state)
{
	struct jwks *keys = keys_of(token_keys);

	(void)state;
	for (size_t row = 0; row < 3; row++) {
		char *token = strdup(token_rows[row].token);

		for (size_t i = 0; token[i] != '\0'; i++) {
			char was = token[i];
			struct jwt_claims claims;
			struct fault why;

			token[i] = was == 'A' ? 'B' : 'A';
			assert_int_not_equal(jwt_verify(bytes_of(token), keys, &rules, TOKEN_NOW, &claims, &why), JWT_RIGHT);
			jwt_claims_fini(&claims);
			token[i] = was;
		}
		free(token);
	}
	jwks_free(&keys);
}

static void a_domain_is_cut_off_a_name(void **state)
{
	struct jwt_rules r = rules;

	(void)state;
	r.name_domain = "example.org";
	assert_true(bytes_equal_str(jwt_user_of(&r, BYTES_LIT("fred@example.org")), "fred"));
	assert_true(bytes_equal_str(jwt_user_of(&r, BYTES_LIT("fred@Example.ORG")), "fred"));
	assert_true(bytes_equal_str(jwt_user_of(&r, BYTES_LIT("fred@evil.example")), "fred@evil.example"));
	assert_true(bytes_equal_str(jwt_user_of(&r, BYTES_LIT("fred@example.org@evil.example")), "fred@example.org@evil.example"));
	assert_true(bytes_equal_str(jwt_user_of(&r, BYTES_LIT("fred")), "fred"));
	assert_true(bytes_equal_str(jwt_user_of(&rules, BYTES_LIT("fred@example.org")), "fred@example.org"));
}

static void issuers_answers(void **state)
{
	static const struct {
		const char *json;
		enum jwt_result want;
	} rows[] = {
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\"}", JWT_RIGHT },
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\",\"exp\":1800000001}", JWT_RIGHT },
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\",\"exp\":1700000000}", JWT_EXPIRED },
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"mail\"}", JWT_SCOPE },
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"scope\":\"email\"}", JWT_WRONG },
		{ "{\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\",\"iss\":\"https://evil.example\"}", JWT_WRONG },
		{ "{\"active\":true,\"aud\":\"imap\",\"scope\":\"email\"}", JWT_WRONG },
		{ "{\"active\":false}", JWT_WRONG },
		{ "{\"active\":\"true\",\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\"}", JWT_WRONG },
		{ "{\"active\":1,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\"}", JWT_WRONG },
		{ "{\"active\":false,\"active\":true,\"preferred_username\":\"fred\",\"aud\":\"imap\",\"scope\":\"email\"}", JWT_WRONG },
		{ "{}", JWT_WRONG }, { "[]", JWT_WRONG }, { "", JWT_WRONG }, { "true", JWT_WRONG }, { "{\"active\":true", JWT_WRONG },
		{ "<html>no</html>", JWT_WRONG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwt_claims claims;
		struct fault why;

		assert_int_equal(jwt_introspected(bytes_of(rows[i].json), &rules, TOKEN_NOW, &claims, &why), rows[i].want);
		jwt_claims_fini(&claims);
	}
}

/* Keys that cannot be used are passed over; without any that can there are none. */
static void sets_of_keys(void **state)
{
	static const struct {
		const char *json;
		size_t want;
	} rows[] = {
		{ "", 0 }, { "{}", 0 }, { "[]", 0 }, { "{\"keys\":{}}", 0 }, { "{\"keys\":[]}", 0 }, { "{\"keys\":[1,null,\"x\",[],{}]}", 0 },
		/* An RSA key of 512 bits, one of exponent 1, a secret, a point that is on no curve, another curve, an X25519 key. */
		{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"3XWqmsIU0b3Z2OlUAB-Vg3mWhBR8rT4ZbNp7pQ6ENiEm0Ss9YzZ6x3cZp-6o4QKsUm3ePQmXrzSQ2P0z7v1Xhw\",\"e\":\"AQAB\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"use\":\"enc\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"alg\":\"HS256\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"oct\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 1 },
		{ "{\"keys\":[],\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 0 },
	};
	char *huge = calloc(1, JWKS_SIZE_MAX + 100);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwks *k = keys_of(rows[i].json);

		assert_int_equal(k == NULL ? 0 : jwks_count(k), rows[i].want);
		jwks_free(&k);
	}
	memset(huge, ' ', JWKS_SIZE_MAX + 99);
	assert_null(keys_of(huge));
	free(huge);
}

/* RFC 8037 appendix A.4: "Example of Ed25519 signing", by the key of A.2. */
static void the_signature_of_rfc_8037(void **state)
{
	struct jwks *k = keys_of("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
	struct buffer signature = { 0 };

	(void)state;
	assert_non_null(k);
	assert_true(base64url_decode(&signature, BYTES_LIT("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")));
	assert_int_equal(jwks_verify(k, JWT_EDDSA, BYTES_NONE, BYTES_LIT("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
	                             buffer_bytes(&signature)), JWKS_RIGHT);
	assert_int_equal(jwks_verify(k, JWT_EDDSA, BYTES_NONE, BYTES_LIT("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd"),
	                             buffer_bytes(&signature)), JWKS_WRONG);
	assert_int_equal(jwks_verify(k, JWT_RS256, BYTES_NONE, BYTES_LIT("x"), buffer_bytes(&signature)), JWKS_NO_KEY);
	buffer_fini(&signature);
	jwks_free(&k);
}

#define A "\1"

struct message_row {
	const char *in, *authzid, *token; /* TOKEN NULL: malformed */
};

static void check_messages(bool (*parse)(struct bytes in, struct oauth_message *m_r, struct fault *why), const struct message_row *rows,
                           size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct oauth_message m;
		struct fault why = { 0 };
		bool ok = parse(bytes_of(rows[i].in), &m, &why);

		if (ok != (rows[i].token != NULL))
			print_error("row %zu: %s\n", i, why.what);
		assert_int_equal(ok, rows[i].token != NULL);
		if (ok) {
			assert_true(bytes_equal_str(m.token, rows[i].token));
			assert_true(bytes_equal_str(buffer_bytes(&m.authzid), rows[i].authzid));
		}
		oauth_message_fini(&m);
	}
}

/* The first is RFC 7628's (section 4.1). */
static void messages_of_oauthbearer(void **state)
{
	static const struct message_row rows[] = {
		{ "n,a=user@example.com," A "host=server.example.com" A "port=143" A "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" A A,
		  "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" },
		{ "n,," A "auth=Bearer abc" A A, "", "abc" },
		{ "y,," A "auth=bEARER a.b-c_d~e+f/g==" A A, "", "a.b-c_d~e+f/g==" },
		{ "n,a=a=2Cb=3Dc," A "auth=Bearer abc" A A, "a,b=c", "abc" },
		{ "n,," A "auth=Bearer abc" A "mtu=1" A A, "", "abc" },
		{ "n,," A A, "", NULL }, /* RFC 7628 section 4.3's probe: no token */
		{ A, "", NULL }, { "", "", NULL }, { "n,,", "", NULL }, { "n,," A, "", NULL }, { "n", "", NULL }, { "n,", "", NULL },
		{ "p=tls-exporter,," A "auth=Bearer abc" A A, "", NULL },
		{ "x,," A "auth=Bearer abc" A A, "", NULL },
		{ "n,b=fred," A "auth=Bearer abc" A A, "", NULL },
		{ "n,a=," A "auth=Bearer abc" A A, "", NULL },
		{ "n,a=f=2," A "auth=Bearer abc" A A, "", NULL },
		{ "n,a=f=41," A "auth=Bearer abc" A A, "", NULL },
		{ "n,," A "auth=Bearer abc" A, "", NULL },
		{ "n,," A "auth=Bearer abc", "", NULL },
		{ "n,," A "auth=Bearer abc" A A "x", "", NULL },
		{ "n,," A "auth=Bearer abc" A A A, "", NULL },
		{ "n,," A "auth=Bearer abc" A "auth=Bearer def" A A, "", NULL },
		{ "n,," A "auth=Bearer " A A, "", NULL },
		{ "n,," A "auth=Bearer =" A A, "", NULL },
		{ "n,," A "auth=Bearer a=b" A A, "", NULL },
		{ "n,," A "auth=Bearer a b" A A, "", NULL },
		{ "n,," A "auth=Bearer a\nb" A A, "", NULL },
		{ "n,," A "auth=Basic abc" A A, "", NULL },
		{ "n,," A "auth=abc" A A, "", NULL },
		{ "n,," A "=Bearer abc" A A, "", NULL },
		{ "n,," A "au-th=Bearer abc" A A, "", NULL },
		{ "n,," A "auth" A A, "", NULL },
		{ "n,," A "host=a\2b" A "auth=Bearer abc" A A, "", NULL },
		{ "n,,auth=Bearer abc" A A, "", NULL },
	};

	(void)state;
	check_messages(oauthbearer_parse, rows, sizeof(rows) / sizeof(rows[0]));
}

static void messages_of_xoauth2(void **state)
{
	static const struct message_row rows[] = {
		{ "user=someuser@example.com" A "auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" A A, "someuser@example.com",
		  "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" },
		{ "auth=Bearer abc" A A, "", NULL }, { "user=" A "auth=Bearer abc" A A, "", NULL }, { "user=fred" A A, "", NULL },
		{ "user=fred" A "auth=Bearer abc" A, "", NULL }, { "", "", NULL }, { "user=fr\ted", "", NULL },
	};

	(void)state;
	check_messages(xoauth2_parse, rows, sizeof(rows) / sizeof(rows[0]));
}

static void a_token_that_is_too_long_is_refused(void **state)
{
	struct buffer in = { 0 };
	struct oauth_message m;
	struct fault why;

	(void)state;
	buffer_add_str(&in, "n,," A "auth=Bearer ");
	for (size_t i = 0; i <= OAUTH_TOKEN_MAX; i++)
		buffer_add_u8(&in, 'x');
	buffer_add_str(&in, A A);
	assert_false(oauthbearer_parse(buffer_bytes(&in), &m, &why));
	assert_int_equal(why.kind, FAULT_LIMIT);
	oauth_message_fini(&m);
	buffer_fini(&in);
}

/* RFC 7628 section 3.2.3: the refusal is explained in a challenge, the client answers it, and the exchange has failed. */
static void a_refused_token_is_explained(void **state)
{
	const struct sasl_options o = { .oauth_error = "\"scope\":\"email\"" };
	struct sasl_server *s = sasl_server_new(&o, BYTES_LIT("oauthbearer"));
	struct buffer out = { 0 };
	struct sasl_question q;
	struct fault why;

	(void)state;
	assert_non_null(s);
	assert_int_equal(sasl_server_step(s, false, BYTES_NONE, &out, &why), SASL_MORE);
	assert_int_equal(out.n, 0);
	assert_int_equal(sasl_server_step(s, true, BYTES_LIT("n,a=fred," A "auth=Bearer abc" A A), &out, &why), SASL_ASK);
	sasl_server_question(s, &q);
	assert_int_equal(q.kind, SASL_TOKEN);
	assert_true(bytes_equal_str(q.secret, "abc"));
	assert_int_equal(sasl_server_verdict(s, SASL_WRONG_SCOPE, BYTES_NONE, &out, &why), SASL_MORE);
	assert_true(bytes_equal_str(buffer_bytes(&out), "{\"status\":\"insufficient_scope\",\"scope\":\"email\"}"));
	assert_int_equal(sasl_server_step(s, true, BYTES_LIT(A), &out, &why), SASL_FAIL);
	sasl_server_free(&s);
	buffer_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_right_or_wrong),
		cmocka_unit_test(no_octet_can_be_changed),
		cmocka_unit_test(a_domain_is_cut_off_a_name),
		cmocka_unit_test(issuers_answers),
		cmocka_unit_test(sets_of_keys),
		cmocka_unit_test(the_signature_of_rfc_8037),
		cmocka_unit_test(messages_of_oauthbearer),
		cmocka_unit_test(messages_of_xoauth2),
		cmocka_unit_test(a_token_that_is_too_long_is_refused),
		cmocka_unit_test(a_refused_token_is_explained),
	};

	return cmocka_run_group_tests(tests, read_config, free_config);
}
