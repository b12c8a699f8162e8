/* etcd_kv.c - transactions and ranges. */
#include "etcd_private.h"
#include "json.h"

void etcd_txn_fini(struct etcd_txn *t)
{
	buffer_fini(&t->compares);
	buffer_fini(&t->writes);
	buffer_fini(&t->reads);
	t->compare_count = t->write_count = 0;
}

static void begin_compare(struct etcd_txn *t, struct bytes key)
{
	t->compare_count++;
	json_sep(&t->reads);
	buffer_add_str(&t->reads, "{\"requestRange\":{");
	etcd_add_octets(&t->reads, "key", key);
	buffer_add_str(&t->reads, "}}");
	json_sep(&t->compares);
	buffer_add_u8(&t->compares, '{');
	etcd_add_octets(&t->compares, "key", key);
}

void etcd_txn_if_equal(struct etcd_txn *t, struct bytes key, struct bytes value)
{
	begin_compare(t, key);
	buffer_add_str(&t->compares, ",\"target\":\"VALUE\"");
	etcd_add_octets(&t->compares, "value", value);
	buffer_add_u8(&t->compares, '}');
}

void etcd_txn_if_absent(struct etcd_txn *t, struct bytes key)
{
	begin_compare(t, key);
	buffer_add_str(&t->compares, ",\"target\":\"CREATE\",\"createRevision\":\"0\"}");
}

void etcd_txn_put(struct etcd_txn *t, struct bytes key, struct bytes value, int64_t lease)
{
	t->write_count++;
	json_sep(&t->writes);
	buffer_add_str(&t->writes, "{\"requestPut\":{");
	etcd_add_octets(&t->writes, "key", key);
	etcd_add_octets(&t->writes, "value", value);
	if (lease != 0)
		etcd_add_int(&t->writes, "lease", lease);
	buffer_add_str(&t->writes, "}}");
}

void etcd_txn_delete(struct etcd_txn *t, struct bytes key)
{
	t->write_count++;
	json_sep(&t->writes);
	buffer_add_str(&t->writes, "{\"requestDeleteRange\":{");
	etcd_add_octets(&t->writes, "key", key);
	buffer_add_str(&t->writes, "}}");
}

static int64_t revision_of(const json_t *answer)
{
	return etcd_int(json_object_get(answer, "header"), "revision");
}

/* Give FN what KVS, an array of an answer, holds. False: it is not as etcd writes it. */
static bool give_pairs(const json_t *kvs, etcd_pair_fn *fn, void *arg)
{
	struct buffer key = { 0 }, value = { 0 };
	bool ok = true;
	const json_t *kv;
	size_t i;

	json_array_foreach (kvs, i, kv) {
		buffer_clear(&key);
		buffer_clear(&value);
		ok = etcd_octets(kv, "key", &key) && etcd_octets(kv, "value", &value);
		if (!ok)
			break;
		fn(arg, buffer_bytes(&key), buffer_bytes(&value));
	}
	buffer_fini(&key);
	buffer_fini(&value);
	return ok;
}

static enum etcd_result nonsense(struct etcd *e, struct fault *why)
{
	(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s: an answer that is not as documented", etcd_endpoint(e));
	return ETCD_UNKNOWN;
}

enum etcd_result etcd_take_txn(struct etcd *e, const json_t *answer, int64_t *revision_r, etcd_pair_fn *fn, void *arg,
                               struct fault *why)
{
	const json_t *responses = json_object_get(answer, "responses"), *r;
	enum etcd_result result = ETCD_DIFFERS;
	size_t i;

	*revision_r = revision_of(answer);
	if (*revision_r <= 0)
		return nonsense(e, why);
	if (json_is_true(json_object_get(answer, "succeeded")))
		return ETCD_OK;
	json_array_foreach (responses, i, r) {
		const json_t *range = json_object_get(r, "response_range");

		if (range == NULL)
			range = json_object_get(r, "responseRange");
		if (!give_pairs(json_object_get(range, "kvs"), fn, arg))
			result = nonsense(e, why);
	}
	return result;
}

enum etcd_result etcd_txn_do(struct etcd *e, const struct etcd_txn *t, int64_t *revision_r, etcd_pair_fn *fn, void *arg,
                             struct fault *why)
{
	struct buffer body = { 0 };
	json_t *answer;
	enum etcd_result result;

	buffer_add_str(&body, "{\"compare\":[");
	buffer_add(&body, buffer_bytes(&t->compares));
	buffer_add_str(&body, "],\"success\":[");
	buffer_add(&body, buffer_bytes(&t->writes));
	buffer_add_str(&body, "],\"failure\":[");
	buffer_add(&body, buffer_bytes(&t->reads));
	buffer_add_str(&body, "]}");
	result = etcd_call(e, "/v3/kv/txn", buffer_bytes(&body), t->write_count > 0, &answer, why);
	buffer_fini(&body);
	if (result != ETCD_OK)
		return result;
	result = etcd_take_txn(e, answer, revision_r, fn, arg, why);
	json_decref(answer);
	return result;
}

enum etcd_result etcd_take_range(struct etcd *e, const json_t *answer, int64_t *revision, etcd_pair_fn *fn, void *arg,
                                 bool *more_r, struct fault *why)
{
	if (*revision == 0)
		*revision = revision_of(answer);
	*more_r = json_is_true(json_object_get(answer, "more"));
	if (*revision <= 0 || !give_pairs(json_object_get(answer, "kvs"), fn, arg))
		return nonsense(e, why);
	return ETCD_OK;
}

enum etcd_result etcd_range(struct etcd *e, struct bytes from, struct bytes to, size_t limit, int64_t *revision,
                            etcd_pair_fn *fn, void *arg, bool *more_r, struct fault *why)
{
	struct buffer body = { 0 };
	json_t *answer;
	enum etcd_result result;

	buffer_add_u8(&body, '{');
	etcd_add_octets(&body, "key", from);
	etcd_add_octets(&body, "rangeEnd", to);
	if (limit > 0)
		etcd_add_int(&body, "limit", (int64_t)limit);
	if (*revision > 0)
		etcd_add_int(&body, "revision", *revision);
	buffer_add_u8(&body, '}');
	result = etcd_call(e, "/v3/kv/range", buffer_bytes(&body), false, &answer, why);
	buffer_fini(&body);
	if (result != ETCD_OK)
		return result;
	result = etcd_take_range(e, answer, revision, fn, arg, more_r, why);
	json_decref(answer);
	return result;
}
