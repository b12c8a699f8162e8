/* cyrus_names.c - preloaded into the Cyrus daemons of a test: where names lead, and what is logged.
 *
 * A murder's parts find each other by host names and well-known ports. A test has neither /etc/hosts nor port 143 to
 * itself, so getaddrinfo() looks first into the file $CYRUS_TEST_NAMES, lines of "name service address port", and
 * syslog(3) goes to the file $CYRUS_TEST_LOG, as there may be nobody who listens at /dev/log. And srand() gets more than
 * the second and the number of the process, from which Cyrus makes its unique ids: daemons that start in one second give
 * different mailboxes the same id, and XFER is refused then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

typedef int lookup_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* The words of LINE, ended where the next begins; whether there are four. */
static int split(char *line, char *words[4])
{
	char *rest = line;

	for (int i = 0; i < 4; i++) {
		words[i] = strsep(&rest, " \n");
		if (words[i] == NULL || words[i][0] == '\0')
			return 0;
	}
	return 1;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **to)
{
	lookup_fn *lookup = (lookup_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
	const char *path = getenv("CYRUS_TEST_NAMES");
	FILE *names = path == NULL || name == NULL || service == NULL ? NULL : fopen(path, "re");
	char line[256], *words[4];
	int found = 0;

	while (names != NULL && !found && fgets(line, sizeof(line), names) != NULL)
		found = split(line, words) && strcmp(words[0], name) == 0 && strcmp(words[1], service) == 0;
	if (names != NULL)
		(void)fclose(names);
	return found ? lookup(words[2], words[3], hints, to) : lookup(name, service, hints, to);
}

void srand(unsigned seed)
{
	void (*set)(unsigned) = (void (*)(unsigned))dlsym(RTLD_NEXT, "srand");
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	set(seed ^ (unsigned)now.tv_nsec ^ (unsigned)getpid() << 16);
}

void vsyslog(int priority, const char *format, va_list args)
{
	const char *path = getenv("CYRUS_TEST_LOG");
	FILE *log = path == NULL ? NULL : fopen(path, "ae");
	struct timespec now;

	if (log == NULL)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)fprintf(log, "%lld.%03ld %d p%d ", (long long)now.tv_sec, now.tv_nsec / 1000000, (int)getpid(), LOG_PRI(priority));
	(void)vfprintf(log, format, args);
	(void)fputc('\n', log);
	(void)fclose(log);
}

void syslog(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsyslog(priority, format, args);
	va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	vsyslog(priority, format, args);
	va_end(args);
}
