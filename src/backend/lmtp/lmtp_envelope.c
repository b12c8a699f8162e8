/* lmtp_envelope.c - MAIL and RCPT: from whom, to whom. A recipient without an INBOX may have one made; nothing is read meanwhile. */
#include "lmtp_private.h"

#include <string.h>

#include "alloc.h"

/* Whether the client may hand in mail: this machine's own MTA, or who proved to be a frontend or an administrator. */
static bool may_deliver(const struct lmtp_session *s)
{
	return conn_is_loopback(s->client.conn) || s->identity.is_admin || s->identity.is_proxy;
}

void lmtp_cmd_mail(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	if (s->helo == NULL) {
		lmtp_say(s, "503 5.5.1 LHLO first");
	} else if (!may_deliver(s)) {
		lmtp_say(s, "530 5.7.0 authentication required");
	} else if (s->has_mail) {
		lmtp_say(s, "503 5.5.1 a transaction is under way");
	} else if (cmd->size > s->client.backend->max_message) {
		lmtp_say(s, "552 5.3.4 message too large");
	} else {
		s->has_mail = true;
		s->from = arena_copy(&s->arena, cmd->address);
		s->size = cmd->size;
		s->has_op_id = cmd->has_op_id;
		memcpy(s->op_id, cmd->op_id, sizeof(s->op_id));
		lmtp_say(s, "250 2.1.0 ok");
	}
}

static void add_recipient(struct lmtp_session *s, struct lmtp_recipient r)
{
	if (s->recipient_count == s->recipient_cap) {
		s->recipient_cap = s->recipient_cap == 0 ? 4 : s->recipient_cap * 2;
		s->recipients = must_realloc(s->recipients, s->recipient_cap, sizeof(*s->recipients));
	}
	s->recipients[s->recipient_count++] = r;
}

/* The recipient's INBOX was made, or could not be. */
static void created(struct client *c, struct mailbox_op *op);

/* MAY_CREATE: who has no INBOX may have one made. */
static void take_recipient(struct lmtp_session *s, struct bytes address, bool ignores_quota, bool may_create)
{
	struct lmtp_recipient r = { .ignores_quota = ignores_quota,
		                    .may_be_again = s->has_op_id || config_switch(s->client.backend->cfg, "duplicatesuppression") };
	bool is_unknown;
	const char *text = lmtp_recipient_find(&s->client, address, s->size, &s->arena, &r, &is_unknown);

	if (is_unknown && may_create && lmtp_recipient_create(&s->client, address, created)) {
		s->waiting = arena_copy(&s->arena, address);
		s->waiting_ignores_quota = ignores_quota;
		lmtp_enter(s, LMTP_CREATING);
		conn_pause(s->client.conn, true);
		return;
	}
	if (text[0] == '2')
		add_recipient(s, r);
	lmtp_say(s, is_unknown && !may_create ? "451 4.3.0 the mailbox cannot be made now, try again later" : text);
}

void lmtp_cmd_rcpt(struct lmtp_session *s, const struct lmtp_command *cmd)
{
	struct backend *b = s->client.backend;

	if (!s->has_mail) {
		lmtp_say(s, "503 5.5.1 MAIL first");
	} else if (s->recipient_count >= config_number(b->cfg, "lmtp_max_recipients")) {
		atomic_fetch_add(&b->counters.limits_hit, 1);
		lmtp_say(s, "452 4.5.3 too many recipients");
	} else {
		take_recipient(s, cmd->address, cmd->ignores_quota, true);
	}
}

static void created(struct client *c, struct mailbox_op *op)
{
	struct lmtp_session *s = (struct lmtp_session *)c;

	autocreate_note(c, op);
	if (s->state != LMTP_CREATING)
		return;
	lmtp_enter(s, LMTP_COMMAND);
	if (s->is_leaving) {
		lmtp_say_farewell(s);
		return;
	}
	take_recipient(s, s->waiting, s->waiting_ignores_quota, false);
	conn_pause(c->conn, false);
	conn_kick(c->conn);
}
