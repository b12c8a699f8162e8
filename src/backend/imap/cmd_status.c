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

/* BUGS: where one message far behind has \Deleted all before it are looked at, in one turn of the loop. */
static uint64_t deleted_bytes(struct store_view *v, const struct mailbox *m)
{
	uint64_t bytes;
	struct fault why;

	return store_view_deleted_bytes(v, m, &bytes, &why) == STORE_OK ? bytes : 0;
}

void status_write(struct session *s, struct store_view *v, const struct mailbox *m, struct bytes name, unsigned items,
                  struct buffer *to)
{
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
	if ((items & STATUS_DELETED_STORAGE) != 0)
		buffer_addf(to, "DELETED-STORAGE %llu ", (unsigned long long)deleted_bytes(v, m));
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

enum cmd_step cmd_status(struct session *s, struct command *cmd)
{
	struct bytes internal;
	struct store_view *v;
	struct mailbox m;
	acl_rights_t rights;
	struct buffer line = { 0 };

	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (session_mailbox(s, cmd, v, internal, false, &m, &rights)) {
		if ((rights & ACL_READ) == 0) {
			(void)session_refuse(cmd, rights, false, "you may not read it");
		} else {
			status_write(s, v, &m, cmd->c.mailbox, cmd->c.status_items, &line);
			session_write(s, buffer_bytes(&line));
			(void)answer_ok(cmd, "done");
		}
	}
	store_view_close(&v);
	buffer_fini(&line);
	return CMD_DONE;
}
