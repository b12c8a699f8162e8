/* mime_parse.c - the tree of parts, in one pass over the message: header fields, then the body's lines for the boundaries
 * of all multiparts that are open. */
#include <string.h>

#include "mime_private.h"

struct parser {
	struct bytes message;
	const struct mime_limits *limits;
	struct arena *a;
	size_t parts;
};

static struct bytes param(const struct mime_params *p, const char *name)
{
	for (size_t i = 0; i < p->count; i++) {
		if (bytes_equal_nocase_str(p->at[2 * i], name))
			return p->at[2 * i + 1];
	}
	return BYTES_NONE;
}

static void content_type(struct parser *ps, struct mime_part *part, struct bytes body)
{
	struct cursor c = cursor_of(body);
	struct bytes type, subtype;

	mime_skip_cfws(&c);
	type = mime_take_token(&c);
	mime_skip_cfws(&c);
	if (type.n == 0 || !cursor_take(&c, '/'))
		return;
	mime_skip_cfws(&c);
	subtype = mime_take_token(&c);
	if (subtype.n == 0)
		return;
	part->type = type;
	part->subtype = subtype;
	mime_take_params(&c, ps->a, &part->params);
}

static void disposition(struct parser *ps, struct mime_part *part, struct bytes body)
{
	struct cursor c = cursor_of(body);

	mime_skip_cfws(&c);
	part->disposition = mime_take_token(&c);
	if (part->disposition.n == 0)
		part->disposition = BYTES_NONE;
	else
		mime_take_params(&c, ps->a, &part->disposition_params);
}

static void read_header(struct parser *ps, struct mime_part *part)
{
	struct bytes header = bytes_sub(ps->message, part->header_off, part->header_len);
	struct bytes name, body;

	header = bytes_sub(header, 0, ps->limits->header);
	while (mime_next_field(&header, &name, &body)) {
		if (name.n < 10 || !bytes_starts_nocase(name, BYTES_LIT("Content-")))
			continue;
		if (bytes_equal_nocase_str(name, "Content-Type"))
			content_type(ps, part, body);
		else if (bytes_equal_nocase_str(name, "Content-Disposition"))
			disposition(ps, part, body);
		else if (bytes_equal_nocase_str(name, "Content-Transfer-Encoding"))
			part->encoding = mime_unfold(body, ps->a);
		else if (bytes_equal_nocase_str(name, "Content-Id"))
			part->id = mime_unfold(body, ps->a);
		else if (bytes_equal_nocase_str(name, "Content-Description"))
			part->description = mime_unfold(body, ps->a);
		else if (bytes_equal_nocase_str(name, "Content-Md5"))
			part->md5 = mime_unfold(body, ps->a);
		else if (bytes_equal_nocase_str(name, "Content-Language"))
			part->language = mime_unfold(body, ps->a);
		else if (bytes_equal_nocase_str(name, "Content-Location"))
			part->location = mime_unfold(body, ps->a);
	}
}

static uint32_t count_lines(struct bytes b)
{
	uint32_t lines = 0;

	while (b.n > 0) {
		size_t n = bytes_find(b, '\n');

		if (n == b.n)
			break;
		lines++;
		b = bytes_from(b, n + 1);
	}
	return lines;
}

/* Whether LINE delimits BOUNDARY: "--boundary", for the last "--boundary--" (RFC 2046 section 5.1.1). */
static bool is_delimiter(struct bytes line, struct bytes boundary, bool *is_last_r)
{
	struct bytes rest;

	if (line.n < boundary.n + 2 || line.p[0] != '-' || line.p[1] != '-' ||
	    memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return false;
	rest = bytes_from(line, boundary.n + 2);
	*is_last_r = rest.n >= 2 && rest.p[0] == '-' && rest.p[1] == '-';
	return bytes_trim(*is_last_r ? bytes_from(rest, 2) : rest).n == 0;
}

static void parse_part(struct parser *ps, struct mime_part *part, size_t off, size_t end, size_t depth, bool in_digest);

static struct mime_part *new_part(struct parser *ps, struct mime_part *parent, unsigned number)
{
	struct mime_part *part = arena_zalloc(ps->a, sizeof(*part));

	part->parent = parent;
	part->number = number;
	ps->parts++;
	return part;
}

/* Cut the body at its delimiters. A multipart within sees only its own piece, so an outer delimiter always ends it. */
static void parse_multipart(struct parser *ps, struct mime_part *part, struct bytes boundary, size_t depth)
{
	bool is_digest = bytes_equal_nocase_str(part->subtype, "digest");
	struct mime_part **last = &part->children;
	size_t end = part->body_off + part->body_len;
	size_t at = part->body_off, start = 0;
	unsigned number = 0;
	bool is_in = false, is_last = false;

	while (at < end && !is_last) {
		struct bytes rest = bytes_sub(ps->message, at, end - at);
		size_t n = bytes_find(rest, '\n');
		struct bytes line = bytes_sub(rest, 0, n);
		size_t next = at + (n < rest.n ? n + 1 : n);

		if (line.n > 0 && line.p[0] == '-' && is_delimiter(line, boundary, &is_last)) {
			if (is_in) {
				size_t stop = at;

				/* The line end before a delimiter belongs to it. */
				if (stop > start && ps->message.p[stop - 1] == '\n')
					stop--;
				if (stop > start && ps->message.p[stop - 1] == '\r')
					stop--;
				parse_part(ps, *last, start, stop, depth + 1, is_digest);
				last = &(*last)->next;
			}
			is_in = !is_last && ps->parts < ps->limits->parts;
			if (is_in) {
				*last = new_part(ps, part, ++number);
				start = next;
			} else {
				break;
			}
		}
		at = next;
	}
	if (is_in)
		parse_part(ps, *last, start, end, depth + 1, is_digest);
}

static void parse_part(struct parser *ps, struct mime_part *part, size_t off, size_t end, size_t depth, bool in_digest)
{
	struct bytes header = mime_header_of(bytes_sub(ps->message, off, end - off));
	struct bytes boundary;

	part->header_off = off;
	part->header_len = header.n;
	part->body_off = off + header.n;
	part->body_len = end - part->body_off;
	part->type = in_digest ? BYTES_LIT("message") : BYTES_LIT("text");
	part->subtype = in_digest ? BYTES_LIT("rfc822") : BYTES_LIT("plain");
	read_header(ps, part);
	part->body_lines = count_lines(bytes_sub(ps->message, part->body_off, part->body_len));
	if (depth >= ps->limits->depth)
		return;
	boundary = param(&part->params, "boundary");
	if (bytes_equal_nocase_str(part->type, "multipart") && boundary.n > 0) {
		part->is_multipart = true;
		parse_multipart(ps, part, boundary, depth);
		part->is_multipart = part->children != NULL;
	} else if (bytes_equal_nocase_str(part->type, "message") &&
	           (bytes_equal_nocase_str(part->subtype, "rfc822") || bytes_equal_nocase_str(part->subtype, "global")) &&
	           ps->parts < ps->limits->parts) {
		part->is_message = true;
		part->children = new_part(ps, part, 1);
		parse_part(ps, part->children, part->body_off, end, depth + 1, false);
	}
}

struct mime_part *mime_parse(struct bytes message, const struct mime_limits *limits, struct arena *a)
{
	struct parser ps = { message, limits, a, 0 };
	struct mime_part *root = new_part(&ps, NULL, 0);

	parse_part(&ps, root, 0, message.n, 0, false);
	return root;
}
