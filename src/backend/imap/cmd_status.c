/* cmd_status.c - STATUS (RFC 3501 section 6.3.10): counters of a mailbox that need not be selected, from one
 * snapshot. */
#include "answer.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "status.h"

static uint32_t count_recent(struct session *s, struct store_view *v, const struct mailbox *m)
{
	uint32_t above = recent_claim(&s->client.backend->recent, m->id, m->uidnext - 1, false);
	struct view_messages it;
	struct message msg;
	uint32_t n = 0;

	store_view_messages(v, m->id, above + 1, &it);
	while (view_messages_next(&it, &msg))
		n++;
	view_messages_end(&it);
	return n;
}

void status_write(struct session *s, struct store_view *v, const struct mailbox *m, struct bytes name, unsigned items,
                  const struct view_deleted *deleted, struct buffer *to)
{
	struct view_deleted all = { .uid = 1 };
	struct fault why;

	buffer_add_str(to, "* STATUS ");
	imap_write_mailbox(to, name, s->names.is_utf8);
	buffer_add_str(to, " (");
	if ((items & STATUS_MESSAGES) != 0)
		buffer_addf(to, "MESSAGES %u ", m->exists);
	if ((items & STATUS_RECENT) != 0)
		buffer_addf(to, "RECENT %u ", count_recent(s, v, m));
	if ((items & STATUS_UIDNEXT) != 0)
		buffer_addf(to, "UIDNEXT %u ", m->uidnext);
	if ((items & STATUS_UIDVALIDITY) != 0)
		buffer_addf(to, "UIDVALIDITY %u ", m->uidvalidity);
	if ((items & STATUS_UNSEEN) != 0)
		buffer_addf(to, "UNSEEN %u ", m->unseen);
	if ((items & STATUS_DELETED) != 0)
		buffer_addf(to, "DELETED %u ", m->deleted);
	if ((items & STATUS_DELETED_STORAGE) != 0 && deleted == NULL)
		(void)store_view_deleted(v, m, SIZE_MAX, &all, &why);
	if ((items & STATUS_DELETED_STORAGE) != 0)
		buffer_addf(to, "DELETED-STORAGE %llu ", (unsigned long long)(deleted != NULL ? deleted : &all)->bytes);
	if ((items & STATUS_SIZE) != 0)
		buffer_addf(to, "SIZE %llu ", (unsigned long long)m->bytes);
	if ((items & STATUS_HIGHESTMODSEQ) != 0)
		buffer_addf(to, "HIGHESTMODSEQ %llu ", (unsigned long long)m->highestmodseq);
	if ((items & STATUS_APPENDLIMIT) != 0)
		buffer_addf(to, "APPENDLIMIT %llu ", (unsigned long long)s->client.backend->max_message);
	if ((items & STATUS_MAILBOXID) != 0) {
		buffer_add_str(to, "MAILBOXID (");
		session_mailbox_id(s, m, to);
		buffer_add_str(to, ") ");
	}
	to->n--;
	buffer_add_str(to, ")\r\n");
}

#define STATUS_TURN 10000 /* messages looked at in one turn of the loop */

/* Messages that are to go are added up some at a time; the rest is of one snapshot. */
static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct view_deleted *deleted = cmd->state;
	struct bytes internal;
	struct store_view *v;
	struct mailbox m;
	struct fault why;
	acl_rights_t rights;
	struct buffer line = { 0 };
	enum cmd_step next = CMD_DONE;

	cmd->resume = go_on;
	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (session_mailbox(s, cmd, v, internal, false, &m, &rights)) {
		if ((rights & ACL_READ) == 0) {
			(void)session_refuse(cmd, rights, false, "you may not read it");
		} else if ((cmd->c.status_items & STATUS_DELETED_STORAGE) != 0 &&
		           store_view_deleted(v, &m, STATUS_TURN, deleted, &why) != STORE_OK) {
			(void)answer_fault(s, cmd, &why);
		} else if ((cmd->c.status_items & STATUS_DELETED_STORAGE) != 0 && deleted->uid != 0) {
			next = CMD_WANT_TURN;
		} else {
			status_write(s, v, &m, cmd->c.mailbox, cmd->c.status_items, deleted, &line);
			session_write(s, buffer_bytes(&line));
			(void)answer_ok(cmd, "done");
		}
	}
	store_view_close(&v);
	buffer_fini(&line);
	return next;
}

enum cmd_step cmd_status(struct session *s, struct command *cmd)
{
	struct view_deleted *deleted = arena_zalloc(&cmd->arena, sizeof(*deleted));

	deleted->uid = 1;
	cmd->state = deleted;
	return go_on(s, cmd);
}
