/* lmtp_delivery.c - DATA: the body is read, parsed here, on the session's loop, and handed to the writer as one intent for all recipients;
 * when that is committed each recipient gets its own answer. */
#include "lmtp_private.h"

#include <assert.h>
#include <string.h>

#include "clock.h"
#include "lmtp_duplicate.h"
#include "lmtp_quota.h"
#include "lmtp_trace.h"
#include "log.h"

#define LMTP_HEADROOM 1024 /* for the trace lines in front of a body */

void lmtp_drop_body(struct lmtp_session *s)
{
	buffer_fini(&s->body);
	(void)inflight_set(&s->client.backend->inflight, &s->share, 0);
	s->data = (struct lmtp_data){ 0 };
	s->body_start = 0;
	s->is_over = s->is_tight = false;
}

void lmtp_cmd_data(struct lmtp_session *s)
{
	if (!s->has_mail || s->recipient_count == 0) {
		lmtp_say(s, "503 5.5.1 no valid recipients");
		return;
	}
	lmtp_drop_body(s);
	if (!inflight_set(&s->client.backend->inflight, &s->share, LMTP_HEADROOM)) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		lmtp_say(s, "452 4.3.1 too many messages at once, try later");
		lmtp_reset(s);
		return;
	}
	lmtp_trace_write(&s->body, s->from, s->helo, s->client.conn, s->client.backend->server, s->identity.user != NULL);
	s->body_start = s->body.n;
	lmtp_enter(s, LMTP_BODY);
	lmtp_say(s, "354 go ahead");
}

/* The same reply for every recipient: CODES such as "552 5.3.4 ...". */
static void reply_all(struct lmtp_session *s, const char *text)
{
	for (size_t i = 0; i < s->recipient_count; i++)
		lmtp_say(s, text);
	atomic_fetch_add(&s->client.backend->counters.lmtp_refused, s->recipient_count);
}

static const char *result_text(const struct lmtp_session *s, const struct submission *sub,
                               const struct append_target *target)
{
	/* An intent that failed as a whole may not have filled its targets. */
	enum store_result whole = sub->request.answer.result;
	enum store_result result = whole == STORE_NOT_MASTER || whole == STORE_FAILED || whole == STORE_NO_SPACE ||
	                                           (whole != STORE_OK && target->result == STORE_OK) ?
	                                   whole :
	                                   target->result;

	switch (result) {
	case STORE_OK:
		return target->was_done ? "250 2.1.5 ok, it is there already" : "250 2.1.5 ok";
	case STORE_NO_MAILBOX:
		return "550 5.1.1 user unknown";
	case STORE_LIMIT:
		return "552 5.2.3 over a limit of the mailbox";
	case STORE_OVER_QUOTA:
		return lmtp_quota_text(s->client.backend);
	case STORE_NO_SPACE:
		return "452 4.3.1 no space left";
	case STORE_NOT_MASTER:
		return s->identity.is_proxy ? "450 4.3.2 [XNOTMASTER] not the master any more" :
		                              "450 4.3.2 try again later";
	default:
		return "451 4.3.0 the mail store has a problem";
	}
}

/* submission_fn: the delivery is committed, or it is not. */
static void delivered(struct client *c, struct submission *sub)
{
	struct lmtp_session *s = (struct lmtp_session *)c;
	const struct intent_append *in = &sub->intent.append;
	size_t done = 0;

	assert(s->state == LMTP_COMMITTING || s->state == LMTP_ENDING);
	for (size_t i = 0; i < in->target_count; i++) {
		const char *text = result_text(s, sub, &in->targets[i]);

		done += text[0] == '2';
		if (sub->request.answer.result != STORE_NOT_MASTER && in->targets[i].result == STORE_OVER_QUOTA)
			atomic_fetch_add(&c->backend->counters.over_quota, 1);
		if (text[0] == '2' && in->targets[i].was_done)
			atomic_fetch_add(&c->backend->counters.lmtp_duplicates, 1);
		lmtp_say(s, text);
	}
	atomic_fetch_add(&c->backend->counters.lmtp_accepted, done);
	atomic_fetch_add(&c->backend->counters.lmtp_refused, in->target_count - done);
	log_event(LOG_DEBUG, "lmtp.deliver.done", LOG_U64("conn", c->id), LOG_U64("lsn", sub->request.answer.lsn),
	          LOG_STR("result", store_result_name(sub->request.answer.result)), LOG_U64("size", in->body.n),
	          LOG_U64("recipients", in->target_count), LOG_U64("done", done));
	if (s->state == LMTP_ENDING)
		return;
	lmtp_enter(s, LMTP_COMMAND);
	if (s->is_leaving) {
		lmtp_say_farewell(s);
		return;
	}
	conn_pause(c->conn, false);
	conn_kick(c->conn);
}

/* Take out of the received header a Return-Path that a proxy before us put first: there is one, and it is ours. */
static void drop_first_return_path(struct lmtp_session *s)
{
	struct bytes got = bytes_from(buffer_bytes(&s->body), s->body_start);
	size_t n = 0;

	if (!bytes_starts_nocase(got, BYTES_LIT("Return-Path:")))
		return;
	do {
		size_t line = bytes_find(bytes_from(got, n), '\n');

		n += line;
		if (n >= got.n)
			return;
		n++;
	} while (n < got.n && (got.p[n] == ' ' || got.p[n] == '\t'));
	memmove(s->body.p + n, s->body.p, s->body_start);
	buffer_drop_front(&s->body, n);
	s->body_start = 0;
}

static void deliver(struct lmtp_session *s)
{
	struct client *c = &s->client;
	struct backend *b = c->backend;
	struct submission *sub;
	struct intent_append *in;
	int64_t now = clock_wall_s();
	struct buffer structure = { 0 };

	drop_first_return_path(s);
	sub = submission_new(c);
	in = &sub->intent.append;
	sub->intent.op = INTENT_APPEND;
	sub->body = s->body;
	sub->share = s->share;
	s->body = (struct buffer){ 0 };
	s->share = (struct inflight_share){ 0 };
	in->body = buffer_bytes(&sub->body);
	mime_blob_write(&structure, in->body, &b->mime_limits);
	in->structure = arena_copy(&sub->arena, buffer_bytes(&structure));
	buffer_fini(&structure);
	in->op_id = s->has_op_id ? arena_copy(&sub->arena, bytes_make(s->op_id, sizeof(s->op_id))) : BYTES_NONE;
	if (config_switch(b->cfg, "duplicatesuppression"))
		lmtp_duplicate_name(in, &sub->arena);
	in->target_count = s->recipient_count;
	in->targets = arena_array(&sub->arena, in->target_count, sizeof(*in->targets));
	for (size_t i = 0; i < in->target_count; i++) {
		const struct lmtp_recipient *r = &s->recipients[i];

		in->targets[i].mailbox = arena_copy(&sub->arena, r->mailbox);
		in->targets[i].internaldate = now;
		in->targets[i].quota = lmtp_quota_check(b, r->ignores_quota);
		recent_note(&b->recent, r->id, r->uidnext);
	}
	atomic_fetch_add(&b->counters.lmtp_octets, in->body.n);
	lmtp_reset(s);
	lmtp_enter(s, LMTP_COMMITTING);
	conn_pause(c->conn, true);
	client_submit(c, sub, delivered);
}

void lmtp_body_ended(struct lmtp_session *s)
{
	struct bytes got = bytes_from(buffer_bytes(&s->body), s->body_start);

	if (s->is_over) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		reply_all(s, "552 5.3.4 message too large");
	} else if (s->is_tight) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		reply_all(s, "452 4.3.1 too many messages at once, try later");
	} else if (bytes_find(got, '\0') < got.n) {
		reply_all(s, "554 5.6.0 the message contains NUL octets");
	} else if (!backend_may_serve(s->client.backend)) {
		reply_all(s, s->identity.is_proxy ? "450 4.3.2 [XNOTMASTER] not the master any more" :
		                                    "450 4.3.2 try again later");
	} else {
		deliver(s);
		return;
	}
	lmtp_reset(s);
	lmtp_enter(s, LMTP_COMMAND);
}

bool lmtp_take_body(struct lmtp_session *s)
{
	struct backend *b = s->client.backend;
	struct bytes in = conn_input(s->client.conn);
	bool keeps = !s->is_over && !s->is_tight;
	size_t used;
	enum lmtp_data_result result;

	if (keeps && s->body.n + in.n > s->share.octets &&
	    !inflight_set(&b->inflight, &s->share, 2 * (s->body.n + in.n)))
		s->is_tight = true;
	if (keeps && s->is_tight)
		buffer_fini(&s->body);
	keeps = keeps && !s->is_tight;
	result = lmtp_data_take(&s->data, in, &s->body, keeps ? s->body_start + (size_t)b->max_message : 0, &s->is_over, &used);
	if (s->is_tight)
		s->is_over = false;
	if (s->is_over)
		buffer_fini(&s->body);
	conn_consume(s->client.conn, used);
	return result == LMTP_DATA_END;
}
