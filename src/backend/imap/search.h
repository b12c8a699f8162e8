/* search.h - evaluating a search program over the selected mailbox, some milliseconds at a time, so that a search through
 * bodies does not stall the other clients of the loop. For SEARCH and all that begins with one. */
#ifndef ROOST_BACKEND_IMAP_SEARCH_H
#define ROOST_BACKEND_IMAP_SEARCH_H

#include "imap_session.h"

struct search {
	struct search_key *program;
	size_t at, end;       /* indices into box->uids still to be looked at */
	bool stops_at_first;  /* set by the caller: one is enough */
	int64_t now;          /* for OLDER and YOUNGER */
	lsn_t tried;          /* the body that was last given to be mended */
	size_t from, range;   /* AT was FROM at the beginning, and RANGE messages were to be looked at */
	unsigned parts;       /* set by the caller: the work that the client is told about is so many times that; 0: as 1 */

	uint32_t *found;      /* what matches: indices, ascending; owned, freed with the command */
	size_t count, cap;
	modseq_t highest, first, last; /* modseqs: the highest of all found, those of the first and the last */
};

enum search_state {
	SEARCH_GOES_ON, /* return CMD_WANT_TURN, then search_run() again */
	SEARCH_WAITS,   /* return CMD_WANT_COMMIT: command->resume is called when a message is mended */
	SEARCH_ENDED,
	SEARCH_FAILED,  /* the tagged answer is set, or the session has left the mailbox: return CMD_DONE */
};

/* Begin with the command's program and charset. False: the tagged answer is set. */
bool search_begin(struct session *s, struct command *cmd, struct search *sr);
/* Tell how far the command is: DONE of TOTAL in the part of its work that is number PART, the search being number 0. */
void search_tell_progress(struct session *s, struct command *cmd, const struct search *sr, unsigned part, size_t done, size_t total);
enum search_state search_run(struct session *s, struct command *cmd, struct search *sr);

#endif
