/* frontend_private.h - what the sessions of one frontend share. */
#ifndef ROOST_FRONTEND_PRIVATE_H
#define ROOST_FRONTEND_PRIVATE_H

#include <stdatomic.h>

#include "admin.h"
#include "conn.h"
#include "list.h"
#include "listener.h"
#include "login.h"
#include "map.h"
#include "places.h"
#include "users.h"

/* How long a command or delivery waits for a server that has no master now. */
#define FRONTEND_PATIENCE_MS 30000
#define FRONTEND_RETRY_MS 20

/* One loop with its sessions and its idle connections to backends. */
struct fe_shard {
	struct frontend *fe;
	struct loop *loop;
	struct list sessions;   /* struct fe_session */
	struct list lmtp_idle;  /* struct lmtp_link, not in use */
	size_t lmtp_idle_count;
	bool is_ending;
};

struct capabilities;

struct frontend {
	const struct config *config;
	const char *name;
	struct loop *home;
	struct loops loops;
	struct fe_shard *shards;
	struct users *users;
	struct login_service *login_service;
	struct tls_context *tls, *tls_client;
	struct places *places;
	struct capabilities *capabilities;
	struct listener *imap, *imaps, *lmtp, *pop3, *pop3s;
	struct admin *admin;
	struct admin_source source;
	bool is_stopping;
	uint64_t max_message, max_inflight;
	uint64_t progress_ms;
	atomic_uint_fast64_t inflight;
	atomic_uint_fast64_t imap_sessions, lmtp_sessions, pop3_sessions, logins, login_failures, commands, accepted, refused, resent;
};

/* What IMAP, LMTP and POP3 sessions have in common: they can be told to go. */
struct fe_session {
	struct list in_shard;
	struct fe_shard *shard;
	void (*farewell)(struct fe_session *s);
};

struct fe_shard *fe_shard_of(struct frontend *fe, const struct loop *loop);
/* Octets more (or, negative, fewer) in memory; false: over max_inflight, nothing changed. */
bool fe_inflight(struct frontend *fe, int64_t octets);

void fe_lmtp_called(struct conn *c, void *frontend);
void fe_lmtp_end_idle(struct fe_shard *sh);

#endif
