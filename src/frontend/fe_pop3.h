/* fe_pop3.h - POP3 through the frontend; private to frontend/.
 *
 * The client logs in here. Then the session logs in for it at the master of the server that holds its INBOX, waiting for one up to
 * FRONTEND_PATIENCE_MS, and from there on passes octets both ways, no faster than they are taken. When the backend's connection ends
 * so does the client's: nothing is deleted then (RFC 1939 section 6), and the client comes again. */
#ifndef ROOST_FRONTEND_FE_POP3_H
#define ROOST_FRONTEND_FE_POP3_H

#include "arena.h"
#include "buffer.h"
#include "frontend_private.h"
#include "pop3_reply.h"
#include "sasl.h"

struct fe_pop3;

enum pop3_link_state { PLINK_GREETING, PLINK_STLS, PLINK_AUTH, PLINK_READY };

/* The session's connection to a backend. */
struct pop3_link {
	struct fe_pop3 *session; /* NULL: nobody's, it is closing */
	struct conn *conn;
	char address[PLACES_ADDRESS_MAX];
	enum pop3_link_state state;
	struct sasl_client *sasl;
	struct buffer first; /* the initial response, where it did not fit the line */
	bool is_paused;      /* the client reads slowly */
	bool is_asked;       /* the client has said something, and nothing has come since */
	bool is_eof;
};

enum fe_pop3_state {
	FPOP3_AUTHORIZATION, /* lines are commands */
	FPOP3_SASL,          /* a line is the client's answer in AUTH */
	FPOP3_LOGIN,         /* it is not yet said whether the client is who it says; nothing is read */
	FPOP3_OPENING,       /* a connection to the backend is wanted; nothing is read */
	FPOP3_PIPE,          /* everything goes to the backend */
	FPOP3_ENDING,        /* conn_close() was called */
};

struct fe_pop3 {
	struct fe_session base;
	struct conn *conn;
	uint64_t id;
	enum fe_pop3_state state;
	char *name; /* owned; what USER said */
	char *user; /* owned; authenticated */
	struct identity identity; /* of the login at hand */
	struct login login;
	unsigned failures;
	struct pop3_link *link;
	struct timer *retry;
	uint64_t deadline_ms;
	char server[PLACES_SERVER_MAX];
	bool has_synced; /* the mailbox list was brought up to date for this login */
	bool is_syncing, is_dead;
};

void fe_pop3_called(struct conn *c, void *frontend);

/* fe_pop3_session.c */
struct frontend *fe_pop3_frontend(const struct fe_pop3 *s);
/* From the link: it is ready, and TEXT is what the backend says to the client; it refuses the user, for good; it is lost. */
void fe_pop3_link_ready(struct fe_pop3 *s, struct bytes text);
void fe_pop3_link_refused(struct fe_pop3 *s, struct bytes text);
void fe_pop3_link_lost(struct fe_pop3 *s, const char *why);
/* The backend has ended, and all that it said is on its way. */
void fe_pop3_link_over(struct fe_pop3 *s);

/* fe_pop3_link.c */
struct pop3_link *pop3_link_dial(struct fe_pop3 *s, const char *address);
/* No event comes after. */
void pop3_link_drop(struct pop3_link *l);
/* What the client says. False: the backend takes no more now; on_drained goes on by itself. */
bool pop3_link_write(struct pop3_link *l, struct bytes b);
/* The client has taken what there was. */
void pop3_link_resume(struct pop3_link *l);
/* The client will say no more: what is under way is awaited, no longer than a moment of silence. */
void pop3_link_eof(struct pop3_link *l);

#endif
