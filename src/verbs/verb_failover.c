/* verb_failover.c - `roost promote SERVER MEMBER` and `roost failover SERVER`: ask the mupdate server, which asks the
 * master; the answer comes when the new reign stands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "cluster.h"
#include "http_get.h"
#include "verb_args.h"
#include "verbs.h"

/* A little longer than the mupdate server itself waits. */
#define PROMOTE_MS 35000
#define SERVING_MS 10000
#define ASK_MS 1000

static const struct cluster_server *find(const struct cluster *c, const char *name)
{
	for (size_t i = 0; i < c->server_count; i++) {
		if (strcasecmp(c->servers[i].name, name) == 0)
			return &c->servers[i];
	}
	return NULL;
}

/* The directory's word is given before the new master has taken it up: wait until it says so itself. */
static void wait_serving(const struct cluster *c, const struct cluster_server *s)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t end = clock_mono_ms() + SERVING_MS;

	for (size_t i = 0; i < c->member_count; i++) {
		const struct cluster_member *m = &c->members[i];

		if (strcmp(m->server, s->name) != 0 || strcmp(m->name, s->master) != 0 || m->admin[0] == '\0')
			continue;
		while (http_get(m->admin, "/role", ASK_MS, NULL) != 200 && clock_mono_ms() < end)
			(void)nanosleep(&pause, NULL);
	}
}

static int tell(const struct verb_args *a, const char *before, uint64_t began_ms)
{
	struct cluster c;
	struct fault why;
	const struct cluster_server *s;

	if (!cluster_read(a->config, &c, &why))
		return verb_failed(a->verb, &why);
	s = find(&c, a->words[0]);
	if (s != NULL)
		wait_serving(&c, s);
	if (s != NULL && before != NULL && strcmp(before, s->master) == 0)
		(void)printf("%s: %s is the master already (epoch %llu)\n", s->name, s->master, (unsigned long long)s->epoch);
	else if (s != NULL)
		(void)printf("%s: %s is the master now (epoch %llu); it took %llu ms\n", s->name, s->master,
		             (unsigned long long)s->epoch, (unsigned long long)(clock_mono_ms() - began_ms));
	cluster_fini(&c);
	return 0;
}

static int hand_over(const struct verb_args *a, const char *member)
{
	struct bytes args[] = { bytes_of(a->words[0]), bytes_of(member) };
	struct cluster c;
	struct fault why;
	const struct cluster_server *s;
	char *before;
	uint64_t began;
	int status;

	if (!cluster_read(a->config, &c, &why))
		return verb_failed(a->verb, &why);
	s = find(&c, a->words[0]);
	if (s == NULL) {
		(void)fault_set(&why, FAULT_CLIENT, "there is no server %s; `roost status` shows what there is", a->words[0]);
		cluster_fini(&c);
		return verb_failed(a->verb, &why);
	}
	before = bytes_to_str(bytes_of(s->master));
	cluster_fini(&c);
	began = clock_mono_ms();
	if (cluster_command(a->config, "XPROMOTE", args, 2, PROMOTE_MS, NULL, NULL, &why))
		status = tell(a, before, began);
	else
		status = verb_failed(a->verb, &why);
	free(before);
	return status;
}

int verb_promote(int argc, char **argv)
{
	struct verb_args a;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_MURDER, 2, 2, "SERVER MEMBER [-C FILE | --murder DIR]");

	if (status == 0)
		status = hand_over(&a, a.words[1]);
	verb_args_fini(&a);
	return status;
}

int verb_failover(int argc, char **argv)
{
	struct verb_args a;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_MURDER, 1, 1, "SERVER [-C FILE | --murder DIR]");

	if (status == 0)
		status = hand_over(&a, "");
	verb_args_fini(&a);
	return status;
}
