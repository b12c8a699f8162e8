/* lmtp_data.c - five states at the lines' starts and ends; what is between goes over in one copy. */
#include "lmtp_data.h"

static void keep(struct buffer *to, struct bytes b, size_t limit, bool *over)
{
	size_t room = limit > to->n ? limit - to->n : 0;

	if (b.n > room) {
		*over = true;
		b.n = room;
	}
	buffer_add(to, b);
}

enum lmtp_data_result lmtp_data_take(struct lmtp_data *d, struct bytes in, struct buffer *to, size_t limit, bool *over_r,
                                     size_t *used_r)
{
	size_t i = 0;

	while (i < in.n) {
		uint8_t c = in.p[i];

		switch (d->state) {
		case LMTP_AT_LINE_START:
			if (c == '.') {
				d->state = LMTP_AFTER_DOT;
				i++;
				break;
			}
			d->state = LMTP_IN_LINE;
			break;
		case LMTP_IN_LINE: {
			/* The bulk: up to and with the next CR in one copy. */
			size_t n = bytes_find(bytes_from(in, i), '\r');
			bool has_cr = i + n < in.n;

			keep(to, bytes_sub(in, i, n + has_cr), limit, over_r);
			i += n + has_cr;
			if (has_cr)
				d->state = LMTP_AFTER_CR;
			break;
		}
		case LMTP_AFTER_CR:
			if (c == '\n') {
				keep(to, bytes_sub(in, i, 1), limit, over_r);
				i++;
				d->state = LMTP_AT_LINE_START;
				break;
			}
			d->state = LMTP_IN_LINE;
			break;
		case LMTP_AFTER_DOT:
			if (c == '\r') {
				d->state = LMTP_AFTER_DOT_CR;
				i++;
				break;
			}
			/* The first dot was stuffing, whatever follows it. */
			d->state = LMTP_IN_LINE;
			break;
		case LMTP_AFTER_DOT_CR:
			if (c == '\n') {
				d->state = LMTP_AT_LINE_START;
				*used_r = i + 1;
				return LMTP_DATA_END;
			}
			keep(to, BYTES_LIT("\r"), limit, over_r);
			d->state = LMTP_AFTER_CR;
			break;
		}
	}
	*used_r = i;
	return LMTP_DATA_MORE;
}

void lmtp_data_write(struct buffer *to, struct bytes body)
{
	bool ends_line = body.n == 0 || bytes_ends(body, BYTES_LIT("\r\n"));

	(void)buffer_reserve(to, body.n + body.n / 64 + 16);
	if (body.n > 0 && body.p[0] == '.')
		buffer_add_u8(to, '.');
	while (body.n > 0) {
		/* Up to the LF of a CR LF that a dot follows; a dot after a bare LF needs no stuffing but gets none undone. */
		size_t n = bytes_search(body, BYTES_LIT("\r\n."));

		if (n == body.n) {
			buffer_add(to, body);
			break;
		}
		buffer_add(to, bytes_sub(body, 0, n + 2));
		buffer_add_u8(to, '.');
		body = bytes_from(body, n + 2);
	}
	if (!ends_line)
		buffer_add(to, BYTES_LIT("\r\n"));
	buffer_add(to, BYTES_LIT(".\r\n"));
}
