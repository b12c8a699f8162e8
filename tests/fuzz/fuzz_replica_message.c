/* fuzz_replica_message.c - frames of the sync stream: what is read is written to the same octets. Two histories, one from
 * each half of the input, also part at one place, whichever is asked first. */
#include "fuzz.h"
#include "message.h"

static bool try(struct bytes in, struct history *history)
{
	struct peer_message m;
	struct buffer again = { 0 };
	struct fault why = { 0 };

	history->count = 0;
	if (!message_read(in, &m, history, &why)) {
		FUZZ_CHECK(why.kind == FAULT_CLIENT);
		return false;
	}
	m.history = history;
	message_write(&again, &m);
	FUZZ_CHECK(bytes_equal(buffer_bytes(&again), in));
	buffer_fini(&again);
	return m.type == MESSAGE_HELLO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct history a, b;
	struct bytes in = bytes_make(data, size);

	if (size == 0)
		return 0;
	(void)try(in, &a);
	/* The first octet says where the second message begins, in steps of 16 octets and one. */
	in = bytes_from(in, 1);
	if (try(bytes_sub(in, 0, data[0] * 16u + 37), &a) && try(bytes_from(in, data[0] * 16u + 37), &b)) {
		uint64_t common = history_common(&a, 50, &b, 60);

		FUZZ_CHECK(common == history_common(&b, 60, &a, 50) && common <= 50);
		FUZZ_CHECK(common == 0 || history_epoch(&a, common) == history_epoch(&b, common));
		history_truncate(&a, common);
		FUZZ_CHECK(a.count == 0 || a.rows[a.count - 1].first <= common);
		history_append(&a, UINT64_MAX, common + 1);
		FUZZ_CHECK(history_epoch(&a, common + 1) == UINT64_MAX);
	}
	return 0;
}
