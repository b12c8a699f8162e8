/* mime_text.c - what SEARCH looks at: headers and text parts, decoded and folded. */
#include <string.h>

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

static bool folded_contains(struct bytes utf8, struct bytes key)
{
	struct buffer folded = { 0 };
	struct bytes text;
	bool found;

	charset_fold(utf8, &folded);
	text = buffer_bytes(&folded);
	found = key.n == 0 || bytes_search(text, key) < text.n;
	buffer_fini(&folded);
	return found;
}

/* Whether TEXT, plain ASCII in one line and without encoded words, is what it would be decoded and folded to but for case. */
static bool is_plain(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] >= 0x80 || text.p[i] == '\r' || text.p[i] == '\n' || (text.p[i] == '=' && i + 1 < text.n && text.p[i + 1] == '?'))
			return false;
	}
	return true;
}

/* KEY is folded. */
static bool contains_nocase(struct bytes text, struct bytes key)
{
	for (size_t i = 0; key.n <= text.n && i <= text.n - key.n; i++) {
		size_t k = 0;

		while (k < key.n && ascii_lower(text.p[i + k]) == key.p[k])
			k++;
		if (k == key.n)
			return true;
	}
	return false;
}

static bool field_contains(struct bytes body, struct bytes key)
{
	struct arena a = { 0 };
	struct buffer text = { 0 };
	bool found;

	if (is_plain(body))
		return contains_nocase(bytes_trim(body), key);
	charset_decode_header(mime_unfold(body, &a), &text);
	found = folded_contains(buffer_bytes(&text), key);
	buffer_fini(&text);
	arena_fini(&a);
	return found;
}

bool mime_header_contains(struct bytes header, struct bytes name, struct bytes key)
{
	struct bytes field, body;

	while (mime_next_field(&header, &field, &body)) {
		if (bytes_equal_nocase(field, name) && (key.n == 0 || field_contains(body, key)))
			return true;
	}
	return false;
}

static bool any_field_contains(struct bytes header, struct bytes key)
{
	struct bytes field, body;
	struct buffer line = { 0 };
	bool found = false;

	while (!found && mime_next_field(&header, &field, &body)) {
		buffer_clear(&line);
		buffer_add(&line, field);
		buffer_add_str(&line, ":");
		buffer_add(&line, body);
		found = field_contains(buffer_bytes(&line), key);
	}
	buffer_fini(&line);
	return found;
}

static bool part_contains(struct bytes message, const struct mime_part *part, struct bytes key)
{
	struct bytes body = bytes_sub(message, part->body_off, part->body_len);
	struct bytes charset = BYTES_NONE;
	struct buffer raw = { 0 }, utf8 = { 0 };
	bool found;

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
	charset_to_utf8(charset, body, &utf8);
	found = folded_contains(buffer_bytes(&utf8), key);
	buffer_fini(&raw);
	buffer_fini(&utf8);
	return found;
}

static bool tree_contains(struct bytes message, const struct mime_limits *limits, const struct mime_part *part,
                          struct bytes key, bool with_headers)
{
	struct bytes header = bytes_sub(message, part->header_off, part->header_len);

	if (with_headers && any_field_contains(bytes_sub(header, 0, limits->header), key))
		return true;
	if (!part->is_multipart && !part->is_message && bytes_equal_nocase_str(part->type, "text") &&
	    part_contains(message, part, key))
		return true;
	for (const struct mime_part *c = part->children; c != NULL; c = c->next) {
		/* The header of a message within a message is text to whoever reads it. */
		if (tree_contains(message, limits, c, key, with_headers || part->is_message))
			return true;
	}
	return false;
}

bool mime_text_contains(struct bytes message, const struct mime_limits *limits, struct bytes key, bool with_headers)
{
	struct arena a = { 0 };
	bool found = tree_contains(message, limits, mime_parse(message, limits, &a), key, with_headers);

	arena_fini(&a);
	return found;
}
