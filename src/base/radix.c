/* radix.c - by digits of 11 bits from the lowest on; digits in which all keys are alike are left out. Few items are inserted. */
#include "radix.h"

#include <string.h>

#define DIGIT_BITS 11
#define DIGIT_VALUES (1u << DIGIT_BITS)
#define FEW 48

static void insert_each(struct radix_item *items, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct radix_item x = items[i];
		size_t k = i;

		for (; k > 0 && items[k - 1].key > x.key; k--)
			items[k] = items[k - 1];
		items[k] = x;
	}
}

void radix_sort(struct radix_item *items, struct radix_item *other, size_t n)
{
	struct radix_item *from = items, *to = other;
	uint64_t differ = 0;

	if (n <= FEW) {
		insert_each(items, n);
		return;
	}
	for (size_t i = 1; i < n; i++)
		differ |= items[i].key ^ items[0].key;
	for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
		size_t starts[DIGIT_VALUES + 1] = { 0 };
		struct radix_item *swap = from;

		if ((differ >> shift & (DIGIT_VALUES - 1)) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			starts[(from[i].key >> shift & (DIGIT_VALUES - 1)) + 1]++;
		for (size_t d = 1; d <= DIGIT_VALUES; d++)
			starts[d] += starts[d - 1];
		for (size_t i = 0; i < n; i++)
			to[starts[from[i].key >> shift & (DIGIT_VALUES - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, n * sizeof(*items));
}
