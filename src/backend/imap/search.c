/* search.c - a search program, message by message in the order of UIDs, side by side with the index's own order. */
#include "search.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "annotation.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "imap_flags.h"
#include "inprogress.h"
#include "limit.h"
#include "search_apart.h"
#include "search_ask.h"

#define SEARCH_TURN_NS 5000000u

/* One message under test. */
struct candidate {
	struct session *s;
	const struct box *box;
	const struct search *sr; /* NULL: one message alone is looked at */
	struct store_view *v;
	const struct mailbox *m;
	const struct message *msg;
	uint32_t number;
	int64_t now;
	unsigned score_sum, scored; /* of the FUZZY keys that it matches */
	struct buffer body; /* as far as it was read */
	bool has_header, has_body;
	bool is_broken; /* it could not be read: whether it matches is not known */
	bool is_damaged; /* and it may be mended */
	bool is_apart; /* it is large: whether it matches is found out on a pool thread */
	struct fault why;
};

static void read_body(struct candidate *c, uint64_t off, uint64_t len)
{
	enum store_result result = store_view_body(c->v, c->msg->body, off, (size_t)len, &c->body, &c->why);

	c->is_broken = result != STORE_OK;
	c->is_damaged = result == STORE_DAMAGED;
}

static struct bytes header_of(struct candidate *c)
{
	uint64_t off, len;
	struct bytes blob;

	if (!c->has_header && !c->has_body) {
		c->has_header = true;
		if (store_view_structure(c->v, c->msg->body, &blob, &c->why) == STORE_OK &&
		    mime_blob_section(blob, NULL, 0, MIME_HEADER, &off, &len))
			read_body(c, off, len);
	}
	return c->has_body ? mime_header_of(buffer_bytes(&c->body)) : buffer_bytes(&c->body);
}

/* A header that has all fields of a name that the message's has; IS_KEPT: it is one that is kept. */
static struct bytes header_with(struct candidate *c, bool is_kept)
{
	struct bytes blob, kept;
	int64_t sent;

	if (!c->has_header && !c->has_body && is_kept &&
	    store_view_structure(c->v, c->msg->body, &blob, &c->why) == STORE_OK && mime_blob_header(blob, &kept, &sent))
		return kept;
	return header_of(c);
}

static struct bytes body_of(struct candidate *c)
{
	if (!c->has_body) {
		c->has_body = true;
		buffer_clear(&c->body);
		read_body(c, 0, c->msg->size);
	}
	return buffer_bytes(&c->body);
}

static bool has_keyword(const struct candidate *c, struct bytes name)
{
	for (size_t i = 0; i < c->m->keyword_count; i++) {
		if (bytes_equal_nocase(c->m->keywords[i], name))
			return (c->msg->keywords >> i & 1) != 0;
	}
	return false;
}

static int64_t day_of(int64_t t)
{
	return t >= 0 ? t / 86400 : -((86399 - t) / 86400);
}

/* Of a message from before there was one INTERNALDATE counts (RFC 8514 section 4.3). */
static int64_t saved(const struct candidate *c)
{
	return c->msg->savedate != 0 ? c->msg->savedate : c->msg->internaldate;
}

static bool sent_day(struct candidate *c, int64_t *day_r)
{
	int64_t seconds;

	return mime_date(mime_field(header_with(c, true), "Date"), &seconds, day_r);
}

/* As FETCH EMAILID writes it. */
static bool has_email_id(struct candidate *c, struct bytes id)
{
	char own[24];
	uint64_t hash;

	if (store_view_body_hash(c->v, c->msg->body, &hash, &c->why) != STORE_OK)
		return false;
	(void)snprintf(own, sizeof(own), "E%016llx", (unsigned long long)hash);
	return bytes_equal_str(id, own);
}

/* Whether K's string is certainly not in the message. */
static bool is_excluded(const struct candidate *c, const struct search_key *k)
{
	return c->sr != NULL && search_ask_excludes(c->sr, k, c->msg);
}

static bool is_kept(const struct search_key *k)
{
	return k->plan != NULL ? search_ask_is_kept(k) : mime_is_kept_field(k->field);
}

/* Octets to be looked at for K. */
static uint64_t octets_for(struct candidate *c, const struct search_key *k)
{
	uint64_t off, len = 0;
	struct bytes blob, kept;
	int64_t sent;

	if (k->type != SEARCH_HEADER)
		return c->msg->size;
	/* A header is as long as its message at most. */
	if (c->msg->size < SEARCH_APART_MIN || store_view_structure(c->v, c->msg->body, &blob, &c->why) != STORE_OK ||
	    (is_kept(k) && mime_blob_header(blob, &kept, &sent)) || !mime_blob_section(blob, NULL, 0, MIME_HEADER, &off, &len))
		return 0;
	return len;
}

/* Whether K is looked for on a pool thread: *score_r says what came of it, 0 while that is not known or could not be read. */
static bool is_apart(struct candidate *c, const struct search_key *k, unsigned *score_r)
{
	*score_r = 0;
	if (c->sr == NULL || octets_for(c, k) < SEARCH_APART_MIN)
		return false;
	if (!search_apart_has(c->sr, c->msg)) {
		c->is_apart = true;
	} else if (c->sr->apart.result != STORE_OK) {
		c->is_broken = true;
		c->is_damaged = c->sr->apart.result == STORE_DAMAGED;
		c->why = c->sr->apart.why;
	} else {
		*score_r = search_apart_score(k);
	}
	return true;
}

static bool contains(struct candidate *c, const struct search_key *k)
{
	unsigned score;

	if (is_excluded(c, k))
		return false;
	if (is_apart(c, k, &score))
		return score > 0;
	if (k->type == SEARCH_HEADER)
		return mime_header_contains(header_with(c, is_kept(k)), k->field, k->string);
	return mime_text_contains(body_of(c), &c->s->client.backend->mime_limits, k->string, k->type == SEARCH_TEXT);
}

/* The same more or less, with a score. */
static bool contains_fuzzily(struct candidate *c, const struct search_key *k)
{
	unsigned score;

	if (!is_apart(c, k, &score))
		score = k->type == SEARCH_HEADER ?
		                mime_fuzzy_header(k->fuzzy, header_with(c, is_kept(k)), k->field) :
		                mime_fuzzy_text(k->fuzzy, body_of(c), &c->s->client.backend->mime_limits, k->type == SEARCH_TEXT);
	c->score_sum += score;
	c->scored += score > 0;
	return score > 0;
}

static bool matches(struct candidate *c, const struct search_key *k);

static bool matches_all(struct candidate *c, const struct search_key *first)
{
	for (const struct search_key *k = first; k != NULL; k = k->next) {
		if (!matches(c, k))
			return false;
	}
	return true;
}

static bool matches(struct candidate *c, const struct search_key *k)
{
	int64_t day;

	switch (k->type) {
	case SEARCH_ALL:
		return true;
	case SEARCH_AND:
		return matches_all(c, k->children);
	case SEARCH_OR:
		return matches(c, k->children) || matches(c, k->children->next);
	case SEARCH_NOT:
		return !matches(c, k->children);
	case SEARCH_FLAG:
		return (c->msg->flags & k->flags) == k->flags;
	case SEARCH_KEYWORD:
		return has_keyword(c, k->string);
	case SEARCH_RECENT:
		return box_is_recent(c->box, c->msg->uid);
	case SEARCH_NEW:
		return box_is_recent(c->box, c->msg->uid) && (c->msg->flags & IMAP_FLAG_SEEN) == 0;
	case SEARCH_SEQ:
		return k->set.is_saved ? box_is_saved(c->box, c->msg->uid) : seqset_has(&k->set, c->number);
	case SEARCH_UID:
		return k->set.is_saved ? box_is_saved(c->box, c->msg->uid) : seqset_has(&k->set, c->msg->uid);
	case SEARCH_LARGER:
		return c->msg->size > k->number;
	case SEARCH_SMALLER:
		return c->msg->size < k->number;
	case SEARCH_BEFORE:
		return day_of(c->msg->internaldate) < (int64_t)k->number;
	case SEARCH_ON:
		return day_of(c->msg->internaldate) == (int64_t)k->number;
	case SEARCH_SINCE:
		return day_of(c->msg->internaldate) >= (int64_t)k->number;
	case SEARCH_SAVEDBEFORE:
		return day_of(saved(c)) < (int64_t)k->number;
	case SEARCH_SAVEDON:
		return day_of(saved(c)) == (int64_t)k->number;
	case SEARCH_SAVEDSINCE:
		return day_of(saved(c)) >= (int64_t)k->number;
	case SEARCH_SENTBEFORE:
		return sent_day(c, &day) && day < (int64_t)k->number;
	case SEARCH_SENTON:
		return sent_day(c, &day) && day == (int64_t)k->number;
	case SEARCH_SENTSINCE:
		return sent_day(c, &day) && day >= (int64_t)k->number;
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return k->fuzzy != NULL ? contains_fuzzily(c, k) : contains(c, k);
	case SEARCH_MODSEQ:
		return c->msg->modseq >= k->number;
	case SEARCH_EMAILID:
		return has_email_id(c, k->string);
	case SEARCH_ANNOTATION:
		return annotation_matches(c->s, c->v, c->m->id, c->msg->uid, k);
	case SEARCH_THREADID: /* no message has one */
		return false;
	case SEARCH_OLDER:
		return c->msg->internaldate <= c->now - (int64_t)k->number;
	case SEARCH_YOUNGER:
		return c->msg->internaldate >= c->now - (int64_t)k->number;
	}
	return false;
}

static void note_found(struct search *sr, const struct candidate *c, const struct message *msg, size_t at)
{
	if (sr->count == sr->cap) {
		sr->cap = sr->cap == 0 ? 64 : sr->cap + sr->cap / 2;
		sr->found = must_realloc(sr->found, sr->cap, sizeof(*sr->found));
		if (sr->is_fuzzy)
			sr->scores = must_realloc(sr->scores, sr->cap, sizeof(*sr->scores));
	}
	if (sr->count == 0)
		sr->first = msg->modseq;
	sr->last = msg->modseq;
	if (msg->modseq > sr->highest)
		sr->highest = msg->modseq;
	/* What is matched without any of them is matched exactly. */
	if (sr->is_fuzzy)
		sr->scores[sr->count] = (uint8_t)(c->scored == 0 ? 100 : c->score_sum / c->scored);
	sr->found[sr->count++] = (uint32_t)at;
}

/* client_told_fn: look at it once more, whatever came of it. */
static void mended(struct client *c, bool is_mended)
{
	struct session *s = (struct session *)c;

	(void)is_mended;
	session_resume(s, s->cmd->resume(s, s->cmd));
}

/* From sr->at on, until the time is over. */
static enum search_state walk(struct session *s, struct command *cmd, struct search *sr, struct candidate *c)
{
	uint64_t until = clock_mono_ns() + SEARCH_TURN_NS;
	struct message msg = { 0 };
	struct view_messages it;
	bool has_msg = true, is_over = false, has_match;

	c->msg = &msg;
	store_view_messages(c->v, sr->box->id, sr->at < sr->end ? sr->box->uids[sr->at] : 0, &it);
	for (; sr->at < sr->end && !is_over; sr->at++) {
		uint32_t uid = sr->box->uids[sr->at];
		bool has_read;

		if (sr->at % 64 == 0 && clock_mono_ns() > until)
			break;
		while (has_msg && msg.uid < uid)
			has_msg = view_messages_next(&it, &msg);
		if (!has_msg || msg.uid != uid) {
			cmd->missed_one = true;
			continue;
		}
		c->number = (uint32_t)sr->at + 1;
		c->score_sum = c->scored = 0;
		has_match = matches_all(c, sr->program);
		if (c->is_broken || c->is_apart)
			break;
		if (has_match) {
			note_found(sr, c, &msg, sr->at);
			if (sr->stops_at_first)
				sr->end = sr->at;
		}
		has_read = c->has_header || c->has_body;
		c->has_header = c->has_body = false;
		buffer_clear(&c->body);
		is_over = has_read && clock_mono_ns() > until;
	}
	view_messages_end(&it);
	if (c->is_apart && !c->is_broken) {
		search_apart_begin(s, sr, &msg);
		return SEARCH_WAITS;
	}
	if (c->is_broken)
		sr->apart.body = 0; /* once it was mended it is looked at again */
	if (c->is_damaged && sr->tried != msg.body) {
		sr->tried = msg.body;
		client_mend(&s->client, msg.body, mended);
		return SEARCH_WAITS;
	}
	if (c->is_broken) {
		(void)answer_fault(s, cmd, &c->why);
		return SEARCH_FAILED;
	}
	if (it.result != STORE_OK) {
		(void)fault_set(&c->why, FAULT_OPERATOR, "mailbox %llu cannot be read", (unsigned long long)sr->box->id);
		(void)answer_fault(s, cmd, &c->why);
		return SEARCH_FAILED;
	}
	return sr->at < sr->end ? SEARCH_GOES_ON : SEARCH_ENDED;
}

enum search_state search_run(struct session *s, struct command *cmd, struct search *sr)
{
	struct candidate c = { .s = s, .box = sr->box, .sr = sr, .now = sr->now };
	enum search_state state = SEARCH_ENDED;
	struct mailbox m;
	struct fault why;

	if (!sr->has_asked && s->state != SESSION_ENDING) {
		sr->has_asked = true;
		if (search_ask_begin(s, sr))
			return SEARCH_WAITS;
	}
	if (s->state == SESSION_ENDING || (c.v = session_view(s, cmd)) == NULL)
		return SEARCH_FAILED;
	c.m = &m;
	if (store_view_mailbox_by_id(c.v, sr->box->id, &m, &why) == STORE_OK) /* else it was deleted: the end tells */
		state = walk(s, cmd, sr, &c);
	store_view_close(&c.v);
	buffer_fini(&c.body);
	if (state == SEARCH_GOES_ON || state == SEARCH_WAITS)
		search_tell_progress(s, cmd, sr, 0, sr->at - sr->from, sr->range);
	else
		search_ask_end(sr);
	return state;
}

void search_tell_progress(struct session *s, struct command *cmd, const struct search *sr, unsigned part, size_t done, size_t total)
{
	uint64_t range = sr->range;

	if (cmd->c.verb == IMAP_ESEARCH) /* which counts mailboxes */
		return;
	inprogress_tell(s, cmd, part * range + (total == 0 ? 0 : done * range / total), (sr->parts == 0 ? 1 : sr->parts) * range);
}

/* Resolve sets, fold strings. False: a string is not of the charset. */
static bool prepare(const struct box *box, struct bytes charset, struct arena *a, struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		if (k->type == SEARCH_SEQ && !k->set.is_saved)
			seqset_resolve(&k->set, (uint32_t)box->count);
		else if (k->type == SEARCH_UID && !k->set.is_saved)
			seqset_resolve(&k->set, box->count > 0 ? box->uids[box->count - 1] : 0);
		if (k->type == SEARCH_HEADER || k->type == SEARCH_BODY || k->type == SEARCH_TEXT || k->type == SEARCH_ANNOTATION) {
			struct buffer folded = { 0 };
			bool ok = mime_fold_key(k->string, charset, &folded);

			k->string = arena_copy(a, buffer_bytes(&folded));
			buffer_fini(&folded);
			if (!ok)
				return false;
			k->fuzzy = k->is_fuzzy ? mime_fuzzy_new(a, k->string) : NULL;
		}
		if (!prepare(box, charset, a, k->children))
			return false;
	}
	return true;
}

/* Only messages within the sets that all must be in are looked at. */
static void narrow(const struct box *box, struct search *sr)
{
	for (const struct search_key *k = sr->program->children; k != NULL; k = k->next) {
		size_t from = 0, to = box->count;

		if ((k->type != SEARCH_SEQ && k->type != SEARCH_UID) || k->set.is_saved || k->set.count == 0)
			continue;
		if (k->type == SEARCH_SEQ) {
			from = k->set.ranges[0].first - 1;
			to = k->set.ranges[k->set.count - 1].last;
		} else {
			from = box_position(box, k->set.ranges[0].first);
			if (k->set.ranges[k->set.count - 1].last < UINT32_MAX)
				to = box_position(box, k->set.ranges[k->set.count - 1].last + 1);
		}
		sr->at = from > sr->at ? from : sr->at;
		sr->end = to < sr->end ? to : sr->end;
	}
	if (sr->at > sr->end)
		sr->at = sr->end;
}

/* Whether the message at AT is in all sets that it must be in, so that it is looked at. */
static bool is_candidate(const struct box *box, const struct search *sr, size_t at)
{
	for (const struct search_key *k = sr->program->children; k != NULL; k = k->next) {
		if ((k->type == SEARCH_SEQ || k->type == SEARCH_UID) && !k->set.is_saved &&
		    !seqset_has(&k->set, k->type == SEARCH_SEQ ? (uint32_t)at + 1 : box->uids[at]))
			return false;
	}
	return true;
}

/* No more than the limit are looked at, the highest UIDs (RFC 9738 section 3.1). False: SORT and THREAD cannot do a part. */
static bool limit_range(struct session *s, struct command *cmd, struct search *sr)
{
	size_t most = s->client.backend->message_limit, n = 0;

	if (most == 0 || sr->end - sr->at <= most)
		return true;
	for (size_t at = sr->end; at > sr->at; at--) {
		if (!is_candidate(sr->box, sr, at - 1))
			continue;
		if (n++ < most) {
			cmd->limited_uid = sr->box->uids[at - 1];
			continue;
		}
		sr->at = at;
		if (cmd->c.verb != IMAP_SORT && cmd->c.verb != IMAP_THREAD)
			return true;
		cmd->limited_uid = 0;
		(void)limit_refuse(s, cmd);
		return false;
	}
	cmd->limited_uid = 0;
	return true;
}

static void free_found(void *arg)
{
	struct search *sr = arg;

	free(sr->found);
	free(sr->scores);
}

bool search_prepare(const struct box *box, struct imap_command *c, struct arena *a)
{
	struct buffer probe = { 0 };
	bool is_known = c->charset.n == 0 || mime_fold_key(BYTES_LIT("a"), c->charset, &probe);

	buffer_fini(&probe);
	return is_known && prepare(box, c->charset, a, c->search);
}

bool search_matches(struct session *s, const struct box *box, struct store_view *v, const struct mailbox *m, const struct message *msg,
                    uint32_t number, const struct search_key *program)
{
	struct candidate c = { .s = s, .box = box, .v = v, .m = m, .msg = msg, .number = number, .now = clock_wall_s() };
	bool has_match = matches_all(&c, program) && !c.is_broken;

	buffer_fini(&c.body);
	return has_match;
}

bool search_begin_in(struct session *s, struct command *cmd, struct search *sr, const struct box *box, struct imap_command *c,
                     struct arena *a)
{
	if (!search_prepare(box, c, a)) {
		(void)answer_no(cmd, "BADCHARSET (US-ASCII UTF-8)", "that charset is not known");
		return false;
	}
	*sr = (struct search){ .box = box, .program = c->search, .end = box->count, .now = clock_wall_s(), .is_fuzzy = c->has_fuzzy };
	arena_on_free(a, free_found, sr);
	search_ask_plan(a, sr, c->search);
	narrow(box, sr);
	if (!limit_range(s, cmd, sr))
		return false;
	sr->from = sr->at;
	sr->range = sr->end - sr->at;
	return true;
}

bool search_begin(struct session *s, struct command *cmd, struct search *sr)
{
	return search_begin_in(s, cmd, sr, s->box, &cmd->c, &cmd->arena);
}
