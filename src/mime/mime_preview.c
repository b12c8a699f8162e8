/* mime_preview.c - the first words of a message, for lists of messages (RFC 8970): of the first text that has any, decoded, without
 * markup, blanks folded. Of a text a bounded part is looked at, of a message at most TEXTS_MAX texts, so that the cost
 * does not grow with the message. */
#include <string.h>
#include <utf8proc.h>

#include "mime_private.h"

/* Octets of one text, as they stand in the message. */
#define PLAIN_MAX 8192
#define HTML_MAX 65536
#define TEXTS_MAX 4
#define HTML_NAME_MAX 10    /* of an element or an entity */

/* The preview as it grows. */
struct preview {
	struct buffer *to;
	size_t chars;
	bool has_blank; /* between what was added and what comes */
};

static bool is_full(const struct preview *p)
{
	return p->chars >= MIME_PREVIEW_CHARS;
}

/* Characters that show nothing, by which senders fill what lists show. */
static bool is_nothing(utf8proc_int32_t c, bool is_after_blank)
{
	return c == 0xad || c == 0x34f || c == 0x200b || c == 0x2060 || c == 0xfeff || ((c == 0x200c || c == 0x200d) && is_after_blank);
}

static bool is_blank(utf8proc_int32_t c)
{
	utf8proc_category_t category;

	if (c < 0x80)
		return c <= ' ' || c == 0x7f;
	category = utf8proc_category(c);
	return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP ||
	       category == UTF8PROC_CATEGORY_CC;
}

static void add_char(struct preview *p, utf8proc_int32_t c)
{
	if (is_full(p) || is_nothing(c, p->has_blank || p->chars == 0))
		return;
	if (is_blank(c)) {
		p->has_blank = p->chars > 0;
		return;
	}
	if (p->has_blank) {
		p->has_blank = false;
		/* A blank in the last place would show nothing. */
		if (++p->chars == MIME_PREVIEW_CHARS)
			return;
		buffer_add_u8(p->to, ' ');
	}
	p->to->n += (size_t)utf8proc_encode_char(c, buffer_reserve(p->to, 4));
	p->chars++;
}

/* The character at the start of IN, which is UTF-8; 0 octets: none. */
static size_t next_char(struct bytes in, utf8proc_int32_t *c_r)
{
	utf8proc_ssize_t n = in.n == 0 ? 0 : utf8proc_iterate(in.p, (utf8proc_ssize_t)(in.n < 4 ? in.n : 4), c_r);

	if (n > 0)
		return (size_t)n;
	*c_r = ' ';
	return in.n > 0;
}

static void add_plain(struct preview *p, struct bytes in)
{
	utf8proc_int32_t c;
	size_t n;

	while (!is_full(p) && (n = next_char(in, &c)) > 0) {
		add_char(p, c);
		in = bytes_from(in, n);
	}
}

/* HTML. */

static bool is_one_of(struct bytes name, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (bytes_equal_nocase_str(name, *list))
			return true;
	}
	return false;
}

static struct bytes take_name(struct bytes in)
{
	size_t n = 0;

	while (n < in.n && n < HTML_NAME_MAX && ascii_is_alnum(in.p[n]))
		n++;
	return bytes_sub(in, 0, n);
}

/* The octets of the tag that IN begins with, quoted ">" included. */
static size_t tag_size(struct bytes in)
{
	uint8_t quote = 0;

	for (size_t i = 1; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (quote != 0)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '>')
			return i + 1;
	}
	return in.n;
}

/* Behind the end tag of NAME, or all of IN. */
static size_t element_size(struct bytes in, struct bytes name)
{
	for (size_t i = 0; i + 2 + name.n <= in.n; i++) {
		if (in.p[i] == '<' && in.p[i + 1] == '/' && bytes_equal_nocase(bytes_sub(in, i + 2, name.n), name))
			return i + tag_size(bytes_from(in, i));
	}
	return in.n;
}

/* What begins with "<": how many octets are no text. 0: it is text. */
static size_t markup_size(struct preview *p, struct bytes in)
{
	static const char *const hidden[] = { "head", "script", "style", "title", "template", NULL };
	static const char *const within_words[] = { "a",    "abbr", "b",      "big", "code", "em",  "font", "i",  "ins", "mark", "s",
		                                    "small", "span", "strong", "sub", "sup",  "tt",  "u",    "wbr", NULL };
	static const struct bytes comment = BYTES_LIT("<!--");
	struct bytes rest = bytes_from(in, 1), name;
	bool is_end = rest.n > 0 && rest.p[0] == '/';
	size_t n;

	if (bytes_starts(in, comment)) {
		n = bytes_search(bytes_from(in, comment.n), BYTES_LIT("-->"));
		return n >= in.n - comment.n ? in.n : comment.n + n + 3;
	}
	if (rest.n == 0 || !(is_end || rest.p[0] == '!' || rest.p[0] == '?' || ascii_is_alpha(rest.p[0])))
		return 0;
	name = take_name(bytes_from(rest, is_end));
	n = tag_size(in);
	if (!is_one_of(name, within_words))
		add_char(p, ' ');
	if (!is_end && is_one_of(name, hidden))
		n += element_size(bytes_from(in, n), name);
	return n;
}

/* "&name;", "&#n;" or "&#xn;" at the start of IN: how many octets; 0: it is none that is known. */
static size_t entity(struct bytes in, utf8proc_int32_t *c_r)
{
	static const struct {
		const char *name;
		utf8proc_int32_t c;
	} names[] = {
		{ "amp", '&' },       { "lt", '<' },        { "gt", '>' },        { "quot", '"' },      { "apos", '\'' },
		{ "nbsp", 0xa0 },     { "shy", 0xad },      { "copy", 0xa9 },     { "reg", 0xae },      { "laquo", 0xab },
		{ "raquo", 0xbb },    { "middot", 0xb7 },   { "pound", 0xa3 },    { "sect", 0xa7 },     { "deg", 0xb0 },
		{ "Agrave", 0xc0 },   { "Aacute", 0xc1 },   { "Auml", 0xc4 },     { "Ccedil", 0xc7 },   { "Eacute", 0xc9 },
		{ "Ouml", 0xd6 },     { "Uuml", 0xdc },     { "szlig", 0xdf },    { "agrave", 0xe0 },   { "aacute", 0xe1 },
		{ "acirc", 0xe2 },    { "atilde", 0xe3 },   { "auml", 0xe4 },     { "aring", 0xe5 },    { "aelig", 0xe6 },
		{ "ccedil", 0xe7 },   { "egrave", 0xe8 },   { "eacute", 0xe9 },   { "ecirc", 0xea },    { "euml", 0xeb },
		{ "igrave", 0xec },   { "iacute", 0xed },   { "icirc", 0xee },    { "iuml", 0xef },     { "ntilde", 0xf1 },
		{ "ograve", 0xf2 },   { "oacute", 0xf3 },   { "ocirc", 0xf4 },    { "otilde", 0xf5 },   { "ouml", 0xf6 },
		{ "oslash", 0xf8 },   { "ugrave", 0xf9 },   { "uacute", 0xfa },   { "ucirc", 0xfb },    { "uuml", 0xfc },
		{ "ensp", 0x2002 },   { "emsp", 0x2003 },   { "zwnj", 0x200c },   { "zwj", 0x200d },    { "ndash", 0x2013 },
		{ "mdash", 0x2014 },  { "lsquo", 0x2018 },  { "rsquo", 0x2019 },  { "ldquo", 0x201c },  { "rdquo", 0x201d },
		{ "bull", 0x2022 },   { "hellip", 0x2026 }, { "euro", 0x20ac },   { "trade", 0x2122 },
	};
	bool is_number = in.n > 1 && in.p[1] == '#', is_hex = is_number && in.n > 2 && ascii_lower(in.p[2]) == 'x';
	struct bytes name = take_name(bytes_from(in, 1 + (size_t)is_number + is_hex));
	size_t n = (size_t)(name.p + name.n - in.p);
	utf8proc_int32_t value = 0;

	if (name.n == 0)
		return 0;
	n += n < in.n && in.p[n] == ';';
	for (size_t i = 0; !is_number && i < sizeof(names) / sizeof(names[0]); i++) {
		if (bytes_equal_str(name, names[i].name)) {
			*c_r = names[i].c;
			return n;
		}
	}
	if (!is_number)
		return 0;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = ascii_lower(name.p[i]);
		int digit = ascii_is_digit(c) ? c - '0' : is_hex && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0 || value > 0x110000)
			return 0;
		value = value * (is_hex ? 16 : 10) + digit;
	}
	*c_r = value > 0 && utf8proc_codepoint_valid(value) ? value : 0xfffd;
	return n;
}

static void add_html(struct preview *p, struct bytes in)
{
	while (!is_full(p) && in.n > 0) {
		utf8proc_int32_t c;
		size_t n = 0;

		if (in.p[0] == '<' && (n = markup_size(p, in)) > 0) {
			in = bytes_from(in, n);
			continue;
		}
		if (in.p[0] == '&')
			n = entity(in, &c);
		if (n == 0)
			n = next_char(in, &c);
		add_char(p, c);
		in = bytes_from(in, n);
	}
}

/* Parts. */

static void add_text(struct preview *p, struct bytes message, const struct mime_part *part)
{
	bool is_html = bytes_equal_nocase_str(part->subtype, "html");
	struct bytes body = bytes_sub(bytes_sub(message, part->body_off, part->body_len), 0, is_html ? HTML_MAX : PLAIN_MAX);
	struct bytes charset = BYTES_NONE;
	struct buffer raw = { 0 }, utf8 = { 0 };

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
	if (is_html)
		add_html(p, buffer_bytes(&utf8));
	else
		add_plain(p, buffer_bytes(&utf8));
	buffer_fini(&raw);
	buffer_fini(&utf8);
}

static bool is_kind(const struct mime_part *part, const char *subtype)
{
	return !part->is_multipart && !part->is_message && bytes_equal_nocase_str(part->type, "text") &&
	       bytes_equal_nocase_str(part->subtype, subtype) && !bytes_equal_nocase_str(part->disposition, "attachment");
}

/* The first text that has something to show, in the order of the parts; of alternatives the plain one. TEXTS counts down. */
static void walk(struct preview *p, struct bytes message, const struct mime_part *part, unsigned *texts)
{
	bool is_choice = part->is_multipart && bytes_equal_nocase_str(part->subtype, "alternative");

	if ((is_kind(part, "plain") || is_kind(part, "html")) && *texts > 0) {
		(*texts)--;
		add_text(p, message, part);
	}
	for (const struct mime_part *c = part->children; is_choice && c != NULL && p->chars == 0; c = c->next) {
		if (is_kind(c, "plain"))
			walk(p, message, c, texts);
	}
	for (const struct mime_part *c = part->children; c != NULL && p->chars == 0; c = c->next) {
		if (!is_choice || !is_kind(c, "plain"))
			walk(p, message, c, texts);
	}
}

void mime_preview_of(struct bytes message, const struct mime_part *root, struct buffer *to)
{
	struct preview p = { .to = to };
	unsigned texts = TEXTS_MAX;

	walk(&p, message, root, &texts);
}

void mime_preview(struct bytes message, const struct mime_limits *limits, struct buffer *to)
{
	struct arena a = { 0 };

	mime_preview_of(message, mime_parse(message, limits, &a), to);
	arena_fini(&a);
}
