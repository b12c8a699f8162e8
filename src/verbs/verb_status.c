/* verb_status.c - `roost status`: what the mupdate server knows, and what each daemon says of itself on admin_listen. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cluster.h"
#include "http_get.h"
#include "verb_args.h"
#include "verbs.h"

#define ASK_MS 1500

/* What a daemon says of itself; an empty object where it says nothing. */
static json_t *ask(const char *admin)
{
	struct buffer body = { 0 };
	json_t *j = NULL;

	if (admin[0] != '\0' && http_get(admin, "/status.json", ASK_MS, &body) == 200)
		j = json_loadb((const char *)body.p, body.n, 0, NULL);
	buffer_fini(&body);
	return j != NULL ? j : json_object();
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = words; (at = strstr(at, word)) != NULL; at += n) {
		if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	}
	return false;
}

/* A member that does not join, as one of another mail server's: nobody has told any address. */
static bool is_foreign(const struct cluster_member *m)
{
	return m->imap[0] == '\0' && m->lmtp[0] == '\0' && m->sync[0] == '\0' && m->admin[0] == '\0';
}

static json_t *member_json(const struct cluster_server *s, const struct cluster_member *m)
{
	json_t *own = ask(m->admin);
	const char *role = json_string_value(json_object_get(own, "role"));

	bool is_master = strcmp(s->master, m->name) == 0;

	if (role == NULL)
		role = !is_foreign(m) ? "unknown" : is_master ? "master" : "replica";
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:o}", "name", m->name, "role", role, "joins",
	                 (int)!is_foreign(m), "up", (int)m->is_up, "named_master", (int)is_master, "in_sync",
	                 (int)has_word(s->in_sync, m->name), "imap", m->imap, "lmtp", m->lmtp, "sync", m->sync,
	                 "admin", m->admin, "pop3", m->pop3 != NULL ? m->pop3 : "", "status", own);
}

static json_t *collect(const struct config *config, const struct cluster *c)
{
	json_t *servers = json_array(), *fronts = json_array();
	struct bytes host = BYTES_NONE;
	json_t *all;

	(void)config_word(config, "mupdate_server", 0, &host);
	for (size_t i = 0; i < c->server_count; i++) {
		const struct cluster_server *s = &c->servers[i];
		json_t *members = json_array();

		for (size_t k = 0; k < c->member_count; k++) {
			if (strcasecmp(c->members[k].server, s->name) == 0)
				(void)json_array_append_new(members, member_json(s, &c->members[k]));
		}
		(void)json_array_append_new(servers, json_pack("{s:s, s:I, s:s, s:s, s:o}", "name", s->name, "epoch",
		                                               (json_int_t)s->epoch, "master", s->master, "in_sync", s->in_sync,
		                                               "members", members));
	}
	for (size_t i = 0; i < c->front_count; i++) {
		const struct cluster_front *f = &c->fronts[i];

		(void)json_array_append_new(fronts, json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:o}", "name", f->name, "up", (int)f->is_up,
		                                              "imap", f->imap, "lmtp", f->lmtp, "admin", f->admin, "pop3",
		                                              f->pop3 != NULL ? f->pop3 : "", "status", ask(f->admin)));
	}
	all = json_pack("{s:{s:s%, s:i}, s:o, s:o}", "directory", "server", (const char *)host.p, host.n, "port",
	                (int)config_number(config, "mupdate_port"), "servers", servers, "frontends", fronts);
	return all;
}

static json_int_t number(const json_t *j, const char *key)
{
	return json_integer_value(json_object_get(j, key));
}

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

static bool is_set(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

/* How far a member is behind the master, as the master sees it; "-" where nobody can tell. */
static void lag_text(const json_t *members, const char *name, char *to, size_t size)
{
	size_t i;
	json_t *m;

	(void)snprintf(to, size, "-");
	json_array_foreach(members, i, m) {
		json_t *peer = json_object_get(json_object_get(json_object_get(m, "status"), "peers"), name);

		if (strcmp(text(m, "role"), "master") == 0 && peer != NULL)
			(void)snprintf(to, size, "%" JSON_INTEGER_FORMAT, number(peer, "lag"));
		else if (is_set(m, "joins") && strcmp(text(m, "role"), "master") == 0 && strcmp(text(m, "name"), name) == 0)
			(void)snprintf(to, size, "0");
	}
}

/* Of one that does not join nobody knows. */
static const char *state_text(const json_t *m)
{
	if (!is_set(m, "joins"))
		return "-";
	return !is_set(m, "up") ? "down" : is_set(m, "in_sync") ? "in-sync" : "behind";
}

/* What the master says of NAME; NULL: nobody says that he is master. */
static const json_t *seen_by_master(const json_t *members, const char *name)
{
	size_t i;
	json_t *m;

	json_array_foreach(members, i, m) {
		if (strcmp(text(m, "role"), "master") == 0)
			return json_object_get(json_object_get(json_object_get(m, "status"), "peers"), name);
	}
	return NULL;
}

static void size_text(json_int_t octets, char *to, size_t size)
{
	static const char units[] = "KMGTP";
	double n = (double)octets / 1024;
	size_t i = 0;

	for (; n >= 1000 && units[i + 1] != '\0'; i++)
		n /= 1024;
	(void)snprintf(to, size, "%.1f%c", n, units[i]);
}

/* "1h 20m", "3m 05s", "12s"; empty: nobody knows. */
static void time_text(const json_t *p, char *to, size_t size)
{
	json_int_t s = number(p, "seconds_left");

	if (json_object_get(p, "seconds_left") == NULL)
		(void)snprintf(to, size, "time left unknown");
	else if (s >= 3600)
		(void)snprintf(to, size, "%lldh %lldm left", (long long)s / 3600, (long long)s / 60 % 60);
	else if (s >= 60)
		(void)snprintf(to, size, "%lldm %02llds left", (long long)s / 60, (long long)s % 60);
	else
		(void)snprintf(to, size, "%llds left", (long long)s);
}

/* Below a member that is not there yet: how far it is. */
static void print_progress(const json_t *members, const json_t *m)
{
	const json_t *seen = seen_by_master(members, text(m, "name"));
	const json_t *copy = json_object_get(json_object_get(m, "status"), "copy"), *lag = json_object_get(seen, "catching_up");
	char total[24], rate[24], left[48];

	if (copy == NULL)
		copy = json_object_get(seen, "copy");
	if (copy != NULL) {
		size_text(number(copy, "total"), total, sizeof(total));
		size_text(number(copy, "rate"), rate, sizeof(rate));
		time_text(copy, left, sizeof(left));
		(void)printf("%19scopy, %.10s: %lld%% of %s, %s/s, %s\n", "", text(copy, "state"), (long long)number(copy, "percent"), total,
		             rate, left);
	} else if (lag != NULL) {
		time_text(lag, left, sizeof(left));
		(void)printf("%19scatches up: %lld%% of %lld entries, %lld/s, %s\n", "", (long long)number(lag, "percent"),
		             (long long)number(lag, "total"), (long long)number(lag, "rate"), left);
	}
}

static void print_server(const json_t *s)
{
	json_t *members = json_object_get(s, "members"), *m;
	size_t i;

	json_array_foreach(members, i, m) {
		json_t *own = json_object_get(m, "status");
		char lag[24];

		lag_text(members, text(m, "name"), lag, sizeof(lag));
		(void)printf("%-12.12s %5" JSON_INTEGER_FORMAT " %-13.13s %-7s %-7s %7s %10" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT
		             " %.21s\n",
		             text(s, "name"), number(s, "epoch"), text(m, "name"), text(m, "role"),
		             state_text(m), lag, number(own, "applied"), number(own, "mailboxes"), text(m, "imap"));
		print_progress(members, m);
	}
}

/* What is not as one would think. */
static void print_notes(const json_t *s)
{
	json_t *members = json_object_get(s, "members"), *m;
	size_t i;

	json_array_foreach(members, i, m) {
		json_t *own = json_object_get(m, "status");
		json_int_t kept = number(own, "salvage_kept"), pending = number(own, "salvage_pending");

		if (is_set(m, "named_master") && strcmp(text(own, "sync_mode"), "async") == 0)
			(void)printf("%s is asynchronous: the master's disk alone has what the others lag behind\n", text(s, "name"));
		if (kept + pending > 0)
			(void)printf("%s has %" JSON_INTEGER_FORMAT " salvaged items for the master, and %" JSON_INTEGER_FORMAT
			             " to be decided: roost salvage list\n",
			             text(m, "name"), pending, kept);
		if (number(own, "damaged") > 0)
			(void)printf("%s: %" JSON_INTEGER_FORMAT " damaged entries were found, %" JSON_INTEGER_FORMAT
			             " of them not mended: replace the disk\n",
			             text(m, "name"), number(own, "damaged"), number(own, "not_mended"));
		if (json_object_get(own, "differs_in") != NULL)
			(void)printf("%s differs from its master, last in %s: roost verify\n", text(m, "name"), text(own, "differs_in"));
		if (json_object_get(own, "failed") != NULL)
			(void)printf("%s acts no more: %s\n", text(m, "name"), text(own, "failed"));
	}
}

static void print_all(const json_t *all)
{
	json_t *servers = json_object_get(all, "servers"), *fronts = json_object_get(all, "frontends");
	json_t *directory = json_object_get(all, "directory"), *at;
	size_t i;

	(void)printf("mupdate server %s, port %" JSON_INTEGER_FORMAT "\n\n", text(directory, "server"), number(directory, "port"));
	(void)printf("%-12s %5s %-13s %-7s %-7s %7s %10s %9s %s\n", "SERVER", "EPOCH", "MEMBER", "ROLE", "STATE", "LAG", "LSN",
	             "MAILBOXES", "IMAP");
	json_array_foreach(servers, i, at)
		print_server(at);
	json_array_foreach(servers, i, at)
		print_notes(at);
	(void)printf("\n%-15s %-5s %8s %9s %9s  %s\n", "FRONTEND", "STATE", "SESSIONS", "DELIVERED", "MAILBOXES", "IMAP, LMTP");
	json_array_foreach(fronts, i, at) {
		json_t *own = json_object_get(at, "status");

		(void)printf("%-15.15s %-5s %8" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT "  %.21s, %.21s\n",
		             text(at, "name"), is_set(at, "up") ? "up" : "down", number(own, "imap_sessions"), number(own, "accepted"),
		             number(own, "mailboxes"), text(at, "imap"), text(at, "lmtp"));
	}
}

int verb_status(int argc, char **argv)
{
	struct verb_args a;
	struct cluster c;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG | VERB_MURDER | VERB_JSON, 0, 0,
	                            "[-C FILE | --murder DIR] [--json]");

	if (status == 0 && !cluster_read(a.config, &c, &why))
		status = verb_failed("status", &why);
	else if (status == 0) {
		json_t *all = collect(a.config, &c);

		if (a.is_json) {
			(void)json_dumpf(all, stdout, JSON_INDENT(2));
			(void)putchar('\n');
		} else {
			print_all(all);
		}
		json_decref(all);
		cluster_fini(&c);
	}
	verb_args_fini(&a);
	return status;
}
