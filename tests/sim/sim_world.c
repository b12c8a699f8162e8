/* sim_world.c - chance, the network, the arbiter. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "reign.h"
#include "sim.h"

static const char *const names[] = { "a", "b", "c" };

/* xorshift64*: small, and the same everywhere. */
uint64_t sim_random(struct sim *s, uint64_t below)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (s->random * 2685821657736338717ull >> 20) % below;
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->trace == NULL)
		return;
	(void)fprintf(s->trace, "%10.3f ms  ", (double)s->now / 1000);
	va_start(ap, fmt);
	(void)vfprintf(s->trace, fmt, ap);
	va_end(ap);
	(void)fputc('\n', s->trace);
}

void sim_problem(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->problem[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(s->problem, sizeof(s->problem), fmt, ap);
	va_end(ap);
	sim_trace(s, "PROBLEM: %s", s->problem);
}

void packet_free(struct packet *p)
{
	free(p->history);
	free(p->entries);
	free(p);
}

void sim_send(struct sim *s, int from, int to, const struct packet *p)
{
	struct packet *copy = must_alloc(sizeof(*copy)), **at = &s->to[to];
	uint64_t delay = 50 + sim_random(s, 400);

	if (sim_random(s, 50) == 0)
		delay += sim_random(s, 60 * MS);
	*copy = *p;
	copy->from = from;
	copy->at = s->now + delay;
	if (s->cut_until[from][to] > s->now)
		copy->at = s->cut_until[from][to] + delay; /* retransmitted once the path is there again */
	if (copy->at <= s->last_at[from][to])
		copy->at = s->last_at[from][to] + 1;
	s->last_at[from][to] = copy->at;
	while (*at != NULL && (*at)->at <= copy->at)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
}

static struct bytes words_of(member_set_t set, char to[8])
{
	size_t n = 0;

	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		if ((set & (member_set_t)1 << i) == 0)
			continue;
		if (n > 0)
			to[n++] = ' ';
		to[n++] = names[i][0];
	}
	return bytes_make(to, n);
}

static void tell_config(struct sim *s, int member)
{
	const struct packet p = { .kind = PACKET_CONFIG, .conn = s->joined[member], .epoch = s->epoch, .master = s->master,
		                  .in_sync = s->in_sync };

	if (s->joined[member] != 0)
		sim_send(s, ARBITER, member, &p);
}

static void take_ask(struct sim *s, const struct packet *p)
{
	char now_words[8], asked_words[8];
	const struct reign now = { s->epoch, bytes_of(names[s->master]), words_of(s->in_sync, now_words) };
	struct packet answer = { .kind = PACKET_ANSWER, .conn = p->conn, .epoch = p->epoch };
	const char *refusal = reign_refusal(&now, bytes_of(names[p->from]), p->epoch, bytes_of(names[p->master]),
	                                    words_of(p->in_sync, asked_words));

	answer.is_granted = refusal == NULL || s->bug == BUG_STALE_EPOCH;
	if (answer.is_granted) {
		s->epoch++;
		s->master = p->master;
		s->in_sync = p->in_sync;
		sim_trace(s, "arbiter: epoch %llu master %s in-sync %x", (unsigned long long)s->epoch, names[s->master], s->in_sync);
		for (int i = 0; i < (int)s->count; i++)
			tell_config(s, i);
	} else {
		sim_trace(s, "arbiter: %s is refused: %s", names[p->from], refusal);
		tell_config(s, p->from);
	}
	sim_send(s, ARBITER, p->from, &answer);
}

void sim_arbiter_take(struct sim *s, struct packet *p)
{
	if (!s->is_arbiter_up) {
		const struct packet lost = { .kind = PACKET_DIRECTORY_LOST, .conn = p->conn };

		sim_send(s, ARBITER, p->from, &lost);
	} else if (p->kind == PACKET_JOIN) {
		struct packet joined = { .kind = PACKET_JOINED, .conn = p->conn };

		s->joined[p->from] = p->conn;
		if (s->epoch == 0) {
			s->epoch = 1;
			s->master = p->from;
			s->in_sync = (member_set_t)1 << p->from;
			for (int i = 0; i < (int)s->count; i++)
				tell_config(s, i);
		} else {
			tell_config(s, p->from);
		}
		sim_send(s, ARBITER, p->from, &joined);
	} else if (p->kind == PACKET_ASK) {
		/* Also of a connection that has since gone: it was on its way. */
		take_ask(s, p);
	}
	packet_free(p);
}

void sim_arbiter_down(struct sim *s, uint64_t until)
{
	s->is_arbiter_up = false;
	s->arbiter_up_at = until;
	sim_trace(s, "arbiter: down");
	for (int i = 0; i < (int)s->count; i++) {
		const struct packet lost = { .kind = PACKET_DIRECTORY_LOST, .conn = s->joined[i] };

		if (s->joined[i] != 0)
			sim_send(s, ARBITER, i, &lost);
		s->joined[i] = 0;
	}
}
