/* places.h - where every mailbox is, and who is master of every server: the directory as the frontend knows it.
 *
 * The mailbox list is kept in LMDB beside the frontend and follows the update stream; while the stream is being read anew
 * (after a reconnect) the old list goes on serving. Reading is for any thread. */
#ifndef ROOST_FRONTEND_PLACES_H
#define ROOST_FRONTEND_PLACES_H

#include "arena.h"
#include "buffer.h"
#include "config.h"
#include "loop.h"
#include "tls.h"

#define PLACES_ADDRESS_MAX 96
#define PLACES_SERVER_MAX 256

struct places;

/* Called on the home loop. SERVER is lent during the call.
 *
 * changed  a server has another master, or none; or is heard of for the first time, be it as the place of a mailbox
 * gone     a server of which the directory knows no members is no mailbox's place any more, in a whole list
 * whole    a whole list was read */
struct places_events {
	void (*changed)(void *arg, struct bytes server);
	void (*gone)(void *arg, struct bytes server);
	void (*whole)(void *arg);
};

struct places_options {
	const struct config *config; /* configdirectory, mupdate_...; lent for the life, as all below */
	struct tls_context *tls;     /* for STARTTLS towards the directory; NULL: none */
	/* What the directory is told of this frontend. */
	const char *name, *imap_address, *lmtp_address, *admin_address, *pop3_address; /* "": not served */
	const struct places_events *events; /* lives for ever */
	void *arg;
};

/* Open the list and begin to follow, on HOME (its thread). NULL with WHY. */
struct places *places_open(struct loop *home, const struct places_options *options, struct fault *why);
/* Stop following; on HOME's thread. The list can still be read. */
void places_stop(struct places *p);
/* When HOME and all readers have ended. Sets *P to NULL; NULL is allowed. */
void places_free(struct places **p);
/* A full list has been read, in this process's life or an earlier one. */
bool places_is_ready(const struct places *p);

struct place {
	char server[PLACES_SERVER_MAX];
	bool is_active;
	struct bytes acl;      /* in the arena */
	struct bytes location; /* in the arena */
};
enum places_result {
	PLACES_NONE, /* the directory does not have it */
	PLACES_FOUND,
	PLACES_FAILED, /* the list cannot be read now (logged): nobody knows */
};
/* Where the mailbox NAME (internal) is; *PLACE_R is set where it was found. */
enum places_result places_find(struct places *p, struct bytes name, struct arena *a, struct place *place_r);

/* Walk the active mailboxes whose names begin with PREFIX, in order, in one snapshot. FN says whether to go on; what it is
 * given is lent during the call. */
typedef bool places_each_fn(void *arg, struct bytes name, struct bytes location, struct bytes acl);
void places_each(struct places *p, struct bytes prefix, places_each_fn *fn, void *arg);
/* The same from the name FROM on, if that is behind PREFIX. */
void places_each_from(struct places *p, struct bytes prefix, struct bytes from, places_each_fn *fn, void *arg);

/* Address of SERVER's present master for a service, and the epoch (0: the directory does not know the server). A server without members that
 * serve is a host of its name, as with Cyrus. False: it has none that is known. */
enum places_service { PLACES_IMAP, PLACES_LMTP, PLACES_POP3, PLACES_SERVICES };
bool places_master(struct places *p, const char *server, enum places_service service, char address_r[PLACES_ADDRESS_MAX],
                   uint64_t *epoch_r);
/* The server whose name comes first; false: none is known. */
bool places_first_server(struct places *p, char server_r[PLACES_SERVER_MAX]);
/* The server whose name comes next behind AFTER, which may be SERVER_R; false: there is none. */
bool places_next_server(struct places *p, const char *after, char server_r[PLACES_SERVER_MAX]);
/* A server for something new, the same for the same KEY as long as the servers are; false: none is known. */
bool places_any_server(struct places *p, struct bytes key, char server_r[PLACES_SERVER_MAX]);

/* Have DONE(ARG) posted to the calling loop once everything that the directory had told anybody before this call is in the
 * list; at once where the directory cannot be reached. On a loop's thread. */
void places_sync(struct places *p, loop_fn *done, void *arg);

/* Keep VALUE under KEY beside the list (empty: keep nothing there); it goes where the list goes. On HOME's thread. */
void places_note(struct places *p, struct bytes key, struct bytes value);
/* Call FN for all that is kept under keys that begin with PREFIX; lent during the call. */
typedef void places_note_fn(void *arg, struct bytes key, struct bytes value);
void places_notes(struct places *p, struct bytes prefix, places_note_fn *fn, void *arg);

size_t places_count(struct places *p);
/* Append members of a JSON object. Any thread. */
void places_status_json(struct places *p, struct buffer *to);

#endif
