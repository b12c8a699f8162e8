/* pop3_private.h - a POP3 session, for the files that make it up. */
#ifndef ROOST_BACKEND_POP3_PRIVATE_H
#define ROOST_BACKEND_POP3_PRIVATE_H

#include "backend_private.h"
#include "pop3_command.h"
#include "pop3_drop.h"
#include "pop3_message.h"

enum pop3_state {
	POP3_ST_AUTHORIZATION, /* lines are commands of nobody yet */
	POP3_ST_SASL,          /* a line is the client's answer in AUTH */
	POP3_ST_TRANSACTION,   /* lines are commands */
	POP3_ST_SENDING,       /* an answer of many lines goes out as the client takes it; nothing is read */
	POP3_ST_MENDING,       /* the message that is to be sent is damaged and being fetched from another member */
	POP3_ST_UPDATE,        /* the writer has the deletions; nothing is read */
	POP3_ST_LOGIN,         /* it is not yet said whether the client is who it says; nothing is read */
	POP3_ST_ENDING,        /* conn_close() was called */
};

/* An answer of many lines. */
struct pop3_sending {
	enum pop3_verb verb; /* LIST, UIDL, RETR or TOP */
	size_t at;           /* LIST, UIDL: index of the next */
	uint32_t uid;
	lsn_t body;
	uint64_t off, size;
	bool has_begun;      /* its +OK is out */
	lsn_t tried;         /* the body that was given to be mended */
	struct pop3_message message;
};

struct pop3_session {
	struct client client; /* first: client_class functions get this */
	enum pop3_state state;
	struct identity identity;
	struct login login;
	char *name; /* owned; what USER said; NULL: PASS may not come now */
	unsigned bad;
	bool is_eof;
	enum farewell farewell;
	struct pop3_drop drop;
	struct pop3_sending sending;
};

/* pop3_session.c */
void pop3_enter(struct pop3_session *s, enum pop3_state state);
/* TEXT is ours: a whole reply without its line end. */
void pop3_reply(struct pop3_session *s, const char *text);
void pop3_replyf(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reply, and close. */
void pop3_end(struct pop3_session *s, const char *text);
void pop3_say_farewell(struct pop3_session *s);
/* The command is refused and counts as an error. */
void pop3_refuse(struct pop3_session *s, const char *text);
/* Go on after a wait. */
void pop3_go_on(struct pop3_session *s);

/* pop3_auth.c */
void pop3_cmd_capa(struct pop3_session *s);
void pop3_cmd_user(struct pop3_session *s, const struct pop3_command *cmd);
void pop3_cmd_pass(struct pop3_session *s, const struct pop3_command *cmd);
void pop3_cmd_auth(struct pop3_session *s, const struct pop3_command *cmd);
void pop3_cmd_stls(struct pop3_session *s);
void pop3_sasl_line(struct pop3_session *s, struct bytes line);
/* A login that had to wait has its result. */
void pop3_login_done(void *session, enum login_result result);

/* pop3_transaction.c */
void pop3_transaction(struct pop3_session *s, const struct pop3_command *cmd);
/* Send more of s->sending, until the connection has enough or all is out. */
void pop3_send_more(struct pop3_session *s);

#endif
