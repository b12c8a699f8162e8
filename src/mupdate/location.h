/* location.h - "server!partition", as on the MUPDATE wire (RFC 3656 section 1). Pure. */
#ifndef ROOST_MUPDATE_LOCATION_H
#define ROOST_MUPDATE_LOCATION_H

#include "bytes.h"

struct location {
	struct bytes server;
	struct bytes partition; /* may be empty: any */
};

/* Take TEXT apart; borrowed from it. A text without '!' is a server with an empty partition. */
struct location location_of(struct bytes text);
/* Server names are equal whatever their ASCII case. */
bool location_same_server(struct bytes a, struct bytes b);
/* The same server, and the same partition to the letter; an empty partition, as Cyrus sends at RENAME, equals any. */
bool location_equal(struct bytes a, struct bytes b);

#endif
