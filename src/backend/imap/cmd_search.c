/* SEARCH, UID SEARCH (RFC 3501 section 6.4.4) with RETURN (RFC 4731), SAVE (RFC 5182) and MODSEQ (RFC 7162). */
#include "answer.h"
#include "box.h"
#include "context.h"
#include "dispatch.h"
#include "search_answer.h"

struct searching {
	struct search search;
	struct search_answer answer;
};

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct searching *st = cmd->state;

	cmd->resume = tell;
	return search_answer_tell(s, cmd, &st->answer);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct searching *st = cmd->state;
	enum search_state state = search_run(s, cmd, &st->search);

	if (state == SEARCH_GOES_ON)
		return CMD_WANT_TURN;
	if (state == SEARCH_WAITS)
		return CMD_WANT_COMMIT;
	if (state == SEARCH_FAILED) {
		if (s->state == SESSION_SELECTED && (cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
			box_save(s->box, NULL, 0);
		return CMD_DONE;
	}
	if ((cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
		search_answer_save(s, cmd, &st->search);
	context_add(s, cmd, st->search.found, st->search.count);
	if (cmd->c.has_return && cmd->c.return_options == SEARCH_RETURN_SAVE)
		return answer_ok(cmd, "saved");
	search_answer_begin(s, cmd, &st->answer, &st->search, st->search.found, "SEARCH");
	return tell(s, cmd);
}

enum cmd_step cmd_search(struct session *s, struct command *cmd)
{
	struct searching *st = arena_zalloc(&cmd->arena, sizeof(*st));

	if ((s->features & IMAP_F_UTF8) != 0 && cmd->c.charset.n > 0)
		return answer_bad(cmd, "no CHARSET once UTF8=ACCEPT is enabled"); /* RFC 6855 section 3 */
	if ((s->features & IMAP_F_REV2) != 0 && !cmd->c.has_return) { /* RFC 9051 section 6.4.4: always ESEARCH */
		cmd->c.has_return = true;
		cmd->c.return_options = SEARCH_RETURN_ALL;
	}
	if (!context_check(s, cmd))
		return CMD_DONE;
	if (!search_begin(s, cmd, &st->search)) {
		if ((cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
			box_save(s->box, NULL, 0);
		return CMD_DONE;
	}
	st->search.stops_at_first = cmd->c.has_return && cmd->c.return_options == SEARCH_RETURN_MIN;
	cmd->state = st;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
