/* imap_lex.h - the smallest parts of IMAP's grammar (RFC 3501 section 9), read from a complete command. Pure. */
#ifndef ROOST_IMAP_LEX_H
#define ROOST_IMAP_LEX_H

#include "arena.h"
#include "cursor.h"
#include "fault.h"

bool imap_is_atom_char(uint8_t c);
bool imap_is_astring_char(uint8_t c); /* an atom's or ']' */
bool imap_is_list_char(uint8_t c);    /* an astring's or % or * */

/* Each takes one part, or leaves the cursor and returns false with WHY saying what was expected. Results are borrowed from
 * the command, or in the arena where they had to be unquoted. */
bool imap_take_atom(struct cursor *c, struct bytes *s_r, struct fault *why);
bool imap_take_string(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why); /* quoted or literal */
bool imap_take_astring(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why);
bool imap_take_nstring(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why); /* NIL: p is NULL */
bool imap_take_list_mailbox(struct cursor *c, struct arena *a, struct bytes *s_r, struct fault *why);
bool imap_take_number(struct cursor *c, uint64_t max, uint64_t *n_r, struct fault *why);
bool imap_take_space(struct cursor *c, struct fault *why);
/* Whether C is at the command's end; else false with WHY. */
bool imap_at_end(struct cursor *c, struct fault *why);
/* "expected WHAT at octet N" */
bool imap_expected(const struct cursor *c, const char *what, struct fault *why);

#endif
