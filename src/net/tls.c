/* tls.c - a context is made anew from its files when they are read again; connections keep the one they began with. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>

#include "alloc.h"
#include "tls_private.h"

struct tls_context {
	bool is_server;
	char *cert, *key, *ca_file; /* a server's ca_file is its clients' */
	pthread_mutex_t lock; /* guards ctx */
	SSL_CTX *ctx;
};

const char *tls_error(char *text, size_t size)
{
	unsigned long err = ERR_get_error();

	if (err == 0)
		(void)snprintf(text, size, "no reason given");
	else if (ERR_reason_error_string(err) != NULL)
		(void)snprintf(text, size, "%s", ERR_reason_error_string(err));
	else
		ERR_error_string_n(err, text, size);
	ERR_clear_error();
	return text;
}

static SSL_CTX *refuse(SSL_CTX *ctx, struct fault *why, const char *file, const char *what)
{
	char text[200];

	(void)fault_set(why, FAULT_OPERATOR, "%s: %s: %s", file, what, tls_error(text, sizeof(text)));
	SSL_CTX_free(ctx);
	return NULL;
}

/* Clients are asked for certificates. What is wrong with one is kept with the session and looked at by whoever wants to rely on it. */
static int note_verified(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

/* Authorities and, where the file has any, lists of revoked certificates: then those are asked about each certificate. */
static bool ask_clients(SSL_CTX *ctx, const char *ca_file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	STACK_OF(X509_OBJECT) *objects;

	if (SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1)
		return false;
	objects = X509_STORE_get0_objects(store);
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		if (X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL)
			(void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	}
	SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(ca_file));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, note_verified);
	return SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"roost", 5) == 1;
}

static SSL_CTX *make(const struct tls_context *t, struct fault *why)
{
	SSL_CTX *ctx = SSL_CTX_new(t->is_server ? TLS_server_method() : TLS_client_method());

	if (ctx == NULL)
		return refuse(NULL, why, "TLS", "cannot start");
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                    SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (t->is_server) {
		if (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
			return refuse(ctx, why, t->cert, "cannot use as certificate chain");
		if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
			return refuse(ctx, why, t->key, "cannot use as private key");
		if (SSL_CTX_check_private_key(ctx) != 1)
			return refuse(ctx, why, t->key, "does not belong to the certificate");
		if (t->ca_file != NULL && !ask_clients(ctx, t->ca_file))
			return refuse(ctx, why, t->ca_file, "cannot use as authorities of clients");
		return ctx;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (t->ca_file == NULL ? SSL_CTX_set_default_verify_paths(ctx) != 1 :
	                         SSL_CTX_load_verify_locations(ctx, t->ca_file, NULL) != 1)
		return refuse(ctx, why, t->ca_file == NULL ? "TLS" : t->ca_file, "cannot use as authorities");
	return ctx;
}

static struct tls_context *open_context(struct tls_context *t, struct fault *why)
{
	(void)pthread_mutex_init(&t->lock, NULL);
	t->ctx = make(t, why);
	if (t->ctx == NULL)
		tls_free(&t);
	return t;
}

struct tls_context *tls_server_new(const char *cert, const char *key, const char *login_ca, struct fault *why)
{
	struct tls_context *t = must_calloc(1, sizeof(*t));

	t->is_server = true;
	t->cert = must_strdup(cert);
	t->key = must_strdup(key);
	t->ca_file = login_ca == NULL ? NULL : must_strdup(login_ca);
	return open_context(t, why);
}

struct tls_context *tls_client_new(const char *ca_file, struct fault *why)
{
	struct tls_context *t = must_calloc(1, sizeof(*t));

	t->ca_file = ca_file == NULL ? NULL : must_strdup(ca_file);
	return open_context(t, why);
}

bool tls_reload(struct tls_context *t, struct fault *why)
{
	SSL_CTX *ctx = make(t, why);
	SSL_CTX *old;

	if (ctx == NULL)
		return false;
	(void)pthread_mutex_lock(&t->lock);
	old = t->ctx;
	t->ctx = ctx;
	(void)pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return true;
}

void tls_free(struct tls_context **tp)
{
	struct tls_context *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	SSL_CTX_free(t->ctx);
	(void)pthread_mutex_destroy(&t->lock);
	free(t->cert);
	free(t->key);
	free(t->ca_file);
	free(t);
}

/* RFC 6125: an address is checked as an address, anything else as a name. */
static bool set_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	ERR_clear_error();
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

SSL *tls_session_new(struct tls_context *t, const char *host, struct fault *why)
{
	SSL *ssl;
	BIO *in, *out;
	char text[200];

	(void)pthread_mutex_lock(&t->lock);
	ssl = SSL_new(t->ctx);
	(void)pthread_mutex_unlock(&t->lock);
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	if (ssl == NULL || in == NULL || out == NULL || (host != NULL && !set_host(ssl, host))) {
		(void)fault_set(why, FAULT_TRANSIENT, "TLS session: %s", tls_error(text, sizeof(text)));
		SSL_free(ssl);
		(void)BIO_free(in);
		(void)BIO_free(out);
		return NULL;
	}
	(void)BIO_set_mem_eof_return(in, -1);
	(void)BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(ssl, in, out);
	if (t->is_server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}
