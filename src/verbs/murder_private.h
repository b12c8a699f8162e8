/* murder_private.h - the inside of `roost murder`; for its own files only. */
#ifndef ROOST_VERBS_MURDER_PRIVATE_H
#define ROOST_VERBS_MURDER_PRIVATE_H

#include <sys/types.h>

#include "config.h"

#define MURDER_PAIRS_MAX 20
#define MURDER_FRONTENDS_MAX 9
#define MURDER_USERS_MAX 1000
#define MURDER_MEMBERS 2 /* of each server */
#define PASSWORD_SIZE 24

enum daemon_kind { DAEMON_MUPDATE, DAEMON_BACKEND, DAEMON_FRONTEND };

/* One process of the murder. */
struct daemon {
	enum daemon_kind kind;
	char *name;   /* mupdate, backenda1, frontend1 */
	char *server; /* backenda; NULL for others */
	char *path;   /* of its configuration */
	struct config *config;
	pid_t pid; /* 0: not running */
	uint64_t started_ms, again_ms, pause_ms;
};

struct murder_user {
	char *name, *password;
};

struct murder {
	/* as asked for */
	char *dir; /* absolute */
	size_t pairs, fronts; /* 0: as found, else the default */
	uint64_t port_base;   /* 0: free ones */
	bool is_restarting;
	bool is_old; /* DIR held a murder before */
	struct murder_user users[MURDER_USERS_MAX];
	size_t user_count;

	/* as it is */
	struct daemon *daemons; /* mupdate, then members by server, then frontends */
	size_t count;
	char *program; /* this executable */
	char *admin_password;
	struct config *client; /* DIR/cli.conf */
	struct daemon *mupdate;
};

/* murder_files.c: write what is missing in DIR, read everything back. False with WHY. */
bool murder_prepare(struct murder *m, struct fault *why);
/* The value of KEY, "" where it is not set. Lent. */
const char *daemon_address(const struct daemon *d, const char *key);
/* The port of "host:port", lent. */
const char *murder_port_of(const char *address);
/* A password of PASSWORD_SIZE letters and digits. */
bool murder_make_password(char to[PASSWORD_SIZE + 1], struct fault *why);

/* murder_users.c */
/* Take NAME:PASSWORD. */
bool murder_add_user(struct murder *m, const char *pair, struct fault *why);
/* Write the users asked for, or made up, and cli.conf. The daemons' configurations are there. */
bool murder_prepare_users(struct murder *m, struct fault *why);

/* murder_report.c */
/* Write DIR/murder.json anew. */
bool murder_write_json(const struct murder *m, struct fault *why);
/* Print what there is and what to try. */
void murder_print(const struct murder *m);

/* murder_children.c */
/* Whether every address is free; false with WHY naming the first that is not. */
bool murder_check_ports(const struct murder *m, struct fault *why);
bool daemon_start(const struct murder *m, struct daemon *d, struct fault *why);
/* Take up the children that ended; start again those whose time has come. Returns false with WHY where one ended and none
 * is to be started again while the murder is being set up. */
bool murder_reap(struct murder *m, bool is_up, bool *has_changed_r, struct fault *why);
/* TERM to all, frontends first; KILL to what is left after a while. */
void murder_stop(struct murder *m);

/* murder_ready.c */
/* Wait until everything serves; false with WHY, or where *INTERRUPTED_R tells that a signal came. */
bool murder_wait_ready(struct murder *m, bool *interrupted_r, struct fault *why);
/* An INBOX for each user that has none, spread over the servers. */
bool murder_make_inboxes(struct murder *m, struct fault *why);
/* Whether SIGINT or SIGTERM came within MS; returns early for SIGCHLD. */
bool murder_nap(unsigned ms);

#endif
