/* inflight.h - octets of messages held in memory by all sessions together, against max_inflight. Any thread. */
#ifndef ROOST_BACKEND_INFLIGHT_H
#define ROOST_BACKEND_INFLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight {
	atomic_uint_fast64_t now;
	uint64_t max;
};

/* What one session holds of it. Zero-initialise. */
struct inflight_share {
	uint64_t octets;
};

/* Let S hold N octets in all (more or fewer than before). False: that would be over the maximum; S is unchanged. */
bool inflight_set(struct inflight *f, struct inflight_share *s, uint64_t n);

#endif
