/* mime_address.c - lists of addresses (RFC 5322 section 3.4, and what is written instead) as ENVELOPE has them. */
#include <string.h>

#include "mime_private.h"

#define ADDRESSES_MAX 10000

static void write_address(struct buffer *to, struct bytes name, struct bytes route, struct bytes mailbox, struct bytes host)
{
	buffer_add_u8(to, '(');
	mime_write_nstring(to, name.n == 0 ? BYTES_NONE : name);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, route.n == 0 ? BYTES_NONE : route);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, mailbox);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, host);
	buffer_add_u8(to, ')');
}

static bool is_special(uint8_t c)
{
	return c == '\0' || strchr("()<>@,;:\"[]", c) != NULL;
}

/* Words up to a special: atoms, quoted strings and dots, joined as they stand. */
static struct bytes take_words(struct cursor *c, struct arena *a, bool with_blanks)
{
	struct buffer b = { 0 };
	struct bytes result, quoted;

	for (;;) {
		bool had_blank = !cursor_at_end(c) && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n');

		mime_skip_cfws(c);
		if (cursor_at_end(c))
			break;
		if (had_blank && with_blanks && b.n > 0 && (!is_special(*c->p) || *c->p == '"'))
			buffer_add_u8(&b, ' ');
		if (*c->p == '"') {
			(void)mime_take_quoted(c, a, &quoted);
			buffer_add(&b, quoted);
		} else if (*c->p == '[') {
			size_t n = bytes_find(cursor_rest(c), ']');

			n = n < cursor_left(c) ? n + 1 : n;
			buffer_add(&b, bytes_make(c->p, n));
			c->p += n;
		} else if (is_special(*c->p)) {
			break;
		} else {
			buffer_add_u8(&b, *c->p++);
		}
	}
	result = arena_copy(a, buffer_bytes(&b));
	buffer_fini(&b);
	return result;
}

/* "<@one,@two:local@host>" behind NAME. */
static void angle(struct cursor *c, struct arena *a, struct buffer *to, struct bytes name)
{
	struct bytes route = BYTES_NONE, local, host = BYTES_NONE;

	c->p++;
	mime_skip_cfws(c);
	if (cursor_peek(c) == '@') {
		size_t colon = bytes_find(cursor_rest(c), ':');

		if (colon < cursor_left(c)) {
			route = bytes_make(c->p, colon);
			c->p += colon + 1;
		}
	}
	local = take_words(c, a, false);
	if (cursor_take(c, '@'))
		host = take_words(c, a, false);
	while (!cursor_at_end(c) && *c->p != '>' && *c->p != ',')
		c->p++;
	(void)cursor_take(c, '>');
	write_address(to, name, route, local, host.p == NULL ? BYTES_LIT("") : host);
}

/* "(comment)" right behind a bare address is an old way to name its owner. */
static struct bytes old_name(struct bytes raw)
{
	size_t open = bytes_find(raw, '('), close = bytes_rfind(raw, ')');

	if (open >= raw.n || close >= raw.n || close < open)
		return BYTES_NONE;
	return bytes_trim(bytes_sub(raw, open + 1, close - open - 1));
}

static bool one(struct cursor *c, struct arena *a, struct buffer *to, bool *in_group)
{
	const uint8_t *start = c->p;
	struct bytes words = take_words(c, a, true);
	int next = cursor_peek(c);

	if (next == '<') {
		angle(c, a, to, words);
	} else if (next == '@') {
		struct bytes host;

		c->p++;
		host = take_words(c, a, false);
		write_address(to, old_name(bytes_make(start, (size_t)(c->p - start))), BYTES_NONE, words, host);
	} else if (next == ':' && !*in_group) {
		c->p++;
		*in_group = true;
		write_address(to, BYTES_NONE, BYTES_NONE, words, BYTES_NONE);
	} else if (next == ';' && *in_group) {
		if (words.n > 0)
			write_address(to, BYTES_NONE, BYTES_NONE, words, BYTES_LIT(""));
		c->p++;
		*in_group = false;
		write_address(to, BYTES_NONE, BYTES_NONE, BYTES_NONE, BYTES_NONE);
	} else {
		if (words.n > 0)
			write_address(to, BYTES_NONE, BYTES_NONE, words, BYTES_LIT(""));
		if (!cursor_at_end(c))
			c->p++;
	}
	return !cursor_at_end(c);
}

void mime_write_addresses(struct buffer *to, struct bytes body)
{
	struct cursor c = cursor_of(body);
	struct arena a = { 0 };
	size_t start = to->n;
	bool in_group = false;

	buffer_add_u8(to, '(');
	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		mime_skip_cfws(&c);
		if (cursor_at_end(&c) || !one(&c, &a, to, &in_group))
			break;
	}
	if (in_group)
		write_address(to, BYTES_NONE, BYTES_NONE, BYTES_NONE, BYTES_NONE);
	if (to->n == start + 1) {
		to->n = start;
		buffer_add_str(to, "NIL");
	} else {
		buffer_add_u8(to, ')');
	}
	arena_fini(&a);
}
