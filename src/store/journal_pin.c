/* journal_pin.c - segments that others have replaced stay for as long as somebody may have seen an index that refers to
 * what only they hold: whoever took a pin before they were replaced. */
#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "journal.h"

void journal_pin(struct journal *j, struct journal_pin *p)
{
	(void)pthread_mutex_lock(&j->pin_lock);
	p->generation = j->generation;
	p->older = j->newest_pin;
	p->newer = NULL;
	if (j->newest_pin != NULL)
		j->newest_pin->newer = p;
	else
		j->oldest_pin = p;
	j->newest_pin = p;
	(void)pthread_mutex_unlock(&j->pin_lock);
}

/* Take what no pin needs any more off the list. Both locks are held. */
static struct segment *take_unpinned(struct journal *j)
{
	struct segment **at = &j->retired, *unpinned = NULL;

	while (*at != NULL) {
		struct segment *s = *at;

		if (s->retired_at == RETIRED_CUT || (j->oldest_pin != NULL && j->oldest_pin->generation < s->retired_at)) {
			at = &s->next_retired;
			continue;
		}
		*at = s->next_retired;
		s->next_retired = unpinned;
		unpinned = s;
	}
	return unpinned;
}

static void free_list(struct segment *s)
{
	while (s != NULL) {
		struct segment *next = s->next_retired;

		segment_free(s);
		s = next;
	}
}

void journal_unpin(struct journal *j, struct journal_pin *p)
{
	struct segment *unpinned = NULL;

	(void)pthread_mutex_lock(&j->pin_lock);
	if (p->older != NULL)
		p->older->newer = p->newer;
	else
		j->oldest_pin = p->newer;
	if (p->newer != NULL)
		p->newer->older = p->older;
	else
		j->newest_pin = p->older;
	if (p->older == NULL && j->generation > p->generation) {
		(void)pthread_mutex_lock(&j->lock);
		unpinned = take_unpinned(j);
		(void)pthread_mutex_unlock(&j->lock);
	}
	(void)pthread_mutex_unlock(&j->pin_lock);
	free_list(unpinned);
}

void journal_replace(struct journal *j, struct segment *with)
{
	struct segment *unpinned;
	size_t at = 0, n = 0;

	assert(with->is_sparse);
	(void)pthread_mutex_lock(&j->pin_lock);
	(void)pthread_mutex_lock(&j->lock);
	while (at < j->count && j->segments[at]->first < with->first)
		at++;
	while (at + n < j->count && j->segments[at + n]->first <= with->last)
		n++;
	/* It covers whole segments, and never the one that is written to. */
	assert(n > 0 && j->segments[at]->first == with->first && at + n < j->count && j->segments[at + n]->first == with->last + 1);
	j->generation++;
	for (size_t i = at; i < at + n; i++) {
		j->segments[i]->retired_at = j->generation;
		j->segments[i]->next_retired = j->retired;
		j->retired = j->segments[i];
	}
	j->segments[at] = with;
	for (size_t i = at + n; i < j->count; i++)
		j->segments[i - n + 1] = j->segments[i];
	j->count -= n - 1;
	if (with->last >= j->first_whole)
		j->first_whole = with->last + 1;
	unpinned = take_unpinned(j);
	(void)pthread_mutex_unlock(&j->lock);
	(void)pthread_mutex_unlock(&j->pin_lock);
	free_list(unpinned);
}

void journal_retire_cut(struct journal *j, struct segment *s)
{
	(void)pthread_mutex_lock(&j->lock);
	s->retired_at = RETIRED_CUT;
	s->next_retired = j->retired;
	j->retired = s;
	(void)pthread_mutex_unlock(&j->lock);
}

bool journal_find_retired(struct journal *j, lsn_t lsn, struct segment **s_r, uint64_t *off_r)
{
	for (struct segment *s = j->retired; s != NULL; s = s->next_retired) {
		if (lsn < s->first || s->retired_at == RETIRED_CUT)
			continue;
		if (!s->is_sparse && !s->is_scanned)
			segment_scan(j, s);
		if (s->is_sparse ? segment_find_sparse(s, lsn, off_r) : lsn - s->first < s->offset_count) {
			if (!s->is_sparse)
				*off_r = s->offsets[lsn - s->first];
			*s_r = s;
			return true;
		}
	}
	return false;
}

void journal_free_retired(struct journal *j)
{
	assert(j->oldest_pin == NULL);
	free_list(j->retired);
	j->retired = NULL;
}
