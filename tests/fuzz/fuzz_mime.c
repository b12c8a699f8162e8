/* fuzz_mime.c - a message: its tree of parts, the kept structure, and every section that IMAP can name. The input is also
 * taken for a kept structure itself.
 *
 * All parts lie within the message, children within their parents; what is written is well-formed for IMAP; the kept
 * structure finds each part where the tree has it. */
#include "fuzz.h"
#include "fuzz_imap_string.h"
#include "mime_private.h"

static const struct mime_limits limits = { .parts = 20, .depth = 6, .header = 1000 };

/* A value of an answer: NIL, number, string, or a list of values (RFC 3501 section 9). */
static void skip_value(struct cursor *c, size_t depth)
{
	FUZZ_CHECK(depth < 40);
	if (cursor_take(c, '(')) {
		while (!cursor_take(c, ')')) {
			skip_value(c, depth + 1);
			if (cursor_take(c, ' '))
				FUZZ_CHECK(cursor_peek(c) != ')' && cursor_peek(c) != ' ');
			else
				FUZZ_CHECK(cursor_peek(c) == ')' || cursor_peek(c) == '(');
		}
	} else if (!fuzz_imap_string(c) && !cursor_take_nocase(c, BYTES_LIT("NIL"))) {
		const uint8_t *start = c->p;

		while (!cursor_at_end(c) && ascii_is_digit(*c->p))
			c->p++;
		FUZZ_CHECK(c->p > start);
	}
}

static void check_text(struct bytes text)
{
	struct cursor c = cursor_of(text);

	FUZZ_CHECK(text.n > 0);
	skip_value(&c, 0);
	FUZZ_CHECK(cursor_at_end(&c));
}

struct tree {
	struct bytes message, blob;
	uint32_t path[32];
	size_t count;
};

static void check_section(const struct tree *t, size_t count, enum mime_section what, size_t off, size_t len)
{
	uint64_t off_is = 0, len_is = 0;

	FUZZ_CHECK(mime_blob_section(t->blob, t->path, count, what, &off_is, &len_is));
	FUZZ_CHECK(off_is == off && len_is == len);
}

static void check_part(struct tree *t, const struct mime_part *part);

static void check_child(struct tree *t, const struct mime_part *part, uint32_t number)
{
	t->path[t->count++] = number;
	check_part(t, part);
	t->count--;
}

/* PART is what T's path names: a leaf, a multipart, or a message/rfc822. */
static void check_part(struct tree *t, const struct mime_part *part)
{
	const struct mime_part *inner = part->is_message ? part->children : NULL;
	uint32_t number = 0;

	FUZZ_CHECK(part->header_off + part->header_len == part->body_off);
	FUZZ_CHECK(part->body_off <= t->message.n && part->body_len <= t->message.n - part->body_off);
	if (t->count > 0) {
		check_section(t, t->count, MIME_ALL, part->body_off, part->body_len);
		check_section(t, t->count, MIME_MIME, part->header_off, part->header_len);
	}
	for (const struct mime_part *c = part->children; c != NULL; c = c->next) {
		FUZZ_CHECK(c->header_off >= part->body_off);
		FUZZ_CHECK(c->body_off + c->body_len <= part->body_off + part->body_len);
	}
	if (part->is_multipart) {
		for (const struct mime_part *c = part->children; c != NULL; c = c->next)
			check_child(t, c, ++number);
	}
	/* BODY[1] of a message that is itself no multipart is its body; part 1 of the message within is the body of that. */
	if (inner != NULL && t->count > 0) {
		check_section(t, t->count, MIME_HEADER, inner->header_off, inner->header_len);
		check_section(t, t->count, MIME_TEXT, inner->body_off, inner->body_len);
		if (inner->is_multipart) {
			for (const struct mime_part *c = inner->children; c != NULL; c = c->next)
				check_child(t, c, ++number);
		} else {
			check_child(t, inner, 1);
		}
	}
}

static void try_as_blob(struct bytes blob)
{
	static const uint32_t paths[] = { 1, 2, 1, 1 };
	uint64_t off, len;
	struct bytes text;

	if (mime_blob_preview(blob, &text))
		fuzz_touch(text);
	fuzz_touch(mime_blob_envelope(blob));
	fuzz_touch(mime_blob_body(blob));
	fuzz_touch(mime_blob_bodystructure(blob));
	for (size_t count = 0; count <= 4; count++) {
		for (int what = MIME_ALL; what <= MIME_MIME; what++)
			(void)mime_blob_section(blob, paths, count, (enum mime_section)what, &off, &len);
	}
}

/* Whole characters of UTF-8, no more than there may be, no blank at either end and none that could break a line. */
static void check_preview(struct bytes message, struct bytes blob)
{
	struct buffer made = { 0 };
	struct bytes kept, rest;
	size_t chars = 0;

	mime_preview(message, &limits, &made);
	FUZZ_CHECK(mime_blob_preview(blob, &kept) && bytes_equal(kept, buffer_bytes(&made)));
	for (rest = kept; rest.n > 0; chars++) {
		size_t n = rest.p[0] < 0x80 ? 1 : rest.p[0] < 0xe0 ? 2 : rest.p[0] < 0xf0 ? 3 : 4;

		FUZZ_CHECK(rest.p[0] >= ' ' && (rest.p[0] & 0xc0) != 0x80 && n <= rest.n);
		for (size_t i = 1; i < n; i++)
			FUZZ_CHECK((rest.p[i] & 0xc0) == 0x80);
		rest = bytes_from(rest, n);
	}
	FUZZ_CHECK(chars <= MIME_PREVIEW_CHARS && (kept.n == 0 || (kept.p[0] != ' ' && kept.p[kept.n - 1] != ' ')));
	buffer_fini(&made);
}

static void check_fields(struct bytes header)
{
	struct buffer wanted = { 0 }, others = { 0 };
	const struct bytes names[] = { BYTES_LIT("Subject"), BYTES_LIT("content-type"), BYTES_LIT("") };
	struct bytes rest, name, body;
	size_t in_all = 0, in_parts = 0;
	int64_t seconds, days;

	mime_header_fields(&wanted, header, names, 3, false);
	mime_header_fields(&others, header, names, 3, true);
	for (rest = header; mime_next_field(&rest, &name, &body); in_all++) {
		fuzz_touch(name);
		if (mime_date(body, &seconds, &days))
			FUZZ_CHECK(seconds / 86400 - days <= 3 && days - seconds / 86400 <= 3);
	}
	for (rest = buffer_bytes(&wanted); mime_next_field(&rest, &name, &body); in_parts++)
		;
	for (rest = buffer_bytes(&others); mime_next_field(&rest, &name, &body); in_parts++)
		;
	FUZZ_CHECK(in_all == in_parts);
	buffer_fini(&wanted);
	buffer_fini(&others);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree t = { .message = bytes_make(data, size) };
	struct arena a = { 0 };
	struct buffer blob = { 0 };
	const struct mime_part *root = mime_parse(t.message, &limits, &a);

	mime_blob_write(&blob, t.message, &limits);
	t.blob = buffer_bytes(&blob);
	check_text(mime_blob_envelope(t.blob));
	check_text(mime_blob_body(t.blob));
	check_text(mime_blob_bodystructure(t.blob));
	FUZZ_CHECK(root->header_off == 0 && root->body_off + root->body_len == size);
	check_section(&t, 0, MIME_ALL, 0, size);
	check_section(&t, 0, MIME_HEADER, 0, root->header_len);
	check_section(&t, 0, MIME_TEXT, root->body_off, root->body_len);
	if (!root->is_multipart)
		check_child(&t, root, 1);
	else
		check_part(&t, root);
	check_fields(mime_header_of(t.message));
	check_preview(t.message, t.blob);
	try_as_blob(t.message);
	/* Cut anywhere, it is refused or answered, not read beyond its end. */
	try_as_blob(bytes_sub(t.blob, 0, t.blob.n / 2));
	try_as_blob(bytes_sub(t.blob, 0, t.blob.n - 1));
	buffer_fini(&blob);
	arena_fini(&a);
	return 0;
}
