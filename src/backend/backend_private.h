/* backend_private.h - what the sessions of one backend share, and how a session hands an intent to the writer.
 *
 * A client (an IMAP or LMTP session) belongs to one shard, which is one loop with the clients on it; everything of a
 * client is touched on that loop's thread only. Between threads go submissions: a client's id and the memory that an
 * intent needs. The answer looks the client up by its id and may find it gone. */
#ifndef ROOST_BACKEND_PRIVATE_H
#define ROOST_BACKEND_PRIVATE_H

#include "admin.h"
#include "arena.h"
#include "column.h"
#include "conn.h"
#include "driver.h"
#include "imap_command.h"
#include "imap_framer.h"
#include "inflight.h"
#include "intent.h"
#include "list.h"
#include "login.h"
#include "map.h"
#include "mime.h"
#include "recent.h"

struct backend;
struct client;
struct indexer;
struct submission;

/* One loop and the clients on it. */
struct shard {
	struct backend *backend;
	struct loop *loop;
	struct map clients; /* id -> struct client, lent by the session that embeds it */
	struct map watched; /* key -> struct watch, owned */
	atomic_size_t watch_count;
	bool is_ending;     /* no new clients */
};

/* Why sessions are told to go. */
enum farewell {
	FAREWELL_NOT_MASTER, /* another member is master, or this one's lease is lost */
	FAREWELL_STOPPING,   /* the process ends */
};

/* Who wants to hear of changes: on its shard's loop, as all of it. Zeroed at first; the shard lends it while it watches. */
struct watcher {
	struct list in_watch;
	uint64_t key; /* what is watched; 0: nothing */
	/* WHAT of MAILBOX was changed by a commit. It must not call watcher_set(), but for single mailboxes where it watches WATCH_LIST. */
	void (*changed)(struct watcher *w, mailbox_id_t mailbox, uint32_t what);
};

struct client_class {
	/* Say good-bye and close, at once or when the command that waits for a commit has its answer. */
	void (*farewell)(struct client *c, enum farewell why);
	/* The mailbox that client_watch() named was changed by a commit: WHAT is bits of enum store_change_bit. It
	 * must not call client_watch() or watcher_set(). NULL: it never watches. */
	void (*changed)(struct client *c, uint32_t what);
	/* An intent of the client is committed, just before it is answered. NULL: it need not know. */
	void (*committed)(struct client *c, const struct submission *s);
};

/* The part that IMAP, LMTP and POP3 sessions have in common; embedded at their start. */
struct client {
	const struct client_class *class;
	struct shard *shard;
	struct backend *backend;
	struct conn *conn; /* lent by net/; NULL once it is closed */
	uint64_t id;       /* conn_id() */
	unsigned waiting;  /* submissions and directory calls under way */
	struct watcher watcher; /* client_watch()'s */
};

struct backend_counters {
	atomic_uint_fast64_t logins, login_failures, imap_commands;
	atomic_uint_fast64_t lmtp_accepted, lmtp_refused, lmtp_duplicates, lmtp_octets;
	atomic_uint_fast64_t limits_hit, over_quota;
};

struct backend {
	const struct config *cfg;
	const char *server; /* servername */
	const char *member;
	const char *partition;
	struct store *store;
	struct indexer *indexer; /* NULL: there is no search index */
	struct driver *_Atomic driver; /* NULL before it started, and once it is being stopped; for client.c and status */
	pthread_rwlock_t driver_lock;  /* held reading while a request is handed in or sessions are counted, writing to set DRIVER or a listener to NULL */
	struct users *users;
	struct login_service *login_service;
	struct tls_context *tls; /* NULL without a certificate */
	struct loops loops;
	struct shard *shards; /* one per loop */
	size_t shard_count;
	struct inflight inflight;
	struct recent recent;
	struct column_cache columns;
	struct backend_counters counters;
	uint64_t max_message;
	size_t message_limit; /* of one command; 0: none */
	size_t max_search_mailboxes; /* of one ESEARCH */
	size_t max_notify_mailboxes; /* of one session */
	size_t max_contexts; /* of one session */
	uint64_t progress_ns; /* after which a client is told how far its command is */
	struct imap_frame_limits frame_limits;
	struct imap_command_limits command_limits;
	struct mime_limits mime_limits;

	/* backend.c's: */
	struct loop *home;
	struct listener *imap, *imaps, *lmtp, *pop3, *pop3s;
	struct tls_context *tls_client;
	struct admin *admin;
	struct admin_source source;
	bool is_stopping;
};

/* Enter C, whose class is set, for the connection that a listener just made. False: the shard is ending. */
bool client_enter(struct client *c, struct backend *b, struct conn *conn);
/* The connection is gone and the session about to be freed. */
void client_leave(struct client *c);
/* Whether this member is the master and its lease stands: ask before anything is told from the store or done to it. */
bool backend_may_serve(struct backend *b);

/* driver_submit(), driver_directory() and the names' begin and end, also while the driver is being stopped: then the
 * request is answered NOT_MASTER, or LOST. On a shard's loop. */
void backend_submit(struct backend *b, struct driver_request *r);
void backend_call_directory(struct backend *b, struct driver_directory_request *r);
void backend_name_begin(struct backend *b, struct bytes name);
void backend_name_end(struct backend *b, struct bytes name);

/* ---- submissions ---- */

typedef void submission_fn(struct client *c, struct submission *s);

struct submission {
	struct intent intent;
	struct driver_request request; /* request.answer, request.had_no_effect: set when ANSWERED is called */
	struct arena arena; /* holds all that the intent and the answer point to */
	struct buffer body; /* a message, if any */
	struct inflight_share share;
	submission_fn *answered;

	/* client_submit() and its way back: */
	struct shard *shard;
	uint64_t client;
};

struct submission *submission_new(struct client *c);
/* Hand S to the writer. ANSWERED(client, S) is called later on the client's loop, exactly once while the client lives, and
 * S is freed when it returns. If the client goes first, S is freed silently; the intent may still take effect. */
void client_submit(struct client *c, struct submission *s, submission_fn *answered);
/* Only for a submission that is not handed in after all. */
void submission_free(struct submission *s);

/* Have entry LSN, found damaged, mended; then TOLD(client, is_mended) is called on the client's loop, unless the client goes
 * first. Never from within. */
typedef void client_told_fn(struct client *c, bool is_mended);
void client_mend(struct client *c, lsn_t lsn, client_told_fn *told);

/* Have FN(ARG) run on a pool thread, then TOLD(client, ARG) called on the client's loop; CLIENT is NULL if it has gone meanwhile. Never
 * from within. */
typedef void client_worked_fn(struct client *c, void *arg);
void client_work(struct client *c, loop_fn *fn, client_worked_fn *told, void *arg);

/* Have class->changed called after commits that touch MAILBOX; 0: no more. */
void client_watch(struct client *c, mailbox_id_t mailbox);
/* Have W, whose function is set, hear of changes of KEY: a mailbox's id, STORE_CHANGE_OF_SERVER, store_change_of_user(), or
 * WATCH_LIST: any mailbox that was made, removed, renamed, or got another ACL. 0: no more. */
#define WATCH_LIST (1ull << 61)
void watcher_set(struct shard *s, struct watcher *w, uint64_t key);

/* ---- for backend.c ---- */

void shard_init(struct shard *s, struct backend *b, struct loop *loop);
/* When its loop has ended. */
void shard_fini(struct shard *s);
/* From any thread: say farewell to all clients; with FAREWELL_STOPPING no new ones enter. */
void shard_farewell(struct shard *s, enum farewell why);
/* From the writer's thread: mailboxes were changed. */
void shard_changed(struct shard *s, const struct store_changes *changes);

#endif
