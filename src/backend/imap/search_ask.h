/* search_ask.h - what the search index knows of a search's strings: which messages certainly do not hold them. Asked for on a pool thread,
 * before the first message is looked at; of what it does not know nothing is left out, so the results are the same without it. */
#ifndef ROOST_BACKEND_IMAP_SEARCH_ASK_H
#define ROOST_BACKEND_IMAP_SEARCH_ASK_H

#include "search.h"

/* Of a key with a string (SEARCH_HEADER, _BODY, _TEXT), in key->plan; in the arena of the search, but for the hits. */
struct search_plan {
	struct search_plan *next;
	const struct search_key *key;
	bool is_kept;  /* its field is among those that are kept beside each message */
	bool is_asked;
	bool is_known; /* HITS are all messages below UID sr->indexed that may hold the string, by their bodies, ascending */
	lsn_t *hits;   /* owned, freed with the arena at the latest */
	unsigned score;       /* of the message that was last looked at apart */
	size_t hit_count, at; /* AT: where the last body that was asked for is, or would be */
};

/* Make the plans of K, what follows it, and all in them. Their strings are folded. */
void search_ask_plan(struct arena *a, struct search *sr, struct search_key *k);
/* Ask, if that is likely to be worth it. True: RESUME is called when there is an answer. */
bool search_ask_begin(struct session *s, struct search *sr);
/* Whether MSG certainly does not hold K's string. */
bool search_ask_excludes(const struct search *sr, const struct search_key *k, const struct message *msg);
/* Whether K, which has a plan, is of a field that is kept beside each message. */
bool search_ask_is_kept(const struct search_key *k);
/* All were looked at: let go of what was answered. */
void search_ask_end(struct search *sr);

#endif
