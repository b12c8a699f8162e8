/* verb_resync.c - `roost resync -C FILE [--yes]`: have a stopped member take all of its mail anew from the master.
 *
 * What it has is moved aside, not removed, and only where it is certain that nobody needs it: another member reigns, says itself
 * that it serves, and the in-sync set, of which it is one, has gone on without this member. So whoever may take over has all that was
 * acknowledged. Starting the member does the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "http_get.h"
#include "store_tool.h"
#include "verb_args.h"
#include "verbs.h"

#define ASK_MS 3000

struct resync {
	const struct config *config;
	const char *server, *member;
	bool is_meant; /* --yes */
	char *master;
};

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
		if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	}
	return false;
}

static bool serves(const struct cluster *c, const struct cluster_server *s)
{
	for (size_t i = 0; i < c->member_count; i++) {
		const struct cluster_member *m = &c->members[i];

		if (strcmp(m->server, s->name) == 0 && strcmp(m->name, s->master) == 0)
			return m->is_up && (m->admin[0] == '\0' || http_get(m->admin, "/role", ASK_MS, NULL) == 200);
	}
	return false;
}

static bool is_dispensable(struct resync *r, const struct cluster *c, struct fault *why)
{
	const struct cluster_server *s = NULL;

	for (size_t i = 0; i < c->server_count; i++) {
		if (strcasecmp(c->servers[i].name, r->server) == 0)
			s = &c->servers[i];
	}
	if (s == NULL || s->master[0] == '\0')
		return fault_set(why, FAULT_OPERATOR, "the directory knows of no master of %s: this member may be the only one with its mail",
		                 r->server);
	if (strcmp(s->master, r->member) == 0)
		return fault_set(why, FAULT_OPERATOR, "%s is the master of %s: its mail is what the others are made from", r->member, s->name);
	if (has_word(s->in_sync, r->member))
		return fault_set(why, FAULT_OPERATOR,
		                 "%s is in the in-sync set of %s still, and may be needed if %s is lost: wait until it goes on without (a "
		                 "second, if it runs)",
		                 r->member, s->name, s->master);
	if (!has_word(s->in_sync, s->master) || !serves(c, s))
		return fault_set(why, FAULT_OPERATOR, "%s, the master of %s, is not there, or does not serve: nobody to take the mail from",
		                 s->master, s->name);
	r->master = bytes_to_str(bytes_of(s->master));
	return true;
}

/* store_confirm_fn */
static bool confirm(void *arg, struct fault *why)
{
	struct resync *r = arg;
	struct cluster c;
	bool ok;

	if (!cluster_read(r->config, &c, why))
		return fault_context(why, "whether this member is needed cannot be told");
	ok = is_dispensable(r, &c, why);
	cluster_fini(&c);
	if (ok && !r->is_meant)
		return fault_set(why, FAULT_CLIENT,
		                 "nothing was changed. %s serves and has gone on without %s; with --yes what is here is moved aside, and all "
		                 "of it is taken from there",
		                 r->master, r->member);
	return ok;
}

int verb_resync(int argc, char **argv)
{
	struct verb_args a;
	struct store_options o;
	struct resync r = { 0 };
	struct fault why;
	char *aside = NULL;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_YES, 0, 0, "-C FILE [--yes]");

	if (status == 0) {
		bool ok = verb_store_options(a.config, &o, &why);

		r = (struct resync){ a.config, config_string(a.config, "servername"), config_string(a.config, "member"), a.is_meant, NULL };
		if (ok && (r.server == NULL || r.member == NULL))
			ok = config_fault(a.config, "member", &why, "or servername is missing; use the configuration of a backend");
		ok = ok && store_set_aside(o.dir, confirm, &r, &aside, &why);
		if (ok)
			(void)printf("%s: what was here is in %s\nStart the member: it takes everything from %s. `roost status` shows how far it is.\n"
			             "When it is in sync, and nothing in there is wanted, remove %s.\n",
			             r.member, aside, r.master, aside);
		else
			status = verb_failed(argv[0], &why);
	}
	free(aside);
	free(r.master);
	verb_args_fini(&a);
	return status;
}
