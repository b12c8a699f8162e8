/* fuzz_lmtp_command.c - a command line, and a reply line. An address that is read can be written as the same address;
 * what is written holds nothing that would end the command. */
#include "buffer.h"
#include "fuzz.h"
#include "lmtp_command.h"
#include "lmtp_reply.h"

static bool check_address(struct bytes address)
{
	struct buffer line = { 0 };
	struct arena a = { 0 };
	struct lmtp_command again;
	struct fault why;
	bool ok = true;

	buffer_add_str(&line, "RCPT TO:<");
	if (lmtp_address_write(&line, address)) {
		buffer_add_str(&line, ">");
		for (size_t i = 0; i < line.n; i++)
			FUZZ_CHECK(line.p[i] >= ' ' && line.p[i] != 0x7f);
		FUZZ_CHECK(lmtp_command_parse(buffer_bytes(&line), &a, &again, &why) == LMTP_PARSE_OK);
		FUZZ_CHECK(bytes_equal(again.address, address));
	} else {
		FUZZ_CHECK(line.n == 9);
		ok = false;
	}
	arena_fini(&a);
	buffer_fini(&line);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes line = bytes_make(data, size);
	struct arena a = { 0 };
	struct lmtp_command c;
	struct lmtp_reply r;
	struct fault why = { 0 };

	if (lmtp_command_parse(line, &a, &c, &why) == LMTP_PARSE_OK) {
		fuzz_touch(c.word);
		fuzz_touch(c.initial);
		fuzz_touch(c.address);
		if (c.verb == LMTP_MAIL || c.verb == LMTP_RCPT)
			FUZZ_CHECK(check_address(c.address));
	} else {
		FUZZ_CHECK(why.kind == FAULT_CLIENT && why.what[0] != '\0');
	}
	arena_fini(&a);
	/* Addresses also come from mailbox names and user names. */
	(void)check_address(line);
	if (lmtp_reply_parse(line, &r)) {
		FUZZ_CHECK(r.code >= 200 && r.code <= 599);
		fuzz_touch(r.text);
	}
	return 0;
}
