/* mupdate_client.c - the connection's life and the queue of commands that wait for answers. Logging in is
 * mupdate_login.c, the update stream mupdate_follow.c. */
#include "mupdate_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "mupdate_client_private.h"

#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS 5000
#define DIAL_MS 5000
/* Silence after which a NOOP asks whether the server is still there; so long again without an answer: it is not. */
#define SILENCE_MS 10000
#define STRING_MAX (1024 * 1024)

static void dial(void *arg);

void client_fail(struct mupdate_client *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->problem, sizeof(c->problem), fmt, ap);
	va_end(ap);
	conn_abort(c->conn);
}

static void drop_commands(struct mupdate_client *c)
{
	struct list *m;

	while ((m = list_shift(&c->commands)) != NULL) {
		struct client_command *cmd = LIST_OBJECT(m, struct client_command, in_client);

		if (cmd->done != NULL)
			cmd->done(cmd->arg, MUPDATE_OUTCOME_LOST, BYTES_LIT("connection lost"));
		free(cmd);
	}
}

static void on_closed(struct conn *conn, void *arg, const struct fault *why)
{
	struct mupdate_client *c = arg;
	bool was_up = c->state == CLIENT_UP;

	(void)conn;
	c->conn = NULL;
	c->state = CLIENT_WAITING;
	c->is_listing = false;
	sasl_client_free(&c->sasl);
	buffer_fini(&c->mechanisms);
	if (c->problem[0] == '\0')
		(void)snprintf(c->problem, sizeof(c->problem), "%s", why != NULL ? why->what : "closed by the mupdate server");
	if (was_up) {
		log_event(LOG_WARNING, "peer.mupdate.lost", LOG_STR("why", c->problem));
		c->told[0] = '\0';
	} else if (strcmp(c->told, c->problem) != 0) {
		/* Once a problem, however often it is tried. */
		log_event(LOG_WARNING, "peer.mupdate.unreachable", LOG_STR("why", c->problem));
		(void)snprintf(c->told, sizeof(c->told), "%s", c->problem);
	}
	timer_start(c->again, c->pause_ms, 0);
	c->pause_ms = c->pause_ms * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : c->pause_ms * 2;
	drop_commands(c);
	if (was_up && c->o.events->on_down != NULL)
		c->o.events->on_down(c->o.arg);
}

static void answer(struct mupdate_client *c, const struct mupdate_line *line)
{
	struct list *first = c->commands.next;
	struct client_command *cmd = LIST_OBJECT(first, struct client_command, in_client);
	struct bytes text = line->count > 0 ? line->args[0] : BYTES_NONE;
	uint64_t tag;

	if (list_is_empty(&c->commands) || !bytes_to_u64(bytes_from(line->tag, 1), UINT64_MAX, &tag) || tag != cmd->tag) {
		client_fail(c, "an answer to nothing asked: tag \"%.*s\"", BYTES_FMT(line->tag));
		return;
	}
	if (bytes_equal_str(line->word, "MAILBOX") && line->count == 3) {
		if (cmd->record != NULL)
			cmd->record(cmd->arg, line->args[0], line->args[1], true, line->args[2]);
		return;
	}
	if (bytes_equal_str(line->word, "RESERVE") && line->count == 2) {
		if (cmd->record != NULL)
			cmd->record(cmd->arg, line->args[0], line->args[1], false, BYTES_NONE);
		return;
	}
	list_remove(first);
	if (cmd->done != NULL) {
		enum mupdate_outcome outcome = bytes_equal_str(line->word, "OK") ? MUPDATE_OUTCOME_OK :
		                               bytes_equal_str(line->word, "NO") ? MUPDATE_OUTCOME_NO :
		                                                                   MUPDATE_OUTCOME_BAD;

		cmd->done(cmd->arg, outcome, text);
	}
	free(cmd);
}

static void handle(struct mupdate_client *c, const struct mupdate_line *line)
{
	c->is_quiet = false;
	if (c->state != CLIENT_UP)
		client_login_line(c, line);
	else if (bytes_equal_str(line->tag, "*"))
		client_pushed_line(c, line);
	else if (bytes_equal_str(line->tag, CLIENT_UPDATE_TAG))
		client_update_line(c, line);
	else
		answer(c, line);
}

/* Within AUTHENTICATE the server's words are bare base64, which has no blank. False: the line is not complete. */
static bool take_challenge(struct mupdate_client *c)
{
	struct bytes in = conn_input(c->conn);
	size_t n = bytes_find(in, '\n');
	struct bytes text = bytes_trim(bytes_sub(in, 0, n));
	struct buffer copy = { 0 };

	if (n == in.n || bytes_find(text, ' ') < text.n)
		return false;
	buffer_add(&copy, text);
	conn_consume(c->conn, n + 1);
	client_auth_challenge(c, buffer_bytes(&copy));
	buffer_fini(&copy);
	return true;
}

static void on_input(struct conn *conn, void *arg)
{
	struct mupdate_client *c = arg;
	struct arena a = { 0 };

	for (;;) {
		struct bytes in = conn_input(conn);
		struct mupdate_line line;
		struct fault why;
		size_t used;
		enum mupdate_parse result;

		if (in.n == 0 || c->conn == NULL)
			break;
		if (c->state == CLIENT_AUTH && take_challenge(c))
			continue;
		result = mupdate_line_parse(in, STRING_MAX, &a, &line, &used, &why);
		if (result == MUPDATE_MORE || result == MUPDATE_GO_AHEAD) {
			conn_want(conn, in.n + 1);
			break;
		}
		conn_want(conn, 0);
		if (result != MUPDATE_OK) {
			client_fail(c, "the mupdate server said what is not MUPDATE: %s", why.what);
			break;
		}
		handle(c, &line);
		if (c->state == CLIENT_STARTTLS && conn_input(conn).n == 0)
			break;
		if (conn_input(conn).n >= used)
			conn_consume(conn, used);
		arena_fini(&a);
	}
	arena_fini(&a);
}

static void on_ready(struct conn *conn, void *arg)
{
	struct mupdate_client *c = arg;

	/* After a TLS handshake the banner comes again. */
	buffer_clear(&c->mechanisms);
	c->offers_tls = c->offers_roost = false;
	c->state = CLIENT_BANNER;
	conn_set_timeout(conn, SILENCE_MS);
}

static void on_timeout(struct conn *conn, void *arg)
{
	struct mupdate_client *c = arg;

	(void)conn;
	if (c->is_quiet || c->state != CLIENT_UP) {
		client_fail(c, "the mupdate server is silent");
		return;
	}
	c->is_quiet = true;
	(void)mupdate_client_send(c, "NOOP", NULL, 0, NULL, NULL, NULL);
}

static const struct conn_events events = {
	.on_ready = on_ready, .on_input = on_input, .on_timeout = on_timeout, .on_closed = on_closed
};

static void dial(void *arg)
{
	struct mupdate_client *c = arg;
	struct bytes word = BYTES_NONE;
	char *address;

	/* mupdate_server may name several hosts, with or without a port. */
	if (!config_word(c->o.config, "mupdate_server", c->next_address, &word)) {
		c->next_address = 0;
		(void)config_word(c->o.config, "mupdate_server", 0, &word);
	}
	c->next_address++;
	if (bytes_find(word, ':') < word.n)
		address = bytes_to_str(word);
	else
		address = must_printf("%.*s:%llu", BYTES_FMT(word), (unsigned long long)config_number(c->o.config, "mupdate_port"));
	c->problem[0] = '\0';
	c->state = CLIENT_BANNER;
	c->is_quiet = false;
	c->conn = conn_dial(c->loop, address, NULL, DIAL_MS, &events, c);
	free(address);
}

void client_came_up(struct mupdate_client *c)
{
	c->state = CLIENT_UP;
	c->pause_ms = FIRST_PAUSE_MS;
	log_event(LOG_INFO, "peer.mupdate.connected", LOG_STR("peer", conn_peer(c->conn)));
	if (c->o.events->on_up != NULL)
		c->o.events->on_up(c->o.arg, c->offers_roost);
	if (c->o.is_watcher && c->offers_roost)
		(void)mupdate_client_send(c, "XWATCH", NULL, 0, NULL, NULL, NULL);
	if (c->o.is_follower) {
		c->is_listing = true;
		if (c->o.events->on_list_begin != NULL)
			c->o.events->on_list_begin(c->o.arg);
		conn_write(c->conn, BYTES_LIT(CLIENT_UPDATE_TAG " UPDATE\r\n"));
	}
}

bool mupdate_client_send(struct mupdate_client *c, const char *verb, const struct bytes *args, size_t count,
                         mupdate_record_fn *record, mupdate_done_fn *done, void *arg)
{
	struct client_command *cmd;
	struct buffer out = { 0 };

	if (c->state != CLIENT_UP)
		return false;
	cmd = must_calloc(1, sizeof(*cmd));
	cmd->tag = ++c->next_tag;
	cmd->record = record;
	cmd->done = done;
	cmd->arg = arg;
	list_push(&c->commands, &cmd->in_client);
	buffer_addf(&out, "A%llu %s", (unsigned long long)cmd->tag, verb);
	for (size_t i = 0; i < count; i++)
		mupdate_add_string(&out, args[i]);
	buffer_add_str(&out, "\r\n");
	conn_write(c->conn, buffer_bytes(&out));
	buffer_fini(&out);
	return true;
}

struct mupdate_client *mupdate_client_start(struct loop *l, const struct mupdate_client_options *options)
{
	struct mupdate_client *c = must_calloc(1, sizeof(*c));

	c->loop = l;
	c->o = *options;
	c->pause_ms = FIRST_PAUSE_MS;
	c->again = timer_new(l, dial, c);
	list_init(&c->commands);
	dial(c);
	return c;
}

static void end_of_stopped(struct conn *conn, void *arg, const struct fault *why)
{
	(void)conn;
	(void)arg;
	(void)why;
}

static const struct conn_events stopped_events = { .on_closed = end_of_stopped };

void mupdate_client_stop(struct mupdate_client **cp)
{
	struct mupdate_client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	if (c->conn != NULL) {
		conn_set_events(c->conn, &stopped_events, NULL);
		if (c->state == CLIENT_UP)
			conn_write(c->conn, BYTES_LIT("Q LOGOUT\r\n"));
		conn_close(c->conn);
	}
	drop_commands(c);
	timer_free(&c->again);
	sasl_client_free(&c->sasl);
	buffer_fini(&c->mechanisms);
	free(c);
}

void mupdate_client_again(struct mupdate_client *c, const char *why)
{
	if (c->conn == NULL)
		return;
	c->pause_ms = LAST_PAUSE_MS;
	client_fail(c, "%s", why);
}

bool mupdate_client_is_up(const struct mupdate_client *c)
{
	return c->state == CLIENT_UP;
}

const char *mupdate_client_problem(const struct mupdate_client *c)
{
	return c->state == CLIENT_UP ? "" : c->problem;
}
