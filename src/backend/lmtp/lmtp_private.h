/* lmtp_private.h - an LMTP session, for the files that make it up. */
#ifndef ROOST_BACKEND_LMTP_PRIVATE_H
#define ROOST_BACKEND_LMTP_PRIVATE_H

#include "backend_private.h"
#include "lmtp_command.h"
#include "lmtp_data.h"
#include "lmtp_recipient.h"

enum lmtp_state {
	LMTP_COMMAND,    /* lines are commands */
	LMTP_SASL,       /* a line is the client's answer in AUTH */
	LMTP_BODY,       /* octets are the message */
	LMTP_COMMITTING, /* the writer has it; nothing is read */
	LMTP_CREATING,   /* a recipient's INBOX is being made; nothing is read */
	LMTP_LOGIN,      /* it is not yet said whether the client is who it says; nothing is read */
	LMTP_ENDING,     /* conn_close() was called */
};

struct lmtp_session {
	struct client client; /* first: client_class functions get this */
	enum lmtp_state state;
	struct identity identity;
	struct login login;
	char *helo; /* owned; NULL before LHLO */
	unsigned bad;
	bool is_leaving; /* 421 once the commit under way is answered */
	enum farewell farewell;

	/* the transaction, from MAIL on */
	struct arena arena;
	bool has_mail;
	struct bytes from;
	uint64_t size; /* as MAIL said; 0: it did not */
	bool has_op_id;
	uint8_t op_id[LMTP_OP_ID_SIZE];
	struct lmtp_recipient *recipients; /* owned */
	size_t recipient_count, recipient_cap;
	struct bytes waiting; /* CREATING: the recipient's address, in the arena */
	bool waiting_ignores_quota;

	/* the body */
	struct lmtp_data data;
	struct buffer body; /* trace lines, then what came */
	size_t body_start;  /* where what came begins */
	struct inflight_share share;
	bool is_over;  /* over maxmessagesize */
	bool is_tight; /* over max_inflight */
};

/* lmtp_session.c */
void lmtp_enter(struct lmtp_session *s, enum lmtp_state state);
/* TEXT is ours: a whole reply without its line end. */
void lmtp_say(struct lmtp_session *s, const char *text);
/* Say it, and close. */
void lmtp_end(struct lmtp_session *s, const char *text);
void lmtp_say_farewell(struct lmtp_session *s);
/* The transaction is over, or given up. */
void lmtp_reset(struct lmtp_session *s);

/* lmtp_envelope.c */
void lmtp_cmd_mail(struct lmtp_session *s, const struct lmtp_command *cmd);
void lmtp_cmd_rcpt(struct lmtp_session *s, const struct lmtp_command *cmd);

/* lmtp_delivery.c */
void lmtp_cmd_data(struct lmtp_session *s);
/* Take octets of the body from the connection; true: its end was among them. */
bool lmtp_take_body(struct lmtp_session *s);
/* The lone dot has come: deliver the message, or refuse it. */
void lmtp_body_ended(struct lmtp_session *s);
/* Forget what of a body is here. */
void lmtp_drop_body(struct lmtp_session *s);

#endif
