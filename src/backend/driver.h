/* driver.h - the member's engine: the writer thread with the store's write side, the replica core, the sync connections,
 * and the directory. Sessions hand it intents and hear what came of them; everything else it does by itself. */
#ifndef ROOST_BACKEND_DRIVER_H
#define ROOST_BACKEND_DRIVER_H

#include "buffer.h"
#include "config.h"
#include "intent.h"
#include "list.h"
#include "loop.h"
#include "mupdate_client.h"
#include "store.h"
#include "tls.h"
#include "users.h"

struct driver;

/* Called on the writer thread; must be short and must not call back into the driver. */
struct driver_events {
	/* Whether this member serves clients has changed. */
	void (*on_serving)(void *arg, bool may_serve);
	/* A commit changed these mailboxes. CHANGES is lent during the call. */
	void (*on_changes)(void *arg, const struct store_changes *changes);
	/* Entries that had been applied may have been taken back, or the partition was replaced by a copy. */
	void (*on_replaced)(void *arg);
};

struct driver_options {
	const struct config *config; /* lent for the driver's life, as all below */
	struct store *store;         /* open; its write side is the driver's from now on */
	struct users *users;         /* against which other members authenticate */
	struct tls_context *tls_server, *tls_client; /* NULL: sync and directory connections without TLS */
	/* What the directory is told of this member, with real ports. */
	const char *imap_address, *lmtp_address, *admin_address, *pop3_address; /* copied; pop3 empty: not served */
	const struct driver_events *events;
	void *arg;
};

/* Open the sync port and start the threads. NULL with WHY naming the configuration key or address. */
struct driver *driver_start(const struct driver_options *options, struct fault *why);
/* Hand the reign over to an in-sync member if there is one (at most 2 s), answer what waits with NOT_MASTER, close the
 * connections, end the threads and free. Not on a loop that requests were submitted from, unless it goes on running.
 * Sets *D to NULL; NULL is allowed. */
void driver_stop(struct driver **d);

/* Whether this member is the master, has applied everything of earlier reigns, and holds its lease now. Any thread; costs
 * a clock reading. */
bool driver_may_serve(const struct driver *d);
/* "master" while driver_may_serve(), else "replica". Any thread. */
const char *driver_role(const struct driver *d);
/* Connected to the directory, and either serving or following a master. Any thread. */
bool driver_is_ready(const struct driver *d);

struct driver_request {
	struct intent *intent; /* with what it points to: borrowed until DONE */
	struct arena *arena;   /* for the answer's lists */
	struct intent_answer answer;
	bool had_no_effect;    /* answer.result is STORE_NOT_MASTER: certainly nothing was done, it may be sent again
	                          elsewhere; STORE_FAILED: nothing was done. False with either: the outcome is unknown */
	loop_fn *done;         /* DONE(ARG) is posted to the loop that submitted, exactly once, never from within */
	void *arg;

	/* The driver's. */
	struct list waiting;
	struct loop *loop;
	uint64_t cost;
};

/* Give REQUEST, which the caller keeps until DONE. On a loop's thread. */
void driver_submit(struct driver *d, struct driver_request *request);

/* Entry LSN, which is applied, is damaged on this member's disk: have it fetched from another member and put back. Logged and
 * counted. It takes some seconds at most, less where no other member is connected. */
struct driver_mend {
	lsn_t lsn;
	bool is_mended; /* read it again */
	loop_fn *done;  /* DONE(ARG) is posted to the loop that asked, exactly once, never from within; NULL: nobody waits, and MEND is
	                   given, to be freed */
	void *arg;

	/* The driver's. */
	struct driver *driver;
	struct list waiting;
	struct loop *loop;
};
void driver_mend(struct driver *d, struct driver_mend *mend);

/* A command to the directory about one of this server's mailboxes: RESERVE and ACTIVATE name this server's location. */
enum driver_directory_verb { DRIVER_RESERVE, DRIVER_ACTIVATE, DRIVER_DEACTIVATE, DRIVER_DELETE };
struct driver_directory_request {
	enum driver_directory_verb verb;
	struct bytes name, acl; /* borrowed until DONE */
	enum mupdate_outcome outcome; /* LOST also where the directory cannot be reached now */
	char text[128];               /* of the answer */
	loop_fn *done;                /* as above */
	void *arg;

	/* The driver's. */
	struct driver *driver;
	struct loop *loop;
};
void driver_directory(struct driver *d, struct driver_directory_request *request);
/* While NAME is being created, renamed or deleted by a session the comparison with the directory leaves it alone. Any
 * thread; counted, so each begin has its end. */
void driver_name_begin(struct driver *d, struct bytes name);
void driver_name_end(struct driver *d, struct bytes name);

/* Append members of a JSON object ("role":..., "epoch":..., ...) / Prometheus lines. Any thread. */
void driver_status_json(struct driver *d, struct buffer *to);
void driver_metrics(struct driver *d, struct buffer *to);

#endif
