/* murder_files.c - the configurations of a local murder, one a daemon. What is there is kept. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "murder_private.h"
#include "users.h"

/* A listening address of a new configuration, held open until all are chosen so that none is chosen twice. */
struct ports {
	uint64_t base;
	int held[256];
	size_t count;
};

static bool free_port(struct ports *p, unsigned *port_r, struct fault *why)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0 ||
	    p->count == sizeof(p->held) / sizeof(p->held[0])) {
		if (fd >= 0)
			(void)close(fd);
		return fault_set(why, FAULT_OPERATOR, "no free port is to be had");
	}
	p->held[p->count++] = fd;
	*port_r = ntohs(a.sin_port);
	return true;
}

/* Append "KEY: 127.0.0.1:PORT". */
static bool add_address(struct ports *p, struct buffer *to, const char *key, uint64_t offset, struct fault *why)
{
	unsigned port = (unsigned)(p->base + offset);

	if (p->base == 0 && !free_port(p, &port, why))
		return false;
	if (port > 65535)
		return fault_set(why, FAULT_CLIENT, "--port-base %llu leaves no room for all ports", (unsigned long long)p->base);
	buffer_addf(to, "%s: 127.0.0.1:%u\n", key, port);
	return true;
}

bool murder_make_password(char to[PASSWORD_SIZE + 1], struct fault *why)
{
	static const char letters[] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	uint8_t random[PASSWORD_SIZE];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fault_set(why, FAULT_OPERATOR, "the system gives no random numbers");
	for (size_t i = 0; i < PASSWORD_SIZE; i++)
		to[i] = letters[random[i] % (sizeof(letters) - 1)];
	to[PASSWORD_SIZE] = '\0';
	return true;
}

static struct daemon *add_daemon(struct murder *m, enum daemon_kind kind, char *name, char *server)
{
	struct daemon *d;

	m->daemons = must_realloc(m->daemons, m->count + 1, sizeof(*m->daemons));
	d = &m->daemons[m->count++];
	*d = (struct daemon){ .kind = kind, .name = name, .server = server, .path = must_printf("%s/%s.conf", m->dir, name) };
	return d;
}

static bool has_file(const struct murder *m, const char *name)
{
	char *path = must_printf("%s/%s.conf", m->dir, name);
	bool is_there = access(path, F_OK) == 0;

	free(path);
	return is_there;
}

/* How many of what there are in DIR: backenda1, backendb1, ... or frontend1, frontend2, ... */
static size_t count_found(const struct murder *m, bool are_fronts)
{
	size_t n = 0;

	for (;; n++) {
		char *name = are_fronts ? must_printf("frontend%zu", n + 1) : must_printf("backend%c1", (int)('a' + n));
		bool is_there = n < 26 && has_file(m, name);

		free(name);
		if (!is_there)
			return n;
	}
}

static bool lay_out(struct murder *m, struct fault *why)
{
	size_t pairs = count_found(m, false), fronts = count_found(m, true);

	if (pairs > 0 && m->pairs > 0 && m->pairs != pairs)
		return fault_set(why, FAULT_CLIENT, "%s holds a murder of %zu pairs; --pairs %zu needs another --dir", m->dir, pairs, m->pairs);
	m->is_old = pairs > 0;
	m->pairs = pairs > 0 ? pairs : m->pairs > 0 ? m->pairs : 2;
	m->fronts = m->fronts > fronts ? m->fronts : fronts > 0 ? fronts : 1;
	(void)add_daemon(m, DAEMON_MUPDATE, must_strdup("mupdate"), NULL);
	for (size_t i = 0; i < m->pairs; i++) {
		for (int k = 1; k <= MURDER_MEMBERS; k++)
			(void)add_daemon(m, DAEMON_BACKEND, must_printf("backend%c%d", (int)('a' + i), k), must_printf("backend%c", (int)('a' + i)));
	}
	for (size_t i = 1; i <= m->fronts; i++)
		(void)add_daemon(m, DAEMON_FRONTEND, must_printf("frontend%zu", i), NULL);
	m->mupdate = &m->daemons[0];
	return true;
}

/* What the configurations have in common. */
static void add_common(const struct murder *m, struct buffer *to, const char *name)
{
	buffer_addf(to, "# %s of a local murder; written once, kept and never changed by it.\n", name);
	buffer_addf(to, "configdirectory: %s/%s\nusers_file: %s/users\nadmins: admin\nproxyservers: proxy\n", m->dir, name, m->dir);
}

const char *murder_port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon == NULL ? "" : colon + 1;
}

/* Write the file, and read it back. */
static bool settle(struct daemon *d, struct buffer *text, struct fault *why)
{
	bool ok = file_replace(d->path, buffer_bytes(text), 0600, why);

	buffer_fini(text);
	if (ok)
		d->config = config_read(d->path, why);
	return d->config != NULL;
}

static bool write_mupdate(struct murder *m, struct ports *p, struct fault *why)
{
	struct buffer text = { 0 };
	bool ok;

	add_common(m, &text, "mupdate");
	buffer_add_str(&text, "servers:");
	for (size_t i = 0; i < m->pairs; i++)
		buffer_addf(&text, " backend%c", (int)('a' + i));
	buffer_add_u8(&text, '\n');
	ok = add_address(p, &text, "mupdate_listen", 0, why) && add_address(p, &text, "admin_listen", 1, why);
	if (!ok)
		buffer_fini(&text);
	return ok && settle(m->mupdate, &text, why);
}

/* Both members of server I in one go: all that differs is the member's name, its directories and addresses. */
static bool write_pair(struct murder *m, size_t i, struct ports *p, struct fault *why)
{
	struct daemon *pair = &m->daemons[1 + i * MURDER_MEMBERS];
	struct buffer peers = { 0 }, addresses[MURDER_MEMBERS] = { 0 };
	char password[PASSWORD_SIZE + 1], *users = must_printf("%s/users", m->dir);
	bool ok = murder_make_password(password, why) &&
	          users_set_password(users, bytes_of(pair[0].server), bytes_of(password), why);

	for (size_t k = 0; ok && k < MURDER_MEMBERS; k++) {
		uint64_t at = 100 + 20 * i + 10 * k;
		struct buffer sync = { 0 };

		ok = add_address(p, &addresses[k], "imap_listen", at, why) && add_address(p, &addresses[k], "lmtp_listen", at + 1, why) &&
		     add_address(p, &addresses[k], "admin_listen", at + 3, why) && add_address(p, &addresses[k], "pop3_listen", at + 4, why) &&
		     add_address(p, &sync, "sync_listen", at + 2, why);
		if (ok) {
			struct bytes value = bytes_trim(bytes_from(buffer_bytes(&sync), strlen("sync_listen: ")));

			buffer_addf(&peers, " %s=%.*s", pair[k].name, BYTES_FMT(value));
			buffer_add(&addresses[k], buffer_bytes(&sync));
		}
		buffer_fini(&sync);
	}
	for (size_t k = 0; ok && k < MURDER_MEMBERS; k++) {
		struct buffer text = { 0 };

		add_common(m, &text, pair[k].name);
		buffer_addf(&text, "servername: %s\nmember: %s\nsync_peers:%.*s\n", pair[k].server, pair[k].name,
		            BYTES_FMT(buffer_bytes(&peers)));
		buffer_addf(&text, "partition-default: %s/%s/mail\n", m->dir, pair[k].name);
		buffer_addf(&text, "mupdate_server: 127.0.0.1\nmupdate_port: %s\nmupdate_authname: %s\nmupdate_password: %s\n",
		            murder_port_of(daemon_address(m->mupdate, "mupdate_listen")), pair[k].server, password);
		buffer_add(&text, buffer_bytes(&addresses[k]));
		ok = settle(&pair[k], &text, why);
	}
	for (size_t k = 0; k < MURDER_MEMBERS; k++)
		buffer_fini(&addresses[k]);
	buffer_fini(&peers);
	free(users);
	explicit_bzero(password, sizeof(password));
	return ok;
}

/* All frontends share one account, whose password the first that is there knows. */
static bool proxy_password(const struct murder *m, char to[PASSWORD_SIZE + 1], struct fault *why)
{
	char *users;
	bool ok;

	for (size_t i = 0; i < m->count; i++) {
		const struct daemon *d = &m->daemons[i];

		if (d->kind == DAEMON_FRONTEND && d->config != NULL && config_string(d->config, "proxy_password") != NULL) {
			(void)snprintf(to, PASSWORD_SIZE + 1, "%s", config_string(d->config, "proxy_password"));
			return true;
		}
	}
	users = must_printf("%s/users", m->dir);
	ok = murder_make_password(to, why) && users_set_password(users, BYTES_LIT("proxy"), bytes_of(to), why);
	free(users);
	return ok;
}

static bool write_front(struct murder *m, size_t i, struct ports *p, struct fault *why)
{
	struct daemon *d = &m->daemons[1 + m->pairs * MURDER_MEMBERS + i];
	struct buffer text = { 0 };
	char password[PASSWORD_SIZE + 1];
	bool ok = proxy_password(m, password, why);

	add_common(m, &text, d->name);
	buffer_addf(&text, "member: %s\nproxy_authname: proxy\nproxy_password: %s\n", d->name, password);
	buffer_addf(&text, "mupdate_server: 127.0.0.1\nmupdate_port: %s\nmupdate_authname: proxy\nmupdate_password: %s\n",
	            murder_port_of(daemon_address(m->mupdate, "mupdate_listen")), password);
	ok = ok && add_address(p, &text, "imap_listen", 10 + 10 * i, why) && add_address(p, &text, "lmtp_listen", 11 + 10 * i, why) &&
	     add_address(p, &text, "admin_listen", 12 + 10 * i, why) && add_address(p, &text, "pop3_listen", 13 + 10 * i, why);
	explicit_bzero(password, sizeof(password));
	if (!ok)
		buffer_fini(&text);
	return ok && settle(d, &text, why);
}

const char *daemon_address(const struct daemon *d, const char *key)
{
	const char *address = config_string(d->config, key);

	return address == NULL ? "" : address;
}

/* Read what is there. A pair of which one member's file is missing is not guessed at. */
static bool read_found(struct murder *m, struct fault *why)
{
	for (size_t i = 0; i < m->count; i++) {
		struct daemon *d = &m->daemons[i];

		if (access(d->path, F_OK) != 0)
			continue;
		d->config = config_read(d->path, why);
		if (d->config == NULL)
			return false;
	}
	for (size_t i = 1; i + 1 < 1 + m->pairs * MURDER_MEMBERS; i += MURDER_MEMBERS) {
		const struct daemon *pair = &m->daemons[i];

		if ((pair[0].config == NULL) != (pair[1].config == NULL))
			return fault_set(why, FAULT_CLIENT, "one of %s and %s is missing; put it back, or begin anew in another --dir",
			                 pair[0].path, pair[1].path);
	}
	if (m->mupdate->config == NULL && m->daemons[1].config != NULL)
		return fault_set(why, FAULT_CLIENT, "%s is missing; put it back, or begin anew in another --dir", m->mupdate->path);
	return true;
}

static bool write_missing(struct murder *m, struct ports *p, struct fault *why)
{
	bool ok = m->mupdate->config != NULL || write_mupdate(m, p, why);

	for (size_t i = 0; ok && i < m->pairs; i++) {
		if (m->daemons[1 + i * MURDER_MEMBERS].config == NULL)
			ok = write_pair(m, i, p, why);
	}
	for (size_t i = 0; ok && i < m->fronts; i++) {
		if (m->daemons[1 + m->pairs * MURDER_MEMBERS + i].config == NULL)
			ok = write_front(m, i, p, why);
	}
	return ok;
}

bool murder_prepare(struct murder *m, struct fault *why)
{
	struct ports ports = { .base = m->port_base };
	char *log = must_printf("%s/log", m->dir);
	bool ok = file_make_dirs(m->dir, 0700, why) && file_make_dirs(log, 0700, why) && lay_out(m, why) && read_found(m, why) &&
	          write_missing(m, &ports, why) && murder_prepare_users(m, why);

	for (size_t i = 0; ok && i < m->count; i++)
		ok = file_make_dirs(config_string(m->daemons[i].config, "configdirectory"), 0700, why);
	for (size_t i = 0; i < ports.count; i++)
		(void)close(ports.held[i]);
	free(log);
	return ok;
}
