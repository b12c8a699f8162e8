/* special_use.h - special uses of mailboxes (RFC 6154; RFC 8457's \Important): as the value of /private/specialuse, in LIST, and by name
 * where none is set. \All and \Flagged would be views of other mailboxes, which are not served. Pure. */
#ifndef ROOST_IMAP_SPECIAL_USE_H
#define ROOST_IMAP_SPECIAL_USE_H

#include "buffer.h"
#include "map.h"
#include "names.h"

enum special_use {
	SPECIAL_USE_ARCHIVE = 1 << 0,
	SPECIAL_USE_DRAFTS = 1 << 1,
	SPECIAL_USE_IMPORTANT = 1 << 2,
	SPECIAL_USE_JUNK = 1 << 3,
	SPECIAL_USE_SENT = 1 << 4,
	SPECIAL_USE_TRASH = 1 << 5,
};

/* Read uses separated by blanks, in any case; VALUE may be empty. False: one that is not served. */
bool special_use_parse(struct bytes value, unsigned *uses_r);
/* "\Sent \Trash". */
void special_use_write(struct buffer *to, unsigned uses);

/* A user's mailboxes that have uses set, or set to none. */
struct special_uses {
	struct map of; /* internal name -> uses + 1 */
	unsigned set;  /* all of them */
	bool is_whole; /* nothing is used by its name alone */
};
/* Zero-initialise to start. */
void special_uses_add(struct special_uses *u, struct bytes internal, unsigned uses);
void special_uses_fini(struct special_uses *u);
/* What INTERNAL is used for by N's user: what is set, else by its name (the specialuse_ keys) unless that use is set elsewhere. */
unsigned special_use_of(const struct special_uses *u, const struct names *n, struct bytes internal);

#endif
