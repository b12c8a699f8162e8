/* seqset.h - sequence sets (RFC 3501 section 9, sequence-set): of message numbers or UIDs. Pure. */
#ifndef ROOST_IMAP_SEQSET_H
#define ROOST_IMAP_SEQSET_H

#include "arena.h"
#include "buffer.h"
#include "cursor.h"
#include "fault.h"

#define SEQ_STAR UINT32_MAX /* "*" */

struct seq_range {
	uint32_t first, last; /* 1 <= first <= last, but for a SEQ_STAR that is not resolved yet */
};

struct seqset {
	struct seq_range *ranges; /* in the arena; as written until seqset_resolve() */
	size_t count;
	bool has_star;
	bool is_saved; /* "$", the result of a SEARCH that was saved (RFC 5182); there are no ranges then */
};

/* Read a set such as 1:3,7,12:* or $. False with WHY and the cursor unmoved: not a set, 0, or more than LIMIT ranges. */
bool seqset_parse(struct cursor *in, struct arena *a, size_t limit, struct seqset *set_r, struct fault *why);
/* Put MAX for "*" and sort and merge the ranges. MAX 0 (an empty mailbox) leaves "*" larger than any number. */
void seqset_resolve(struct seqset *set, uint32_t max);
/* Whether a resolved set holds N. O(log count). */
bool seqset_has(const struct seqset *set, uint32_t n);
/* Append ranges in the syntax of a set; an empty one writes nothing. */
void seqset_write(struct buffer *to, const struct seq_range *ranges, size_t count);

#endif
