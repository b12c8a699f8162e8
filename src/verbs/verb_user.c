/* verb_user.c - `roost user add|passwd|del NAME -C FILE`: the credential file (users_file). */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "users.h"
#include "verb_args.h"
#include "verbs.h"

#define PASSWORD_MAX 1024
#define USAGE "add|passwd|del NAME -C FILE"

/* One line of standard input into LINE; on a terminal without showing it, after PROMPT. */
static bool ask(const char *prompt, char line[PASSWORD_MAX], struct fault *why)
{
	struct termios shown, hidden;
	bool is_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
	bool ok;

	if (is_terminal) {
		hidden = shown;
		hidden.c_lflag &= (tcflag_t)~ECHO;
		(void)fputs(prompt, stderr);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	ok = fgets(line, PASSWORD_MAX, stdin) != NULL;
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		(void)fputc('\n', stderr);
	}
	if (!ok)
		return fault_set(why, FAULT_CLIENT, "no password on standard input");
	if (strlen(line) == PASSWORD_MAX - 1 && line[PASSWORD_MAX - 2] != '\n')
		return fault_set(why, FAULT_LIMIT, "the password is longer than %d octets", PASSWORD_MAX - 2);
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

static bool set_password(const char *file, const char *name, bool is_new, struct fault *why)
{
	char password[PASSWORD_MAX], again[PASSWORD_MAX];
	bool exists, ok;

	if (access(file, F_OK) != 0)
		exists = false;
	else if (!users_exists(file, bytes_of(name), &exists, why))
		return false;
	if (exists && is_new)
		return fault_set(why, FAULT_CLIENT, "%s is in %s already; `roost user passwd` changes the password", name, file);
	if (!exists && !is_new)
		return fault_set(why, FAULT_CLIENT, "%s is not in %s; `roost user add` makes a user", name, file);
	if (!ask("Password: ", password, why))
		return false;
	if (isatty(STDIN_FILENO)) {
		ok = ask("Once more: ", again, why);
		if (ok && strcmp(password, again) != 0)
			ok = fault_set(why, FAULT_CLIENT, "the two differ; nothing was changed");
		explicit_bzero(again, sizeof(again));
		if (!ok)
			return false;
	}
	ok = users_set_password(file, bytes_of(name), bytes_of(password), why);
	explicit_bzero(password, sizeof(password));
	return ok;
}

int verb_user(int argc, char **argv)
{
	struct verb_args a;
	struct fault why;
	const char *file;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG, 2, 2, USAGE);
	bool ok;

	if (status == 0) {
		file = config_string(a.config, "users_file");
		if (file == NULL) {
			ok = config_fault(a.config, "users_file", &why, "is missing; it names the file to change");
		} else if (strcmp(a.words[0], "add") == 0 || strcmp(a.words[0], "passwd") == 0) {
			ok = set_password(file, a.words[1], strcmp(a.words[0], "add") == 0, &why);
		} else if (strcmp(a.words[0], "del") == 0) {
			ok = users_delete(file, bytes_of(a.words[1]), &why);
		} else {
			(void)fprintf(stderr, "usage: roost user %s\n", USAGE);
			verb_args_fini(&a);
			return EXIT_USAGE;
		}
		status = ok ? 0 : verb_failed("user", &why);
	}
	verb_args_fini(&a);
	return status;
}
