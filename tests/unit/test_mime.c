/* test_mime.c - structures, envelopes, sections, dates and searched text of small messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "mime.h"

static const struct mime_limits limits = { 100, 20, 1 << 20 };

static const char multipart[] = "From: \"Terry Gray\" <gray@cac.washington.edu>\r\n"
				"To: imap@cac.washington.edu, A Group:bob@x.org,eve@y.org;\r\n"
				"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
				"Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\n"
				"Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
				"MIME-Version: 1.0\r\n"
				"Content-Type: multipart/mixed; boundary=\"b1\"\r\n"
				"\r\n"
				"preamble\r\n"
				"--b1\r\n"
				"\r\n"
				"one\r\ntwo\r\n"
				"--b1\r\n"
				"Content-Type: message/rfc822\r\n"
				"\r\n"
				"Subject: inner\r\n"
				"Content-Type: multipart/alternative; boundary=b2\r\n"
				"\r\n"
				"--b2\r\n"
				"Content-Type: text/html; charset=utf-8\r\n"
				"Content-Transfer-Encoding: quoted-printable\r\n"
				"\r\n"
				"caf=C3=A9\r\n"
				"--b2--\r\n"
				"--b1--\r\n"
				"epilogue\r\n";

static void section(struct bytes blob, struct bytes message, const uint32_t *parts, size_t count, enum mime_section what,
                    const char *want)
{
	uint64_t off, len;
	bool found = mime_blob_section(blob, parts, count, what, &off, &len);

	assert_int_equal(found, want != NULL);
	if (found && !bytes_equal_str(bytes_sub(message, (size_t)off, (size_t)len), want))
		fail_msg("got \"%.*s\" for \"%s\"", BYTES_FMT(bytes_sub(message, (size_t)off, (size_t)len)), want);
}

static void sections_are_found_by_their_numbers(void **state)
{
	struct bytes m = bytes_of(multipart);
	struct buffer blob = { 0 };
	struct bytes b;

	(void)state;
	mime_blob_write(&blob, m, &limits);
	b = buffer_bytes(&blob);
	section(b, m, (uint32_t[]){ 1 }, 1, MIME_ALL, "one\r\ntwo");
	section(b, m, (uint32_t[]){ 1 }, 1, MIME_MIME, "\r\n");
	section(b, m, (uint32_t[]){ 1 }, 1, MIME_HEADER, NULL);
	section(b, m, (uint32_t[]){ 2 }, 1, MIME_MIME, "Content-Type: message/rfc822\r\n\r\n");
	section(b, m, (uint32_t[]){ 2 }, 1, MIME_HEADER,
	        "Subject: inner\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n");
	section(b, m, (uint32_t[]){ 2, 1 }, 2, MIME_ALL, "caf=C3=A9");
	section(b, m, (uint32_t[]){ 2, 2 }, 2, MIME_ALL, NULL);
	section(b, m, (uint32_t[]){ 3 }, 1, MIME_ALL, NULL);
	section(b, m, NULL, 0, MIME_ALL, multipart);
	buffer_fini(&blob);
}

static void a_plain_message_is_its_own_part_one(void **state)
{
	static const char text[] = "Subject: x\r\n\r\nbody\r\n";
	struct buffer blob = { 0 };

	(void)state;
	mime_blob_write(&blob, bytes_of(text), &limits);
	section(buffer_bytes(&blob), bytes_of(text), (uint32_t[]){ 1 }, 1, MIME_ALL, "body\r\n");
	section(buffer_bytes(&blob), bytes_of(text), NULL, 0, MIME_TEXT, "body\r\n");
	section(buffer_bytes(&blob), bytes_of(text), NULL, 0, MIME_HEADER, "Subject: x\r\n\r\n");
	section(buffer_bytes(&blob), bytes_of(text), (uint32_t[]){ 2 }, 1, MIME_ALL, NULL);
	section(buffer_bytes(&blob), bytes_of(text), (uint32_t[]){ 1, 1 }, 2, MIME_ALL, NULL);
	assert_true(bytes_equal_str(mime_blob_bodystructure(buffer_bytes(&blob)),
	                            "(\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 6 1 NIL NIL NIL NIL)"));
	buffer_fini(&blob);
}

/* TEXT must be WANTED; cmocka prints both where it is not. */
static void assert_text(struct bytes text, const char *wanted)
{
	char *copy = bytes_to_str(text);

	assert_string_equal(copy, wanted);
	free(copy);
}

static void envelope_and_structure_read_as_the_rfc_says(void **state)
{
	struct buffer blob = { 0 };

	(void)state;
	mime_blob_write(&blob, bytes_of(multipart), &limits);
	assert_text(
		mime_blob_envelope(buffer_bytes(&blob)),
		"(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
		"((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
		"((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
		"((NIL NIL \"imap\" \"cac.washington.edu\")(NIL NIL \"A Group\" NIL)(NIL NIL \"bob\" \"x.org\")"
		"(NIL NIL \"eve\" \"y.org\")(NIL NIL NIL NIL)) NIL NIL NIL \"<B27397-0100000@cac.washington.edu>\")");
	assert_text(mime_blob_body(buffer_bytes(&blob)),
	                    "((\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 8 1)"
	                    "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 178 "
	                    "(NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	                    "((\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 9 0) \"alternative\") 8) "
	                    "\"mixed\")");
	buffer_fini(&blob);
}

static void broken_messages_of_any_length_are_parsed(void **state)
{
	static const char *const more[] = {
		"", "\n", "no header at all", "A: b", "Content-Type: multipart/mixed\r\n\r\n--x\r\n",
		"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a--",
		"From: (((((\r\nTo: <<>>,,;:@\r\nCc: \"unclosed\r\n\r\n", "Subject: =?utf-8?q?a?= =?x?\r\n\r\n",
	};

	(void)state;
	for (size_t n = 0; n < sizeof(multipart); n++) {
		char *copy = malloc(n + 1);
		struct buffer blob = { 0 };

		memcpy(copy, multipart, n);
		mime_blob_write(&blob, bytes_make(copy, n), &limits);
		assert_true(mime_blob_envelope(buffer_bytes(&blob)).n > 0);
		for (size_t k = 0; n == 100 && k < blob.n; k++) {
			uint64_t off, len;

			(void)mime_blob_section(bytes_sub(buffer_bytes(&blob), 0, k), (uint32_t[]){ 1, 1 }, 2, MIME_ALL, &off, &len);
		}
		buffer_fini(&blob);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		struct buffer blob = { 0 };

		mime_blob_write(&blob, bytes_of(more[i]), &limits);
		(void)mime_text_contains(bytes_of(more[i]), &limits, BYTES_LIT("zzz"), true);
		buffer_fini(&blob);
	}
}

static void header_fields_keep_order_and_folding(void **state)
{
	struct bytes names[] = { BYTES_LIT("subject"), BYTES_LIT("FROM") };
	struct buffer out = { 0 };

	(void)state;
	mime_header_fields(&out, mime_header_of(bytes_of(multipart)), names, 2, false);
	assert_true(bytes_equal_str(buffer_bytes(&out), "From: \"Terry Gray\" <gray@cac.washington.edu>\r\n"
	                                                "Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\n\r\n"));
	buffer_fini(&out);
}

static bool contains(const char *key, bool with_headers)
{
	struct buffer folded = { 0 };
	bool found;

	assert_true(mime_fold_key(bytes_of(key), BYTES_LIT("UTF-8"), &folded));
	found = mime_text_contains(bytes_of(multipart), &limits, buffer_bytes(&folded), with_headers);
	buffer_fini(&folded);
	return found;
}

static void texts_are_searched_decoded_and_folded(void **state)
{
	struct buffer key = { 0 };

	(void)state;
	assert_true(contains("CAF\xc3\x89", false));
	assert_true(contains("TWO", false));
	assert_false(contains("washington", false));
	assert_true(contains("washington", true));
	assert_false(contains("preamble", false));
	assert_false(mime_fold_key(BYTES_LIT("x"), BYTES_LIT("X-NO-SUCH"), &key));
	assert_true(mime_fold_key(BYTES_LIT("\xfc""ber"), BYTES_LIT("ISO-8859-1"), &key));
	assert_true(mime_header_contains(BYTES_LIT("Subject: =?iso-8859-1?Q?=DCber?= =?utf-8?B?IHVucw==?=\r\n\r\n"),
	                                 BYTES_LIT("subject"), buffer_bytes(&key)));
	buffer_fini(&key);
}

/* mime_text_fn: each on a line of its own. */
static bool collect(void *arg, struct bytes text, unsigned what)
{
	buffer_add(arg, text);
	buffer_add_str(arg, (what & MIME_TEXT_HEADER) != 0 ? "^" : "");
	buffer_add_str(arg, (what & MIME_TEXT_ASCII) != 0 ? "<\n" : "|\n");
	return false;
}

static void each_text_is_given_once_decoded(void **state)
{
	static const char message[] = "Subject: =?utf-8?q?=C3=9Cber?=\r\n uns\r\nX-Plain : Yes\r\nno field\r\n"
	                              "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	                              "--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	                              "<b>Caf=E9</b>\r\n--b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
	                              "\x1b$B$\"\x1b(BX\r\n--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n"
	                              "--b\r\nContent-Type: text/plain\r\n\r\nAS it is\r\n--b--\r\n";
	struct buffer out = { 0 };

	(void)state;
	assert_false(mime_each_text(bytes_of(message), &limits, false, collect, &out));
	assert_true(bytes_equal_str(buffer_bytes(&out), "<b>cafe\xcc\x81</b>|\n\xe3\x81\x82x|\nAS it is<\n"));
	buffer_clear(&out);
	assert_false(mime_each_text(bytes_of(message), &limits, true, collect, &out));
	assert_true(bytes_starts(buffer_bytes(&out), BYTES_LIT("subject: u\xcc\x88""ber uns^|\nX-Plain: Yes^<\n")));
	buffer_fini(&out);
}

static unsigned fuzzy(const char *key, const char *text)
{
	struct buffer folded = { 0 }, message = { 0 };
	struct arena a = { 0 };
	unsigned score;

	assert_true(mime_fold_key(bytes_of(key), BYTES_LIT("UTF-8"), &folded));
	buffer_addf(&message, "Content-Type: text/plain; charset=utf-8\r\n\r\n%s", text);
	score = mime_fuzzy_text(mime_fuzzy_new(&a, buffer_bytes(&folded)), buffer_bytes(&message), &limits, false);
	buffer_fini(&folded);
	buffer_fini(&message);
	arena_fini(&a);
	return score;
}

static void words_are_matched_more_or_less(void **state)
{
	static const struct {
		const char *key, *text;
		unsigned want;
	} rows[] = {
		{ "hello", "say Hello.", 100 },      { "hel", "Hello", 90 },           { "ello", "Hello", 75 },
		{ "Helo", "hello", 60 },             { "helo", "help!", 60 },          { "hello", "helo", 60 },
		{ "helo", "velo below", 0 },         { "cat", "car", 0 },              { "catx", "cat", 60 },
		{ "relevancy", "relevance", 60 },    { "relevancy", "relevent", 0 },   { "relevancy", "relevncey", 40 },
		{ "imap break", "break the IMAP", 100 }, { "imap break", "the IMAP", 0 }, { "imap break", "IMAPs breek", 75 },
		{ "cafe", "Caf\xc3\xa9s", 90 },    { "caf\xc3\xa9", "CAFE", 100 }, { "\xd0\xbf\xd0\xbe\xd0\xb8\xd1\x81\xd0\xba", "\xd0\x9f\xd0\x9e\xd0\x98\xd0\x9a", 60 },
		{ "???", "what???", 100 },           { "???", "what?", 0 },            { "", "anything", 100 },
		{ "a-b", "b a", 100 },               { "x", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (fuzzy(rows[i].key, rows[i].text) != rows[i].want)
			fail_msg("%s in %s: %u, not %u", rows[i].key, rows[i].text, fuzzy(rows[i].key, rows[i].text), rows[i].want);
	}
}

/* Of the beginning of TEXT that is nearest to KEY. */
static size_t distance(const char *key, const char *text)
{
	size_t m = strlen(key), n = strlen(text), best = m, d[16][16];

	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			size_t v = i == 0 ? j : i;

			if (i > 0 && j > 0) {
				v = d[i - 1][j - 1] + (text[i - 1] != key[j - 1]);
				v = d[i - 1][j] + 1 < v ? d[i - 1][j] + 1 : v;
				v = d[i][j - 1] + 1 < v ? d[i][j - 1] + 1 : v;
			}
			d[i][j] = v;
		}
		best = d[i][m] < best ? d[i][m] : best;
	}
	return best;
}

static void errors_are_counted_as_by_the_whole_table(void **state)
{
	unsigned seed = 5, found = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char key[16] = "k", text[16] = "k";
		size_t m = 3 + (size_t)rand_r(&seed) % 9, n = (size_t)rand_r(&seed) % 14, errors;
		unsigned got;

		for (size_t i = 1; i <= m; i++)
			key[i] = (char)('a' + rand_r(&seed) % 3);
		for (size_t i = 1; i <= n; i++)
			text[i] = i <= m && rand_r(&seed) % 4 != 0 ? key[i] : (char)('a' + rand_r(&seed) % 3);
		errors = distance(key, text);
		got = fuzzy(key, text);
		if (errors > (m + 1 >= 8 ? 2 : 1))
			assert_int_equal(got, 0);
		else if (errors > 0)
			assert_int_equal(got, errors == 1 ? 60 : 40);
		else
			assert_true(got >= 90);
		found += got > 0;
	}
	assert_true(found > 2000 && found < 18000);
}

static void dates_are_read_as_people_write_them(void **state)
{
	int64_t t, day;

	(void)state;
	assert_true(mime_date(BYTES_LIT(" Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"), &t, &day));
	assert_int_equal(t, 837595405);
	assert_int_equal(day, 9694);
	assert_true(mime_date(BYTES_LIT("1 Jan 70 00:00 EST"), &t, &day));
	assert_int_equal(t, 5 * 3600);
	assert_false(mime_date(BYTES_LIT("yesterday"), &t, &day));
	assert_false(mime_date(BYTES_LIT(""), &t, &day));
}

static struct bytes repeat(struct buffer *to, const char *head, const char *text, size_t n)
{
	buffer_clear(to);
	buffer_add_str(to, head);
	while (to->n < n)
		buffer_add_str(to, text);
	buffer_add_str(to, "\r\n\r\n");
	return buffer_bytes(to);
}

/* Each took memory or time by the square of the header's length: these would not end. */
static void long_headers_take_time_and_memory_by_their_length(void **state)
{
	static const char *const texts[] = { "\"\" ", "\"\",", "<@", "=?a?q?x", "=?utf-8?q?", "(", "[", "\\", "a@b," };
	struct buffer header = { 0 }, out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bytes h = repeat(&header, "To: ", texts[i], 1 << 19);

		buffer_clear(&out);
		mime_write_envelope(&out, h);
		assert_true(out.n > 0);
		assert_false(mime_header_contains(h, BYTES_LIT("To"), BYTES_LIT("not there")));
		assert_false(mime_text_contains(h, &limits, BYTES_LIT("not there"), true));
	}
	buffer_fini(&header);
	buffer_fini(&out);
}

static void base_subjects_are_what_rfc_5256_makes_them(void **state)
{
	static const struct {
		const char *in, *want;
		bool is_reply;
	} rows[] = {
		{ "Hello", "hello", false },
		{ "Re: Hello", "hello", true },
		{ " re :\tHELLO  there ", "hello there", true },
		{ "Fwd: Re: [list] Hello (fwd) (fwd)", "hello", true },
		{ "[list] Hello", "hello", false },
		{ "[list]", "[list]", false },
		{ "Re[2]: Hello", "hello", true },
		{ "[fwd: [a] Re: Hello]", "hello", true },
		{ "Fw: [fwd:]", "", true },
		{ "Reply: Hello", "reply: hello", false },
		{ "=?utf-8?q?Re:_Hallo?=", "hallo", true },
		{ "", "", false },
		{ "Re:", "", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer out = { 0 };
		bool is_reply = mime_base_subject(bytes_of(rows[i].in), &out);

		if (!bytes_equal_str(buffer_bytes(&out), rows[i].want) || is_reply != rows[i].is_reply)
			fail_msg("row %zu \"%s\": \"%.*s\" %d", i, rows[i].in, BYTES_FMT(buffer_bytes(&out)), is_reply);
		buffer_fini(&out);
	}
}

static void fields_are_kept_unless_they_are_long(void **state)
{
	static const struct mime_limits wide = { 100, 10, 65536 };
	struct bytes message = BYTES_LIT("Received: x\r\nSubject: a\r\n b\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\nX-Other: y\r\n\r\nbody\r\n");
	struct buffer blob = { 0 }, large = { 0 };
	struct bytes header, preview;
	size_t whole;
	int64_t sent;

	(void)state;
	mime_blob_write(&blob, message, &wide);
	assert_true(mime_blob_header(buffer_bytes(&blob), &header, &sent));
	assert_true(bytes_equal_str(header, "Subject: a\r\n b\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\n"));
	assert_int_equal(sent, 1795424400);
	/* One from before the fields were kept, or one that is cut: nothing is kept. */
	whole = blob.n;
	for (size_t n = 0; n < whole; n++) {
		assert_false(mime_blob_preview(bytes_sub(buffer_bytes(&blob), 0, n), &preview));
		assert_int_equal(mime_blob_header(bytes_sub(buffer_bytes(&blob), 0, n), &header, &sent), n >= whole - 4 - 4);
	}
	assert_true(mime_blob_preview(buffer_bytes(&blob), &preview) && bytes_equal_str(preview, "body"));
	assert_true(mime_is_kept_field(BYTES_LIT("SUBJECT")) && !mime_is_kept_field(BYTES_LIT("Received")));
	buffer_add_str(&large, "Subject: x\r\nReferences:");
	while (large.n < 9000)
		buffer_add_str(&large, " <some-id@example.org>\r\n");
	buffer_add_str(&large, "\r\nbody\r\n");
	buffer_clear(&blob);
	mime_blob_write(&blob, buffer_bytes(&large), &wide);
	assert_false(mime_blob_header(buffer_bytes(&blob), &header, &sent));
	assert_true(mime_blob_preview(buffer_bytes(&blob), &preview) && bytes_equal_str(preview, "body"));
	assert_true(mime_blob_envelope(buffer_bytes(&blob)).n > 0);
	buffer_fini(&blob);
	buffer_fini(&large);
}

static void a_preview_is_the_first_text_that_shows_something(void **state)
{
#define TYPE(t) "Content-Type: " t "\r\n"
#define PART(head, body) "--b\r\n" head "\r\n" body "\r\n"
#define MIXED(kind, parts) TYPE("multipart/" kind "; boundary=b") "\r\n" parts "--b--\r\n"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
	static const struct {
		const char *message, *want;
	} rows[] = {
		{ "Subject: x\r\n\r\nHello,\r\n\r\n \tthis is   a\r\nmessage.\r\n", "Hello, this is a message." },
		{ "Subject: no text at all\r\n\r\n", "" },
		{ "Subject: no body", "" },
		{ TYPE("image/png") "\r\nabc", "" },
		{ TYPE("text/calendar") "\r\nBEGIN", "" },
		{ TYPE("text/plain; charset=iso-8859-1") "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\nhier", "Gr\xc3\xbc\xc3\x9f" "e hier" },
		{ TYPE("text/plain; charset=utf-8") "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8g\r\n8J+YgA==\r\n", "Hello \xf0\x9f\x98\x80" },
		{ TYPE("text/plain; charset=no-such") "\r\na\xff", "a\xc3\xbf" },
		{ "\r\n" HUNDRED HUNDRED "beyond", HUNDRED HUNDRED },
		{ "\r\n" HUNDRED HUNDRED " beyond", HUNDRED HUNDRED },
		{ "\r\n" HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN "012345678 beyond", HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN "012345678" },
		{ "\r\n\xe2\x80\x8b\xef\xbb\xbf" "a\xc2\xa0\xe2\x80\x83" "b", "a b" },
		{ TYPE("text/html") "\r\n<html><head><title>no</title><style>p{}</style></head><body><p class=\"a>b\">Fish &amp; "
		                    "<b>chi</b>ps</p>5 &lt; 6<br>&#8364;&#x20AC;&euro; &nope; a<3 <!-- not > this --><script>if (a < b) { }</script>end",
		  "Fish & chips 5 < 6 \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac &nope; a<3 end" },
		{ TYPE("text/html") "\r\n<style>never ends", "" },
		{ TYPE("text/html") "\r\nx<p unclosed=\"", "x" },
		{ TYPE("text/html") "\r\nx<!-- unclosed", "x" },
		{ TYPE("text/html") "\r\na&#0;&#xd800;&#x110000;&#99999999999;&", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd&#99999999999;&" },
		{ MIXED("alternative", PART(TYPE("text/html"), "<p>html") PART(TYPE("text/plain"), "plain")), "plain" },
		{ MIXED("alternative", PART(TYPE("text/html"), "<p>html") PART(TYPE("text/plain"), " \r\n")), "html" },
		{ MIXED("mixed", PART(TYPE("text/html"), "<p>html") PART(TYPE("text/plain"), "footer")), "html" },
		{ MIXED("mixed", PART(TYPE("text/plain") "Content-Disposition: attachment; filename=a\r\n", "attached") PART("", "text")), "text" },
		{ MIXED("encrypted", PART(TYPE("application/pgp-encrypted"), "Version: 1") PART(TYPE("application/octet-stream"), "xyz")), "" },
		{ MIXED("mixed", PART(TYPE("message/rfc822"), "Subject: in\r\n\r\ninner")), "inner" },
	};
	static const struct mime_limits wide = { 100, 10, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer out = { 0 };

		mime_preview(bytes_of(rows[i].message), &wide, &out);
		if (!bytes_equal_str(buffer_bytes(&out), rows[i].want))
			fail_msg("row %zu: \"%.*s\"", i, BYTES_FMT(buffer_bytes(&out)));
		buffer_fini(&out);
	}
}

static void a_preview_costs_no_more_for_a_huge_message(void **state)
{
	static const char *const heads[] = { "\r\n", "Content-Type: text/html\r\n\r\n", "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" };
	static const char *const fillers[] = { " ", "<", "<a \"", "&", "&#", "<!--", "<style>", "AAAA" };
	static const struct mime_limits wide = { 100, 10, 65536 };

	(void)state;
	for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
		for (size_t f = 0; f < sizeof(fillers) / sizeof(fillers[0]); f++) {
			struct buffer message = { 0 }, out = { 0 };
			uint64_t began = clock_mono_ns();

			buffer_add_str(&message, heads[h]);
			while (message.n < 4u << 20)
				buffer_add_str(&message, fillers[f]);
			mime_preview(buffer_bytes(&message), &wide, &out);
			assert_true(out.n <= MIME_PREVIEW_CHARS * 4);
			assert_true(clock_mono_ns() - began < 1000000000u);
			buffer_fini(&message);
			buffer_fini(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_kept_unless_they_are_long),
		cmocka_unit_test(a_preview_is_the_first_text_that_shows_something),
		cmocka_unit_test(a_preview_costs_no_more_for_a_huge_message),
		cmocka_unit_test(base_subjects_are_what_rfc_5256_makes_them),
		cmocka_unit_test(sections_are_found_by_their_numbers),
		cmocka_unit_test(a_plain_message_is_its_own_part_one),
		cmocka_unit_test(envelope_and_structure_read_as_the_rfc_says),
		cmocka_unit_test(broken_messages_of_any_length_are_parsed),
		cmocka_unit_test(header_fields_keep_order_and_folding),
		cmocka_unit_test(texts_are_searched_decoded_and_folded),
		cmocka_unit_test(each_text_is_given_once_decoded),
		cmocka_unit_test(words_are_matched_more_or_less),
		cmocka_unit_test(errors_are_counted_as_by_the_whole_table),
		cmocka_unit_test(long_headers_take_time_and_memory_by_their_length),
		cmocka_unit_test(dates_are_read_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
