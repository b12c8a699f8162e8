/* SORT, UID SORT (RFC 5256, RFC 5957) with RETURN (RFC 5267): search, have a column for each criterion (column_fill.h), then sort by
 * their ranks, from the last criterion to the first, which keeps the order of those before it; one criterion in a turn of the loop. */
#include <stdlib.h>

#include "alloc.h"
#include "annotation.h"
#include "answer.h"
#include "box.h"
#include "column_fill.h"
#include "context.h"
#include "dispatch.h"
#include "radix.h"
#include "search_answer.h"

#define SCORE_MAX 100u

struct sorting {
	struct search search;
	struct search_answer answer;
	struct column_fill fill;
	struct annotation_ranks annotations; /* of the criterion at hand */
	struct radix_item *items, *other; /* owned */
	uint32_t *rows;                   /* owned; room for the rows of a column, then what was found in its order */
	size_t left;                      /* criteria still to be sorted by */
};

static void free_sorting(void *arg)
{
	struct sorting *st = arg;

	free(st->items);
	free(st->other);
	free(st->rows);
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;

	cmd->resume = tell;
	return search_answer_tell(s, cmd, &st->answer);
}

static bool has_column(enum sort_by by)
{
	return by != SORT_RELEVANCY && by != SORT_ANNOTATION;
}

/* The ranks by criterion BY become what is sorted by. */
static void set_keys(struct session *s, struct sorting *st, const struct sort_criterion *by)
{
	const struct column *c = has_column(by->by) ? st->fill.columns[column_fill_kind(by->by)] : NULL;

	if (c != NULL)
		column_fill_rows(s, &st->fill, c, st->rows);
	for (size_t i = 0; i < st->search.count; i++) {
		uint32_t at = st->items[i].value, rank;

		if (c != NULL)
			rank = c->ranks[st->rows[at]];
		else if (by->by == SORT_ANNOTATION)
			rank = st->annotations.ranks[at];
		else
			rank = SCORE_MAX - st->search.scores[at]; /* the highest score is the first: RFC 6203 section 6 */
		st->items[i].key = by->is_reverse ? UINT32_MAX - rank : rank;
	}
	st->annotations = (struct annotation_ranks){ 0 };
}

static enum cmd_step sort(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	const struct sort_criterion *by;
	size_t n = st->search.count;
	enum fill_state state = FILL_ENDED;

	cmd->resume = sort;
	if (s->state != SESSION_SELECTED)
		return CMD_DONE;
	by = &cmd->c.criteria[st->left - 1];
	if (by->by == SORT_ANNOTATION)
		state = annotation_rank(s, cmd, &st->annotations, by, st->search.found, n);
	if (state != FILL_ENDED)
		return state == FILL_GOES_ON ? CMD_WANT_TURN : CMD_DONE;
	set_keys(s, st, by);
	st->left--;
	radix_sort(st->items, st->other, n);
	if (st->left > 0) {
		search_tell_progress(s, cmd, &st->search, 2, cmd->c.criterion_count - st->left, cmd->c.criterion_count);
		return CMD_WANT_TURN;
	}
	for (size_t i = 0; i < n; i++)
		st->rows[i] = st->search.found[st->items[i].value];
	context_add(s, cmd, st->rows, n);
	search_answer_begin(s, cmd, &st->answer, &st->search, st->rows, "SORT");
	return tell(s, cmd);
}

static enum cmd_step fill(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	enum fill_state state = column_fill_run(s, cmd, &st->fill);
	size_t n = st->search.count;

	cmd->resume = fill;
	if (state == FILL_GOES_ON)
		search_tell_progress(s, cmd, &st->search, 1, st->fill.at, n);
	if (state != FILL_ENDED)
		return state == FILL_GOES_ON ? CMD_WANT_TURN : CMD_DONE;
	st->items = must_realloc(NULL, n + 1, sizeof(*st->items));
	st->other = must_realloc(NULL, n + 1, sizeof(*st->other));
	st->rows = must_realloc(NULL, n + 1, sizeof(*st->rows));
	for (size_t i = 0; i < n; i++)
		st->items[i].value = (uint32_t)i;
	st->left = cmd->c.criterion_count;
	return sort(s, cmd);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	enum search_state state = search_run(s, cmd, &st->search);
	unsigned kinds = 0;

	if (state != SEARCH_ENDED)
		return state == SEARCH_GOES_ON ? CMD_WANT_TURN : state == SEARCH_WAITS ? CMD_WANT_COMMIT : CMD_DONE;
	for (size_t i = 0; i < cmd->c.criterion_count; i++) {
		if (has_column(cmd->c.criteria[i].by))
			kinds |= 1u << column_fill_kind(cmd->c.criteria[i].by);
	}
	column_fill_begin(cmd, &st->fill, kinds, st->search.found, st->search.count);
	return fill(s, cmd);
}

enum cmd_step cmd_sort(struct session *s, struct command *cmd)
{
	struct sorting *st = arena_zalloc(&cmd->arena, sizeof(*st));

	if ((cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
		return answer_bad(cmd, "SORT cannot save its results");
	if (!context_check(s, cmd) || !search_begin(s, cmd, &st->search))
		return CMD_DONE;
	st->search.parts = 3;
	arena_on_free(&cmd->arena, free_sorting, st);
	cmd->state = st;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
