/* reign.h - who may reign over a server: the directory as the arbiter of PacificA's configurations. Pure.
 *
 * A configuration is (epoch, master, in-sync set). It changes by compare-and-swap from one epoch to the next, and only a
 * member of the in-sync set, which by the protocol holds every acknowledged entry, may ask. So whoever is granted a
 * reign has lost nothing, and of several who ask with the same epoch one is granted. */
#ifndef ROOST_DIRECTORY_REIGN_H
#define ROOST_DIRECTORY_REIGN_H

#include <stdint.h>

#include "bytes.h"

/* IN_SYNC fields are member names separated by single blanks. */
struct reign {
	uint64_t epoch; /* 0: none yet */
	struct bytes master;
	struct bytes in_sync;
};

/* Whether MEMBER is one of the WORDS. */
bool reign_has_member(struct bytes words, struct bytes member);

/* May MEMBER, naming epoch ASKED_EPOCH as the present one, set MASTER and IN_SYNC as the next configuration?
 * NULL: yes. Else why not, a fixed text.
 *
 * The master may set any in-sync set that holds the new master, and hand over to a present in-sync member. Another
 * in-sync member may only name itself master, and keep or drop members, not add. PacificA, section 2.3: "the
 * configuration manager grants the first request that names the current version". */
const char *reign_refusal(const struct reign *now, struct bytes member, uint64_t asked_epoch, struct bytes master,
                          struct bytes in_sync);

/* What a member said of itself when it joined a server of which the directory has no record. */
struct reign_claim {
	struct bytes member;
	struct reign last; /* epoch 0: it holds nothing */
};

/* The first configuration of a server without record: *next_r is set and true returned if there can be one now.
 *
 * If nobody who joined holds anything, the first to join reigns alone. If somebody does (the directory lost its records),
 * the newest configuration claimed is taken up again once every member of its in-sync set has joined; until then the
 * server has no master, for a member that is still missing may hold what the others do not. */
bool reign_first(const struct reign_claim *claims, size_t count, struct reign *next_r);

#endif
