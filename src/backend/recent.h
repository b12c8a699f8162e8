/* recent.h - which messages are \Recent (RFC 3501 section 2.3.2), kept in the master's memory only.
 *
 * A message is recent for the first session that selects its mailbox read-write after it arrived. Kept is, per mailbox
 * that got mail or was selected in this process's life, the highest UID that a session has claimed; what was there before
 * is not recent, so that a failover does not make all mail recent again. Any thread. */
#ifndef ROOST_BACKEND_RECENT_H
#define ROOST_BACKEND_RECENT_H

#include <pthread.h>
#include <stdint.h>

#include "map.h"

struct recent {
	pthread_mutex_t lock; /* guards the map */
	struct map claimed;   /* mailbox id -> struct recent_row, owned */
};

void recent_init(struct recent *r);
void recent_fini(struct recent *r);
/* Messages are about to be added to MAILBOX, whose UIDNEXT is FIRST or more. */
void recent_note(struct recent *r, uint64_t mailbox, uint32_t first);
/* A session sees MAILBOX up to the UID LAST. Returns the highest UID that is not recent for it; if IS_CLAIMING, what lies
 * above is its own from now on and nobody else's. */
uint32_t recent_claim(struct recent *r, uint64_t mailbox, uint32_t last, bool is_claiming);

#endif
