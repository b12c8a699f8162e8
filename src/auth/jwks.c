/* jwks.c - JSON to OpenSSL's keys, and the three algorithms that are taken. Each key has one algorithm from the day it is read, and all are
 * of public keys: a token cannot choose that a public key is taken for a secret. */
#include "jwks.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define P256_SIZE 32

struct key {
	enum jwt_algorithm algorithm;
	char *kid; /* owned; NULL: none */
	EVP_PKEY *pkey;
};

struct jwks {
	struct key keys[JWKS_KEYS_MAX];
	size_t n;
};

static struct bytes text_of(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	return json_is_string(v) ? bytes_make(json_string_value(v), json_string_length(v)) : BYTES_NONE;
}

/* The octets that member NAME encodes; false: none, or more than MAX. */
static bool octets_of(const json_t *object, const char *name, size_t max, struct buffer *to)
{
	struct bytes text = text_of(object, name);

	return text.n > 0 && text.n <= max * 2 && base64url_decode(to, text) && to->n > 0 && to->n <= max;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

/* Whether KEY, a public one, is one that its kind can have. */
static bool is_sound(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new(key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
	struct buffer n = { 0 }, e = { 0 };
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *bn = NULL, *be = NULL;
	EVP_PKEY *key = NULL;

	if (octets_of(jwk, "n", RSA_BITS_MAX / 8 + 1, &n) && octets_of(jwk, "e", 8, &e)) {
		bn = BN_bin2bn(n.p, (int)n.n, NULL);
		be = BN_bin2bn(e.p, (int)e.n, NULL);
	}
	if (build != NULL && bn != NULL && be != NULL && BN_num_bits(bn) >= RSA_BITS_MIN && BN_num_bits(bn) <= RSA_BITS_MAX &&
	    BN_is_odd(be) && !BN_is_one(be) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
		key = from_params("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(bn);
	BN_free(be);
	buffer_fini(&n);
	buffer_fini(&e);
	return key;
}

static EVP_PKEY *p256_key(const json_t *jwk)
{
	struct buffer x = { 0 }, y = { 0 };
	uint8_t point[1 + 2 * P256_SIZE] = { 4 }; /* SEC 1 section 2.3.3: not compressed */
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	if (build != NULL && bytes_equal_str(text_of(jwk, "crv"), "P-256") && octets_of(jwk, "x", P256_SIZE, &x) &&
	    octets_of(jwk, "y", P256_SIZE, &y) && x.n == P256_SIZE && y.n == P256_SIZE) {
		memcpy(point + 1, x.p, P256_SIZE);
		memcpy(point + 1 + P256_SIZE, y.p, P256_SIZE);
		if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
		    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
			key = from_params("EC", build);
	}
	if (key != NULL && !is_sound(key)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	OSSL_PARAM_BLD_free(build);
	buffer_fini(&x);
	buffer_fini(&y);
	return key;
}

/* RFC 8037. */
static EVP_PKEY *ed25519_key(const json_t *jwk)
{
	struct buffer x = { 0 };
	EVP_PKEY *key = NULL;

	if (bytes_equal_str(text_of(jwk, "crv"), "Ed25519") && octets_of(jwk, "x", 32, &x) && x.n == 32)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.p, x.n);
	buffer_fini(&x);
	return key;
}

/* Whether the key says, or does not deny, that it is for signatures by ALGORITHM. */
static bool is_meant_for(const json_t *jwk, const char *algorithm)
{
	const json_t *use = json_object_get(jwk, "use"), *alg = json_object_get(jwk, "alg");

	return (use == NULL || bytes_equal_str(text_of(jwk, "use"), "sig")) && (alg == NULL || bytes_equal_str(text_of(jwk, "alg"), algorithm));
}

static bool take_key(const json_t *jwk, struct key *k)
{
	struct bytes kty = text_of(jwk, "kty"), kid = text_of(jwk, "kid");

	*k = (struct key){ 0 };
	if (bytes_equal_str(kty, "RSA") && is_meant_for(jwk, "RS256")) {
		k->algorithm = JWT_RS256;
		k->pkey = rsa_key(jwk);
	} else if (bytes_equal_str(kty, "EC") && is_meant_for(jwk, "ES256")) {
		k->algorithm = JWT_ES256;
		k->pkey = p256_key(jwk);
	} else if (bytes_equal_str(kty, "OKP") && (is_meant_for(jwk, "EdDSA") || is_meant_for(jwk, "Ed25519"))) {
		k->algorithm = JWT_EDDSA;
		k->pkey = ed25519_key(jwk);
	}
	ERR_clear_error();
	if (k->pkey == NULL)
		return false;
	if (kid.n > 0)
		k->kid = bytes_to_str(kid);
	return true;
}

struct jwks *jwks_parse(struct bytes text, struct fault *why)
{
	struct jwks *k = must_calloc(1, sizeof(*k));
	json_error_t bad;
	json_t *all = text.n > JWKS_SIZE_MAX ? NULL : json_loadb(text.n == 0 ? "" : (const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &bad);
	json_t *keys = json_object_get(all, "keys"), *jwk;
	size_t i;

	json_array_foreach(keys, i, jwk) {
		if (k->n < JWKS_KEYS_MAX && take_key(jwk, &k->keys[k->n]))
			k->n++;
	}
	if (text.n > JWKS_SIZE_MAX)
		(void)fault_set(why, FAULT_OPERATOR, "is longer than %d octets", JWKS_SIZE_MAX);
	else if (all == NULL)
		(void)fault_set(why, FAULT_OPERATOR, "is not JSON: %s", bad.text);
	else if (!json_is_array(keys))
		(void)fault_set(why, FAULT_OPERATOR, "is no set of keys: it has no array \"keys\"");
	else if (k->n == 0)
		(void)fault_set(why, FAULT_OPERATOR, "has no key that can be used (RSA of 2048 bits and more, EC P-256, Ed25519)");
	json_decref(all);
	if (k->n == 0)
		jwks_free(&k);
	return k;
}

void jwks_free(struct jwks **kp)
{
	struct jwks *k = *kp;

	if (k == NULL)
		return;
	*kp = NULL;
	for (size_t i = 0; i < k->n; i++) {
		free(k->keys[i].kid);
		EVP_PKEY_free(k->keys[i].pkey);
	}
	free(k);
}

size_t jwks_count(const struct jwks *k)
{
	return k->n;
}

/* RFC 7518 section 3.4: R and S of 32 octets each; OpenSSL wants them as DER. */
static bool es256_der(struct bytes signature, uint8_t **der_r, size_t *n_r)
{
	ECDSA_SIG *sig = signature.n == 2 * P256_SIZE ? ECDSA_SIG_new() : NULL;
	BIGNUM *r = sig == NULL ? NULL : BN_bin2bn(signature.p, P256_SIZE, NULL);
	BIGNUM *s = sig == NULL ? NULL : BN_bin2bn(signature.p + P256_SIZE, P256_SIZE, NULL);
	int n = -1;

	*der_r = NULL;
	if (r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
		n = i2d_ECDSA_SIG(sig, der_r);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(sig);
	*n_r = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static bool verify(const struct key *k, struct bytes signed_octets, struct bytes signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *md = k->algorithm == JWT_EDDSA ? NULL : EVP_sha256();
	uint8_t *der = NULL;
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey) == 1;

	if (ok && k->algorithm == JWT_ES256) {
		size_t n;

		ok = es256_der(signature, &der, &n);
		signature = bytes_make(der, n);
	}
	ok = ok && EVP_DigestVerify(ctx, signature.p, signature.n, signed_octets.p, signed_octets.n) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

enum jwks_result jwks_verify(const struct jwks *k, enum jwt_algorithm algorithm, struct bytes kid, struct bytes signed_octets,
                             struct bytes signature)
{
	enum jwks_result result = JWKS_NO_KEY;

	for (size_t i = 0; i < k->n; i++) {
		const struct key *key = &k->keys[i];

		if (key->algorithm != algorithm || (kid.n > 0 && (key->kid == NULL || !bytes_equal_str(kid, key->kid))))
			continue;
		if (verify(key, signed_octets, signature))
			return JWKS_RIGHT;
		result = JWKS_WRONG;
	}
	return result;
}
