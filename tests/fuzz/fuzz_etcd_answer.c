/* fuzz_etcd_answer.c - what an etcd answers. Input: an octet that says to what, then the JSON; of a watch, lines.
 *
 * Whatever it is, it is one of the results; what is given to a callback is there, and is tried as a record. */
#include "etcd_private.h"
#include "fuzz.h"
#include "record_codec.h"

static struct etcd *etcd;

static void on_pair(void *arg, struct bytes key, struct bytes value)
{
	struct record r;
	struct reign reign;

	(*(size_t *)arg)++;
	fuzz_touch(key);
	fuzz_touch(value);
	if (record_decode(value, &r)) {
		fuzz_touch(r.location);
		fuzz_touch(r.acl);
	}
	if (reign_decode(value, &reign)) {
		fuzz_touch(reign.master);
		fuzz_touch(reign.in_sync);
	}
}

static void on_event(void *arg, struct bytes key, const struct bytes *value)
{
	on_pair(arg, key, value == NULL ? BYTES_NONE : *value);
}

static void on_events_end(void *arg, int64_t revision)
{
	(void)arg;
	FUZZ_CHECK(revision > 0);
}

static bool go_on(void *arg)
{
	(void)arg;
	return true;
}

static void check(enum etcd_result result, const struct fault *why)
{
	FUZZ_CHECK(result <= ETCD_UNKNOWN);
	FUZZ_CHECK(result == ETCD_OK || result == ETCD_DIFFERS || (why->kind == FAULT_TRANSIENT && why->what[0] != '\0'));
}

static void try_answer(uint8_t kind, struct bytes in)
{
	struct fault why = { 0 };
	json_error_t bad;
	json_t *answer = json_loadb((const char *)in.p, in.n, 0, &bad);
	int64_t revision = 0;
	size_t count = 0;
	bool more = false;

	if (answer == NULL)
		return;
	if (kind % 4 == 0) {
		enum etcd_result result = etcd_take_txn(etcd, answer, &revision, on_pair, &count, &why);

		check(result, &why);
		FUZZ_CHECK(result != ETCD_OK || (revision > 0 && count == 0));
	} else if (kind % 4 == 1) {
		check(etcd_take_range(etcd, answer, &revision, on_pair, &count, &more, &why), &why);
	} else {
		enum etcd_result result = etcd_error(etcd, 500, answer, &why);

		check(result, &why);
		FUZZ_CHECK(result != ETCD_OK && result != ETCD_DIFFERS);
	}
	json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct etcd_options options = { .endpoints = { (const uint8_t *)"http://[::1]:1", 14 }, .timeout_ms = 1 };
	struct bytes in = bytes_make(data, size);
	uint8_t kind = fuzz_take_octet(&in);
	struct fault why = { 0 };
	size_t count = 0;
	const struct etcd_watch watch = { .on_event = on_event, .on_events_end = on_events_end, .go_on = go_on, .arg = &count };

	if (etcd == NULL)
		etcd = etcd_open(&options, &why);
	FUZZ_CHECK(etcd != NULL);
	if (kind % 4 != 3) {
		try_answer(kind, in);
		return 0;
	}
	while (in.n > 0) {
		enum etcd_result result = etcd_take_line(etcd, &watch, fuzz_take_line(&in), &why);

		check(result, &why);
		if (result != ETCD_OK)
			break;
	}
	return 0;
}
