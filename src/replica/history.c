/* history.c - a short list of rows, searched from its new end. */
#include "history.h"

#include <string.h>

static const struct history_row *row_at(const struct history *h, uint64_t lsn)
{
	for (size_t i = h->count; i > 0; i--) {
		if (h->rows[i - 1].first <= lsn)
			return &h->rows[i - 1];
	}
	return NULL;
}

uint64_t history_epoch(const struct history *h, uint64_t lsn)
{
	const struct history_row *row = row_at(h, lsn);

	return row == NULL ? 0 : row->epoch;
}

void history_append(struct history *h, uint64_t epoch, uint64_t lsn)
{
	if (h->count > 0 && h->rows[h->count - 1].epoch == epoch)
		return;
	if (h->count == HISTORY_MAX) {
		memmove(h->rows, h->rows + 1, (HISTORY_MAX - 1) * sizeof(h->rows[0]));
		h->count--;
	}
	h->rows[h->count++] = (struct history_row){ epoch, lsn };
}

void history_truncate(struct history *h, uint64_t lsn)
{
	while (h->count > 0 && h->rows[h->count - 1].first > lsn)
		h->count--;
}

uint64_t history_common(const struct history *a, uint64_t last_a, const struct history *b, uint64_t last_b)
{
	uint64_t lsn = last_a < last_b ? last_a : last_b;

	while (lsn > 0) {
		const struct history_row *x = row_at(a, lsn);
		const struct history_row *y = row_at(b, lsn);
		uint64_t first;

		if (x == NULL || y == NULL)
			return 0;
		if (x->epoch == y->epoch)
			return lsn;
		/* Both runs differ back to where the later of them begins. */
		first = x->first > y->first ? x->first : y->first;
		lsn = first - 1;
	}
	return 0;
}
