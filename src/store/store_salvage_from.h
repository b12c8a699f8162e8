/* store_salvage_from.h - salvage by hand, from the partition of a member that will not come back. */
#ifndef ROOST_STORE_SALVAGE_FROM_H
#define ROOST_STORE_SALVAGE_FROM_H

#include <stdio.h>

#include "store.h"

/* DIR is the partition of a member that is not running, on a disk that was brought here. Put aside what it has and the journal
 * of TO, a member of the same server, has not, cut it off there, and bring the items to TO's salvage/, where the member takes
 * them up, also while it runs. One line on OUT says what was found. False with WHY: DIR is in use or damaged, both have no
 * entry in common, or no room; it may be tried again. */
bool store_salvage_from(const char *dir, const struct store_options *to, FILE *out, struct fault *why);

#endif
