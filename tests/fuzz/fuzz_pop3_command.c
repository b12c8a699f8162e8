/* fuzz_pop3_command.c - a command line, and a reply line. What is read of a line lies within it; what is refused has a reason. */
#include "fuzz.h"
#include "pop3_command.h"
#include "pop3_reply.h"

static bool is_within(struct bytes part, struct bytes whole)
{
	return part.n == 0 || (part.p >= whole.p && part.n <= whole.n && (size_t)(part.p - whole.p) <= whole.n - part.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes line = bytes_make(data, size);
	struct pop3_command c;
	struct pop3_reply r;
	struct fault why = { 0 };

	if (pop3_command_parse(line, &c, &why)) {
		fuzz_touch(c.word);
		fuzz_touch(c.initial);
		FUZZ_CHECK(is_within(c.word, line) && is_within(c.initial, line));
		FUZZ_CHECK(c.word.n > 0 || (c.verb != POP3_USER && c.verb != POP3_PASS && c.verb != POP3_AUTH));
		FUZZ_CHECK(c.number > 0 || (c.verb != POP3_RETR && c.verb != POP3_DELE && c.verb != POP3_TOP));
	} else {
		FUZZ_CHECK(why.kind == FAULT_CLIENT && why.what[0] != '\0' && c.verb != POP3_UNKNOWN);
	}
	if (pop3_reply_parse(line, &r)) {
		fuzz_touch(r.text);
		FUZZ_CHECK(is_within(r.text, line) && is_within(r.code, r.text));
	}
	return 0;
}
