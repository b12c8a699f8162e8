/* fe_lmtp_link.c - the connection to one backend: greeting, LHLO, STARTTLS and AUTH if offered, then deliveries one
 * after the other. What fails before a delivery's first octet is sent may be tried elsewhere by whoever asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base64.h"
#include "fe_lmtp.h"
#include "log.h"
#include "policy.h"
#include "sasl.h"

#define DIAL_MS 3000
#define REPLY_MS 60000
#define IDLE_MS 60000
#define IDLE_MAX 128

enum link_state { LINK_GREETING, LINK_LHLO, LINK_STARTTLS, LINK_AUTH, LINK_READY };

struct lmtp_link {
	struct list idle;
	struct fe_shard *shard;
	struct conn *conn;
	char address[PLACES_ADDRESS_MAX];
	enum link_state state;
	bool is_dead, has_op, offers_tls, is_idle;
	struct buffer mechanisms;
	struct sasl_client *sasl;
	struct timer *again; /* one that was idle is about to be ready */
	const struct lmtp_link_events *events;
	void *arg;
};

static void lost(struct lmtp_link *l, const char *why)
{
	const struct lmtp_link_events *events = l->events;
	void *arg = l->arg;

	if (l->is_dead)
		return;
	l->is_dead = true;
	l->events = NULL;
	conn_abort(l->conn);
	if (events != NULL)
		events->on_lost(arg, why);
}

static void say(struct lmtp_link *l, const char *text)
{
	conn_write(l->conn, bytes_of(text));
}

static void send_base64(struct lmtp_link *l, const char *prefix, struct bytes raw)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, prefix);
	base64_encode(&out, raw);
	buffer_add_str(&out, "\r\n");
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void ready(struct lmtp_link *l)
{
	l->state = LINK_READY;
	if (l->events != NULL)
		l->events->on_ready(l->arg);
}

static void authenticate(struct lmtp_link *l)
{
	const struct config *cfg = l->shard->fe->config;
	const char *name = config_string(cfg, "proxy_authname");
	const char *mechanism;
	struct buffer first = { 0 };
	char prefix[64];
	struct fault why;

	if (!conn_is_tls(l->conn) && l->offers_tls && l->shard->fe->tls_client != NULL && !conn_is_loopback(l->conn)) {
		l->state = LINK_STARTTLS;
		say(l, "STARTTLS\r\n");
		return;
	}
	mechanism = sasl_client_choose(buffer_bytes(&l->mechanisms),
	                               auth_may_send_plain(cfg, conn_is_tls(l->conn), conn_is_loopback(l->conn)));
	if (name == NULL || mechanism == NULL) {
		ready(l); /* the backend says whether it takes mail from strangers */
		return;
	}
	l->sasl = sasl_client_new(mechanism, bytes_of(name), BYTES_NONE, bytes_of(config_string(cfg, "proxy_password")));
	if (l->sasl == NULL || sasl_client_step(l->sasl, BYTES_NONE, &first, &why) == SASL_FAIL) {
		lost(l, "cannot authenticate");
	} else {
		(void)snprintf(prefix, sizeof(prefix), "AUTH %s ", mechanism);
		l->state = LINK_AUTH;
		send_base64(l, prefix, buffer_bytes(&first));
	}
	buffer_fini(&first);
}

static void lhlo_line(struct lmtp_link *l, const struct lmtp_reply *r)
{
	if (bytes_starts_nocase(r->text, BYTES_LIT("AUTH "))) {
		buffer_add(&l->mechanisms, bytes_from(r->text, 5));
		buffer_add_u8(&l->mechanisms, ' ');
	} else if (bytes_equal_nocase_str(r->text, "XROOST-OP")) {
		l->has_op = true;
	} else if (bytes_equal_nocase_str(r->text, "STARTTLS")) {
		l->offers_tls = true;
	}
}

static void say_lhlo(struct lmtp_link *l)
{
	char line[300];

	buffer_clear(&l->mechanisms);
	l->offers_tls = l->has_op = false;
	l->state = LINK_LHLO;
	(void)snprintf(line, sizeof(line), "LHLO %.200s\r\n", l->shard->fe->name);
	say(l, line);
}

static void auth_reply(struct lmtp_link *l, const struct lmtp_reply *r)
{
	struct buffer raw = { 0 }, out = { 0 };
	struct fault why;

	if (r->code == 235) {
		ready(l);
	} else if (r->code != 334 || !base64_decode(&raw, bytes_trim(r->text)) ||
	           sasl_client_step(l->sasl, buffer_bytes(&raw), &out, &why) == SASL_FAIL) {
		log_event(LOG_ERROR, "frontend.lmtp.auth_refused", LOG_STR("backend", l->address), LOG_BYTES("answer", r->text));
		lost(l, "the backend refuses proxy_authname");
	} else {
		send_base64(l, "", buffer_bytes(&out));
	}
	buffer_fini(&raw);
	buffer_fini(&out);
}

static void on_reply(struct lmtp_link *l, const struct lmtp_reply *r)
{
	if (r->code == 421) {
		lost(l, "the backend is closing");
		return;
	}
	switch (l->state) {
	case LINK_GREETING:
		if (!r->is_last)
			return;
		if (r->code == 220)
			say_lhlo(l);
		else
			lost(l, "the backend does not greet");
		return;
	case LINK_LHLO:
		if (r->code != 250) {
			lost(l, "the backend refuses LHLO");
			return;
		}
		lhlo_line(l, r);
		if (r->is_last)
			authenticate(l);
		return;
	case LINK_STARTTLS:
		if (r->code == 220) {
			char host[PLACES_ADDRESS_MAX];
			char *colon;

			(void)snprintf(host, sizeof(host), "%s", l->address);
			colon = strrchr(host, ':');
			if (colon != NULL)
				*colon = '\0';
			conn_start_tls_client(l->conn, l->shard->fe->tls_client, host);
		} else {
			lost(l, "the backend refuses STARTTLS");
		}
		return;
	case LINK_AUTH:
		if (r->is_last)
			auth_reply(l, r);
		return;
	case LINK_READY:
		if (l->events == NULL)
			lost(l, "words nobody asked for");
		else if (r->is_last)
			l->events->on_reply(l->arg, r);
		return;
	}
}

static void on_input(struct conn *c, void *arg)
{
	struct lmtp_link *l = arg;

	while (!l->is_dead) {
		struct bytes in = conn_input(c);
		size_t n = bytes_find(in, '\n');
		struct buffer line = { 0 };
		struct lmtp_reply r;

		if (n == in.n) {
			if (in.n > LMTP_MAX_LINE)
				lost(l, "a reply without end");
			return;
		}
		buffer_add(&line, bytes_trim(bytes_sub(in, 0, n)));
		conn_consume(c, n + 1);
		if (lmtp_reply_parse(buffer_bytes(&line), &r))
			on_reply(l, &r);
		else
			lost(l, "what is said is not LMTP");
		buffer_fini(&line);
	}
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct lmtp_link *l = arg;

	(void)c;
	if (!l->is_dead) {
		l->is_dead = true;
		if (l->events != NULL)
			l->events->on_lost(l->arg, why == NULL ? "the backend closed the connection" : why->what);
	}
	if (l->is_idle) {
		list_remove(&l->idle);
		l->shard->lmtp_idle_count--;
	}
	timer_free(&l->again);
	sasl_client_free(&l->sasl);
	buffer_fini(&l->mechanisms);
	free(l);
}

static void on_ready(struct conn *c, void *arg)
{
	struct lmtp_link *l = arg;

	conn_set_timeout(c, REPLY_MS);
	if (l->state == LINK_STARTTLS)
		say_lhlo(l); /* RFC 3207 section 4.2: what was said before counts no more */
}

static void on_timeout(struct conn *c, void *arg)
{
	(void)c;
	lost(arg, "the backend is silent");
}

static const struct conn_events conn_events_of_link = {
	.on_ready = on_ready, .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed
};

/* A link that was idle is ready at once; told from the loop, as for a fresh one. */
static void ready_again(void *arg)
{
	struct lmtp_link *l = arg;

	timer_free(&l->again);
	if (!l->is_dead && l->events != NULL)
		l->events->on_ready(l->arg);
}

struct lmtp_link *lmtp_link_take(struct fe_shard *sh, const char *address, const struct lmtp_link_events *events, void *arg)
{
	struct lmtp_link *l;

	LIST_EACH(m, &sh->lmtp_idle) {
		l = LIST_OBJECT(m, struct lmtp_link, idle);
		if (l->is_dead || strcmp(l->address, address) != 0)
			continue;
		list_remove(&l->idle);
		l->is_idle = false;
		sh->lmtp_idle_count--;
		l->events = events;
		l->arg = arg;
		conn_set_timeout(l->conn, REPLY_MS);
		l->again = timer_new(sh->loop, ready_again, l);
		timer_start(l->again, 0, 0);
		return l;
	}
	l = must_calloc(1, sizeof(*l));
	list_init(&l->idle);
	l->shard = sh;
	l->events = events;
	l->arg = arg;
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
	l->conn = conn_dial(sh->loop, address, NULL, DIAL_MS, &conn_events_of_link, l);
	return l;
}

void lmtp_link_write(struct lmtp_link *l, struct bytes b)
{
	conn_write(l->conn, b);
}

static void message_sent(void *arg)
{
	fe_message_unref(arg);
}

void lmtp_link_write_message(struct lmtp_link *l, struct fe_message *m)
{
	m->refs++;
	conn_write_lent(l->conn, buffer_bytes(&m->wire), message_sent, m);
}

bool lmtp_link_has_op(const struct lmtp_link *l)
{
	return l->has_op;
}

void lmtp_link_release(struct lmtp_link *l, bool is_clean)
{
	struct fe_shard *sh = l->shard;

	l->events = NULL;
	if (l->is_dead)
		return;
	if (!is_clean || sh->is_ending || sh->lmtp_idle_count >= IDLE_MAX) {
		l->is_dead = true;
		conn_abort(l->conn);
		return;
	}
	l->is_idle = true;
	list_push(&sh->lmtp_idle, &l->idle);
	sh->lmtp_idle_count++;
	conn_set_timeout(l->conn, IDLE_MS);
}

void fe_lmtp_end_idle(struct fe_shard *sh)
{
	LIST_EACH(m, &sh->lmtp_idle) {
		struct lmtp_link *l = LIST_OBJECT(m, struct lmtp_link, idle);

		l->is_dead = true;
		conn_write(l->conn, BYTES_LIT("QUIT\r\n"));
		conn_close(l->conn);
	}
}
