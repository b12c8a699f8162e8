/* capabilities_merge.h - which capabilities a proxy may offer, given those of its backends. Pure. */
#ifndef ROOST_FRONTEND_CAPABILITIES_MERGE_H
#define ROOST_FRONTEND_CAPABILITIES_MERGE_H

#include "buffer.h"
#include "bytes.h"

/* OF   COUNT servers' capabilities, words separated by blanks, in any case
 *
 * max_message  octets, of APPENDLIMIT where no server's is lower
 * outside, inside  appended to: " WORD" for each of what is offered before and after login, but for IMAP4rev1
 * features_r   bits of enum imap_feature: what may be ENABLEd */
void capabilities_merge(const struct bytes *of, size_t count, uint64_t max_message, struct buffer *outside, struct buffer *inside,
                        unsigned *features_r);

#endif
