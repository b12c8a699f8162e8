/* etcd_call.c - one HTTP exchange: endpoints, login, errors. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"
#include "etcd_private.h"
#include "json.h"

static char *copy_or_null(const char *s)
{
	return s == NULL ? NULL : must_strdup(s);
}

/* Split the words of OPTIONS into e->endpoints. */
static bool take_endpoints(struct etcd *e, struct bytes words, struct fault *why)
{
	words = bytes_trim(words);
	while (words.n > 0) {
		size_t n = 0;
		struct bytes url;

		while (n < words.n && words.p[n] != ' ' && words.p[n] != '\t')
			n++;
		url = bytes_sub(words, 0, n);
		words = bytes_trim(bytes_from(words, n));
		if (!bytes_starts(url, BYTES_LIT("http://")) && !bytes_starts(url, BYTES_LIT("https://")))
			return fault_set(why, FAULT_OPERATOR, "\"%.*s\" is no URL of an etcd: it begins with http:// or https://",
			                 BYTES_FMT(url));
		if (e->endpoint_count == ETCD_ENDPOINTS_MAX)
			return fault_set(why, FAULT_OPERATOR, "more than %d endpoints", ETCD_ENDPOINTS_MAX);
		while (url.n > 0 && url.p[url.n - 1] == '/')
			url.n--;
		e->endpoints[e->endpoint_count++] = bytes_to_str(url);
	}
	if (e->endpoint_count == 0)
		return fault_set(why, FAULT_OPERATOR, "no endpoint is named");
	return true;
}

struct etcd *etcd_open(const struct etcd_options *o, struct fault *why)
{
	struct etcd *e = must_calloc(1, sizeof(*e));

	e->ca_file = copy_or_null(o->ca_file);
	e->cert_file = copy_or_null(o->cert_file);
	e->key_file = copy_or_null(o->key_file);
	e->user = copy_or_null(o->user);
	e->password = copy_or_null(o->password);
	e->timeout_ms = (long)o->timeout_ms;
	e->curl = curl_easy_init();
	if (e->curl == NULL)
		(void)fault_set(why, FAULT_OPERATOR, "libcurl cannot be used");
	if (e->curl == NULL || !take_endpoints(e, o->endpoints, why))
		etcd_close(&e);
	return e;
}

void etcd_close(struct etcd **ep)
{
	struct etcd *e = *ep;

	if (e == NULL)
		return;
	*ep = NULL;
	if (e->curl != NULL)
		curl_easy_cleanup(e->curl);
	for (size_t i = 0; i < e->endpoint_count; i++)
		free(e->endpoints[i]);
	free(e->ca_file);
	free(e->cert_file);
	free(e->key_file);
	free(e->user);
	free(e->password);
	free(e->token);
	buffer_fini(&e->answer);
	free(e);
}

const char *etcd_endpoint(const struct etcd *e)
{
	return e->endpoints[e->at];
}

void etcd_switch(struct etcd *e)
{
	e->at = (e->at + 1) % e->endpoint_count;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct etcd *e = arg;

	if (e->answer.n + size * n > ETCD_ANSWER_MAX)
		return 0;
	buffer_add(&e->answer, bytes_make(p, size * n));
	return size * n;
}

struct curl_slist *etcd_prepare(struct etcd *e, const char *path, struct bytes body)
{
	CURL *c = e->curl;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char *url = must_printf("%s%s", e->endpoints[e->at], path);

	/* A body over 1 kB would otherwise wait for "100 Continue". */
	headers = curl_slist_append(headers, "Expect:");
	if (e->token != NULL) {
		char *line = must_printf("Authorization: %s", e->token);

		headers = curl_slist_append(headers, line);
		free(line);
	}
	curl_easy_reset(c); /* keeps connections */
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.p);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, e->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, e->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, e->error);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, e);
	if (e->ca_file != NULL)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, e->ca_file);
	if (e->cert_file != NULL)
		(void)curl_easy_setopt(c, CURLOPT_SSLCERT, e->cert_file);
	if (e->key_file != NULL)
		(void)curl_easy_setopt(c, CURLOPT_SSLKEY, e->key_file);
	free(url);
	e->error[0] = '\0';
	buffer_clear(&e->answer);
	return headers;
}

int64_t etcd_int(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_integer(v))
		return json_integer_value(v);
	return json_is_string(v) ? strtoll(json_string_value(v), NULL, 10) : 0;
}

bool etcd_octets(const json_t *object, const char *key, struct buffer *to)
{
	const json_t *v = json_object_get(object, key);

	/* An empty string is left out. */
	if (v == NULL)
		return true;
	return json_is_string(v) && base64_decode(to, bytes_make(json_string_value(v), json_string_length(v)));
}

void etcd_add_octets(struct buffer *to, const char *key, struct bytes value)
{
	json_key(to, key);
	buffer_add_u8(to, '"');
	base64_encode(to, value);
	buffer_add_u8(to, '"');
}

void etcd_add_int(struct buffer *to, const char *key, int64_t value)
{
	json_key(to, key);
	buffer_addf(to, "\"%" PRId64 "\"", value);
}

/* gRPC's status codes, as the gateway passes them on. */
enum { GRPC_UNKNOWN = 2, GRPC_NOT_FOUND = 5, GRPC_OUT_OF_RANGE = 11, GRPC_UNAVAILABLE = 14, GRPC_UNAUTHENTICATED = 16 };

enum etcd_result etcd_error(struct etcd *e, long status, const json_t *answer, struct fault *why)
{
	const char *text = json_string_value(json_object_get(answer, "message"));
	int64_t code = etcd_int(answer, "code");

	if (text == NULL)
		text = json_string_value(json_object_get(answer, "error"));
	if (text == NULL)
		text = "no explanation";
	(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: %s (HTTP %ld)", etcd_endpoint(e), text, status);
	if (code == GRPC_NOT_FOUND || code == GRPC_OUT_OF_RANGE)
		return ETCD_GONE;
	if (code == GRPC_UNAUTHENTICATED) {
		free(e->token);
		e->token = NULL;
	}
	/* No leader, a leader that changes, a time-out inside: another may do better, and what was asked may yet be done. */
	if (code == GRPC_UNAVAILABLE || code == GRPC_UNKNOWN || (code == 0 && status >= 500))
		return ETCD_UNKNOWN;
	return ETCD_REFUSED;
}

static size_t read_body(char *to, size_t size, size_t n, void *arg)
{
	struct bytes *left = arg, piece = bytes_sub(*left, 0, size * n);

	if (piece.n > 0)
		memcpy(to, piece.p, piece.n);
	*left = bytes_from(*left, piece.n);
	return piece.n;
}

/* One exchange with the present endpoint. *SENT_R: the request may have arrived. */
static enum etcd_result exchange(struct etcd *e, const char *path, struct bytes body, bool is_write, json_t **answer_r,
                                 bool *sent_r, struct fault *why)
{
	struct curl_slist *headers = etcd_prepare(e, path, body);
	CURLcode rc;
	enum etcd_result result = ETCD_OK;
	json_error_t bad;
	long status = 0;

	if (is_write) {
		/* When a connection that was kept dies without an answer, libcurl sends a body that it has once more, and nobody hears
		 * that it did: what is made twice then looks like another's. One that it reads piece by piece it cannot. */
		(void)curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, NULL);
		(void)curl_easy_setopt(e->curl, CURLOPT_READFUNCTION, read_body);
		(void)curl_easy_setopt(e->curl, CURLOPT_READDATA, &body);
	}
	rc = curl_easy_perform(e->curl);
	curl_slist_free_all(headers);
	*answer_r = NULL;
	*sent_r = rc != CURLE_COULDNT_CONNECT && rc != CURLE_COULDNT_RESOLVE_HOST && rc != CURLE_SSL_CONNECT_ERROR &&
	          rc != CURLE_PEER_FAILED_VERIFICATION && rc != CURLE_SSL_CERTPROBLEM && rc != CURLE_SSL_CACERT_BADFILE;
	if (rc != CURLE_OK) {
		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: %s", etcd_endpoint(e),
		                e->error[0] != '\0' ? e->error : curl_easy_strerror(rc));
		return ETCD_UNKNOWN;
	}
	(void)curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &status);
	*answer_r = json_loadb((const char *)e->answer.p, e->answer.n, 0, &bad);
	if (*answer_r == NULL) {
		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: HTTP %ld with an answer that is not JSON", etcd_endpoint(e),
		                status);
		return ETCD_UNKNOWN;
	}
	if (status != 200) {
		result = etcd_error(e, status, *answer_r, why);
		json_decref(*answer_r);
		*answer_r = NULL;
	}
	return result;
}

enum etcd_result etcd_login(struct etcd *e, struct fault *why)
{
	struct buffer body = { 0 };
	json_t *answer;
	bool sent;
	enum etcd_result result;

	if (e->user == NULL || e->token != NULL)
		return ETCD_OK;
	buffer_add_u8(&body, '{');
	json_key_string(&body, "name", bytes_of(e->user));
	json_key_string(&body, "password", bytes_of(e->password == NULL ? "" : e->password));
	buffer_add_u8(&body, '}');
	result = exchange(e, "/v3/auth/authenticate", buffer_bytes(&body), false, &answer, &sent, why);
	buffer_fini(&body);
	if (result != ETCD_OK)
		return result;
	e->token = copy_or_null(json_string_value(json_object_get(answer, "token")));
	json_decref(answer);
	if (e->token != NULL)
		return ETCD_OK;
	(void)fault_set(why, FAULT_OPERATOR, "etcd at %s gave no token", etcd_endpoint(e));
	return ETCD_REFUSED;
}

enum etcd_result etcd_call(struct etcd *e, const char *path, struct bytes body, bool is_write, json_t **answer_r,
                           struct fault *why)
{
	enum etcd_result result = ETCD_UNKNOWN;

	*answer_r = NULL;
	for (size_t i = 0; i < e->endpoint_count; i++) {
		bool sent = false;

		result = etcd_login(e, why);
		if (result == ETCD_OK) {
			bool had_token = e->token != NULL;

			result = exchange(e, path, body, is_write, answer_r, &sent, why);
			if (result == ETCD_REFUSED && had_token && e->token == NULL) {
				/* The token has run out, nothing was done: once more with a new one. */
				result = etcd_login(e, why);
				if (result == ETCD_OK)
					result = exchange(e, path, body, is_write, answer_r, &sent, why);
			}
		}
		if (result != ETCD_UNKNOWN)
			return result;
		etcd_switch(e);
		if (is_write && sent)
			return result;
	}
	return result;
}
