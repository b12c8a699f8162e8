/* dir_presence.h - who is connected to which of several mupdate servers that share a store; on the loop. Where the store
 * is not shared, nothing is said and nothing heard. */
#ifndef ROOST_DIRECTORY_DIR_PRESENCE_H
#define ROOST_DIRECTORY_DIR_PRESENCE_H

#include "dir_etcd.h"
#include "dir_session.h"

/* Say that M, or F, is connected here; or, where it no longer is, take that back. */
void dir_presence_member(struct directory *d, const struct server *server, const struct member *m);
void dir_presence_front(struct directory *d, const struct front *f);
/* Ask the mupdate server that SERVER's master is connected to for a hand-over to MEMBER. */
void dir_presence_promote(struct directory *d, const struct server *server, struct bytes member);

/* As struct dir_etcd_events has them; ARG is the directory. */
void dir_presence_heard(void *arg, struct presence *p);
void dir_presence_forgotten(void *arg);

#endif
