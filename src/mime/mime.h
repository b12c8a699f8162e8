/* mime.h - the structure of a message, parsed once when it arrives and kept beside it as a blob from which IMAP's answers
 * come without looking at the message again (RFC 2045, 2046, 5322; RFC 3501 section 7.4.2). Pure.
 *
 * No message is refused: what is broken gets the structure that comes nearest. */
#ifndef ROOST_MIME_H
#define ROOST_MIME_H

#include "arena.h"
#include "buffer.h"
#include "bytes.h"

struct mime_limits {
	size_t parts;  /* most parts looked at; beyond them a multipart's rest is text of its last part */
	size_t depth;  /* deepest nesting looked at; deeper multiparts are taken for plain octets */
	size_t header; /* octets of one header that are looked at for fields */
};

/* A header's field parameters: name and value in turn. */
struct mime_params {
	size_t count; /* of pairs */
	struct bytes *at;
};

struct mime_part {
	struct mime_part *parent, *next, *children;
	unsigned number; /* within its multipart, from 1 */
	size_t header_off, header_len; /* with the blank line behind it */
	size_t body_off, body_len;
	uint32_t body_lines;
	bool is_multipart, is_message; /* message/rfc822: its only child is the message in it */
	struct bytes type, subtype;    /* as written; borrowed from the message or fixed */
	struct mime_params params;
	struct bytes id, description, encoding, md5; /* p NULL: none */
	struct bytes disposition; /* p NULL: none */
	struct mime_params disposition_params;
	struct bytes language, location; /* raw field bodies; p NULL: none */
};

/* Parse MESSAGE (borrowed) into A; the result is the whole message as a part of number 0. */
struct mime_part *mime_parse(struct bytes message, const struct mime_limits *limits, struct arena *a);

/* Append the ENVELOPE of a header, BODY or BODYSTRUCTURE of a part, as they stand in an answer. */
void mime_write_envelope(struct buffer *to, struct bytes header);
void mime_write_structure(struct buffer *to, struct bytes message, const struct mime_part *part, bool is_extended);

/* Parse MESSAGE and append the blob. Format: docs/formats.md "Message structure". */
void mime_blob_write(struct buffer *to, struct bytes message, const struct mime_limits *limits);

enum mime_section { MIME_ALL, MIME_HEADER, MIME_TEXT, MIME_MIME };

/* Ready texts; lent as long as BLOB. Empty where the blob is damaged or of another version. */
struct bytes mime_blob_envelope(struct bytes blob);
struct bytes mime_blob_body(struct bytes blob);
struct bytes mime_blob_bodystructure(struct bytes blob);
/* Where section WHAT of part PARTS[0..COUNT) is in the message: BODY[1.2.MIME] and so on (RFC 3501 section 6.4.5); with
 * COUNT 0 the whole message. MIME_HEADER and MIME_TEXT of a part are those of a message/rfc822 in it. False: there is no
 * such part. */
bool mime_blob_section(struct bytes blob, const uint32_t *parts, size_t count, enum mime_section what, uint64_t *off_r,
                       uint64_t *len_r);

/* The fields that are kept in the blob, as a header of their own, lent as long as BLOB, and when the message was sent (RFC 5322 Date;
 * INT64_MIN: nobody knows). False: they are not kept: the blob is older than that, or they are long. */
bool mime_blob_header(struct bytes blob, struct bytes *header_r, int64_t *sent_r);
/* Whether NAME is one of them: what lists of messages, searches and threads look at. */
bool mime_is_kept_field(struct bytes name);

/* The preview that is kept in the blob, UTF-8, lent as long as BLOB; empty: there is no text to show. False: none is kept. */
bool mime_blob_preview(struct bytes blob, struct bytes *text_r);
/* Append the beginning of the first text in MESSAGE, or in as much of it as is given, in one line: UTF-8, at most
 * MIME_PREVIEW_CHARS characters without the markup of HTML. Nothing, where there is no text. Looks at a bounded part of each text. */
#define MIME_PREVIEW_CHARS 200
void mime_preview(struct bytes message, const struct mime_limits *limits, struct buffer *to);

/* Append the lines of HEADER whose field is (or, with IS_NOT, is not) one of NAMES, as they stand, and a blank line. */
void mime_header_fields(struct buffer *to, struct bytes header, const struct bytes *names, size_t count, bool is_not);
/* The octets of MESSAGE's header, with the blank line. */
struct bytes mime_header_of(struct bytes message);
/* Walk the fields of HEADER: name without blanks, body raw (folded, without the last line end). False: no more. */
bool mime_next_field(struct bytes *header, struct bytes *name_r, struct bytes *body_r);
/* Body of the first field NAME; p NULL: none. */
struct bytes mime_field(struct bytes header, const char *name);

/* Time of a Date field's body (RFC 5322 section 3.3, obsolete zones too): seconds since 1970 UTC, and the day as the
 * sender's clock had it. False: not a date. */
bool mime_date(struct bytes body, int64_t *seconds_r, int64_t *local_days_r);

/* Append the base subject of a Subject field's body (RFC 5256 section 2.1), folded as for SEARCH. True: it is a reply or was
 * forwarded. */
bool mime_base_subject(struct bytes body, struct buffer *to);
/* Append the words of BODY, decoded and folded: to be compared. */
void mime_fold_words(struct bytes body, struct buffer *to);

/* Append BODY, a part's, without its Content-Transfer-Encoding: HEADER is the part's. False: the encoding is not known. */
bool mime_decode_part(struct bytes header, struct bytes body, struct buffer *to);

/* SEARCH. A key in its folded form: whether texts contain it does not depend on case (Unicode) or on encodings. */
bool mime_fold_key(struct bytes key, struct bytes charset, struct buffer *to); /* false: the charset is not known */
/* Whether a header field NAME of MESSAGE, decoded (RFC 2047), contains the folded KEY; an empty key: whether it is there. */
bool mime_header_contains(struct bytes header, struct bytes name, struct bytes key);
/* Call FN for each text of MESSAGE that a search looks at: the content of each text part, the fields of messages within it, and
 * WITH_HEADERS all fields ("Name: body"); decoded and folded or, with MIME_TEXT_ASCII in WHAT, as it stands: lower case is what it is
 * folded to. MIME_TEXT_HEADER: it is given because of WITH_HEADERS. TEXT is lent during the call. FN says true to end; so does this then. */
enum mime_text_what { MIME_TEXT_ASCII = 1 << 0, MIME_TEXT_HEADER = 1 << 1 };
typedef bool mime_text_fn(void *arg, struct bytes text, unsigned what);
bool mime_each_text(struct bytes message, const struct mime_limits *limits, bool with_headers, mime_text_fn *fn, void *arg);
/* Matching more or less (RFC 6203), see mime_fuzzy.c. The folded KEY made ready, in A; then how well it is matched: 1 to 100, 0 not at all. One
 * thread at a time. */
struct mime_fuzzy;
struct mime_fuzzy *mime_fuzzy_new(struct arena *a, struct bytes key);
unsigned mime_fuzzy_header(struct mime_fuzzy *f, struct bytes header, struct bytes name);
unsigned mime_fuzzy_text(struct mime_fuzzy *f, struct bytes message, const struct mime_limits *limits, bool with_headers);
/* Whether a text part's decoded content (and, WITH_HEADERS, any header) contains the folded KEY. */
bool mime_text_contains(struct bytes message, const struct mime_limits *limits, struct bytes key, bool with_headers);

#endif
