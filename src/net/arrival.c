/* arrival.c - a timer that looks at how much is buffered. */
#include "arrival.h"

#include <stdlib.h>

#include "alloc.h"

struct arrival {
	struct conn *conn;
	struct timer *timer;
	uint64_t ms;
	size_t had; /* octets buffered when the timer was started */
	loop_fn *late;
	void *arg;
};

static void look(void *arg)
{
	struct arrival *a = arg;
	size_t has = conn_input(a->conn).n;

	if (has < a->had || has - a->had < ARRIVAL_STEP) {
		a->late(a->arg); /* may end A */
		return;
	}
	a->had = has;
	timer_start(a->timer, a->ms, 0);
}

struct arrival *arrival_watch(struct conn *c, uint64_t ms, loop_fn *late, void *arg)
{
	struct arrival *a = must_calloc(1, sizeof(*a));

	*a = (struct arrival){ .conn = c, .ms = ms, .had = conn_input(c).n, .late = late, .arg = arg };
	a->timer = timer_new(conn_loop(c), look, a);
	timer_start(a->timer, ms, 0);
	return a;
}

void arrival_end(struct arrival **ap)
{
	struct arrival *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	timer_free(&a->timer);
	free(a);
}
