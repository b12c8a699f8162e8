/* mupdate_client.h - a client of the mupdate server that keeps itself connected: commands with answers, the update stream,
 * and the extension's pushes. One client lives on one loop; all functions and callbacks are for that loop's thread.
 *
 * It connects, authenticates, follows if asked to, and on any loss begins again after a pause that grows to 5 s, going
 * through the addresses in turn. */
#ifndef ROOST_PEER_MUPDATE_CLIENT_H
#define ROOST_PEER_MUPDATE_CLIENT_H

#include "bytes.h"
#include "config.h"
#include "loop.h"
#include "tls.h"

struct mupdate_client;

enum mupdate_outcome {
	MUPDATE_OUTCOME_OK,
	MUPDATE_OUTCOME_NO,
	MUPDATE_OUTCOME_BAD,
	MUPDATE_OUTCOME_LOST, /* the connection went before the answer came: it may or may not have been done */
};

/* TEXT is the answer's, lent during the call. */
typedef void mupdate_done_fn(void *arg, enum mupdate_outcome outcome, struct bytes text);
/* A record of LIST or FIND; ACL only of an active one. Lent during the call. */
typedef void mupdate_record_fn(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl);

/* Told without being asked; NULL where not wanted. Bytes are lent during the call. */
struct mupdate_client_events {
	/* Authenticated; IS_ROOST: the extension is offered. Commands may be sent. */
	void (*on_up)(void *arg, bool is_roost);
	/* Was up and is not. */
	void (*on_down)(void *arg);
	/* The update stream: a full list begins (forget nothing yet), each record of it and each change after it, and the
	 * list's end: names that were not in it are gone. */
	void (*on_list_begin)(void *arg);
	void (*on_record)(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl);
	void (*on_deleted)(void *arg, struct bytes name);
	void (*on_list_end)(void *arg);
	/* The extension. MASTER is empty while there is none; IN_SYNC: names separated by blanks. */
	void (*on_server)(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync);
	void (*on_member)(void *arg, struct bytes server, struct bytes member, struct bytes imap, struct bytes lmtp,
	                  struct bytes sync, struct bytes admin, bool is_up);
	void (*on_front)(void *arg, struct bytes name, struct bytes imap, struct bytes lmtp, struct bytes admin, bool is_up);
	/* The member, or with an empty SERVER the frontend, that on_member or on_front told of just before also serves POP3. Without it
	 * it does not. */
	void (*on_pop3)(void *arg, struct bytes server, struct bytes name, struct bytes pop3);
	/* The master is asked to hand over to MEMBER. */
	void (*on_promote)(void *arg, struct bytes server, struct bytes member);
};

struct mupdate_client_options {
	/* mupdate_server, mupdate_port, mupdate_authname, mupdate_password, tls_client_ca_file, allowplaintext. */
	const struct config *config;
	const char *authzid;     /* NULL: none */
	struct tls_context *tls; /* for STARTTLS where offered and the peer is not on loopback; NULL: none. Lent */
	bool is_follower;        /* send UPDATE */
	bool is_watcher;         /* send XWATCH where the extension is offered */
	const struct mupdate_client_events *events;
	void *arg;
};

/* Begin. OPTIONS is copied, what it points to is lent for the client's life. Never fails: it tries for ever. */
struct mupdate_client *mupdate_client_start(struct loop *l, const struct mupdate_client_options *options);
/* End: open commands get LOST before this returns, no callback comes after. Sets *C to NULL; NULL is allowed. */
void mupdate_client_stop(struct mupdate_client **c);
/* Drop the connection and, after the longest pause, begin again: what was heard could not be kept. WHY is logged. What has
 * come already may still be told. */
void mupdate_client_again(struct mupdate_client *c, const char *why);
bool mupdate_client_is_up(const struct mupdate_client *c);
/* Why it is not up, for status; "" while it is. Lent until the next call. */
const char *mupdate_client_problem(const struct mupdate_client *c);

/* Send VERB with COUNT string arguments; DONE is called with the answer. RECORD (NULL: none) gets the records that come
 * for it. False: not up; nothing is called. */
bool mupdate_client_send(struct mupdate_client *c, const char *verb, const struct bytes *args, size_t count,
                         mupdate_record_fn *record, mupdate_done_fn *done, void *arg);

#endif
