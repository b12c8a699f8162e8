/* pace.h - doing something at a bounded rate. */
#ifndef ROOST_BASE_PACE_H
#define ROOST_BASE_PACE_H

#include <stdint.h>

struct pace {
	uint64_t rate;   /* octets a second; 0: no bound */
	uint64_t due_ns; /* when the next may begin */
};

void pace_init(struct pace *p, uint64_t rate);
/* N octets were done: for how many ns to rest before the next. What was not used of the time is not saved up. */
uint64_t pace_rest_ns(struct pace *p, uint64_t n, uint64_t now_ns);
/* The same, and rest on this thread. */
void pace_rest(struct pace *p, uint64_t n);

#endif
