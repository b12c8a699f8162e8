/* reign_registry.h - the servers with their configurations and the members and frontends that are (or were) connected,
 * as the session loop knows them. Not durable, but for the configurations, which it mirrors. Loop's thread only. */
#ifndef ROOST_DIRECTORY_REIGN_REGISTRY_H
#define ROOST_DIRECTORY_REIGN_REGISTRY_H

#include "buffer.h"
#include "list.h"
#include "map.h"
#include "reign.h"

/* Longest name or address, octets. */
#define REGISTRY_TEXT_MAX 255
/* Most members that one server may have had since the start; most frontends remembered. */
#define SERVER_MEMBERS_MAX 16
#define REGISTRY_FRONTS_MAX 1024

/* What a daemon says of itself; SYNC is empty for frontends, POP3 (also NULL) where it is not served. */
struct addresses {
	char *imap, *lmtp, *sync, *admin, *pop3;
};

/* Stands for a session at another mupdate server with the same store; no connection has that number. */
#define DIR_ELSEWHERE UINT64_MAX

struct member {
	struct list in_server;
	char *name;
	struct addresses at;
	uint64_t session; /* 0: down; DIR_ELSEWHERE: connected to another mupdate server */
	bool is_stale;    /* heard of before the shared store was read anew, and not since */
	/* Its last known configuration, as it said when it joined. */
	uint64_t claim_epoch;
	char *claim_master, *claim_in_sync;
};

struct server {
	char *name; /* lower-cased */
	uint64_t epoch;
	char *master, *in_sync; /* "" while epoch is 0 */
	struct list members;    /* in the order they joined first */
	bool is_foreign;        /* its members come from the configuration and do not join */
};

struct front {
	char *name;
	struct addresses at;
	uint64_t session; /* as a member's */
	bool is_stale;
};

struct registry {
	struct map servers; /* struct server by lower-cased name */
	struct map fronts;  /* struct front by name */
};

void registry_fini(struct registry *r);
/* The server of that name, whatever its case; made if CREATE, else NULL where unknown. */
struct server *registry_server(struct registry *r, struct bytes name, bool create);
void server_set_reign(struct server *s, const struct reign *reign);
/* The member of that name; made if CREATE, else NULL where unknown. NULL also where there are SERVER_MEMBERS_MAX others. */
struct member *server_member(struct server *s, struct bytes name, bool create);
/* The same for frontends. Beyond REGISTRY_FRONTS_MAX one that is down is forgotten for the new one; NULL: all are up. */
struct front *registry_front(struct registry *r, struct bytes name, bool create);
/* Replace the string at *TO with a copy of VALUE. */
void registry_set(char **to, struct bytes value);
/* The first configuration S could have now (reign_first() over those who are connected). The result is lent until the
 * members change. */
bool server_first_reign(const struct server *s, struct reign *next_r);

/* Append the untagged lines of the extension: "* XSERVER ..." with its members' "* XMEMBER ...", "* XFRONTEND ...", behind which
 * there is "* XPOP3 ..." where POP3 is served. */
void registry_write_server(struct buffer *to, const struct server *s);
void registry_write_member(struct buffer *to, const struct server *s, const struct member *m);
void registry_write_front(struct buffer *to, const struct front *f);
void registry_write_all(struct buffer *to, const struct registry *r);

#endif
