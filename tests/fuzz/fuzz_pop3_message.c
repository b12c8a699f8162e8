/* fuzz_pop3_message.c - a message as RETR and TOP send it. Input: an octet that says in which pieces it is handed over, one that says
 * how many lines TOP wants ('0' and below: all), then the message.
 *
 * What goes over the wire does not depend on the pieces, ends at its end only, for readers that take LF for a line's end too, and is
 * the message again when the dots are taken out, but for bare LFs. */
#include "buffer.h"
#include "fuzz.h"
#include "pop3_message.h"

static void send(struct bytes in, size_t chunk, uint64_t lines, struct buffer *to)
{
	struct pop3_message m = { .lines = lines };

	for (size_t at = 0; at < in.n; at += bytes_sub(in, at, chunk).n) {
		if (pop3_message_add(&m, bytes_sub(in, at, chunk), to))
			break;
	}
	pop3_message_end(&m, to);
}

/* Line by line until the lone dot, which must be the last; the lines without their ends' CR go to TO. */
static void receive(struct bytes wire, struct buffer *to)
{
	struct bytes line = fuzz_take_line(&wire);

	while (!bytes_equal_str(line, ".\r")) {
		FUZZ_CHECK(line.n > 0 && line.p[line.n - 1] == '\r' && wire.n > 0);
		line.n--;
		buffer_add(to, bytes_from(line, line.n > 0 && line.p[0] == '.' ? 1 : 0));
		buffer_add_u8(to, '\n');
		line = fuzz_take_line(&wire);
	}
	FUZZ_CHECK(wire.n == 0);
}

/* The message with LF for a line's end, whole lines only. */
static void plain(struct bytes in, struct buffer *to)
{
	for (size_t i = 0; i < in.n; i++) {
		bool is_end = in.p[i] == '\r' && (i + 1 == in.n || in.p[i + 1] == '\n');

		if (is_end && i + 1 == in.n)
			buffer_add_u8(to, '\n');
		else if (!is_end)
			buffer_add_u8(to, in.p[i]);
	}
	if (to->n > 0 && to->p[to->n - 1] != '\n')
		buffer_add_u8(to, '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	size_t chunk = fuzz_chunk(fuzz_take_octet(&in));
	uint8_t octet = fuzz_take_octet(&in);
	uint64_t lines = octet <= '0' ? POP3_ALL_LINES : (uint64_t)(octet - '1');
	struct buffer whole = { 0 }, pieces = { 0 }, got = { 0 }, wanted = { 0 };

	send(in, SIZE_MAX, lines, &whole);
	send(in, chunk, lines, &pieces);
	FUZZ_CHECK(bytes_equal(buffer_bytes(&whole), buffer_bytes(&pieces)));
	receive(buffer_bytes(&whole), &got);
	plain(in, &wanted);
	FUZZ_CHECK(bytes_starts(buffer_bytes(&wanted), buffer_bytes(&got)));
	FUZZ_CHECK(lines != POP3_ALL_LINES || got.n == wanted.n);
	buffer_fini(&whole);
	buffer_fini(&pieces);
	buffer_fini(&got);
	buffer_fini(&wanted);
	return 0;
}
