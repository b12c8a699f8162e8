/* murder.c - `roost murder`: a whole murder on this machine under one supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "log.h"
#include "murder_private.h"
#include "verb_args.h"
#include "verbs.h"

#define DEFAULT_PORT_BASE 14300
#define WATCH_MS 200
#define USAGE \
	"--dir DIR [--pairs N] [--frontends N] [--port-base P] [--user NAME:PASSWORD]... [--no-restart]"

static bool take_number(const char *text, uint64_t least, uint64_t most, const char *option, uint64_t *v_r, struct fault *why)
{
	return (bytes_to_u64(bytes_of(text), most, v_r) && *v_r >= least) ||
	       fault_set(why, FAULT_CLIENT, "%s %s: it must be a number from %llu to %llu", option, text, (unsigned long long)least,
	                 (unsigned long long)most);
}

/* 0, or the exit status. */
static int take_arguments(struct murder *m, int argc, char **argv, struct fault *why)
{
	uint64_t v;

	for (int i = 1; i < argc; i++) {
		const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		bool ok;

		if (strcmp(option, "--no-restart") == 0) {
			m->is_restarting = false;
			continue;
		}
		if (value == NULL)
			return EXIT_USAGE;
		i++;
		if (strcmp(option, "--dir") == 0) {
			free(m->dir);
			m->dir = must_strdup(value);
			ok = true;
		} else if (strcmp(option, "--pairs") == 0) {
			ok = take_number(value, 1, MURDER_PAIRS_MAX, option, &v, why);
			m->pairs = ok ? (size_t)v : 0;
		} else if (strcmp(option, "--frontends") == 0) {
			ok = take_number(value, 1, MURDER_FRONTENDS_MAX, option, &v, why);
			m->fronts = ok ? (size_t)v : 0;
		} else if (strcmp(option, "--port-base") == 0) {
			ok = take_number(value, 0, 65535, option, &m->port_base, why);
		} else if (strcmp(option, "--user") == 0) {
			ok = murder_add_user(m, value, why);
		} else {
			return EXIT_USAGE;
		}
		if (!ok)
			return 1;
	}
	return m->dir == NULL ? EXIT_USAGE : 0;
}

/* The directory's real path, and a lock on it so that no two murders run in it. */
static bool take_dir(struct murder *m, int *lock_r, struct fault *why)
{
	char *real, *path;
	bool ok;

	if (!file_make_dirs(m->dir, 0700, why))
		return false;
	real = realpath(m->dir, NULL);
	if (real == NULL)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s", m->dir);
	if (strpbrk(real, "\r\n#") != NULL || strchr(real, ' ') != NULL) {
		(void)fault_set(why, FAULT_CLIENT, "%s: choose a --dir without blanks or '#' in its path", real);
		free(real);
		return false;
	}
	free(m->dir);
	m->dir = real;
	path = must_printf("%s/lock", m->dir);
	*lock_r = file_open(path, O_RDWR | O_CREAT, 0600, why);
	ok = *lock_r >= 0;
	if (ok && flock(*lock_r, LOCK_EX | LOCK_NB) != 0)
		ok = fault_set(why, FAULT_OPERATOR, "a murder is running in %s already", m->dir);
	free(path);
	return ok;
}

static bool take_program(struct murder *m, struct fault *why)
{
	m->program = realpath("/proc/self/exe", NULL);
	return m->program != NULL || fault_errno(why, FAULT_OPERATOR, errno, "/proc/self/exe");
}

static bool start_all(struct murder *m, struct fault *why)
{
	bool interrupted;

	for (size_t i = 0; i < m->count; i++) {
		if (!daemon_start(m, &m->daemons[i], why))
			return false;
	}
	return murder_wait_ready(m, &interrupted, why) && murder_make_inboxes(m, why) && murder_write_json(m, why);
}

/* Until a signal: start again what dies. */
static bool watch(struct murder *m, struct fault *why)
{
	while (!murder_nap(WATCH_MS)) {
		bool has_changed;

		if (!murder_reap(m, true, &has_changed, why) || (has_changed && !murder_write_json(m, why)))
			return false;
	}
	return true;
}

static void block_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static bool run(struct murder *m, struct fault *why)
{
	char *json = must_printf("%s/murder.json", m->dir);
	bool ok;

	block_signals();
	(void)unlink(json); /* of a supervisor that was killed: it is there only while all serves */
	if (!murder_prepare(m, why) || !murder_check_ports(m, why)) {
		free(json);
		return false;
	}
	(void)printf("Starting %zu daemons in %s ...\n", m->count, m->dir);
	(void)fflush(stdout);
	ok = start_all(m, why);
	if (ok) {
		murder_print(m);
		ok = watch(m, why);
		(void)printf("\nStopping ...\n");
		(void)fflush(stdout);
	}
	murder_stop(m);
	(void)unlink(json);
	free(json);
	return ok;
}

static void fini(struct murder *m)
{
	for (size_t i = 0; i < m->count; i++) {
		config_free(&m->daemons[i].config);
		free(m->daemons[i].name);
		free(m->daemons[i].server);
		free(m->daemons[i].path);
	}
	for (size_t i = 0; i < m->user_count; i++) {
		free(m->users[i].name);
		free(m->users[i].password);
	}
	config_free(&m->client);
	free(m->daemons);
	free(m->program);
	free(m->admin_password);
	free(m->dir);
	free(m);
}

int verb_murder(int argc, char **argv)
{
	struct murder *m = must_calloc(1, sizeof(*m));
	struct fault why;
	int lock = -1, status;

	log_set_level(LOG_ERROR);
	m->is_restarting = true;
	m->port_base = DEFAULT_PORT_BASE;
	status = take_arguments(m, argc, argv, &why);
	if (status == EXIT_USAGE)
		(void)fprintf(stderr, "usage: roost murder %s\n", USAGE);
	else if (status != 0 || !take_dir(m, &lock, &why) || !take_program(m, &why) || !run(m, &why))
		status = verb_failed("murder", &why);
	file_close(&lock);
	fini(m);
	return status;
}
