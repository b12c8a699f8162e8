/* verb_mailbox.c - `roost mailbox list [SERVER]|find NAME|check`: the directory as seen from here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cluster.h"
#include "location.h"
#include "map.h"
#include "store_tool.h"
#include "verb_args.h"
#include "verbs.h"

#define LIST_MS 600000
#define USAGE "list [SERVER] | find NAME | check   [-C FILE | --murder DIR]"

static void print_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	size_t *count = arg;

	(*count)++;
	(void)printf("%.*s\t%.*s\t%s\t%.*s\n", BYTES_FMT(name), BYTES_FMT(location), is_active ? "active" : "reserved",
	             BYTES_FMT(acl));
}

static int list(const struct verb_args *a)
{
	struct bytes args[1] = { a->count > 1 ? bytes_of(a->words[1]) : BYTES_NONE };
	size_t count = 0;
	struct fault why;

	if (!cluster_command(a->config, "LIST", args, a->count > 1 ? 1 : 0, LIST_MS, print_record, &count, &why))
		return verb_failed("mailbox", &why);
	return 0;
}

static int find(const struct verb_args *a)
{
	struct bytes args[1] = { bytes_of(a->words[1]) };
	size_t count = 0;
	struct fault why;

	if (!cluster_command(a->config, "FIND", args, 1, LIST_MS, print_record, &count, &why))
		return verb_failed("mailbox", &why);
	if (count > 0)
		return 0;
	(void)fault_set(&why, FAULT_CLIENT, "the directory has no mailbox %s (the name is the internal one: user.fred.Sent)",
	                a->words[1]);
	return verb_failed("mailbox", &why);
}

/* What the directory holds for the server: name to location, state and ACL in one text. */
static void keep_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	struct map *records = arg;

	free(map_put(records, name,
	             must_printf("%s %.*s %.*s", is_active ? "active" : "reserved", BYTES_FMT(location), BYTES_FMT(acl))));
}

struct comparison {
	const char *server;
	struct map *records; /* those met are taken out */
	size_t differences;
};

static void compare_one(void *arg, struct bytes name, struct bytes partition, struct bytes acl)
{
	struct comparison *c = arg;
	char *here = must_printf("active %s!%.*s %.*s", c->server, BYTES_FMT(partition), BYTES_FMT(acl));
	char *there = map_take(c->records, name);

	if (there == NULL || strcasecmp(here, there) != 0) {
		(void)printf("%.*s: here %s; in the directory %s\n", BYTES_FMT(name), here, there == NULL ? "nothing" : there);
		c->differences++;
	}
	free(here);
	free(there);
}

static size_t print_left(struct map *records)
{
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;
	size_t n = 0;

	while (map_next(records, &it, &name, &value)) {
		(void)printf("%.*s: here nothing; in the directory %s\n", BYTES_FMT(name), (char *)value);
		free(value);
		n++;
	}
	return n;
}

static bool check_against(const struct config *config, const char *server, const struct store_options *o,
                          struct fault *why)
{
	struct bytes args[1] = { bytes_of(server) };
	struct map records = { 0 };
	struct comparison c = { .server = server, .records = &records };
	bool ok = cluster_command(config, "LIST", args, 1, LIST_MS, keep_record, &records, why) &&
	          store_each_mailbox(o, compare_one, &c, why);

	c.differences += ok ? print_left(&records) : 0;
	map_fini(&records);
	return ok && (c.differences == 0 ||
	              fault_set(why, FAULT_OPERATOR, "%zu differences; a master mends them whenever it connects to the mupdate server",
	                        c.differences));
}

static int check(const struct verb_args *a)
{
	const char *server = config_string(a->config, "servername"), *name, *dir;
	struct store_options o;
	struct fault why;

	if (server == NULL || !config_family(a->config, "partition-", 0, &name, &dir)) {
		(void)config_fault(a->config, "servername", &why, "is missing; give -C the configuration of a backend to check");
		return verb_failed("mailbox", &why);
	}
	o = (struct store_options){ .dir = dir, .map_size = config_number(a->config, "index_map_size") };
	if (!check_against(a->config, server, &o, &why))
		return verb_failed("mailbox", &why);
	(void)printf("no difference\n");
	return 0;
}

int verb_mailbox(int argc, char **argv)
{
	struct verb_args a;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_MURDER, 1, 2, USAGE);

	if (status == 0) {
		if (strcmp(a.words[0], "list") == 0)
			status = list(&a);
		else if (strcmp(a.words[0], "find") == 0 && a.count == 2)
			status = find(&a);
		else if (strcmp(a.words[0], "check") == 0 && a.count == 1)
			status = check(&a);
		else {
			(void)fprintf(stderr, "usage: roost mailbox %s\n", USAGE);
			status = EXIT_USAGE;
		}
	}
	verb_args_fini(&a);
	return status;
}
