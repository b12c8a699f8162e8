/* fe_imap_link.c - a session's connection to a backend: dial, greeting, AUTHENTICATE for the user, then segments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"
#include "fe_imap.h"
#include "log.h"
#include "policy.h"

#define DIAL_MS 3000
#define SEGMENT_MAX (1024 * 1024)

static void lost(struct imap_link *l, const char *why)
{
	struct fe_imap *s = l->session;

	if (s == NULL)
		return;
	l->session = NULL;
	list_remove(&l->in_session);
	conn_abort(l->conn);
	fe_imap_link_lost(s, l, why);
}

void imap_link_drop(struct imap_link *l)
{
	if (l->session == NULL)
		return;
	if (l->session->selected == l)
		l->session->selected = NULL;
	if (l->session->op_link == l)
		l->session->op_link = NULL;
	l->session = NULL;
	list_remove(&l->in_session);
	if (l->state == ILINK_READY)
		conn_write(l->conn, BYTES_LIT("FQ LOGOUT\r\n"));
	conn_close(l->conn);
}

void imap_link_unselect(struct imap_link *l)
{
	l->is_swallowing = true;
	conn_write(l->conn, BYTES_LIT("FU UNSELECT\r\n"));
}

void imap_link_enable(struct imap_link *l)
{
	unsigned missing = l->session->features & ~l->features;
	struct buffer out = { 0 };

	if (missing == 0)
		return;
	l->features |= missing;
	l->is_enabling = true;
	buffer_add_str(&out, "FE ENABLE");
	imap_write_features(&out, missing);
	buffer_add_str(&out, "\r\n");
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* Whether SEG is the answer to that; what the selected mailbox has to say meanwhile is not. */
static bool is_of_enable(struct imap_link *l, struct bytes seg)
{
	if (!l->is_enabling)
		return false;
	if (bytes_starts(seg, BYTES_LIT("FE "))) {
		l->is_enabling = false;
		return true;
	}
	return bytes_starts_nocase(seg, BYTES_LIT("* ENABLED"));
}

static void send_base64(struct imap_link *l, const char *prefix, struct bytes raw)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, prefix);
	if (raw.n == 0 && prefix[0] != '\0')
		buffer_add_u8(&out, '=');
	base64_encode(&out, raw);
	buffer_add_str(&out, "\r\n");
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void authenticate(struct imap_link *l)
{
	const struct fe_imap *s = l->session;
	const struct config *cfg = fe_imap_frontend(s)->config;
	const char *mechanism = auth_may_send_plain(cfg, conn_is_tls(l->conn), conn_is_loopback(l->conn)) ? "PLAIN" :
	                                                                                                    "SCRAM-SHA-256";
	struct buffer first = { 0 };
	char prefix[64];
	struct fault why;

	l->sasl = sasl_client_new(mechanism, bytes_of(config_string(cfg, "proxy_authname")), bytes_of(s->user),
	                          bytes_of(config_string(cfg, "proxy_password")));
	if (l->sasl == NULL || sasl_client_step(l->sasl, BYTES_NONE, &first, &why) == SASL_FAIL) {
		lost(l, "cannot authenticate");
	} else {
		(void)snprintf(prefix, sizeof(prefix), "FA AUTHENTICATE %s ", mechanism);
		l->state = ILINK_AUTH;
		send_base64(l, prefix, buffer_bytes(&first));
	}
	buffer_fini(&first);
}

static void greeting(struct imap_link *l, const struct imap_response *r)
{
	const struct frontend *fe = fe_imap_frontend(l->session);

	if (!r->is_untagged || !bytes_equal_nocase_str(r->word, "OK")) {
		lost(l, bytes_equal_nocase_str(r->word, "BYE") ? "it is not the master" : "it does not greet");
		return;
	}
	if (!conn_is_tls(l->conn) && !conn_is_loopback(l->conn) && fe->tls_client != NULL &&
	    bytes_search(r->code, BYTES_LIT("STARTTLS")) < r->code.n) {
		l->state = ILINK_STARTTLS;
		conn_write(l->conn, BYTES_LIT("FT STARTTLS\r\n"));
		return;
	}
	authenticate(l);
}

static void auth_line(struct imap_link *l, const struct imap_response *r)
{
	struct buffer raw = { 0 }, out = { 0 };
	struct fault why;

	if (r->is_continuation) {
		if (!base64_decode(&raw, bytes_trim(r->rest)) ||
		    sasl_client_step(l->sasl, buffer_bytes(&raw), &out, &why) == SASL_FAIL)
			lost(l, "its challenge is wrong");
		else
			send_base64(l, "", buffer_bytes(&out));
	} else if (bytes_equal_str(r->tag, "FA")) {
		if (bytes_equal_nocase_str(r->word, "OK")) {
			l->state = ILINK_READY;
			sasl_client_free(&l->sasl);
			fe_imap_link_ready(l->session, l);
		} else {
			log_event(LOG_ERROR, "frontend.imap.auth_refused", LOG_STR("backend", l->address), LOG_BYTES("answer", r->rest));
			lost(l, "it refuses proxy_authname");
		}
	}
	buffer_fini(&raw);
	buffer_fini(&out);
}

static void setup_line(struct imap_link *l, struct bytes segment)
{
	struct imap_response r;

	if (!imap_response_parse(segment, &r)) {
		lost(l, "what it says is not IMAP");
		return;
	}
	if (r.is_untagged && bytes_equal_nocase_str(r.word, "BYE") && l->state != ILINK_GREETING) {
		lost(l, "it is not the master");
		return;
	}
	switch (l->state) {
	case ILINK_GREETING:
		greeting(l, &r);
		break;
	case ILINK_STARTTLS:
		if (bytes_equal_str(r.tag, "FT") && bytes_equal_nocase_str(r.word, "OK")) {
			char host[PLACES_ADDRESS_MAX];
			char *colon;

			(void)snprintf(host, sizeof(host), "%s", l->address);
			colon = strrchr(host, ':');
			if (colon != NULL)
				*colon = '\0';
			conn_start_tls_client(l->conn, fe_imap_frontend(l->session)->tls_client, host);
		} else {
			lost(l, "it refuses STARTTLS");
		}
		break;
	case ILINK_AUTH:
		auth_line(l, &r);
		break;
	case ILINK_READY:
		break;
	}
}

static void segment(struct imap_link *l, struct bytes seg, bool has_literal)
{
	bool is_first = !l->in_response;

	l->in_response = has_literal;
	if (l->is_swallowing) {
		if (is_first && bytes_starts(seg, BYTES_LIT("FU ")))
			l->is_swallowing = false;
		return;
	}
	if (is_first && is_of_enable(l, seg))
		return;
	fe_imap_link_segment(l->session, l, seg, is_first, has_literal);
}

/* False: no more can be taken now. */
static bool take(struct imap_link *l)
{
	struct bytes in = conn_input(l->conn);
	struct buffer copy = { 0 };
	bool has_literal;
	uint64_t literal;
	size_t n;

	if (l->session == NULL || in.n == 0)
		return false;
	/* The client reads slowly: so does the proxy. */
	if (conn_pending(l->session->conn) >= CONN_OUTPUT_HIGH) {
		conn_pause(l->conn, true);
		return false;
	}
	if (l->literal > 0) {
		struct bytes piece = bytes_sub(in, 0, l->literal < in.n ? (size_t)l->literal : in.n);

		l->literal -= piece.n;
		if (!l->is_swallowing)
			fe_imap_link_literal(l->session, l, piece);
		if (l->session != NULL)
			conn_consume(l->conn, piece.n);
		return l->session != NULL;
	}
	if (!imap_response_segment(in, &n, &has_literal, &literal)) {
		if (in.n > SEGMENT_MAX)
			lost(l, "a line without end");
		else
			conn_want(l->conn, in.n + 1);
		return false;
	}
	conn_want(l->conn, 0);
	if (l->state != ILINK_READY) {
		/* The connection's input may go with a TLS handshake: take the line first. */
		buffer_add(&copy, bytes_sub(in, 0, n));
		conn_consume(l->conn, n);
		setup_line(l, buffer_bytes(&copy));
		buffer_fini(&copy);
		return l->session != NULL;
	}
	l->literal = has_literal ? literal : 0;
	segment(l, bytes_sub(in, 0, n), has_literal);
	if (l->session == NULL)
		return false;
	conn_consume(l->conn, n);
	return true;
}

static void on_input(struct conn *c, void *arg)
{
	(void)c;
	while (take(arg))
		;
}

static void on_ready(struct conn *c, void *arg)
{
	struct imap_link *l = arg;

	conn_set_timeout(c, 0);
	if (l->state == ILINK_STARTTLS && l->session != NULL)
		authenticate(l);
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct imap_link *l = arg;

	(void)c;
	lost(l, why == NULL ? "it closed the connection" : why->what);
	sasl_client_free(&l->sasl);
	buffer_fini(&l->collect);
	free(l);
}

static const struct conn_events link_events = { .on_ready = on_ready, .on_input = on_input, .on_closed = on_closed };

struct imap_link *imap_link_get(struct fe_imap *s, const char *server)
{
	char address[PLACES_ADDRESS_MAX];
	struct imap_link *l;
	uint64_t epoch;

	if (!places_master(fe_imap_frontend(s)->places, server, PLACES_IMAP, address, &epoch))
		return NULL;
	LIST_EACH(m, &s->links) {
		l = LIST_OBJECT(m, struct imap_link, in_session);
		if (strcmp(l->server, server) != 0)
			continue;
		if (strcmp(l->address, address) == 0)
			return l;
		/* Another member is master now. Whoever had a mailbox selected there has to come again. */
		if (l == s->selected)
			return NULL;
		imap_link_drop(l);
	}
	l = must_calloc(1, sizeof(*l));
	l->session = s;
	(void)snprintf(l->server, sizeof(l->server), "%s", server);
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
	list_push(&s->links, &l->in_session);
	l->conn = conn_dial(s->base.shard->loop, address, NULL, DIAL_MS, &link_events, l);
	return l;
}
