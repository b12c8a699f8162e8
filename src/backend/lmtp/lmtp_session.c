/* lmtp_session.c - one LMTP connection from the greeting to the end.
 *
 * Happy path: 220, LHLO, (STARTTLS, AUTH,) MAIL, RCPT ..., DATA, the body; the body is parsed here, on the session's loop, and
 * handed to the writer as one intent for all recipients; when that is committed each recipient gets its own 250.
 *
 * What can go wrong, and the answer: not the master: 421 instead of the greeting, or once the delivery under way has its
 * answer; the mastership was lost with a delivery waiting: 450 4.3.2, with [XNOTMASTER] to a frontend, which sends it again
 * under its operation id; message over maxmessagesize: 552 5.3.4; too many recipients: 452 4.5.3; too many messages in
 * memory: 452 4.3.1; over quota: 452 4.2.2, or 552 5.2.2 by configuration, at RCPT where it is so already; disk full: 452 4.3.1; store broken: 451 4.3.0; a stranger: 530 5.7.0. A body that is refused is still
 * read to its end, but not kept. Commands that follow DATA's body wait until it is committed (PIPELINING). */
#include "lmtp_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "backend_private.h"
#include "clock.h"
#include "log.h"
#include "lmtp_command.h"
#include "lmtp_data.h"
#include "lmtp_duplicate.h"
#include "lmtp_quota.h"
#include "lmtp_recipient.h"
#include "lmtp_trace.h"
#include "store_view.h"

#define LMTP_BAD_MAX 10       /* refused commands in a row before 421 */
#define LMTP_HEADROOM 1024    /* for the trace lines in front of a body */

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

static void enter(struct lmtp_session *s, enum lmtp_state state)
{
	static const unsigned edges[] = {
		[LMTP_COMMAND] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_LOGIN | 1u << LMTP_BODY |
			         1u << LMTP_CREATING | 1u << LMTP_ENDING,
		[LMTP_CREATING] = 1u << LMTP_COMMAND | 1u << LMTP_ENDING,
		[LMTP_SASL] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_LOGIN | 1u << LMTP_ENDING,
		[LMTP_LOGIN] = 1u << LMTP_COMMAND | 1u << LMTP_SASL | 1u << LMTP_ENDING,
		[LMTP_BODY] = 1u << LMTP_COMMAND | 1u << LMTP_COMMITTING | 1u << LMTP_ENDING,
		[LMTP_COMMITTING] = 1u << LMTP_COMMAND | 1u << LMTP_ENDING,
		[LMTP_ENDING] = 0,
	};

	assert(edges[s->state] & 1u << state);
	s->state = state;
}

/* TEXT is ours: a whole reply without its line end. */
static void reply(struct lmtp_session *s, const char *text)
{
	if (s->client.conn == NULL)
		return;
	conn_write(s->client.conn, bytes_of(text));
	conn_write(s->client.conn, BYTES_LIT("\r\n"));
}

static void end(struct lmtp_session *s, const char *text)
{
	if (s->state == LMTP_ENDING || s->client.conn == NULL)
		return;
	reply(s, text);
	enter(s, LMTP_ENDING);
	conn_close(s->client.conn);
}

static void say_farewell(struct lmtp_session *s)
{
	end(s, s->farewell == FAREWELL_STOPPING ? "421 4.3.2 shutting down" : "421 4.3.2 not the master, try the other member");
}

static void drop_body(struct lmtp_session *s)
{
	buffer_fini(&s->body);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	s->data = (struct lmtp_data){ 0 };
	s->body_start = 0;
	s->is_over = s->is_tight = false;
}

static void reset(struct lmtp_session *s)
{
	drop_body(s);
	s->has_mail = s->has_op_id = false;
	s->from = BYTES_NONE;
	s->recipient_count = 0;
	arena_fini(&s->arena);
}

static bool has_tls_to_offer(const struct lmtp_session *s)
{
	return s->client.backend->tls != NULL && !conn_is_tls(s->client.conn) && s->identity.user == NULL;
}

/* Whether the client may hand in mail: this machine's own MTA, or who proved to be a frontend or an administrator. */
static bool may_deliver(const struct lmtp_session *s)
{
	return conn_is_loopback(s->client.conn) || s->identity.is_admin || s->identity.is_proxy;
}

static void on_lhlo(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	const struct backend *b = s->client.backend;
	struct buffer out = { 0 }, words = { 0 };

	reset(s);
	free(s->helo);
	s->helo = bytes_to_str(bytes_sub(cmd->word, 0, 255));
	buffer_addf(&out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE %llu\r\n", b->server,
	            (unsigned long long)b->max_message);
	if (has_tls_to_offer(s))
		buffer_add_str(&out, "250-STARTTLS\r\n");
	login_mechanisms(&s->login, &words);
	if (s->identity.user == NULL && words.n > 0)
		buffer_addf(&out, "250-AUTH %.*s\r\n", BYTES_FMT(buffer_bytes(&words)));
	buffer_fini(&words);
	buffer_add_str(&out, "250-IGNOREQUOTA\r\n250 XROOST-OP\r\n");
	conn_write(s->client.conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void on_mail(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (s->helo == NULL) {
		reply(s, "503 5.5.1 LHLO first");
	} else if (!may_deliver(s)) {
		reply(s, "530 5.7.0 authentication required");
	} else if (s->has_mail) {
		reply(s, "503 5.5.1 a transaction is under way");
	} else if (cmd->size > s->client.backend->max_message) {
		reply(s, "552 5.3.4 message too large");
	} else {
		s->has_mail = true;
		s->from = arena_copy(&s->arena, cmd->address);
		s->size = cmd->size;
		s->has_op_id = cmd->has_op_id;
		memcpy(s->op_id, cmd->op_id, sizeof(s->op_id));
		reply(s, "250 2.1.0 ok");
	}
}

static void add_recipient(struct lmtp_session *s, struct lmtp_recipient r)
{
	if (s->recipient_count == s->recipient_cap) {
		s->recipient_cap = s->recipient_cap == 0 ? 4 : s->recipient_cap * 2;
		s->recipients = must_realloc(s->recipients, s->recipient_cap, sizeof(*s->recipients));
	}
	s->recipients[s->recipient_count++] = r;
}

/* The recipient's INBOX was made, or could not be. */
static void created(struct client *c, struct mailbox_op *op);

/* MAY_CREATE: who has no INBOX may have one made. */
static void take_recipient(struct lmtp_session *s, struct bytes address, bool ignores_quota, bool may_create)
{
	struct lmtp_recipient r = { .ignores_quota = ignores_quota,
		                    .may_be_again = s->has_op_id || config_switch(s->client.backend->cfg, "duplicatesuppression") };
	bool is_unknown;
	const char *text = lmtp_recipient_find(&s->client, address, s->size, &s->arena, &r, &is_unknown);

	if (is_unknown && may_create && lmtp_recipient_create(&s->client, address, created)) {
		s->waiting = arena_copy(&s->arena, address);
		s->waiting_ignores_quota = ignores_quota;
		enter(s, LMTP_CREATING);
		conn_pause(s->client.conn, true);
		return;
	}
	if (text[0] == '2')
		add_recipient(s, r);
	reply(s, is_unknown && !may_create ? "451 4.3.0 the mailbox cannot be made now, try again later" : text);
}

static void on_rcpt(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	struct backend *b = s->client.backend;

	if (!s->has_mail) {
		reply(s, "503 5.5.1 MAIL first");
	} else if (s->recipient_count >= config_number(b->cfg, "lmtp_max_recipients")) {
		atomic_fetch_add(&b->counters.limits_hit, 1);
		reply(s, "452 4.5.3 too many recipients");
	} else {
		take_recipient(s, cmd->address, cmd->ignores_quota, true);
	}
}

static void created(struct client *c, struct mailbox_op *op)
{
	struct lmtp_session *s = (struct lmtp_session *)c;

	autocreate_note(c, op);
	if (s->state != LMTP_CREATING)
		return;
	enter(s, LMTP_COMMAND);
	if (s->is_leaving) {
		say_farewell(s);
		return;
	}
	take_recipient(s, s->waiting, s->waiting_ignores_quota, false);
	conn_pause(c->conn, false);
	conn_kick(c->conn);
}

static void on_data(struct lmtp_session *s)
{
	if (!s->has_mail || s->recipient_count == 0) {
		reply(s, "503 5.5.1 no valid recipients");
		return;
	}
	drop_body(s);
	if (!inflight_set(&s->client.backend->inflight, &s->share, LMTP_HEADROOM)) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		reply(s, "452 4.3.1 too many messages at once, try later");
		reset(s);
		return;
	}
	lmtp_trace_write(&s->body, s->from, s->helo, s->client.conn, s->client.backend->server, s->identity.user != NULL);
	s->body_start = s->body.n;
	enter(s, LMTP_BODY);
	reply(s, "354 go ahead");
}

/* The same reply for every recipient: CODES such as "552 5.3.4 ...". */
static void reply_all(struct lmtp_session *s, const char *text)
{
	for (size_t i = 0; i < s->recipient_count; i++)
		reply(s, text);
	atomic_fetch_add(&s->client.backend->counters.lmtp_refused, s->recipient_count);
}

static const char *result_text(const struct lmtp_session *s, const struct submission *sub,
                               const struct append_target *target)
{
	/* An intent that failed as a whole may not have filled its targets. */
	enum store_result whole = sub->request.answer.result;
	enum store_result result = whole == STORE_NOT_MASTER || whole == STORE_FAILED || whole == STORE_NO_SPACE ||
	                                           (whole != STORE_OK && target->result == STORE_OK) ?
	                                   whole :
	                                   target->result;

	switch (result) {
	case STORE_OK:
		return target->was_done ? "250 2.1.5 ok, it is there already" : "250 2.1.5 ok";
	case STORE_NO_MAILBOX:
		return "550 5.1.1 user unknown";
	case STORE_LIMIT:
		return "552 5.2.3 over a limit of the mailbox";
	case STORE_OVER_QUOTA:
		return lmtp_quota_text(s->client.backend);
	case STORE_NO_SPACE:
		return "452 4.3.1 no space left";
	case STORE_NOT_MASTER:
		return s->identity.is_proxy ? "450 4.3.2 [XNOTMASTER] not the master any more" :
		                              "450 4.3.2 try again later";
	default:
		return "451 4.3.0 the mail store has a problem";
	}
}

static void run(struct lmtp_session *s);

/* submission_fn: the delivery is committed, or it is not. */
static void delivered(struct client *c, struct submission *sub)
{
	struct lmtp_session *s = (struct lmtp_session *)c;
	const struct intent_append *in = &sub->intent.append;
	size_t done = 0;

	assert(s->state == LMTP_COMMITTING || s->state == LMTP_ENDING);
	for (size_t i = 0; i < in->target_count; i++) {
		const char *text = result_text(s, sub, &in->targets[i]);

		done += text[0] == '2';
		if (sub->request.answer.result != STORE_NOT_MASTER && in->targets[i].result == STORE_OVER_QUOTA)
			atomic_fetch_add(&c->backend->counters.over_quota, 1);
		if (text[0] == '2' && in->targets[i].was_done)
			atomic_fetch_add(&c->backend->counters.lmtp_duplicates, 1);
		reply(s, text);
	}
	atomic_fetch_add(&c->backend->counters.lmtp_accepted, done);
	atomic_fetch_add(&c->backend->counters.lmtp_refused, in->target_count - done);
	log_event(LOG_DEBUG, "lmtp.deliver.done", LOG_U64("conn", c->id), LOG_U64("lsn", sub->request.answer.lsn),
	          LOG_STR("result", store_result_name(sub->request.answer.result)), LOG_U64("size", in->body.n),
	          LOG_U64("recipients", in->target_count), LOG_U64("done", done));
	if (s->state == LMTP_ENDING)
		return;
	enter(s, LMTP_COMMAND);
	if (s->is_leaving) {
		say_farewell(s);
		return;
	}
	conn_pause(c->conn, false);
	conn_kick(c->conn);
}

/* Take out of the received header a Return-Path that a proxy before us put first: there is one, and it is ours. */
static void drop_first_return_path(struct lmtp_session *s)
{
	struct bytes got = bytes_from(buffer_bytes(&s->body), s->body_start);
	size_t n = 0;

	if (!bytes_starts_nocase(got, BYTES_LIT("Return-Path:")))
		return;
	do {
		size_t line = bytes_find(bytes_from(got, n), '\n');

		n += line;
		if (n >= got.n)
			return;
		n++;
	} while (n < got.n && (got.p[n] == ' ' || got.p[n] == '\t'));
	memmove(s->body.p + n, s->body.p, s->body_start);
	buffer_drop_front(&s->body, n);
	s->body_start = 0;
}

static void deliver(struct lmtp_session *s)
{
	struct client *c = &s->client;
	struct backend *b = c->backend;
	struct submission *sub;
	struct intent_append *in;
	int64_t now = clock_wall_s();
	struct buffer structure = { 0 };

	drop_first_return_path(s);
	sub = submission_new(c);
	in = &sub->intent.append;
	sub->intent.op = INTENT_APPEND;
	sub->body = s->body;
	sub->share = s->share;
	s->body = (struct buffer){ 0 };
	s->share = (struct inflight_share){ 0 };
	in->body = buffer_bytes(&sub->body);
	mime_blob_write(&structure, in->body, &b->mime_limits);
	in->structure = arena_copy(&sub->arena, buffer_bytes(&structure));
	buffer_fini(&structure);
	in->op_id = s->has_op_id ? arena_copy(&sub->arena, bytes_make(s->op_id, sizeof(s->op_id))) : BYTES_NONE;
	if (config_switch(b->cfg, "duplicatesuppression"))
		lmtp_duplicate_name(in, &sub->arena);
	in->target_count = s->recipient_count;
	in->targets = arena_array(&sub->arena, in->target_count, sizeof(*in->targets));
	for (size_t i = 0; i < in->target_count; i++) {
		const struct lmtp_recipient *r = &s->recipients[i];

		in->targets[i].mailbox = arena_copy(&sub->arena, r->mailbox);
		in->targets[i].internaldate = now;
		in->targets[i].quota = lmtp_quota_check(b, r->ignores_quota);
		recent_note(&b->recent, r->id, r->uidnext);
	}
	atomic_fetch_add(&b->counters.lmtp_octets, in->body.n);
	reset(s);
	enter(s, LMTP_COMMITTING);
	conn_pause(c->conn, true);
	client_submit(c, sub, delivered);
}

/* The lone dot has come. */
static void body_ended(struct lmtp_session *s)
{
	struct bytes got = bytes_from(buffer_bytes(&s->body), s->body_start);

	if (s->is_over) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		reply_all(s, "552 5.3.4 message too large");
	} else if (s->is_tight) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		reply_all(s, "452 4.3.1 too many messages at once, try later");
	} else if (bytes_find(got, '\0') < got.n) {
		reply_all(s, "554 5.6.0 the message contains NUL octets");
	} else if (!backend_may_serve(s->client.backend)) {
		reply_all(s, s->identity.is_proxy ? "450 4.3.2 [XNOTMASTER] not the master any more" :
		                                    "450 4.3.2 try again later");
	} else {
		deliver(s);
		return;
	}
	reset(s);
	enter(s, LMTP_COMMAND);
}

/* Octets of the body; true when its end was among them. */
static bool take_body(struct lmtp_session *s)
{
	struct backend *b = s->client.backend;
	struct bytes in = conn_input(s->client.conn);
	bool keeps = !s->is_over && !s->is_tight;
	size_t used;
	enum lmtp_data_result result;

	if (keeps && s->body.n + in.n > s->share.octets &&
	    !inflight_set(&b->inflight, &s->share, 2 * (s->body.n + in.n)))
		s->is_tight = true;
	if (keeps && s->is_tight)
		buffer_fini(&s->body);
	keeps = keeps && !s->is_tight;
	result = lmtp_data_take(&s->data, in, &s->body, keeps ? s->body_start + (size_t)b->max_message : 0, &s->is_over, &used);
	if (s->is_tight)
		s->is_over = false;
	if (s->is_over)
		buffer_fini(&s->body);
	conn_consume(s->client.conn, used);
	return result == LMTP_DATA_END;
}

static void took(struct lmtp_session *s, enum login_result result)
{
	struct backend *b = s->client.backend;

	switch (result) {
	case LOGIN_CONTINUE:
		conn_write(s->client.conn, BYTES_LIT("334 "));
		conn_write(s->client.conn, login_challenge(&s->login));
		conn_write(s->client.conn, BYTES_LIT("\r\n"));
		enter(s, LMTP_SASL);
		return;
	case LOGIN_WAITS:
		enter(s, LMTP_LOGIN);
		return;
	case LOGIN_OK:
		log_event(LOG_INFO, "lmtp.login.accepted", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
		          LOG_STR("authcid", s->identity.authcid), LOG_STR("peer", conn_peer(s->client.conn)));
		reply(s, "235 2.7.0 authenticated");
		break;
	case LOGIN_REFUSED:
		atomic_fetch_add(&b->counters.login_failures, 1);
		s->bad++;
		reply(s, "535 5.7.8 wrong credentials");
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
		reply(s, "504 5.5.4 that mechanism is not offered here");
		break;
	}
	enter(s, LMTP_COMMAND);
	if (login_is_spent(&s->login) && s->identity.user == NULL)
		end(s, "421 4.7.0 too many failed logins");
}

static void start_auth(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (s->helo == NULL || s->has_mail || s->identity.user != NULL) {
		reply(s, "503 5.5.1 not now");
		return;
	}
	took(s, login_start(&s->login, cmd->word, cmd->initial.p != NULL, cmd->initial));
}

static void start_tls(struct lmtp_session *s)
{
	if (!has_tls_to_offer(s)) {
		reply(s, s->client.backend->tls == NULL ? "502 5.5.1 TLS is not configured" : "503 5.5.1 not now");
		return;
	}
	reply(s, "220 2.0.0 go ahead");
	reset(s);
	free(s->helo);
	s->helo = NULL;
	conn_start_tls_server(s->client.conn, s->client.backend->tls);
}

static void on_command(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	switch (cmd->verb) {
	case LMTP_LHLO:
		on_lhlo(s, cmd);
		break;
	case LMTP_MAIL:
		on_mail(s, cmd);
		break;
	case LMTP_RCPT:
		on_rcpt(s, cmd);
		break;
	case LMTP_DATA:
		on_data(s);
		break;
	case LMTP_RSET:
		reset(s);
		reply(s, "250 2.0.0 ok");
		break;
	case LMTP_NOOP:
		reply(s, "250 2.0.0 ok");
		break;
	case LMTP_VRFY:
		reply(s, "252 2.5.0 try to deliver it");
		break;
	case LMTP_HELP:
		reply(s, "214 2.0.0 see RFC 2033");
		break;
	case LMTP_QUIT:
		end(s, "221 2.0.0 bye");
		break;
	case LMTP_AUTH:
		start_auth(s, cmd);
		break;
	case LMTP_STARTTLS:
		start_tls(s);
		break;
	case LMTP_UNKNOWN:
		s->bad++;
		reply(s, "500 5.5.1 unknown command");
		return;
	}
	if (cmd->verb != LMTP_AUTH)
		s->bad = 0;
}

static void on_line(struct lmtp_session *s, struct bytes line)
{
	struct lmtp_command cmd;
	struct arena a = { 0 };
	struct fault why;
	struct buffer out = { 0 };
	enum lmtp_parse result;

	if (s->state == LMTP_SASL) {
		took(s, login_line(&s->login, line));
	} else {
		result = lmtp_command_parse(line, &a, &cmd, &why);
		if (result == LMTP_PARSE_OK) {
			on_command(s, &cmd);
		} else {
			/* The reason may quote the client: fault_set() left no control characters in it. */
			buffer_addf(&out, "%s 5.5.4 %s", result == LMTP_PARSE_SYNTAX ? "501" : "555", why.what);
			buffer_add_u8(&out, '\0');
			s->bad++;
			reply(s, (const char *)out.p);
		}
	}
	if (s->bad >= LMTP_BAD_MAX)
		end(s, "421 4.7.0 too many errors");
	arena_fini(&a);
	buffer_fini(&out);
}

/* Take one line; false: none is whole yet. */
static bool take_line(struct lmtp_session *s)
{
	struct bytes in = conn_input(s->client.conn);
	/* Tokens and proofs are longer than commands (RFC 4954 section 4). */
	bool is_login = s->state == LMTP_SASL || bytes_starts_nocase(in, BYTES_LIT("AUTH "));
	size_t max = is_login ? LOGIN_LINE_MAX : LMTP_MAX_LINE;
	size_t n = bytes_find(bytes_sub(in, 0, max), '\n');
	struct bytes line;
	char *copy;

	if (n >= max) {
		end(s, "500 5.5.2 line too long");
		return false;
	}
	if (n == in.n)
		return false;
	line = bytes_sub(in, 0, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n);
	copy = bytes_to_str(line); /* the handler may start TLS, which drops the input */
	conn_consume(s->client.conn, n + 1);
	on_line(s, bytes_make(copy, line.n));
	explicit_bzero(copy, line.n);
	free(copy);
	return true;
}

static void run(struct lmtp_session *s)
{
	bool goes_on = true;

	while (goes_on) {
		if (s->state == LMTP_COMMAND || s->state == LMTP_SASL) {
			goes_on = take_line(s);
		} else if (s->state == LMTP_BODY) {
			goes_on = take_body(s);
			if (goes_on)
				body_ended(s);
		} else {
			goes_on = false;
		}
	}
}

static void login_done(void *arg, enum login_result result)
{
	struct lmtp_session *s = arg;

	if (s->state == LMTP_LOGIN)
		took(s, result);
	run(s);
}

static void on_input(struct conn *c, void *arg)
{
	(void)c;
	run(arg);
}

/* TLS is established; over TLS from the first octet this comes before anything else. */
static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void on_timeout(struct conn *c, void *arg)
{
	struct lmtp_session *s = arg;

	if (s->state == LMTP_COMMITTING || s->state == LMTP_CREATING || s->state == LMTP_LOGIN) /* it is we who are slow */
		conn_set_timeout(c, config_number(s->client.backend->cfg, "lmtp_timeout_s") * 1000);
	else
		end(s, "421 4.4.2 timeout");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct lmtp_session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "lmtp.session.broken", LOG_U64("conn", s->client.id), LOG_FAULT(why));
	client_leave(&s->client);
	reset(s);
	login_fini(&s->login);
	identity_fini(&s->identity);
	free(s->recipients);
	free(s->helo);
	free(s);
}

static void farewell(struct client *c, enum farewell why)
{
	struct lmtp_session *s = (struct lmtp_session *)c;

	s->farewell = why;
	if (s->state == LMTP_COMMITTING || s->state == LMTP_CREATING)
		s->is_leaving = true;
	else
		say_farewell(s);
}

void lmtp_session_called(struct conn *conn, void *arg)
{
	static const struct conn_events events = {
		.on_ready = on_ready, .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed,
	};
	static const struct client_class class = { .farewell = farewell };
	static const struct login_class logins = { .protocol = "lmtp", .done = login_done };
	struct backend *b = arg;
	struct lmtp_session *s = must_calloc(1, sizeof(*s));
	struct buffer hello = { 0 };

	s->client.class = &class;
	conn_set_events(conn, &events, s);
	login_init(&s->login, &logins, b->login_service, conn, &s->identity, s);
	if (!client_enter(&s->client, b, conn)) {
		s->farewell = FAREWELL_STOPPING;
		say_farewell(s);
		return;
	}
	if (!backend_may_serve(b)) {
		say_farewell(s);
		return;
	}
	conn_set_timeout(conn, config_number(b->cfg, "lmtp_timeout_s") * 1000);
	buffer_addf(&hello, "220 %s LMTP Roost ready", b->server);
	buffer_add_u8(&hello, '\0');
	reply(s, (const char *)hello.p);
	buffer_fini(&hello);
}
