/* fuzz_users_line.c - a line of users_file: what is read is written as a line that is read the same. */
#include "fuzz.h"
#include "users_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	struct users_line line, again;
	struct buffer text = { 0 };
	struct fault why = { 0 };
	struct bytes written;

	if (!users_line_parse(fuzz_take_line(&in), &line, &why)) {
		FUZZ_CHECK(why.kind == FAULT_OPERATOR);
		return 0;
	}
	if (line.name.n == 0)
		return 0;
	FUZZ_CHECK(line.name.n <= USERS_NAME_MAX && line.key.salt_size >= 1 && line.key.salt_size <= USERS_SALT_MAX &&
	           line.key.iterations > 0);
	users_line_write(&text, line.name, &line.key);
	written = buffer_bytes(&text);
	FUZZ_CHECK(bytes_find(written, '\n') == written.n - 1);
	FUZZ_CHECK(users_line_parse(bytes_sub(written, 0, written.n - 1), &again, &why));
	FUZZ_CHECK(bytes_equal(again.name, line.name) && memcmp(&again.key, &line.key, sizeof(line.key)) == 0);
	buffer_fini(&text);
	return 0;
}
