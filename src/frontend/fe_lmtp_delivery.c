/* fe_lmtp_delivery.c - one message to one server: commands in one flight, then the message, then an answer for each
 * recipient; and again from the start with whoever is master, as long as something is unanswered and patience lasts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "alloc.h"
#include "fe_lmtp.h"
#include "lmtp_data.h"
#include "log.h"

struct fe_delivery {
	struct fe_shard *shard;
	struct fe_message *message;
	struct fe_recipient **recipients;
	size_t count;
	loop_fn *done;
	void *arg;
	struct lmtp_link *link;
	struct timer *timer;
	uint64_t deadline_ms;
	bool is_cancelled, is_over;
	size_t *sent;      /* which recipients this flight asked for, in order */
	size_t sent_count;
	size_t *accepted;  /* of those, which the backend will answer after the message */
	size_t accepted_count;
	size_t replies;    /* read in this flight */
	bool has_data;     /* the message is out */
	char why[160];     /* why the last flight failed */
};

struct fe_message *fe_message_new(struct frontend *fe, struct bytes from, struct bytes body)
{
	struct fe_message *m = must_calloc(1, sizeof(*m));
	struct buffer mail = { 0 };
	uint8_t id[LMTP_OP_ID_SIZE];

	m->refs = 1;
	m->fe = fe;
	m->size = body.n;
	lmtp_data_write(&m->wire, body);
	buffer_add_u8(&mail, '<');
	(void)lmtp_address_write(&mail, from);
	buffer_add_u8(&mail, '>');
	m->mail = bytes_to_str(buffer_bytes(&mail));
	buffer_fini(&mail);
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		abort();
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(m->op_id + 2 * i, 3, "%02x", id[i]);
	return m;
}

void fe_message_unref(struct fe_message *m)
{
	if (--m->refs > 0)
		return;
	(void)fe_inflight(m->fe, -(int64_t)m->size);
	buffer_fini(&m->wire);
	free(m->mail);
	free(m);
}

static void answer(struct fe_recipient *r, const char *reply)
{
	r->is_answered = true;
	(void)snprintf(r->reply, sizeof(r->reply), "%s", reply);
}

static void free_delivery(struct fe_delivery *d)
{
	if (d->link != NULL)
		lmtp_link_release(d->link, false);
	timer_free(&d->timer);
	fe_message_unref(d->message);
	free(d->sent);
	free(d->accepted);
	free(d->recipients);
	free(d);
}

static void over_now(void *arg)
{
	struct fe_delivery *d = arg;
	loop_fn *done = d->done;
	void *done_arg = d->arg;
	bool is_cancelled = d->is_cancelled;

	free_delivery(d);
	if (!is_cancelled)
		done(done_arg);
}

/* Every recipient is answered: tell from the loop. */
static void over(struct fe_delivery *d)
{
	if (d->is_over)
		return;
	d->is_over = true;
	timer_free(&d->timer);
	d->timer = timer_new(d->shard->loop, over_now, d);
	timer_start(d->timer, 0, 0);
}

static bool all_answered(const struct fe_delivery *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (!d->recipients[i]->is_answered)
			return false;
	}
	return true;
}

static void fly(void *arg);

/* This flight is over without an answer for everybody. */
static void again(struct fe_delivery *d, const char *why)
{
	char reply[256];

	(void)snprintf(d->why, sizeof(d->why), "%s", why);
	if (d->link != NULL)
		lmtp_link_release(d->link, false);
	d->link = NULL;
	if (all_answered(d)) {
		over(d);
		return;
	}
	if (loop_now_ms(d->shard->loop) < d->deadline_ms && !d->is_cancelled) {
		(void)atomic_fetch_add(&d->shard->fe->resent, 1);
		timer_start(d->timer, FRONTEND_RETRY_MS, 0);
		return;
	}
	(void)snprintf(reply, sizeof(reply), "451 4.4.1 the server of this mailbox cannot be reached now: %.120s", d->why);
	for (size_t i = 0; i < d->count; i++) {
		if (!d->recipients[i]->is_answered)
			answer(d->recipients[i], reply);
	}
	log_event(LOG_WARNING, "frontend.lmtp.given_up", LOG_STR("server", d->recipients[0]->server), LOG_STR("why", d->why));
	over(d);
}

static void on_ready(void *arg)
{
	struct fe_delivery *d = arg;
	struct buffer out = { 0 };

	buffer_addf(&out, "MAIL FROM:%s SIZE=%zu", d->message->mail, d->message->size);
	if (lmtp_link_has_op(d->link))
		buffer_addf(&out, " XROOST-OP=%s", d->message->op_id);
	buffer_add_str(&out, "\r\n");
	d->sent_count = d->accepted_count = d->replies = 0;
	d->has_data = false;
	for (size_t i = 0; i < d->count; i++) {
		if (d->recipients[i]->is_answered)
			continue;
		buffer_add_str(&out, "RCPT TO:<");
		(void)lmtp_address_write(&out, bytes_of(d->recipients[i]->address));
		buffer_add_str(&out, d->recipients[i]->ignores_quota ? "> IGNOREQUOTA\r\n" : ">\r\n");
		d->sent[d->sent_count++] = i;
	}
	buffer_add_str(&out, "DATA\r\n");
	lmtp_link_write(d->link, buffer_bytes(&out));
	buffer_fini(&out);
}

static bool is_not_master(const struct lmtp_reply *r)
{
	return r->code == 450 && bytes_search(r->text, BYTES_LIT("[XNOTMASTER]")) < r->text.n;
}

static void take_final(struct fe_delivery *d, struct fe_recipient *rc, const struct lmtp_reply *r)
{
	char reply[256];

	(void)snprintf(reply, sizeof(reply), "%u %.*s", r->code, BYTES_FMT(bytes_sub(r->text, 0, 200)));
	answer(rc, reply);
}

static void flight_done(struct fe_delivery *d)
{
	struct lmtp_link *l = d->link;

	if (!all_answered(d)) {
		again(d, "the backend is no longer the master");
		return;
	}
	d->link = NULL;
	lmtp_link_release(l, true);
	over(d);
}

/* Replies come in the order of what was sent: MAIL, each RCPT, DATA, then one for each recipient that was accepted. */
static void on_reply(void *arg, const struct lmtp_reply *r)
{
	struct fe_delivery *d = arg;
	size_t n = d->replies++;

	if (n == 0) {
		if (r->code != 250)
			(void)snprintf(d->why, sizeof(d->why), "MAIL: %u %.*s", r->code, BYTES_FMT(bytes_sub(r->text, 0, 100)));
		if (r->code >= 500) {
			for (size_t i = 0; i < d->sent_count; i++)
				take_final(d, d->recipients[d->sent[i]], r);
		}
	} else if (n <= d->sent_count) {
		struct fe_recipient *rc = d->recipients[d->sent[n - 1]];

		if (r->code == 250)
			d->accepted[d->accepted_count++] = d->sent[n - 1];
		else if (!rc->is_answered && !is_not_master(r) && r->code != 503)
			take_final(d, rc, r);
	} else if (n == d->sent_count + 1) {
		if (r->code == 354 && d->accepted_count > 0) {
			d->has_data = true;
			lmtp_link_write_message(d->link, d->message);
		} else if (r->code == 354) {
			again(d, "the backend wants a message for nobody");
		} else if (all_answered(d)) {
			struct lmtp_link *l = d->link;

			d->link = NULL;
			lmtp_link_write(l, BYTES_LIT("RSET\r\n"));
			lmtp_link_release(l, false);
			over(d);
		} else {
			again(d, "the backend does not take the message");
		}
	} else {
		struct fe_recipient *rc = d->recipients[d->accepted[n - d->sent_count - 2]];

		if (!is_not_master(r))
			take_final(d, rc, r);
		if (n - d->sent_count - 1 == d->accepted_count)
			flight_done(d);
	}
}

static void on_lost(void *arg, const char *why)
{
	struct fe_delivery *d = arg;

	d->link = NULL;
	again(d, why);
}

static const struct lmtp_link_events link_events = { on_ready, on_reply, on_lost };

static void fly(void *arg)
{
	struct fe_delivery *d = arg;
	char address[PLACES_ADDRESS_MAX];
	uint64_t epoch;

	if (!places_master(d->shard->fe->places, d->recipients[0]->server, PLACES_LMTP, address, &epoch)) {
		again(d, "the server has no master");
		return;
	}
	d->link = lmtp_link_take(d->shard, address, &link_events, d);
}

struct fe_delivery *fe_deliver(struct fe_shard *sh, struct fe_message *m, struct fe_recipient **recipients, size_t count,
                               loop_fn *done, void *arg)
{
	struct fe_delivery *d = must_calloc(1, sizeof(*d));

	d->shard = sh;
	d->message = m;
	m->refs++;
	d->count = count;
	d->recipients = must_calloc(count, sizeof(*d->recipients));
	memcpy(d->recipients, recipients, count * sizeof(*recipients));
	d->sent = must_calloc(count, sizeof(*d->sent));
	d->accepted = must_calloc(count, sizeof(*d->accepted));
	d->done = done;
	d->arg = arg;
	d->deadline_ms = loop_now_ms(sh->loop) + FRONTEND_PATIENCE_MS;
	d->timer = timer_new(sh->loop, fly, d);
	fly(d);
	return d;
}

void fe_delivery_cancel(struct fe_delivery *d)
{
	d->is_cancelled = true;
	if (d->link != NULL)
		lmtp_link_release(d->link, false);
	d->link = NULL;
	over(d);
}
