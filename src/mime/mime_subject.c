/* mime_subject.c - the base subject (RFC 5256 section 2.1), for SORT and THREAD. */
#include "mime_private.h"

/* Step 1: decoded, folded, every run of blanks one blank. */
static void clean(struct bytes body, struct buffer *to)
{
	struct arena a = { 0 };
	struct buffer text = { 0 };
	struct buffer folded = { 0 };
	bool is_plain = true;

	for (size_t i = 0; is_plain && i < body.n; i++)
		is_plain = body.p[i] < 0x80 && body.p[i] != '=' && body.p[i] != '\r' && body.p[i] != '\n';
	if (is_plain) { /* most are */
		body = bytes_trim(body);
		for (size_t i = 0; i < body.n; i++) {
			uint8_t c = body.p[i] == '\t' ? ' ' : ascii_lower(body.p[i]);

			if (c != ' ' || to->n == 0 || to->p[to->n - 1] != ' ')
				buffer_add_u8(to, c);
		}
		return;
	}
	charset_decode_header(mime_unfold(body, &a), &text);
	charset_fold(buffer_bytes(&text), &folded);
	for (size_t i = 0; i < folded.n; i++) {
		uint8_t c = folded.p[i] == '\t' || folded.p[i] == '\r' || folded.p[i] == '\n' ? ' ' : folded.p[i];

		if (c != ' ' || to->n == 0 || to->p[to->n - 1] != ' ')
			buffer_add_u8(to, c);
	}
	buffer_fini(&folded);
	buffer_fini(&text);
	arena_fini(&a);
}

static void skip_blanks(struct bytes *s)
{
	while (s->n > 0 && s->p[0] == ' ')
		*s = bytes_from(*s, 1);
}

/* "[anything but brackets]" and blanks. */
static bool take_blob(struct bytes *s)
{
	size_t i = 1;

	if (s->n == 0 || s->p[0] != '[')
		return false;
	while (i < s->n && s->p[i] != '[' && s->p[i] != ']')
		i++;
	if (i >= s->n || s->p[i] != ']')
		return false;
	*s = bytes_from(*s, i + 1);
	skip_blanks(s);
	return true;
}

/* Blobs, then "re", "fw" or "fwd", blanks, perhaps a blob, ':'. */
static bool take_refwd(struct bytes *s)
{
	struct bytes rest = *s;

	while (take_blob(&rest))
		;
	if (bytes_starts(rest, BYTES_LIT("fwd")))
		rest = bytes_from(rest, 3);
	else if (bytes_starts(rest, BYTES_LIT("re")) || bytes_starts(rest, BYTES_LIT("fw")))
		rest = bytes_from(rest, 2);
	else
		return false;
	skip_blanks(&rest);
	(void)take_blob(&rest);
	if (rest.n == 0 || rest.p[0] != ':')
		return false;
	*s = bytes_from(rest, 1);
	return true;
}

/* Steps 2 to 5. */
static struct bytes strip(struct bytes s, bool *is_reply)
{
	bool goes_on = true;

	for (;;) { /* step 2 */
		if (s.n > 0 && s.p[s.n - 1] == ' ') {
			s.n--;
		} else if (bytes_ends(s, BYTES_LIT("(fwd)"))) {
			s.n -= 5;
			*is_reply = true;
		} else {
			break;
		}
	}
	while (goes_on) {
		struct bytes without = s;

		goes_on = false;
		for (;;) { /* step 3 */
			if (s.n > 0 && s.p[0] == ' ') {
				s = bytes_from(s, 1);
			} else if (take_refwd(&s)) {
				*is_reply = true;
			} else {
				break;
			}
			goes_on = true;
		}
		without = s;
		if (take_blob(&without) && without.n > 0) { /* step 4 */
			s = without;
			goes_on = true;
		}
	}
	return s;
}

bool mime_base_subject(struct bytes body, struct buffer *to)
{
	struct buffer text = { 0 };
	struct bytes s;
	bool is_reply = false;

	clean(body, &text);
	s = strip(buffer_bytes(&text), &is_reply);
	while (bytes_starts(s, BYTES_LIT("[fwd:")) && s.p[s.n - 1] == ']') { /* step 6 */
		is_reply = true;
		s = strip(bytes_sub(s, 5, s.n - 6), &is_reply);
	}
	buffer_add(to, s);
	buffer_fini(&text);
	return is_reply;
}

void mime_fold_words(struct bytes body, struct buffer *to)
{
	clean(body, to);
}
