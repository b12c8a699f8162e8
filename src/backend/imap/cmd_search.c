/* SEARCH, UID SEARCH (RFC 3501 section 6.4.4) with RETURN (RFC 4731), SAVE (RFC 5182) and MODSEQ (RFC 7162).
 *
 * All results are collected first, as four octets each, then told as fast as the client takes them. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "search.h"
#include "seqset.h"

#define SEARCH_PIECE 32768

struct searching {
	struct search search;
	size_t told;
	struct buffer line;
};

static uint32_t number_of(const struct session *s, const struct command *cmd, uint32_t index)
{
	return cmd->c.is_uid ? s->box->uids[index] : index + 1;
}

/* The modseq that goes with what is told: of all found, or of those that MIN and MAX name (RFC 7162 section 3.1.10). */
static modseq_t modseq_of(const struct command *cmd, const struct search *sr)
{
	unsigned options = cmd->c.return_options & ~(unsigned)SEARCH_RETURN_SAVE;

	if (cmd->c.has_return && options == SEARCH_RETURN_MIN)
		return sr->first;
	if (cmd->c.has_return && options == SEARCH_RETURN_MAX)
		return sr->last;
	if (cmd->c.has_return && options == (SEARCH_RETURN_MIN | SEARCH_RETURN_MAX))
		return sr->first > sr->last ? sr->first : sr->last;
	return sr->highest;
}

/* RFC 5182 section 2.1: with MIN or MAX alone only these are kept. */
static void save(struct session *s, const struct command *cmd, const struct search *sr)
{
	unsigned options = cmd->c.return_options;
	uint32_t ends[2];
	size_t n = 0;

	if ((options & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT)) != 0 ||
	    (options & (SEARCH_RETURN_MIN | SEARCH_RETURN_MAX)) == 0) {
		box_save(s->box, sr->found, sr->count);
		return;
	}
	if (sr->count > 0 && (options & SEARCH_RETURN_MIN) != 0)
		ends[n++] = sr->found[0];
	if (sr->count > 0 && (options & SEARCH_RETURN_MAX) != 0 && (n == 0 || sr->count > 1))
		ends[n++] = sr->found[sr->count - 1];
	box_save(s->box, ends, n);
}

static void begin_esearch(struct session *s, struct command *cmd, struct searching *st)
{
	const struct search *sr = &st->search;
	unsigned options = cmd->c.return_options;

	buffer_add_str(&st->line, "* ESEARCH (TAG ");
	imap_write_string(&st->line, cmd->c.tag, false);
	buffer_add_str(&st->line, cmd->c.is_uid ? ") UID" : ")");
	if (sr->count > 0 && (options & SEARCH_RETURN_MIN) != 0)
		buffer_addf(&st->line, " MIN %u", number_of(s, cmd, sr->found[0]));
	if (sr->count > 0 && (options & SEARCH_RETURN_MAX) != 0)
		buffer_addf(&st->line, " MAX %u", number_of(s, cmd, sr->found[sr->count - 1]));
	if ((options & SEARCH_RETURN_COUNT) != 0)
		buffer_addf(&st->line, " COUNT %zu", sr->count);
	if (cmd->c.has_modseq && sr->count > 0)
		buffer_addf(&st->line, " MODSEQ %llu", (unsigned long long)modseq_of(cmd, sr));
	if (sr->count > 0 && (options & SEARCH_RETURN_ALL) != 0)
		buffer_add_str(&st->line, " ALL ");
	else
		st->told = sr->count;
}

/* One range, or one number, from st->told on. */
static void write_next(struct session *s, struct command *cmd, struct searching *st)
{
	const struct search *sr = &st->search;
	struct seq_range r;

	r.first = r.last = number_of(s, cmd, sr->found[st->told++]);
	if (!cmd->c.has_return) {
		buffer_add_u8(&st->line, ' ');
		buffer_add_u64(&st->line, r.first);
		return;
	}
	while (st->told < sr->count && number_of(s, cmd, sr->found[st->told]) == r.last + 1) {
		r.last++;
		st->told++;
	}
	seqset_write(&st->line, &r, 1);
	if (st->told < sr->count)
		buffer_add_u8(&st->line, ',');
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct searching *st = cmd->state;
	const struct search *sr = &st->search;

	cmd->resume = tell;
	while (st->told < sr->count) {
		write_next(s, cmd, st);
		if (st->line.n >= SEARCH_PIECE) {
			session_write(s, buffer_bytes(&st->line));
			buffer_clear(&st->line);
			if (session_is_full(s) && st->told < sr->count)
				return CMD_WANT_OUTPUT;
		}
	}
	if (!cmd->c.has_return && cmd->c.has_modseq && sr->count > 0)
		buffer_addf(&st->line, " (MODSEQ %llu)", (unsigned long long)modseq_of(cmd, sr));
	buffer_add_str(&st->line, "\r\n");
	session_write(s, buffer_bytes(&st->line));
	return answer_ok(cmd, "done");
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
		save(s, cmd, &st->search);
	if (cmd->c.has_return && cmd->c.return_options == SEARCH_RETURN_SAVE)
		return answer_ok(cmd, "saved");
	if (cmd->c.has_return)
		begin_esearch(s, cmd, st);
	else
		buffer_add_str(&st->line, "* SEARCH");
	return tell(s, cmd);
}

static void free_line(void *arg)
{
	buffer_fini(arg);
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
	if (!search_begin(s, cmd, &st->search)) {
		if ((cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
			box_save(s->box, NULL, 0);
		return CMD_DONE;
	}
	st->search.stops_at_first = cmd->c.has_return && cmd->c.return_options == SEARCH_RETURN_MIN;
	cmd->state = st;
	cmd->resume = go_on;
	arena_on_free(&cmd->arena, free_line, &st->line);
	return go_on(s, cmd);
}
