/* murder_users.c - who may use a local murder: the administrator with cli.conf, the users asked for or made up. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "murder_private.h"
#include "users.h"

#define MADE_UP_LENGTH 12 /* it will be typed */

/* cli.conf: how the command line's verbs reach this murder as its administrator. */
static bool prepare_client(struct murder *m, struct fault *why)
{
	char *path = must_printf("%s/cli.conf", m->dir), *users = must_printf("%s/users", m->dir);
	char password[PASSWORD_SIZE + 1];
	const char *given = NULL;
	struct buffer text = { 0 };
	bool ok = true;

	for (size_t i = 0; i < m->user_count; i++) {
		if (strcmp(m->users[i].name, "admin") == 0)
			given = m->users[i].password;
	}
	if (given != NULL || access(path, F_OK) != 0) {
		ok = given != NULL || murder_make_password(password, why);
		if (ok && given == NULL)
			given = password;
		ok = ok && users_set_password(users, BYTES_LIT("admin"), bytes_of(given), why);
		if (ok) {
			buffer_addf(&text, "# The administrator's way in, for `roost status` and its like.\nmupdate_server: 127.0.0.1\nmupdate_port: %s\n",
			            murder_port_of(daemon_address(m->mupdate, "mupdate_listen")));
			buffer_addf(&text, "mupdate_authname: admin\nmupdate_password: %s\nusers_file: %s\n", given, users);
			ok = file_replace(path, buffer_bytes(&text), 0600, why);
		}
		explicit_bzero(password, sizeof(password));
		buffer_fini(&text);
	}
	if (ok)
		m->client = config_read(path, why);
	if (m->client != NULL && config_string(m->client, "mupdate_password") != NULL)
		m->admin_password = must_strdup(config_string(m->client, "mupdate_password"));
	free(path);
	free(users);
	return m->client != NULL && (m->admin_password != NULL ||
	                             config_fault(m->client, "mupdate_password", why, "is missing; it is the administrator's"));
}

bool murder_add_user(struct murder *m, const char *pair, struct fault *why)
{
	const char *colon = strchr(pair, ':');

	if (colon == NULL || colon == pair || colon[1] == '\0')
		return fault_set(why, FAULT_CLIENT, "--user %s: it must be NAME:PASSWORD", pair);
	if (m->user_count == MURDER_USERS_MAX)
		return fault_set(why, FAULT_LIMIT, "more than %d --user", MURDER_USERS_MAX);
	m->users[m->user_count++] = (struct murder_user){
		.name = bytes_to_str(bytes_make(pair, (size_t)(colon - pair))), .password = must_strdup(colon + 1)
	};
	return true;
}

/* The first users of a murder that was given none. */
static bool make_up(const char *path, struct fault *why)
{
	static const char *const names[] = { "fred", "mary" };
	struct buffer text = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && i < sizeof(names) / sizeof(names[0]); i++) {
		char password[PASSWORD_SIZE + 1];

		ok = murder_make_password(password, why);
		password[MADE_UP_LENGTH] = '\0';
		buffer_addf(&text, "%s:%s\n", names[i], password);
	}
	ok = ok && file_replace(path, buffer_bytes(&text), 0600, why);
	buffer_fini(&text);
	return ok;
}

/* Take NAME:PASSWORD lines as if they had been given. Made-up passwords are kept so that what a later start prints can be
 * pasted, too. */
static bool take_made_up(struct murder *m, const char *path, struct fault *why)
{
	struct buffer text = { 0 };
	struct bytes rest;
	bool ok = file_read_all(path, 65536, &text, NULL, why);

	rest = buffer_bytes(&text);
	while (ok && rest.n > 0) {
		char *line = bytes_to_str(bytes_trim(bytes_sub(rest, 0, bytes_find(rest, '\n'))));

		if (line[0] != '\0')
			ok = murder_add_user(m, line, why);
		rest = bytes_from(rest, bytes_find(rest, '\n') + 1);
		free(line);
	}
	buffer_fini(&text);
	return ok;
}

/* A message to try things with. */
static bool write_hello(const struct murder *m, struct fault *why)
{
	char *path = must_printf("%s/hello.eml", m->dir);
	bool ok = access(path, F_OK) == 0 ||
	          file_replace(path, BYTES_LIT("From: Roost <roost@localhost>\r\nTo: you@localhost\r\nSubject: Hello\r\n"
	                                       "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
	                                       "If you can read this, two machines had it on disk before you were told so.\r\n"),
	                       0644, why);

	free(path);
	return ok;
}

bool murder_prepare_users(struct murder *m, struct fault *why)
{
	char *file = must_printf("%s/users", m->dir), *kept = must_printf("%s/made-up-passwords", m->dir);
	size_t given = 0;
	bool ok = prepare_client(m, why) && write_hello(m, why);

	for (size_t i = 0; i < m->user_count; i++)
		given += strcmp(m->users[i].name, "admin") != 0;
	if (ok && given == 0) {
		if (access(kept, F_OK) != 0 && !m->is_old)
			ok = make_up(kept, why);
		ok = ok && (access(kept, F_OK) != 0 || take_made_up(m, kept, why));
	}
	for (size_t i = 0; ok && i < m->user_count; i++) {
		const struct murder_user *u = &m->users[i];

		if (strcmp(u->name, "admin") == 0)
			continue;
		for (size_t k = 0; ok && k < m->count; k++) {
			if (strcmp(u->name, "proxy") == 0 || (m->daemons[k].server != NULL && strcmp(u->name, m->daemons[k].server) == 0))
				ok = fault_set(why, FAULT_CLIENT, "--user %s: that name is a daemon's", u->name);
		}
		ok = ok && users_set_password(file, bytes_of(u->name), bytes_of(u->password), why);
	}
	free(file);
	free(kept);
	return ok;
}
