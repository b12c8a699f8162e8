/* search.h - evaluating a search program over the selected mailbox, some milliseconds at a time, so that a search through
 * bodies does not stall the other clients of the loop. For SEARCH and all that begins with one. */
#ifndef ROOST_BACKEND_IMAP_SEARCH_H
#define ROOST_BACKEND_IMAP_SEARCH_H

#include "imap_session.h"

/* How looking for the strings in the message with that body, apart, has ended (search_apart.h). */
struct search_apart {
	lsn_t body; /* 0: none */
	enum store_result result;
	struct fault why; /* unless STORE_OK */
};

struct search {
	const struct box *box; /* where; lent */
	struct search_key *program;
	size_t at, end;       /* indices into box->uids still to be looked at */
	bool stops_at_first;  /* set by the caller: one is enough */
	int64_t now;          /* for OLDER and YOUNGER */
	lsn_t tried;          /* the body that was last given to be mended */
	size_t from, range;   /* AT was FROM at the beginning, and RANGE messages were to be looked at */
	unsigned parts;       /* set by the caller: the work that the client is told about is so many times that; 0: as 1 */

	struct search_plan *plans; /* of the keys with strings: search_ask.h */
	bool has_asked, is_fuzzy;
	uint32_t indexed;          /* the plans hold for messages below this UID */
	struct search_apart apart;

	uint32_t *found;      /* what matches: indices, ascending; owned, freed with the command */
	uint8_t *scores;      /* of each, 1 to 100; NULL unless the program has a FUZZY key (RFC 6203); owned as FOUND is */
	size_t count, cap;
	modseq_t highest, first, last; /* modseqs: the highest of all found, those of the first and the last */
};

enum search_state {
	SEARCH_GOES_ON, /* return CMD_WANT_TURN, then search_run() again */
	SEARCH_WAITS,   /* return CMD_WANT_COMMIT: command->resume is called when a message is mended or was looked at apart, or the index has answered */
	SEARCH_ENDED,
	SEARCH_FAILED,  /* the tagged answer is set, or the session has left the mailbox: return CMD_DONE */
};

/* Make C's program ready for BOX: sets are resolved, strings folded, in A. False: a string is not of the charset. */
bool search_prepare(const struct box *box, struct imap_command *c, struct arena *a);
/* Whether the one message MSG of mailbox M, with that number, matches PROGRAM, which was made ready. One that cannot be read does not. */
bool search_matches(struct session *s, const struct box *box, struct store_view *v, const struct mailbox *m, const struct message *msg,
                    uint32_t number, const struct search_key *program);

/* Begin with the command's program and charset, in the selected mailbox. False: the tagged answer is set. */
bool search_begin(struct session *s, struct command *cmd, struct search *sr);
/* The same in BOX, with the program of C; what is needed for that, and SR's own, lives in A. */
bool search_begin_in(struct session *s, struct command *cmd, struct search *sr, const struct box *box, struct imap_command *c,
                     struct arena *a);
/* Tell how far the command is: DONE of TOTAL in the part of its work that is number PART, the search being number 0. */
void search_tell_progress(struct session *s, struct command *cmd, const struct search *sr, unsigned part, size_t done, size_t total);
enum search_state search_run(struct session *s, struct command *cmd, struct search *sr);

#endif
