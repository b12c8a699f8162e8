/* fe_lmtp_session.c - an LMTP client of the frontend (RFC 2033): the mailbox list says which server a recipient is on; the
 * message is taken whole, then handed to each server, and each recipient answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "alloc.h"
#include "fe_lmtp.h"
#include "lmtp_data.h"
#include "log.h"
#include "names.h"
#include "policy.h"

#define FAILURES_MAX 20

struct lmtp_session;

struct waiter {
	struct lmtp_session *session;
	size_t at;
};

struct lmtp_session {
	struct fe_session base;
	struct conn *conn;
	struct arena arena;
	struct identity identity;
	struct login login;
	bool is_authenticating, is_login_waiting; /* a line is its answer; nothing is read */
	bool is_authed, has_lhlo, has_mail, is_in_data, is_busy, is_leaving;
	unsigned failures;
	struct lmtp_data data;
	struct buffer from, body;
	bool is_over_size;
	size_t held; /* octets counted as in flight */
	struct fe_recipient *rcpts;
	size_t rcpt_count, rcpt_cap;
	struct fe_delivery **deliveries;
	struct waiter *waiters; /* one for each of them */
	size_t delivery_count, deliveries_left;
};

static void reply(struct lmtp_session *s, const char *text)
{
	conn_write(s->conn, bytes_of(text));
	conn_write(s->conn, BYTES_LIT("\r\n"));
}

static struct frontend *fe_of(struct lmtp_session *s)
{
	return s->base.shard->fe;
}

static void reset(struct lmtp_session *s)
{
	for (size_t i = 0; i < s->rcpt_count; i++)
		free(s->rcpts[i].address);
	free(s->rcpts);
	s->rcpts = NULL;
	s->rcpt_count = s->rcpt_cap = 0;
	s->has_mail = s->is_in_data = s->is_over_size = false;
	buffer_fini(&s->from);
	buffer_fini(&s->body);
	(void)fe_inflight(fe_of(s), -(int64_t)s->held);
	s->held = 0;
}

static void say_goodbye(struct lmtp_session *s)
{
	reply(s, "421 4.3.2 the frontend is stopping");
	conn_close(s->conn);
}

static void farewell(struct fe_session *base)
{
	struct lmtp_session *s = LIST_OBJECT(base, struct lmtp_session, base);

	s->is_leaving = true;
	if (!s->is_busy)
		say_goodbye(s);
}

/* All servers have answered. */
static void finish(struct lmtp_session *s)
{
	s->is_busy = false;
	for (size_t i = 0; i < s->rcpt_count; i++) {
		(void)atomic_fetch_add(s->rcpts[i].reply[0] == '2' ? &fe_of(s)->accepted : &fe_of(s)->refused, 1);
		reply(s, s->rcpts[i].reply);
	}
	free(s->deliveries);
	free(s->waiters);
	s->deliveries = NULL;
	s->waiters = NULL;
	s->delivery_count = 0;
	reset(s);
	if (s->is_leaving)
		say_goodbye(s);
	else
		conn_pause(s->conn, false);
}

static void delivered(void *arg)
{
	struct waiter *w = arg;
	struct lmtp_session *s = w->session;

	s->deliveries[w->at] = NULL;
	if (--s->deliveries_left == 0)
		finish(s);
}

static void deliver(struct lmtp_session *s)
{
	struct fe_message *m = fe_message_new(fe_of(s), buffer_bytes(&s->from), buffer_bytes(&s->body));
	struct fe_recipient **group = must_calloc(s->rcpt_count, sizeof(*group));
	bool *taken = must_calloc(s->rcpt_count, sizeof(*taken));

	s->held = 0; /* the message counts for itself now */
	buffer_fini(&s->body);
	s->deliveries = must_calloc(s->rcpt_count, sizeof(*s->deliveries));
	s->waiters = must_calloc(s->rcpt_count, sizeof(*s->waiters));
	s->is_busy = true;
	conn_pause(s->conn, true);
	s->deliveries_left = 0;
	for (size_t i = 0; i < s->rcpt_count; i++) {
		struct waiter *w;
		size_t count = 0;

		if (taken[i])
			continue;
		for (size_t k = i; k < s->rcpt_count; k++) {
			if (!taken[k] && strcmp(s->rcpts[k].server, s->rcpts[i].server) == 0) {
				taken[k] = true;
				group[count++] = &s->rcpts[k];
			}
		}
		w = &s->waiters[s->delivery_count];
		*w = (struct waiter){ s, s->delivery_count };
		s->deliveries_left++;
		s->deliveries[s->delivery_count++] = fe_deliver(s->base.shard, m, group, count, delivered, w);
	}
	fe_message_unref(m);
	free(group);
	free(taken);
}

static void end_of_data(struct lmtp_session *s)
{
	s->is_in_data = false;
	if (!s->is_over_size) {
		deliver(s);
		return;
	}
	for (size_t i = 0; i < s->rcpt_count; i++)
		reply(s, fe_of(s)->max_message < s->held + 1 || s->body.n >= fe_of(s)->max_message ?
		              "552 5.3.4 the message is larger than maxmessagesize" :
		              "452 4.3.1 too much mail in memory, try again later");
	reset(s);
}

/* Whether mail can make one for USER: the backend looks closer. */
static bool may_have_inbox(struct lmtp_session *s, struct bytes user)
{
	const struct config *cfg = fe_of(s)->config;
	struct users_key ignored;
	char server[PLACES_SERVER_MAX], address[PLACES_ADDRESS_MAX];
	uint64_t epoch;

	/* A server's account is in users_file, too. */
	(void)snprintf(server, sizeof(server), "%.*s", BYTES_FMT(user));
	return config_switch(cfg, "autocreate_post") && !(places_master(fe_of(s)->places, server, PLACES_LMTP, address, &epoch) && epoch > 0) && !auth_is_admin(cfg, user) && !auth_is_proxy(cfg, user) &&
	       (config_has_word(cfg, "autocreate_users", user) || users_lookup(fe_of(s)->users, user, &ignored));
}

/* The server of the folder if anyone may post there, else that of the user's INBOX; the backend finds the mailbox anew. */
static enum places_result find(struct lmtp_session *s, struct bytes address, bool in_lower_case, struct buffer *user, struct place *place)
{
	const struct names n = names_of(fe_of(s)->config, BYTES_NONE, true);
	struct buffer name = { 0 };
	enum places_result result = PLACES_NONE;

	buffer_clear(user);
	names_recipient(fe_of(s)->config, address, in_lower_case, user, &name);
	if (name.n > 0)
		result = places_find(fe_of(s)->places, buffer_bytes(&name), &s->arena, place);
	if (result == PLACES_FOUND && (!place->is_active || (acl_effective(place->acl, BYTES_LIT("anyone"), false) & ACL_POST) == 0))
		result = PLACES_NONE;
	if (result == PLACES_NONE && user->n > 0) {
		buffer_clear(&name);
		names_inbox(&n, buffer_bytes(user), &name);
		result = places_find(fe_of(s)->places, buffer_bytes(&name), &s->arena, place);
	}
	/* The server that would get his INBOX says whether there is to be one. */
	if (result == PLACES_NONE && user->n > 0 && may_have_inbox(s, buffer_bytes(user)) &&
	    places_any_server(fe_of(s)->places, buffer_bytes(&name), place->server)) {
		place->is_active = true;
		result = PLACES_FOUND;
	}
	buffer_fini(&name);
	return result;
}

static enum places_result route(struct lmtp_session *s, struct bytes address, struct place *place)
{
	struct buffer user = { 0 };
	enum places_result result = find(s, address, false, &user, place);

	if (result == PLACES_NONE && config_switch(fe_of(s)->config, "lmtp_downcase_rcpt"))
		result = find(s, address, true, &user, place);
	/* One that is only reserved is being made, or moved. */
	if (result == PLACES_FOUND && !place->is_active)
		result = PLACES_FAILED;
	buffer_fini(&user);
	return result;
}

static void rcpt(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	struct place place;
	struct fe_recipient *r;
	enum places_result result;

	if (!s->has_mail) {
		reply(s, "503 5.5.1 MAIL first");
	} else if (s->rcpt_count >= config_number(fe_of(s)->config, "lmtp_max_recipients")) {
		reply(s, "452 4.5.3 too many recipients");
	} else if (!places_is_ready(fe_of(s)->places)) {
		reply(s, "451 4.3.0 the mailbox list is not there yet");
	} else if ((result = route(s, cmd->address, &place)) == PLACES_NONE) {
		reply(s, "550 5.1.1 no such mailbox");
	} else if (result == PLACES_FAILED) {
		reply(s, "451 4.3.0 the mailbox is not ready, try again later");
	} else {
		if (s->rcpt_count == s->rcpt_cap) {
			s->rcpt_cap = s->rcpt_cap == 0 ? 4 : s->rcpt_cap * 2;
			s->rcpts = must_realloc(s->rcpts, s->rcpt_cap, sizeof(*s->rcpts));
		}
		r = &s->rcpts[s->rcpt_count++];
		*r = (struct fe_recipient){ .address = bytes_to_str(cmd->address), .ignores_quota = cmd->ignores_quota };
		(void)snprintf(r->server, sizeof(r->server), "%s", place.server);
		reply(s, "250 2.1.5 ok");
	}
}

static void mail(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (!s->has_lhlo) {
		reply(s, "503 5.5.1 LHLO first");
	} else if (!s->is_authed && !conn_is_loopback(s->conn)) {
		reply(s, "530 5.7.0 authentication is needed");
	} else if (s->has_mail) {
		reply(s, "503 5.5.1 there is a transaction already");
	} else if (cmd->size > fe_of(s)->max_message) {
		reply(s, "552 5.3.4 the message is larger than maxmessagesize");
	} else {
		buffer_add(&s->from, cmd->address);
		s->has_mail = true;
		reply(s, "250 2.1.0 ok");
	}
}

static void lhlo(struct lmtp_session *s)
{
	struct buffer out = { 0 }, words = { 0 };

	s->has_lhlo = true;
	reset(s);
	buffer_addf(&out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-IGNOREQUOTA\r\n", fe_of(s)->name);
	if (fe_of(s)->tls != NULL && !conn_is_tls(s->conn))
		buffer_add_str(&out, "250-STARTTLS\r\n");
	login_mechanisms(&s->login, &words);
	if (words.n > 0)
		buffer_addf(&out, "250-AUTH %.*s\r\n", BYTES_FMT(buffer_bytes(&words)));
	buffer_fini(&words);
	buffer_addf(&out, "250 SIZE %llu\r\n", (unsigned long long)fe_of(s)->max_message);
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* Whose mail comes from another machine: a frontend's MTA, or an administrator. */
static bool may_deliver(void *arg, struct fault *why)
{
	const struct lmtp_session *s = arg;

	return s->identity.is_proxy || auth_is_admin(s->base.shard->fe->config, bytes_of(s->identity.authcid)) ||
	       fault_set(why, FAULT_CLIENT, "neither one of admins nor of proxyservers");
}

static void took(struct lmtp_session *s, enum login_result result)
{
	s->is_login_waiting = result == LOGIN_WAITS;
	s->is_authenticating = result == LOGIN_CONTINUE;
	switch (result) {
	case LOGIN_WAITS:
		return;
	case LOGIN_CONTINUE:
		conn_write(s->conn, BYTES_LIT("334 "));
		conn_write(s->conn, login_challenge(&s->login));
		conn_write(s->conn, BYTES_LIT("\r\n"));
		return;
	case LOGIN_OK:
		s->is_authed = true;
		(void)atomic_fetch_add(&fe_of(s)->logins, 1);
		reply(s, "235 2.7.0 authenticated");
		return;
	case LOGIN_REFUSED:
		(void)atomic_fetch_add(&fe_of(s)->login_failures, 1);
		reply(s, "535 5.7.8 authentication failed");
		break;
	case LOGIN_UNAVAILABLE:
		reply(s, "454 4.7.0 logins cannot be checked now");
		break;
	case LOGIN_MALFORMED:
		reply(s, "501 5.5.2 not base64");
		break;
	case LOGIN_ABORTED:
		reply(s, "501 5.7.0 cancelled");
		break;
	case LOGIN_NEEDS_TLS:
		reply(s, "538 5.7.11 that mechanism needs TLS first");
		break;
	case LOGIN_UNKNOWN:
		reply(s, "504 5.5.4 no such mechanism");
		break;
	}
	if (login_is_spent(&s->login)) {
		reply(s, "421 4.7.0 too many failed logins");
		conn_close(s->conn);
	}
}

static void login_done(void *arg, enum login_result result)
{
	struct lmtp_session *s = arg;

	took(s, result);
	conn_kick(s->conn);
}

static void auth(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (s->is_authed || s->has_mail || login_is_spent(&s->login))
		reply(s, "503 5.5.1 not now");
	else
		took(s, login_start(&s->login, cmd->word, cmd->initial.p != NULL, cmd->initial));
}

static void data(struct lmtp_session *s)
{
	if (!s->has_mail || s->rcpt_count == 0) {
		reply(s, s->has_mail ? "503 5.5.1 no recipient is valid" : "503 5.5.1 MAIL first");
		return;
	}
	s->is_in_data = true;
	s->data = (struct lmtp_data){ 0 };
	reply(s, "354 go ahead");
}

static void refuse(struct lmtp_session *s, const char *code, const char *why)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "%s %.200s", code, why);
	reply(s, line);
	if (++s->failures >= FAILURES_MAX) {
		reply(s, "421 4.7.0 too many errors");
		conn_close(s->conn);
	}
}

/* False: no further command now. */
static bool command(struct lmtp_session *s, struct bytes line)
{
	struct lmtp_command cmd;
	struct fault why;

	switch (lmtp_command_parse(line, &s->arena, &cmd, &why)) {
	case LMTP_PARSE_SYNTAX:
		refuse(s, "501 5.5.4", why.what);
		return true;
	case LMTP_PARSE_BAD_PARAMETER:
		refuse(s, "555 5.5.4", why.what);
		return true;
	case LMTP_PARSE_OK:
		break;
	}
	switch (cmd.verb) {
	case LMTP_LHLO:
		lhlo(s);
		break;
	case LMTP_MAIL:
		mail(s, &cmd);
		break;
	case LMTP_RCPT:
		rcpt(s, &cmd);
		break;
	case LMTP_DATA:
		data(s);
		break;
	case LMTP_RSET:
		reset(s);
		reply(s, "250 2.0.0 ok");
		break;
	case LMTP_NOOP:
		reply(s, "250 2.0.0 ok");
		break;
	case LMTP_VRFY:
		reply(s, "252 2.5.0 send it and see");
		break;
	case LMTP_HELP:
		reply(s, "214 2.0.0 RFC 2033");
		break;
	case LMTP_QUIT:
		reply(s, "221 2.0.0 bye");
		conn_close(s->conn);
		return false;
	case LMTP_AUTH:
		auth(s, &cmd);
		break;
	case LMTP_STARTTLS:
		if (fe_of(s)->tls == NULL || conn_is_tls(s->conn)) {
			refuse(s, "502 5.5.1", "not offered");
			break;
		}
		reply(s, "220 2.0.0 go ahead");
		s->has_lhlo = s->is_authed = false;
		return false;
	case LMTP_UNKNOWN:
		refuse(s, "500 5.5.1", "not a command of LMTP");
		break;
	}
	return true;
}

static bool take_line(struct lmtp_session *s)
{
	struct bytes in = conn_input(s->conn);
	size_t n = bytes_find(in, '\n');
	struct bytes line = bytes_sub(in, 0, n);
	bool is_starttls, go_on;

	if (n == in.n) {
		/* Tokens and proofs are longer than commands (RFC 4954 section 4). */
		bool is_login = s->is_authenticating || bytes_starts_nocase(in, BYTES_LIT("AUTH "));

		if (in.n > (is_login ? LOGIN_LINE_MAX : LMTP_MAX_LINE)) {
			reply(s, "500 5.5.2 the line is too long");
			conn_close(s->conn);
		}
		return false;
	}
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (s->is_authenticating) {
		took(s, login_line(&s->login, line));
		go_on = true;
		is_starttls = false;
	} else {
		is_starttls = bytes_equal_nocase_str(bytes_trim(line), "STARTTLS");
		go_on = command(s, line);
	}
	conn_consume(s->conn, n + 1);
	if (is_starttls && !go_on)
		conn_start_tls_server(s->conn, fe_of(s)->tls);
	return go_on;
}

/* The message; counted against max_inflight as it grows. */
static bool take_data(struct lmtp_session *s)
{
	struct bytes in = conn_input(s->conn);
	size_t before = s->body.n, used;
	enum lmtp_data_result result;

	result = lmtp_data_take(&s->data, in, &s->body, s->is_over_size ? 0 : (size_t)fe_of(s)->max_message, &s->is_over_size, &used);
	if (s->body.n > before && !fe_inflight(fe_of(s), (int64_t)(s->body.n - before))) {
		s->is_over_size = true;
		buffer_fini(&s->body);
	} else if (s->body.n > before) {
		s->held += s->body.n - before;
	}
	conn_consume(s->conn, used);
	if (result == LMTP_DATA_END)
		end_of_data(s);
	return result == LMTP_DATA_END;
}

static void on_input(struct conn *c, void *arg)
{
	struct lmtp_session *s = arg;

	while (!s->is_busy && !s->is_login_waiting && conn_input(c).n > 0) {
		bool go_on = s->is_in_data ? take_data(s) : take_line(s);

		arena_fini(&s->arena);
		if (!go_on)
			break;
	}
}

static void on_timeout(struct conn *c, void *arg)
{
	struct lmtp_session *s = arg;

	if (s->is_busy)
		return;
	reply(s, "421 4.4.2 silent for too long");
	conn_close(c);
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct lmtp_session *s = arg;

	(void)c;
	(void)why;
	for (size_t i = 0; i < s->delivery_count; i++) {
		if (s->deliveries[i] != NULL)
			fe_delivery_cancel(s->deliveries[i]);
	}
	free(s->deliveries);
	free(s->waiters);
	list_remove(&s->base.in_shard);
	(void)atomic_fetch_sub(&fe_of(s)->lmtp_sessions, 1);
	reset(s);
	login_fini(&s->login);
	identity_fini(&s->identity);
	arena_fini(&s->arena);
	free(s);
}

static const struct conn_events events = { .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed };

void fe_lmtp_called(struct conn *c, void *arg)
{
	struct frontend *fe = arg;
	static const struct login_class logins = { .protocol = "lmtp", .done = login_done, .may = may_deliver };
	struct lmtp_session *s = must_calloc(1, sizeof(*s));
	struct buffer out = { 0 };

	s->conn = c;
	login_init(&s->login, &logins, fe->login_service, c, &s->identity, s);
	s->base.shard = fe_shard_of(fe, conn_loop(c));
	s->base.farewell = farewell;
	list_push(&s->base.shard->sessions, &s->base.in_shard);
	(void)atomic_fetch_add(&fe->lmtp_sessions, 1);
	conn_set_events(c, &events, s);
	conn_set_timeout(c, config_number(fe->config, "lmtp_timeout_s") * 1000);
	if (s->base.shard->is_ending) {
		say_goodbye(s);
		return;
	}
	buffer_addf(&out, "220 %s Roost LMTP ready\r\n", fe->name);
	conn_write(c, buffer_bytes(&out));
	buffer_fini(&out);
}
