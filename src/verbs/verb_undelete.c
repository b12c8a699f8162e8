/* verb_undelete.c - `roost undelete MAILBOX`: have expunged messages back, while the daemon runs; it does the work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffer.h"
#include "clock.h"
#include "undelete.h"
#include "verb_args.h"
#include "verbs.h"

#define WAIT_MS 30000
#define USAGE "MAILBOX [--since TIME] [--uid SET] [--list] -C FILE"

/* Seconds since 1970, or YYYY-MM-DD of UTC. */
static bool read_since(const char *text, int64_t *since_r)
{
	struct bytes b = bytes_of(text);
	struct tm tm = { 0 };
	uint64_t seconds;
	const char *end;

	if (bytes_to_u64(b, INT64_MAX, &seconds)) {
		*since_r = (int64_t)seconds;
		return true;
	}
	end = strptime(text, "%Y-%m-%d", &tm);
	if (end == NULL || *end != '\0')
		return false;
	*since_r = (int64_t)timegm(&tm);
	return true;
}

static bool wait_answer(const char *dir, const char *name, struct buffer *text, struct fault *why)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t end = clock_mono_ms() + WAIT_MS;

	while (!undelete_answered(dir, name, text)) {
		if (clock_mono_ms() > end)
			return undelete_give_up(dir, name) ?
			               fault_set(why, FAULT_OPERATOR, "%s: the backend does not take the request; does it run?", dir) :
			               fault_set(why, FAULT_OPERATOR, "%s: the backend took the request and does not answer; see its log", dir);
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

static bool ask(const struct store_options *o, const struct intent_undelete *in, struct fault *why)
{
	struct buffer text = { 0 };
	struct bytes answer;
	char *name = NULL;
	bool ok = undelete_ask(o->dir, in, &name, why) && wait_answer(o->dir, name, &text, why);

	answer = bytes_trim(buffer_bytes(&text));
	if (ok && bytes_starts(answer, BYTES_LIT("ok ")))
		(void)printf("%.*s\n", BYTES_FMT(bytes_from(answer, 3)));
	else if (ok)
		ok = fault_set(why, FAULT_OPERATOR, "%.*s", BYTES_FMT(bytes_from(answer, 3)));
	buffer_fini(&text);
	free(name);
	return ok;
}

int verb_undelete(int argc, char **argv)
{
	struct verb_args a;
	struct store_options o;
	struct arena arena = { 0 };
	struct intent_undelete in = { 0 };
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_UNDELETE, 1, 1, USAGE);

	if (status == 0 && ((a.since != NULL && !read_since(a.since, &in.since)) ||
	                    (a.uids != NULL && (*a.uids == '\0' || !undelete_parse_uids(bytes_of(a.uids), &arena, &in))))) {
		(void)fprintf(stderr, "usage: roost undelete " USAGE "\nTIME: YYYY-MM-DD or seconds since 1970; SET: 3,7:9\n");
		status = EXIT_USAGE;
	}
	if (status == 0) {
		in.name = bytes_of(a.words[0]);
		if (!verb_store_options(a.config, &o, &why) ||
		    !(a.is_list ? undelete_list(&o, in.name, stdout, &why) : ask(&o, &in, &why)))
			status = verb_failed(argv[0], &why);
	}
	arena_fini(&arena);
	verb_args_fini(&a);
	return status;
}
