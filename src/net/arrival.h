/* arrival.h - whether something long that a peer has announced comes on: who announces and then sends nothing, or an octet now and then, holds
 * memory that others could use. On the connection's loop's thread. */
#ifndef ROOST_NET_ARRIVAL_H
#define ROOST_NET_ARRIVAL_H

#include "conn.h"

struct arrival;

/* Have LATE(ARG) called once if during any MS fewer than ARRIVAL_STEP octets were added to C's input, from now until arrival_end(), which must
 * come before C's end and before the owner waits for less. */
#define ARRIVAL_STEP (64 * 1024)
struct arrival *arrival_watch(struct conn *c, uint64_t ms, loop_fn *late, void *arg);
/* Sets *A to NULL; NULL is allowed. Also from within LATE. */
void arrival_end(struct arrival **a);

#endif
