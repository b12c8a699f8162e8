/* search_apart.h - a large message's strings are looked for on a pool thread, so that its size holds up nobody else on the loop. */
#ifndef ROOST_BACKEND_IMAP_SEARCH_APART_H
#define ROOST_BACKEND_IMAP_SEARCH_APART_H

#include "search.h"

/* What has that many octets, of a message or its header, is looked at apart: less takes no longer than some slices of a search do. */
#define SEARCH_APART_MIN (256u << 10)

/* Look for all strings of SR that MSG may hold. RESUME is called when that is done; the plans then have the scores for it. The command
 * waits until then. */
void search_apart_begin(struct session *s, struct search *sr, const struct message *msg);
/* Whether that was done for MSG: sr->apart says how it went, and search_apart_score() what K, which has a plan, scored: 1 to 100 (100: an
 * exact match), or 0. */
bool search_apart_has(const struct search *sr, const struct message *msg);
unsigned search_apart_score(const struct search_key *k);

#endif
