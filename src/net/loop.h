/* loop.h - event loops: one thread each, on libuv; timers, messages between threads, blocking work on a pool.
 *
 * What belongs to a loop (connections, timers, sessions) is touched on its thread only. Threads talk by loop_post().
 * Across an asynchronous gap hand over an id or a counted object, never a pointer that the other side may free. */
#ifndef ROOST_NET_LOOP_H
#define ROOST_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

struct loop;

typedef void loop_fn(void *arg);

/* Make a loop and start its thread, named NAME (at most 15 octets). NULL with WHY set where the system refuses. */
struct loop *loop_start(const char *name, struct fault *why);
/* Make a loop that the calling thread runs itself by loop_run(); main threads use this. */
struct loop *loop_new(struct fault *why);
/* Run L on this thread until loop_stop(). */
void loop_run(struct loop *l);
/* Let L's thread end once all its handles are closed: whoever owns connections, listeners and timers on it closes them
 * first (on its thread). Any thread. */
void loop_stop(struct loop *l);
/* Join a started loop's thread, or after loop_run() has returned; frees L and sets it to NULL. Not on L's own thread. */
void loop_join(struct loop **l);
/* The loop whose thread this is, or NULL. */
struct loop *loop_current(void);
/* Monotonic milliseconds of this turn, cheap. On L's thread. */
uint64_t loop_now_ms(struct loop *l);

/* Have FN(ARG) called on L's thread, in the order of the posts of one thread, never from within this call. Any thread.
 * Messages posted after loop_stop() are still run before the thread ends, or dropped if it has ended. */
void loop_post(struct loop *l, loop_fn *fn, void *arg);

/* Have FN(ARG) called on a pool thread, where it may block, then DONE(ARG) on L. On L's thread. */
void loop_work(struct loop *l, loop_fn *fn, loop_fn *done, void *arg);

/* A timer. NULL where there is none. */
struct timer;
/* Make a stopped timer on the current loop; FN(ARG) is called when it fires. On the loop's thread, as all below. */
struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg);
/* (Re)start: fire once after MS, then every REPEAT_MS unless that is 0. */
void timer_start(struct timer *t, uint64_t ms, uint64_t repeat_ms);
void timer_stop(struct timer *t);
/* Stop and free; FN is not called again. Sets *T to NULL; NULL is allowed. */
void timer_free(struct timer **t);

/* Have FN(ARG) called on L whenever signal SIGNO comes. On L's thread, once per signal and loop. */
bool loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg, struct fault *why);

/* A fixed set of started loops over which connections are spread; loop I of COUNT. */
struct loops {
	struct loop **at; /* owned */
	size_t count;
};
/* COUNT of 0: one per core. */
bool loops_start(struct loops *ls, size_t count, struct fault *why);
/* loop_stop() and loop_join() on all. */
void loops_stop(struct loops *ls);

#endif
