/* etcd_lease.c - leases: granted, renewed, given back. */
#include "etcd_private.h"

enum etcd_result etcd_lease_grant(struct etcd *e, unsigned ttl_s, int64_t *lease_r, struct fault *why)
{
	struct buffer body = { 0 };
	json_t *answer;
	enum etcd_result result;

	buffer_add_u8(&body, '{');
	etcd_add_int(&body, "TTL", (int64_t)ttl_s);
	buffer_add_u8(&body, '}');
	/* A lease granted twice is no harm: the one nobody knows runs out. */
	result = etcd_call(e, "/v3/lease/grant", buffer_bytes(&body), false, &answer, why);
	buffer_fini(&body);
	if (result != ETCD_OK)
		return result;
	*lease_r = etcd_int(answer, "ID");
	json_decref(answer);
	if (*lease_r != 0)
		return ETCD_OK;
	(void)fault_set(why, FAULT_TRANSIENT, "etcd at %s granted no lease", etcd_endpoint(e));
	return ETCD_REFUSED;
}

static enum etcd_result about_lease(struct etcd *e, const char *path, int64_t lease, json_t **answer_r, struct fault *why)
{
	struct buffer body = { 0 };
	enum etcd_result result;

	buffer_add_u8(&body, '{');
	etcd_add_int(&body, "ID", lease);
	buffer_add_u8(&body, '}');
	result = etcd_call(e, path, buffer_bytes(&body), false, answer_r, why);
	buffer_fini(&body);
	return result;
}

enum etcd_result etcd_lease_keep(struct etcd *e, int64_t lease, struct fault *why)
{
	json_t *answer;
	enum etcd_result result = about_lease(e, "/v3/lease/keepalive", lease, &answer, why);
	const json_t *inner;

	if (result != ETCD_OK)
		return result;
	/* The answer is the first of a stream: {"result":{"ID":..,"TTL":..}}; a lease that has run out has no TTL. */
	inner = json_object_get(answer, "result");
	if (etcd_int(inner, "TTL") <= 0)
		result = ETCD_GONE;
	json_decref(answer);
	return result;
}

enum etcd_result etcd_lease_revoke(struct etcd *e, int64_t lease, struct fault *why)
{
	json_t *answer;
	enum etcd_result result = about_lease(e, "/v3/lease/revoke", lease, &answer, why);

	if (result == ETCD_OK)
		json_decref(answer);
	return result;
}
