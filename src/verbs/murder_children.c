/* murder_children.c - the processes of a local murder: start, take up, start again, stop. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "murder_private.h"

#define FIRST_PAUSE_MS 200
#define LAST_PAUSE_MS 5000
/* One that has lived so long is started again at once. */
#define SETTLED_MS 5000
#define STOP_MS 30000
#define TAIL_SIZE 4096

static bool check_address(const struct daemon *d, const char *key, struct fault *why)
{
	const char *address = daemon_address(d, key), *colon = strrchr(address, ':');
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t port;
	int fd, on = 1;
	bool ok;

	if (colon == NULL || !bytes_to_u64(bytes_of(colon + 1), 65535, &port))
		return true; /* the daemon itself will say what is wrong with it */
	a.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ok = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0;
	(void)close(fd);
	return ok || fault_set(why, FAULT_OPERATOR, "%s is in use, which is %s of %s: stop who has it (another murder?), or begin in "
	                                            "another --dir with another --port-base (0: any free ports)",
	                       address, key, d->path);
}

bool murder_check_ports(const struct murder *m, struct fault *why)
{
	static const char *const keys[] = { "mupdate_listen", "imap_listen", "lmtp_listen", "pop3_listen", "sync_listen", "admin_listen" };

	for (size_t i = 0; i < m->count; i++) {
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			if (!check_address(&m->daemons[i], keys[k], why))
				return false;
		}
	}
	return true;
}

static const char *verb_of(const struct daemon *d)
{
	return d->kind == DAEMON_MUPDATE ? "mupdate" : d->kind == DAEMON_BACKEND ? "backend" : "frontend";
}

/* In the child: what stays of it is the daemon, which goes when its supervisor goes. */
static _Noreturn void become(const struct murder *m, const struct daemon *d, int log, pid_t parent)
{
	char *argv[] = { (char *)"roost", (char *)verb_of(d), (char *)"-C", d->path, NULL };
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* A group of its own: Ctrl-C is for the supervisor alone, which stops the daemons in order. */
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(1);
	(void)execv(m->program, argv);
	_exit(127);
}

bool daemon_start(const struct murder *m, struct daemon *d, struct fault *why)
{
	char *path = must_printf("%s/log/%s.log", m->dir, d->name);
	int log = file_open(path, O_WRONLY | O_CREAT | O_APPEND, 0600, why);
	pid_t parent = getpid(), pid;

	free(path);
	if (log < 0)
		return false;
	pid = fork();
	if (pid == 0)
		become(m, d, log, parent);
	file_close(&log);
	if (pid < 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "starting %s", d->name);
	d->pid = pid;
	d->started_ms = clock_mono_ms();
	return true;
}

/* The last line of D's log. */
static void last_line(const struct murder *m, const struct daemon *d, char to[TAIL_SIZE])
{
	char *path = must_printf("%s/log/%s.log", m->dir, d->name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = fd < 0 ? 0 : pread(fd, to, TAIL_SIZE - 1, size > TAIL_SIZE - 1 ? size - (TAIL_SIZE - 1) : 0);
	char *line;

	free(path);
	if (fd >= 0)
		(void)close(fd);
	while (n > 0 && to[n - 1] == '\n')
		n--;
	to[n < 0 ? 0 : n] = '\0';
	line = strrchr(to, '\n');
	if (line != NULL)
		memmove(to, line + 1, strlen(line));
}

static struct daemon *daemon_of(struct murder *m, pid_t pid)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->daemons[i].pid == pid)
			return &m->daemons[i];
	}
	return NULL;
}

static void say_end(const struct daemon *d, int status)
{
	if (WIFSIGNALED(status))
		(void)printf("%s ended by signal %d", d->name, WTERMSIG(status));
	else
		(void)printf("%s ended with status %d", d->name, WEXITSTATUS(status));
}

static bool ended(struct murder *m, struct daemon *d, int status, bool is_up, struct fault *why)
{
	uint64_t now = clock_mono_ms();
	char tail[TAIL_SIZE];

	d->pid = 0;
	if (!is_up) {
		last_line(m, d, tail);
		return fault_set(why, FAULT_OPERATOR, "%s ended while starting: %s", d->name, tail[0] == '\0' ? "it said nothing" : tail);
	}
	say_end(d, status);
	if (!m->is_restarting) {
		(void)printf("; it is left so (--no-restart)\n");
		d->again_ms = UINT64_MAX;
	} else {
		d->pause_ms = now - d->started_ms > SETTLED_MS ? 0 : d->pause_ms * 2 + FIRST_PAUSE_MS;
		if (d->pause_ms > LAST_PAUSE_MS)
			d->pause_ms = LAST_PAUSE_MS;
		d->again_ms = now + d->pause_ms;
		(void)printf("; starting it again\n");
	}
	(void)fflush(stdout);
	return true;
}

bool murder_reap(struct murder *m, bool is_up, bool *has_changed_r, struct fault *why)
{
	int status;
	pid_t pid;

	*has_changed_r = false;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct daemon *d = daemon_of(m, pid);

		if (d == NULL)
			continue;
		*has_changed_r = true;
		if (!ended(m, d, status, is_up, why))
			return false;
	}
	for (size_t i = 0; i < m->count; i++) {
		struct daemon *d = &m->daemons[i];

		if (d->pid == 0 && is_up && d->again_ms <= clock_mono_ms()) {
			if (!daemon_start(m, d, why))
				return false;
			*has_changed_r = true;
		}
	}
	return true;
}

static bool any_left(const struct murder *m, enum daemon_kind kind)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->daemons[i].kind == kind && m->daemons[i].pid > 0)
			return true;
	}
	return false;
}

static void signal_all(const struct murder *m, enum daemon_kind kind, int signo)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->daemons[i].kind == kind && m->daemons[i].pid > 0)
			(void)kill(m->daemons[i].pid, signo);
	}
}

/* Wait until none of KIND is left, at most MS. */
static bool wait_gone(struct murder *m, enum daemon_kind kind, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (any_left(m, kind) && clock_mono_ms() < end) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		struct daemon *d = pid > 0 ? daemon_of(m, pid) : NULL;

		if (d != NULL) {
			d->pid = 0;
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
				say_end(d, status);
				(void)printf(" while stopping; see its log\n");
			}
		} else if (pid <= 0) {
			(void)murder_nap(20);
		}
	}
	return !any_left(m, kind);
}

void murder_stop(struct murder *m)
{
	static const enum daemon_kind order[] = { DAEMON_FRONTEND, DAEMON_BACKEND, DAEMON_MUPDATE };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		signal_all(m, order[i], SIGTERM);
		if (!wait_gone(m, order[i], STOP_MS)) {
			signal_all(m, order[i], SIGKILL);
			(void)wait_gone(m, order[i], STOP_MS);
		}
	}
}
