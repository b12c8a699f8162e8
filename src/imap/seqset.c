/* seqset.c - sets as sorted, merged ranges. */
#include "seqset.h"

#include <stdlib.h>

#include "imap_lex.h"

static bool take_number(struct cursor *in, uint32_t *n_r)
{
	const uint8_t *start = in->p;
	uint64_t n;

	if (cursor_take(in, '*')) {
		*n_r = SEQ_STAR;
		return true;
	}
	while (ascii_is_digit((uint8_t)(cursor_peek(in) < 0 ? 0 : cursor_peek(in))) && in->p - start < 11)
		in->p++;
	if (!bytes_to_u64(bytes_make(start, (size_t)(in->p - start)), UINT32_MAX, &n) || n == 0) {
		in->p = start;
		return false;
	}
	/* The last number there is ends ranges of some clients, as "*" does with others. No message has it, nor the one before it. */
	*n_r = n == SEQ_STAR ? SEQ_STAR - 1 : (uint32_t)n;
	return true;
}

static bool parse(struct cursor *in, struct arena *a, size_t limit, struct seqset *set, struct fault *why)
{
	size_t cap = 0;

	do {
		struct seq_range r;

		if (!take_number(in, &r.first))
			return imap_expected(in, "a number or * of a sequence set", why);
		r.last = r.first;
		if (cursor_take(in, ':') && !take_number(in, &r.last))
			return imap_expected(in, "a number or * of a sequence set", why);
		if (set->count == limit)
			return fault_set(why, FAULT_LIMIT, "more than %zu ranges in a sequence set", limit);
		if (set->count == cap) {
			struct seq_range *more = arena_array(a, cap == 0 ? 4 : cap * 2, sizeof(*more));

			for (size_t i = 0; i < set->count; i++)
				more[i] = set->ranges[i];
			cap = cap == 0 ? 4 : cap * 2;
			set->ranges = more;
		}
		set->has_star = set->has_star || r.first == SEQ_STAR || r.last == SEQ_STAR;
		set->ranges[set->count++] = r;
	} while (cursor_take(in, ','));
	return true;
}

bool seqset_parse(struct cursor *in, struct arena *a, size_t limit, struct seqset *set_r, struct fault *why)
{
	struct cursor try = *in;

	*set_r = (struct seqset){ 0 };
	if (cursor_take(in, '$')) {
		set_r->is_saved = true;
		return true;
	}
	if (!parse(&try, a, limit, set_r, why))
		return false;
	*in = try;
	return true;
}

static int by_first(const void *a, const void *b)
{
	const struct seq_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

void seqset_resolve(struct seqset *set, uint32_t max)
{
	size_t n = 0;

	if (set->count == 0)
		return;
	for (size_t i = 0; i < set->count; i++) {
		struct seq_range *r = &set->ranges[i];

		if (r->first == SEQ_STAR && max > 0)
			r->first = max;
		if (r->last == SEQ_STAR && max > 0)
			r->last = max;
		if (r->first > r->last) {
			uint32_t first = r->first;

			r->first = r->last;
			r->last = first;
		}
	}
	qsort(set->ranges, set->count, sizeof(*set->ranges), by_first);
	for (size_t i = 0; i < set->count; i++) {
		struct seq_range r = set->ranges[i];

		if (n > 0 && r.first <= set->ranges[n - 1].last) {
			if (r.last > set->ranges[n - 1].last)
				set->ranges[n - 1].last = r.last;
		} else if (n > 0 && r.first == set->ranges[n - 1].last + 1) {
			set->ranges[n - 1].last = r.last;
		} else {
			set->ranges[n++] = r;
		}
	}
	set->count = n;
	set->has_star = false;
}

bool seqset_has(const struct seqset *set, uint32_t n)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (n < set->ranges[mid].first)
			high = mid;
		else if (n > set->ranges[mid].last)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

void seqset_write(struct buffer *to, const struct seq_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_add_u8(to, ',');
		buffer_add_u64(to, ranges[i].first);
		if (ranges[i].last != ranges[i].first) {
			buffer_add_u8(to, ':');
			buffer_add_u64(to, ranges[i].last);
		}
	}
}
