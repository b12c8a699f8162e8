/* sim.c - runs schedules of faults by seed, and checks the promises.
 *
 * usage: sim [--async] [--seeds A..B] [--trace SEED] [--bugs]
 * --async: in asynchronous mode.
 * --bugs: each planted bug must be found within the seeds; else a failing seed is told with its trace. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define STEP (200ull) /* microseconds */
#define FAULTS_FOR (12 * SECOND)
#define HEAL_WITHIN (20 * SECOND)

static void wake(struct sim *s)
{
	if (!s->is_arbiter_up && s->arbiter_up_at <= s->now) {
		s->is_arbiter_up = true;
		sim_trace(s, "arbiter: up");
	}
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		if (!m->is_alive && m->restart_at <= s->now)
			member_start(m);
	}
}

/* To a dead process: the other end hears that it is gone. */
static void bounce(struct sim *s, int dead, struct packet *p)
{
	const struct packet closed = { .kind = PACKET_CLOSED, .conn = p->conn };

	if (p->from != ARBITER && p->kind != PACKET_CLOSED)
		sim_send(s, dead, p->from, &closed);
	packet_free(p);
}

static void deliver(struct sim *s)
{
	for (int i = 0; i < SIM_NODES; i++) {
		while (s->to[i] != NULL && s->to[i]->at <= s->now) {
			struct packet *p = s->to[i];
			struct member *m = i == ARBITER ? NULL : &s->members[i];

			if (m != NULL && m->is_alive && m->paused_until > s->now)
				break;
			s->to[i] = p->next;
			if (m == NULL)
				sim_arbiter_take(s, p);
			else if (!m->is_alive)
				bounce(s, i, p);
			else
				member_take(m, p);
		}
	}
}

static void cut(struct sim *s, int a, int b, uint64_t for_us)
{
	s->cut_until[a][b] = s->now + for_us;
	sim_trace(s, "network: %d to %d cut for %llu ms", a, b, (unsigned long long)(for_us / MS));
	if (sim_random(s, 2) == 0)
		s->cut_until[b][a] = s->now + for_us;
}

static void break_link(struct sim *s, int a, int b)
{
	uint64_t conn = s->members[a].links[b].conn;
	const struct packet closed = { .kind = PACKET_CLOSED, .conn = conn };

	if (conn == 0)
		return;
	sim_trace(s, "network: the connection of %d and %d breaks", a, b);
	sim_send(s, a, b, &closed);
	sim_send(s, b, a, &closed);
}

static void promote(struct sim *s)
{
	const struct packet p = { .kind = PACKET_PROMOTE, .conn = s->epoch == 0 ? 0 : s->joined[s->master],
		                  .master = (int)sim_random(s, s->count) };

	if (p.conn != 0)
		sim_send(s, ARBITER, s->master, &p);
}

static void fault(struct sim *s)
{
	int a = (int)sim_random(s, s->count), b = (int)sim_random(s, SIM_NODES);
	struct member *m = &s->members[a];
	uint64_t kind = sim_random(s, 20);

	if (b != ARBITER && (b >= (int)s->count || b == a))
		b = ARBITER;
	if (kind < 3 && m->is_alive) {
		member_crash(m, sim_random(s, 2) == 0);
		m->restart_at = s->now + sim_random(s, sim_random(s, 2) == 0 ? 100 * MS : 4 * SECOND);
	} else if (kind < 6 && m->is_alive) {
		m->paused_until = s->now + sim_random(s, 3 * SECOND);
		sim_trace(s, "%d: is stopped for %llu ms", a, (unsigned long long)((m->paused_until - s->now) / MS));
	} else if (kind < 10) {
		cut(s, a, b, sim_random(s, 3 * SECOND));
	} else if (kind < 12 && b != ARBITER) {
		break_link(s, a, b);
	} else if (kind < 15) {
		promote(s);
	} else if (kind < 17) {
		m->slow_until = s->now + sim_random(s, 3 * SECOND);
	} else if (kind < 18 && s->is_arbiter_up) {
		sim_arbiter_down(s, s->now + sim_random(s, 3 * SECOND));
	}
}

static void heal(struct sim *s)
{
	sim_trace(s, "all faults end");
	memset(s->cut_until, 0, sizeof(s->cut_until));
	for (size_t i = 0; i < s->count; i++) {
		s->members[i].paused_until = s->members[i].slow_until = 0;
		if (!s->members[i].is_alive)
			s->members[i].restart_at = s->now;
	}
	s->arbiter_up_at = s->now;
}

static void advance(struct sim *s)
{
	s->now += STEP;
	wake(s);
	deliver(s);
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		if (m->is_alive && m->paused_until <= s->now)
			member_run(m);
	}
	check_all(s);
}

/* What everybody holds, for the trace. */
static void trace_state(struct sim *s)
{
	sim_trace(s, "arbiter: epoch %llu master %d in-sync %x", (unsigned long long)s->epoch, s->master, s->in_sync);
	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		sim_trace(s, "%zu: last %llu durable %llu applied %llu; role %d epoch %llu master %d; acts %d joined %d", i,
		          (unsigned long long)m->last, (unsigned long long)m->durable, (unsigned long long)m->applied,
		          m->is_alive ? (int)replica_role(m->core) : -1, m->is_alive ? (unsigned long long)replica_epoch(m->core) : 0,
		          m->is_alive ? replica_master(m->core) : -1, member_acts(m), m->is_joined);
	}
}

static void story(struct sim *s)
{
	uint64_t healed_at = 0, acked_then = 0;
	uint64_t next_fault = 500 * MS, next_write = 0;

	while (s->problem[0] == '\0') {
		advance(s);
		if (s->now >= next_write) {
			struct member *m = &s->members[sim_random(s, s->count)];

			if (m->is_alive && m->paused_until <= s->now)
				member_write(m, 1 + (unsigned)sim_random(s, 3));
			next_write = s->now + sim_random(s, 8 * MS);
		}
		if (healed_at == 0 && s->now >= FAULTS_FOR) {
			heal(s);
			healed_at = s->now;
			acked_then = s->acked_count;
		} else if (healed_at == 0 && s->now >= next_fault) {
			fault(s);
			next_fault = s->now + sim_random(s, 400 * MS);
		}
		if (healed_at == 0)
			continue;
		if (s->acked_count > acked_then) {
			next_write = UINT64_MAX; /* writes are accepted: now let it come to rest */
			if (check_converged(s)) {
				if (s->is_async)
					check_nothing_lost(s);
				return;
			}
		}
		if (s->now > healed_at + HEAL_WITHIN) {
			trace_state(s);
			sim_problem(s, "it does not come to rest: %llu more writes accepted since all faults ended",
			            (unsigned long long)(s->acked_count - acked_then));
		}
	}
}

static void fini(struct sim *s)
{
	for (int i = 0; i < SIM_NODES; i++) {
		while (s->to[i] != NULL) {
			struct packet *p = s->to[i];

			s->to[i] = p->next;
			packet_free(p);
		}
	}
	for (size_t i = 0; i < s->count; i++) {
		if (s->members[i].core != NULL)
			replica_free(&s->members[i].core);
		free(s->members[i].journal);
	}
	free(s->agreed);
	free(s->acked);
	free(s->saved);
}

/* True: no promise was broken. WRITES_R (NULL allowed) is added to. */
static bool run(uint64_t seed, enum sim_bug bug, bool is_async, FILE *trace, uint64_t *writes_r)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool ok;

	if (s == NULL)
		abort();
	s->seed = seed;
	s->random = seed * 0x9e3779b97f4a7c15ull + 1;
	s->bug = bug;
	s->is_async = is_async;
	s->trace = trace;
	s->count = 2 + sim_random(s, 3) / 2;
	s->is_arbiter_up = true;
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		m->sim = s;
		m->self = (int)i;
		m->rate = 0.99 + (double)sim_random(s, 2001) / 100000;
		m->offset_ms = 1000 + sim_random(s, 100000);
		member_start(m);
	}
	story(s);
	ok = s->problem[0] == '\0';
	if (!ok && bug == BUG_NONE)
		(void)printf("seed %llu: %s\n", (unsigned long long)seed, s->problem);
	if (writes_r != NULL)
		*writes_r += s->acked_count;
	fini(s);
	free(s);
	return ok;
}

static int find_bugs(uint64_t first, uint64_t last)
{
	static const char *const what[] = { "", "acknowledged before the replica has it", "no wait for the lease", "a reign granted on a stale claim",
		                            "a suffix not dropped" };
	int missed = 0;

	for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
		uint64_t seed = first;

		while (seed <= last && run(seed, (enum sim_bug)bug, false, NULL, NULL))
			seed++;
		if (seed > last) {
			(void)printf("planted bug NOT found: %s\n", what[bug]);
			missed++;
		} else {
			(void)printf("planted bug found at seed %llu: %s\n", (unsigned long long)seed, what[bug]);
		}
	}
	return missed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	unsigned long long first = 1, last = 4000, traced;
	uint64_t writes = 0;
	int failed = 0;
	bool is_async = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && sscanf(argv[i + 1], "%llu..%llu", &first, &last) == 2) {
			i++;
		} else if (strcmp(argv[i], "--trace") == 0 && i + 1 < argc && sscanf(argv[i + 1], "%llu", &traced) == 1) {
			return run(traced, BUG_NONE, is_async, stdout, NULL) ? 0 : 1;
		} else if (strcmp(argv[i], "--async") == 0) {
			is_async = true;
		} else if (strcmp(argv[i], "--bugs") == 0) {
			return find_bugs(1, 2000);
		} else {
			(void)fprintf(stderr, "usage: sim [--async] [--seeds A..B] [--trace SEED] [--bugs]\n");
			return 2;
		}
	}
	for (uint64_t seed = first; seed <= last && failed < 3; seed++) {
		if (!run(seed, BUG_NONE, is_async, NULL, &writes)) {
			failed++;
			(void)run(seed, BUG_NONE, is_async, stdout, NULL);
		}
	}
	(void)printf("%llu schedules, %llu writes acknowledged, %d failed\n", last - first + 1, (unsigned long long)writes, failed);
	return failed == 0 ? 0 : 1;
}
