/* search_answer.h - the results of SEARCH and SORT as "* SEARCH", "* SORT" or "* ESEARCH" (RFC 4731, 5267, 9394), told as fast as the
 * client takes them. */
#ifndef ROOST_BACKEND_IMAP_SEARCH_ANSWER_H
#define ROOST_BACKEND_IMAP_SEARCH_ANSWER_H

#include "search.h"

struct search_answer { /* zeroed at first; may be begun again when all was told */
	struct bytes mailbox;  /* ESEARCH: what is told of it beside the tag, as the client knows it; set before, else empty; lent */
	const struct search *search;
	const uint32_t *found; /* search->found, or the same in another order; lent */
	size_t at, end;        /* of FOUND still to be told */
	size_t score_from, score_at, score_end; /* of FOUND: those whose scores are told, and the next one */
	bool in_scores;
	struct buffer line;    /* freed with the command */
	bool has_begun;
};

/* Begin to tell FOUND, all of SEARCH, with "* " and WORD unless RETURN was said; then RESUME, which calls search_answer_tell(). */
void search_answer_begin(struct session *s, struct command *cmd, struct search_answer *a, const struct search *search,
                         const uint32_t *found, const char *word);
/* CMD_WANT_OUTPUT, or the answer is set. */
enum cmd_step search_answer_tell(struct session *s, struct command *cmd, struct search_answer *a);

/* Keep what SAVE keeps of what SEARCH found in the selected mailbox, as "$" (RFC 5182). */
void search_answer_save(struct session *s, const struct command *cmd, const struct search *sr);

#endif
