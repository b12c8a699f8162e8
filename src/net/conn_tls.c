/* conn_tls.c - TLS between a connection's owner and its wire, by OpenSSL over memory. */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "conn_private.h"
#include "loop_private.h"
#include "tls_private.h"

static void fail(struct conn *c, const char *doing)
{
	char text[200];
	struct fault why;
	long verified = SSL_get_verify_result(c->ssl);

	if (c->is_handshaking && verified != X509_V_OK)
		(void)fault_set(&why, FAULT_TRANSIENT, "%s: %s: certificate: %s", c->peer, doing,
		                X509_verify_cert_error_string(verified));
	else
		(void)fault_set(&why, FAULT_TRANSIENT, "%s: %s: %s", c->peer, doing, tls_error(text, sizeof(text)));
	ERR_clear_error();
	conn_finish(c, &why);
}

/* Move what OpenSSL wants to send to the wire. */
static void drain(struct conn *c)
{
	char *p;
	long n = BIO_get_mem_data(SSL_get_wbio(c->ssl), &p);

	if (n <= 0)
		return;
	out_add(&c->wire, bytes_make(p, (size_t)n));
	(void)BIO_reset(SSL_get_wbio(c->ssl));
}

static void handshake(struct conn *c)
{
	int rc = SSL_do_handshake(c->ssl);
	int err = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);

	drain(c);
	conn_mark_dirty(c);
	if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
		return;
	if (err != SSL_ERROR_NONE) {
		fail(c, "TLS handshake");
		return;
	}
	c->is_handshaking = false;
	if (c->events->on_ready != NULL)
		c->events->on_ready(c, c->arg);
}

static void decrypt(struct conn *c)
{
	struct buffer *to = c->stage != NULL ? &c->stage->packed : &c->in;

	for (;;) {
		int rc = SSL_read(c->ssl, buffer_reserve(to, 16384), 16384);
		int err;

		if (rc > 0) {
			to->n += (size_t)rc;
			continue;
		}
		err = SSL_get_error(c->ssl, rc);
		if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
			break;
		if (err == SSL_ERROR_ZERO_RETURN)
			break; /* close_notify: the end of the stream follows */
		fail(c, "TLS");
		return;
	}
	if (to->n == 0)
		buffer_fini(to);
	drain(c);
	if (c->wire.n > 0)
		conn_mark_dirty(c);
}

void conn_tls_input(struct conn *c, struct bytes raw)
{
	ERR_clear_error();
	if (BIO_write(SSL_get_rbio(c->ssl), raw.p, (int)raw.n) != (int)raw.n) {
		fail(c, "TLS");
		return;
	}
	if (c->is_handshaking)
		handshake(c);
	if (c->state != CONN_OPEN || c->is_handshaking)
		return;
	decrypt(c);
	if (c->state == CONN_OPEN)
		conn_deliver(c);
}

void conn_tls_output(struct conn *c)
{
	ERR_clear_error();
	if (c->is_handshaking)
		return;
	while (c->plain.n > 0 && c->wire.n < CONN_OUTPUT_HIGH) {
		struct bytes piece = bytes_sub(c->plain.first->left, 0, 16384);
		int rc = SSL_write(c->ssl, piece.p, (int)piece.n);

		if (rc <= 0) {
			fail(c, "TLS");
			return;
		}
		out_drop(&c->plain, (size_t)rc);
		drain(c);
	}
	if (c->state == CONN_FLUSHING && c->plain.n == 0 && (c->stage == NULL || c->stage->clear.n == 0) &&
	    (SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN) == 0) {
		(void)SSL_shutdown(c->ssl);
		drain(c);
	}
}

void conn_tls_start(struct conn *c, struct tls_context *tls, const char *host)
{
	struct fault why;

	assert(c->stage == NULL); /* it lies above */
	/* What came in the clear must not be taken for protected (RFC 3501 section 6.2.1). */
	c->has_view = false;
	buffer_fini(&c->in);
	c->in_at = 0;
	c->ssl = tls_session_new(tls, host, &why);
	if (c->ssl == NULL) {
		conn_finish(c, &why);
		return;
	}
	c->is_handshaking = true;
	conn_update_reading(c);
	handshake(c);
}

void conn_start_tls_server(struct conn *c, struct tls_context *tls)
{
	if (c->state == CONN_OPEN && c->ssl == NULL)
		conn_tls_start(c, tls, NULL);
}

void conn_start_tls_client(struct conn *c, struct tls_context *tls, const char *host)
{
	if (c->state == CONN_OPEN && c->ssl == NULL)
		conn_tls_start(c, tls, host);
}

/* RFC 5929 section 4.1: the hash that the certificate is signed with, and SHA-256 for what is weaker. */
static const EVP_MD *end_point_md(X509 *cert)
{
	int md = NID_undef;

	if (X509_get_signature_info(cert, &md, NULL, NULL, NULL) != 1 || md == NID_undef)
		return NULL;
	return md == NID_md5 || md == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(md);
}

bool conn_binding(const struct conn *c, enum conn_binding kind, struct buffer *to)
{
	uint8_t octets[EVP_MAX_MD_SIZE];
	unsigned n = 32;
	bool ok;

	if (!conn_is_tls(c))
		return false;
	if (kind == CONN_BIND_UNIQUE) {
		/* Of the first Finished: the client's, or in a resumed TLS 1.2 ours. RFC 8446 has none for TLS 1.3, but clients that take
		 * the same there bind themselves no worse. */
		bool is_ours = SSL_version(c->ssl) < TLS1_3_VERSION && SSL_session_reused(c->ssl) == 1;
		size_t length = is_ours ? SSL_get_finished(c->ssl, octets, sizeof(octets)) : SSL_get_peer_finished(c->ssl, octets, sizeof(octets));

		ok = length > 0 && length <= sizeof(octets) && (SSL_version(c->ssl) >= TLS1_3_VERSION || SSL_get_extms_support(c->ssl) == 1);
		if (ok)
			buffer_add(to, bytes_make(octets, length));
		return ok;
	}
	if (kind == CONN_BIND_EXPORTER) {
		static const char label[] = "EXPORTER-Channel-Binding";

		ok = SSL_version(c->ssl) >= TLS1_3_VERSION &&
		     SSL_export_keying_material(c->ssl, octets, n, label, sizeof(label) - 1, NULL, 0, 1) == 1;
	} else {
		X509 *cert = SSL_get_certificate(c->ssl);
		const EVP_MD *md = cert == NULL ? NULL : end_point_md(cert);

		ok = md != NULL && X509_digest(cert, md, octets, &n) == 1;
	}
	ERR_clear_error();
	if (ok)
		buffer_add(to, bytes_make(octets, n));
	return ok;
}

/* Append TEXT as UTF-8, if it is a name at all: with no controls in it, NUL above all. */
static bool add_name(const ASN1_STRING *text, struct buffer *to)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, text);
	bool ok = n > 0;

	for (int i = 0; i < n; i++)
		ok = ok && utf8[i] >= ' ' && utf8[i] != 0x7f;
	if (ok)
		buffer_add(to, bytes_make(utf8, (size_t)n));
	OPENSSL_free(utf8);
	return ok;
}

static bool add_common_name(X509 *cert, struct buffer *to)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0 &&
	       add_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), to);
}

static bool add_email(X509 *cert, struct buffer *to)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const ASN1_STRING *email = NULL;
	int found = 0;
	bool ok;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_EMAIL) {
			email = name->d.rfc822Name;
			found++;
		}
	}
	ok = found == 1 && add_name(email, to);
	GENERAL_NAMES_free(names);
	return ok;
}

bool conn_peer_name(const struct conn *c, enum conn_name kind, struct buffer *to)
{
	X509 *cert = conn_is_tls(c) ? SSL_get0_peer_certificate(c->ssl) : NULL;
	bool ok;

	/* The result is also "right" where none was shown. */
	if (cert == NULL || (SSL_get_verify_mode(c->ssl) & SSL_VERIFY_PEER) == 0 || SSL_get_verify_result(c->ssl) != X509_V_OK)
		return false;
	ok = kind == CONN_NAME_CN ? add_common_name(cert, to) : add_email(cert, to);
	ERR_clear_error();
	return ok;
}
