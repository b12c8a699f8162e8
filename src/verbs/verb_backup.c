/* verb_backup.c - `roost backup DIR` and `roost restore --from DIR`: copies of a member's partition. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_backup.h"
#include "verb_args.h"
#include "verbs.h"

static bool verify(const char *dir, struct fault *why)
{
	uint64_t problems;

	if (!store_backup_verify(dir, stdout, &problems, why))
		return false;
	return problems == 0 || fault_set(why, FAULT_OPERATOR, "%s: %" PRIu64 " problems found; move the damaged base away, and `roost backup` makes a new one",
	                                  dir, problems);
}

int verb_backup(int argc, char **argv)
{
	struct verb_args a;
	struct store_options o;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_VERIFY, 1, 1, "DIR -C FILE | --verify DIR");

	if (status == 0) {
		bool ok = a.is_verify ? verify(a.words[0], &why) :
		                        verb_store_options(a.config, &o, &why) && store_backup(&o, a.words[0], stdout, &why);

		if (!ok)
			status = verb_failed(argv[0], &why);
	}
	verb_args_fini(&a);
	return status;
}

int verb_restore(int argc, char **argv)
{
	struct verb_args a;
	struct store_options o;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_FROM, 0, 0, "--from DIR [--lsn N] [--exact] -C FILE");

	if (status == 0 && a.from == NULL) {
		(void)fprintf(stderr, "usage: roost restore --from DIR [--lsn N] [--exact] -C FILE\n");
		status = EXIT_USAGE;
	}
	if (status == 0 && (!verb_store_options(a.config, &o, &why) || !store_restore(&o, a.from, a.lsn, a.is_exact, stdout, &why)))
		status = verb_failed(argv[0], &why);
	verb_args_fini(&a);
	return status;
}
