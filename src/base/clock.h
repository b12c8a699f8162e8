/* clock.h - time. Deadlines, leases and durations use the monotonic clock, which no operator can set; the wall clock is
 * for what a human or a message carries (INTERNALDATE, log lines). Any thread. Pure floors do not include this. */
#ifndef ROOST_BASE_CLOCK_H
#define ROOST_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Since an arbitrary start. It goes on while the machine is suspended, so that a woken machine sees its leases gone. */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* MS from now, for a wait on a condition whose clock is CLOCK_MONOTONIC. */
struct timespec clock_deadline(uint64_t ms);
/* Seconds, or microseconds, since 1970-01-01 UTC. */
int64_t clock_wall_s(void);
int64_t clock_wall_us(void);

#endif
