/* location.c - a cut at the first '!', and what counts as equal. */
#include "location.h"

struct location location_of(struct bytes text)
{
	size_t n = bytes_find(text, '!');

	return (struct location){ bytes_sub(text, 0, n), bytes_from(text, n + 1) };
}

bool location_same_server(struct bytes a, struct bytes b)
{
	return bytes_equal_nocase(a, b);
}

bool location_equal(struct bytes a, struct bytes b)
{
	struct location x = location_of(a), y = location_of(b);

	return location_same_server(x.server, y.server) &&
	       (x.partition.n == 0 || y.partition.n == 0 || bytes_equal(x.partition, y.partition));
}
