/* segment_guard.c - a page of a mapped segment that the disk does not give, or that is beyond a file that was cut: the process
 * ends with a line that names file and place, instead of a core that names nothing. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "journal.h"
#include "log.h"

/* Segments beyond so many are not looked after. */
#define GUARDED_MAX 16384

static _Atomic(const struct segment *) guarded[GUARDED_MAX];
static _Atomic(size_t) high; /* no slot from here on was ever taken */
static struct sigaction before;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct segment *segment_at(const uint8_t *address)
{
	size_t n = atomic_load(&high);

	for (size_t i = 0; i < n; i++) {
		const struct segment *s = atomic_load(&guarded[i]);

		if (s != NULL && address >= s->map && (size_t)(address - s->map) < s->size)
			return s;
	}
	return NULL;
}

static void on_bus_error(int signo, siginfo_t *info, void *context)
{
	const struct segment *s = segment_at(info->si_addr);

	(void)context;
	if (s == NULL) {
		/* Not ours: it happens again, as if nobody had been here. */
		(void)sigaction(signo, &before, NULL);
		return;
	}
	/* Should the line hang on what this thread holds, the process ends all the same. */
	(void)alarm(5);
	log_event(LOG_ERROR, "store.segment.unreadable", LOG_STR("file", s->path),
	          LOG_U64("offset", (uint64_t)((const uint8_t *)info->si_addr - s->map)),
	          LOG_STR("do", "restore this member from the other (roost resync)"));
	_exit(1);
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	(void)sigaction(SIGBUS, &action, &before);
}

void segment_guard(const struct segment *s)
{
	(void)pthread_once(&once, install);
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		const struct segment *none = NULL;

		if (atomic_compare_exchange_strong(&guarded[i], &none, s)) {
			size_t n = atomic_load(&high);

			while (n <= i && !atomic_compare_exchange_weak(&high, &n, i + 1))
				;
			return;
		}
	}
}

void segment_unguard(const struct segment *s)
{
	size_t n = atomic_load(&high);

	for (size_t i = 0; i < n; i++) {
		const struct segment *it = s;

		if (atomic_compare_exchange_strong(&guarded[i], &it, NULL))
			return;
	}
}
