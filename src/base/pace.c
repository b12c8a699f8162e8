/* pace.c - each piece of work moves the moment at which the next may begin. */
#include "pace.h"

#include <errno.h>
#include <time.h>

#include "clock.h"

#define NS 1000000000u
#define RATE_MAX ((uint64_t)NS * 10) /* more is no bound */

void pace_init(struct pace *p, uint64_t rate)
{
	*p = (struct pace){ .rate = rate > RATE_MAX ? 0 : rate };
}

uint64_t pace_rest_ns(struct pace *p, uint64_t n, uint64_t now_ns)
{
	if (p->rate == 0)
		return 0;
	if (p->due_ns < now_ns)
		p->due_ns = now_ns;
	p->due_ns += n / p->rate * NS + n % p->rate * NS / p->rate;
	return p->due_ns - now_ns;
}

void pace_rest(struct pace *p, uint64_t n)
{
	uint64_t ns = pace_rest_ns(p, n, clock_mono_ns());
	struct timespec t = { (time_t)(ns / NS), (long)(ns % NS) };

	/* Shorter rests are added up by the next. */
	if (ns < 1000000)
		return;
	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}
