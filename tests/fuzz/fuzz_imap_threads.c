/* fuzz_imap_threads.c - THREAD: messages that refer to each other as the input says. Input: an octet for the algorithm, then for each message
 * an octet each of date, subject (the high bit: a reply), Message-ID, number of references, and the references.
 *
 * Each message is in the answer once, whatever refers to whatever; the answer is one of nested lists (RFC 5256 section 5). */
#include "fuzz.h"
#include "threads.h"

#define MESSAGES_MAX 200

static size_t seen[MESSAGES_MAX + 1];

/* "(" members ")": numbers, then maybe two lists or more; the lists of a thread need no number before them. */
static void check_answer(struct bytes answer, size_t count)
{
	size_t depth = 0;
	uint64_t n = 0;

	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < answer.n; i++) {
		uint8_t o = answer.p[i], last = i == 0 ? ' ' : answer.p[i - 1];

		if (ascii_is_digit(o)) {
			FUZZ_CHECK(depth > 0 && last != ')');
			n = n * 10 + (o - '0');
			if (i + 1 == answer.n || !ascii_is_digit(answer.p[i + 1])) {
				FUZZ_CHECK(n >= 1 && n <= count);
				seen[n]++;
				n = 0;
			}
		} else if (o == '(') {
			FUZZ_CHECK(last == ' ' || last == '(' || last == ')');
			depth++;
		} else if (o == ')') {
			FUZZ_CHECK(depth > 0 && (ascii_is_digit(last) || last == ')'));
			depth--;
		} else {
			FUZZ_CHECK(o == ' ' && ascii_is_digit(last) && depth > 0);
		}
	}
	FUZZ_CHECK(depth == 0);
	for (size_t i = 1; i <= count; i++)
		FUZZ_CHECK(seen[i] == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	enum thread_algorithm algorithm = (enum thread_algorithm)(fuzz_take_octet(&in) % 3);
	struct buffer answer = { 0 };
	struct threads t;
	uint32_t count = 0, at;

	threads_init(&t, algorithm);
	while (in.n > 0 && count < MESSAGES_MAX) {
		uint32_t date = fuzz_take_octet(&in), subject = fuzz_take_octet(&in);
		uint64_t ids[17];
		size_t id_count = 0, references;

		ids[id_count++] = fuzz_take_octet(&in);
		references = fuzz_take_octet(&in) % 16;
		for (size_t i = 0; i < references; i++)
			ids[id_count++] = (uint64_t)fuzz_take_octet(&in) + 1;
		count++;
		threads_add(&t, count, date, count, subject & 0x7f, (subject & 0x80) != 0, ids,
		            algorithm == THREAD_ORDEREDSUBJECT ? 0 : id_count);
	}
	for (unsigned step = 0; step < THREADS_STEPS; step++)
		threads_step(&t, step);
	at = threads_first(&t);
	while (at != 0)
		threads_write(&t, &at, &answer, answer.n + 100);
	check_answer(buffer_bytes(&answer), count);
	threads_fini(&t);
	buffer_fini(&answer);
	return 0;
}
