/* mime_header.c - header fields and the small parts of their syntax. */
#include <string.h>

#include "mime_private.h"

struct bytes mime_header_of(struct bytes message)
{
	size_t at = 0;

	while (at < message.n) {
		size_t n = bytes_find(bytes_from(message, at), '\n');
		struct bytes line = bytes_sub(message, at, n);

		if (at + n >= message.n)
			return message; /* no blank line: all of it is header */
		at += n + 1;
		if (line.n == 0 || (line.n == 1 && line.p[0] == '\r'))
			return bytes_sub(message, 0, at);
	}
	return message;
}

bool mime_next_field(struct bytes *header, struct bytes *name_r, struct bytes *body_r)
{
	while (header->n > 0) {
		struct bytes field = *header;
		size_t end = 0, colon;

		/* A field goes on as long as lines begin with a blank. */
		do {
			end += bytes_find(bytes_from(field, end), '\n') + 1;
		} while (end < field.n && (field.p[end] == ' ' || field.p[end] == '\t'));
		if (end > field.n)
			end = field.n;
		field = bytes_sub(field, 0, end);
		*header = bytes_from(*header, end);
		while (field.n > 0 && (field.p[field.n - 1] == '\n' || field.p[field.n - 1] == '\r'))
			field.n--;
		colon = bytes_find(field, ':');
		if (field.n == 0 || colon == field.n)
			continue;
		*name_r = bytes_trim(bytes_sub(field, 0, colon));
		*body_r = bytes_from(field, colon + 1);
		return true;
	}
	return false;
}

struct bytes mime_field(struct bytes header, const char *name)
{
	struct bytes field, body;

	while (mime_next_field(&header, &field, &body)) {
		if (bytes_equal_nocase_str(field, name))
			return body;
	}
	return BYTES_NONE;
}

static bool is_listed(struct bytes name, const struct bytes *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal_nocase(name, names[i]))
			return true;
	}
	return false;
}

void mime_header_fields(struct buffer *to, struct bytes header, const struct bytes *names, size_t count, bool is_not)
{
	struct bytes rest = header, name, body;

	while (rest.n > 0) {
		struct bytes before = rest, one;

		if (!mime_next_field(&rest, &name, &body))
			break;
		one = bytes_sub(before, 0, before.n - rest.n);
		/* A malformed line that was skipped stands in front: begin at the field itself. */
		one = bytes_make(name.p, (size_t)(one.p + one.n - name.p));
		if (is_listed(name, names, count) != is_not) {
			buffer_add(to, one);
			if (one.p[one.n - 1] != '\n')
				buffer_add_str(to, "\r\n");
		}
	}
	buffer_add_str(to, "\r\n");
}

struct bytes mime_unfold(struct bytes body, struct arena *a)
{
	uint8_t *to = arena_alloc(a, body.n);
	size_t n = 0;

	for (size_t i = 0; i < body.n; i++) {
		if (body.p[i] != '\r' && body.p[i] != '\n')
			to[n++] = body.p[i];
	}
	return bytes_trim(bytes_make(to, n));
}

void mime_skip_cfws(struct cursor *c)
{
	unsigned depth = 0;

	while (!cursor_at_end(c)) {
		uint8_t o = *c->p;

		if (o == '(') {
			depth++;
		} else if (o == ')' && depth > 0) {
			depth--;
		} else if (o == '\\' && depth > 0 && cursor_left(c) > 1) {
			c->p++;
		} else if (depth == 0 && o != ' ' && o != '\t' && o != '\r' && o != '\n') {
			return;
		}
		c->p++;
	}
}

struct bytes mime_take_token(struct cursor *c)
{
	const uint8_t *start = c->p;

	while (!cursor_at_end(c) && *c->p > ' ' && *c->p != 0x7f && strchr("()<>@,;:\\\"/[]?=", *c->p) == NULL)
		c->p++;
	return bytes_make(start, (size_t)(c->p - start));
}

bool mime_take_quoted(struct cursor *c, struct arena *a, struct bytes *s_r)
{
	const uint8_t *end;
	uint8_t *to;
	size_t n = 0;

	if (!cursor_take(c, '"'))
		return false;
	/* No more memory than the string has octets: a header may hold a great many of them. */
	for (end = c->p; end < c->end && *end != '"'; end++)
		end += *end == '\\' && end + 1 < c->end;
	to = arena_alloc(a, (size_t)(end - c->p));
	while (!cursor_at_end(c)) {
		uint8_t o = *c->p++;

		if (o == '"')
			break;
		if (o == '\\' && !cursor_at_end(c))
			o = *c->p++;
		if (o != '\r' && o != '\n')
			to[n++] = o;
	}
	*s_r = bytes_make(to, n);
	return true;
}

#define PARAMS_MAX 64

void mime_take_params(struct cursor *c, struct arena *a, struct mime_params *p_r)
{
	struct bytes pairs[PARAMS_MAX * 2];

	p_r->count = 0;
	for (;;) {
		struct bytes name, value;

		mime_skip_cfws(c);
		if (cursor_at_end(c) || p_r->count == PARAMS_MAX)
			break;
		if (!cursor_take(c, ';')) {
			c->p++;
			continue;
		}
		mime_skip_cfws(c);
		name = mime_take_token(c);
		mime_skip_cfws(c);
		if (name.n == 0 || !cursor_take(c, '='))
			continue;
		mime_skip_cfws(c);
		if (!mime_take_quoted(c, a, &value)) {
			const uint8_t *start = c->p;

			/* More than a token: many write unquoted what would need quotes. */
			while (!cursor_at_end(c) && *c->p != ';' && *c->p > ' ')
				c->p++;
			value = bytes_make(start, (size_t)(c->p - start));
		}
		pairs[p_r->count * 2] = name;
		pairs[p_r->count * 2 + 1] = value;
		p_r->count++;
	}
	p_r->at = arena_array(a, p_r->count * 2, sizeof(*p_r->at));
	if (p_r->count > 0)
		memcpy(p_r->at, pairs, p_r->count * 2 * sizeof(*pairs));
}
