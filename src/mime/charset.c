/* charset.c - text of any charset to UTF-8, folding by utf8proc, and the encodings that carry it. */
#include <utf8proc.h>

#include "charset_iconv.h"
#include "mime_private.h"
#include "utf8.h"

/* An encoded word has at most 75 octets (RFC 2047 section 2). Some write longer ones, but not beyond a line. */
#define ENCODED_WORD_MAX 1000

/* What is not UTF-8 is taken for Latin-1, octet by octet. */
static void add_utf8(struct buffer *to, struct bytes in)
{
	size_t i = 0;

	while (i < in.n) {
		size_t start = i;
		utf8proc_int32_t cp;
		utf8proc_ssize_t n = 1;

		while (i < in.n && n > 0) {
			n = in.p[i] < 0x80 ? 1 : utf8proc_iterate(in.p + i, (utf8proc_ssize_t)(in.n - i), &cp);
			i += n > 0 ? (size_t)n : 0;
		}
		buffer_add(to, bytes_sub(in, start, i - start));
		if (i < in.n)
			utf8_add_latin1(to, in.p[i++]);
	}
}

/* Octets of IN from I on that are ASCII. */
static size_t ascii_run(struct bytes in, size_t i)
{
	size_t from = i;

	while (i < in.n && in.p[i] < 0x80)
		i++;
	return i - from;
}

/* The charsets that most mail is in are decoded here. */
enum decoder { BY_UTF8, BY_LATIN1, BY_WINDOWS_1252, BY_ICONV };

static enum decoder decoder_of(struct bytes charset)
{
	static const struct {
		const char *name;
		enum decoder by;
	} rows[] = {
		{ "UTF-8", BY_UTF8 },          { "US-ASCII", BY_UTF8 },     { "UTF8", BY_UTF8 },
		{ "ISO-8859-1", BY_LATIN1 },   { "ISO8859-1", BY_LATIN1 },  { "LATIN1", BY_LATIN1 },
		{ "WINDOWS-1252", BY_WINDOWS_1252 }, { "CP1252", BY_WINDOWS_1252 },
	};

	if (charset.n == 0)
		return BY_UTF8;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (bytes_equal_nocase_str(charset, rows[i].name))
			return rows[i].by;
	}
	return BY_ICONV;
}

/* 0x80 to 0x9f in windows-1252; what is not in use there stays as it is. The rest is Latin-1. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
	0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
};

/* FROM_80: what 0x80 to 0x9f are; NULL: as in Latin-1. */
static void add_octets(struct buffer *to, struct bytes in, const uint16_t *from_80)
{
	size_t n;

	for (size_t i = 0; i < in.n; i += n) {
		n = ascii_run(in, i);
		buffer_add(to, bytes_sub(in, i, n));
		for (; i + n < in.n && in.p[i + n] >= 0x80; n++) {
			uint8_t c = in.p[i + n];

			if (from_80 == NULL || c > 0x9f)
				utf8_add_latin1(to, c);
			else
				to->n += (size_t)utf8proc_encode_char(from_80[c - 0x80], buffer_reserve(to, 4));
		}
	}
}

bool charset_is_known(struct bytes charset)
{
	return charset.n > 0 && (decoder_of(charset) != BY_ICONV || charset_iconv_knows(charset));
}

void charset_to_utf8(struct bytes charset, struct bytes in, struct buffer *to)
{
	struct buffer made = { 0 };

	switch (decoder_of(charset)) {
	case BY_UTF8:
		add_utf8(to, in);
		return;
	case BY_LATIN1:
		add_octets(to, in, NULL);
		return;
	case BY_WINDOWS_1252:
		add_octets(to, in, windows_1252);
		return;
	case BY_ICONV:
		break;
	}
	/* iconv takes code points for UTF-8 that are none, so what comes from it is looked at, too. */
	if (charset_iconv(charset, in, &made))
		add_utf8(to, buffer_bytes(&made));
	else
		add_octets(to, in, NULL);
	buffer_fini(&made);
}

void charset_fold(struct bytes utf8, struct buffer *to)
{
	size_t i = 0;

	while (i < utf8.n) {
		size_t run = ascii_run(utf8, i);
		utf8proc_int32_t cp, parts[32];
		utf8proc_ssize_t n, count;
		int last = 0;

		bytes_lower(buffer_reserve(to, run), bytes_sub(utf8, i, run));
		to->n += run;
		i += run;
		if (i == utf8.n)
			break;
		n = utf8proc_iterate(utf8.p + i, (utf8proc_ssize_t)(utf8.n - i), &cp);
		if (n <= 0) {
			i++;
			continue;
		}
		i += (size_t)n;
		count = utf8proc_decompose_char(cp, parts, 32, UTF8PROC_CASEFOLD | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &last);
		for (utf8proc_ssize_t k = 0; k < count && count <= 32; k++)
			to->n += (size_t)utf8proc_encode_char(parts[k], buffer_reserve(to, 4));
	}
}

static int hex(uint8_t c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void mime_decode_qp(struct bytes in, bool is_header, struct buffer *to)
{
	uint8_t *out = buffer_reserve(to, in.n), *p = out;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (is_header && c == '_') {
			*p++ = ' ';
		} else if (c != '=') {
			*p++ = c;
		} else if (i + 2 < in.n && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0) {
			*p++ = (uint8_t)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		} else if (i + 1 < in.n && in.p[i + 1] == '\n') {
			i++;
		} else if (i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n') {
			i += 2;
		} else {
			*p++ = c;
		}
	}
	to->n += (size_t)(p - out);
}

void mime_decode_base64(struct bytes in, struct buffer *to)
{
	uint8_t *out = buffer_reserve(to, in.n), *p = out;
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		int v = c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 :
		        ascii_is_digit(c) ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;

		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*p++ = (uint8_t)(bits >> have);
		}
	}
	to->n += (size_t)(p - out);
}

/* "=?charset?Q?text?=" at the start of IN (RFC 2047 section 2); *n_r octets long. */
static bool encoded_word(struct bytes in, size_t *n_r, struct buffer *to)
{
	struct bytes rest = bytes_sub(in, 2, ENCODED_WORD_MAX), charset, text;
	struct buffer raw = { 0 };
	size_t n = bytes_find(rest, '?');
	uint8_t encoding;

	charset = bytes_sub(rest, 0, n);
	charset = bytes_sub(charset, 0, bytes_find(charset, '*')); /* RFC 2231 section 5: a language may follow */
	rest = bytes_from(rest, n + 1);
	if (charset.n == 0 || rest.n < 2 || rest.p[1] != '?')
		return false;
	encoding = ascii_lower(rest.p[0]);
	rest = bytes_from(rest, 2);
	n = bytes_search(rest, BYTES_LIT("?="));
	if (n == rest.n || (encoding != 'q' && encoding != 'b'))
		return false;
	text = bytes_sub(rest, 0, n);
	if (encoding == 'q')
		mime_decode_qp(text, true, &raw);
	else
		mime_decode_base64(text, &raw);
	charset_to_utf8(charset, buffer_bytes(&raw), to);
	buffer_fini(&raw);
	*n_r = (size_t)(rest.p + n + 2 - in.p);
	return true;
}

void charset_decode_header(struct bytes body, struct buffer *to)
{
	struct buffer word = { 0 };
	size_t i = 0, plain = 0;
	bool was_encoded = false;

	while (i < body.n) {
		struct bytes rest = bytes_from(body, i);
		size_t n;

		buffer_clear(&word);
		if (bytes_starts(rest, BYTES_LIT("=?")) && encoded_word(rest, &n, &word)) {
			struct bytes between = bytes_sub(body, plain, i - plain);

			/* Blanks between two encoded words are not part of the text. */
			if (!was_encoded || bytes_trim(between).n > 0)
				charset_to_utf8(BYTES_NONE, between, to);
			buffer_add(to, buffer_bytes(&word));
			i += n;
			plain = i;
			was_encoded = true;
			continue;
		}
		i++;
	}
	charset_to_utf8(BYTES_NONE, bytes_from(body, plain), to);
	buffer_fini(&word);
}
