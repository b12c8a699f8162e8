/* radix.h - sorting many numbers, each with a value that goes with it, in time that grows with their count alone. */
#ifndef ROOST_BASE_RADIX_H
#define ROOST_BASE_RADIX_H

#include <stddef.h>
#include <stdint.h>

struct radix_item {
	uint64_t key;
	uint32_t value;
};

/* Sort the N ITEMS by key, ascending; those of one key stay in their order. OTHER is room for as many. A few passes of some
 * milliseconds for a million items. */
void radix_sort(struct radix_item *items, struct radix_item *other, size_t n);

#endif
