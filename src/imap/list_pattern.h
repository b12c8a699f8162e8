/* list_pattern.h - matching mailbox names against LIST's patterns (RFC 3501 section 6.3.8). Pure. */
#ifndef ROOST_IMAP_LIST_PATTERN_H
#define ROOST_IMAP_LIST_PATTERN_H

#include "bytes.h"

/* Longest pattern that is looked at; a longer one matches nothing. */
#define LIST_PATTERN_MAX 1024

/* Whether external NAME matches PATTERN: '*' is any octets, '%' any but SEP. INBOX matches in any case. The time is bounded
 * by the product of the lengths. */
bool list_match(struct bytes pattern, struct bytes name, char sep);

/* For a NAME that is there: whether one of its parents matches PATTERN, the one of *n_r octets; call with *n_r 0 first, then
 * again for the next deeper one. */
bool list_match_parent(struct bytes pattern, struct bytes name, char sep, size_t *n_r);

#endif
