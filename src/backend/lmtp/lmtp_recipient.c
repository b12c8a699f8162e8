/* lmtp_recipient.c - one recipient: routed, looked at for quota, and given an INBOX where one is to be made. */
#include "lmtp_recipient.h"

#include "lmtp_quota.h"
#include "lmtp_route.h"
#include "log.h"
#include "store_view.h"

const char *lmtp_recipient_find(struct client *c, struct bytes address, uint64_t size, struct arena *a, struct lmtp_recipient *r,
                                bool *is_unknown_r)
{
	struct backend *b = c->backend;
	struct fault why;
	struct store_view *v = store_view_open(b->store, &why);
	enum store_result result = STORE_FAILED;
	bool is_over = false;

	if (v != NULL)
		result = lmtp_route(b, v, address, a, &r->mailbox, &r->id, &r->uidnext, &why);
	if (result == STORE_OK)
		is_over = !r->ignores_quota && !r->may_be_again && lmtp_quota_is_over(b, v, r->mailbox, size);
	store_view_close(&v);
	*is_unknown_r = result == STORE_NO_MAILBOX;
	if (result == STORE_NO_MAILBOX)
		return "550 5.1.1 user unknown";
	if (result != STORE_OK) {
		log_event(LOG_ERROR, "lmtp.rcpt.failed", LOG_U64("conn", c->id), LOG_FAULT(&why));
		return "451 4.3.0 the mail store has a problem";
	}
	if (!is_over)
		return "250 2.1.5 ok";
	atomic_fetch_add(&b->counters.over_quota, 1);
	return lmtp_quota_text(b);
}

bool lmtp_recipient_create(struct client *c, struct bytes address, mailbox_op_fn *ended)
{
	struct buffer user = { 0 };
	bool is_due;

	lmtp_route_user(c->backend, address, false, &user);
	is_due = autocreate_is_due(c->backend, buffer_bytes(&user), true);
	if (!is_due && config_switch(c->backend->cfg, "lmtp_downcase_rcpt")) {
		buffer_clear(&user);
		lmtp_route_user(c->backend, address, true, &user);
		is_due = autocreate_is_due(c->backend, buffer_bytes(&user), true);
	}
	if (is_due)
		autocreate_start(c, buffer_bytes(&user), ended);
	buffer_fini(&user);
	return is_due;
}
