/* driver_sync.c - connections between the members of a server (docs/formats.md, "Sync stream").
 *
 * The follower dials: magic, then frames of u32 length and octets. First an authentication by SASL: 'A' mechanism NUL
 * response, then 'C' for each challenge and response, until the acceptor says 'O' and its name, or 'F' and why not. Then
 * each frame is a message of the replica core. TLS from the first octet if this member has a certificate. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "driver_link.h"
#include "log.h"
#include "policy.h"

#define MAGIC "ROOSTSY1"
#define MAGIC_SIZE 8
/* Between two tries; the first come quickly, since a new master needs its partner at once. */
#define REDIAL_FIRST_MS 2
#define REDIAL_MS 50
/* A follower without room stays away for so long, then looks whether there is some. */
#define REFUSED_MS 3000
#define REFUSED_ROOM (1u << 20)
#define DIAL_MS 3000
#define AUTH_FRAME_MAX 4096
/* A member that hears nothing for so many leases drops the connection. */
#define SILENT_LEASES 10

void link_frame(struct link *l, struct bytes head, struct bytes body)
{
	uint32_t n = (uint32_t)(head.n + body.n);
	uint8_t length[4] = { (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };

	conn_write(l->conn, bytes_make(length, 4));
	conn_write(l->conn, head);
	conn_write(l->conn, body);
}

void link_drop(struct link *l, const char *why)
{
	if (why != NULL)
		log_event(LOG_WARNING, "driver.sync.dropped", LOG_STR("peer", conn_peer(l->conn)), LOG_STR("why", why));
	l->is_over = true;
	conn_abort(l->conn);
}

static void refuse(struct link *l, const char *text)
{
	link_frame(l, BYTES_LIT("F"), bytes_of(text));
	l->is_over = true;
	conn_close(l->conn);
}

static void login_late(void *arg)
{
	link_drop(arg, "not authenticated in time");
}

/* The whole of it has to be over in time: an octet now and then is no sign of life. */
static void await_login(struct link *l)
{
	l->login = timer_new(l->driver->loop, login_late, l);
	timer_start(l->login, config_number(l->driver->o.config, "sync_login_timeout_s") * 1000, 0);
}

static void end_copies(struct link *l)
{
	driver_give_end(l);
	driver_take_end(l);
}

/* The link is the peer's from now on. */
static void authed(struct link *l)
{
	struct driver *d = l->driver;
	struct peer *p = &d->peers[l->peer];
	const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = l->peer };
	const struct replica_event up = { .type = EVENT_PEER_UP, .peer = l->peer };

	/* What it would have us read or append is being put aside. */
	if (driver_take_is_waiting(d)) {
		link_drop(l, NULL);
		return;
	}
	l->is_authed = true;
	timer_free(&l->login);
	list_remove(&l->calling);
	if (l == d->dialled)
		d->dialled = NULL;
	if (p->link != NULL) {
		struct link *old = p->link;

		old->is_dead = true;
		end_copies(old);
		p->link = NULL;
		conn_abort(old->conn);
		driver_event(d, &down);
	}
	p->link = l;
	conn_set_timeout(l->conn, config_number(d->o.config, "lease_ms") * SILENT_LEASES);
	log_event(LOG_INFO, "driver.sync.connected", LOG_STR("member", p->name), LOG_STR("peer", conn_peer(l->conn)));
	driver_event(d, &up);
}

static int peer_of(const struct driver *d, struct bytes name)
{
	for (size_t i = 0; i < d->count; i++) {
		if (i != d->self && bytes_equal_str(name, d->peers[i].name))
			return (int)i;
	}
	return -1;
}

/* Acceptor: is it one of us? Its account is ours, its authorization id says which member it is. False: it is refused. */
static bool is_member(struct link *l)
{
	struct driver *d = l->driver;
	struct bytes authcid = sasl_server_authcid(l->server), authzid = sasl_server_authzid(l->server);

	if (bytes_equal_str(authcid, config_string(d->o.config, "mupdate_authname")) && peer_of(d, authzid) >= 0)
		return true;
	log_event(LOG_WARNING, "driver.sync.refused", LOG_STR("peer", conn_peer(l->conn)), LOG_BYTES("account", authcid), LOG_BYTES("as", authzid));
	refuse(l, "not a member of this server");
	return false;
}

static void check_identity(struct link *l)
{
	struct driver *d = l->driver;
	int peer = peer_of(d, sasl_server_authzid(l->server));

	if (!is_member(l))
		return;
	l->peer = (size_t)peer;
	link_frame(l, BYTES_LIT("O"), bytes_of(d->member));
	authed(l);
}

static void server_step(struct link *l, struct bytes response)
{
	struct buffer out = { 0 };
	struct fault why = { 0 };

	switch (sasl_server_step(l->server, true, response, &out, &why)) {
	case SASL_MORE:
		/* Nobody tries users' passwords here, where failures cost nothing. */
		if (is_member(l))
			link_frame(l, BYTES_LIT("C"), buffer_bytes(&out));
		break;
	case SASL_OK:
		if (out.n > 0)
			link_frame(l, BYTES_LIT("C"), buffer_bytes(&out));
		check_identity(l);
		break;
	case SASL_ASK: /* SCRAM asks nobody */
	case SASL_FAIL:
		log_event(LOG_WARNING, "driver.sync.refused", LOG_STR("peer", conn_peer(l->conn)), LOG_FAULT(&why));
		refuse(l, "authentication failed");
		break;
	}
	buffer_fini(&out);
}

static void acceptor_auth(struct link *l, struct bytes frame)
{
	struct bytes rest = bytes_from(frame, 1);

	if (frame.n > 0 && frame.p[0] == 'A' && l->server == NULL) {
		size_t n = bytes_find(rest, '\0');
		struct bytes mechanism = bytes_sub(rest, 0, n);

		if (bytes_equal_str(mechanism, "SCRAM-SHA-256"))
			l->server = sasl_server_new(&(const struct sasl_options){ .users = l->driver->o.users }, mechanism);
		if (l->server == NULL)
			link_drop(l, "a mechanism that is not offered");
		else
			server_step(l, bytes_from(rest, n + 1));
	} else if (frame.n > 0 && frame.p[0] == 'C' && l->server != NULL) {
		server_step(l, rest);
	} else {
		link_drop(l, "not an authentication");
	}
}

static void dialler_auth(struct link *l, struct bytes frame)
{
	struct bytes rest = bytes_from(frame, 1);
	struct buffer out = { 0 };
	struct fault why;
	enum sasl_result result;

	if (frame.n > 0 && frame.p[0] == 'O') {
		if (!l->is_proven)
			link_drop(l, "it has not proved that it knows the password");
		else if (!bytes_equal_str(rest, l->driver->peers[l->peer].name))
			link_drop(l, "another member than the one dialled answers");
		else
			authed(l);
		return;
	}
	if (frame.n == 0 || frame.p[0] != 'C') {
		link_drop(l, frame.n > 0 && frame.p[0] == 'F' ? "refused by the other member" : "not an authentication");
		return;
	}
	result = l->is_proven ? SASL_FAIL : sasl_client_step(l->client, rest, &out, &why);
	l->is_proven = result == SASL_OK;
	if (result == SASL_FAIL)
		link_drop(l, "its part of the authentication is wrong");
	else if (result == SASL_MORE || out.n > 0)
		link_frame(l, BYTES_LIT("C"), buffer_bytes(&out));
	buffer_fini(&out);
}

/* What a follower can be given. A checkpoint that has most of the journal is quicker to take than all that led to it. */
static void note_kept(const struct driver *d, struct replica_event *ev)
{
	if (replica_role(d->core) != REPLICA_MASTER)
		return;
	ev->kept.first = store_first_lsn(d->o.store);
	ev->kept.prefers_copy = store_checkpoint_lsn(d->o.store) > store_last_lsn(d->o.store) / 2;
}

static void on_message(struct link *l, struct bytes frame)
{
	struct history *history = NULL;
	struct replica_event ev = { .type = EVENT_MESSAGE, .peer = l->peer };
	struct peer_message m;
	struct fault why;

	history = must_calloc(1, sizeof(*history));
	if (!message_read(frame, &m, history, &why)) {
		link_drop(l, why.what);
	} else if (m.type == MESSAGE_SALVAGE || m.type == MESSAGE_SALVAGED) {
		driver_salvage_heard(l->driver, l->peer, &m);
	} else if (m.type == MESSAGE_TAKE || m.type == MESSAGE_TAKEN) {
		driver_give_hear(l, &m);
	} else if (m.type == MESSAGE_PIECE || m.type == MESSAGE_BODIES) {
		driver_take_hear(l, &m);
	} else if (!driver_mend_message(l->driver, l->peer, &m)) {
		ev.message = &m;
		ev.history = history;
		if (m.type == MESSAGE_HELLO)
			note_kept(l->driver, &ev);
		driver_event(l->driver, &ev);
		if (m.type == MESSAGE_WELCOME)
			driver_take_not(l->driver);
	}
	free(history);
}

/* Take one frame. False: none is complete, or the link is over. */
static bool take_frame(struct link *l)
{
	struct bytes in = conn_input(l->conn);
	struct cursor c = cursor_of(in);
	uint64_t limit = l->is_authed ? store_entry_max() + STREAM_PIECE + 1024 : AUTH_FRAME_MAX;
	struct bytes frame;
	uint32_t n;

	if (l->is_over || l->is_dead)
		return false;
	if (conn_pending(l->conn) > 4 * store_entry_max()) {
		link_drop(l, "it does not take what it is answered");
		return false;
	}
	if (!l->has_magic && l->is_incoming) {
		if (in.n < MAGIC_SIZE)
			return false;
		if (memcmp(in.p, MAGIC, MAGIC_SIZE) != 0) {
			link_drop(l, "not the sync protocol, or another version");
			return false;
		}
		l->has_magic = true;
		conn_consume(l->conn, MAGIC_SIZE);
		return true;
	}
	if (!cursor_u32le(&c, &n)) {
		conn_want(l->conn, 0);
		return false;
	}
	if (n > limit) {
		link_drop(l, "a frame over the limit");
		return false;
	}
	if (!cursor_bytes(&c, n, &frame)) {
		conn_want(l->conn, (size_t)n + 4);
		return false;
	}
	conn_want(l->conn, 0);
	if (l->is_authed)
		on_message(l, frame);
	else if (l->is_incoming)
		acceptor_auth(l, frame);
	else
		dialler_auth(l, frame);
	if (l->is_over || l->is_dead)
		return false;
	conn_consume(l->conn, (size_t)n + 4);
	return true;
}

static void on_input(struct conn *c, void *arg)
{
	(void)c;
	while (take_frame(arg))
		;
}

static void redial(void *arg);

static uint64_t redial_pause(struct driver *d)
{
	uint64_t ms = d->redial_ms;

	d->redial_ms = ms * 2 > REDIAL_MS ? REDIAL_MS : ms * 2;
	return d->has_refused ? REFUSED_MS : ms;
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct link *l = arg;
	struct driver *d = l->driver;
	const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = l->peer };

	(void)c;
	if (why != NULL && l->is_authed)
		log_event(LOG_INFO, "driver.sync.lost", LOG_STR("member", d->peers[l->peer].name), LOG_FAULT(why));
	if (l == d->dialled)
		d->dialled = NULL;
	if (!l->is_dead && l->is_authed && d->peers[l->peer].link == l) {
		d->peers[l->peer].link = NULL;
		driver_event(d, &down);
	}
	timer_free(&l->login);
	list_remove(&l->calling);
	sasl_server_free(&l->server);
	sasl_client_free(&l->client);
	link_forget_reading(l);
	end_copies(l);
	free(l);
	if (!d->is_closed && d->connect_to >= 0 && d->dialled == NULL && d->peers[d->connect_to].link == NULL)
		timer_start(d->redial, redial_pause(d), 0);
}

static void on_drained(struct conn *c, void *arg)
{
	(void)c;
	link_pump(arg);
	driver_give_pump(arg);
}

static void on_ready(struct conn *c, void *arg)
{
	struct link *l = arg;
	const struct config *cfg = l->driver->o.config;
	struct buffer first = { 0 };
	struct fault why;

	l->client = sasl_client_new("SCRAM-SHA-256", bytes_of(config_string(cfg, "mupdate_authname")),
	                            bytes_of(l->driver->member), bytes_of(config_string(cfg, "mupdate_password")));
	if (l->client == NULL || sasl_client_step(l->client, BYTES_NONE, &first, &why) == SASL_FAIL) {
		link_drop(l, "cannot authenticate: mupdate_authname and mupdate_password are needed");
		return;
	}
	conn_write(c, BYTES_LIT(MAGIC));
	link_frame(l, BYTES_LIT("ASCRAM-SHA-256\0"), buffer_bytes(&first));
	buffer_fini(&first);
	await_login(l);
}

static const struct conn_events events = {
	.on_ready = on_ready, .on_input = on_input, .on_drained = on_drained, .on_closed = on_closed
};

static void called(struct conn *c, void *arg)
{
	struct driver *d = arg;
	struct link *l = must_calloc(1, sizeof(*l));

	l->driver = d;
	l->conn = c;
	l->is_incoming = true;
	list_push(&d->callers, &l->calling);
	conn_set_events(c, &events, l);
	await_login(l);
	if (d->is_closed)
		conn_abort(c);
	else if (d->o.tls_server == NULL && !conn_is_loopback(c) && !config_switch(d->o.config, "allowplaintext"))
		link_drop(l, "no TLS: set tls_server_cert, or allowplaintext on a network that is trusted");
}

static void redial(void *arg)
{
	struct driver *d = arg;
	struct fault why;
	struct link *l;

	if (d->connect_to < 0 || d->dialled != NULL || d->peers[d->connect_to].link != NULL || d->is_closed ||
	    driver_take_is_waiting(d) || d->has_given_up)
		return;
	/* While it stays away its lease at the master runs out, and the master goes on without it. */
	if (d->has_refused && (d->is_flushing || !driver_take_has_room(d) ||
	                       store_reserve_space(d->o.store, REFUSED_ROOM, &why) != STORE_OK)) {
		timer_start(d->redial, REFUSED_MS, 0);
		return;
	}
	d->has_refused = false;
	l = must_calloc(1, sizeof(*l));
	l->driver = d;
	l->peer = (size_t)d->connect_to;
	list_init(&l->calling);
	d->dialled = l;
	l->conn = conn_dial(d->loop, d->peers[l->peer].address, d->o.tls_server != NULL ? d->o.tls_client : NULL, DIAL_MS,
	                    &events, l);
}

void driver_sync_connect(struct driver *d, int peer)
{
	if (d->dialled != NULL && (peer < 0 || d->dialled->peer != (size_t)peer)) {
		struct link *l = d->dialled;

		d->dialled = NULL;
		conn_abort(l->conn);
	}
	d->connect_to = peer;
	d->redial_ms = REDIAL_FIRST_MS;
	if (peer < 0)
		timer_stop(d->redial);
	else
		timer_start(d->redial, 0, 0);
}

void driver_sync_disconnect(struct driver *d, size_t peer)
{
	struct link *l = d->peers[peer].link;

	if (l == NULL)
		return;
	l->is_dead = true; /* its end is no news to the core */
	l->is_streaming = false;
	end_copies(l);
	d->peers[peer].link = NULL;
	conn_abort(l->conn);
	{
		const struct replica_event down = { .type = EVENT_PEER_DOWN, .peer = peer };

		driver_event(d, &down);
	}
}

void link_send(struct link *l, const struct peer_message *m)
{
	struct peer_message head = *m;
	struct buffer out = { 0 };

	head.raw = BYTES_NONE; /* not copied twice */
	message_write(&out, &head);
	link_frame(l, buffer_bytes(&out), m->raw);
	buffer_fini(&out);
}

void driver_sync_send_with(struct driver *d, size_t peer, const struct peer_message *m, struct bytes raw, struct bytes body)
{
	struct link *l = d->peers[peer].link;
	struct buffer out = { 0 };

	if (l == NULL)
		return;
	message_write(&out, m);
	buffer_add(&out, raw);
	link_frame(l, buffer_bytes(&out), body);
	buffer_fini(&out);
}

void driver_sync_send(struct driver *d, size_t peer, const struct peer_message *m)
{
	if (d->peers[peer].link != NULL)
		link_send(d->peers[peer].link, m);
}

struct opening {
	struct driver *driver;
	struct fault *why;
	bool is_done, is_ok;
	pthread_mutex_t lock;
	pthread_cond_t done;
};

static void open_here(void *arg)
{
	struct opening *o = arg;
	struct driver *d = o->driver;
	const char *address = config_string(d->o.config, "sync_listen");
	bool ok = true;

	d->redial = timer_new(d->loop, redial, d);
	if (address != NULL) {
		d->sync = listener_open(d->loop, &d->loops, address, d->o.tls_server, 64, called, d, o->why);
		ok = d->sync != NULL;
	}
	if (!ok)
		timer_free(&d->redial);
	(void)pthread_mutex_lock(&o->lock);
	o->is_ok = ok;
	o->is_done = true;
	(void)pthread_cond_signal(&o->done);
	(void)pthread_mutex_unlock(&o->lock);
}

bool driver_sync_open(struct driver *d, struct fault *why)
{
	struct opening o = { .driver = d, .why = why, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

	if (d->count > 1 && config_string(d->o.config, "sync_listen") == NULL)
		return config_fault(d->o.config, "sync_listen", why, "is missing; the other members connect to it");
	loop_post(d->loop, open_here, &o);
	(void)pthread_mutex_lock(&o.lock);
	while (!o.is_done)
		(void)pthread_cond_wait(&o.done, &o.lock);
	(void)pthread_mutex_unlock(&o.lock);
	return o.is_ok;
}

void driver_sync_close(struct driver *d)
{
	listener_close(&d->sync);
	d->connect_to = -1;
	if (d->dialled != NULL)
		conn_abort(d->dialled->conn);
	LIST_EACH(m, &d->callers)
		conn_abort(LIST_OBJECT(m, struct link, calling)->conn);
	for (size_t i = 0; i < d->count; i++) {
		driver_give_forget(d, i);
		if (d->peers[i].link != NULL) {
			d->peers[i].link->is_dead = true;
			end_copies(d->peers[i].link);
			conn_close(d->peers[i].link->conn);
			d->peers[i].link = NULL;
		}
	}
	timer_free(&d->redial);
}
