/* login_workers.h - threads on which somebody else is asked about a login (saslauthd, an issuer of tokens): it may take seconds, and must hold
 * up neither loops nor the pool that resolves names. So many jobs wait at most, and none longer than it may take. */
#ifndef ROOST_LOGIN_LOGIN_WORKERS_H
#define ROOST_LOGIN_LOGIN_WORKERS_H

#include "list.h"
#include "loop.h"

struct workers;
struct worker;

struct work_item {
	/* On a worker's thread; it asks worker_is_stopping() while it waits. */
	void (*run)(struct work_item *w, struct worker *on);
	/* On LOOP, once, whatever came of it: WAS_RUN false where it waited too long for its turn or the workers are stopped. */
	void (*done)(struct work_item *w, bool was_run);
	struct loop *loop;
	uint64_t until_ms; /* clock_mono_ms() until when it may begin */

	/* workers': */
	struct list in_queue;
	bool was_run;
};

/* COUNT threads. NULL with WHY. */
struct workers *workers_start(size_t count, size_t max_waiting, struct fault *why);
/* W is the workers' until done() is called. False: too many wait; done() is not called. Any thread. */
bool workers_add(struct workers *ws, struct work_item *w);
/* End the threads; what waits is given back as not run. Before the items' loops are stopped. NULL is allowed; adding goes on to be refused. */
void workers_stop(struct workers *ws);
void workers_free(struct workers **ws);
size_t workers_waiting(struct workers *ws);

bool worker_is_stopping(const struct worker *w);
/* Something of the worker's own that lasts from one item to the next (a connection), NULL at first; FREE is called at its end. */
void **worker_own(struct worker *w, void (*free_own)(void *own));

#endif
