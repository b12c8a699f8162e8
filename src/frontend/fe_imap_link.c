/* fe_imap_link.c - a session's connection to a backend: dial, login for the user, then segments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"

#define DIAL_MS 3000
#define SETUP_MS 10000 /* without a word before the client is logged in */
#define SEGMENT_MAX (1024 * 1024) /* of what is not passed on as it comes */
#define PIECE (64 * 1024)
#define END_MAX 64 /* a line's end and the announcement of a literal before it are longer in no line */

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
	struct fe_imap *s = l->session;

	if (s == NULL)
		return;
	if (l->session->selected == l)
		l->session->selected = NULL;
	if (l->session->op_link == l)
		l->session->op_link = NULL;
	l->session = NULL;
	list_remove(&l->in_session);
	if (s->mid == l && !s->is_dead)
		fe_imap_bye(s, "[UNAVAILABLE] a server was lost in the midst of what it said: please connect again");
	if (l->is_watching)
		fe_notify_overflow(s);
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

	if (missing == 0) {
		fe_notify_link(l);
		return;
	}
	l->features |= missing;
	l->is_enabling = true;
	buffer_add_str(&out, "FE ENABLE");
	imap_write_features(&out, missing);
	buffer_add_str(&out, "\r\n");
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
	fe_notify_link(l);
}

/* News of others than the selected mailbox (RFC 5465). */
static bool is_of_others(struct bytes seg)
{
	return bytes_starts_nocase(seg, BYTES_LIT("* STATUS ")) || bytes_starts_nocase(seg, BYTES_LIT("* LIST ")) ||
	       bytes_starts_nocase(seg, BYTES_LIT("* METADATA "));
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

static void go_on(struct imap_link *l, enum imap_login_result result, const char *why)
{
	struct frontend *fe;

	switch (result) {
	case IMAP_LOGIN_MORE:
		break;
	case IMAP_LOGIN_FAILED:
		lost(l, why);
		break;
	case IMAP_LOGIN_DONE:
		fe = fe_imap_frontend(l->session);
		capabilities_learn(fe->capabilities, l->server, l->address, buffer_bytes(&l->login.capabilities));
		imap_login_fini(&l->login);
		conn_set_timeout(l->conn, 0);
		l->state = ILINK_READY;
		fe_imap_link_ready(l->session, l);
		break;
	}
}

static void segment(struct imap_link *l, struct bytes seg, bool has_literal)
{
	bool is_first = !l->in_response;

	l->in_response = has_literal;
	if (l->is_swallowing && !(is_first && !has_literal && is_of_others(seg))) {
		if (is_first && bytes_starts(seg, BYTES_LIT("FU ")))
			l->is_swallowing = false;
		return;
	}
	if (is_first && (is_of_enable(l, seg) || fe_notify_is_answer(l, seg)))
		return;
	fe_imap_link_segment(l->session, l, seg, is_first, has_literal);
}

/* Whether what comes is collected for a command of the frontend's own. */
static bool is_for_us(const struct imap_link *l)
{
	const struct fe_imap *s = l->session;

	return s->has_op && s->own != NULL && s->op_link == l;
}

/* PIECE is of a long line, such as the structure of a message of ten thousand parts: it goes on without waiting for the line's end. */
static bool pass_piece(struct imap_link *l, struct bytes piece)
{
	conn_want(l->conn, 0);
	segment(l, piece, true);
	if (l->session == NULL)
		return false;
	conn_consume(l->conn, piece.n);
	return true;
}

/* False: no more can be taken now. */
static bool take(struct imap_link *l)
{
	struct bytes in = conn_input(l->conn);
	struct buffer copy = { 0 };
	const char *why = NULL;
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
	/* Another one is in the midst of a response that goes to the client as it comes. */
	if (l->session->mid != NULL && l->session->mid != l) {
		l->session->is_mid_awaited = true;
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
		if (in.n > PIECE && l->state == ILINK_READY && !is_for_us(l))
			return pass_piece(l, bytes_sub(in, 0, in.n - END_MAX));
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
		go_on(l, imap_login_line(&l->login, l->conn, buffer_bytes(&copy), &why), why);
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
	const char *why = NULL;

	conn_set_timeout(c, SETUP_MS);
	if (l->session != NULL)
		go_on(l, imap_login_ready(&l->login, c, &why), why);
}

static void on_timeout(struct conn *c, void *arg)
{
	(void)c;
	lost(arg, "it says nothing");
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct imap_link *l = arg;

	(void)c;
	lost(l, why == NULL ? "it closed the connection" : why->what);
	imap_login_fini(&l->login);
	buffer_fini(&l->collect);
	free(l);
}

static const struct conn_events link_events = {
	.on_ready = on_ready, .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed
};

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
	l->login = (struct imap_login){ .fe = fe_imap_frontend(s), .address = l->address, .user = s->user };
	list_push(&s->links, &l->in_session);
	l->conn = conn_dial(s->base.shard->loop, address, NULL, DIAL_MS, &link_events, l);
	return l;
}
