/* inflight.c - one counter for all, a share for each holder: a share grows only if the sum stays under the limit. */
#include "inflight.h"

bool inflight_set(struct inflight *f, struct inflight_share *s, uint64_t n)
{
	if (n > s->octets) {
		uint64_t more = n - s->octets;
		uint64_t before = atomic_fetch_add(&f->now, more);

		if (before > f->max || more > f->max - before) {
			atomic_fetch_sub(&f->now, more);
			return false;
		}
	} else {
		atomic_fetch_sub(&f->now, s->octets - n);
	}
	s->octets = n;
	return true;
}
