/* THREAD, UID THREAD (RFC 5256; REFS): search, have columns of who each message says it answers (column_fill.h), and build the forest
 * of them, which is threads.h's; some milliseconds at a time. */
#include <stdlib.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "column_fill.h"
#include "dispatch.h"
#include "search.h"
#include "threads.h"

#define THREAD_TURN_NS 5000000u
#define THREAD_PIECE 32768

struct threading {
	struct search search;
	struct column_fill fill;
	struct threads threads;
	uint32_t *rows[COLUMN_KINDS]; /* owned; of what was found, in each column */
	size_t at, gone_at;
	unsigned step;
	uint32_t next;
	struct buffer line;
};

static void free_threading(void *arg)
{
	struct threading *st = arg;

	for (size_t k = 0; k < COLUMN_KINDS; k++)
		free(st->rows[k]);
	threads_fini(&st->threads);
	buffer_fini(&st->line);
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;

	cmd->resume = tell;
	while (st->next != 0) {
		threads_write(&st->threads, &st->next, &st->line, THREAD_PIECE);
		if (st->next == 0)
			break;
		session_write(s, buffer_bytes(&st->line));
		buffer_clear(&st->line);
		if (session_is_full(s))
			return CMD_WANT_OUTPUT;
	}
	buffer_add_str(&st->line, "\r\n");
	session_write(s, buffer_bytes(&st->line));
	return answer_ok(cmd, "done");
}

static enum cmd_step build(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;

	cmd->resume = build;
	if (s->state != SESSION_SELECTED)
		return CMD_DONE;
	if (st->step < THREADS_STEPS) {
		threads_step(&st->threads, st->step++);
		search_tell_progress(s, cmd, &st->search, 2, st->step, THREADS_STEPS);
		return CMD_WANT_TURN;
	}
	st->next = threads_first(&st->threads);
	buffer_add_str(&st->line, st->next != 0 ? "* THREAD " : "* THREAD");
	return tell(s, cmd);
}

static uint32_t rank_of(const struct threading *st, enum column_kind kind, size_t i)
{
	return st->rows[kind] == NULL ? 0 : st->fill.columns[kind]->ranks[st->rows[kind][i]];
}

static void add_one(struct session *s, struct command *cmd, size_t i)
{
	struct threading *st = cmd->state;
	const struct column *subjects = st->fill.columns[COLUMN_SUBJECT], *ids = st->fill.columns[COLUMN_IDS];
	size_t row = ids != NULL ? st->rows[COLUMN_IDS][i] : 0, begin = ids != NULL && row > 0 ? ids->ends[row - 1] : 0;
	uint32_t index = st->search.found[i];

	threads_add(&st->threads, cmd->c.is_uid ? s->box->uids[index] : index + 1, rank_of(st, COLUMN_DATE, i),
	            rank_of(st, COLUMN_ARRIVAL, i), rank_of(st, COLUMN_SUBJECT, i),
	            subjects != NULL && subjects->marks[st->rows[COLUMN_SUBJECT][i]] != 0, ids != NULL ? ids->ids + begin : NULL,
	            ids != NULL ? ids->ends[row] - begin : 0);
}

static enum cmd_step add_all(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;
	uint64_t until = clock_mono_ns() + THREAD_TURN_NS;

	cmd->resume = add_all;
	if (s->state != SESSION_SELECTED)
		return CMD_DONE;
	for (size_t done = 1; st->at < st->search.count; st->at++, done++) {
		if (done % 256 == 0 && clock_mono_ns() > until)
			return CMD_WANT_TURN;
		if (st->gone_at < st->fill.gone_count && st->fill.gone[st->gone_at] == st->at) {
			st->gone_at++;
			cmd->missed_one = true;
			continue;
		}
		add_one(s, cmd, st->at);
	}
	return build(s, cmd);
}

static enum cmd_step fill(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;
	enum fill_state state = column_fill_run(s, cmd, &st->fill);

	cmd->resume = fill;
	if (state == FILL_GOES_ON)
		search_tell_progress(s, cmd, &st->search, 1, st->fill.at, st->search.count);
	if (state != FILL_ENDED)
		return state == FILL_GOES_ON ? CMD_WANT_TURN : CMD_DONE;
	for (size_t k = 0; k < COLUMN_KINDS; k++) {
		if (st->fill.columns[k] == NULL)
			continue;
		st->rows[k] = must_realloc(NULL, st->search.count + 1, sizeof(*st->rows[k]));
		column_fill_rows(s, &st->fill, st->fill.columns[k], st->rows[k]);
	}
	return add_all(s, cmd);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	static const unsigned kinds[] = {
		[THREAD_ORDEREDSUBJECT] = 1u << COLUMN_SUBJECT | 1u << COLUMN_DATE,
		[THREAD_REFERENCES] = 1u << COLUMN_SUBJECT | 1u << COLUMN_DATE | 1u << COLUMN_IDS,
		[THREAD_REFS] = 1u << COLUMN_DATE | 1u << COLUMN_ARRIVAL | 1u << COLUMN_IDS,
	};
	struct threading *st = cmd->state;
	enum search_state state = search_run(s, cmd, &st->search);

	if (state != SEARCH_ENDED)
		return state == SEARCH_GOES_ON ? CMD_WANT_TURN : state == SEARCH_WAITS ? CMD_WANT_COMMIT : CMD_DONE;
	column_fill_begin(cmd, &st->fill, kinds[cmd->c.algorithm], st->search.found, st->search.count);
	return fill(s, cmd);
}

enum cmd_step cmd_thread(struct session *s, struct command *cmd)
{
	struct threading *st = arena_zalloc(&cmd->arena, sizeof(*st));

	if (!search_begin(s, cmd, &st->search))
		return CMD_DONE;
	st->search.parts = 3;
	threads_init(&st->threads, cmd->c.algorithm);
	arena_on_free(&cmd->arena, free_threading, st);
	cmd->state = st;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
