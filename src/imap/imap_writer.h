/* imap_writer.h - pieces of responses, appended to a buffer. What comes from outside goes only through these, which pick
 * atom, quoted or literal, and never put CR, LF or NUL into a line. Pure. */
#ifndef ROOST_IMAP_WRITER_H
#define ROOST_IMAP_WRITER_H

#include "buffer.h"

/* An atom if it can be one, else quoted, else a literal ({n}, or {n+} where NON_SYNC: towards a server). */
void imap_write_astring(struct buffer *to, struct bytes s, bool non_sync);
/* The same for a mailbox name, which may be quoted UTF-8 where the client has enabled that. */
void imap_write_mailbox(struct buffer *to, struct bytes name, bool is_utf8);
/* Quoted or literal. */
void imap_write_string(struct buffer *to, struct bytes s, bool non_sync);
/* NIL where S.p is NULL, else a string; one with NUL in it as a literal8 (RFC 3516). */
void imap_write_nstring8(struct buffer *to, struct bytes s);
/* NIL where S.p is NULL, else a string. */
void imap_write_nstring(struct buffer *to, struct bytes s);
/* A literal's announcement "{n}" and CRLF; the octets follow as the caller likes. */
void imap_write_literal_head(struct buffer *to, uint64_t n, bool non_sync);
/* Text for humans behind a status: controls and 8-bit become '?', cut at 512 octets. */
void imap_write_text(struct buffer *to, struct bytes text);
/* "(\Seen keyword)": system flags (imap_flags.h), \Recent if IS_RECENT, then KEYWORDS by the bits of MASK. */
void imap_write_flags(struct buffer *to, uint32_t flags, bool is_recent, uint64_t mask, const struct bytes *keywords,
                      size_t keyword_count);

#endif
