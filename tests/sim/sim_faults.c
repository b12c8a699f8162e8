/* sim_faults.c - a schedule: what goes wrong, when, and for how long. It is made whole from the seed before anything runs,
 * so that the same schedule can be run with some of its faults left out. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

static const char *const kinds[SIM_KINDS] = {
	[SIM_KILL] = "kill the process of",
	[SIM_POWER] = "power loss of",
	[SIM_STOP] = "orderly stop of",
	[SIM_PAUSE] = "stop and wake",
	[SIM_LONG_PAUSE] = "stop and wake, much later,",
	[SIM_CUT] = "cut both ways between",
	[SIM_CUT_ONE_WAY] = "cut one way from",
	[SIM_BREAK] = "break the connection of",
	[SIM_DELAYS] = "delay and reorder packets",
	[SIM_PROMOTE] = "promote",
	[SIM_SLOW] = "slow disk of",
	[SIM_SYNC_FAILS] = "fdatasync fails at",
	[SIM_FULL] = "full disk of",
	[SIM_ARBITER_DOWN] = "arbiter outage",
};

/* How often each comes, out of their sum. */
static const uint64_t weights[SIM_KINDS] = {
	[SIM_KILL] = 4,  [SIM_POWER] = 4,   [SIM_STOP] = 2,    [SIM_PAUSE] = 6, [SIM_LONG_PAUSE] = 0,
	[SIM_CUT] = 4,   [SIM_CUT_ONE_WAY] = 4, [SIM_BREAK] = 4,   [SIM_DELAYS] = 3, [SIM_PROMOTE] = 6,
	[SIM_SLOW] = 4,  [SIM_SYNC_FAILS] = 2,  [SIM_FULL] = 2,    [SIM_ARBITER_DOWN] = 2,
};

void fault_describe(const struct sim_fault *f, char *to, size_t size)
{
	bool has_other = f->kind == SIM_CUT || f->kind == SIM_CUT_ONE_WAY || f->kind == SIM_BREAK;
	bool has_member = f->kind != SIM_DELAYS && f->kind != SIM_ARBITER_DOWN;

	(void)snprintf(to, size, "%s%s%s%s%s for %llu ms", kinds[f->kind], has_member ? " " : "",
	               has_member ? sim_names[f->a] : "", has_other ? " and " : "", has_other ? sim_names[f->b] : "",
	               (unsigned long long)(f->for_us / MS));
}

static enum sim_fault_kind draw_kind(struct sim *s)
{
	uint64_t sum = 0, at;

	for (int i = 0; i < SIM_KINDS; i++)
		sum += weights[i];
	at = sim_random(s, sum);
	for (int i = 0; i < SIM_KINDS; i++) {
		if (at < weights[i])
			return (enum sim_fault_kind)i;
		at -= weights[i];
	}
	return SIM_KILL;
}

/* Some schedules are long, with members that sleep for half a minute; most are dense. */
void faults_make(struct sim *s)
{
	bool is_long = sim_random(s, 12) == 0;
	uint64_t at = 300 * MS + sim_random(s, 500 * MS), pause = is_long ? 4 * SECOND : 100 * MS + sim_random(s, 700 * MS);

	s->faults_until = is_long ? 40 * SECOND : 3 * SECOND + sim_random(s, 7 * SECOND);
	while (at < s->faults_until && s->fault_count < SIM_FAULTS_MAX) {
		struct sim_fault *f = &s->faults[s->fault_count++];

		f->at = at;
		f->kind = draw_kind(s);
		f->a = (int)sim_random(s, s->count);
		f->b = (int)sim_random(s, s->count + 1);
		if (f->b == f->a || f->b == (int)s->count)
			f->b = ARBITER;
		if (f->kind == SIM_CUT_ONE_WAY && sim_random(s, 2) == 0) {
			int a = f->a;

			f->a = f->b;
			f->b = a;
		}
		if (is_long && (f->kind == SIM_PAUSE || f->kind == SIM_PROMOTE))
			f->kind = SIM_LONG_PAUSE;
		f->for_us = f->kind == SIM_LONG_PAUSE ? 5 * SECOND + sim_random(s, 25 * SECOND) :
		            sim_random(s, 3) == 0       ? sim_random(s, 5 * SECOND) :
		                                          sim_random(s, 600 * MS);
		at += sim_random(s, pause);
	}
}

static void break_connection(struct sim *s, int a, int b)
{
	uint64_t conn = b == ARBITER ? s->members[a].directory : s->members[a].links[b].conn;

	/* Both ends hear of it, each in its time. */
	sim_close(s, a, b, conn);
	sim_close(s, b, a, conn);
}

static void begin(struct sim *s, const struct sim_fault *f)
{
	struct member *m = f->a == ARBITER ? NULL : &s->members[f->a];
	uint64_t until = s->now + f->for_us;

	switch (f->kind) {
	case SIM_KILL:
	case SIM_POWER:
		/* Power may also be lost while the process is down already. */
		if (!m->is_alive && f->kind == SIM_KILL)
			return;
		member_crash(m, f->kind == SIM_POWER);
		m->restart_at = until;
		break;
	case SIM_STOP:
		if (m->is_alive && !m->is_stopping) {
			m->is_stopping = true;
			m->stop_at = s->now + 2 * SECOND;
		}
		break;
	case SIM_PAUSE:
	case SIM_LONG_PAUSE:
		if (!m->is_alive || until < m->paused_until)
			return;
		if (s->bug == BUG_CLOCK_STANDS)
			m->stood_still += until - (m->paused_until > s->now ? m->paused_until : s->now);
		m->paused_until = until;
		break;
	case SIM_CUT:
		s->cut_until[f->a][f->b] = s->cut_until[f->b][f->a] = until;
		break;
	case SIM_CUT_ONE_WAY:
		s->cut_until[f->a][f->b] = until;
		break;
	case SIM_BREAK:
		break_connection(s, f->a, f->b);
		break;
	case SIM_DELAYS:
		s->delays_until = until;
		break;
	case SIM_PROMOTE:
		sim_arbiter_promote(s, f->a);
		break;
	case SIM_SLOW:
		m->disk.slow_until = until;
		break;
	case SIM_SYNC_FAILS:
		m->disk.fail_until = until;
		break;
	case SIM_FULL:
		m->disk.full_until = until;
		break;
	default:
		sim_arbiter_down(s, until);
	}
}

uint64_t faults_due(const struct sim *s)
{
	return s->next_fault < s->fault_count ? s->faults[s->next_fault].at : NEVER;
}

void faults_run(struct sim *s)
{
	while (faults_due(s) <= s->now) {
		const struct sim_fault *f = &s->faults[s->next_fault++];
		char text[128];

		if (f->is_left_out)
			continue;
		fault_describe(f, text, sizeof(text));
		sim_trace(s, "fault %zu: %s", (size_t)(f - s->faults), text);
		begin(s, f);
	}
}

void faults_heal(struct sim *s)
{
	sim_trace(s, "all faults end");
	memset(s->cut_until, 0, sizeof(s->cut_until));
	s->delays_until = 0;
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		m->disk.slow_until = m->disk.full_until = m->disk.fail_until = 0;
		if (m->disk.is_flushing && m->disk.flush_at > s->now)
			m->disk.flush_at = s->now;
		m->paused_until = 0;
		if (!m->is_alive)
			m->restart_at = s->now;
	}
	s->arbiter_up_at = s->now;
	/* What was kept back by a cut is sent again soon. */
	for (int to = 0; to < SIM_NODES; to++) {
		uint64_t at = s->now;

		for (struct packet *p = s->to[to]; p != NULL; p = p->next) {
			if (p->at > at + 400 * MS)
				p->at = at + 400 * MS;
		}
	}
}
