/* search_answer.c - see search_answer.h. Four octets a message are kept until they are told. */
#include "search_answer.h"

#include "answer.h"
#include "box.h"
#include "imap_writer.h"
#include "seqset.h"

#define SEARCH_PIECE 32768

static uint32_t number_of(const struct search_answer *a, const struct command *cmd, uint32_t index)
{
	return cmd->c.is_uid ? a->search->box->uids[index] : index + 1;
}

/* The modseq that goes with what is told: of all found, or of those that MIN and MAX name (RFC 7162 section 3.1.10). */
static modseq_t modseq_of(const struct command *cmd, const struct search *sr)
{
	unsigned options = cmd->c.return_options & ~(unsigned)(SEARCH_RETURN_SAVE | SEARCH_RETURN_UPDATE | SEARCH_RETURN_CONTEXT | SEARCH_RETURN_RELEVANCY);

	if (cmd->c.has_return && options == SEARCH_RETURN_MIN)
		return sr->first;
	if (cmd->c.has_return && options == SEARCH_RETURN_MAX)
		return sr->last;
	if (cmd->c.has_return && options == (SEARCH_RETURN_MIN | SEARCH_RETURN_MAX))
		return sr->first > sr->last ? sr->first : sr->last;
	return sr->highest;
}

/* Which of the results PARTIAL names: *from_r to *to_r, the latter not among them. */
static void partial_range(const struct command *cmd, size_t count, size_t *from_r, size_t *to_r)
{
	int64_t first = cmd->c.partial_from, last = cmd->c.partial_to, n = (int64_t)count;

	if (first < 0) { /* -1 is the last */
		int64_t swap = n + last;

		last = n + first;
		first = swap < 0 ? 0 : swap;
	} else {
		first--;
		last--;
	}
	*from_r = first < n ? (size_t)first : count;
	*to_r = last < first ? *from_r : last < n ? (size_t)last + 1 : count;
}

static void begin_esearch(struct command *cmd, struct search_answer *a, bool is_utf8)
{
	const struct search *sr = a->search;
	unsigned options = cmd->c.return_options;

	buffer_add_str(&a->line, "* ESEARCH (TAG ");
	imap_write_string(&a->line, cmd->c.tag, false);
	if (a->mailbox.n > 0) { /* RFC 7377 section 2.1 */
		buffer_add_str(&a->line, " MAILBOX ");
		imap_write_mailbox(&a->line, a->mailbox, is_utf8);
		buffer_addf(&a->line, " UIDVALIDITY %u", sr->box->uidvalidity);
	}
	buffer_add_str(&a->line, cmd->c.is_uid ? ") UID" : ")");
	if (sr->count > 0 && (options & SEARCH_RETURN_MIN) != 0)
		buffer_addf(&a->line, " MIN %u", number_of(a, cmd, a->found[0]));
	if (sr->count > 0 && (options & SEARCH_RETURN_MAX) != 0)
		buffer_addf(&a->line, " MAX %u", number_of(a, cmd, a->found[sr->count - 1]));
	if ((options & SEARCH_RETURN_COUNT) != 0)
		buffer_addf(&a->line, " COUNT %zu", sr->count);
	if (cmd->c.has_modseq && sr->count > 0)
		buffer_addf(&a->line, " MODSEQ %llu", (unsigned long long)modseq_of(cmd, sr));
	a->end = 0;
	if (sr->count > 0 && (options & SEARCH_RETURN_ALL) != 0) {
		buffer_add_str(&a->line, " ALL ");
		a->end = sr->count;
	} else if ((options & SEARCH_RETURN_PARTIAL) != 0) {
		partial_range(cmd, sr->count, &a->at, &a->end);
		buffer_addf(&a->line, " PARTIAL (%lld:%lld ", (long long)cmd->c.partial_from, (long long)cmd->c.partial_to);
		if (a->at == a->end)
			buffer_add_str(&a->line, "NIL");
	}
	a->score_from = (options & SEARCH_RETURN_PARTIAL) != 0 ? a->at : 0;
	a->score_end = (options & SEARCH_RETURN_PARTIAL) != 0 ? a->end : sr->count;
	a->score_at = a->score_from;
	a->in_scores = false;
}

/* One range, or one number, from a->at on. */
static void write_next(struct command *cmd, struct search_answer *a)
{
	struct seq_range r;

	r.first = r.last = number_of(a, cmd, a->found[a->at++]);
	if (!cmd->c.has_return) {
		buffer_add_u8(&a->line, ' ');
		buffer_add_u64(&a->line, r.first);
		return;
	}
	while (a->at < a->end && number_of(a, cmd, a->found[a->at]) == r.last + 1) {
		r.last++;
		a->at++;
	}
	seqset_write(&a->line, &r, 1);
	if (a->at < a->end)
		buffer_add_u8(&a->line, ',');
}

/* Of the message that is FOUND's number AT. */
static unsigned score_of(const struct search_answer *a, size_t at)
{
	const struct search *sr = a->search;
	size_t from = 0, to = sr->count;

	/* FOUND may be in another order. */
	while (to - from > 1) {
		size_t middle = from + (to - from) / 2;

		if (sr->found[middle] <= a->found[at])
			from = middle;
		else
			to = middle;
	}
	return sr->scores[from];
}

/* The line has become long: false, if the client does not take more now. */
static bool tell_piece(struct session *s, struct search_answer *a)
{
	session_write(s, buffer_bytes(&a->line));
	buffer_clear(&a->line);
	return !session_is_full(s);
}

/* RFC 6203 section 4: a score for each that was told, or that was found where none was to be told. False: to be gone on with. */
static bool tell_scores(struct session *s, struct search_answer *a)
{
	if (!a->in_scores)
		buffer_add_str(&a->line, " RELEVANCY (");
	for (a->in_scores = true; a->score_at < a->score_end; a->score_at++) {
		if (a->line.n >= SEARCH_PIECE && !tell_piece(s, a))
			return false;
		if (a->score_at > a->score_from)
			buffer_add_u8(&a->line, ' ');
		buffer_add_u64(&a->line, score_of(a, a->score_at));
	}
	buffer_add_u8(&a->line, ')');
	return true;
}

enum cmd_step search_answer_tell(struct session *s, struct command *cmd, struct search_answer *a)
{
	while (a->at < a->end) {
		write_next(cmd, a);
		if (a->line.n >= SEARCH_PIECE && !tell_piece(s, a) && a->at < a->end)
			return CMD_WANT_OUTPUT;
	}
	if (cmd->c.has_return && (cmd->c.return_options & SEARCH_RETURN_PARTIAL) != 0 && !a->in_scores)
		buffer_add_u8(&a->line, ')');
	if ((cmd->c.return_options & SEARCH_RETURN_RELEVANCY) != 0 && !tell_scores(s, a))
		return CMD_WANT_OUTPUT;
	if (!cmd->c.has_return && cmd->c.has_modseq && a->search->count > 0)
		buffer_addf(&a->line, " (MODSEQ %llu)", (unsigned long long)modseq_of(cmd, a->search));
	buffer_add_str(&a->line, "\r\n");
	session_write(s, buffer_bytes(&a->line));
	return answer_ok(cmd, "done");
}

/* RFC 5182 section 2.1: with MIN or MAX alone only these are kept. */
void search_answer_save(struct session *s, const struct command *cmd, const struct search *sr)
{
	unsigned options = cmd->c.return_options;
	uint32_t ends[2];
	size_t n = 0;

	if ((options & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT | SEARCH_RETURN_PARTIAL)) != 0 ||
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

static void free_line(void *arg)
{
	buffer_fini(arg);
}

void search_answer_begin(struct session *s, struct command *cmd, struct search_answer *a, const struct search *search,
                         const uint32_t *found, const char *word)
{
	if (!a->has_begun)
		arena_on_free(&cmd->arena, free_line, &a->line);
	buffer_clear(&a->line);
	a->has_begun = true;
	a->search = search;
	a->found = found;
	a->at = 0;
	a->end = search->count;
	if (cmd->c.has_return) {
		begin_esearch(cmd, a, s->names.is_utf8);
	} else {
		buffer_add_str(&a->line, "* ");
		buffer_add_str(&a->line, word);
	}
}
