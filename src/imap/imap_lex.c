/* imap_lex.c - atoms, strings and numbers. Each taker works on the cursor and puts it back where it does not find
 * its part. */
#include "imap_lex.h"

#include <string.h>

bool imap_is_atom_char(uint8_t c)
{
	return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

bool imap_is_astring_char(uint8_t c)
{
	return imap_is_atom_char(c) || c == ']';
}

bool imap_is_list_char(uint8_t c)
{
	return imap_is_astring_char(c) || c == '%' || c == '*';
}

bool imap_expected(const struct cursor *c, const char *what, struct fault *why)
{
	struct bytes rest = cursor_rest(c);

	rest = bytes_sub(rest, 0, rest.n < 20 ? rest.n : 20);
	if (rest.n == 0)
		return fault_set(why, FAULT_CLIENT, "expected %s at the end", what);
	return fault_set(why, FAULT_CLIENT, "expected %s before \"%.*s\"", what, BYTES_FMT(rest));
}

static bool take_while(struct cursor *c, bool (*is_in)(uint8_t), struct bytes *s_r)
{
	const uint8_t *start = c->p;

	while (!cursor_at_end(c) && is_in(*c->p))
		c->p++;
	*s_r = bytes_make(start, (size_t)(c->p - start));
	return s_r->n > 0;
}

bool imap_take_atom(struct cursor *c, struct bytes *s_r, struct fault *why)
{
	return take_while(c, imap_is_atom_char, s_r) || imap_expected(c, "an atom", why);
}

static bool take_quoted(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why)
{
	const uint8_t *start = c->p + 1;
	const uint8_t *p = start;
	bool has_escape = false;

	while (p < c->end && *p != '"') {
		if (*p == '\\') {
			has_escape = true;
			if (++p == c->end || (*p != '"' && *p != '\\'))
				return imap_expected(c, "a quoted string whose \\ is followed by \" or \\", why);
		}
		if (*p == '\r' || *p == '\n' || *p == '\0')
			return imap_expected(c, "a quoted string without CR, LF and NUL", why);
		p++;
	}
	if (p == c->end)
		return imap_expected(c, "a quoted string that ends", why);
	*s_r = bytes_make(start, (size_t)(p - start));
	c->p = p + 1;
	if (has_escape) {
		uint8_t *to = arena_alloc(a, s_r->n);
		size_t n = 0;

		for (size_t i = 0; i < s_r->n; i++) {
			if (s_r->p[i] == '\\')
				i++;
			to[n++] = s_r->p[i];
		}
		*s_r = bytes_make(to, n);
	}
	return true;
}

static bool take_literal(struct cursor *c, struct bytes *s_r, struct fault *why)
{
	struct cursor try = *c;
	const uint8_t *start;
	uint64_t n;

	if (!cursor_take(&try, '{'))
		return imap_expected(c, "a literal", why);
	start = try.p;
	while (!cursor_at_end(&try) && ascii_is_digit(*try.p))
		try.p++;
	if (!bytes_to_u64(bytes_make(start, (size_t)(try.p - start)), SIZE_MAX, &n))
		return imap_expected(c, "a literal", why);
	(void)cursor_take(&try, '+');
	if (!cursor_take(&try, '}'))
		return imap_expected(c, "a literal", why);
	(void)cursor_take(&try, '\r');
	if (!cursor_take(&try, '\n') || !cursor_bytes(&try, (size_t)n, s_r))
		return imap_expected(c, "a literal with its octets", why);
	*c = try;
	return true;
}

bool imap_take_string(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why)
{
	if (cursor_peek(c) == '"')
		return take_quoted(c, a, s_r, why);
	if (cursor_peek(c) == '{') {
		if (!take_literal(c, s_r, why))
			return false;
		return true;
	}
	return imap_expected(c, "a string", why);
}

bool imap_take_astring(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why)
{
	if (cursor_peek(c) == '"' || cursor_peek(c) == '{')
		return imap_take_string(c, a, s_r, why);
	return take_while(c, imap_is_astring_char, s_r) || imap_expected(c, "an atom or a string", why);
}

bool imap_take_nstring(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why)
{
	if (cursor_take_nocase(c, BYTES_LIT("NIL"))) {
		*s_r = BYTES_NONE;
		return true;
	}
	return imap_take_string(c, a, s_r, why);
}

bool imap_take_list_mailbox(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why)
{
	if (cursor_peek(c) == '"' || cursor_peek(c) == '{')
		return imap_take_string(c, a, s_r, why);
	return take_while(c, imap_is_list_char, s_r) || imap_expected(c, "a mailbox pattern", why);
}

bool imap_take_number(struct cursor *c, uint64_t max, uint64_t *n_r, struct fault *why)
{
	const uint8_t *start = c->p;

	while (!cursor_at_end(c) && ascii_is_digit(*c->p))
		c->p++;
	if (bytes_to_u64(bytes_make(start, (size_t)(c->p - start)), max, n_r))
		return true;
	c->p = start;
	return imap_expected(c, "a number within its range", why);
}

bool imap_take_space(struct cursor *c, struct fault *why)
{
	return cursor_take(c, ' ') || imap_expected(c, "a blank", why);
}

bool imap_at_end(struct cursor *c, struct fault *why)
{
	/* Some clients leave a blank before the line's end. */
	while (cursor_take(c, ' '))
		;
	return cursor_at_end(c) || imap_expected(c, "the end of the command", why);
}
