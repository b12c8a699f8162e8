/* mime_private.h - shared by the files of mime/. */
#ifndef ROOST_MIME_PRIVATE_H
#define ROOST_MIME_PRIVATE_H

#include "cursor.h"
#include "mime.h"

/* Skip blanks, line folds and comments. */
void mime_skip_cfws(struct cursor *c);
/* A token (RFC 2045 section 5.1); empty: none. */
struct bytes mime_take_token(struct cursor *c);
/* A quoted string without its quotes and escapes (in the arena if it had any); false: none here. */
bool mime_take_quoted(struct cursor *c, struct arena *a, struct bytes *s_r);
/* ";name=value" pairs up to the end. */
void mime_take_params(struct cursor *c, struct arena *a, struct mime_params *p_r);
/* FIELD's body with folds taken out, trimmed, in the arena. */
struct bytes mime_unfold(struct bytes body, struct arena *a);
/* Append one list of addresses as ENVELOPE has it: "((name route mailbox host) ...)" or NIL. */
void mime_write_addresses(struct buffer *to, struct bytes body);
/* A string of an answer: NIL if p is NULL, quoted, or a literal. */
void mime_write_nstring(struct buffer *to, struct bytes s);

/* mime_preview.c: as mime_preview(), of a message that is parsed. */
void mime_preview_of(struct bytes message, const struct mime_part *root, struct buffer *to);

/* charset.c: IN of CHARSET as UTF-8; what is not known or broken is taken for Latin-1. */
void charset_to_utf8(struct bytes charset, struct bytes in, struct buffer *to);
bool charset_is_known(struct bytes charset);
/* Decomposed and case-folded, marks kept. */
void charset_fold(struct bytes utf8, struct buffer *to);
/* mime_text.c: FN for one field's body, as mime_each_text() does. */
bool mime_field_text(struct bytes body, mime_text_fn *fn, void *arg);
/* RFC 2047 words decoded to UTF-8. */
void charset_decode_header(struct bytes body, struct buffer *to);
void mime_decode_qp(struct bytes in, bool is_header, struct buffer *to);
void mime_decode_base64(struct bytes in, struct buffer *to);

#endif
