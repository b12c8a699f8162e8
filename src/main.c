/* main.c - the one executable: its first argument is the verb. Roles run in the foreground; the rest do one thing.
 * Exit status: 0 done, 1 it failed (one line on standard error says why), 2 usage. */
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "config.h"
#include "dir_move.h"
#include "directory.h"
#include "frontend.h"
#include "log.h"
#include "verbs.h"

typedef bool role_fn(const struct config *config, struct fault *why);

static bool role_mupdate(const struct config *config, struct fault *why)
{
	log_set_identity("mupdate");
	return directory_run(config, why);
}

static bool role_backend(const struct config *config, struct fault *why)
{
	if (config_string(config, "member") != NULL)
		log_set_identity(config_string(config, "member"));
	return backend_run(config, why);
}

static bool role_frontend(const struct config *config, struct fault *why)
{
	if (config_string(config, "member") != NULL)
		log_set_identity(config_string(config, "member"));
	return frontend_run(config, why);
}

static bool export(const struct config *config, struct fault *why)
{
	return directory_export(config, stdout, why);
}

static bool import(const struct config *config, struct fault *why)
{
	return directory_import(config, stdin, why);
}

static const struct verb {
	const char *name;
	const char *word;                    /* a second word; NULL: none */
	role_fn *role;                       /* a role, run in the foreground; or */
	int (*run)(int argc, char **argv);   /* a verb that does one thing */
	const char *arguments;
	const char *help;
} verbs[] = {
	{ "murder", NULL, NULL, verb_murder, "--dir DIR [OPTION...]", "run a whole murder on this machine" },
	{ "mupdate", "export", export, NULL, "export -C FILE", "print the directory's records" },
	{ "mupdate", "import", import, NULL, "import -C FILE", "read them from standard input into an empty store" },
	{ "mupdate", NULL, role_mupdate, NULL, "-C FILE", "run the mupdate server in the foreground" },
	{ "backend", NULL, role_backend, NULL, "-C FILE", "run one member of a server in the foreground" },
	{ "frontend", NULL, role_frontend, NULL, "-C FILE", "run one frontend in the foreground" },
	{ "status", NULL, NULL, verb_status, "[-C FILE | --murder DIR] [--json]", "servers, members, roles, frontends" },
	{ "promote", NULL, NULL, verb_promote, "SERVER MEMBER", "make MEMBER the master, in order" },
	{ "failover", NULL, NULL, verb_failover, "SERVER", "make another member the master, in order" },
	{ "mailbox", NULL, NULL, verb_mailbox, "list [SERVER] | find NAME | check", "the directory as seen from here" },
	{ "user", NULL, NULL, verb_user, "add|passwd|del NAME -C FILE", "the credential file" },
	{ "dump", NULL, NULL, verb_dump, "-C FILE", "print a member's logical content" },
	{ "verify", NULL, NULL, verb_verify, "-C FILE [--rate OCTETS]", "check every checksum and invariant of a member" },
	{ "salvage", NULL, NULL, verb_salvage, "list|show|apply|discard|take ... -C FILE", "what a member had and the master has not" },
	{ "backup", NULL, NULL, verb_backup, "DIR -C FILE | --verify DIR", "copy a running member, or what is new in it, to DIR" },
	{ "restore", NULL, NULL, verb_restore, "--from DIR [--lsn N] [--exact] -C FILE", "make an empty member as such a copy has it" },
	{ "undelete", NULL, NULL, verb_undelete, "MAILBOX [--since TIME] [--uid SET] [--list] -C FILE", "have expunged messages back" },
	{ "rebuild", NULL, NULL, verb_rebuild, "-C FILE", "make a member's index anew from its journal" },
	{ "reindex", NULL, NULL, verb_reindex, "-C FILE", "have a member make its search index anew" },
	{ "resync", NULL, NULL, verb_resync, "-C FILE [--yes]", "have a stopped member take all anew from the master" },
};

static int usage(FILE *to)
{
	(void)fprintf(to, "usage: roost VERB ...\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		(void)fprintf(to, "  roost %-9s %-36s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
	return EXIT_USAGE;
}

static int run_role(const struct verb *verb, int argc, char **argv)
{
	struct fault why;
	struct config *config;
	enum log_level level;
	int first = verb->word != NULL ? 3 : 2;
	bool ok;

	if (argc != first + 2 || strcmp(argv[first], "-C") != 0) {
		(void)fprintf(stderr, "usage: roost %s %s\n", verb->name, verb->arguments);
		return EXIT_USAGE;
	}
	config = config_read(argv[first + 1], &why);
	if (config == NULL) {
		(void)fprintf(stderr, "roost %s: %s\n", verb->name, why.what);
		return 1;
	}
	if (log_level_of(bytes_of(config_string(config, "log_level")), &level))
		log_set_level(level);
	ok = verb->role(config, &why);
	if (!ok)
		(void)fprintf(stderr, "roost %s: %s\n", verb->name, why.what);
	config_free(&config);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("roost 0.1.0\n");
		return 0;
	}
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		(void)usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0 &&
		    (verbs[i].word == NULL || (argc >= 3 && strcmp(argv[2], verbs[i].word) == 0)))
			return verbs[i].run != NULL ? verbs[i].run(argc - 1, argv + 1) : run_role(&verbs[i], argc, argv);
	}
	return usage(stderr);
}
