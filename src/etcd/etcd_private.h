/* etcd_private.h - private to etcd/. */
#ifndef ROOST_ETCD_PRIVATE_H
#define ROOST_ETCD_PRIVATE_H

#include <curl/curl.h>
#include <jansson.h>

#include "etcd.h"

#define ETCD_ENDPOINTS_MAX 16
/* Longest answer, or line of a watch. */
#define ETCD_ANSWER_MAX (256u << 20)

struct etcd {
	CURL *curl;
	char *endpoints[ETCD_ENDPOINTS_MAX];
	size_t endpoint_count, at; /* AT is in use */
	char *ca_file, *cert_file, *key_file, *user, *password;
	long timeout_ms;
	char *token; /* of the present login; NULL: none */
	struct buffer answer;
	char error[CURL_ERROR_SIZE];
};

/* POST BODY to PATH ("/v3/kv/txn") and parse the answer; the caller json_decref()s *ANSWER_R. Endpoints are tried in
 * turn, each once: after the first that may have got a write (IS_WRITE), no other. */
enum etcd_result etcd_call(struct etcd *e, const char *path, struct bytes body, bool is_write, json_t **answer_r,
                           struct fault *why);
/* Set up e->curl for a POST of BODY to PATH at the present endpoint; the caller frees the list after the transfer. */
struct curl_slist *etcd_prepare(struct etcd *e, const char *path, struct bytes body);
/* Have a token where there is a user. */
enum etcd_result etcd_login(struct etcd *e, struct fault *why);
/* What an answer that is an error says: GONE, REFUSED, or UNKNOWN where another endpoint may do better. */
enum etcd_result etcd_error(struct etcd *e, long status, const json_t *answer, struct fault *why);

/* What the answers to a transaction and to a range say, and a line of a watch; for their results see etcd.h. */
enum etcd_result etcd_take_txn(struct etcd *e, const json_t *answer, int64_t *revision_r, etcd_pair_fn *fn, void *arg,
                               struct fault *why);
enum etcd_result etcd_take_range(struct etcd *e, const json_t *answer, int64_t *revision, etcd_pair_fn *fn, void *arg,
                                 bool *more_r, struct fault *why);
enum etcd_result etcd_take_line(struct etcd *e, const struct etcd_watch *w, struct bytes line, struct fault *why);

/* A member of an object: etcd writes 64-bit numbers as strings and leaves out what is zero. */
int64_t etcd_int(const json_t *object, const char *key);
/* Append what the base64 string KEY of OBJECT encodes; false: it is no base64. */
bool etcd_octets(const json_t *object, const char *key, struct buffer *to);
/* Append ,"KEY":"BASE64". */
void etcd_add_octets(struct buffer *to, const char *key, struct bytes value);
/* Append ,"KEY":"N". */
void etcd_add_int(struct buffer *to, const char *key, int64_t value);

#endif
