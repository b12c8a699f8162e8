/* fuzz_mupdate_line.c - a MUPDATE stream. Input: an octet that says in which pieces it arrives, then the stream.
 *
 * The lines do not depend on how they arrive; what is read can be written and is read the same. */
#include "fuzz.h"
#include "location.h"
#include "mupdate_line.h"

#define STRING_MAX 100

static void check_line(const struct mupdate_line *line)
{
	struct arena a = { 0 };
	struct buffer text = { 0 };
	struct mupdate_line again;
	struct fault why;
	size_t used;

	FUZZ_CHECK(line->count <= MUPDATE_ARGS_MAX && line->tag.n > 0 && line->tag.n <= MUPDATE_TAG_MAX);
	buffer_add(&text, line->tag);
	buffer_add_u8(&text, ' ');
	buffer_add(&text, line->word);
	for (size_t i = 0; i < line->count; i++) {
		struct location l = location_of(line->args[i]);

		FUZZ_CHECK(line->args[i].n <= STRING_MAX || line->has_atom);
		FUZZ_CHECK(location_equal(line->args[i], line->args[i]));
		fuzz_touch(l.server);
		fuzz_touch(l.partition);
		mupdate_add_string(&text, line->args[i]);
	}
	buffer_add_str(&text, "\r\n");
	FUZZ_CHECK(mupdate_line_parse(buffer_bytes(&text), 8192, &a, &again, &used, &why) == MUPDATE_OK);
	FUZZ_CHECK(used == text.n && again.count == line->count && bytes_equal(again.tag, line->tag) &&
	           bytes_equal(again.word, line->word));
	for (size_t i = 0; i < line->count; i++) {
		FUZZ_CHECK(bytes_equal(again.args[i], line->args[i]));
		/* As text it stays one quoted string. */
		buffer_clear(&text);
		buffer_add_str(&text, "* OK");
		mupdate_add_text(&text, line->args[i]);
		buffer_add_str(&text, "\r\n");
		FUZZ_CHECK(mupdate_line_parse(buffer_bytes(&text), 8192, &a, &again, &used, &why) == MUPDATE_OK);
		FUZZ_CHECK(used == text.n && again.count == 1 && again.args[0].n == line->args[i].n && !again.has_atom);
		FUZZ_CHECK(mupdate_line_parse(buffer_bytes(&text), 8192, &a, &again, &used, &why) == MUPDATE_OK);
		/* Back to the line itself. */
		again = *line;
	}
	buffer_fini(&text);
	arena_fini(&a);
}

struct lines {
	size_t ends[128];
	size_t count;
	bool has_limit;
};

static void read_all(struct bytes all, size_t chunk, bool check, struct lines *lines)
{
	size_t taken = 0, come = chunk > all.n ? all.n : chunk;

	while (taken < all.n) {
		struct arena a = { 0 };
		struct mupdate_line line;
		struct fault why = { 0 };
		struct bytes in = bytes_sub(all, taken, come - taken);
		size_t used = 0;
		enum mupdate_parse result = mupdate_line_parse(in, STRING_MAX, &a, &line, &used, &why);

		if (result == MUPDATE_OK && check)
			check_line(&line);
		if (result == MUPDATE_OK || result == MUPDATE_BAD) {
			FUZZ_CHECK(used > 0 && used <= in.n && in.p[used - 1] == '\n');
			FUZZ_CHECK(result == MUPDATE_OK || why.kind == FAULT_CLIENT);
			taken += used;
			if (lines->count < sizeof(lines->ends) / sizeof(lines->ends[0]))
				lines->ends[lines->count++] = taken;
		}
		arena_fini(&a);
		if (result == MUPDATE_LIMIT) {
			FUZZ_CHECK(why.kind == FAULT_LIMIT);
			lines->has_limit = true;
			return;
		}
		if (result == MUPDATE_MORE || result == MUPDATE_GO_AHEAD) {
			if (come == all.n)
				return;
			come = chunk > all.n - come ? all.n : come + chunk;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	size_t chunk = fuzz_chunk(fuzz_take_octet(&in));
	struct lines whole = { .count = 0 }, pieces = { .count = 0 };

	read_all(in, SIZE_MAX, true, &whole);
	read_all(in, chunk, false, &pieces);
	if (!whole.has_limit && !pieces.has_limit) {
		FUZZ_CHECK(whole.count == pieces.count);
		FUZZ_CHECK(memcmp(whole.ends, pieces.ends, whole.count * sizeof(whole.ends[0])) == 0);
	}
	return 0;
}
