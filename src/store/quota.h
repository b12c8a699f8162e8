/* quota.h - limits of a quota root (RFC 9208): as octets, and against what is used. Pure.
 *
 * A root is an internal name, "user.fred": it governs the mailbox of that name and all below it, but for those that have a
 * nearer root. */
#ifndef ROOST_STORE_QUOTA_H
#define ROOST_STORE_QUOTA_H

#include "buffer.h"
#include "cursor.h"
#include "store_types.h"

/* Limits as octets in an entry, a record, a salvaged item: u8 which, u64 for each. */
#define QUOTA_LIMITS_MAX (1 + 8 * QUOTA_RESOURCES)
void quota_limits_write(struct buffer *to, const struct quota_limits *l);
/* False: malformed, or a limit beyond 63 bits. */
bool quota_limits_read(struct cursor *in, struct quota_limits *l_r);
bool quota_limits_equal(const struct quota_limits *a, const struct quota_limits *b);

/* Whether MORE (STORAGE in octets) does not fit; of a resource of which nothing more comes nothing is asked. */
bool quota_is_exceeded_by(const struct quota *q, const uint64_t more[QUOTA_RESOURCES]);
/* Whether more octets or messages than the limit are there already. */
bool quota_is_over(const struct quota *q);
/* What is used, in the unit of the limit. */
uint64_t quota_used(const struct quota *q, enum quota_resource r);
/* The name above, for the search of the nearest root; false: there is none above. The domain of a name is none. */
bool quota_above(struct bytes *name);

#endif
