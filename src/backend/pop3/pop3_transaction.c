/* pop3_transaction.c - the TRANSACTION state and what QUIT does in it (RFC 1939 sections 5 to 7).
 *
 * A message goes out in pieces of 64 KiB, the blocks that its checksums are for, each read when the client has taken most of what was
 * written before. UIDs and bodies never change, so that a view of the store is opened for each piece only. */
#include <assert.h>

#include "acl.h"
#include "log.h"
#include "pop3_private.h"

#define PIECE 65536
#define ROWS 1000 /* lines of LIST and UIDL written at once */

static void no_such_message(struct pop3_session *s)
{
	pop3_reply(s, "-ERR no such message");
}

/* ---- answers of many lines ---- */

static void add_row(const struct pop3_session *s, struct buffer *to, enum pop3_verb verb, size_t index)
{
	const struct pop3_item *item = &s->drop.items[index];

	buffer_add_u64(to, index + 1);
	buffer_add_u8(to, ' ');
	if (verb == POP3_UIDL) {
		buffer_add_u64(to, s->drop.uidvalidity);
		buffer_add_u8(to, '.');
		buffer_add_u64(to, item->uid);
	} else {
		buffer_add_u64(to, item->size);
	}
	buffer_add_str(to, "\r\n");
}

static void sent(struct pop3_session *s)
{
	s->sending = (struct pop3_sending){ 0 };
	pop3_enter(s, POP3_ST_TRANSACTION);
}

static void send_rows(struct pop3_session *s)
{
	struct pop3_sending *f = &s->sending;
	struct buffer out = { 0 };

	for (size_t n = 0; f->at < s->drop.count && n < ROWS; f->at++) {
		if (s->drop.items[f->at].is_deleted)
			continue;
		add_row(s, &out, f->verb, f->at);
		n++;
	}
	if (f->at == s->drop.count)
		buffer_add_str(&out, ".\r\n");
	conn_write(s->client.conn, buffer_bytes(&out));
	buffer_fini(&out);
	if (f->at == s->drop.count)
		sent(s);
}

/* It cannot be sent, or not to its end: then the connection ends, for no word would be taken for one. */
static void fail_message(struct pop3_session *s, const char *text, const struct fault *why)
{
	if (why != NULL)
		log_event(LOG_ERROR, "pop3.message.unreadable", LOG_U64("conn", s->client.id), LOG_STR("user", s->identity.user),
		          LOG_U64("uid", s->sending.uid), LOG_FAULT(why));
	if (s->sending.has_begun) {
		pop3_enter(s, POP3_ST_ENDING);
		conn_close(s->client.conn);
		return;
	}
	sent(s);
	pop3_reply(s, text);
}

/* client_told_fn */
static void mended(struct client *c, bool is_mended)
{
	struct pop3_session *s = (struct pop3_session *)c;

	(void)is_mended; /* reading again tells */
	if (s->state != POP3_ST_MENDING)
		return;
	pop3_enter(s, POP3_ST_SENDING);
	pop3_go_on(s);
}

static enum store_result read_piece(struct pop3_session *s, struct buffer *to, struct fault *why)
{
	const struct pop3_sending *f = &s->sending;
	struct store_view *v = store_view_open(s->client.backend->store, why);
	enum store_result result = v == NULL ? STORE_FAILED : store_view_body(v, f->body, f->off, PIECE, to, why);

	store_view_close(&v);
	if (result == STORE_OK && to->n == 0 && f->off < f->size) {
		(void)fault_set(why, FAULT_OPERATOR, "the body is shorter than the index says");
		return STORE_FAILED;
	}
	return result;
}

static void send_piece(struct pop3_session *s)
{
	struct pop3_sending *f = &s->sending;
	struct buffer piece = { 0 }, out = { 0 };
	struct fault why;
	enum store_result result = read_piece(s, &piece, &why);

	if (result == STORE_DAMAGED && f->tried != f->body) {
		f->tried = f->body;
		pop3_enter(s, POP3_ST_MENDING);
		client_mend(&s->client, f->body, mended);
	} else if (result == STORE_NO_MAILBOX) {
		fail_message(s, "-ERR the message was removed meanwhile", NULL);
	} else if (result != STORE_OK) {
		fail_message(s, "-ERR [SYS/TEMP] the message cannot be read", &why);
	} else {
		bool is_over = pop3_message_add(&f->message, buffer_bytes(&piece), &out);

		if (!f->has_begun)
			pop3_replyf(s, "+OK %llu octets", (unsigned long long)f->size);
		f->has_begun = true;
		f->off += piece.n;
		is_over = is_over || f->off >= f->size;
		if (is_over)
			pop3_message_end(&f->message, &out);
		conn_write(s->client.conn, buffer_bytes(&out));
		if (is_over)
			sent(s);
	}
	buffer_fini(&piece);
	buffer_fini(&out);
}

void pop3_send_more(struct pop3_session *s)
{
	while (s->state == POP3_ST_SENDING && s->client.conn != NULL && conn_pending(s->client.conn) < CONN_OUTPUT_HIGH) {
		if (s->sending.verb == POP3_LIST || s->sending.verb == POP3_UIDL)
			send_rows(s);
		else
			send_piece(s);
	}
}

/* ---- commands ---- */

static void cmd_list(struct pop3_session *s, const struct pop3_command *cmd)
{
	struct buffer row = { 0 };

	if (cmd->number == 0) {
		pop3_replyf(s, "+OK %zu messages", s->drop.count - s->drop.deleted);
		s->sending = (struct pop3_sending){ .verb = cmd->verb, .has_begun = true };
		pop3_enter(s, POP3_ST_SENDING);
	} else if (pop3_drop_item(&s->drop, cmd->number) == NULL) {
		no_such_message(s);
	} else {
		buffer_add_str(&row, "+OK ");
		add_row(s, &row, cmd->verb, cmd->number - 1);
		conn_write(s->client.conn, buffer_bytes(&row));
	}
	buffer_fini(&row);
}

/* RETR and TOP. */
static void cmd_retr(struct pop3_session *s, const struct pop3_command *cmd)
{
	const struct pop3_item *item = pop3_drop_item(&s->drop, cmd->number);
	struct fault why;
	struct store_view *v;
	struct message msg;
	enum store_result result = STORE_FAILED;

	if (item == NULL) {
		no_such_message(s);
		return;
	}
	v = store_view_open(s->client.backend->store, &why);
	if (v != NULL)
		result = store_view_message(v, s->drop.mailbox, item->uid, &msg, &why);
	store_view_close(&v);
	s->sending = (struct pop3_sending){ .verb = cmd->verb, .uid = item->uid };
	pop3_enter(s, POP3_ST_SENDING);
	if (result == STORE_NO_MAILBOX) {
		fail_message(s, "-ERR the message was removed meanwhile", NULL);
	} else if (result != STORE_OK) {
		fail_message(s, "-ERR [SYS/TEMP] the mail store has a problem", &why);
	} else {
		s->sending.body = msg.body;
		s->sending.size = msg.size;
		s->sending.message.lines = cmd->verb == POP3_TOP ? cmd->lines : POP3_ALL_LINES;
	}
}

/* Whether the user may remove messages, by the ACL of now. */
static bool may_delete(struct pop3_session *s, struct fault *why)
{
	struct store_view *v = store_view_open(s->client.backend->store, why);
	struct mailbox m;
	bool may = false;

	if (v != NULL && store_view_mailbox_by_id(v, s->drop.mailbox, &m, why) == STORE_OK)
		may = s->identity.is_admin ||
		      (~acl_effective(m.acl, bytes_of(s->identity.user), true) & (ACL_DELETE | ACL_EXPUNGE)) == 0;
	store_view_close(&v);
	return may;
}

static void cmd_dele(struct pop3_session *s, const struct pop3_command *cmd)
{
	struct pop3_item *item = pop3_drop_item(&s->drop, cmd->number);
	struct fault why;

	if (item == NULL) {
		no_such_message(s);
	} else if (!may_delete(s, &why)) {
		pop3_reply(s, "-ERR [SYS/PERM] you may not delete messages here");
	} else {
		pop3_drop_delete(&s->drop, item);
		pop3_reply(s, "+OK marked");
	}
}

static const char *update_text(const struct submission *sub)
{
	switch (sub->request.answer.result) {
	case STORE_OK:
		return "+OK bye";
	case STORE_NO_MAILBOX:
		return "-ERR [SYS/PERM] the mailbox was deleted meanwhile";
	case STORE_NO_SPACE:
		return "-ERR [SYS/TEMP] no space left, nothing was deleted";
	case STORE_NOT_MASTER:
		return sub->request.had_no_effect ? "-ERR [SYS/TEMP] not the master any more, nothing was deleted" :
		                                    "-ERR [SYS/TEMP] not the master any more, see what was deleted";
	default:
		return "-ERR [SYS/TEMP] the mail store has a problem";
	}
}

/* submission_fn: the deletions are committed, or none is made. */
static void updated(struct client *c, struct submission *sub)
{
	struct pop3_session *s = (struct pop3_session *)c;

	log_event(LOG_DEBUG, "pop3.update.done", LOG_U64("conn", c->id), LOG_STR("user", s->identity.user),
	          LOG_U64("lsn", sub->request.answer.lsn), LOG_STR("result", store_result_name(sub->request.answer.result)),
	          LOG_U64("removed", sub->request.answer.message_count));
	pop3_end(s, update_text(sub));
}

static void cmd_quit(struct pop3_session *s)
{
	struct submission *sub;
	struct intent_expunge *in;
	struct fault why;

	if (s->drop.deleted == 0) {
		pop3_end(s, "+OK bye");
		return;
	}
	if (!may_delete(s, &why)) {
		pop3_end(s, "-ERR [SYS/PERM] you may not delete messages here any more, nothing was deleted");
		return;
	}
	pop3_enter(s, POP3_ST_UPDATE);
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_EXPUNGE;
	in = &sub->intent.expunge;
	in->mailbox = s->drop.mailbox;
	in->uids = pop3_drop_ranges(&s->drop, &sub->arena, &in->uid_count);
	client_submit(&s->client, sub, updated);
}

void pop3_transaction(struct pop3_session *s, const struct pop3_command *cmd)
{
	const struct pop3_drop *d = &s->drop;

	switch (cmd->verb) {
	case POP3_STAT:
		pop3_replyf(s, "+OK %zu %llu", d->count - d->deleted, (unsigned long long)(d->octets - d->deleted_octets));
		break;
	case POP3_LIST:
	case POP3_UIDL:
		cmd_list(s, cmd);
		break;
	case POP3_RETR:
	case POP3_TOP:
		cmd_retr(s, cmd);
		break;
	case POP3_DELE:
		cmd_dele(s, cmd);
		break;
	case POP3_RSET:
		pop3_drop_reset(&s->drop);
		pop3_reply(s, "+OK no message is marked");
		break;
	case POP3_NOOP:
		pop3_reply(s, "+OK");
		break;
	case POP3_CAPA:
		pop3_cmd_capa(s);
		break;
	case POP3_QUIT:
		cmd_quit(s);
		break;
	case POP3_USER:
	case POP3_PASS:
	case POP3_AUTH:
	case POP3_STLS:
	case POP3_UNKNOWN:
		pop3_refuse(s, "-ERR you are logged in");
		break;
	}
}
