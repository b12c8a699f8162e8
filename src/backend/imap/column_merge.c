/* column_merge.c - a draft is sorted, pieces first, then pass by pass pairs of pieces; then it is merged with the column that was there,
 * which is sorted already, and the ranks are given anew. What has no place in the session's picture of the mailbox any more is left
 * out of the new column. */
#include "column_fill_private.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"

#define MERGE_PIECE 4096 /* messages */

static uint64_t key_of(const struct column *c, size_t row)
{
	struct bytes text;
	uint64_t key = 0;

	if (c->numbers != NULL)
		return (uint64_t)c->numbers[row] ^ 1ull << 63;
	text = column_text(c, row);
	for (size_t i = 0; i < sizeof(key); i++)
		key = key << 8 | (i < text.n ? text.p[i] : 0);
	return key;
}

int column_merge_compare(const struct column *a, size_t row_a, const struct column *b, size_t row_b)
{
	if (a->numbers != NULL)
		return a->numbers[row_a] < b->numbers[row_b] ? -1 : a->numbers[row_a] > b->numbers[row_b];
	return bytes_compare(column_text(a, row_a), column_text(b, row_b));
}

static int compare_items(const void *x, const void *y, void *arg)
{
	const struct sort_item *a = x, *b = y;
	const struct column *c = arg;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return column_merge_compare(c, a->row, c, b->row);
}

static void merge(const struct column *c, const struct sort_item *from, struct sort_item *to, size_t a, size_t b, size_t e)
{
	size_t i = a, j = b;

	for (size_t k = a; k < e; k++)
		to[k] = j == e || (i < b && compare_items(&from[i], &from[j], (void *)(uintptr_t)c) <= 0) ? from[i++] : from[j++];
}

bool column_merge_sort(struct column_draft *d, uint64_t until)
{
	size_t n = d->rows->count;

	if (d->items == NULL) {
		d->items = must_realloc(NULL, n + 1, sizeof(*d->items));
		d->other = must_realloc(NULL, n + 1, sizeof(*d->other));
	}
	for (; d->width == 0 && d->at < n; d->at += MERGE_PIECE) {
		size_t end = n - d->at < MERGE_PIECE ? n : d->at + MERGE_PIECE;

		if (clock_mono_ns() > until)
			return false;
		for (size_t i = d->at; i < end; i++)
			d->items[i] = (struct sort_item){ key_of(d->rows, i), (uint32_t)i };
		qsort_r(d->items + d->at, end - d->at, sizeof(*d->items), compare_items, d->rows);
	}
	if (d->width == 0) {
		d->width = MERGE_PIECE;
		d->at = 0;
	}
	while (d->width < n) {
		struct sort_item *swap = d->items;

		for (; d->at < n; d->at += 2 * d->width) {
			size_t b = d->at + d->width < n ? d->at + d->width : n, e = b + d->width < n ? b + d->width : n;

			if (clock_mono_ns() > until)
				return false;
			merge(d->rows, d->items, d->other, d->at, b, e);
		}
		d->items = d->other;
		d->other = swap;
		d->at = 0;
		d->width *= 2;
	}
	return true;
}

struct place {
	uint32_t *of_before, *of_rows; /* the row in the new column, UINT32_MAX: it has none */
};

static void put_row(struct column *to, const struct column *from, size_t row)
{
	size_t begin = row == 0 || from->ends == NULL ? 0 : from->ends[row - 1], n = from->ends == NULL ? 0 : from->ends[row] - begin;
	size_t end = to->count == 0 || to->ends == NULL ? 0 : to->ends[to->count - 1];

	to->uids[to->count] = from->uids[row];
	if (to->numbers != NULL)
		to->numbers[to->count] = from->numbers[row];
	if (to->octets != NULL && n > 0)
		memcpy(to->octets + end, from->octets + begin, n);
	if (to->ids != NULL && n > 0)
		memcpy(to->ids + end, from->ids + begin, n * sizeof(*to->ids));
	if (to->ends != NULL)
		to->ends[to->count] = end + n;
	if (to->marks != NULL)
		to->marks[to->count] = from->marks[row];
	to->count++;
}

static size_t values_of(const struct column *c)
{
	return c == NULL || c->ends == NULL || c->count == 0 ? 0 : c->ends[c->count - 1];
}

/* An empty column with room for the rows of both. */
static struct column *with_room(const struct column_draft *d)
{
	struct column *c = column_new(d->rows->kind, d->rows->mailbox, d->rows->epoch);
	size_t n = d->rows->count + (d->before != NULL ? d->before->count : 0) + 1;
	size_t values = values_of(d->rows) + values_of(d->before) + 1;

	c->size = sizeof(*c) + n * sizeof(*c->uids);
	c->uids = must_realloc(NULL, n, sizeof(*c->uids));
	if (c->kind != COLUMN_IDS) {
		c->ranks = must_realloc(NULL, n, sizeof(*c->ranks));
		c->size += n * sizeof(*c->ranks);
	}
	if (column_has_numbers(c->kind)) {
		c->numbers = must_realloc(NULL, n, sizeof(*c->numbers));
		c->size += n * sizeof(*c->numbers);
		return c;
	}
	c->ends = must_realloc(NULL, n, sizeof(*c->ends));
	c->size += n * sizeof(*c->ends);
	if (c->kind == COLUMN_IDS) {
		c->ids = must_realloc(NULL, values, sizeof(*c->ids));
		c->size += values * sizeof(*c->ids);
	} else {
		c->octets = must_alloc(values);
		c->size += values;
	}
	if (c->kind == COLUMN_SUBJECT) {
		c->marks = must_alloc(n);
		c->size += n;
	}
	return c;
}

/* The rows of both in the order of UIDs, but for what the box has no more. */
static void merge_rows(const struct box *box, const struct column_draft *d, struct column *to, struct place *p)
{
	const struct column *old = d->before, *new = d->rows;
	size_t i = 0, j = 0, at = 0, olds = old != NULL ? old->count : 0;

	while (i < olds || j < new->count) {
		if (j == new->count || (i < olds && old->uids[i] < new->uids[j])) {
			uint32_t uid = old->uids[i];
			bool is_there;

			while (at < box->count && box->uids[at] < uid)
				at++;
			is_there = uid > box->last_uid || (at < box->count && box->uids[at] == uid);
			p->of_before[i] = is_there ? (uint32_t)to->count : UINT32_MAX;
			if (is_there)
				put_row(to, old, i);
			i++;
		} else {
			p->of_rows[j] = (uint32_t)to->count;
			put_row(to, new, j++);
		}
	}
}

/* The rows of C in the order of their ranks. */
static uint32_t *by_rank(const struct column *c)
{
	size_t n = c != NULL ? c->count : 0;
	uint32_t *order = must_realloc(NULL, n + 1, sizeof(*order)), *starts = must_calloc(n + 2, sizeof(*starts));

	for (size_t i = 0; i < n; i++)
		starts[c->ranks[i] + 1]++;
	for (size_t i = 1; i <= n; i++)
		starts[i] += starts[i - 1];
	for (size_t i = 0; i < n; i++)
		order[starts[c->ranks[i]]++] = (uint32_t)i;
	free(starts);
	return order;
}

static void give_ranks(const struct column_draft *d, struct column *to, const struct place *p)
{
	const struct column *old = d->before, *new = d->rows;
	uint32_t *order = by_rank(old);
	size_t i = 0, j = 0, olds = old != NULL ? old->count : 0, last = SIZE_MAX, last_old = SIZE_MAX;
	uint32_t rank = 0;

	while (i < olds || j < new->count) {
		bool is_old = j == new->count || (i < olds && column_merge_compare(old, order[i], new, d->items[j].row) <= 0);
		size_t this_old = is_old ? order[i] : SIZE_MAX;
		size_t row = is_old ? p->of_before[this_old] : p->of_rows[d->items[j].row];

		i += is_old;
		j += !is_old;
		if (row == UINT32_MAX)
			continue;
		if (last == SIZE_MAX)
			rank = column_has_texts(to->kind) && column_text(to, row).n > 0; /* 0 is the empty text's */
		else if (is_old && last_old != SIZE_MAX)
			rank += old->ranks[last_old] != old->ranks[this_old];
		else
			rank += column_merge_compare(to, last, to, row) != 0;
		to->ranks[row] = rank;
		last = row;
		last_old = this_old;
	}
	free(order);
}

struct column *column_merge(const struct box *box, const struct column_draft *d)
{
	struct column *c = with_room(d);
	struct place p;

	p.of_rows = must_realloc(NULL, d->rows->count + 1, sizeof(*p.of_rows));
	p.of_before = must_realloc(NULL, (d->before != NULL ? d->before->count : 0) + 1, sizeof(*p.of_before));
	merge_rows(box, d, c, &p);
	if (c->kind != COLUMN_IDS)
		give_ranks(d, c, &p);
	free(p.of_rows);
	free(p.of_before);
	return c;
}
