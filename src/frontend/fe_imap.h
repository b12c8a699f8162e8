/* fe_imap.h - IMAP through the frontend; private to frontend/.
 *
 * A session answers what it can from the mailbox list and sends the rest, command by command, to the master of the server
 * that holds the mailbox, over a connection of its own that acts for the user. It holds one such connection for each server
 * it has needed. One command at a time: what the client pipelines waits.
 *
 * When a connection is lost: a command that certainly had no effect is sent to the new master; one whose outcome is unknown
 * is answered NO [UNAVAILABLE]; with a mailbox selected there, the client is told BYE and comes again. */
#ifndef ROOST_FRONTEND_FE_IMAP_H
#define ROOST_FRONTEND_FE_IMAP_H

#include "acl.h"
#include "arena.h"
#include "arrival.h"
#include "buffer.h"
#include "capabilities.h"
#include "fe_imap_login.h"
#include "frontend_private.h"
#include "imap_command.h"
#include "imap_framer.h"
#include "imap_response.h"
#include "names.h"
#include "sasl.h"

struct fe_imap;

enum imap_link_state { ILINK_LOGIN, ILINK_READY };

/* A session's connection to one server. */
struct imap_link {
	struct list in_session;
	struct fe_imap *session; /* NULL: nobody's, it is closing */
	struct conn *conn;
	char server[PLACES_SERVER_MAX], address[PLACES_ADDRESS_MAX];
	enum imap_link_state state;
	struct imap_login login; /* until it is ready; its user is the session's */
	uint64_t literal;     /* octets of the present literal still to come */
	bool in_response;     /* the next segment goes on with a response */
	unsigned features;    /* enum imap_feature: what it was told to enable */
	bool is_enabling;     /* its answer to that is awaited; the client does not see it */
	bool is_swallowing;   /* of an UNSELECT nobody asked for, up to its tagged line */
	unsigned notify_version; /* of what it was told to notify of */
	unsigned notify_awaited; /* answers to that, which the client does not see */
	bool is_watching;     /* for that: what it has to say is lost with it */
	bool is_last_segment; /* the segment at hand began with the awaited tag */
	struct buffer collect; /* a response of an internal command */
};

/* A client's command that is carried out by commands of the frontend's own, tagged FE_TAG, one after the other: COPY and MOVE to
 * another server (fe_imap_copy.c), REPLACE likewise (fe_imap_replace.c), LIST with what only backends know (fe_imap_list.c), ESEARCH
 * over several servers (fe_imap_esearch.c; under the client's tag). */
#define FE_TAG "FE1"
struct own_op {
	/* The connection to s->op_server is ready: send a command. */
	void (*link_ready)(struct fe_imap *s, struct imap_link *l);
	/* One whole response, literals included, lent; IS_TAGGED: it ends such a command. */
	void (*response)(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged);
	/* The connection is lost, or none could be had in time. */
	void (*lost)(struct fe_imap *s, const char *why);
};

struct copy_job;
struct replace_job;
struct url_job;
struct esearch_job;
struct fe_notify;
struct notify_job;
struct list_job;

struct fe_imap {
	struct fe_session base;
	struct conn *conn;
	uint64_t id;
	struct imap_framer framer;
	struct imap_frame_limits limits;
	size_t held; /* octets of a large command counted against max_inflight */
	struct arrival *arrival; /* of a large command that comes; NULL: none does */
	uint64_t login_deadline_ms;
	struct arena arena; /* of the command at hand */
	unsigned failures;

	char *user; /* authenticated */
	bool is_admin;
	struct names names;
	struct identity identity; /* of the login at hand; then USER is its user */
	struct login login;
	bool is_authenticating, is_login_waiting; /* a line is its answer; nothing is read */
	char *auth_tag;

	struct list links;
	struct imap_link *selected;
	struct buffer selected_name; /* internal, as it was when it was selected */
	bool is_readonly;
	unsigned features; /* what the client enabled */
	struct fe_notify *notify; /* what it wants to hear of; owned; NULL: it never said */
	unsigned notify_version;  /* grows with each change of that */
	struct imap_link *mid;    /* in the midst of a response that goes to the client piece by piece: nothing may come between */
	struct buffer held_output; /* what the frontend has to say meanwhile */
	bool is_mid_awaited;      /* a server, or the client's next command, waits for the end of that */
	uint64_t told_version; /* of the capabilities that it was told */

	/* The command at hand. */
	bool wants_inbox; /* logged in, and nothing done yet: fe_imap_autocreate.c */
	bool has_op, is_leaving;
	const struct own_op *own; /* NULL: it is forwarded as it is */
	struct imap_command cmd;
	struct buffer raw;      /* its octets, with literals that need no "+" */
	char op_server[PLACES_SERVER_MAX];
	struct imap_link *op_link;
	bool is_sent, has_passed; /* to the backend; something of the answer to the client */
	bool is_local_idle, is_idling;
	uint64_t deadline_ms;
	struct timer *retry;
	bool has_synced;        /* the mailbox list was brought up to date for this command */
	struct buffer final;    /* the tagged line that waits for the list */
	struct copy_job *copy;
	struct replace_job *replace; /* in the arena */
	struct url_job *url;         /* in the arena */
	struct esearch_job *esearch;
	struct notify_job *notify_job;
	struct list_job *list;
	struct bytes own_tag;   /* of the commands of OWN, if it is not FE_TAG; borrowed */
	uint64_t syncs;         /* places_sync() under way */
	bool is_dead;
};

void fe_imap_called(struct conn *c, void *frontend);

/* fe_imap_output.c */
/* Write to the client, or once the response that is on its way is whole. */
void fe_imap_write(struct fe_imap *s, struct bytes b);
/* A line, which need not bring its end. */
void fe_imap_say(struct fe_imap *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A piece of a response of L was passed on, HAS_MORE to come. */
void fe_imap_passed(struct fe_imap *s, struct imap_link *l, bool has_more);
/* Whether what L has to say, that no command asked for, is the client's: of its selected mailbox, or what it wants to hear of. */
bool fe_imap_is_news(const struct fe_imap *s, const struct imap_link *l);

/* fe_imap_session.c */
/* "TAG STATUS TEXT"; TEXT may begin with a response code and is made safe for a line. */
void fe_imap_answer(struct fe_imap *s, struct bytes tag, const char *status, const char *text);
void fe_imap_tagged(struct fe_imap *s, const char *status, const char *text);
void fe_imap_op_done(struct fe_imap *s);
/* Count N octets of the command at hand against max_inflight. False: it is too much now. */
bool fe_imap_hold(struct fe_imap *s, size_t n);
void fe_imap_bye(struct fe_imap *s, const char *text);
struct frontend *fe_imap_frontend(const struct fe_imap *s);
/* Have TO's octets sent instead of the command at hand, which stays valid until it is done; TO is emptied. */
void fe_imap_replace_raw(struct fe_imap *s, struct buffer *to);

/* fe_imap_auth.c */
/* "CAPABILITY ..." of the present state, without an end of line; and a line of it for the client. */
void fe_imap_write_capability(struct fe_imap *s, struct buffer *out);
void fe_imap_tell_capabilities(struct fe_imap *s);
/* The client has so long to log in from now on, however much it says meanwhile. */
void fe_imap_await_login(struct fe_imap *s);
/* A step of the login has this result: answer it. */
void fe_imap_took(struct fe_imap *s, enum login_result result);
/* A login that had to wait has its result. */
void fe_imap_login_done(void *session, enum login_result result);
void fe_imap_cmd_capability(struct fe_imap *s);
void fe_imap_cmd_login(struct fe_imap *s);
void fe_imap_cmd_authenticate(struct fe_imap *s);
/* Nobody is logged in any more: no backend acts for him, nothing of his is left. */
void fe_imap_cmd_unauthenticate(struct fe_imap *s);

/* fe_imap_enable.c */
/* ENABLE. False: it goes on with the selected mailbox's server. */
bool fe_imap_enable(struct fe_imap *s);
/* Have all backends that may speak without a command told, too. */
void fe_imap_enable_all(struct fe_imap *s);

/* fe_imap_link.c */
/* The session's connection to SERVER's present master, dialled if need be. NULL: it has no master now. */
struct imap_link *imap_link_get(struct fe_imap *s, const char *server);
void imap_link_drop(struct imap_link *l);
/* Have the backend enable what the client has enabled, before the next command goes there. */
void imap_link_enable(struct imap_link *l);
/* Have the backend leave its selected mailbox, quietly. */
void imap_link_unselect(struct imap_link *l);

/* fe_imap_forward.c */
/* The command at hand, to the server of MAILBOX (as the client wrote it), of the user's INBOX, or of the selected one. */
void fe_imap_forward_by_mailbox(struct fe_imap *s, struct bytes mailbox);
void fe_imap_forward_to_inbox(struct fe_imap *s);
void fe_imap_forward_selected(struct fe_imap *s);
/* To the server that keeps the entries of the murder as a whole, or that of the mailbox. */
void fe_imap_forward_metadata(struct fe_imap *s);
void fe_imap_forward_create(struct fe_imap *s);
void fe_imap_forward_quota(struct fe_imap *s);
void fe_imap_forward_copy(struct fe_imap *s);
void fe_imap_forward_replace(struct fe_imap *s);
/* APPEND or REPLACE. */
void fe_imap_forward_append(struct fe_imap *s);
void fe_imap_forward_to(struct fe_imap *s, const char *server);
/* Nothing has happened yet at the command's server, because of WHY: try again soon, until patience is over; the command fails then. */
void fe_imap_try_later(struct fe_imap *s, const char *why);
/* From the link: it is ready; a segment or a piece of a literal came; it is lost. */
void fe_imap_link_ready(struct fe_imap *s, struct imap_link *l);
void fe_imap_link_segment(struct fe_imap *s, struct imap_link *l, struct bytes segment, bool is_first, bool has_literal);
void fe_imap_link_literal(struct fe_imap *s, struct imap_link *l, struct bytes piece);
void fe_imap_link_lost(struct fe_imap *s, struct imap_link *l, const char *why);
/* The connection that the present command (or part of a copy) uses, trying again later where there is none. */
void fe_imap_try(struct fe_imap *s);

/* Bring the list up to date, then go on with NEXT, if the session and its command are still there. */
void fe_imap_sync_then(struct fe_imap *s, void (*next)(struct fe_imap *s));

/* fe_imap_autocreate.c: whether the user who has just logged in has no INBOX, and may have one made; begin that: the session has a command then, and
 * the client's next one waits. */
bool fe_autocreate_is_due(struct fe_imap *s);
void fe_autocreate_begin(struct fe_imap *s);

/* fe_imap_list.c */
void fe_list_begin(struct fe_imap *s);
void fe_list_free(struct fe_imap *s);
/* The client has taken what waited for it. */
void fe_list_drained(struct fe_imap *s);
acl_rights_t fe_imap_rights(const struct fe_imap *s, struct bytes internal, struct bytes acl);

/* fe_imap_url.c: commands with URLs. */
bool fe_url_has_any(const struct imap_command *c);
void fe_url_begin(struct fe_imap *s);
void fe_url_reset_begin(struct fe_imap *s);

/* fe_imap_replace.c */
void fe_replace_begin(struct fe_imap *s, const char *target_server);
/* "* LSUB (attributes) "/" name", or with NIL for a separator: *external_r is the name, empty where nothing is subscribed to, in the
 * command's arena. False: it is something else. */
bool fe_take_lsub(struct fe_imap *s, struct bytes response, struct bytes *external_r);

/* fe_imap_notify.c */
void fe_notify_begin(struct fe_imap *s);
void fe_notify_end_job(struct fe_imap *s);
void fe_notify_free(struct fe_imap *s);
/* Have the backend notify of what the client wants, if it was told something else. */
void fe_notify_link(struct imap_link *l);
/* Whether SEGMENT is its answer to that. */
bool fe_notify_is_answer(struct imap_link *l, struct bytes segment);
/* Something may have got lost, or was too much: tell the client, and notify of nothing any more. */
void fe_notify_overflow(struct fe_imap *s);

/* fe_imap_esearch.c */
void fe_esearch_begin(struct fe_imap *s);
void fe_esearch_free(struct fe_imap *s);

/* fe_imap_copy.c */
void fe_copy_begin(struct fe_imap *s, const char *target_server);
void fe_copy_free(struct fe_imap *s);

#endif
