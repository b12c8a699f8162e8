/* sim_client.c - those who write, as the LMTP frontend does: each has one operation at a time, which it sends to whoever the
 * directory says is master, and, when it is refused, hears nothing or loses the connection, again under the same id. What is
 * sent may arrive long after it was given up, or twice. */
#include "sim.h"

#define PATIENCE SECOND

static void submit(struct sim *s, struct client *c)
{
	struct packet p = { .kind = PACKET_WRITE };

	/* The directory's word may be old, or not heard at all. */
	c->to = s->epoch > 0 && sim_random(s, 8) != 0 ? s->master : (int)sim_random(s, s->count);
	c->conn = p.conn = ++s->conns;
	p.op = c->op;
	p.client = (size_t)(c - s->clients);
	c->give_up_at = s->now + PATIENCE;
	sim_send(s, CLIENTS, c->to, &p);
}

static void again(struct sim *s, struct client *c)
{
	c->conn = 0;
	c->next_at = s->now + 5 * MS + sim_random(s, 50 * MS);
}

static uint64_t due(const struct sim *s, const struct client *c)
{
	if (c->conn != 0)
		return c->give_up_at;
	return c->op == 0 && s->clients_rest ? NEVER : c->next_at;
}

uint64_t client_due(const struct sim *s)
{
	uint64_t first = NEVER;

	for (size_t i = 0; i < SIM_CLIENTS; i++) {
		uint64_t at = due(s, &s->clients[i]);

		first = at < first ? at : first;
	}
	return first;
}

void client_run(struct sim *s)
{
	for (size_t i = 0; i < SIM_CLIENTS; i++) {
		struct client *c = &s->clients[i];

		if (due(s, c) > s->now)
			continue;
		if (c->conn != 0) {
			/* Sometimes the server hears of that. What it was sent before is done all the same. */
			if (sim_random(s, 2) == 0)
				sim_close(s, CLIENTS, c->to, c->conn);
			again(s, c);
			continue;
		}
		if (c->op == 0) {
			c->op = ++s->ops;
			c->floor = s->acked_last;
		}
		submit(s, c);
	}
}

void client_take(struct sim *s, struct packet *p)
{
	struct client *c = NULL;

	for (size_t i = 0; i < SIM_CLIENTS; i++) {
		if (s->clients[i].conn == p->conn && p->conn != 0)
			c = &s->clients[i];
	}
	if (c == NULL) {
		/* An answer that nobody waits for any more. */
	} else if (p->kind == PACKET_RESULT && p->result == RESULT_OK) {
		check_ordered(s, c);
		c->op = c->conn = 0;
		c->next_at = s->now + sim_random(s, 30 * MS);
	} else {
		again(s, c);
	}
	packet_free(p);
}
