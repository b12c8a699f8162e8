/* test_imap_threads.c - threads of many messages, made to be deep, wide or circular: every message is told once, and in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "imap_envelope.h"
#include "threads.h"

/* References of message I of COUNT to OTHER_R; how many. */
typedef size_t refer_fn(unsigned i, unsigned count, unsigned other_r[4]);

static size_t one_below_the_other(unsigned i, unsigned count, unsigned other_r[4])
{
	(void)count;
	other_r[0] = i - 1;
	return i > 0;
}

static size_t newest_first(unsigned i, unsigned count, unsigned other_r[4])
{
	other_r[0] = i + 1;
	return i + 1 < count;
}

static size_t all_below_the_first(unsigned i, unsigned count, unsigned other_r[4])
{
	(void)count;
	other_r[0] = 0;
	return i > 0;
}

static size_t in_a_circle(unsigned i, unsigned count, unsigned other_r[4])
{
	other_r[0] = (i + 1) % count;
	return 1;
}

static size_t at_random(unsigned i, unsigned count, unsigned other_r[4])
{
	size_t n = (size_t)rand() % 4;

	(void)i;
	for (size_t k = 0; k < n; k++)
		other_r[k] = (unsigned)rand() % (2 * count); /* half of them are not there */
	return n;
}

static size_t to_what_is_not_there(unsigned i, unsigned count, unsigned other_r[4])
{
	other_r[0] = count + i / 2;
	other_r[1] = count + i / 2 + 1;
	return 2;
}

/* Of the id I: of all I that are close to one another it is another place in a table, or the same. */
static uint64_t hash_of(unsigned i)
{
	return i % 3 == 0 ? i + 1 : (i + 1) * 0x9e3779b97f4a7c15u;
}

static void every_message_is_told_once_whatever_they_refer_to(void **state)
{
	static refer_fn *const ways[] = { one_below_the_other, newest_first,         all_below_the_first,
		                          in_a_circle,         to_what_is_not_there, at_random };
	enum { COUNT = 20000 };

	(void)state;
	srand(7);
	for (size_t w = 0; w < 3 * sizeof(ways) / sizeof(ways[0]); w++) {
		struct threads t;
		struct buffer out = { 0 };
		uint8_t *seen = calloc(COUNT + 1, 1);
		uint32_t at;
		unsigned told = 0;
		int depth = 0;

		assert_non_null(seen);
		threads_init(&t, (enum thread_algorithm)(w % 3));
		for (unsigned i = 0; i < COUNT; i++) {
			unsigned others[4];
			size_t n = ways[w / 3](i, COUNT, others);
			uint64_t ids[5] = { hash_of(i) };

			for (size_t k = 0; k < n; k++)
				ids[k + 1] = hash_of(others[k]);
			threads_add(&t, i + 1, (uint32_t)rand() % 1000, (uint32_t)rand() % 1000, i % 100, rand() % 2 != 0, ids,
			            t.algorithm == THREAD_ORDEREDSUBJECT ? 0 : n + 1);
		}
		for (unsigned step = 0; step < THREADS_STEPS; step++)
			threads_step(&t, step);
		at = threads_first(&t);
		while (at != 0)
			threads_write(&t, &at, &out, SIZE_MAX);
		for (size_t i = 0; i < out.n; i++) {
			unsigned number = 0;

			depth += out.p[i] == '(';
			depth -= out.p[i] == ')';
			assert_true(depth >= 0);
			for (; i < out.n && ascii_is_digit(out.p[i]); i++)
				number = number * 10 + (unsigned)(out.p[i] - '0');
			if (number > 0) {
				assert_true(number <= COUNT && seen[number] == 0);
				seen[number] = 1;
				told++;
				i--;
			}
		}
		if (told != COUNT || depth != 0)
			fail_msg("way %zu algorithm %zu: %u of %u, depth %d", w / 3, w % 3, told, COUNT, depth);
		free(seen);
		buffer_fini(&out);
		threads_fini(&t);
	}
}

static void envelopes_are_read_as_far_as_asked(void **state)
{
	static const char text[] = "(\"Mon, 7 Feb 1994 21:52:25 -0800\" {5}\r\na\"b c ((\"Terry \\\"T\\\"\" NIL \"gray\" \"cac\")(NIL NIL \"x\" \"y\")) NIL NIL "
				   "((NIL NIL \"imap\" \"cac\")) ((NIL NIL \"minutes\" NIL)) NIL \"<in@reply>\" \"<id@x>\")";
	struct arena a = { 0 };
	struct envelope e;

	(void)state;
	assert_true(envelope_read(bytes_of(text), ENVELOPE_IDS, &a, &e));
	assert_true(bytes_equal_str(e.subject, "a\"b c"));
	assert_true(bytes_equal_str(e.from.name, "Terry \"T\"") && bytes_equal_str(e.from.host, "cac"));
	assert_true(bytes_equal_str(e.to.mailbox, "imap") && e.to.name.p == NULL && bytes_equal_str(e.cc.mailbox, "minutes"));
	assert_true(bytes_equal_str(e.in_reply_to, "<in@reply>") && bytes_equal_str(e.message_id, "<id@x>"));
	assert_true(envelope_read(bytes_of(text), ENVELOPE_DATE, &a, &e) && e.subject.p == NULL);
	for (size_t n = 0; n + 1 < sizeof(text); n++)
		assert_false(envelope_read(bytes_sub(bytes_of(text), 0, n), ENVELOPE_IDS, &a, &e) && n < sizeof(text) - 2);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_is_told_once_whatever_they_refer_to),
		cmocka_unit_test(envelopes_are_read_as_far_as_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
