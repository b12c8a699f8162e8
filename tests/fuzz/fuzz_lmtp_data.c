/* fuzz_lmtp_data.c - the octets behind DATA. Input: an octet that says in which pieces they arrive, then the octets.
 *
 * The end does not depend on how they arrive; what goes over the wire comes out as it was, and ends nowhere but at its
 * end. */
#include "fuzz.h"
#include "lmtp_data.h"

#define LIMIT 500

/* Returns the octets taken, through the lone dot; SIZE_MAX: it did not come. */
static size_t take(struct bytes all, size_t chunk, size_t limit, struct buffer *to, bool *over_r)
{
	struct lmtp_data d = { 0 };
	size_t at = 0;

	while (at < all.n) {
		struct bytes in = bytes_sub(all, at, chunk);
		size_t used = 0;
		enum lmtp_data_result result = lmtp_data_take(&d, in, to, limit, over_r, &used);

		FUZZ_CHECK(used <= in.n && to->n <= limit);
		at += used;
		if (result == LMTP_DATA_END)
			return at;
		FUZZ_CHECK(used == in.n);
	}
	return SIZE_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size), body;
	size_t chunk = fuzz_chunk(fuzz_take_octet(&in));
	struct buffer whole = { 0 }, pieces = { 0 }, wire = { 0 }, again = { 0 };
	bool whole_over = false, pieces_over = false, over = false;
	size_t end;

	end = take(in, SIZE_MAX, LIMIT, &whole, &whole_over);
	FUZZ_CHECK(end == take(in, chunk, LIMIT, &pieces, &pieces_over));
	FUZZ_CHECK(bytes_equal(buffer_bytes(&whole), buffer_bytes(&pieces)) && whole_over == pieces_over);

	lmtp_data_write(&wire, in);
	FUZZ_CHECK(take(buffer_bytes(&wire), chunk, SIZE_MAX, &again, &over) == wire.n && !over);
	body = buffer_bytes(&again);
	if (in.n > 0 && !bytes_ends(in, BYTES_LIT("\r\n"))) {
		FUZZ_CHECK(bytes_ends(body, BYTES_LIT("\r\n")));
		body.n -= 2;
	}
	FUZZ_CHECK(bytes_equal(body, in));
	buffer_fini(&whole);
	buffer_fini(&pieces);
	buffer_fini(&wire);
	buffer_fini(&again);
	return 0;
}
