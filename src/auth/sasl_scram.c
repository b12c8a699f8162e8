/* sasl_scram.c - the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), with channel bindings tls-exporter
 * (RFC 9266), tls-server-end-point and tls-unique (RFC 5929).
 *
 * client-first, server-first, client-final, server-final. Who is not there gets a salt like everybody (users_lookup_or_fake()), and fails
 * where a wrong password does. A client that could have bound itself to the connection and believes that we could not ("y") was told
 * so by somebody in between, and is refused (RFC 5802 section 6). */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "alloc.h"
#include "base64.h"
#include "sasl_private.h"

#define NONCE_SIZE 18
#define CLIENT_NONCE_MAX 1024

struct scram {
	struct users_key key;
	bool is_known;
	struct buffer bound;   /* what the client's "c=" has to encode: its GS2 header and the channel binding */
	struct buffer nonce;   /* the client's and ours */
	struct buffer message; /* AuthMessage, as far as it has come */
};

void sasl_scram_free(struct scram **xp)
{
	struct scram *x = *xp;

	if (x == NULL)
		return;
	*xp = NULL;
	explicit_bzero(&x->key, sizeof(x->key));
	buffer_fini(&x->bound);
	buffer_fini(&x->nonce);
	buffer_fini(&x->message);
	free(x);
}

static enum sasl_result fail(struct fault *why, const char *text)
{
	(void)fault_set(why, FAULT_CLIENT, "%s", text);
	return SASL_FAIL;
}

static struct bytes take_until(struct bytes *rest, uint8_t end)
{
	size_t n = bytes_find(*rest, end);
	struct bytes field = bytes_sub(*rest, 0, n);

	*rest = bytes_from(*rest, n + 1);
	return field;
}

/* saslname: "=2C" is a comma, "=3D" an equals sign, no other "=" may be there. False: it is none. */
static bool take_name(struct bytes text, struct buffer *to)
{
	for (size_t i = 0; i < text.n; i++) {
		struct bytes code = bytes_sub(text, i, 3);

		if (text.p[i] != '=') {
			buffer_add_u8(to, text.p[i]);
		} else if (bytes_equal_str(code, "=2C") || bytes_equal_str(code, "=3D")) {
			buffer_add_u8(to, code.p[2] == 'C' ? ',' : '=');
			i += 2;
		} else {
			return false;
		}
	}
	return sasl_name_is_fine(buffer_bytes(to));
}

/* The GS2 header's first field: whether and how the exchange is bound. NULL, or what is wrong with it. */
static const char *take_binding(const struct sasl_server *s, struct bytes flag, struct bytes *binding_r)
{
	*binding_r = BYTES_NONE;
	if (bytes_equal_str(flag, "n"))
		return s->mechanism->is_plus ? "channel binding: none with -PLUS" : NULL;
	if (bytes_equal_str(flag, "y"))
		return s->mechanism->is_plus || s->o.offers_plus ? "channel binding: the client was told that there is none" : NULL;
	if (!s->mechanism->is_plus || !bytes_starts(flag, BYTES_LIT("p=")))
		return "channel binding: not one of this mechanism";
	if (bytes_equal_str(flag, "p=tls-exporter"))
		*binding_r = s->o.bindings.exporter;
	else if (bytes_equal_str(flag, "p=tls-server-end-point"))
		*binding_r = s->o.bindings.end_point;
	else if (bytes_equal_str(flag, "p=tls-unique"))
		*binding_r = s->o.bindings.unique;
	return binding_r->n == 0 ? "channel binding: of a type that is not to be had" : NULL;
}

static bool is_printable(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] < 0x21 || b.p[i] > 0x7e || b.p[i] == ',')
			return false;
	}
	return b.n > 0;
}

/* client-first-message; answers server-first-message. */
static enum sasl_result first(struct sasl_server *s, struct bytes in, struct buffer *out, struct fault *why)
{
	struct bytes rest = in, binding, flag = take_until(&rest, ','), authzid = take_until(&rest, ','), bare = rest;
	struct bytes user = take_until(&rest, ','), client_nonce = take_until(&rest, ',');
	struct buffer name = { 0 }, as = { 0 };
	const char *wrong = take_binding(s, flag, &binding);
	uint8_t ours[NONCE_SIZE];
	struct scram *x;
	bool ok;

	if (wrong != NULL)
		return fail(why, wrong);
	ok = bytes_starts(user, BYTES_LIT("n=")) && take_name(bytes_from(user, 2), &name) && bytes_starts(client_nonce, BYTES_LIT("r=")) &&
	     client_nonce.n <= CLIENT_NONCE_MAX && is_printable(bytes_from(client_nonce, 2)) &&
	     (authzid.n == 0 || (bytes_starts(authzid, BYTES_LIT("a=")) && take_name(bytes_from(authzid, 2), &as)));
	if (ok)
		sasl_set_names(s, buffer_bytes(&name), buffer_bytes(&as));
	buffer_fini(&name);
	buffer_fini(&as);
	if (!ok)
		return fail(why, "a malformed response");
	if (getrandom(ours, sizeof(ours), 0) != sizeof(ours))
		abort();
	x = s->scram = must_calloc(1, sizeof(*x));
	x->is_known = users_lookup_or_fake(s->o.users, bytes_of(s->authcid), &x->key);
	buffer_add(&x->bound, bytes_sub(in, 0, in.n - bare.n));
	buffer_add(&x->bound, binding);
	buffer_add(&x->nonce, bytes_from(client_nonce, 2));
	base64_encode(&x->nonce, bytes_make(ours, sizeof(ours)));
	buffer_add_str(out, "r=");
	buffer_add(out, buffer_bytes(&x->nonce));
	buffer_add_str(out, ",s=");
	base64_encode(out, bytes_make(x->key.salt, x->key.salt_size));
	buffer_addf(out, ",i=%u", x->key.iterations);
	buffer_add(&x->message, bare);
	buffer_add_u8(&x->message, ',');
	buffer_add(&x->message, buffer_bytes(out));
	buffer_add_u8(&x->message, ',');
	return SASL_MORE;
}

/* Whether "c=" encodes what the client began with. */
static bool is_bound(const struct scram *x, struct bytes field)
{
	struct buffer raw = { 0 };
	bool ok = bytes_starts(field, BYTES_LIT("c=")) && base64_decode(&raw, bytes_from(field, 2)) && raw.n == x->bound.n &&
	          CRYPTO_memcmp(raw.p, x->bound.p, raw.n) == 0;

	buffer_fini(&raw);
	return ok;
}

static void sign(const uint8_t key[USERS_KEY_SIZE], struct bytes message, uint8_t to[USERS_KEY_SIZE])
{
	unsigned n = USERS_KEY_SIZE;

	if (HMAC(EVP_sha256(), key, USERS_KEY_SIZE, message.p, message.n, to, &n) == NULL)
		abort();
}

/* Whether PROOF ("p=" and base64) is of who knows the password. RFC 5802 section 3. */
static bool is_proven(const struct scram *x, struct bytes proof)
{
	uint8_t key[USERS_KEY_SIZE], stored[USERS_KEY_SIZE];
	struct buffer raw = { 0 };
	unsigned n = USERS_KEY_SIZE;
	bool ok = bytes_starts(proof, BYTES_LIT("p=")) && base64_decode(&raw, bytes_from(proof, 2)) && raw.n == USERS_KEY_SIZE;

	if (ok) {
		sign(x->key.stored, buffer_bytes(&x->message), key);
		for (size_t i = 0; i < USERS_KEY_SIZE; i++)
			key[i] ^= raw.p[i];
		ok = EVP_Digest(key, USERS_KEY_SIZE, stored, &n, EVP_sha256(), NULL) == 1 &&
		     CRYPTO_memcmp(stored, x->key.stored, USERS_KEY_SIZE) == 0 && x->is_known;
		explicit_bzero(key, sizeof(key));
	}
	buffer_fini(&raw);
	return ok;
}

/* client-final-message; answers server-final-message. */
static enum sasl_result final(struct sasl_server *s, struct bytes in, struct buffer *out, struct fault *why)
{
	struct scram *x = s->scram;
	size_t proof_at = bytes_rfind(in, ',');
	struct bytes rest = in, binding = take_until(&rest, ','), nonce = take_until(&rest, ',');
	uint8_t signature[USERS_KEY_SIZE];

	if (proof_at == in.n || !bytes_starts(nonce, BYTES_LIT("r=")) || !bytes_equal(bytes_from(nonce, 2), buffer_bytes(&x->nonce)))
		return fail(why, "a malformed response");
	if (!is_bound(x, binding))
		return fail(why, "channel binding: not that of this connection");
	buffer_add(&x->message, bytes_sub(in, 0, proof_at));
	if (!is_proven(x, bytes_from(in, proof_at + 1)))
		return fail(why, "wrong name or password");
	sign(x->key.server, buffer_bytes(&x->message), signature);
	buffer_add_str(out, "v=");
	base64_encode(out, bytes_make(signature, sizeof(signature)));
	return SASL_OK;
}

enum sasl_result sasl_scram_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                 struct fault *why)
{
	if (!has_response)
		return SASL_MORE;
	return s->step++ == 0 ? first(s, response, out, why) : s->step == 2 ? final(s, response, out, why) : fail(why, "too many responses");
}
