/* directory.c - the mupdate client in place of src/peer, and the mupdate server at its other end: the real registry of members
 * and the real rules of reigns, in the server's order of things. It has no mailboxes: what members tell of those is answered OK. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "mupdate_client.h"
#include "reign_registry.h"
#include "whole.h"

#define SERVER "backenda"
#define AGAIN_FIRST (50 * MS)
#define AGAIN_LAST (5 * SECOND)
#define STRINGS_MAX 12

/* Strings in a packet. */

static void add_string(struct buffer *to, struct bytes s)
{
	buffer_add_bytes32(to, s);
}

static size_t read_strings(const struct packet *p, struct bytes s[STRINGS_MAX])
{
	struct cursor c = cursor_of(buffer_bytes(&p->data));
	size_t count = 0;
	uint32_t n;

	while (count < STRINGS_MAX && cursor_u32le(&c, &n) && cursor_bytes(&c, n, &s[count]))
		count++;
	return count;
}

/* The client. */

struct pending {
	struct pending *next;
	uint64_t id;
	mupdate_done_fn *done;
	void *arg;
};

struct mupdate_client {
	struct whole_member *m;
	const struct mupdate_client_events *events;
	void *arg;
	uint64_t conn, ids; /* CONN 0: none */
	bool is_up;
	struct pending *pending;
	uint64_t again_at, pause;
};

struct mupdate_client *mupdate_client_start(struct loop *l, const struct mupdate_client_options *o)
{
	struct mupdate_client *c = must_calloc(1, sizeof(*c));

	*c = (struct mupdate_client){ .m = l->m, .events = o->events, .arg = o->arg, .pause = AGAIN_FIRST, .again_at = w.now };
	l->m->directory = c;
	return c;
}

static void lose(struct mupdate_client *c)
{
	c->conn = 0;
	while (c->pending != NULL) {
		struct pending *p = c->pending;

		c->pending = p->next;
		p->done(p->arg, MUPDATE_OUTCOME_LOST, BYTES_LIT("lost"));
		free(p);
	}
}

void mupdate_client_stop(struct mupdate_client **cp)
{
	struct mupdate_client *c = *cp;

	if (c == NULL)
		return;
	lose(c);
	c->m->directory = NULL;
	free(c);
	*cp = NULL;
}

const char *mupdate_client_problem(const struct mupdate_client *c)
{
	return c->is_up ? "" : "not connected";
}

bool mupdate_client_send(struct mupdate_client *c, const char *verb, const struct bytes *args, size_t count,
                         mupdate_record_fn *record, mupdate_done_fn *done, void *arg)
{
	struct packet p = { .kind = PACKET_COMMAND, .conn = c->conn, .id = ++c->ids };
	struct pending *q, **at = &c->pending;

	(void)record;
	if (!c->is_up)
		return false;
	q = must_alloc(sizeof(*q));
	*q = (struct pending){ .id = p.id, .done = done, .arg = arg };
	while (*at != NULL)
		at = &(*at)->next;
	*at = q;
	add_string(&p.data, bytes_of(verb));
	for (size_t i = 0; i < count; i++)
		add_string(&p.data, args[i]);
	packet_send(c->m->self, ARBITER, &p);
	return true;
}

uint64_t directory_client_due(const struct whole_member *m)
{
	return m->directory == NULL || m->directory->conn != 0 ? NEVER : m->directory->again_at;
}

void directory_client_run(struct whole_member *m)
{
	struct packet p = { .kind = PACKET_HELLO, .conn = ++w.conns };

	m->directory->conn = p.conn;
	packet_send(m->self, ARBITER, &p);
}

/* The process is gone. */
void directory_client_close(struct whole_member *m)
{
	struct packet p = { .kind = PACKET_CLOSED };

	if (m->directory == NULL || m->directory->conn == 0)
		return;
	p.conn = m->directory->conn;
	packet_send(m->self, ARBITER, &p);
}

static void answered(struct mupdate_client *c, const struct packet *p)
{
	struct pending *q = c->pending;

	if (q == NULL || q->id != p->id)
		return;
	c->pending = q->next;
	q->done(q->arg, (enum mupdate_outcome)p->outcome, buffer_bytes(&p->data));
	free(q);
}

static void closed(struct mupdate_client *c)
{
	bool was_up = c->is_up;

	c->is_up = false;
	c->again_at = w.now + world_of_ms(c->m, c->pause / MS);
	c->pause = c->pause * 2 > AGAIN_LAST ? AGAIN_LAST : c->pause * 2;
	lose(c);
	if (was_up)
		c->events->on_down(c->arg);
}

void directory_client_take(struct whole_member *m, struct packet *p)
{
	struct mupdate_client *c = m->directory;
	struct bytes s[STRINGS_MAX];
	uint64_t epoch;

	if (c == NULL || c->conn != p->conn)
		return;
	switch (p->kind) {
	case PACKET_READY:
		c->is_up = true;
		c->pause = AGAIN_FIRST;
		c->events->on_up(c->arg, true);
		break;
	case PACKET_ANSWER:
		answered(c, p);
		break;
	case PACKET_SERVER:
		if (read_strings(p, s) == 4 && bytes_to_u64(s[1], UINT64_MAX, &epoch))
			c->events->on_server(c->arg, s[0], epoch, s[2], s[3]);
		break;
	case PACKET_PROMOTE:
		if (read_strings(p, s) == 2)
			c->events->on_promote(c->arg, s[0], s[1]);
		break;
	default:
		closed(c);
	}
}

/* The server. */

static struct registry registry;
static struct server *server;
static uint64_t joined[MEMBERS_MAX];

void directory_init(void)
{
	server = registry_server(&registry, BYTES_LIT(SERVER), true);
	memset(joined, 0, sizeof(joined));
}

void directory_fini(void)
{
	registry_fini(&registry);
	registry = (struct registry){ 0 };
}

static void tell_server(int to)
{
	struct packet p = { .kind = PACKET_SERVER, .conn = joined[to] };
	struct buffer epoch = { 0 };

	if (joined[to] == 0 || server->epoch == 0)
		return;
	buffer_add_u64(&epoch, server->epoch);
	add_string(&p.data, bytes_of(server->name));
	add_string(&p.data, buffer_bytes(&epoch));
	add_string(&p.data, bytes_of(server->master));
	add_string(&p.data, bytes_of(server->in_sync));
	buffer_fini(&epoch);
	packet_send(ARBITER, to, &p);
}

static void set_reign(const struct reign *r)
{
	struct buffer master = { 0 }, in_sync = { 0 };
	const struct reign copy = { r->epoch, (buffer_add(&master, r->master), buffer_bytes(&master)),
		                    (buffer_add(&in_sync, r->in_sync), buffer_bytes(&in_sync)) };

	server_set_reign(server, &copy);
	buffer_fini(&master);
	buffer_fini(&in_sync);
	tell("directory: epoch %llu, master %s, in-sync {%s}", (unsigned long long)server->epoch, server->master, server->in_sync);
	for (int i = 0; i < (int)w.count; i++)
		tell_server(i);
}

static void answer(const struct packet *to, enum mupdate_outcome outcome, const char *text)
{
	struct packet p = { .kind = PACKET_ANSWER, .conn = to->conn, .id = to->id, .outcome = (int)outcome };

	buffer_add_str(&p.data, text);
	packet_send(ARBITER, to->from, &p);
}

static void take_join(const struct packet *p, const struct bytes *s)
{
	struct member *m = server_member(server, s[2], true);
	struct packet old = { .kind = PACKET_CLOSED, .conn = joined[p->from] };
	struct reign first;

	if (old.conn != 0 && old.conn != p->conn)
		packet_send(ARBITER, p->from, &old);
	joined[p->from] = p->conn;
	m->session = p->conn;
	(void)bytes_to_u64(s[7], UINT64_MAX, &m->claim_epoch);
	registry_set(&m->claim_master, s[8]);
	registry_set(&m->claim_in_sync, s[9]);
	tell_server(p->from);
	answer(p, MUPDATE_OUTCOME_OK, "joined");
	if (server->epoch == 0 && server_first_reign(server, &first))
		set_reign(&first);
}

static void take_reign(const struct packet *p, const struct bytes *s)
{
	const struct reign now = { server->epoch, bytes_of(server->master), bytes_of(server->in_sync) };
	struct reign next = { server->epoch + 1, s[3], s[4] };
	const char *refusal;
	uint64_t asked;

	(void)bytes_to_u64(s[2], UINT64_MAX, &asked);
	refusal = reign_refusal(&now, bytes_of(node_names[p->from]), asked, s[3], s[4]);
	if (refusal == NULL || w.lie == LIE_ARBITER) {
		set_reign(&next);
		answer(p, MUPDATE_OUTCOME_OK, "granted");
	} else {
		tell("directory: %s is refused: %s", node_names[p->from], refusal);
		tell_server(p->from);
		answer(p, MUPDATE_OUTCOME_NO, refusal);
	}
}

void directory_take(struct packet *p)
{
	struct bytes s[STRINGS_MAX];
	size_t count;

	if (!w.is_directory_up) {
		struct packet closed_p = { .kind = PACKET_CLOSED, .conn = p->conn };

		if (p->kind != PACKET_CLOSED)
			packet_send(ARBITER, p->from, &closed_p);
	} else if (p->kind == PACKET_HELLO) {
		struct packet ready = { .kind = PACKET_READY, .conn = p->conn };

		packet_send(ARBITER, p->from, &ready);
	} else if (p->kind == PACKET_CLOSED) {
		if (joined[p->from] == p->conn) {
			joined[p->from] = 0;
			server_member(server, bytes_of(node_names[p->from]), true)->session = 0;
		}
	} else {
		count = read_strings(p, s);
		if (count == 10 && bytes_equal_str(s[0], "XJOIN"))
			take_join(p, s);
		else if (count == 5 && bytes_equal_str(s[0], "XREIGN"))
			take_reign(p, s);
		else
			answer(p, MUPDATE_OUTCOME_OK, "done");
	}
}

void directory_down(uint64_t until)
{
	if (!w.is_directory_up)
		return;
	w.is_directory_up = false;
	w.directory_up_at = until;
	tell("directory: down");
	for (int i = 0; i < (int)w.count; i++) {
		struct packet p = { .kind = PACKET_CLOSED, .conn = joined[i] };

		if (p.conn != 0)
			packet_send(ARBITER, i, &p);
		joined[i] = 0;
		server_member(server, bytes_of(node_names[i]), true)->session = 0;
	}
}

void directory_promote(int to)
{
	struct packet p = { .kind = PACKET_PROMOTE };

	if (server->epoch == 0 || joined[directory_master()] == 0)
		return;
	p.conn = joined[directory_master()];
	add_string(&p.data, bytes_of(server->name));
	add_string(&p.data, bytes_of(node_names[to]));
	packet_send(ARBITER, directory_master(), &p);
}

int directory_master(void)
{
	return server->epoch == 0 ? 0 : server->master[0] - 'a';
}

bool directory_in_sync(int member)
{
	return reign_has_member(bytes_of(server->in_sync), bytes_of(node_names[member]));
}

bool directory_all_in_sync(void)
{
	for (int i = 0; i < (int)w.count; i++) {
		if (!directory_in_sync(i))
			return false;
	}
	return true;
}
