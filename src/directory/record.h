/* record.h - what a command does to the record of one mailbox name: the state table of the directory. Pure.
 *
 * The point of it: a server's two members share one name, so the second reservation and activation of one location get a
 * positive answer and change nothing, and so does the second deletion. */
#ifndef ROOST_DIRECTORY_RECORD_H
#define ROOST_DIRECTORY_RECORD_H

#include "bytes.h"

enum record_state {
	RECORD_NONE,
	RECORD_RESERVED,
	RECORD_ACTIVE,
};

struct record {
	enum record_state state;
	struct bytes location;
	struct bytes acl; /* only of an active one */
};

enum record_command {
	RECORD_RESERVE,
	RECORD_ACTIVATE,
	RECORD_DEACTIVATE,
	RECORD_DELETE,
};

struct record_change {
	bool is_ok;
	const char *text;   /* of the answer */
	bool is_changed;    /* NEXT is to be stored (or the record removed) and told to followers */
	bool is_move;       /* ACTIVATE took the name over from another location */
	struct record next; /* borrows from the arguments */
};

/* Decide COMMAND on the record NOW.
 *
 * location        the command's location; for DELETE empty
 * acl             of ACTIVATE
 * deleted_by      the server that deleted the last record of that name, empty: none known
 * server          the server whose member asks, empty: an administrator, who is nobody's member
 * The result borrows from NOW and the arguments. RFC 3656 section 4. */
struct record_change record_decide(enum record_command command, const struct record *now, struct bytes location,
                                   struct bytes acl, struct bytes deleted_by, struct bytes server);

#endif
