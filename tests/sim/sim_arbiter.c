/* sim_arbiter.c - the directory as the members' arbiter: the real rules (reign.h) in the directory's order: what is granted
 * is durable and told to all before it is answered. It forgets connections when it goes down, configurations never. */
#include <string.h>

#include "reign.h"
#include "sim.h"

static void tell_config(struct sim *s, int member)
{
	const struct packet p = { .kind = PACKET_CONFIG, .conn = s->joined[member], .epoch = s->epoch, .master = s->master,
		                  .in_sync = s->in_sync };

	if (s->joined[member] != 0 && s->epoch != 0)
		sim_send(s, ARBITER, member, &p);
}

static void set_config(struct sim *s, uint64_t epoch, int master, member_set_t in_sync)
{
	char words[8];

	s->epoch = epoch;
	s->master = master;
	s->in_sync = in_sync;
	sim_trace(s, "arbiter: epoch %llu, master %s, in-sync {%s}", (unsigned long long)epoch, sim_names[master],
	          (const char *)sim_words(in_sync, words).p);
	for (int i = 0; i < (int)s->count; i++)
		tell_config(s, i);
	check_grant(s);
}

static void take_ask(struct sim *s, const struct packet *p)
{
	char now_words[8], asked_words[8];
	const struct reign now = { s->epoch, bytes_of(sim_names[s->master]), sim_words(s->in_sync, now_words) };
	struct packet answer = { .kind = PACKET_ANSWER, .conn = p->conn, .epoch = p->epoch };
	const char *refusal = reign_refusal(&now, bytes_of(sim_names[p->from]), p->epoch, bytes_of(sim_names[p->master]),
	                                    sim_words(p->in_sync, asked_words));

	answer.is_granted = refusal == NULL || s->bug == BUG_STALE_EPOCH;
	if (answer.is_granted) {
		set_config(s, s->epoch + 1, p->master, p->in_sync);
	} else {
		sim_trace(s, "arbiter: %s is refused: %s", sim_names[p->from], refusal);
		if (s->joined[p->from] == p->conn)
			tell_config(s, p->from);
	}
	/* Of a connection that has gone meanwhile nobody hears, but what was asked on it holds. */
	if (s->joined[p->from] == p->conn)
		sim_send(s, ARBITER, p->from, &answer);
}

static member_set_t set_of(struct bytes words)
{
	member_set_t set = 0;

	for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
		if (reign_has_member(words, bytes_of(sim_names[i])))
			set |= (member_set_t)1 << i;
	}
	return set;
}

/* The first configuration, in the order in which members joined. */
static void try_first(struct sim *s)
{
	struct reign_claim claims[SIM_MEMBERS_MAX];
	char words[SIM_MEMBERS_MAX][8];
	struct reign first;
	size_t count = 0;

	for (size_t i = 0; i < s->join_count; i++) {
		int m = s->join_order[i];

		if (s->joined[m] == 0)
			continue;
		claims[count] = (struct reign_claim){ bytes_of(sim_names[m]), { .epoch = s->claims[m].epoch } };
		if (s->claims[m].epoch > 0) {
			claims[count].last.master = bytes_of(sim_names[s->claims[m].master]);
			claims[count].last.in_sync = sim_words(s->claims[m].in_sync, words[count]);
		}
		count++;
	}
	if (!reign_first(claims, count, &first))
		return;
	for (int i = 0; i < (int)s->count; i++) {
		if (bytes_equal_str(first.master, sim_names[i])) {
			set_config(s, first.epoch, i, set_of(first.in_sync));
			return;
		}
	}
}

static void take_join(struct sim *s, const struct packet *p)
{
	const struct packet joined = { .kind = PACKET_JOINED, .conn = p->conn };
	bool is_known = false;

	/* The newer connection is the member's. */
	sim_close(s, ARBITER, p->from, s->joined[p->from]);
	s->joined[p->from] = p->conn;
	s->claims[p->from].epoch = p->epoch;
	s->claims[p->from].master = p->master;
	s->claims[p->from].in_sync = p->in_sync;
	for (size_t i = 0; i < s->join_count; i++)
		is_known = is_known || s->join_order[i] == p->from;
	if (!is_known)
		s->join_order[s->join_count++] = p->from;
	tell_config(s, p->from);
	sim_send(s, ARBITER, p->from, &joined);
	if (s->epoch == 0)
		try_first(s);
}

void sim_arbiter_take(struct sim *s, struct packet *p)
{
	if (!s->is_arbiter_up) {
		if (p->kind != PACKET_CLOSED)
			sim_close(s, ARBITER, p->from, p->conn);
	} else if (p->kind == PACKET_JOIN) {
		take_join(s, p);
	} else if (p->kind == PACKET_ASK) {
		/* Also of a connection that has since gone: it was on its way, perhaps by way of another mupdate server. */
		take_ask(s, p);
	} else if (p->kind == PACKET_CLOSED && s->joined[p->from] == p->conn) {
		s->joined[p->from] = 0;
	}
	packet_free(p);
}

void sim_arbiter_down(struct sim *s, uint64_t until)
{
	if (!s->is_arbiter_up)
		return;
	s->is_arbiter_up = false;
	s->arbiter_up_at = until;
	sim_trace(s, "arbiter: down");
	for (int i = 0; i < (int)s->count; i++) {
		/* Its last words, answers among them, may never leave the machine. */
		sim_lose_packets(s, ARBITER, i);
		sim_close(s, ARBITER, i, s->joined[i]);
		s->joined[i] = 0;
	}
}

void sim_arbiter_promote(struct sim *s, int to)
{
	const struct packet p = { .kind = PACKET_PROMOTE, .conn = s->epoch == 0 ? 0 : s->joined[s->master], .master = to };

	if (p.conn != 0)
		sim_send(s, ARBITER, s->master, &p);
}
