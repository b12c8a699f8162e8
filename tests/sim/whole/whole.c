/* whole.c - runs schedules of faults over whole members by seed, and checks the promises after every step.
 *
 * With --async first: in asynchronous mode.
 * usage: whole [--seeds A..B | --random COUNT]  run these; tell of the first three that fail, with their traces
 *        whole --seed N                         the trace of one
 *        whole --lies                           what the world itself does wrong must be found */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "driver_private.h"
#include "whole.h"

#define FAULTS_FOR (5 * SECOND)
#define ACCEPT_BEACONS 250
#define CONVERGE_BEACONS 500
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

bool member_is_unseen(const struct whole_member *m)
{
	return m->is_ghost || m->disk.has_image;
}

/* The network, as that of tests/sim. */

void packet_send(int from, int to, struct packet *p)
{
	struct packet *copy, **at = &w.to[to];
	uint64_t delay = 50 + chance(400);

	if (from < MEMBERS_MAX && member_is_unseen(&w.members[from]) && (p->kind != PACKET_CLOSED || w.members[from].is_ghost)) {
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

/* There is no search index here that would have to forget. */
static void on_replaced(void *arg)
{
	(void)arg;
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

static void member_start(struct whole_member *m)
{
	static const struct driver_events events = { .on_serving = on_serving, .on_changes = on_changes, .on_replaced = on_replaced };
	const struct store_options so = { .dir = m->disk.dir, .map_size = 16u << 20, .segment_size = 48u << 10 };
	struct driver_options o = { .config = m->config, .imap_address = "i", .lmtp_address = "l", .admin_address = "h", .pop3_address = "",
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
	if (!member_is_unseen(m))
		check_new(m);
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
	if (!member_is_unseen(m))
		check_new(m);
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
		writer_take_write(m, p);
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
				writer_take_result(p);
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
	writers_run();
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
		if (w.now >= look_at && check_at_rest()) {
			look_at = w.now + 100 * MS;
			if (!w.is_async || check_all_there()) {
				check_dumps();
				return;
			}
		}
		if (w.now > healed_at + CONVERGE_BEACONS * BEACON) {
			check_tell_state();
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
