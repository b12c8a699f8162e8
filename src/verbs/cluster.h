/* cluster.h - the murder as the mupdate server sees it, asked once; and one command to it. Both block the calling thread,
 * running a loop of their own, and give up after a time. */
#ifndef ROOST_VERBS_CLUSTER_H
#define ROOST_VERBS_CLUSTER_H

#include "config.h"
#include "mupdate_client.h"

struct cluster_server {
	char *name, *master, *in_sync; /* MASTER is empty while there is none */
	uint64_t epoch;
};

struct cluster_member {
	char *server, *name, *imap, *lmtp, *sync, *admin, *pop3; /* POP3: NULL where it is not served */
	bool is_up; /* connected to the directory */
};

struct cluster_front {
	char *name, *imap, *lmtp, *admin, *pop3;
	bool is_up;
};

/* Sorted by name. */
struct cluster {
	struct cluster_server *servers;
	struct cluster_member *members;
	struct cluster_front *fronts;
	size_t server_count, member_count, front_count;
};

/* Ask the mupdate server that CONFIG names. False with WHY: not reached, not let in, or it does not offer the extension.
 * The caller ends with cluster_fini(). */
bool cluster_read(const struct config *config, struct cluster *c, struct fault *why);
void cluster_fini(struct cluster *c);

/* Send one command and wait for its answer at most TIMEOUT_MS. RECORD gets the records that come for it (NULL: none).
 * False with WHY: no answer, or NO or BAD with the server's text. */
bool cluster_command(const struct config *config, const char *verb, const struct bytes *args, size_t count,
                     uint64_t timeout_ms, mupdate_record_fn *record, void *arg, struct fault *why);

#endif
