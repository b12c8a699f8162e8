/* fe_pop3_link.c - a session's connection to a backend: dial, greeting, STLS, AUTH for the user, then octets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"
#include "fe_pop3.h"
#include "log.h"
#include "policy.h"

#define DIAL_MS 3000
#define SETUP_MS 10000 /* without a word before the client is logged in */
#define ANSWER_MS 60000
#define LAST_WORDS_MS 5000
#define LINE_MAX_OCTETS 8192
#define AUTH_LINE_MAX 255 /* RFC 5034 section 4: an initial response that makes the line longer waits for "+" */

static void lost(struct pop3_link *l, const char *why)
{
	struct fe_pop3 *s = l->session;

	if (s == NULL)
		return;
	l->session = NULL;
	conn_abort(l->conn);
	fe_pop3_link_lost(s, why);
}

void pop3_link_drop(struct pop3_link *l)
{
	l->session = NULL;
	conn_abort(l->conn); /* without QUIT nothing is deleted */
}

static void say(struct pop3_link *l, struct bytes prefix, struct bytes raw, bool is_initial)
{
	struct buffer out = { 0 };

	buffer_add(&out, prefix);
	if (raw.n == 0 && is_initial)
		buffer_add_u8(&out, '=');
	base64_encode(&out, raw);
	buffer_add_str(&out, "\r\n");
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void authenticate(struct pop3_link *l)
{
	const struct fe_pop3 *s = l->session;
	const struct config *cfg = fe_pop3_frontend(s)->config;
	const char *mechanism = auth_may_send_plain(cfg, conn_is_tls(l->conn), conn_is_loopback(l->conn)) ? "PLAIN" : "SCRAM-SHA-256";
	char prefix[64];
	struct fault why;

	l->sasl = sasl_client_new(mechanism, bytes_of(config_string(cfg, "proxy_authname")), bytes_of(s->user),
	                          bytes_of(config_string(cfg, "proxy_password")));
	if (l->sasl == NULL || sasl_client_step(l->sasl, BYTES_NONE, &l->first, &why) == SASL_FAIL) {
		lost(l, "cannot authenticate");
		return;
	}
	l->state = PLINK_AUTH;
	(void)snprintf(prefix, sizeof(prefix), "AUTH %s", mechanism);
	if (strlen(prefix) + 1 + (l->first.n + 2) / 3 * 4 + 2 > AUTH_LINE_MAX) {
		conn_write(l->conn, bytes_of(prefix));
		conn_write(l->conn, BYTES_LIT("\r\n"));
		return;
	}
	(void)snprintf(prefix, sizeof(prefix), "AUTH %s ", mechanism);
	say(l, bytes_of(prefix), buffer_bytes(&l->first), true);
	buffer_fini(&l->first);
}

static void greeted(struct pop3_link *l, const struct pop3_reply *r)
{
	if (r->status != POP3_OK) {
		lost(l, "it is not the master");
	} else if (!conn_is_tls(l->conn) && !conn_is_loopback(l->conn) && fe_pop3_frontend(l->session)->tls_client != NULL) {
		l->state = PLINK_STLS;
		conn_write(l->conn, BYTES_LIT("STLS\r\n"));
	} else {
		authenticate(l);
	}
}

static void stls_answered(struct pop3_link *l, const struct pop3_reply *r)
{
	char host[PLACES_ADDRESS_MAX];
	char *colon;

	if (r->status != POP3_OK) {
		authenticate(l); /* without TLS: no password goes in the clear unless the configuration allows it */
		return;
	}
	(void)snprintf(host, sizeof(host), "%s", l->address);
	colon = strrchr(host, ':');
	if (colon != NULL)
		*colon = '\0';
	conn_start_tls_client(l->conn, fe_pop3_frontend(l->session)->tls_client, host);
}

static void challenged(struct pop3_link *l, const struct pop3_reply *r)
{
	struct buffer raw = { 0 }, out = { 0 };
	struct fault why;

	if (l->first.n > 0) {
		say(l, BYTES_NONE, buffer_bytes(&l->first), false);
		buffer_fini(&l->first);
	} else if (!base64_decode(&raw, bytes_trim(r->text)) || sasl_client_step(l->sasl, buffer_bytes(&raw), &out, &why) == SASL_FAIL) {
		lost(l, "its challenge is wrong");
	} else {
		say(l, BYTES_NONE, buffer_bytes(&out), false);
	}
	buffer_fini(&raw);
	buffer_fini(&out);
}

static void auth_answered(struct pop3_link *l, const struct pop3_reply *r)
{
	struct fe_pop3 *s = l->session;

	if (r->status == POP3_CHALLENGE) {
		challenged(l, r);
	} else if (r->status == POP3_OK) {
		l->state = PLINK_READY;
		sasl_client_free(&l->sasl);
		conn_set_timeout(l->conn, 0);
		fe_pop3_link_ready(s, r->text);
	} else if (bytes_equal_nocase_str(r->code, "SYS/PERM")) {
		pop3_link_drop(l);
		fe_pop3_link_refused(s, r->text);
	} else if (bytes_equal_nocase_str(r->code, "SYS/TEMP")) {
		lost(l, "it is not the master, or has a problem");
	} else {
		log_event(LOG_ERROR, "frontend.pop3.auth_refused", LOG_STR("backend", l->address), LOG_BYTES("answer", r->text));
		lost(l, "it refuses proxy_authname");
	}
}

static void setup_line(struct pop3_link *l, struct bytes line)
{
	struct pop3_reply r;

	if (!pop3_reply_parse(line, &r)) {
		lost(l, "what it says is not POP3");
		return;
	}
	switch (l->state) {
	case PLINK_GREETING:
		greeted(l, &r);
		break;
	case PLINK_STLS:
		stls_answered(l, &r);
		break;
	case PLINK_AUTH:
		auth_answered(l, &r);
		break;
	case PLINK_READY:
		break;
	}
}

/* One line before it is ready; false: none is whole yet. */
static bool take_line(struct pop3_link *l)
{
	struct bytes in = conn_input(l->conn);
	size_t n = bytes_find(in, '\n');
	struct buffer line = { 0 };

	if (n == in.n) {
		if (n > LINE_MAX_OCTETS)
			lost(l, "a line without end");
		return false;
	}
	/* The connection's input may go with a TLS handshake: take the line first. */
	buffer_add(&line, bytes_sub(in, 0, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n));
	conn_consume(l->conn, n + 1);
	setup_line(l, buffer_bytes(&line));
	buffer_fini(&line);
	return l->session != NULL;
}

static void pass(struct pop3_link *l)
{
	struct conn *client = l->session->conn;
	struct bytes in = conn_input(l->conn);

	if (conn_pending(client) >= CONN_OUTPUT_HIGH) {
		l->is_paused = true;
		conn_pause(l->conn, true);
		return;
	}
	if (in.n > 0) {
		if (l->is_asked)
			conn_set_timeout(l->conn, 0);
		l->is_asked = false;
		conn_write_through(client, in);
		conn_consume(l->conn, in.n);
	}
	if (l->is_eof) {
		struct fe_pop3 *s = l->session;

		l->session = NULL;
		conn_abort(l->conn);
		fe_pop3_link_over(s);
	}
}

static void on_input(struct conn *c, void *arg)
{
	struct pop3_link *l = arg;

	(void)c;
	while (l->session != NULL && l->state != PLINK_READY) {
		if (!take_line(l))
			return;
	}
	if (l->session != NULL)
		pass(l);
}

static void on_eof(struct conn *c, void *arg)
{
	struct pop3_link *l = arg;

	if (l->session != NULL && l->state != PLINK_READY) {
		lost(l, "it closed the connection");
		return;
	}
	l->is_eof = true;
	on_input(c, l);
}

/* What it could not take was kept in the client's connection. */
static void on_drained(struct conn *c, void *arg)
{
	struct pop3_link *l = arg;

	(void)c;
	if (l->session != NULL)
		conn_pause(l->session->conn, false);
}

static void on_ready(struct conn *c, void *arg)
{
	struct pop3_link *l = arg;

	conn_set_timeout(c, SETUP_MS);
	if (l->state == PLINK_STLS && l->session != NULL)
		authenticate(l);
}

static void on_timeout(struct conn *c, void *arg)
{
	struct pop3_link *l = arg;

	if (l->is_paused) /* it may not speak */
		conn_set_timeout(c, ANSWER_MS);
	else
		lost(l, "it is silent");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct pop3_link *l = arg;

	(void)c;
	lost(l, why == NULL ? "it closed the connection" : why->what);
	sasl_client_free(&l->sasl);
	buffer_fini(&l->first);
	free(l);
}

static const struct conn_events link_events = {
	.on_ready = on_ready, .on_input = on_input, .on_drained = on_drained, .on_timeout = on_timeout, .on_eof = on_eof,
	.on_closed = on_closed,
};

struct pop3_link *pop3_link_dial(struct fe_pop3 *s, const char *address)
{
	struct pop3_link *l = must_calloc(1, sizeof(*l));

	l->session = s;
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
	l->conn = conn_dial(s->base.shard->loop, address, NULL, DIAL_MS, &link_events, l);
	return l;
}

bool pop3_link_write(struct pop3_link *l, struct bytes b)
{
	if (conn_pending(l->conn) >= CONN_OUTPUT_HIGH)
		return false;
	conn_write(l->conn, b);
	if (!l->is_asked)
		conn_set_timeout(l->conn, ANSWER_MS);
	l->is_asked = true;
	return true;
}

void pop3_link_resume(struct pop3_link *l)
{
	l->is_paused = false;
	conn_pause(l->conn, false);
}

void pop3_link_eof(struct pop3_link *l)
{
	l->is_asked = false;
	conn_set_timeout(l->conn, LAST_WORDS_MS);
}
