/* load_imap.c - IMAP modes: NOOP round trips in INBOX, APPEND, whole sessions, idle selected connections. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { IMAP_BANNER, IMAP_LOGIN, IMAP_SELECT, IMAP_LOOP, IMAP_LITERAL, IMAP_LOGOUT };

static void login(struct client *c)
{
	struct run *r = c->run;
	const char *word = r->words[c->number % r->word_count], *colon = strchr(word, ':');

	c->begun_ns = now_ns();
	client_sendf(c, "l LOGIN %.*s %s\r\n", (int)(colon == NULL ? (long)strlen(word) : colon - word), word,
	             colon == NULL ? "" : colon + 1);
	c->step = IMAP_LOGIN;
}

static void connected(struct client *c)
{
	c->step = IMAP_BANNER;
}

static void noop(struct client *c)
{
	c->step = IMAP_LOOP;
	if (run_wants_more(c->run)) {
		c->run->started++;
		c->begun_ns = now_ns();
		client_send(c, "n NOOP\r\n", 8);
	} else {
		c->is_settled = true;
	}
}

static bool noop_line(struct client *c, char *line)
{
	switch (c->step) {
	case IMAP_BANNER:
		login(c);
		return strncmp(line, "* OK", 4) == 0;
	case IMAP_LOGIN:
		/* With INBOX selected only its backend knows the answer: a frontend has to ask. */
		if (strncmp(line, "l OK", 4) == 0) {
			client_send(c, "s SELECT INBOX\r\n", 16);
			c->step = IMAP_SELECT;
		}
		return line[0] == '*' || c->step == IMAP_SELECT;
	case IMAP_SELECT:
		if (strncmp(line, "s OK", 4) == 0)
			noop(c);
		return line[0] == '*' || c->step == IMAP_LOOP;
	default:
		if (line[0] == '*')
			return true;
		if (strncmp(line, "n OK", 4) == 0)
			client_good(c);
		else
			client_bad(c, line);
		noop(c);
		return true;
	}
}

static void append(struct client *c)
{
	struct run *r = c->run;

	if (!run_wants_more(r)) {
		c->is_settled = true;
		return;
	}
	c->id = ++r->started;
	c->begun_ns = now_ns();
	client_sendf(c, "a APPEND INBOX {%zu}\r\n", r->size);
	c->step = IMAP_LITERAL;
}

static bool append_line(struct client *c, char *line)
{
	switch (c->step) {
	case IMAP_BANNER:
		login(c);
		return strncmp(line, "* OK", 4) == 0;
	case IMAP_LOGIN:
		if (strncmp(line, "l OK", 4) == 0)
			append(c);
		return line[0] == '*' || c->step == IMAP_LITERAL || c->is_settled;
	case IMAP_LITERAL:
		if (line[0] != '+')
			return line[0] == '*';
		client_send(c, c->run->body, c->run->size);
		client_send(c, "\r\n", 2);
		c->step = IMAP_LOOP;
		return true;
	default:
		if (line[0] == '*')
			return true;
		if (strncmp(line, "a OK", 4) == 0)
			client_good(c);
		else
			client_bad(c, line);
		append(c);
		return true;
	}
}

/* A whole session an operation: connect, LOGIN, SELECT INBOX, LOGOUT. */
static bool login_line(struct client *c, char *line)
{
	switch (c->step) {
	case IMAP_BANNER:
		if (!run_wants_more(c->run)) {
			c->is_settled = true;
			return true;
		}
		c->run->started++;
		login(c);
		return strncmp(line, "* OK", 4) == 0;
	case IMAP_LOGIN:
		if (strncmp(line, "l OK", 4) == 0) {
			client_send(c, "s SELECT INBOX\r\n", 16);
			c->step = IMAP_SELECT;
		}
		return line[0] == '*' || c->step == IMAP_SELECT;
	case IMAP_SELECT:
		if (strncmp(line, "s OK", 4) == 0) {
			client_send(c, "o LOGOUT\r\n", 10);
			c->step = IMAP_LOGOUT;
		}
		return line[0] == '*' || c->step == IMAP_LOGOUT;
	default:
		if (line[0] == '*')
			return true;
		client_good(c);
		client_again(c);
		return true;
	}
}

static bool idle_line(struct client *c, char *line)
{
	switch (c->step) {
	case IMAP_BANNER:
		login(c);
		return strncmp(line, "* OK", 4) == 0;
	case IMAP_LOGIN:
		if (strncmp(line, "l OK", 4) == 0) {
			client_send(c, "s SELECT INBOX\r\n", 16);
			c->step = IMAP_SELECT;
		}
		return line[0] == '*' || c->step == IMAP_SELECT;
	case IMAP_SELECT:
		if (strncmp(line, "s OK", 4) != 0)
			return line[0] == '*';
		if (c->run->wants_idle)
			client_send(c, "i IDLE\r\n", 8);
		c->step = IMAP_LOOP;
		c->is_settled = true;
		if (++c->run->settled == c->run->connections) {
			(void)printf("{\"settled\": %zu}\n", c->run->settled);
			(void)fflush(stdout);
		}
		return true;
	default:
		return true;
	}
}

const struct mode mode_noop = { "noop", connected, noop_line };
const struct mode mode_append = { "append", connected, append_line };
const struct mode mode_login = { "login", connected, login_line };
const struct mode mode_idle = { "idle", connected, idle_line };
