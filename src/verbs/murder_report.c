/* murder_report.c - what a local murder tells: murder.json for programs, a page for people. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "file.h"
#include "murder_private.h"

static void set(json_t *to, const char *key, const char *value)
{
	(void)json_object_set_new(to, key, json_string(value));
}

static json_t *one(const struct daemon *d)
{
	json_t *j = json_object();

	(void)json_object_set_new(j, "pid", json_integer(d->pid));
	set(j, "config", d->path);
	set(j, "admin", daemon_address(d, "admin_listen"));
	if (d->kind == DAEMON_MUPDATE) {
		set(j, "address", daemon_address(d, "mupdate_listen"));
		return j;
	}
	set(j, "imap", daemon_address(d, "imap_listen"));
	set(j, "lmtp", daemon_address(d, "lmtp_listen"));
	set(j, "pop3", daemon_address(d, "pop3_listen"));
	if (d->kind == DAEMON_BACKEND)
		set(j, "sync", daemon_address(d, "sync_listen"));
	else
		set(j, "name", d->name);
	return j;
}

bool murder_write_json(const struct murder *m, struct fault *why)
{
	json_t *all = json_object(), *fronts = json_array(), *servers = json_object();
	char *path = must_printf("%s/murder.json", m->dir), *text;
	bool ok;

	for (size_t i = 0; i < m->count; i++) {
		const struct daemon *d = &m->daemons[i];
		json_t *server;

		if (d->kind == DAEMON_MUPDATE) {
			(void)json_object_set_new(all, "mupdate", one(d));
		} else if (d->kind == DAEMON_FRONTEND) {
			(void)json_array_append_new(fronts, one(d));
		} else {
			server = json_object_get(servers, d->server);
			if (server == NULL) {
				server = json_pack("{s:{}}", "members");
				(void)json_object_set_new(servers, d->server, server);
			}
			(void)json_object_set_new(json_object_get(server, "members"), d->name, one(d));
		}
	}
	(void)json_object_set_new(all, "frontends", fronts);
	(void)json_object_set_new(all, "servers", servers);
	text = json_dumps(all, JSON_INDENT(2));
	ok = text != NULL && file_replace(path, bytes_of(text), 0644, why);
	if (text == NULL)
		(void)fault_set(why, FAULT_OPERATOR, "murder.json cannot be made");
	free(text);
	free(path);
	json_decref(all);
	return ok;
}

static void print_tries(const struct murder *m, const struct daemon *front)
{
	const struct murder_user *u = NULL;

	for (size_t i = 0; u == NULL && i < m->user_count; i++) {
		if (strcmp(m->users[i].name, "admin") != 0)
			u = &m->users[i];
	}
	(void)printf("Try:\n");
	if (u != NULL) {
		(void)printf("  curl -sS 'imap://%s/INBOX' -u '%s:%s' -T %s/hello.eml\n", daemon_address(front, "imap_listen"), u->name,
		             u->password, m->dir);
		(void)printf("  curl -sS 'imap://%s/INBOX?ALL' -u '%s:%s'\n", daemon_address(front, "imap_listen"), u->name, u->password);
		(void)printf("  curl -sS 'imap://%s/INBOX;MAILINDEX=1' -u '%s:%s'\n", daemon_address(front, "imap_listen"), u->name,
		             u->password);
		if (daemon_address(front, "pop3_listen")[0] != '\0')
			(void)printf("  curl -sS 'pop3://%s/1' -u '%s:%s'\n", daemon_address(front, "pop3_listen"), u->name, u->password);
	}
	(void)printf("  %s status --murder %s\n  %s failover %s --murder %s\n", m->program, m->dir, m->program,
	             m->daemons[1].server, m->dir);
	(void)printf("  kill -9 %d   # %s; the pair goes on without it, and takes it back\n\n", (int)m->daemons[1].pid,
	             m->daemons[1].name);
}

void murder_print(const struct murder *m)
{
	const struct daemon *front = NULL;

	(void)printf("\nA murder is serving in %s\n\n", m->dir);
	for (size_t i = 0; i < m->count; i++) {
		const struct daemon *d = &m->daemons[i];

		if (d->kind == DAEMON_MUPDATE) {
			(void)printf("  %-11s mupdate %-16s                                               status http://%s/\n", d->name,
			             daemon_address(d, "mupdate_listen"), daemon_address(d, "admin_listen"));
		} else {
			(void)printf("  %-11s imap    %-16s lmtp %-16s  pop3 %-16s  status http://%s/\n", d->name,
			             daemon_address(d, "imap_listen"), daemon_address(d, "lmtp_listen"), daemon_address(d, "pop3_listen"),
			             daemon_address(d, "admin_listen"));
		}
		if (d->kind == DAEMON_FRONTEND && front == NULL)
			front = d;
	}
	(void)printf("\nMail clients use a frontend. Users (password):");
	for (size_t i = 0; i < m->user_count && i < 10; i++) {
		if (strcmp(m->users[i].name, "admin") != 0)
			(void)printf(" %s (%s)", m->users[i].name, m->users[i].password);
	}
	(void)printf(" admin (%s)\n\n", m->admin_password);
	print_tries(m, front);
	(void)printf("Logs are in %s/log. Ctrl-C stops it all; the mail stays.\n", m->dir);
	(void)fflush(stdout);
}
