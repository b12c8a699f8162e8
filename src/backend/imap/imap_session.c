/* imap_session.c - one IMAP connection from the greeting to the end.
 *
 * Happy path: greeting, commands one by one: framed (session_input.c), parsed, handed to their handler, and when it is done the
 * news of the selected mailbox and the tagged answer (session_command.c). See imap_session.h for what a handler may wait for.
 *
 * What can go wrong: not the master: BYE [UNAVAILABLE] instead of the greeting; the mastership is lost: the same to every
 * session once the command that waits for a commit is answered (to a frontend that command says NO [XNOTMASTER] where it
 * certainly did nothing); a malformed command: BAD, ten in a row: BYE; over a limit: BAD or NO [LIMIT], and what belongs to
 * the command is read and thrown away; silence: BYE after imap_{login,idle,stall}_timeout_s. */
#include "imap_session.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "arrival.h"
#include "box.h"
#include "log.h"
#include "notify.h"
#include "session_private.h"

void session_enter(struct session *s, enum session_state state)
{
	static const unsigned edges[] = {
		[SESSION_NOT_AUTHED] = 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_AUTHED] = 1u << SESSION_NOT_AUTHED | 1u << SESSION_SELECTED | 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_SELECTED] = 1u << SESSION_AUTHED | 1u << SESSION_ENDING,
		[SESSION_ENDING] = 0,
	};

	assert(edges[s->state] & 1u << state);
	if (s->state == SESSION_SELECTED) {
		client_watch(&s->client, 0);
		box_free(&s->box);
	}
	s->state = state;
	assert((state == SESSION_SELECTED) == (s->box != NULL));
}

void session_write(struct session *s, struct bytes b)
{
	if (s->client.conn != NULL && b.n > 0)
		conn_write(s->client.conn, b);
}

void session_write_str(struct session *s, const char *text)
{
	session_write(s, bytes_of(text));
}

bool session_is_full(const struct session *s)
{
	return s->client.conn != NULL && conn_pending(s->client.conn) > CONN_OUTPUT_HIGH;
}

void session_bye(struct session *s, const char *text)
{
	if (s->state == SESSION_ENDING || s->client.conn == NULL)
		return;
	session_write_str(s, "* BYE ");
	session_write_str(s, text);
	session_write_str(s, "\r\n");
	conn_close(s->client.conn);
	if (s->state == SESSION_SELECTED) {
		/* The watch may be calling us: it and the box go with the session. */
		s->state = SESSION_ENDING;
		return;
	}
	session_enter(s, SESSION_ENDING);
}

void session_say_farewell(struct session *s)
{
	session_bye(s, s->farewell == FAREWELL_STOPPING ? "[UNAVAILABLE] shutting down" :
	                                                  "[UNAVAILABLE] this member is not the master");
}

static void write_mechanisms(const struct session *s, struct buffer *to)
{
	struct buffer words = { 0 };
	struct bytes rest;

	login_mechanisms(&s->login, &words);
	rest = buffer_bytes(&words);
	while (rest.n > 0) {
		size_t n = bytes_find(rest, ' ');

		buffer_add_str(to, " AUTH=");
		buffer_add(to, bytes_sub(rest, 0, n));
		rest = bytes_from(rest, n + 1);
	}
	buffer_fini(&words);
}

void session_capabilities(struct session *s, struct buffer *to)
{
	const struct backend *b = s->client.backend;
	struct bytes directory;

	buffer_add_str(to, "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE");
	if (s->state == SESSION_NOT_AUTHED) {
		if (b->tls != NULL && !conn_is_tls(s->client.conn))
			buffer_add_str(to, " STARTTLS");
		write_mechanisms(s, to);
		if (!login_takes_passwords(&s->login))
			buffer_add_str(to, " LOGINDISABLED");
	} else {
		buffer_addf(to, " " IMAP_CAPABILITIES " APPENDLIMIT=%llu", (unsigned long long)b->max_message);
		if (b->message_limit > 0)
			buffer_addf(to, " MESSAGELIMIT=%zu", b->message_limit);
	}
	(void)config_word(b->cfg, "mupdate_server", 0, &directory);
	buffer_addf(to, " MUPDATE=mupdate://%.*s/", BYTES_FMT(directory));
}

void session_logged_in(struct session *s)
{
	struct backend *b = s->client.backend;

	atomic_fetch_add(&b->counters.logins, 1);
	s->names = names_of(b->cfg, bytes_of(s->identity.user), s->identity.is_admin);
	session_enter(s, SESSION_AUTHED);
	conn_set_timeout(s->client.conn, config_number(b->cfg, "imap_idle_timeout_s") * 1000);
	log_event(LOG_DEBUG, "imap.login.accepted", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
	          LOG_STR("authcid", s->identity.authcid), LOG_STR("peer", conn_peer(s->client.conn)));
}

void session_enable(struct session *s, unsigned features)
{
	struct buffer line = { 0 };

	if ((features & ~s->features & IMAP_F_CONDSTORE) != 0 && s->state == SESSION_SELECTED) {
		buffer_addf(&line, "* OK [HIGHESTMODSEQ %llu] highest\r\n", (unsigned long long)s->box->modseq);
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
	}
	s->features |= features;
	s->names.is_utf8 = (s->features & (IMAP_F_REV2 | IMAP_F_UTF8)) != 0;
}

void session_logged_out(struct session *s)
{
	uint64_t login_ms = config_number(s->client.backend->cfg, "imap_login_timeout_s") * 1000;

	if (s->state == SESSION_SELECTED)
		session_enter(s, SESSION_AUTHED);
	session_enter(s, SESSION_NOT_AUTHED);
	notify_free(&s->notify);
	s->features = 0;
	s->names = (struct names){ 0 };
	identity_fini(&s->identity);
	s->deadline_ms = loop_now_ms(conn_loop(s->client.conn)) + login_ms;
	conn_set_timeout(s->client.conn, login_ms);
}

void session_mailbox_id(const struct session *s, const struct mailbox *m, struct buffer *to)
{
	const char *server = s->client.backend->server;

	/* Its number alone would be given again after a restore. */
	buffer_addf(to, "M%llu-%u-", (unsigned long long)m->id, m->uidvalidity);
	for (size_t i = 0; server[i] != '\0' && i < 200; i++)
		buffer_add_u8(to, ascii_is_alnum((uint8_t)server[i]) || server[i] == '-' ? (uint8_t)server[i] : '_');
}

static void on_input(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->state == SESSION_NOT_AUTHED && loop_now_ms(conn_loop(c)) > s->deadline_ms) {
		session_bye(s, "it took too long to log in");
		return;
	}
	session_run(s);
}

static void on_drained(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->cmd != NULL && s->cmd->step == CMD_WANT_OUTPUT && s->state != SESSION_ENDING)
		session_stepped(s, s->cmd->resume(s, s->cmd));
	else if (s->notify != NULL || (s->state == SESSION_SELECTED && s->box->is_behind))
		session_tell_news(s);
	session_run(s);
}

static void greet(struct session *s)
{
	struct buffer line = { 0 };

	if (s->is_ready)
		return;
	s->is_ready = true;
	if (!backend_may_serve(s->client.backend)) {
		session_bye(s, "[UNAVAILABLE] this member is not the master");
		return;
	}
	buffer_add_str(&line, "* OK [CAPABILITY ");
	session_capabilities(s, &line);
	buffer_addf(&line, "] %s Roost ready\r\n", s->client.backend->server);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

static void on_ready(struct conn *c, void *arg)
{
	(void)c;
	session_run(arg);
}

static void on_timeout(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT) { /* it is we who are slow */
		conn_set_timeout(c, config_number(s->client.backend->cfg, s->state == SESSION_NOT_AUTHED ? "imap_login_timeout_s" :
		                                                                              "imap_idle_timeout_s") * 1000);
		return;
	}
	session_bye(s, s->state == SESSION_NOT_AUTHED ? "it took too long to log in" : "autologout for silence");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct session *s = arg;

	(void)c;
	if (why != NULL)
		log_event(LOG_DEBUG, "imap.session.broken", LOG_U64("conn", s->client.id), LOG_FAULT(why));
	arrival_end(&s->arrival);
	notify_free(&s->notify);
	client_leave(&s->client);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	if (s->cmd != NULL)
		session_free_command(s);
	timer_free(&s->progress);
	box_free(&s->box);
	login_fini(&s->login);
	identity_fini(&s->identity);
	free(s);
}

static void farewell(struct client *c, enum farewell why)
{
	struct session *s = (struct session *)c;

	s->farewell = why;
	/* A login is not waited for: a refusal may be held back for long. */
	if (s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT && s->state != SESSION_NOT_AUTHED)
		s->is_leaving = true;
	else
		session_say_farewell(s);
}

static void committed(struct client *c, const struct submission *sub)
{
	notify_committed((struct session *)c, sub);
}

static void changed(struct client *c, uint32_t what)
{
	struct session *s = (struct session *)c;

	if (s->state == SESSION_SELECTED && (what & (STORE_CHANGE_ACL | STORE_CHANGE_NAME)) != 0)
		s->box->has_new_rights = true;
	session_tell_news(s);
}

void imap_session_called(struct conn *conn, void *arg)
{
	static const struct conn_events events = {
		.on_ready = on_ready,
		.on_input = on_input,
		.on_drained = on_drained,
		.on_timeout = on_timeout,
		.on_closed = on_closed,
	};
	static const struct client_class class = { .farewell = farewell, .changed = changed, .committed = committed };
	static const struct login_class logins = { .protocol = "imap", .done = session_login_done, .takes_tokens = true };
	struct backend *b = arg;
	struct session *s = must_calloc(1, sizeof(*s));
	uint64_t login_ms = config_number(b->cfg, "imap_login_timeout_s") * 1000;

	s->client.class = &class;
	conn_set_events(conn, &events, s);
	s->deadline_ms = loop_now_ms(conn_loop(conn)) + login_ms;
	login_init(&s->login, &logins, b->login_service, conn, &s->identity, s);
	if (!client_enter(&s->client, b, conn)) {
		s->farewell = FAREWELL_STOPPING;
		session_say_farewell(s);
		return;
	}
	conn_set_timeout(conn, login_ms);
	greet(s);
}
