/* conn_tls.c - TLS between a connection's owner and its wire, by OpenSSL over memory. */
#include <assert.h>
#include <openssl/err.h>

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
