/* sim_check.c - the promises, looked at after every step. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

static const char *const names[] = { "a", "b", "c" };

static bool is_same(const struct sim_entry *a, const struct sim_entry *b)
{
	return a->epoch == b->epoch && a->id == b->id;
}

/* Whatever any member holds committed, all hold the same. */
void check_commit(struct sim *s, const struct member *m, uint64_t lsn)
{
	/* A member that lacks what was committed may take over: what is lasting shows only at the end. */
	if (s->is_async)
		return;
	if (lsn + 1 > s->agreed_cap) {
		s->agreed_cap = lsn * 2 + 64;
		s->agreed = must_realloc(s->agreed, s->agreed_cap, sizeof(*s->agreed));
	}
	for (uint64_t i = m->applied + 1; i <= lsn; i++) {
		if (i > s->agreed_last) {
			s->agreed[i] = m->journal[i];
			s->agreed_last = i;
		} else if (!is_same(&s->agreed[i], &m->journal[i])) {
			sim_problem(s, "%s commits another entry %llu than was committed", names[m->self], (unsigned long long)i);
		}
	}
}

/* Clients were told that FIRST..LAST is done. */
void check_ack(struct sim *s, const struct member *m, uint64_t first, uint64_t last)
{
	if (s->bug == BUG_ACK_EARLY) {
		uint64_t applied = first - 1;

		/* Acknowledged is agreed, as far as clients are concerned. */
		if (applied >= s->agreed_last) {
			struct member as = *m;

			as.applied = s->agreed_last;
			check_commit(s, &as, last);
		}
	}
	for (uint64_t i = first; i <= last; i++) {
		if (m->journal[i].id == 0)
			continue;
		if (s->acked_count == s->acked_cap) {
			s->acked_cap = s->acked_cap * 2 + 64;
			s->acked = must_realloc(s->acked, s->acked_cap, sizeof(*s->acked));
		}
		s->acked[s->acked_count++] = m->journal[i].id;
	}
}

void check_save(struct sim *s, const struct member *m, uint64_t lsn)
{
	sim_trace(s, "%s: saves %llu to %llu", names[m->self], (unsigned long long)lsn + 1, (unsigned long long)m->last);
	for (uint64_t i = lsn + 1; i <= m->last; i++) {
		if (s->saved_count == s->saved_cap) {
			s->saved_cap = s->saved_cap * 2 + 64;
			s->saved = must_realloc(s->saved, s->saved_cap, sizeof(*s->saved));
		}
		s->saved[s->saved_count++] = m->journal[i].id;
	}
}

void check_nothing_lost(struct sim *s)
{
	const struct member *m = &s->members[0];
	bool *is_kept = must_calloc(s->ids + 1, sizeof(*is_kept));

	for (uint64_t lsn = 1; lsn <= m->last; lsn++)
		is_kept[m->journal[lsn].id] = true;
	for (uint64_t i = 0; i < s->saved_count; i++)
		is_kept[s->saved[i]] = true;
	for (uint64_t i = 0; i < s->acked_count; i++) {
		if (!is_kept[s->acked[i]])
			sim_problem(s, "write %llu was acknowledged, and is neither in the journal nor saved", (unsigned long long)s->acked[i]);
	}
	free(is_kept);
}

/* Who begins to act has everything that was ever acknowledged, in its place. */
static void check_begins(struct sim *s, const struct member *m)
{
	sim_trace(s, "%s: acts in epoch %llu with %llu entries", names[m->self], (unsigned long long)replica_epoch(m->core),
	          (unsigned long long)m->last);
	for (uint64_t i = 1; i <= s->agreed_last; i++) {
		if (i > m->last || !is_same(&s->agreed[i], &m->journal[i])) {
			sim_problem(s, "%s acts and lacks committed entry %llu (it has %llu)", names[m->self], (unsigned long long)i,
			            (unsigned long long)m->last);
			return;
		}
	}
}

void check_all(struct sim *s)
{
	int acting = -1;

	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		bool acts = member_acts(m);

		if (acts && acting >= 0)
			sim_problem(s, "two masters at once: %s and %s", names[acting], names[i]);
		if (acts)
			acting = (int)i;
		if (acts && !s->was_acting[i])
			check_begins(s, m);
		s->was_acting[i] = acts;
	}
}

/* A master acts, everybody is in sync, and all journals are the same. */
bool check_converged(const struct sim *s)
{
	const struct member *first = &s->members[0];
	bool has_master = false;

	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		if (!m->is_alive || m->last != first->last || m->applied != m->last || m->durable != m->last)
			return false;
		has_master = has_master || member_acts(m);
		for (uint64_t lsn = 1; lsn <= m->last; lsn++) {
			if (!is_same(&m->journal[lsn], &first->journal[lsn]))
				return false;
		}
	}
	return has_master && s->in_sync == ((member_set_t)1 << s->count) - 1;
}
