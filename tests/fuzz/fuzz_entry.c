/* fuzz_entry.c - heads of journal entries, as they are and with the checksum made right, so that what is behind it is
 * reached, too. What can be read is written again to the same octets: there is one form of each entry. */
#include "entry.h"
#include "fuzz.h"

static void try(struct bytes head)
{
	struct arena a = { 0 };
	struct entry e;
	struct fault why;
	struct buffer again = { 0 };

	if (entry_read(head, BYTES_NONE, false, &a, &e, &why)) {
		struct entry_header h;

		FUZZ_CHECK(entry_header_read(head, &h) && h.lsn == e.lsn && h.epoch == e.epoch && h.committed == e.committed);
		entry_write(&again, &e);
		/* The body's size stands in the head, and the body was not given. */
		buffer_set_u32le(&again, 8, h.body_size);
		buffer_set_u64le(&again, 40, h.checksum);
		FUZZ_CHECK(bytes_equal(buffer_bytes(&again), head));
		buffer_fini(&again);
	}
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer b = { 0 };
	uint64_t sum;

	try(bytes_make(data, size));
	if (size < ENTRY_HEADER)
		return 0;
	buffer_add(&b, bytes_make(data, size));
	buffer_set_u32le(&b, 0, ENTRY_MAGIC);
	buffer_set_u32le(&b, 4, (uint32_t)size);
	sum = entry_hash(bytes_sub(buffer_bytes(&b), 0, 40)) ^ entry_hash(bytes_from(buffer_bytes(&b), ENTRY_HEADER));
	buffer_set_u64le(&b, 40, sum);
	try(buffer_bytes(&b));
	buffer_fini(&b);
	return 0;
}
