/* fuzz_inflate.c - a peer's DEFLATE stream. Input: an octet that says in which pieces it arrives, one for the room that there
 * is at a time, then the stream.
 *
 * What comes out does not depend on either, there is never more than there is room for, and each step takes or gives
 * something. Compressed again in batches it comes out the same, batch by batch. */
#include "buffer.h"
#include "deflater.h"
#include "fuzz.h"
#include "inflater.h"

#define OUT_MAX (256 * 1024)

struct outcome {
	struct buffer text;
	bool is_bad, is_cut; /* no DEFLATE; as much as we look at */
};

static void inflate_all(struct bytes all, size_t chunk, size_t room, struct outcome *o)
{
	struct inflater *i = inflater_new();
	enum inflate_result result = INFLATE_MORE;
	uint8_t *to = malloc(room);
	struct bytes rest = bytes_sub(all, 0, 0);
	size_t come = 0;

	while (!o->is_bad && !o->is_cut && (result == INFLATE_FULL || come < all.n)) {
		struct fault why = { 0 };
		struct bytes before;
		size_t n;

		if (result == INFLATE_MORE) {
			rest = bytes_sub(all, come, chunk);
			come += rest.n;
		}
		before = rest;
		result = inflater_step(i, &rest, to, room, &n, &why);
		FUZZ_CHECK(n <= room && rest.n <= before.n);
		FUZZ_CHECK(result != INFLATE_MORE || rest.n == 0);
		FUZZ_CHECK(result != INFLATE_FULL || n == room);
		FUZZ_CHECK(result != INFLATE_BAD || why.kind == FAULT_CLIENT);
		fuzz_touch(bytes_make(to, n));
		buffer_add(&o->text, bytes_make(to, n));
		o->is_bad = result == INFLATE_BAD;
		o->is_cut = o->text.n >= OUT_MAX;
		if (o->is_bad)
			FUZZ_CHECK(inflater_step(i, &rest, to, room, &n, &why) == INFLATE_BAD && n == 0);
	}
	free(to);
	inflater_free(&i);
}

static void collect(void *arg, struct bytes b)
{
	fuzz_touch(b);
	buffer_add(arg, b);
}

/* Deflate TEXT in batches of so many octets; the peer has the whole of each when it has come. */
static void round_trip(struct bytes text, size_t batch)
{
	struct deflater *d = deflater_new();
	struct inflater *i = inflater_new();
	uint8_t *to = malloc(batch + 1);
	struct buffer packed = { 0 };

	while (text.n > 0) {
		struct bytes want = bytes_sub(text, 0, batch), rest;
		struct fault why;
		size_t n;

		buffer_clear(&packed);
		deflater_begin(d);
		deflater_add(d, bytes_sub(want, 0, want.n / 3), collect, &packed);
		deflater_add(d, bytes_from(want, want.n / 3), collect, &packed);
		deflater_end(d, collect, &packed);
		rest = buffer_bytes(&packed);
		FUZZ_CHECK(inflater_step(i, &rest, to, batch + 1, &n, &why) == INFLATE_MORE);
		FUZZ_CHECK(bytes_equal(bytes_make(to, n), want));
		text = bytes_from(text, want.n);
	}
	buffer_fini(&packed);
	free(to);
	inflater_free(&i);
	deflater_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	size_t chunk = fuzz_chunk(fuzz_take_octet(&in));
	size_t room = (size_t)fuzz_take_octet(&in) * 3 + 1;
	struct outcome whole = { .is_bad = false }, pieces = { .is_bad = false };
	size_t n;

	inflate_all(in, SIZE_MAX, 65536, &whole);
	inflate_all(in, chunk, room, &pieces);
	n = whole.text.n < pieces.text.n ? whole.text.n : pieces.text.n;
	FUZZ_CHECK(bytes_equal(bytes_sub(buffer_bytes(&whole.text), 0, n), bytes_sub(buffer_bytes(&pieces.text), 0, n)));
	if (!whole.is_cut && !pieces.is_cut)
		FUZZ_CHECK(whole.is_bad == pieces.is_bad && whole.text.n == pieces.text.n);
	if (n > 0)
		round_trip(bytes_sub(buffer_bytes(&whole.text), 0, 20000), room * 8);
	buffer_fini(&whole.text);
	buffer_fini(&pieces.text);
	return 0;
}
