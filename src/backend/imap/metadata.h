/* metadata.h - entries of METADATA (RFC 5464) as responses, some at a time: for GETMETADATA and for LIST (RFC 9590).
 *
 * An entry is an attribute of the mailbox (or server) under its whole name, "/shared/comment" or "/private/comment"; a private one is
 * the user's. /private/specialuse is the mailbox's owner's, whoever asks for him: an administrator sets it for the user. */
#ifndef ROOST_BACKEND_IMAP_METADATA_H
#define ROOST_BACKEND_IMAP_METADATA_H

#include "imap_session.h"

#define METADATA_SPECIAL_USE "/private/specialuse"
#define METADATA_ADMIN "/shared/admin"

struct metadata_rows {
	mailbox_id_t mailbox; /* 0: the server */
	struct bytes external;
	bool has_maxsize;
	uint64_t maxsize;
	struct metadata_row {
		struct attribute of; /* without its value */
		bool is_named;       /* by the command: NIL is said where it is not there */
	} *at;
	size_t count, cap, next;
	uint64_t longest; /* of the values that were left out for MAXSIZE; 0: none */
};

/* Whose the entry NAME is: the user's, nobody's for a shared one, or the owner's. Lent by the session, or in A. */
struct bytes metadata_user(struct session *s, struct arena *a, struct bytes internal, struct bytes name);
/* Make C, which sets USER's special uses of INTERNAL, what is stored: refused where another mailbox of his has one of them. All lives in A.
 * False: a use that is not served, or a mailbox that is not his own, or is his INBOX. */
bool metadata_use_change(struct session *s, struct arena *a, struct bytes internal, struct attribute_change *c);
/* Whether a mailbox's entries may be seen with RIGHTS (RFC 5464 section 3.3). */
bool metadata_may(acl_rights_t rights);
/* Which rows ARGS asks for: MAILBOX is INTERNAL, EXTERNAL to the client (all empty, 0: the server). All lives in A. */
void metadata_collect(struct session *s, struct store_view *v, struct arena *a, mailbox_id_t mailbox, struct bytes internal,
                      struct bytes external, const struct metadata_args *args, struct metadata_rows *rows_r);
/* Append responses for some more of them. False: it was not all. */
bool metadata_write(struct session *s, struct store_view *v, struct metadata_rows *rows, struct buffer *to);

#endif
