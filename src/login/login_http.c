/* login_http.c - libcurl's easy interface; each worker keeps its handle, and so its connections. */
#include "login_http.h"

#include <curl/curl.h>


struct transfer {
	struct worker *on;
	struct buffer *to;
	size_t start, max;
	bool is_over;
};

bool login_http_may(const char *url)
{
	static const char *const here[] = { "http://127.0.0.1:", "http://127.0.0.1/", "http://[::1]:", "http://[::1]/", "http://localhost:",
		                            "http://localhost/" };

	if (bytes_starts_nocase(bytes_of(url), BYTES_LIT("https://")))
		return true;
	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
		if (bytes_starts_nocase(bytes_of(url), bytes_of(here[i])))
			return true;
	}
	return false;
}

void login_http_encode(struct buffer *to, struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (ascii_is_alnum(text.p[i]) || text.p[i] == '-' || text.p[i] == '.' || text.p[i] == '_' || text.p[i] == '~')
			buffer_add_u8(to, text.p[i]);
		else
			buffer_addf(to, "%%%02X", text.p[i]);
	}
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (size * n > t->max - (t->to->n - t->start)) {
		t->is_over = true;
		return 0;
	}
	buffer_add(t->to, bytes_make(p, size * n));
	return size * n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct transfer *t = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return worker_is_stopping(t->on);
}

static void free_curl(void *curl)
{
	curl_easy_cleanup(curl);
}

static void prepare(CURL *c, const struct http_request *r, struct transfer *t, char error[CURL_ERROR_SIZE])
{
	(void)curl_easy_setopt(c, CURLOPT_URL, r->url);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)r->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	if (r->form.p != NULL) {
		(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->form.n);
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->form.p);
	}
	if (r->user != NULL) {
		(void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		(void)curl_easy_setopt(c, CURLOPT_USERNAME, r->user);
		(void)curl_easy_setopt(c, CURLOPT_PASSWORD, r->password == NULL ? "" : r->password);
	}
	if (r->ca_file != NULL)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, r->ca_file);
}

/* "https://host:port", without the path, which may hold what is nobody's business. */
static struct bytes site_of(const char *url)
{
	struct bytes all = bytes_of(url);
	size_t begin = bytes_search(all, BYTES_LIT("://")) + 3;

	return bytes_sub(all, 0, begin + bytes_find(bytes_from(all, begin), '/'));
}

bool login_http(const struct http_request *r, struct worker *on, struct buffer *to, struct fault *why)
{
	void **own = worker_own(on, free_curl);
	struct transfer t = { .on = on, .to = to, .start = to->n, .max = r->max };
	struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
	char error[CURL_ERROR_SIZE] = { 0 };
	long status = 0;
	CURLcode rc;

	if (*own == NULL)
		*own = curl_easy_init();
	if (*own == NULL) {
		curl_slist_free_all(headers);
		return fault_set(why, FAULT_OPERATOR, "libcurl cannot be used");
	}
	headers = curl_slist_append(headers, "Expect:");
	prepare(*own, r, &t, error);
	(void)curl_easy_setopt(*own, CURLOPT_HTTPHEADER, headers);
	rc = curl_easy_perform(*own);
	(void)curl_easy_getinfo(*own, CURLINFO_RESPONSE_CODE, &status);
	/* Keeps connections, and nothing that points here or is a secret: closing them later may write a message of errors. */
	curl_easy_reset(*own);
	curl_slist_free_all(headers);
	if (t.is_over)
		return fault_set(why, FAULT_TRANSIENT, "%.*s: an answer of more than %zu octets", BYTES_FMT(site_of(r->url)), r->max);
	if (rc != CURLE_OK)
		return fault_set(why, FAULT_TRANSIENT, "%.*s: %s", BYTES_FMT(site_of(r->url)),
		                 error[0] != '\0' ? error : curl_easy_strerror(rc));
	if (status != 200)
		return fault_set(why, FAULT_TRANSIENT, "%.*s: HTTP %ld", BYTES_FMT(site_of(r->url)), status);
	return true;
}
