/* murder_ready.c - from started to serving: wait for every daemon, give each user an INBOX. */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "cluster.h"
#include "http_get.h"
#include "murder_private.h"

#define READY_MS 60000
#define STEP_MS 30
#define ASK_MS 1000
#define FIND_MS 10000

bool murder_nap(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
	sigset_t wanted;
	int signo;

	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGINT);
	(void)sigaddset(&wanted, SIGTERM);
	(void)sigaddset(&wanted, SIGHUP);
	(void)sigaddset(&wanted, SIGCHLD);
	signo = sigtimedwait(&wanted, NULL, &t);
	return signo > 0 && signo != SIGCHLD;
}

static bool is_ready(const struct daemon *d)
{
	return http_get(daemon_address(d, "admin_listen"), "/readyz", ASK_MS, NULL) == 200;
}

bool murder_wait_ready(struct murder *m, bool *interrupted_r, struct fault *why)
{
	uint64_t end = clock_mono_ms() + READY_MS;
	size_t at = 0;

	*interrupted_r = false;
	while (at < m->count) {
		bool has_changed;

		if (!murder_reap(m, false, &has_changed, why))
			return false;
		if (is_ready(&m->daemons[at])) {
			at++;
			continue;
		}
		if (clock_mono_ms() >= end)
			return fault_set(why, FAULT_OPERATOR, "%s does not get ready within %d s; see %s/log/%s.log", m->daemons[at].name,
			                 READY_MS / 1000, m->dir, m->daemons[at].name);
		if (murder_nap(STEP_MS)) {
			*interrupted_r = true;
			return fault_set(why, FAULT_TRANSIENT, "stopped by a signal before it served");
		}
	}
	return true;
}

static size_t drop(char *data, size_t size, size_t count, void *arg)
{
	(void)data;
	(void)arg;
	return size * count;
}

/* One IMAP command as the administrator, through a frontend. */
static bool imap_do(const struct murder *m, const char *address, const char *command, struct fault *why)
{
	CURL *curl = curl_easy_init();
	char *url = must_printf("imap://%s", address);
	CURLcode result = CURLE_FAILED_INIT;

	if (curl != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_URL, url);
		(void)curl_easy_setopt(curl, CURLOPT_USERNAME, "admin");
		(void)curl_easy_setopt(curl, CURLOPT_PASSWORD, m->admin_password);
		(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, command);
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 30000L);
		(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
		(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
		result = curl_easy_perform(curl);
		curl_easy_cleanup(curl);
	}
	free(url);
	return result == CURLE_OK || fault_set(why, FAULT_OPERATOR, "%s at %s: %s", command, address, curl_easy_strerror(result));
}

static void count_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	size_t *n = arg;

	(void)name;
	(void)location;
	(void)acl;
	*n += is_active;
}

/* "user.NAME", a '.' in the name as '^'. */
static char *inbox_of(const char *user)
{
	char *name = must_printf("user.%s", user);

	for (char *p = name + 5; *p != '\0'; p++) {
		if (*p == '.')
			*p = '^';
	}
	return name;
}

static bool make_inbox(struct murder *m, const char *user, size_t server, const char *front, struct fault *why)
{
	char *internal = inbox_of(user);
	struct bytes args[1] = { bytes_of(internal) };
	size_t found = 0;
	bool ok = cluster_command(m->client, "FIND", args, 1, FIND_MS, count_record, &found, why);

	if (ok && found == 0) {
		char *command = must_printf("CREATE \"user/%s\" backend%c", user, (int)('a' + server));

		ok = imap_do(m, front, command, why);
		free(command);
	}
	free(internal);
	return ok;
}

bool murder_make_inboxes(struct murder *m, struct fault *why)
{
	const char *front = "";
	size_t n = 0;
	bool ok = true;

	for (size_t i = m->count; i > 0; i--) {
		if (m->daemons[i - 1].kind == DAEMON_FRONTEND)
			front = daemon_address(&m->daemons[i - 1], "imap_listen");
	}
	for (size_t i = 0; ok && i < m->user_count; i++) {
		if (strcmp(m->users[i].name, "admin") != 0)
			ok = make_inbox(m, m->users[i].name, n++ % m->pairs, front, why);
	}
	return ok;
}
