/* verb_store.c - `roost dump|verify|rebuild -C FILE`: the partition of a member, named by the member's own configuration. */
#include <inttypes.h>
#include <stdio.h>

#include "store_tool.h"
#include "verb_args.h"
#include "verbs.h"

/* Octets a second that verify reads where --rate does not say: the member beside it has the rest of the disk. */
#define VERIFY_RATE (64u << 20)

bool verb_store_options(const struct config *c, struct store_options *o, struct fault *why)
{
	const char *name, *dir;

	if (!config_family(c, "partition-", 0, &name, &dir))
		return config_fault(c, "partition-", why, "no partition-NAME is given; use the configuration of a backend");
	*o = (struct store_options){ .dir = dir,
		                     .map_size = config_number(c, "index_map_size"),
		                     .segment_size = config_number(c, "journal_segment_size"),
		                     .keywords_max = (unsigned)config_number(c, "imap_max_keywords") };
	return true;
}

typedef bool tool_fn(const struct store_options *o, struct fault *why);

static bool dump(const struct store_options *o, struct fault *why)
{
	return store_dump(o, stdout, why);
}

static bool verify(const struct store_options *o, struct fault *why)
{
	uint64_t problems;

	if (!store_verify(o, stdout, &problems, why))
		return false;
	return problems == 0 ||
	       fault_set(why, FAULT_OPERATOR, "%s: %" PRIu64 " problems found; where the index alone is wrong, stop the member and "
	                                      "run `roost rebuild`; where the journal is, see \"A damaged journal\" in docs/operations.md",
	                 o->dir, problems);
}

static bool rebuild(const struct store_options *o, struct fault *why)
{
	return store_rebuild(o, stdout, why);
}

static int run(int argc, char **argv, unsigned takes, const char *usage, tool_fn *tool)
{
	struct verb_args a;
	struct store_options o;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | takes, 0, 0, usage);

	if (status == 0) {
		bool ok = verb_store_options(a.config, &o, &why);

		o.verify_rate = a.has_rate ? a.rate : VERIFY_RATE;
		ok = ok && tool(&o, &why);

		if (ok && fflush(stdout) != 0)
			ok = fault_set(&why, FAULT_OPERATOR, "the output could not be written");
		if (!ok)
			status = verb_failed(argv[0], &why);
	}
	verb_args_fini(&a);
	return status;
}

int verb_dump(int argc, char **argv)
{
	return run(argc, argv, 0, "-C FILE", dump);
}

int verb_verify(int argc, char **argv)
{
	return run(argc, argv, VERB_RATE, "-C FILE [--rate OCTETS]", verify);
}

int verb_rebuild(int argc, char **argv)
{
	return run(argc, argv, 0, "-C FILE", rebuild);
}
