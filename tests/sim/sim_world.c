/* sim_world.c - chance, the trace, the network.
 *
 * The network is TCP's: what is sent on one connection arrives in order and once, or the connection breaks; a lost packet
 * is a delay. Different connections overtake each other, so that what was sent on one that has been given up may arrive
 * behind its successor's. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

const char *const sim_names[SIM_NODES] = { "a", "b", "c", "arbiter", "clients" };

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

struct bytes sim_words(member_set_t set, char to[8])
{
	size_t n = 0;

	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		if ((set & (member_set_t)1 << i) == 0)
			continue;
		if (n > 0)
			to[n++] = ' ';
		to[n++] = sim_names[i][0];
	}
	to[n] = '\0';
	return bytes_make(to, n);
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

	if (sim_random(s, s->delays_until > s->now ? 4 : 50) == 0)
		delay += sim_random(s, 60 * MS);
	if (sim_random(s, 2000) == 0)
		delay += 200 * MS + sim_random(s, 400 * MS); /* lost, and sent again by TCP */
	*copy = *p;
	copy->from = from;
	copy->at = s->now + delay;
	if (s->cut_until[from][to] > s->now)
		copy->at = s->cut_until[from][to] + delay;
	for (const struct packet *q = s->to[to]; q != NULL; q = q->next) {
		if (q->conn == p->conn && q->from == from && q->at >= copy->at)
			copy->at = q->at + 1;
	}
	while (*at != NULL && (*at)->at <= copy->at)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
}

void sim_close(struct sim *s, int from, int to, uint64_t conn)
{
	const struct packet closed = { .kind = PACKET_CLOSED, .conn = conn };

	if (conn != 0)
		sim_send(s, from, to, &closed);
}

void sim_lose_packets(struct sim *s, int from, int to)
{
	struct packet **at = &s->to[to];
	bool is_lost = false;

	while (*at != NULL) {
		struct packet *p = *at;

		/* From some packet on all of them: TCP leaves no holes. That the connection is over is found out in the end. */
		is_lost = is_lost || (p->from == from && sim_random(s, 2) == 0);
		if (p->from != from || p->kind == PACKET_CLOSED || !is_lost) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		packet_free(p);
	}
}
