/* imap_response.c - a response by its first words only: the rest goes through a proxy unread. */
#include "imap_response.h"

static bool announced(struct bytes line, uint64_t *n_r)
{
	size_t open;

	if (line.n < 3 || line.p[line.n - 1] != '}')
		return false;
	line.n--;
	open = bytes_rfind(line, '{');
	return open < line.n && bytes_to_u64(bytes_from(line, open + 1), UINT64_MAX, n_r);
}

bool imap_response_segment(struct bytes in, size_t *n_r, bool *has_literal_r, uint64_t *literal_r)
{
	size_t n = bytes_find(in, '\n');
	size_t end;

	if (n == in.n)
		return false;
	end = n > 0 && in.p[n - 1] == '\r' ? n - 1 : n;
	*n_r = n + 1;
	*literal_r = 0;
	*has_literal_r = announced(bytes_sub(in, 0, end), literal_r);
	return true;
}

static struct bytes take_word(struct bytes *in)
{
	size_t n = bytes_find(*in, ' ');
	struct bytes word = bytes_sub(*in, 0, n);

	*in = bytes_from(*in, n + 1);
	return word;
}

bool imap_response_parse(struct bytes segment, struct imap_response *r_r)
{
	struct bytes rest = bytes_trim(segment);

	*r_r = (struct imap_response){ 0 };
	if (rest.n == 0)
		return false;
	r_r->tag = take_word(&rest);
	r_r->is_untagged = bytes_equal_str(r_r->tag, "*");
	r_r->is_continuation = bytes_equal_str(r_r->tag, "+");
	if (r_r->is_continuation) {
		r_r->rest = r_r->text = rest;
		return true;
	}
	r_r->word = take_word(&rest);
	r_r->rest = r_r->text = rest;
	if (rest.n > 0 && rest.p[0] == '[') {
		size_t end = bytes_find(rest, ']');

		r_r->code = bytes_sub(rest, 1, end - 1);
		r_r->text = bytes_trim(bytes_from(rest, end + 1));
	}
	return r_r->word.n > 0;
}
