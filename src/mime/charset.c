/* charset.c - text of any charset to UTF-8 by iconv, folding by utf8proc, and the encodings that carry it. */
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "mime_private.h"

#define CHARSET_MAX 64
/* An encoded word has at most 75 octets (RFC 2047 section 2). Some write longer ones, but not beyond a line. */
#define ENCODED_WORD_MAX 1000

static iconv_t open_charset(struct bytes charset)
{
	char name[CHARSET_MAX + 1];

	if (charset.n == 0 || charset.n > CHARSET_MAX)
		return (iconv_t)-1;
	for (size_t i = 0; i < charset.n; i++) {
		/* What iconv would take for its own options is no charset's name. */
		if (!ascii_is_alnum(charset.p[i]) && strchr("-_.:+", charset.p[i]) == NULL)
			return (iconv_t)-1;
		name[i] = (char)charset.p[i];
	}
	name[charset.n] = '\0';
	return iconv_open("UTF-8", name);
}

bool charset_is_known(struct bytes charset)
{
	iconv_t cd = open_charset(charset);

	if (cd == (iconv_t)-1)
		return false;
	(void)iconv_close(cd);
	return true;
}

static void add_latin1(struct buffer *to, uint8_t c)
{
	if (c < 0x80) {
		buffer_add_u8(to, c);
	} else {
		buffer_add_u8(to, (uint8_t)(0xc0 | c >> 6));
		buffer_add_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

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
			add_latin1(to, in.p[i++]);
	}
}

/* iconv takes code points for UTF-8 that are none, so what comes from it is looked at, too. */
static void convert(iconv_t cd, struct bytes in, struct buffer *to)
{
	char *from = (char *)(uintptr_t)in.p;
	size_t left = in.n;

	while (left > 0) {
		size_t room = left * 2 + 16;
		char *out = (char *)buffer_reserve(to, room);
		size_t before = room;
		size_t rc = iconv(cd, &from, &left, &out, &room);

		to->n += before - room;
		if (rc != (size_t)-1 || left == 0)
			break;
		if (errno == E2BIG)
			continue;
		/* A broken octet: keep it as Latin-1 and go on behind it. */
		add_latin1(to, (uint8_t)*from);
		from++;
		left--;
	}
	/* Some charsets hold the last character back, as another one might join it. */
	{
		size_t room = 16, before = room;
		char *out = (char *)buffer_reserve(to, room);

		(void)iconv(cd, NULL, NULL, &out, &room);
		to->n += before - room;
	}
}

static bool is_utf8(struct bytes charset)
{
	return charset.n == 0 || bytes_equal_nocase_str(charset, "UTF-8") || bytes_equal_nocase_str(charset, "UTF8") ||
	       bytes_equal_nocase_str(charset, "US-ASCII");
}

void charset_to_utf8(struct bytes charset, struct bytes in, struct buffer *to)
{
	struct buffer made = { 0 };
	iconv_t cd;

	if (is_utf8(charset)) {
		add_utf8(to, in);
		return;
	}
	cd = open_charset(charset);
	if (cd == (iconv_t)-1) {
		for (size_t i = 0; i < in.n; i++)
			add_latin1(to, in.p[i]);
		return;
	}
	convert(cd, in, &made);
	(void)iconv_close(cd);
	add_utf8(to, buffer_bytes(&made));
	buffer_fini(&made);
}

/* Octets of IN from I on that are ASCII. */
static size_t ascii_run(struct bytes in, size_t i)
{
	size_t from = i;

	while (i < in.n && in.p[i] < 0x80)
		i++;
	return i - from;
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
