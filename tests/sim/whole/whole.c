/* whole.c - runs schedules of faults over whole members by seed, and checks the promises after every step.
 *
 * With --async first: in asynchronous mode.
 * usage: whole [--seeds A..B | --random COUNT]  run these; tell of the first three that fail, with their traces
 *        whole --seed N                         the trace of one
 *        whole --lies                           what the world itself does wrong must be found */
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "driver_private.h"
#include "entry.h"
#include "file.h"
#include "store_tool.h"
#include "whole.h"

#define MAILBOX "user.fred"
#define OTHER "user.fred.other"
#define FAULTS_FOR (5 * SECOND)
#define ACCEPT_BEACONS 250
#define CONVERGE_BEACONS 500
#define PATIENCE SECOND
/* What the world does wrong is looked for in so many seeds. */
#define LIE_SEEDS 500

struct world w;
const char *const node_names[NODES] = { "a", "b", "c", "directory", "clients" };

uint64_t chance(uint64_t below)
{
	w.random ^= w.random >> 12;
	w.random ^= w.random << 25;
	w.random ^= w.random >> 27;
	return (w.random * 2685821657736338717ull >> 20) % below;
}

void tell(const char *fmt, ...)
{
	va_list ap;

	if (w.trace == NULL)
		return;
	(void)fprintf(w.trace, "%10.3f ms  ", (double)w.now / 1000);
	va_start(ap, fmt);
	(void)vfprintf(w.trace, fmt, ap);
	va_end(ap);
	(void)fputc('\n', w.trace);
}

void problem(const char *fmt, ...)
{
	va_list ap;

	if (w.problem[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(w.problem, sizeof(w.problem), fmt, ap);
	va_end(ap);
	tell("PROBLEM: %s", w.problem);
}

/* It has crashed: what it does until it is buried happens nowhere. */
static bool is_unseen(const struct whole_member *m)
{
	return m->is_ghost || m->disk.has_image;
}

/* The network, as that of tests/sim. */

void packet_send(int from, int to, struct packet *p)
{
	struct packet *copy, **at = &w.to[to];
	uint64_t delay = 50 + chance(400);

	if (from < MEMBERS_MAX && is_unseen(&w.members[from]) && (p->kind != PACKET_CLOSED || w.members[from].is_ghost)) {
		buffer_fini(&p->data);
		return;
	}
	if (chance(50) == 0)
		delay += chance(60 * MS);
	if (chance(2000) == 0)
		delay += 200 * MS + chance(400 * MS);
	copy = must_alloc(sizeof(*copy));
	*copy = *p;
	copy->from = from;
	copy->at = w.now + delay;
	if (w.cut_until[from][to] > w.now)
		copy->at = w.cut_until[from][to] + delay;
	for (const struct packet *q = w.to[to]; q != NULL; q = q->next) {
		if (q->conn == p->conn && q->from == from && q->at >= copy->at)
			copy->at = q->at + 1;
	}
	while (*at != NULL && (*at)->at <= copy->at)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
}

static void packet_free(struct packet *p)
{
	buffer_fini(&p->data);
	free(p);
}

/* Members. */

static void on_serving(void *arg, bool may_serve)
{
	(void)arg;
	(void)may_serve;
}

static void on_changes(void *arg, const struct store_changes *changes)
{
	(void)arg;
	(void)changes;
}

static struct config *make_config(const struct whole_member *m)
{
	struct buffer text = { 0 };
	struct fault why;
	struct config *c;

	buffer_addf(&text, "servername: backenda\nmember: %s\nlease_ms: %d\nsync_listen: x\nmupdate_authname: backenda\n"
	                   "mupdate_password: x\nmupdate_server: x\njournal_checkpoint: 64K\nsync_mode: %s\npartition-default: %s\n"
	                   "sync_peers:", node_names[m->self], LEASE_MS, w.is_async ? "async" : "sync", m->disk.dir);
	for (size_t i = 0; i < w.count; i++)
		buffer_addf(&text, " %s=%s:1", node_names[i], node_names[i]);
	buffer_addf(&text, "\n");
	c = config_parse(buffer_bytes(&text), "sim.conf", &why);
	if (c == NULL) {
		(void)fprintf(stderr, "%s\n", why.what);
		abort();
	}
	buffer_fini(&text);
	return c;
}

static void settle_end(struct whole_member *m);
static void compare_new(struct whole_member *m);

static void member_start(struct whole_member *m)
{
	static const struct driver_events events = { .on_serving = on_serving, .on_changes = on_changes };
	const struct store_options so = { .dir = m->disk.dir, .map_size = 16u << 20, .segment_size = 48u << 10 };
	struct driver_options o = { .config = m->config, .imap_address = "i", .lmtp_address = "l", .admin_address = "h",
		                    .events = &events };
	struct fault why;

	m->restart_at = w.now + 200 * MS + chance(SECOND);
	m->is_ghost = m->wants_end = m->was_acting = false;
	m->ghost_ms = 0;
	m->paused_until = 0;
	m->life++;
	m->loop = (struct loop){ .m = m };
	list_init(&m->loop.posts);
	w.current = m;
	m->store = store_open(&so, &why);
	if (m->store == NULL) {
		/* A disk that refuses is a fault of ours; anything else must not be. */
		if (!m->disk.has_image && m->disk.full_until <= w.now && m->disk.fail_until <= w.now)
			problem("%s does not start: %s", node_names[m->self], why.what);
		tell("%s: does not start: %s", node_names[m->self], why.what);
		if (m->disk.has_image)
			disk_restore(m);
		w.current = NULL;
		return;
	}
	tell("%s: starts with %llu entries, %llu applied", node_names[m->self], (unsigned long long)store_last_lsn(m->store),
	     (unsigned long long)store_applied_lsn(m->store));
	if (!w.is_async && !m->disk.has_image && directory_in_sync(m->self) && store_last_lsn(m->store) < w.acked_last)
		problem("%s is in the in-sync set and starts with %llu entries, %llu were acknowledged", node_names[m->self],
		        (unsigned long long)store_last_lsn(m->store), (unsigned long long)w.acked_last);
	m->checked = 0;
	m->is_starting = true;
	o.store = m->store;
	m->driver = driver_start(&o, &why);
	m->is_starting = false;
	if (m->driver == NULL) {
		(void)fprintf(stderr, "%s\n", why.what);
		abort();
	}
	m->is_alive = true;
	if (!is_unseen(m))
		compare_new(m);
	w.current = NULL;
	settle_end(m);
}

/* The process is gone; take it apart where nobody sees it. */
static void bury(struct whole_member *m)
{
	w.current = m;
	m->is_ghost = true;
	if (m->driver != NULL)
		driver_stop(&m->driver);
	net_settle(m);
	net_clear(m);
	store_close(&m->store);
	w.current = NULL;
	m->is_alive = m->is_stopping = m->wants_end = m->is_ghost = false;
	if (m->disk.has_image)
		disk_restore(m);
}

static void member_crash(struct whole_member *m, bool is_power)
{
	w.current = m;
	disk_crash(m, is_power);
	w.current = NULL;
	if (!m->is_alive) {
		disk_restore(m);
		return;
	}
	settle_end(m);
}

static void member_stop(struct whole_member *m)
{
	struct driver *d = m->driver;

	if (!m->is_alive || m->is_stopping)
		return;
	tell("%s: is stopped in order", node_names[m->self]);
	m->is_stopping = true;
	w.current = m;
	driver_stop(&d); /* the world goes on meanwhile, and asks it */
	m->driver = NULL;
	w.current = NULL;
	m->restart_at = w.now + chance(SECOND);
	bury(m);
}

/* After each turn of a member: it may have come to its end. */
static void settle_end(struct whole_member *m)
{
	if (!m->is_alive || !m->wants_end || m->is_ghost)
		return;
	/* Its own SIGTERM; what it would still do in order is no more than what a crash leaves undone. */
	w.current = m;
	disk_crash(m, false);
	w.current = NULL;
	if (chance(4) != 0 || m->disk.boots == 0) {
		net_close_all(m);
		directory_client_close(m);
	}
	m->restart_at = w.now + chance(2 * SECOND);
	m->is_ghost = true;
	/* One that is being stopped in order is buried by whoever stops it. */
	if (!m->is_stopping)
		bury(m);
}

/* Checks. */

static void know_op(uint64_t op)
{
	uint64_t cap = op * 2 + 64;

	if (op < w.op_cap)
		return;
	w.lsn_of_op = must_realloc(w.lsn_of_op, cap, sizeof(*w.lsn_of_op));
	w.is_acked = must_realloc(w.is_acked, cap, sizeof(*w.is_acked));
	memset(w.lsn_of_op + w.op_cap, 0, (cap - w.op_cap) * sizeof(*w.lsn_of_op));
	memset(w.is_acked + w.op_cap, 0, (cap - w.op_cap) * sizeof(*w.is_acked));
	w.op_cap = cap;
}

static void note_op(const struct whole_member *m, struct bytes raw, uint64_t lsn)
{
	const char *at = memmem(raw.p, raw.n, "operation-", 10);
	uint64_t op;

	if (at == NULL)
		return;
	op = strtoull(at + 10, NULL, 10);
	know_op(op);
	if (w.lsn_of_op[op] != 0 && w.lsn_of_op[op] != lsn && !w.is_async)
		problem("%s commits operation %llu as entry %llu, and it was committed as %llu", node_names[m->self],
		        (unsigned long long)op, (unsigned long long)lsn, (unsigned long long)w.lsn_of_op[op]);
	w.lsn_of_op[op] = lsn;
}

static void compare_entry(const struct whole_member *m, struct bytes raw, uint64_t lsn)
{
	uint64_t hash = entry_hash(raw);

	if (lsn + 1 > w.agreed_cap) {
		w.agreed_cap = lsn * 2 + 64;
		w.agreed = must_realloc(w.agreed, w.agreed_cap, sizeof(*w.agreed));
	}
	/* Asynchronous: another member may have gone on without it. What is lasting shows at rest. */
	if (lsn > w.agreed_last || w.is_async) {
		w.agreed[lsn] = hash;
		w.agreed_last = lsn > w.agreed_last ? lsn : w.agreed_last;
		note_op(m, raw, lsn);
	} else if (w.agreed[lsn] != hash) {
		problem("%s commits another entry %llu than was committed", node_names[m->self], (unsigned long long)lsn);
	}
}

/* What M has applied since the last look is what everybody has. */
static void compare_new(struct whole_member *m)
{
	struct buffer raw = { 0 };
	struct fault why;

	/* What it had was put aside, or a copy took its place. */
	if (m->checked > store_applied_lsn(m->store))
		m->checked = store_applied_lsn(m->store);
	if (m->checked + 1 < store_first_lsn(m->store))
		m->checked = store_first_lsn(m->store) - 1;
	while (m->checked < store_applied_lsn(m->store)) {
		struct bytes rest;
		uint64_t n;
		lsn_t last, lsn;
		epoch_t epoch;

		buffer_clear(&raw);
		if (store_read_entries(m->store, m->checked + 1, 65536, &raw, &last, &why) != STORE_OK || last == m->checked) {
			problem("%s: entry %llu cannot be read: %s", node_names[m->self], (unsigned long long)m->checked + 1, why.what);
			break;
		}
		for (rest = buffer_bytes(&raw); rest.n > 0; rest = bytes_from(rest, (size_t)n)) {
			if (!store_entry_peek(rest, &lsn, &epoch, &n))
				break;
			if (lsn > store_applied_lsn(m->store))
				break;
			compare_entry(m, bytes_sub(rest, 0, (size_t)n), lsn);
			m->checked = lsn;
		}
	}
	buffer_fini(&raw);
}

static bool acts(struct whole_member *m)
{
	bool yes;

	if (!m->is_alive || is_unseen(m) || m->driver == NULL)
		return false;
	w.current = m;
	yes = driver_may_serve(m->driver);
	w.current = NULL;
	return yes;
}

static void check_all(void)
{
	int acting = -1;

	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!acts(m)) {
			m->was_acting = false;
			continue;
		}
		if (acting >= 0)
			problem("two masters at once: %s and %s", node_names[acting], node_names[i]);
		acting = (int)i;
		if (store_applied_lsn(m->store) < w.acked_last && !w.is_async)
			problem("%s acts, and its readers do not see acknowledged entry %llu", node_names[i],
			        (unsigned long long)w.acked_last);
		if (!m->was_acting)
			tell("%s: acts with %llu entries", node_names[i], (unsigned long long)store_last_lsn(m->store));
		m->was_acting = true;
	}
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!w.is_async && m->is_alive && !is_unseen(m) && directory_in_sync((int)i) && store_durable_lsn(m->store) < w.acked_last)
			problem("%s is in the in-sync set, and acknowledged entry %llu is not on its disk", node_names[i],
			        (unsigned long long)w.acked_last);
	}
}

static void check_answer(const struct whole_member *m, uint64_t op)
{
	/* One that is closing serves nobody any more, but may still say what is committed under its lease. */
	if (!replica_may_act(m->driver->core, member_ms(m)))
		problem("%s answers operation %llu, and does not act", node_names[m->self], (unsigned long long)op);
}

static void check_ack(struct whole_member *m, uint64_t op, uint64_t lsn)
{
	check_answer(m, op);
	compare_new(m);
	if (op >= w.op_cap || w.lsn_of_op[op] == 0)
		problem("%s answers operation %llu, which is nowhere", node_names[m->self], (unsigned long long)op);
	know_op(op);
	w.is_acked[op] = true;
	w.acked++;
	if (lsn > w.acked_last)
		w.acked_last = lsn;
}

/* Writers. */

struct delivery {
	struct driver_request request;
	struct whole_member *m;
	uint64_t conn, op;
	enum write_kind kind;
	struct arena arena;
	struct intent intent;
	struct append_target target;
	struct uid_range uids;
	struct rename_pair pair;
};

static void delivered(void *arg)
{
	struct delivery *d = arg;
	enum store_result result = d->request.answer.result;
	struct packet p = { .kind = PACKET_RESULT, .conn = d->conn, .id = d->op, .outcome = (int)result };

	if (!is_unseen(d->m)) {
		if (result == STORE_OK && d->kind == WRITE_APPEND) {
			w.mailbox = d->target.mailbox_id;
			w.uid = d->target.uid > w.uid ? d->target.uid : w.uid;
			check_ack(d->m, d->op, d->op < w.op_cap ? w.lsn_of_op[d->op] : 0);
		} else if (result == STORE_OK) {
			check_answer(d->m, d->op);
		}
		packet_send(d->m->self, CLIENTS, &p);
	}
	arena_fini(&d->arena);
	free(d);
}

static struct intent append_intent(struct delivery *d)
{
	size_t n = 16 + (size_t)chance(chance(8) == 0 ? 6000 : 300);
	char *body = arena_alloc(&d->arena, n + 64);
	int head = snprintf(body, 64, "operation-%llu;", (unsigned long long)d->op);

	for (size_t i = 0; i < n; i++)
		body[head + (int)i] = (char)('a' + (d->op * 31 + i) % 26);
	d->target = (struct append_target){ .mailbox = BYTES_LIT(MAILBOX), .internaldate = 1000 };
	return (struct intent){ .op = INTENT_APPEND,
		                .append = { &d->target, 1, bytes_make(body, (size_t)head), bytes_make(body, (size_t)head + n),
		                            BYTES_NONE } };
}

static struct intent intent_of(struct delivery *d)
{
	const struct bytes acl = BYTES_LIT("fred\tlrs\t"), other = BYTES_LIT(OTHER), third = BYTES_LIT(OTHER "2");
	uint32_t uid = 1 + (uint32_t)chance(w.uid + 1);

	d->uids = (struct uid_range){ uid, uid + (uint32_t)chance(3) };
	switch (d->kind) {
	case WRITE_CREATE:
		return (struct intent){ .op = INTENT_CREATE, .create = { BYTES_LIT(MAILBOX), acl, BYTES_LIT("default") } };
	case WRITE_FLAGS:
		return (struct intent){ .op = INTENT_STORE,
			                .store = { .mailbox = w.mailbox, .uids = &d->uids, .uid_count = 1, .how = INTENT_FLAGS_REPLACE,
			                           .flags = (uint32_t)chance(16) } };
	case WRITE_EXPUNGE:
		return (struct intent){ .op = INTENT_EXPUNGE, .expunge = { w.mailbox, &d->uids, 1, false, false } };
	case WRITE_COPY:
		return (struct intent){ .op = chance(2) == 0 ? INTENT_COPY : INTENT_MOVE, .copy = { w.mailbox, &d->uids, 1, other } };
	case WRITE_OTHER_CREATE:
		return (struct intent){ .op = INTENT_CREATE, .create = { other, acl, BYTES_LIT("default") } };
	case WRITE_OTHER_DELETE:
		return (struct intent){ .op = INTENT_DELETE, .delete = { chance(2) == 0 ? other : third } };
	case WRITE_OTHER_RENAME:
		d->pair = (struct rename_pair){ other, third };
		return (struct intent){ .op = INTENT_RENAME, .rename = { &d->pair, 1 } };
	default:
		return append_intent(d);
	}
}

static void take_write(struct whole_member *m, const struct packet *p)
{
	struct delivery *d = must_calloc(1, sizeof(*d));

	d->m = m;
	d->conn = p->conn;
	d->op = p->id;
	d->kind = (enum write_kind)p->outcome;
	d->intent = intent_of(d);
	d->request = (struct driver_request){ .intent = &d->intent, .arena = &d->arena, .done = delivered, .arg = d };
	driver_submit(m->driver, &d->request);
}

/* Something that nobody waits for, so that the index sees more than messages that come. */
static void write_by_the_way(int to)
{
	struct packet p = { .kind = PACKET_WRITE, .conn = ++w.conns,
		            .outcome = WRITE_FLAGS + (int)chance(WRITE_KINDS - WRITE_FLAGS) };

	/* What was removed again is not salvaged: in asynchronous mode nothing is removed, so that all has to be found. */
	if (w.mailbox != 0 && !w.is_async)
		packet_send(CLIENTS, to, &p);
}

static void writer_submit(struct writer *r, bool creates)
{
	struct packet p = { .kind = PACKET_WRITE, .conn = ++w.conns, .id = r->op,
		            .outcome = creates ? WRITE_CREATE : WRITE_APPEND };

	r->to = chance(8) != 0 ? directory_master() : (int)chance(w.count);
	r->conn = p.conn;
	r->give_up_at = w.now + PATIENCE;
	packet_send(CLIENTS, r->to, &p);
}

static uint64_t writer_due(const struct writer *r)
{
	if (r->conn != 0)
		return r->give_up_at;
	return r->op == 0 && w.writers_rest ? NEVER : r->next_at;
}

static void run_writers(void)
{
	for (size_t i = 0; i < WRITERS; i++) {
		struct writer *r = &w.writers[i];

		if (writer_due(r) > w.now)
			continue;
		if (r->conn != 0) {
			r->conn = 0;
			r->next_at = w.now + 5 * MS + chance(50 * MS);
			continue;
		}
		if (r->op == 0) {
			r->op = ++w.ops;
			r->floor = w.acked_last;
		}
		writer_submit(r, false);
	}
}

static void take_result(const struct packet *p)
{
	struct writer *r = NULL;

	for (size_t i = 0; i < WRITERS; i++) {
		if (w.writers[i].conn == p->conn && p->conn != 0)
			r = &w.writers[i];
	}
	if (r == NULL)
		return;
	r->conn = 0;
	r->next_at = w.now + 5 * MS + chance(50 * MS);
	if (p->kind != PACKET_RESULT)
		return;
	if (p->outcome == STORE_NO_MAILBOX) {
		writer_submit(r, true);
	} else if (p->outcome == STORE_OK && r->op < w.op_cap && w.lsn_of_op[r->op] != 0) {
		if (w.lsn_of_op[r->op] <= r->floor && !w.is_async)
			problem("operation %llu stands at %llu, though %llu was acknowledged before it began",
			        (unsigned long long)r->op, (unsigned long long)w.lsn_of_op[r->op], (unsigned long long)r->floor);
		r->op = 0;
		r->next_at = w.now + chance(40 * MS);
		if (chance(2) == 0)
			write_by_the_way(r->to);
	}
}

/* Time. */

static void begin(struct whole_member *m)
{
	w.current = m;
	m->is_running = true;
}

static void finish(struct whole_member *m)
{
	net_settle(m);
	m->is_running = false;
	w.current = NULL;
	if (!is_unseen(m))
		compare_new(m);
	settle_end(m);
	check_all();
}

static void deliver_to(struct whole_member *m, struct packet *p)
{
	struct packet closed = { .kind = PACKET_CLOSED, .conn = p->conn };

	if (!m->is_alive || m->is_ghost) {
		if (p->kind != PACKET_CLOSED)
			packet_send(m->self, p->from, &closed);
		return;
	}
	begin(m);
	if (p->from == ARBITER)
		directory_client_take(m, p);
	else if (p->from == CLIENTS && p->kind == PACKET_WRITE && m->driver != NULL)
		take_write(m, p);
	else if (p->from < MEMBERS_MAX)
		net_take(m, p);
	finish(m);
}

static uint64_t packets_due(int to)
{
	const struct whole_member *m = to < MEMBERS_MAX ? &w.members[to] : NULL;
	uint64_t at = w.to[to] == NULL ? NEVER : w.to[to]->at;

	return m != NULL && m->is_alive && at != NEVER && at < m->paused_until ? m->paused_until : at;
}

static void deliver(void)
{
	for (int to = 0; to < NODES; to++) {
		while (packets_due(to) <= w.now && w.problem[0] == '\0') {
			struct packet *p = w.to[to];

			w.to[to] = p->next;
			if (to == ARBITER)
				directory_take(p);
			else if (to == CLIENTS)
				take_result(p);
			else
				deliver_to(&w.members[to], p);
			packet_free(p);
		}
	}
}

static uint64_t member_due(const struct whole_member *m)
{
	uint64_t due, at;

	if (!m->is_alive)
		return m->restart_at;
	if (m->is_ghost)
		return NEVER;
	due = net_due(m);
	at = threads_due(m);
	due = at < due ? at : due;
	at = directory_client_due(m);
	due = at < due ? at : due;
	return due < m->paused_until ? m->paused_until : due;
}

static void run_member(struct whole_member *m)
{
	begin(m);
	if (threads_due(m) <= w.now)
		threads_run(m, false);
	else if (directory_client_due(m) <= w.now)
		directory_client_run(m);
	else
		net_run(m);
	finish(m);
}

void world_advance(uint64_t limit)
{
	struct whole_member *was = w.current;
	uint64_t next = w.is_directory_up ? NEVER : w.directory_up_at, at;

	w.current = NULL;
	for (int i = 0; i < NODES; i++) {
		at = packets_due(i);
		next = at < next ? at : next;
	}
	for (size_t i = 0; i < w.count; i++) {
		at = member_due(&w.members[i]);
		next = at < next ? at : next;
	}
	for (size_t i = 0; i < WRITERS; i++) {
		at = writer_due(&w.writers[i]);
		next = at < next ? at : next;
	}
	next = next < limit ? next : limit;
	w.now = next > w.now ? next : w.now;
	if (!w.is_directory_up && w.directory_up_at <= w.now) {
		w.is_directory_up = true;
		tell("directory: up");
	}
	deliver();
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (member_due(m) > w.now)
			continue;
		if (m->is_alive)
			run_member(m);
		else if (w.problem[0] == '\0')
			member_start(m);
	}
	run_writers();
	check_all();
	w.current = was;
}

/* A schedule. */

static void fault(void)
{
	int a = (int)chance(w.count), b = (int)chance(w.count + 1);
	struct whole_member *m = &w.members[a];
	uint64_t for_us = chance(3) == 0 ? chance(3 * SECOND) : chance(500 * MS), kind = chance(40);

	b = b == a || b == (int)w.count ? ARBITER : b;
	if (kind < 5) {
		tell("fault: %s comes to its end now", node_names[a]);
		member_crash(m, chance(2) == 0);
	} else if (kind < 14) {
		m->disk.crash_is_power = chance(2) == 0;
		m->disk.crash_in = 1 + chance(12);
		tell("fault: %s comes to its end %llu system calls from now", node_names[a], (unsigned long long)m->disk.crash_in);
	} else if (kind < 16) {
		member_stop(m);
	} else if (kind < 20) {
		tell("fault: %s is stopped for %llu ms", node_names[a], (unsigned long long)(for_us / MS));
		if (w.lie == LIE_CLOCK && m->is_alive)
			m->offset_ms -= for_us / MS < m->offset_ms ? for_us / MS : 0;
		m->paused_until = w.now + for_us;
	} else if (kind < 24) {
		tell("fault: cut between %s and %s for %llu ms", node_names[a], node_names[b], (unsigned long long)(for_us / MS));
		w.cut_until[a][b] = w.now + for_us;
		if (chance(2) == 0)
			w.cut_until[b][a] = w.now + for_us;
	} else if (kind < 27 && b != ARBITER) {
		net_break(a, b);
	} else if (kind < 31) {
		directory_promote(a);
	} else if (kind < 34) {
		m->disk.slow_until = w.now + for_us;
	} else if (kind < 36) {
		tell("fault: the disk of %s is full for %llu ms", node_names[a], (unsigned long long)(for_us / MS));
		m->disk.full_until = w.now + for_us;
	} else if (kind < 38) {
		tell("fault: syncs of %s fail for %llu ms", node_names[a], (unsigned long long)(for_us / MS));
		m->disk.fail_until = w.now + for_us;
	} else {
		directory_down(w.now + for_us);
	}
}

static void heal(void)
{
	tell("all faults end");
	memset(w.cut_until, 0, sizeof(w.cut_until));
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		m->disk.slow_until = m->disk.full_until = m->disk.fail_until = m->disk.crash_in = 0;
		m->paused_until = 0;
		if (!m->is_alive)
			m->restart_at = w.now;
	}
	w.directory_up_at = w.now;
	for (int to = 0; to < NODES; to++) {
		for (struct packet *p = w.to[to]; p != NULL; p = p->next)
			p->at = p->at > w.now + 400 * MS ? w.now + 400 * MS : p->at;
	}
}

static bool is_at_rest(void)
{
	bool has_master = false;

	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!m->is_alive || m->is_ghost || store_last_lsn(m->store) != store_last_lsn(w.members[0].store) ||
		    store_applied_lsn(m->store) != store_last_lsn(m->store))
			return false;
		has_master = has_master || acts(m);
	}
	return has_master && directory_all_in_sync();
}

/* What everybody holds, for the trace. */
static void tell_state(void)
{
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!m->is_alive || is_unseen(m)) {
			tell("%s: down", node_names[i]);
			continue;
		}
		tell("%s: last %llu, durable %llu, applied %llu; role %d in epoch %llu, committed %llu%s%s", node_names[i],
		     (unsigned long long)store_last_lsn(m->store), (unsigned long long)store_durable_lsn(m->store),
		     (unsigned long long)store_applied_lsn(m->store), (int)replica_role(m->driver->core),
		     (unsigned long long)replica_epoch(m->driver->core), (unsigned long long)replica_committed(m->driver->core),
		     acts(m) ? ", acts" : "", directory_in_sync((int)i) ? ", in sync" : "");
	}
}

/* Master and replica are the same, octet by octet. */
static void compare_dumps(void)
{
	char *first = NULL;

	for (size_t i = 0; i < w.count; i++) {
		char *text = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&text, &n);
		struct fault why;

		w.current = &w.members[i];
		if (!store_dump_open(w.members[i].store, f, &why))
			problem("%s cannot be dumped: %s", node_names[i], why.what);
		w.current = NULL;
		(void)fclose(f);
		if (first != NULL && strcmp(first, text) != 0)
			problem("the dumps of a and %s differ", node_names[i]);
		if (first == NULL)
			first = text;
		else
			free(text);
	}
	free(first);
}

/* Marks operations whose messages are in the files of a directory. */
static void look_into(const struct whole_member *m, const char *name, bool *is_found)
{
	char *path = must_printf("%s/%s", m->disk.dir, name);
	DIR *d = opendir(path);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *file = must_printf("%s/%s", path, e->d_name);
		struct buffer b = { 0 };
		const char *at;

		if (e->d_name[0] != '.' && file_read_all(file, 64u << 20, &b, NULL, NULL)) {
			for (size_t off = 0; off < b.n && (at = memmem(b.p + off, b.n - off, "operation-", 10)) != NULL;
			     off = (size_t)(at - (const char *)b.p) + 10) {
				uint64_t op = strtoull(at + 10, NULL, 10);

				if (op < w.op_cap)
					is_found[op] = true;
			}
		}
		buffer_fini(&b);
		free(file);
	}
	if (d != NULL)
		(void)closedir(d);
	free(path);
}

/* Asynchronous mode: whether every acknowledged operation is in the journal, or in a member's salvage. Those in the journal are
 * there once. */
static bool is_all_there(void)
{
	bool *is_found = must_calloc(w.op_cap + 1, sizeof(bool));
	bool all = true;
	lsn_t first = 1;

	memset(w.lsn_of_op, 0, w.op_cap * sizeof(*w.lsn_of_op));
	for (size_t i = 0; i < w.count; i++)
		first = store_first_lsn(w.members[i].store) > first ? store_first_lsn(w.members[i].store) : first;
	w.agreed_last = first - 1; /* what all have whole */
	w.is_async = false; /* as strict as in the other mode, for this once */
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		m->checked = first - 1;
		compare_new(m);
		look_into(m, "salvage", is_found);
		look_into(m, "journal", is_found); /* a copy has the bodies, without their entries */
	}
	w.is_async = true;
	for (uint64_t op = 1; op < w.op_cap; op++) {
		if (!w.is_acked[op] || w.lsn_of_op[op] != 0 || is_found[op])
			continue;
		all = false;
		tell("operation %llu is not there yet", (unsigned long long)op);
	}
	free(is_found);
	return all;
}

static void recover(void)
{
	uint64_t healed_at = w.now, acked_then = w.acked, look_at = 0;

	heal();
	while (w.problem[0] == '\0') {
		world_advance(NEVER);
		if (w.acked == acked_then) {
			if (w.now > healed_at + ACCEPT_BEACONS * BEACON)
				problem("no write is accepted within %d beacons after the faults have ended", ACCEPT_BEACONS);
			continue;
		}
		w.writers_rest = true;
		if (w.now >= look_at && is_at_rest()) {
			look_at = w.now + 100 * MS;
			if (!w.is_async || is_all_there()) {
				compare_dumps();
				return;
			}
		}
		if (w.now > healed_at + CONVERGE_BEACONS * BEACON) {
			tell_state();
			problem("the members are not the same within %d beacons after the faults have ended", CONVERGE_BEACONS);
		}
	}
}

static bool is_async;

static void init(uint64_t seed, enum lie lie, FILE *trace)
{
	w = (struct world){ .seed = seed, .random = seed * 0x9e3779b97f4a7c15ull + 1, .lie = lie, .trace = trace,
		            .is_directory_up = true, .is_async = is_async };
	w.count = 2 + chance(3) / 2;
	directory_init();
	for (size_t i = 0; i < WRITERS; i++)
		w.writers[i].next_at = chance(200 * MS);
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		m->self = (int)i;
		m->rate = 0.99 + (double)chance(2001) / 100000;
		m->offset_ms = 1000 + chance(100000);
		disk_init(m);
		m->config = make_config(m);
	}
}

static void fini(void)
{
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (m->is_alive)
			bury(m);
		config_free(&m->config);
		disk_fini(m);
	}
	for (int i = 0; i < NODES; i++) {
		while (w.to[i] != NULL) {
			struct packet *p = w.to[i];

			w.to[i] = p->next;
			packet_free(p);
		}
	}
	directory_fini();
	free(w.agreed);
	free(w.lsn_of_op);
	free(w.is_acked);
}

/* True: no promise was broken. */
static bool run(uint64_t seed, enum lie lie, FILE *trace)
{
	uint64_t next_fault = 300 * MS;
	bool ok;

	init(seed, lie, trace);
	for (size_t i = 0; i < w.count; i++)
		member_start(&w.members[i]);
	next_fault += chance(300 * MS);
	while (w.now < FAULTS_FOR && w.problem[0] == '\0') {
		world_advance(next_fault);
		if (w.now >= next_fault) {
			fault();
			next_fault = w.now + chance(400 * MS);
		}
	}
	if (w.problem[0] == '\0')
		recover();
	ok = w.problem[0] == '\0';
	if (!ok && trace == NULL)
		(void)printf("seed %llu: %s\n", (unsigned long long)seed, w.problem);
	fini();
	return ok;
}

static int find_lies(void)
{
	static const char *const names[LIE_COUNT] = {
		[LIE_FILE_SYNC] = "files are not synced",
		[LIE_DIRECTORY_SYNC] = "directories are not synced",
		[LIE_CLOCK] = "the clock stands still while the process is stopped",
		[LIE_ARBITER] = "the directory grants whatever is asked",
	};
	int missed = 0;

	for (int lie = LIE_NONE + 1; lie < LIE_COUNT; lie++) {
		uint64_t seed = 1;

		while (seed <= LIE_SEEDS && run(seed, (enum lie)lie, NULL))
			seed++;
		missed += seed > LIE_SEEDS;
		(void)printf("%s: %s\n", names[lie], seed > LIE_SEEDS ? "NOT found" : "found");
	}
	return missed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	unsigned long long first = 1, last = 100, count, seed;
	uint64_t acked = 0, failed = 0;
	char *end;

	if (argc > 1 && strcmp(argv[1], "--async") == 0) {
		is_async = true;
		argc--;
		argv++;
	}
	if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
		seed = strtoull(argv[2], NULL, 10);
		return run(seed, LIE_NONE, stdout) ? 0 : 1;
	}
	if (argc == 2 && strcmp(argv[1], "--lies") == 0)
		return find_lies();
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		first = strtoull(argv[2], &end, 10);
		last = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, NULL, 10) : first;
	} else if (argc == 3 && strcmp(argv[1], "--random") == 0) {
		count = strtoull(argv[2], NULL, 10);
		first = (unsigned long long)time(NULL) * 1000000;
		last = first + count - 1;
	} else if (argc != 1) {
		(void)fprintf(stderr, "usage: whole [--async] [--seeds A..B | --random COUNT | --seed N | --lies]\n");
		return 2;
	}
	for (unsigned long long i = first; i <= last && failed < 3; i++) {
		if (!run(i, LIE_NONE, NULL)) {
			failed++;
			(void)run(i, LIE_NONE, stdout);
			(void)printf("to see it again: build/tests/sim/whole%s --seed %llu\n", is_async ? " --async" : "", i);
		}
		acked += w.acked;
	}
	(void)printf("seeds %llu..%llu: %llu operations acknowledged, %llu failed\n", first, last, (unsigned long long)acked,
	             (unsigned long long)failed);
	return failed == 0 ? 0 : 1;
}
