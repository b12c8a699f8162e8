/* etcd_watch.c - the stream of changes: one long answer, a JSON object a line. */
#include <string.h>

#include "etcd_private.h"

struct stream {
	struct etcd *e;
	const struct etcd_watch *w;
	struct buffer line;
	enum etcd_result result; /* ETCD_OK while it goes on */
	bool is_stopped;
	struct fault *why;
};

static bool give_event(const struct etcd_watch *w, const json_t *event)
{
	const json_t *kv = json_object_get(event, "kv");
	const char *type = json_string_value(json_object_get(event, "type"));
	struct buffer key = { 0 }, value = { 0 };
	bool ok = etcd_octets(kv, "key", &key) && etcd_octets(kv, "value", &value);

	if (ok) {
		struct bytes v = buffer_bytes(&value);
		bool is_delete = type != NULL && strcmp(type, "DELETE") == 0;

		w->on_event(w->arg, buffer_bytes(&key), is_delete ? NULL : &v);
	}
	buffer_fini(&key);
	buffer_fini(&value);
	return ok;
}

static enum etcd_result take_answer(struct etcd *e, const struct etcd_watch *w, const json_t *answer, struct fault *why)
{
	const json_t *result = json_object_get(answer, "result"), *event;
	const json_t *events = json_object_get(result, "events");
	int64_t revision = 0;
	size_t i;

	if (result == NULL)
		return etcd_error(e, 200, json_object_get(answer, "error"), why);
	if (json_is_true(json_object_get(result, "canceled"))) {
		const char *reason = json_string_value(json_object_get(result, "cancel_reason"));

		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s ended the watch: %s", etcd_endpoint(e),
		                reason != NULL ? reason : "no reason given");
		return etcd_int(result, "compact_revision") > 0 ? ETCD_GONE : ETCD_REFUSED;
	}
	json_array_foreach (events, i, event) {
		if (!give_event(w, event)) {
			(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: an event that is not as documented", etcd_endpoint(e));
			return ETCD_UNKNOWN;
		}
		/* The header's revision may be ahead of what has been sent. */
		revision = etcd_int(json_object_get(event, "kv"), "mod_revision");
	}
	if (revision > 0)
		w->on_events_end(w->arg, revision);
	return ETCD_OK;
}

enum etcd_result etcd_take_line(struct etcd *e, const struct etcd_watch *w, struct bytes line, struct fault *why)
{
	json_error_t bad;
	json_t *answer = json_loadb((const char *)line.p, line.n, 0, &bad);
	enum etcd_result result;

	if (answer == NULL) {
		(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: a line that is not JSON", etcd_endpoint(e));
		return ETCD_UNKNOWN;
	}
	result = take_answer(e, w, answer, why);
	json_decref(answer);
	return result;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct stream *s = arg;
	size_t at;

	if (s->line.n + size * n > ETCD_ANSWER_MAX) {
		(void)fault_set(s->why, FAULT_TRANSIENT, "etcd at %s: an event too large", etcd_endpoint(s->e));
		s->result = ETCD_UNKNOWN;
		return 0;
	}
	buffer_add(&s->line, bytes_make(p, size * n));
	while (s->result == ETCD_OK && (at = bytes_find(buffer_bytes(&s->line), '\n')) < s->line.n) {
		s->result = etcd_take_line(s->e, s->w, bytes_sub(buffer_bytes(&s->line), 0, at), s->why);
		buffer_drop_front(&s->line, at + 1);
	}
	return s->result == ETCD_OK ? size * n : 0;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct stream *s = arg;

	s->is_stopped = s->is_stopped || !s->w->go_on(s->w->arg);
	return s->is_stopped ? 1 : 0;
}

enum etcd_result etcd_watch(struct etcd *e, const struct etcd_watch *w, struct fault *why)
{
	struct stream s = { .e = e, .w = w, .result = etcd_login(e, why), .why = why };
	struct buffer body = { 0 };
	struct curl_slist *headers;
	CURLcode rc;

	if (s.result != ETCD_OK)
		return s.result;
	buffer_add_str(&body, "{\"createRequest\":{");
	etcd_add_octets(&body, "key", w->from);
	etcd_add_octets(&body, "rangeEnd", w->to);
	etcd_add_int(&body, "startRevision", w->start);
	buffer_add_str(&body, "}}");
	headers = etcd_prepare(e, "/v3/watch", buffer_bytes(&body));
	(void)curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, 0L);
	(void)curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &s);
	(void)curl_easy_setopt(e->curl, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(e->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(e->curl, CURLOPT_XFERINFODATA, &s);
	rc = curl_easy_perform(e->curl);
	curl_slist_free_all(headers);
	buffer_fini(&body);
	buffer_fini(&s.line);
	if (s.result != ETCD_OK || s.is_stopped)
		return s.result;
	(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: %s", etcd_endpoint(e),
	                rc == CURLE_OK               ? "the stream ended" :
	                e->error[0] != '\0'          ? e->error :
	                                               curl_easy_strerror(rc));
	return ETCD_UNKNOWN;
}
