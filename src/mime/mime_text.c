/* mime_text.c - what SEARCH looks at: headers and text parts, decoded and folded. */
#include "mime_private.h"

bool mime_fold_key(struct bytes key, struct bytes charset, struct buffer *to)
{
	struct buffer utf8 = { 0 };

	if (charset.n > 0 && !charset_is_known(charset))
		return false;
	charset_to_utf8(charset, key, &utf8);
	charset_fold(buffer_bytes(&utf8), to);
	buffer_fini(&utf8);
	return true;
}

bool mime_decode_part(struct bytes header, struct bytes body, struct buffer *to)
{
	struct bytes encoding = bytes_trim(mime_field(header, "Content-Transfer-Encoding"));

	encoding = bytes_trim(bytes_sub(encoding, 0, bytes_find(encoding, ';')));
	if (bytes_equal_nocase_str(encoding, "base64"))
		mime_decode_base64(body, to);
	else if (bytes_equal_nocase_str(encoding, "quoted-printable"))
		mime_decode_qp(body, false, to);
	else if (encoding.n == 0 || bytes_equal_nocase_str(encoding, "7bit") || bytes_equal_nocase_str(encoding, "8bit") ||
	         bytes_equal_nocase_str(encoding, "binary"))
		buffer_add(to, body);
	else
		return false;
	return true;
}

/* Whether TEXT, in one line and without encoded words, is decoded and folded as it stands, but for the case of its letters. */
static bool is_plain(struct bytes text)
{
	return bytes_is_ascii(text) && bytes_find(text, '\n') == text.n && bytes_find(text, '\r') == text.n &&
	       bytes_search(text, BYTES_LIT("=?")) == text.n;
}

static bool give_folded(struct bytes utf8, unsigned what, mime_text_fn *fn, void *arg)
{
	struct buffer folded = { 0 };
	bool is_over;

	if (bytes_is_ascii(utf8))
		return fn(arg, utf8, what | MIME_TEXT_ASCII);
	charset_fold(utf8, &folded);
	is_over = fn(arg, buffer_bytes(&folded), what);
	buffer_fini(&folded);
	return is_over;
}

static bool give_field(struct bytes body, unsigned what, mime_text_fn *fn, void *arg)
{
	struct arena a = { 0 };
	struct buffer text = { 0 };
	bool is_over;

	if (is_plain(body))
		return fn(arg, bytes_trim(body), what | MIME_TEXT_ASCII);
	charset_decode_header(mime_unfold(body, &a), &text);
	is_over = give_folded(buffer_bytes(&text), what, fn, arg);
	buffer_fini(&text);
	arena_fini(&a);
	return is_over;
}

static bool give_fields(struct bytes header, unsigned what, mime_text_fn *fn, void *arg)
{
	struct bytes field, body;
	struct buffer line = { 0 };
	bool is_over = false;

	while (!is_over && mime_next_field(&header, &field, &body)) {
		if (field.p + field.n + 1 == body.p) {
			is_over = give_field(bytes_make(field.p, field.n + 1 + body.n), what, fn, arg);
			continue;
		}
		buffer_clear(&line);
		buffer_add(&line, field);
		buffer_add_str(&line, ":");
		buffer_add(&line, body);
		is_over = give_field(buffer_bytes(&line), what, fn, arg);
	}
	buffer_fini(&line);
	return is_over;
}

/* Whether octets below 128 of CHARSET are ASCII and stay by themselves; of one that is not known they are taken for that. */
static bool keeps_ascii(struct bytes charset)
{
	static const char *const names[] = { "us-ascii", "utf-8", "iso-8859-", "windows-125", "koi8-" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (bytes_starts_nocase(charset, bytes_of(names[i])))
			return true;
	}
	return charset.n == 0;
}

static bool give_part(struct bytes message, const struct mime_part *part, mime_text_fn *fn, void *arg)
{
	struct bytes body = bytes_sub(message, part->body_off, part->body_len);
	struct bytes charset = BYTES_NONE;
	struct buffer raw = { 0 }, utf8 = { 0 };
	bool is_over;

	for (size_t i = 0; i < part->params.count; i++) {
		if (bytes_equal_nocase_str(part->params.at[2 * i], "charset"))
			charset = part->params.at[2 * i + 1];
	}
	if (bytes_equal_nocase_str(part->encoding, "quoted-printable")) {
		mime_decode_qp(body, false, &raw);
		body = buffer_bytes(&raw);
	} else if (bytes_equal_nocase_str(part->encoding, "base64")) {
		mime_decode_base64(body, &raw);
		body = buffer_bytes(&raw);
	}
	if (keeps_ascii(charset) && bytes_is_ascii(body)) {
		is_over = fn(arg, body, MIME_TEXT_ASCII);
	} else {
		charset_to_utf8(charset, body, &utf8);
		is_over = give_folded(buffer_bytes(&utf8), 0, fn, arg);
	}
	buffer_fini(&raw);
	buffer_fini(&utf8);
	return is_over;
}

/* IS_WITHIN: PART is of a message within the message, whose header is text to whoever reads it. */
static bool give_tree(struct bytes message, const struct mime_limits *limits, const struct mime_part *part, bool with_headers,
                      bool is_within, mime_text_fn *fn, void *arg)
{
	struct bytes header = bytes_sub(message, part->header_off, part->header_len);

	if ((with_headers || is_within) && give_fields(bytes_sub(header, 0, limits->header), is_within ? 0 : MIME_TEXT_HEADER, fn, arg))
		return true;
	if (!part->is_multipart && !part->is_message && bytes_equal_nocase_str(part->type, "text") &&
	    give_part(message, part, fn, arg))
		return true;
	for (const struct mime_part *c = part->children; c != NULL; c = c->next) {
		if (give_tree(message, limits, c, with_headers, is_within || part->is_message, fn, arg))
			return true;
	}
	return false;
}

bool mime_each_text(struct bytes message, const struct mime_limits *limits, bool with_headers, mime_text_fn *fn, void *arg)
{
	struct arena a = { 0 };
	bool is_over = give_tree(message, limits, mime_parse(message, limits, &a), with_headers, false, fn, arg);

	arena_fini(&a);
	return is_over;
}

bool mime_field_text(struct bytes body, mime_text_fn *fn, void *arg)
{
	return give_field(body, 0, fn, arg);
}

/* mime_text_fn: ARG is the folded key. */
static bool contains(void *arg, struct bytes text, unsigned what)
{
	const struct bytes *key = arg;

	return key->n == 0 || ((what & MIME_TEXT_ASCII) != 0 ? bytes_search_lower(text, *key) : bytes_search(text, *key)) < text.n;
}

bool mime_header_contains(struct bytes header, struct bytes name, struct bytes key)
{
	struct bytes field, body;

	while (mime_next_field(&header, &field, &body)) {
		if (bytes_equal_nocase(field, name) && (key.n == 0 || give_field(body, 0, contains, &key)))
			return true;
	}
	return false;
}

bool mime_text_contains(struct bytes message, const struct mime_limits *limits, struct bytes key, bool with_headers)
{
	return mime_each_text(message, limits, with_headers, contains, &key);
}
