/* sim_check.c - the promises, looked at after every step.
 *
 *	two masters         no two members may act at one moment of the world, whatever their clocks say
 *	no false answer     who answers OK acts at that moment; readers of who acts see everything that was acknowledged
 *	the in-sync set     each member that the directory names has on its disk what was acknowledged
 *	one history         whoever commits an entry commits the same as everybody did before
 *	every reign         who begins to act has everything that was ever committed, in its place
 *	at peace            the configuration does not change more than a dozen times within a lease
 *	exactly once        an operation id is committed at one place; what was begun after another was acknowledged stands
 *	                    behind it
 *
 * In asynchronous mode a member may take over that lacks what was acknowledged. Of the above the first holds, and that who
 * answers acts; and, once all is at rest, every acknowledged operation is in the journal, once, or was put aside. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

static bool is_same(const struct sim_entry *a, const struct sim_entry *b)
{
	return a->epoch == b->epoch && a->op == b->op && !a->is_torn && !b->is_torn;
}

static struct op_row *row_of(struct sim *s, uint64_t op)
{
	if (op >= s->row_cap) {
		uint64_t cap = op * 2 + 64;

		s->rows = must_realloc(s->rows, cap, sizeof(*s->rows));
		memset(s->rows + s->row_cap, 0, (cap - s->row_cap) * sizeof(*s->rows));
		s->row_cap = cap;
	}
	return &s->rows[op];
}

static void note_op(struct sim *s, const struct member *m, uint64_t op, uint64_t lsn)
{
	struct op_row *row = row_of(s, op);

	if (op == 0)
		return;
	if (row->lsn != 0 && row->lsn != lsn)
		sim_problem(s, "%s commits operation %llu as entry %llu, and it was committed as %llu", sim_names[m->self],
		            (unsigned long long)op, (unsigned long long)lsn, (unsigned long long)row->lsn);
	row->lsn = lsn;
}

void check_commit(struct sim *s, const struct member *m, uint64_t from, uint64_t to)
{
	if (s->is_async)
		return;
	if (to + 1 > s->agreed_cap) {
		s->agreed_cap = to * 2 + 64;
		s->agreed = must_realloc(s->agreed, s->agreed_cap, sizeof(*s->agreed));
	}
	for (uint64_t i = from; i <= to; i++) {
		const struct sim_entry *e = &m->disk.at[i];

		if (i > s->agreed_last) {
			s->agreed[i] = *e;
			s->agreed_last = i;
			note_op(s, m, e->op, i);
		}
		if (!is_same(&s->agreed[i], e))
			sim_problem(s, "%s commits another entry %llu than was committed", sim_names[m->self],
			            (unsigned long long)i);
	}
}

void check_ack(struct sim *s, const struct member *m, uint64_t op, uint64_t lsn)
{
	if (!member_acts(m))
		sim_problem(s, "%s answers operation %llu, and does not act", sim_names[m->self], (unsigned long long)op);
	row_of(s, op)->is_acked = true;
	s->acked_count++;
	if (s->is_async)
		return;
	/* Acknowledged is agreed, as far as clients are concerned, whether or not the member has found it committed. */
	if (lsn > s->agreed_last)
		check_commit(s, m, s->agreed_last + 1, lsn);
	if (!is_same(&s->agreed[lsn], &m->disk.at[lsn]) || s->agreed[lsn].op != op)
		sim_problem(s, "%s answers operation %llu as entry %llu, which is another's", sim_names[m->self],
		            (unsigned long long)op, (unsigned long long)lsn);
	if (lsn > s->acked_last)
		s->acked_last = lsn;
}

void check_grant(struct sim *s)
{
	uint64_t *oldest = &s->granted_at[s->grants % SIM_GRANTS];

	if (s->grants >= SIM_GRANTS && s->now < *oldest + LEASE_MS * MS)
		sim_problem(s, "the configuration has changed %d times within a lease", SIM_GRANTS + 1);
	*oldest = s->now;
	s->grants++;
}

void check_ordered(struct sim *s, const struct client *c)
{
	uint64_t lsn = row_of(s, c->op)->lsn;

	if (lsn <= c->floor && !s->is_async)
		sim_problem(s, "operation %llu stands at %llu, though %llu was acknowledged before it began",
		            (unsigned long long)c->op, (unsigned long long)lsn, (unsigned long long)c->floor);
}

static void check_begins(struct sim *s, const struct member *m)
{
	sim_trace(s, "%s: acts in epoch %llu with %llu entries", sim_names[m->self], (unsigned long long)replica_epoch(m->core),
	          (unsigned long long)m->disk.last);
	if (m->disk.last < m->floor)
		sim_problem(s, "%s acts, and the copy that it took is whole at %llu only", sim_names[m->self],
		            (unsigned long long)m->floor);
	for (uint64_t i = 1; i <= s->agreed_last; i++) {
		if (i > m->disk.last || !is_same(&s->agreed[i], &m->disk.at[i])) {
			sim_problem(s, "%s acts and lacks committed entry %llu (it has %llu)", sim_names[m->self],
			            (unsigned long long)i, (unsigned long long)m->disk.last);
			return;
		}
	}
}

/* PacificA's invariant: the configuration's members hold what is committed. Two journals that have the same entry at one
 * place are the same before it, so the newest stands for all. */
static void check_in_sync(struct sim *s, const struct member *m)
{
	if (s->acked_last == 0 || (s->in_sync >> m->self & 1) == 0)
		return;
	if (m->disk.safe < s->acked_last || !is_same(&m->disk.at[s->acked_last], &s->agreed[s->acked_last]))
		sim_problem(s, "%s is in the in-sync set of epoch %llu, and acknowledged entry %llu is not on its disk",
		            sim_names[m->self], (unsigned long long)s->epoch, (unsigned long long)s->acked_last);
}

void check_all(struct sim *s)
{
	int acting = -1;

	s->steps++;
	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		bool acts = member_acts(m);

		check_in_sync(s, m);
		if (acts && acting >= 0)
			sim_problem(s, "two masters at once: %s and %s", sim_names[acting], sim_names[i]);
		if (acts)
			acting = (int)i;
		if (acts && !s->was_acting[i])
			check_begins(s, m);
		if (acts && m->applied < s->acked_last)
			sim_problem(s, "%s acts, and its readers do not see acknowledged entry %llu", sim_names[i],
			            (unsigned long long)s->acked_last);
		s->was_acting[i] = acts;
	}
}

void check_save(struct sim *s, const struct member *m, uint64_t lsn)
{
	sim_trace(s, "%s: puts entries %llu to %llu aside", sim_names[m->self], (unsigned long long)lsn + 1,
	          (unsigned long long)m->disk.last);
	for (uint64_t i = lsn + 1; i <= m->disk.last; i++)
		row_of(s, m->disk.at[i].op)->is_saved = true;
}

void check_nothing_lost(struct sim *s)
{
	const struct sim_disk *d = &s->members[0].disk;

	for (uint64_t lsn = 1; lsn <= d->last; lsn++) {
		struct op_row *row = row_of(s, d->at[lsn].op);

		if (row->lsn != 0 && d->at[lsn].op != 0)
			sim_problem(s, "operation %llu is entry %llu and entry %llu", (unsigned long long)d->at[lsn].op,
			            (unsigned long long)row->lsn, (unsigned long long)lsn);
		row->lsn = lsn;
	}
	for (uint64_t op = 1; op < s->row_cap; op++) {
		const struct op_row *row = &s->rows[op];

		if (row->is_acked && row->lsn == 0 && !row->is_saved)
			sim_problem(s, "operation %llu was acknowledged, and is neither in the journal nor put aside",
			            (unsigned long long)op);
	}
}

bool check_converged(const struct sim *s)
{
	const struct sim_disk *first = &s->members[0].disk;
	bool has_master = false;

	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		const struct sim_disk *d = &m->disk;

		if (!m->is_alive || d->last != first->last || m->applied != d->last || d->safe != d->last)
			return false;
		has_master = has_master || member_acts(m);
		for (uint64_t lsn = 1; lsn <= d->last; lsn++) {
			if (!is_same(&d->at[lsn], &first->at[lsn]))
				return false;
		}
	}
	return has_master && s->in_sync == ((member_set_t)1 << s->count) - 1;
}
