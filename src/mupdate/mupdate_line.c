/* mupdate_line.c - the line is read from its start each time, until all of it is there: it is short, but for its
 * strings, and those are skipped by their length. */
#include "mupdate_line.h"

#include "cursor.h"

static enum mupdate_parse bad(struct fault *why, const char *what)
{
	(void)fault_set(why, FAULT_CLIENT, "%s", what);
	return MUPDATE_BAD;
}

static enum mupdate_parse over(struct fault *why, const char *what)
{
	(void)fault_set(why, FAULT_LIMIT, "%s", what);
	return MUPDATE_LIMIT;
}

/* Take an atom: what stands before a blank or the line's end. Empty where there is none. */
static struct bytes take_atom(struct cursor *c)
{
	const uint8_t *start = c->p;

	while (!cursor_at_end(c) && *c->p > ' ' && *c->p != 0x7f)
		c->p++;
	return bytes_make(start, (size_t)(c->p - start));
}

/* Take the line's end. MORE: it is not there yet. */
static enum mupdate_parse take_end(struct cursor *c, struct fault *why)
{
	if (cursor_at_end(c))
		return MUPDATE_MORE;
	if (cursor_take(c, '\n'))
		return MUPDATE_OK;
	if (!cursor_take(c, '\r'))
		return bad(why, "a blank or the line's end was expected");
	if (cursor_at_end(c))
		return MUPDATE_MORE;
	return cursor_take(c, '\n') ? MUPDATE_OK : bad(why, "CR without LF");
}

static enum mupdate_parse take_quoted(struct cursor *c, size_t max, struct arena *a, struct bytes *s_r, struct fault *why)
{
	const uint8_t *start = ++c->p;
	size_t escapes = 0;

	for (;; c->p++) {
		if (cursor_at_end(c))
			return (size_t)(c->p - start) > max ? over(why, "a quoted string is too long") : MUPDATE_MORE;
		if (*c->p == '"')
			break;
		if (*c->p == '\r' || *c->p == '\n' || *c->p == '\0')
			return bad(why, "a quoted string holds CR, LF or NUL");
		if (*c->p == '\\') {
			escapes++;
			c->p++;
			if (cursor_at_end(c))
				return MUPDATE_MORE;
			if (*c->p != '"' && *c->p != '\\')
				return bad(why, "only \" and \\ may follow a \\");
		}
	}
	*s_r = bytes_make(start, (size_t)(c->p - start));
	c->p++;
	if (s_r->n - escapes > max)
		return over(why, "a quoted string is too long");
	if (escapes > 0) {
		uint8_t *to = arena_alloc(a, s_r->n);
		size_t n = 0;

		for (size_t i = 0; i < s_r->n; i++) {
			if (s_r->p[i] == '\\')
				i++;
			to[n++] = s_r->p[i];
		}
		*s_r = bytes_make(to, n);
	}
	return MUPDATE_OK;
}

/* *missing_r: how many octets of it are not there yet, on MORE and GO_AHEAD. */
static enum mupdate_parse take_literal(struct cursor *c, size_t max, struct bytes *s_r, size_t *missing_r,
                                       struct fault *why)
{
	const uint8_t *start = ++c->p;
	bool is_sync = true;
	struct bytes digits;
	uint64_t n;
	enum mupdate_parse end;

	while (!cursor_at_end(c) && ascii_is_digit(*c->p) && c->p - start < 20)
		c->p++;
	digits = bytes_make(start, (size_t)(c->p - start));
	if (cursor_take(c, '+'))
		is_sync = false;
	if (cursor_at_end(c))
		return MUPDATE_MORE;
	if (!cursor_take(c, '}') || !bytes_to_u64(digits, UINT64_MAX, &n))
		return bad(why, "a literal is {N} or {N+}");
	end = take_end(c, why);
	if (end != MUPDATE_OK)
		return end;
	if (n > max) /* Who waits for a "+" does not send it and can be told; the other's octets are on their way. */
		return is_sync ? bad(why, "a literal is too long") : over(why, "a literal is too long");
	if (is_sync && cursor_at_end(c)) {
		/* Also before one of no octets: the peer waits to be told to go on with the line. */
		*missing_r = n > 0 ? (size_t)n : 1;
		return MUPDATE_GO_AHEAD;
	}
	if (!cursor_bytes(c, (size_t)n, s_r)) {
		*missing_r = (size_t)n - cursor_left(c);
		return MUPDATE_MORE;
	}
	return bytes_find(*s_r, '\0') == s_r->n ? MUPDATE_OK : bad(why, "a literal holds NUL");
}

static struct bytes upper(struct arena *a, struct bytes word)
{
	uint8_t *to = arena_alloc(a, word.n);

	for (size_t i = 0; i < word.n; i++)
		to[i] = ascii_upper(word.p[i]);
	return bytes_make(to, word.n);
}

static enum mupdate_parse take_args(struct cursor *c, size_t max, struct arena *a, struct mupdate_line *line,
                                    size_t *missing_r, struct fault *why)
{
	while (cursor_take(c, ' ')) {
		enum mupdate_parse result = MUPDATE_OK;
		struct bytes *arg = &line->args[line->count];
		int first = cursor_peek(c);

		if (first < 0)
			return MUPDATE_MORE;
		if (first == ' ' || first == '\r' || first == '\n')
			continue;
		if (line->count == MUPDATE_ARGS_MAX)
			return bad(why, "too many arguments");
		if (first == '"') {
			result = take_quoted(c, max, a, arg, why);
		} else if (first == '{') {
			result = take_literal(c, max, arg, missing_r, why);
		} else {
			*arg = take_atom(c);
			line->has_atom = true;
			if (arg->n == 0)
				return bad(why, "a control character");
		}
		if (result != MUPDATE_OK)
			return result;
		line->count++;
	}
	return take_end(c, why);
}

static enum mupdate_parse parse(struct cursor *c, size_t max, struct arena *a, struct mupdate_line *line,
                                size_t *missing_r, struct fault *why)
{
	struct bytes word;

	line->tag = take_atom(c);
	if (cursor_at_end(c))
		return MUPDATE_MORE;
	if (line->tag.n == 0 || line->tag.n > MUPDATE_TAG_MAX) {
		line->tag = BYTES_NONE;
		return bad(why, "a line begins with a tag");
	}
	if (!cursor_take(c, ' '))
		return take_end(c, why) == MUPDATE_MORE ? MUPDATE_MORE : bad(why, "a command follows the tag");
	word = take_atom(c);
	if (cursor_at_end(c))
		return MUPDATE_MORE;
	if (word.n == 0)
		return bad(why, "a command follows the tag");
	line->word = upper(a, word);
	return take_args(c, max, a, line, missing_r, why);
}

enum mupdate_parse mupdate_line_parse(struct bytes in, size_t max_string, struct arena *a, struct mupdate_line *line_r,
                                      size_t *used_r, struct fault *why_r)
{
	struct cursor c = cursor_of(in);
	enum mupdate_parse result;
	size_t end, missing = 1;

	*line_r = (struct mupdate_line){ 0 };
	result = parse(&c, max_string, a, line_r, &missing, why_r);
	*used_r = in.n - cursor_left(&c);
	if (result == MUPDATE_MORE || result == MUPDATE_GO_AHEAD)
		*used_r = in.n + missing;
	if (result == MUPDATE_MORE && in.n > MUPDATE_LINE_MAX + MUPDATE_ARGS_MAX * (max_string + 64))
		return over(why_r, "a line is too long");
	if (result != MUPDATE_BAD)
		return result;
	/* Skip to the end of the line on which it went wrong. */
	if (*used_r > 0 && in.p[*used_r - 1] == '\n')
		return MUPDATE_BAD;
	end = bytes_find(cursor_rest(&c), '\n');
	if (end == cursor_left(&c)) {
		*used_r = in.n + 1;
		return cursor_left(&c) > MUPDATE_LINE_MAX + max_string ? over(why_r, "a line is too long") : MUPDATE_MORE;
	}
	*used_r += end + 1;
	return MUPDATE_BAD;
}

void mupdate_add_string(struct buffer *to, struct bytes s)
{
	buffer_add(to, BYTES_LIT(" {"));
	buffer_add_u64(to, s.n);
	buffer_add(to, BYTES_LIT("+}\r\n"));
	buffer_add(to, s);
}

void mupdate_add_text(struct buffer *to, struct bytes text)
{
	buffer_add(to, BYTES_LIT(" \""));
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '"' || c == '\\')
			buffer_add_u8(to, '\\');
		buffer_add_u8(to, c < ' ' || c > '~' ? '?' : c);
	}
	buffer_add_u8(to, '"');
}
