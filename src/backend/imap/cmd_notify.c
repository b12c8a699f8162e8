/* NOTIFY (RFC 5465): what was wanted before goes on until all that the new wishes begin with was told; then the selected mailbox's
 * news come with the answer, as they do with NOOP's. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "notify.h"

struct notifying {
	struct notify *next;
};

static void free_next(void *arg)
{
	struct notifying *st = arg;

	notify_free(&st->next);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct notifying *st = cmd->state;
	struct buffer out = { 0 };
	struct store_view *v;
	bool is_all;

	cmd->resume = go_on;
	if (s->state == SESSION_ENDING || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_all = notify_write_first(st->next, v, cmd->c.wants_status, &out);
	store_view_close(&v);
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
	if (!is_all)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	notify_free(&s->notify);
	s->notify = st->next;
	st->next = NULL;
	cmd->is_quiet = true;
	/* What has come up to now is told, but not fetched. */
	if (s->state == SESSION_SELECTED && !box_sync(s, cmd, true))
		return CMD_DONE;
	notify_selected_anew(s);
	return answer_ok(cmd, "done");
}

enum cmd_step cmd_notify(struct session *s, struct command *cmd)
{
	struct notifying *st = arena_zalloc(&cmd->arena, sizeof(*st));

	cmd->state = st;
	arena_on_free(&cmd->arena, free_next, st);
	st->next = notify_new(s, cmd);
	return st->next == NULL ? CMD_DONE : go_on(s, cmd);
}
