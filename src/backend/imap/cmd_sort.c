/* SORT, UID SORT (RFC 5256, RFC 5957) with RETURN (RFC 5267): search, then read what each message found is to be compared by, from
 * the ENVELOPE that is kept, then sort: pieces first, then pass by pass pairs of pieces, one pass in a turn of the loop. */
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_envelope.h"
#include "search_answer.h"

#define SORT_TURN_NS 5000000u
#define SORT_PIECE 4096 /* messages */

/* What a message is compared by in one criterion: the text, if the criterion is one of texts, else the number. */
struct sort_value {
	int64_t number;
	struct bytes text;
};

struct sorting {
	struct search search;
	struct search_answer answer;
	struct sort_value *values; /* criterion_count for each message found, in its order */
	uint32_t *order, *other;   /* positions in search.found; OTHER is room for a pass */
	size_t at;                 /* messages whose values were read, then sorted in pieces */
	size_t width;              /* of what is sorted by now */
	enum envelope_field needs;
	bool needs_envelope;
};

static bool is_text(enum sort_by by)
{
	return by != SORT_ARRIVAL && by != SORT_DATE && by != SORT_SIZE;
}

static enum envelope_field field_of(enum sort_by by)
{
	switch (by) {
	case SORT_SUBJECT:
		return ENVELOPE_SUBJECT;
	case SORT_FROM:
	case SORT_DISPLAYFROM:
		return ENVELOPE_FROM;
	case SORT_TO:
	case SORT_DISPLAYTO:
	case SORT_CC:
		return ENVELOPE_IDS;
	default:
		return ENVELOPE_DATE;
	}
}

/* RFC 5957 section 3: the name, else the address. */
static void write_display(const struct envelope_address *a, struct buffer *to)
{
	if (a->name.p != NULL) {
		mime_fold_words(a->name, to);
		return;
	}
	mime_fold_words(a->mailbox, to);
	if (a->host.p != NULL && a->mailbox.p != NULL) {
		buffer_add_u8(to, '@');
		mime_fold_words(a->host, to);
	}
}

static struct bytes text_of(struct command *cmd, enum sort_by by, const struct envelope *e)
{
	struct buffer text = { 0 };
	struct bytes kept;

	switch (by) {
	case SORT_SUBJECT:
		(void)mime_base_subject(e->subject, &text);
		break;
	case SORT_FROM:
		mime_fold_words(e->from.mailbox, &text);
		break;
	case SORT_TO:
		mime_fold_words(e->to.mailbox, &text);
		break;
	case SORT_CC:
		mime_fold_words(e->cc.mailbox, &text);
		break;
	case SORT_DISPLAYFROM:
		write_display(&e->from, &text);
		break;
	case SORT_DISPLAYTO:
		write_display(&e->to, &text);
		break;
	case SORT_ARRIVAL:
	case SORT_DATE:
	case SORT_SIZE:
		break;
	}
	kept = arena_copy(&cmd->arena, buffer_bytes(&text));
	buffer_fini(&text);
	return kept;
}

static void read_values(struct command *cmd, struct sorting *st, struct store_view *v, const struct message *msg,
                        struct sort_value *values)
{
	struct arena a = { 0 };
	struct envelope e = { 0 };
	struct bytes blob = BYTES_NONE, kept;
	struct fault why;
	int64_t day, sent = INT64_MIN;
	bool has_sent = false;

	if (st->needs_envelope && store_view_structure(v, msg->body, &blob, &why) == STORE_OK)
		has_sent = mime_blob_header(blob, &kept, &sent);
	if (st->needs_envelope && (!has_sent || st->needs > ENVELOPE_DATE))
		(void)envelope_read(mime_blob_envelope(blob), st->needs, &a, &e);
	for (size_t i = 0; i < cmd->c.criterion_count; i++) {
		enum sort_by by = cmd->c.criteria[i].by;

		if (is_text(by))
			values[i].text = text_of(cmd, by, &e);
		else if (by == SORT_SIZE)
			values[i].number = msg->size;
		else if (by == SORT_DATE && has_sent)
			values[i].number = sent != INT64_MIN ? sent : msg->internaldate;
		else if (by == SORT_ARRIVAL || !mime_date(e.date, &values[i].number, &day))
			values[i].number = msg->internaldate;
	}
	arena_fini(&a);
}

static int compare(const void *x, const void *y, void *arg)
{
	const struct command *cmd = arg;
	const struct sorting *st = cmd->state;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	size_t n = cmd->c.criterion_count;

	for (size_t i = 0; i < n; i++) {
		const struct sort_value *p = &st->values[a * n + i], *q = &st->values[b * n + i];
		int order = is_text(cmd->c.criteria[i].by) ? bytes_compare(p->text, q->text) :
		            p->number < q->number          ? -1 :
		                                             p->number > q->number;

		if (order != 0)
			return cmd->c.criteria[i].is_reverse ? -order : order;
	}
	return a < b ? -1 : a > b;
}

/* Merge the sorted FROM[a..b) and FROM[b..c) to TO[a..c). */
static void merge(struct command *cmd, const uint32_t *from, uint32_t *to, size_t a, size_t b, size_t c)
{
	size_t i = a, j = b;

	for (size_t k = a; k < c; k++)
		to[k] = j == c || (i < b && compare(&from[i], &from[j], cmd) <= 0) ? from[i++] : from[j++];
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;

	cmd->resume = tell;
	return search_answer_tell(s, cmd, &st->answer);
}

/* One pass, or the end. */
static enum cmd_step merge_pass(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	size_t n = st->search.count;
	uint32_t *swap = st->order;

	cmd->resume = merge_pass;
	if (s->state != SESSION_SELECTED)
		return CMD_DONE;
	if (st->width < n) {
		for (size_t a = 0; a < n; a += 2 * st->width) {
			size_t b = a + st->width < n ? a + st->width : n, c = b + st->width < n ? b + st->width : n;

			merge(cmd, st->order, st->other, a, b, c);
		}
		st->order = st->other;
		st->other = swap;
		st->width *= 2;
		return CMD_WANT_TURN;
	}
	for (size_t i = 0; i < n; i++)
		st->other[i] = st->search.found[st->order[i]];
	search_answer_begin(s, cmd, &st->answer, &st->search, st->other, "SORT");
	return tell(s, cmd);
}

static enum cmd_step sort_pieces(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	uint64_t until = clock_mono_ns() + SORT_TURN_NS;

	cmd->resume = sort_pieces;
	for (; st->at < st->search.count; st->at += SORT_PIECE) {
		size_t n = st->search.count - st->at;

		if (clock_mono_ns() > until)
			return CMD_WANT_TURN;
		n = n < SORT_PIECE ? n : SORT_PIECE;
		for (size_t i = st->at; i < st->at + n; i++)
			st->order[i] = (uint32_t)i;
		qsort_r(st->order + st->at, n, sizeof(*st->order), compare, cmd);
	}
	st->width = SORT_PIECE;
	return merge_pass(s, cmd);
}

static enum cmd_step read_all(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	uint64_t until = clock_mono_ns() + SORT_TURN_NS;
	struct store_view *v;
	struct message msg;
	struct box_reader reader;

	cmd->resume = read_all;
	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	reader = (struct box_reader){ .view = v, .mailbox = s->box->id };
	for (size_t done = 0; st->at < st->search.count; st->at++, done++) {
		if (done % 64 == 63 && clock_mono_ns() > until)
			break;
		/* One that went meanwhile is sorted by nothing. */
		if (box_read(&reader, s->box->uids[st->search.found[st->at]], &msg))
			read_values(cmd, st, v, &msg, &st->values[st->at * cmd->c.criterion_count]);
	}
	box_read_end(&reader);
	store_view_close(&v);
	if (st->at < st->search.count)
		return CMD_WANT_TURN;
	st->at = 0;
	return sort_pieces(s, cmd);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct sorting *st = cmd->state;
	enum search_state state = search_run(s, cmd, &st->search);

	if (state != SEARCH_ENDED)
		return state == SEARCH_GOES_ON ? CMD_WANT_TURN : CMD_DONE;
	st->values = arena_array(&cmd->arena, st->search.count * cmd->c.criterion_count, sizeof(*st->values));
	st->order = arena_array(&cmd->arena, st->search.count, sizeof(*st->order));
	st->other = arena_array(&cmd->arena, st->search.count, sizeof(*st->other));
	return read_all(s, cmd);
}

enum cmd_step cmd_sort(struct session *s, struct command *cmd)
{
	struct sorting *st = arena_zalloc(&cmd->arena, sizeof(*st));

	if ((cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
		return answer_bad(cmd, "SORT cannot save its results");
	for (size_t i = 0; i < cmd->c.criterion_count; i++) {
		enum sort_by by = cmd->c.criteria[i].by;

		st->needs_envelope = st->needs_envelope || (by != SORT_ARRIVAL && by != SORT_SIZE);
		if (field_of(by) > st->needs)
			st->needs = field_of(by);
	}
	if (!search_begin(s, cmd, &st->search))
		return CMD_DONE;
	cmd->state = st;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
