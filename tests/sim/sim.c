/* sim.c - runs schedules of faults by seed, and checks the promises after every step.
 *
 * With --async in asynchronous mode.
 * usage: sim [--seeds A..B] [--quiet]     run these; tell of the first three that fail, with what is needed to see why
 *        sim --seed N [--without I,J,..]  run one and print its trace, without some of its faults
 *        sim --random COUNT               COUNT seeds from a base by the clock, which is printed
 *        sim --bugs                       each planted bug must be found within the seeds
 *        sim --bug I --seed N             the trace of one of them
 *
 * A failing schedule is made small before it is told: faults are left out as long as it still fails. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

/* After the faults have ended: writes are accepted, and all members are in sync and the same, within so many beacons. The
 * longest waits that lie in between are those of the daemons: 5 s until a member tries the directory again, 3 s until a
 * dialled connection is given up, 3 s until one whose disk was full looks again, 2 s until one that hangs is dropped. */
#define ACCEPT_BEACONS 250
#define CONVERGE_BEACONS 500
/* Planted bugs are looked for in so many seeds. */
#define BUG_SEEDS 2000
#define REPORTED_MAX 3

struct result {
	bool is_ok;
	char problem[512];
	uint64_t acked, steps, accepted_after, converged_after;
};

/* To a machine or process that is up, unless it is stopped: it takes nothing then. */
static uint64_t packets_due(const struct sim *s, int to)
{
	const struct member *m = to >= ARBITER ? NULL : &s->members[to];
	uint64_t at = s->to[to] == NULL ? NEVER : s->to[to]->at;

	return m != NULL && m->is_alive && at < m->paused_until ? m->paused_until : at;
}

static void deliver(struct sim *s)
{
	for (int i = 0; i < SIM_NODES; i++) {
		while (s->to[i] != NULL && packets_due(s, i) <= s->now && s->problem[0] == '\0') {
			struct packet *p = s->to[i];

			s->to[i] = p->next;
			if (i == ARBITER)
				sim_arbiter_take(s, p);
			else if (i == CLIENTS)
				client_take(s, p);
			else
				member_take(&s->members[i], p);
			check_all(s);
		}
	}
}

static void run_members(struct sim *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		if (member_due(m) > s->now)
			continue;
		if (m->is_alive)
			member_run(m);
		else
			member_start(m);
		check_all(s);
	}
}

static uint64_t next_time(const struct sim *s)
{
	uint64_t next = faults_due(s), at;

	for (int i = 0; i < SIM_NODES; i++) {
		at = packets_due(s, i);
		next = at < next ? at : next;
	}
	for (size_t i = 0; i < s->count; i++) {
		at = member_due(&s->members[i]);
		next = at < next ? at : next;
	}
	at = client_due(s);
	next = at < next ? at : next;
	if (!s->is_arbiter_up && s->arbiter_up_at < next)
		next = s->arbiter_up_at;
	return next;
}

static void advance(struct sim *s, uint64_t limit)
{
	uint64_t next = next_time(s);

	next = next < limit ? next : limit;
	s->now = next > s->now ? next : s->now;
	if (!s->is_arbiter_up && s->arbiter_up_at <= s->now) {
		s->is_arbiter_up = true;
		sim_trace(s, "arbiter: up");
	}
	faults_run(s);
	/* Whether a woken process first looks at its clock or at its connections is chance. */
	if (sim_random(s, 2) == 0) {
		deliver(s);
		run_members(s);
	} else {
		run_members(s);
		deliver(s);
	}
	client_run(s);
	check_all(s);
}

/* What everybody holds, for the trace. */
static void trace_state(struct sim *s)
{
	char words[8];

	sim_trace(s, "arbiter: epoch %llu, master %s, in-sync {%s}", (unsigned long long)s->epoch, sim_names[s->master],
	          (const char *)sim_words(s->in_sync, words).p);
	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		sim_trace(s, "%s: last %llu, written %llu, safe %llu, applied %llu; %s", sim_names[i],
		          (unsigned long long)m->disk.last, (unsigned long long)m->disk.written, (unsigned long long)m->disk.safe,
		          (unsigned long long)m->applied, m->is_alive ? "" : "down");
		if (m->is_alive)
			sim_trace(s, "%s: role %d in epoch %llu, master %d%s%s", sim_names[i], (int)replica_role(m->core),
			          (unsigned long long)replica_epoch(m->core), replica_master(m->core),
			          member_acts(m) ? ", acts" : "", m->is_joined ? ", joined" : "");
	}
}

/* The faults have ended: it goes on until writes have been accepted again and everybody is the same. */
static void recover(struct sim *s, struct result *r)
{
	uint64_t healed_at = s->now, acked_then = s->acked_count;

	faults_heal(s);
	while (s->problem[0] == '\0') {
		advance(s, NEVER);
		if (s->acked_count == acked_then) {
			if (s->now > healed_at + ACCEPT_BEACONS * BEACON) {
				trace_state(s);
				sim_problem(s, "no write is accepted within %d beacons after the faults have ended", ACCEPT_BEACONS);
			}
			continue;
		}
		if (!s->clients_rest)
			r->accepted_after = s->now - healed_at;
		s->clients_rest = true;
		if (check_converged(s)) {
			r->converged_after = s->now - healed_at;
			if (s->is_async)
				check_nothing_lost(s);
			return;
		}
		if (s->now > healed_at + CONVERGE_BEACONS * BEACON) {
			trace_state(s);
			sim_problem(s, "the members are not the same within %d beacons after the faults have ended", CONVERGE_BEACONS);
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
		free(s->members[i].disk.at);
	}
	free(s->agreed);
	free(s->rows);
}

/* What stands beside the seed: a planted bug, the mode, and faults to leave out. */
struct how {
	enum sim_bug bug;
	bool is_async;
	bool without[SIM_FAULTS_MAX];
};

static void init(struct sim *s, uint64_t seed, const struct how *how)
{
	*s = (struct sim){ .seed = seed, .random = seed * 0x9e3779b97f4a7c15ull + 1, .bug = how->bug,
	                  .is_async = how->is_async };
	s->count = 2 + sim_random(s, 3) / 2;
	faults_make(s);
	for (size_t i = 0; i < s->fault_count; i++)
		s->faults[i].is_left_out = how->without[i];
	s->random = (seed + 1) * 0xd1342543de82ef95ull + 1;
	s->is_arbiter_up = true;
	for (size_t i = 0; i < SIM_CLIENTS; i++)
		s->clients[i].next_at = sim_random(s, SECOND);
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		m->sim = s;
		m->self = (int)i;
		m->rate = 0.99 + (double)sim_random(s, 2001) / 100000;
		m->offset_ms = 1000 + sim_random(s, 100000);
	}
}

static struct result run(uint64_t seed, const struct how *how, FILE *trace)
{
	static struct sim world;
	struct sim *s = &world;
	struct result r = { 0 };

	init(s, seed, how);
	s->trace = trace;
	for (size_t i = 0; i < s->count; i++)
		member_start(&s->members[i]);
	while (s->now < s->faults_until && s->problem[0] == '\0')
		advance(s, s->faults_until);
	if (s->problem[0] == '\0')
		recover(s, &r);
	r.is_ok = s->problem[0] == '\0';
	memcpy(r.problem, s->problem, sizeof(r.problem));
	r.acked = s->acked_count;
	r.steps = s->steps;
	fini(s);
	return r;
}

/* Leave out what is not needed for it to fail: halves first, single faults last. */
static struct how minimise(uint64_t seed, const struct how *how)
{
	struct how best = *how;

	for (size_t piece = SIM_FAULTS_MAX / 2; piece > 0; piece /= 2) {
		for (size_t from = 0; from < SIM_FAULTS_MAX; from += piece) {
			struct how tried = best;

			for (size_t i = from; i < from + piece && i < SIM_FAULTS_MAX; i++)
				tried.without[i] = true;
			if (memcmp(&tried, &best, sizeof(best)) != 0 && !run(seed, &tried, NULL).is_ok)
				best = tried;
		}
	}
	return best;
}

static void print_command(uint64_t seed, const struct how *how)
{
	static struct sim s;
	const char *comma = " --without ";

	init(&s, seed, how);
	(void)printf("tests/sim/run%s --seed %llu", how->is_async ? " --async" : "", (unsigned long long)seed);
	for (size_t i = 0; i < s.fault_count; i++) {
		if (!how->without[i])
			continue;
		(void)printf("%s%zu", comma, i);
		comma = ",";
	}
	(void)printf("\n");
}

static void report(uint64_t seed, const struct how *how, const struct result *r)
{
	const struct how small = minimise(seed, how);

	(void)printf("seed %llu: %s\nits trace, with the faults that it takes:\n", (unsigned long long)seed, r->problem);
	(void)run(seed, &small, stdout);
	(void)printf("to see it again: ");
	print_command(seed, &small);
	(void)printf("with all of its faults: ");
	print_command(seed, how);
	(void)printf("\n");
}

static int run_seeds(uint64_t first, uint64_t last, const struct how *how, bool is_quiet)
{
	struct result sum = { 0 };
	uint64_t failed = 0;

	for (uint64_t seed = first; seed <= last && failed < REPORTED_MAX; seed++) {
		struct result r = run(seed, how, NULL);

		sum.acked += r.acked;
		sum.steps += r.steps;
		sum.accepted_after = r.accepted_after > sum.accepted_after ? r.accepted_after : sum.accepted_after;
		sum.converged_after = r.converged_after > sum.converged_after ? r.converged_after : sum.converged_after;
		if (!r.is_ok) {
			failed++;
			report(seed, how, &r);
		}
		if (!is_quiet && (seed - first) % 10000 == 9999) {
			(void)printf("up to seed %llu: %llu failed\n", (unsigned long long)seed, (unsigned long long)failed);
			(void)fflush(stdout);
		}
	}
	(void)printf("seeds %llu..%llu: %llu steps, %llu operations acknowledged, %llu failed; after the faults the slowest "
	             "accepted writes within %llu beacons and was at rest within %llu\n",
	             (unsigned long long)first, (unsigned long long)last, (unsigned long long)sum.steps,
	             (unsigned long long)sum.acked, (unsigned long long)failed,
	             (unsigned long long)(sum.accepted_after / BEACON + 1), (unsigned long long)(sum.converged_after / BEACON + 1));
	return failed == 0 ? 0 : 1;
}

static int find_bugs(void)
{
	int missed = 0;

	for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
		const struct how how = { .bug = (enum sim_bug)bug, .is_async = bug == BUG_SAVE_NOTHING };
		struct result r = { .is_ok = true };
		uint64_t seed = 0;

		while (seed < BUG_SEEDS && r.is_ok)
			r = run(++seed, &how, NULL);
		missed += r.is_ok;
		if (r.is_ok)
			(void)printf("planted bug %d NOT found in %d seeds: %s\n", bug, BUG_SEEDS, sim_bug_name(how.bug));
		else
			(void)printf("planted bug %d found at seed %llu: %s\n\t%s\n", bug, (unsigned long long)seed,
			             sim_bug_name(how.bug), r.problem);
	}
	return missed == 0 ? 0 : 1;
}

static bool read_number(const char *text, uint64_t *v_r, const char **rest_r)
{
	char *end;

	*v_r = strtoull(text, &end, 10);
	*rest_r = end;
	return end != text;
}

static bool read_range(const char *text, uint64_t *first_r, uint64_t *last_r)
{
	return read_number(text, first_r, &text) && strncmp(text, "..", 2) == 0 && read_number(text + 2, last_r, &text) &&
	       *text == '\0' && *first_r <= *last_r;
}

static bool read_without(const char *text, struct how *how)
{
	uint64_t i;

	for (;;) {
		if (!read_number(text, &i, &text) || i >= SIM_FAULTS_MAX)
			return false;
		how->without[i] = true;
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

static int usage(void)
{
	(void)fprintf(stderr, "usage: sim [--async] [--seeds A..B | --random COUNT] [--quiet]\n"
	                      "       sim [--async] [--bug I] --seed N [--without I,J,..]\n"
	                      "       sim --bugs\n");
	return 2;
}

static int run_one(uint64_t seed, const struct how *how)
{
	struct result r = run(seed, how, stdout);

	(void)printf("seed %llu: %s\n", (unsigned long long)seed, r.is_ok ? "ok" : r.problem);
	return r.is_ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint64_t first = 1, last = 1000, seed = 0, bug = 0, count = 0;
	struct how how = { 0 };
	bool is_quiet = false;
	const char *rest;

	for (int i = 1; i < argc; i++) {
		const char *arg = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--bugs") == 0)
			return find_bugs();
		if (strcmp(argv[i], "--quiet") == 0) {
			is_quiet = true;
			continue;
		}
		if (strcmp(argv[i], "--async") == 0) {
			how.is_async = true;
			continue;
		}
		if (!(strcmp(argv[i], "--seeds") == 0 && read_range(arg, &first, &last)) &&
		    !(strcmp(argv[i], "--seed") == 0 && read_number(arg, &seed, &rest)) &&
		    !(strcmp(argv[i], "--bug") == 0 && read_number(arg, &bug, &rest) && bug < BUG_COUNT) &&
		    !(strcmp(argv[i], "--random") == 0 && read_number(arg, &count, &rest)) &&
		    !(strcmp(argv[i], "--without") == 0 && read_without(arg, &how)))
			return usage();
		i++;
	}
	how.bug = (enum sim_bug)bug;
	if (seed != 0)
		return run_one(seed, &how);
	if (count != 0) {
		first = (uint64_t)time(NULL) * 1000000;
		last = first + count - 1;
	}
	return run_seeds(first, last, &how, is_quiet);
}
