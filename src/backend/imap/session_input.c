/* session_input.c - what comes from an IMAP client: framed into commands, or lines for the command at hand. A large command is let in
 * only where there is room for it, and only as long as it comes. */
#include "session_private.h"

#include <stdlib.h>
#include <string.h>

#include "arrival.h"

#define IMAP_MESSAGE_ROOM (64u << 10) /* a command longer than this is counted against max_inflight while it is read */

static void refuse(struct session *s, struct bytes tag, const char *status, const struct fault *why)
{
	struct buffer line = { 0 };

	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	buffer_add(&line, tag);
	buffer_addf(&line, " %s %s\r\n", status, why->what);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	s->bad++;
}

static void comes_late(void *arg)
{
	session_bye(arg, "[LIMIT] the message comes too slowly");
}

/* A command of NEED octets comes: let it in, or answer NO [LIMIT] and skip it. */
static bool make_room(struct session *s, size_t need)
{
	struct bytes in = conn_input(s->client.conn);
	struct fault why;
	size_t n;

	if (need <= IMAP_MESSAGE_ROOM || inflight_set(&s->client.backend->inflight, &s->share, need)) {
		conn_want(s->client.conn, need);
		if (need > IMAP_MESSAGE_ROOM && s->arrival == NULL)
			s->arrival = arrival_watch(s->client.conn, config_number(s->client.backend->cfg, "imap_stall_timeout_s") * 1000,
			                           comes_late, s);
		return true;
	}
	(void)fault_set(&why, FAULT_LIMIT, "too many messages at once, try later");
	n = bytes_find(in, ' ');
	refuse(s, n > 0 && n < 64 ? bytes_sub(in, 0, n) : BYTES_LIT("*"), "NO [LIMIT]", &why);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	/* What is missing is the rest of a literal, and the end of its line. */
	s->framer = (struct imap_framer){ .skip = need >= 2 && need - 2 > in.n ? need - 2 - in.n : 0, .is_skipping = true };
	conn_consume(s->client.conn, in.n);
	conn_want(s->client.conn, 0);
	return true;
}

/* One step of framing; false: more input is needed. */
static bool take_frame(struct session *s)
{
	struct bytes in = conn_input(s->client.conn), tag;
	struct fault why = { 0 };
	size_t n = 0;
	struct imap_frame_limits limits = s->client.backend->frame_limits;
	enum imap_frame found;

	if (s->state == SESSION_NOT_AUTHED) {
		limits.line = limits.line < 16384 ? limits.line : 16384;
		limits.literal = limits.message = limits.messages = limits.literal < 4096 ? limits.literal : 4096;
		limits.command = limits.command < 32768 ? limits.command : 32768;
	}
	found = imap_framer_next(&s->framer, in, &limits, &n, &tag, &why);
	if (found != FRAME_MORE) {
		conn_want(s->client.conn, 0);
		arrival_end(&s->arrival);
	}
	switch (found) {
	case FRAME_MORE:
		(void)make_room(s, n);
		return false;
	case FRAME_COMMAND:
		session_command(s, n);
		return true;
	case FRAME_CONTINUE:
		session_write_str(s, "+ go ahead\r\n");
		return true;
	case FRAME_SKIP:
		conn_consume(s->client.conn, n);
		return true;
	case FRAME_REFUSED:
	case FRAME_TOO_BIG:
		refuse(s, tag, found == FRAME_TOO_BIG ? "NO [TOOBIG]" : "BAD", &why);
		conn_consume(s->client.conn, n);
		(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
		if (s->bad >= IMAP_BAD_MAX)
			session_bye(s, "too many bad commands");
		return true;
	case FRAME_FATAL:
		session_bye(s, "[LIMIT] far over a limit");
		return false;
	}
	return false;
}

/* A line for the command at hand; false: it has not come whole. */
static bool take_line(struct session *s)
{
	struct bytes in = conn_input(s->client.conn);
	size_t n = bytes_find(in, '\n');
	char *copy;
	size_t length;
	enum cmd_step step;

	if (n == in.n) {
		if (in.n > s->client.backend->frame_limits.line)
			session_bye(s, "[LIMIT] the line is too long");
		return false;
	}
	length = n > 0 && in.p[n - 1] == '\r' ? n - 1 : n;
	copy = bytes_to_str(bytes_sub(in, 0, length));
	conn_consume(s->client.conn, n + 1);
	step = s->cmd->on_line(s, s->cmd, bytes_make(copy, length));
	explicit_bzero(copy, length);
	free(copy);
	session_stepped(s, step);
	return true;
}

void session_run(struct session *s)
{
	bool goes_on = true;

	if (s->is_running)
		return;
	s->is_running = true;
	while (goes_on && s->is_ready && s->client.conn != NULL && s->state != SESSION_ENDING) {
		if (s->cmd == NULL) {
			struct bytes in = conn_input(s->client.conn);

			goes_on = in.n > 0 && !session_is_full(s) && take_frame(s);
		} else if (s->cmd->step == CMD_WANT_INPUT) {
			goes_on = take_line(s);
		} else {
			goes_on = false;
		}
	}
	/* While a command runs nothing is read, so that a client that sends ahead waits. */
	if (s->client.conn != NULL && s->state != SESSION_ENDING)
		conn_pause(s->client.conn, s->cmd != NULL && s->cmd->step != CMD_WANT_INPUT);
	s->is_running = false;
}
