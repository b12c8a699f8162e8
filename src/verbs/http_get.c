/* http_get.c - one request by libcurl, with its answer's size and time bounded. */
#include "http_get.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "alloc.h"

#define BODY_MAX (1024 * 1024)

static size_t take(char *data, size_t size, size_t count, void *arg)
{
	struct buffer *to = arg;
	size_t n = size * count;

	if (to == NULL)
		return n;
	if (n > BODY_MAX - to->n)
		return 0;
	buffer_add(to, bytes_make(data, n));
	return n;
}

long http_get(const char *address, const char *path, long timeout_ms, struct buffer *to)
{
	CURL *curl = curl_easy_init();
	char *url = must_printf("http://%s%s", address, path);
	long status = 0;

	if (curl != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_URL, url);
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
		(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
		(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
		(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, to);
		if (curl_easy_perform(curl) == CURLE_OK)
			(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_cleanup(curl);
	}
	free(url);
	return status;
}
