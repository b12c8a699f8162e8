/* fe_lmtp.h - LMTP through the frontend: sessions of clients, deliveries, connections to backends; private to frontend/.
 *
 * A message is held in memory until every recipient has its answer. It goes to each server concerned under an operation id
 * that the backend journals with it. Whatever happens to the backend meanwhile, the same message is sent again under the
 * same id to whoever is master then, for FRONTEND_PATIENCE_MS; so it is delivered once, and the client hears 250 only for
 * what is committed, 4xx for what could not be handed over. */
#ifndef ROOST_FRONTEND_FE_LMTP_H
#define ROOST_FRONTEND_FE_LMTP_H

#include "arena.h"
#include "buffer.h"
#include "frontend_private.h"
#include "lmtp_command.h"
#include "lmtp_reply.h"

/* A message on its way; counted, for a connection may still hold its octets when the session is gone. */
struct fe_message {
	unsigned refs;
	struct frontend *fe;
	struct buffer wire; /* as it goes to a backend: dots stuffed, with the final dot */
	size_t size;
	char *mail;         /* the argument of MAIL: "<address>" */
	char op_id[LMTP_OP_ID_SIZE * 2 + 1];
};
struct fe_message *fe_message_new(struct frontend *fe, struct bytes from, struct bytes body);
void fe_message_unref(struct fe_message *m);

struct fe_recipient {
	char *address; /* between < and > */
	char server[PLACES_SERVER_MAX];
	bool ignores_quota, is_answered;
	char reply[256]; /* final: without its line end */
};

/* The delivery of one message to the recipients on one server. */
struct fe_delivery;
/* Begin; DONE(ARG) is called on this loop, never from within, when every one of RECIPIENTS (lent) is answered. */
struct fe_delivery *fe_deliver(struct fe_shard *sh, struct fe_message *m, struct fe_recipient **recipients, size_t count,
                               loop_fn *done, void *arg);
/* Forget about it: nobody waits any more. The backend may still take it. */
void fe_delivery_cancel(struct fe_delivery *d);

/* A connection to a backend's LMTP port, greeted and authenticated. */
struct lmtp_link;
struct lmtp_link_events {
	void (*on_ready)(void *arg);
	void (*on_reply)(void *arg, const struct lmtp_reply *reply);
	void (*on_lost)(void *arg, const char *why); /* it is gone */
};
/* Take an idle one to ADDRESS or dial; on_ready follows in any case. */
struct lmtp_link *lmtp_link_take(struct fe_shard *sh, const char *address, const struct lmtp_link_events *events, void *arg);
void lmtp_link_write(struct lmtp_link *l, struct bytes b);
void lmtp_link_write_message(struct lmtp_link *l, struct fe_message *m);
bool lmtp_link_has_op(const struct lmtp_link *l);
/* Give it back for others (IS_CLEAN) or end it; no event comes after. */
void lmtp_link_release(struct lmtp_link *l, bool is_clean);

#endif
