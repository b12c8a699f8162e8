/* kv_damage.c - what damage does: LMDB has no checksums and trusts its pages. It notices some damage by itself (assert);
 * other damage leads it, or whoever looks at a value, to an address that is not there. Both end the process with a line
 * that names the file, instead of a core that names nothing. */
#include "kv_private.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "log.h"

#define GUARDED_MAX 64

_Thread_local const struct kv *kv_inside;

static _Atomic(struct kv *) guarded[GUARDED_MAX];
static struct sigaction before[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

_Noreturn void kv_damaged(const struct kv *kv, const char *why)
{
	char *file = must_printf("%s/data.mdb", kv->dir);
	const char *what_to_do = KV_REMEDY;

	kv_inside = NULL;
	if (kv->is_copy) {
		char *aside = must_printf("%s.damaged", file);

		what_to_do = rename(file, aside) == 0 ? "nothing: it was set aside as data.mdb.damaged, the next start makes it anew" :
		                                        "remove it: the next start makes it anew";
		free(aside);
	}
	log_event(LOG_ERROR, "kv.store.damaged", LOG_STR("file", file), LOG_STR("why", why), LOG_STR("do", what_to_do));
	_exit(1);
}

bool kv_is_damaged(const struct kv *kv, struct fault *why, const char *fmt, ...)
{
	char text[FAULT_WHAT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fault_set(why, FAULT_OPERATOR, "%s/data.mdb: %s%s%s", kv->dir, text, kv->is_durable ? ": " : "",
	                 kv->is_durable ? KV_REMEDY : "");
}

static void on_assert(MDB_env *env, const char *text)
{
	kv_damaged(mdb_env_get_userctx(env), text);
}

static const struct kv *kv_at(const uint8_t *address)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		const struct kv *kv = atomic_load(&guarded[i]);

		if (kv != NULL && kv->base != NULL && address >= kv->base && (size_t)(address - kv->base) < kv->map_size)
			return kv;
	}
	return NULL;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	const struct kv *kv = kv_inside != NULL ? kv_inside : kv_at(info->si_addr);

	(void)context;
	if (kv == NULL) {
		/* Not ours: it happens again, as if nobody had been here. */
		(void)sigaction(signo, &before[signo == SIGBUS], NULL);
		return;
	}
	/* Should the line hang on what this thread holds, the process ends all the same. */
	(void)alarm(5);
	kv_damaged(kv, signo == SIGBUS ? "a page beyond its end, or one that the disk does not give" : "a page leads to nowhere");
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	(void)sigaction(SIGSEGV, &action, &before[0]);
	(void)sigaction(SIGBUS, &action, &before[1]);
}

void kv_guard(struct kv *kv)
{
	(void)pthread_once(&once, install);
	(void)mdb_env_set_userctx(kv->env, kv);
	(void)mdb_env_set_assert(kv->env, on_assert);
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		struct kv *none = NULL;

		if (atomic_compare_exchange_strong(&guarded[i], &none, kv))
			break;
	}
}

void kv_unguard(struct kv *kv)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		struct kv *it = kv;

		if (atomic_compare_exchange_strong(&guarded[i], &it, NULL))
			break;
	}
}
