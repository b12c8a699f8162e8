/* mupdate_client_private.h - the client's inside; for peer/ only. */
#ifndef ROOST_PEER_MUPDATE_CLIENT_PRIVATE_H
#define ROOST_PEER_MUPDATE_CLIENT_PRIVATE_H

#include "conn.h"
#include "list.h"
#include "mupdate_client.h"
#include "mupdate_line.h"
#include "sasl.h"

enum client_state {
	CLIENT_WAITING,  /* for the next try */
	CLIENT_BANNER,   /* connecting, or reading the banner */
	CLIENT_STARTTLS, /* asked for, not answered */
	CLIENT_AUTH,
	CLIENT_UP,
};

struct client_command {
	struct list in_client; /* in the order sent */
	uint64_t tag;
	mupdate_record_fn *record;
	mupdate_done_fn *done;
	void *arg;
};

struct mupdate_client {
	struct loop *loop;
	struct mupdate_client_options o;
	enum client_state state;
	struct conn *conn;
	struct timer *again;
	uint64_t pause_ms;
	size_t next_address;
	char problem[FAULT_WHAT_MAX];
	char told[FAULT_WHAT_MAX]; /* the problem that was logged last since it was up */

	struct buffer mechanisms; /* offered, separated by blanks */
	bool offers_tls, offers_roost;
	struct sasl_client *sasl;
	bool is_quiet; /* a NOOP was sent into the silence */

	struct list commands;
	uint64_t next_tag;
	bool is_listing; /* UPDATE's list is coming */
};

/* mupdate_login.c: a line before the client is up. */
void client_login_line(struct mupdate_client *c, const struct mupdate_line *line);
/* An answer of the server within AUTHENTICATE: bare base64. */
void client_auth_challenge(struct mupdate_client *c, struct bytes text);
/* mupdate_follow.c: an untagged line, or one of the update stream. */
void client_pushed_line(struct mupdate_client *c, const struct mupdate_line *line);
void client_update_line(struct mupdate_client *c, const struct mupdate_line *line);
/* mupdate_client.c */
void client_came_up(struct mupdate_client *c);
void client_fail(struct mupdate_client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define CLIENT_UPDATE_TAG "U1"

#endif
