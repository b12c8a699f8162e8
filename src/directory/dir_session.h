/* dir_session.h - the mupdate server's sessions, all on one loop; private to directory/.
 *
 * A session handles its commands one by one, except that writes (RESERVE, ACTIVATE, DEACTIVATE, DELETE) follow each
 * other without waiting: the writer keeps their order, and answers come in it. Any other command waits until the
 * session's writes are answered. */
#ifndef ROOST_DIRECTORY_DIR_SESSION_H
#define ROOST_DIRECTORY_DIR_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "admin.h"
#include "config.h"
#include "conn.h"
#include "dir_follow.h"
#include "dir_writer.h"
#include "kv.h"
#include "list.h"
#include "listener.h"
#include "login.h"
#include "map.h"
#include "mupdate_line.h"
#include "reign_registry.h"
#include "users.h"

#define DIR_FILTERS_MAX MUPDATE_ARGS_MAX
/* Writes of one session on their way at once. */
#define DIR_WRITES_MAX 256

struct dir_etcd;

struct directory {
	const struct config *config;
	struct loop *loop;
	struct loops loops; /* just that one */
	struct kv *kv;
	struct users *users;
	struct login_service *login_service;
	struct tls_context *tls;
	struct listener *listener;
	struct dir_writer *writer;
	struct dir_etcd *etcd;     /* the store is shared; else NULL */
	bool is_follower;          /* of another mupdate server: */
	struct dir_follow *follow; /* else NULL */
	struct tls_context *tls_client;
	char *url;            /* the banner's last string: "(master)", or where that is */
	bool is_out_of_reach; /* the shared store is, or there is no whole list yet: nobody is served here */
	struct admin *admin;
	struct admin_source source;
	struct map sessions;   /* struct dir_session by id */
	struct list followers; /* sessions in UPDATE */
	struct list watchers;  /* sessions after XWATCH or XJOIN */
	struct list promotions;
	struct registry registry;
	bool is_stopping;
	struct buffer line; /* scratch of a broadcast */

	/* For the admin's thread. */
	atomic_bool is_ready, is_in_reach;
	atomic_uint_fast64_t records, moves, ignored, commands, logins, follower_count, session_count;
	pthread_mutex_t status_lock;
	/* Guarded by status_lock: JSON of the servers and frontends; lines of metrics; whether "SERVER/MEMBER", whose roles
	 * are the directory's to tell, is master (a fixed text). */
	struct buffer status, metrics;
	struct map roles;
};

enum list_kind { LIST_NONE, LIST_FIND_ALL, LIST_UPDATE };

struct dir_session {
	struct directory *dir;
	struct conn *conn;
	uint64_t id;
	struct arena arena; /* of the command at hand */

	char *account, *authzid; /* once authenticated */
	bool is_admin, is_proxy;
	struct identity identity; /* of the login at hand */
	struct login login;
	bool is_authenticating, is_login_waiting; /* a line is its answer; nothing is read */
	char *auth_tag;
	bool starts_tls, starts_compress; /* once the command is consumed */
	struct timer *login_deadline; /* NULL once authenticated */
	unsigned failures;
	bool is_over; /* told BYE: nothing more is taken */
	bool has_eof; /* the client has ended its direction: answer what it asked, then close */

	char *server, *member; /* after XJOIN; or of an account that a members- row names */
	char *front;           /* after XFRONTEND */
	bool has_joined;
	bool is_promoting; /* XPROMOTE waits for the server's new master */

	size_t writes; /* with the writer */
	size_t go_ahead_at;
	size_t looked_at; /* so much input was no whole line, for want of its end */
	struct list follower, watcher;
	bool is_streaming;
	enum list_kind list_kind; /* a list is being sent */
	char *list_tag;           /* also the tag of the updates */
	struct buffer list_at;    /* the last name sent */
	bool list_started;
	struct buffer held; /* updates that wait for the list's end */
	size_t filter_count;
	char *filters[DIR_FILTERS_MAX];
};

/* Session life (dir_session.c). */
void dir_session_called(struct conn *c, void *dir);
struct dir_session *dir_session_find(struct directory *d, uint64_t id);
/* Every session is ended with "* BYE "TEXT"". */
void dir_sessions_end(struct directory *d, const char *text);
/* Append "TAG OK "TEXT"" (or NO, BAD) to the output. */
void dir_answer(struct dir_session *s, struct bytes tag, const char *status, const char *text);
/* Answer BAD; after too many in a row end the session with BYE. False: it has ended. */
bool dir_bad(struct dir_session *s, struct bytes tag, const char *text);
/* Answer LOGOUT and end the session. */
void dir_logout(struct dir_session *s, struct bytes tag);
/* Let commands go on; call after whatever they waited for has come. */
void dir_session_resume(struct dir_session *s);

/* Commands after authentication (dir_commands.c). False: the session must not take further commands now. */
bool dir_command(struct dir_session *s, const struct mupdate_line *line);
void dir_changes_done(void *dir, struct change *first);

/* LIST and UPDATE (dir_stream.c). */
void dir_list_begin(struct dir_session *s, enum list_kind kind, const struct mupdate_line *line);
void dir_list_go_on(struct dir_session *s);
void dir_broadcast(struct directory *d, const struct change *c);
void dir_write_record(struct buffer *to, struct bytes tag, struct bytes name, const struct record *record);

/* The extension: members, reigns, frontends (dir_reigns.c). */
struct dir_promotion;
void dir_join(struct dir_session *s, const struct mupdate_line *line);
void dir_reign(struct dir_session *s, const struct mupdate_line *line);
void dir_watch(struct dir_session *s, const struct mupdate_line *line);
void dir_front(struct dir_session *s, const struct mupdate_line *line);
void dir_promote(struct dir_session *s, const struct mupdate_line *line);
void dir_reign_done(struct directory *d, const struct change *c);
void dir_tell_member(struct directory *d, const struct server *server, const struct member *m);
void dir_tell_front(struct directory *d, const struct front *f);
/* If SERVER has no configuration but could have its first now, have it written. */
void dir_try_first(struct directory *d, const struct server *server);
/* Ask the master, whose session is TO, to hand over to MEMBER. */
void dir_ask_master(struct dir_session *to, const struct server *server, struct bytes member);
/* The session ends: its member or frontend is down, its promotions are nobody's. */
void dir_left(struct dir_session *s);
/* False with WHY: the store cannot be read. */
bool dir_reigns_load(struct directory *d, struct fault *why);
/* Take up the members of the `members-` rows, and a first configuration for whom has none: at the start, and when the
 * store is in reach again. */
void dir_reigns_foreign(struct directory *d);
/* Whether ACCOUNT may join SERVER as MEMBER, by `servers`. */
bool dir_may_join(const struct config *c, struct bytes account, struct bytes authzid, struct bytes server, struct bytes member);

/* What the admin's thread tells of servers and frontends (dir_status.c). */
void dir_status_changed(struct directory *d);
/* Only where no admin's thread is left. */
void dir_status_fini(struct directory *d);
/* "master" or "replica" for MEMBER ("SERVER/MEMBER", the server in lower case) of a server whose members do not join;
 * NULL: there is no such one. Any thread. */
const char *dir_status_role(struct directory *d, struct bytes member);

#endif
