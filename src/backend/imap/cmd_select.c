/* SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2), with CONDSTORE and QRESYNC (RFC 7162). A failed one leaves no mailbox
 * selected.
 *
 * The numbers and UIDs that a client of QRESYNC may give are not needed: what went since when is known for all UIDs. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "notify.h"
#include "quota_answer.h"

#define RESYNC_TURN 500 /* messages told in one turn of the loop */

struct resync {
	struct box_changes changes;
	size_t at;
};

static void tell(struct session *s, const struct mailbox *m, uint32_t first_unseen)
{
	struct buffer out = { 0 };
	bool is_rev2 = (s->features & IMAP_F_REV2) != 0;

	buffer_addf(&out, "* %zu EXISTS\r\n", s->box->count);
	if (!is_rev2)
		buffer_addf(&out, "* %zu RECENT\r\n", box_recent_count(s->box));
	session_write(s, buffer_bytes(&out));
	box_write_flags(s, m);
	buffer_clear(&out);
	if (is_rev2) { /* RFC 9051 section 6.3.2: the mailbox as LIST would have it */
		struct buffer name = { 0 };

		names_to_external(&s->names, m->name, &name);
		buffer_addf(&out, "* LIST () \"%c\" ", s->names.sep);
		imap_write_mailbox(&out, buffer_bytes(&name), true);
		buffer_add_str(&out, "\r\n");
		buffer_fini(&name);
	} else if (first_unseen != 0 && (s->features & IMAP_F_UIDONLY) == 0)
		buffer_addf(&out, "* OK [UNSEEN %u] first unseen\r\n", first_unseen);
	buffer_addf(&out, "* OK [UIDVALIDITY %u] valid\r\n* OK [UIDNEXT %u] next\r\n* OK [HIGHESTMODSEQ %llu] highest\r\n",
	            m->uidvalidity, m->uidnext, (unsigned long long)m->highestmodseq);
	buffer_add_str(&out, "* OK [MAILBOXID (");
	session_mailbox_id(s, m, &out);
	buffer_add_str(&out, ")] its id\r\n* OK [URLMECH INTERNAL] to authorize URLs\r\n");
	if (s->box->is_examine)
		buffer_add_str(&out, "* OK [ANNOTATIONS READ-ONLY] they can be read\r\n");
	else
		buffer_addf(&out, "* OK [ANNOTATIONS %llu] octets of a value\r\n",
		            (unsigned long long)config_number(s->client.backend->cfg, "annotation_max_value"));
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
}

/* Who can make room is told that there is little. */
static void warn(struct session *s, struct store_view *v, const struct mailbox *m)
{
	struct buffer out = { 0 };

	if (!s->box->is_readonly && (s->box->rights & ACL_EXPUNGE) != 0)
		quota_answer_warn(s, v, m, &out);
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
}

static enum cmd_step selected(struct session *s, struct command *cmd)
{
	(void)answer_ok(cmd, "selected");
	buffer_add_str(answer_code(cmd), s->box->is_readonly ? "READ-ONLY" : "READ-WRITE");
	return CMD_DONE;
}

/* The flags of what changed, some at a time. */
static enum cmd_step tell_changed(struct session *s, struct command *cmd)
{
	struct resync *r = cmd->state;
	struct store_view *v;
	struct mailbox m;
	struct message msg;
	struct fault why;
	size_t told = 0;

	cmd->resume = tell_changed;
	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (store_view_mailbox_by_id(v, s->box->id, &m, &why) != STORE_OK)
		r->at = r->changes.count; /* it was deleted: the next command tells */
	for (; r->at < r->changes.count && !session_is_full(s) && told < RESYNC_TURN; r->at++, told++) {
		uint32_t index = r->changes.index[r->at], uid = s->box->uids[index];

		if ((!cmd->c.qresync->has_known || seqset_has(&cmd->c.qresync->known, uid)) &&
		    store_view_message(v, s->box->id, uid, &msg, &why) == STORE_OK)
			box_write_fetch_flags(s, index + 1, &msg, &m, true);
	}
	store_view_close(&v);
	if (r->at < r->changes.count)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	return selected(s, cmd);
}

/* RFC 7162 section 3.2.5: what went and what changed since the client's modseq. */
static enum cmd_step resync(struct session *s, struct command *cmd)
{
	const struct qresync_args *q = cmd->c.qresync;
	struct resync *r = arena_zalloc(&cmd->arena, sizeof(*r));
	struct seq_range all = { 1, UINT32_MAX };
	const struct seqset every = { .ranges = &all, .count = 1 };

	cmd->state = r;
	if (q->uidvalidity != s->box->uidvalidity)
		return selected(s, cmd);
	if (!box_changes(s, cmd, q->modseq, q->has_known ? &q->known : &every, &r->changes)) {
		session_enter(s, SESSION_AUTHED);
		return CMD_DONE;
	}
	box_write_vanished(s, true, r->changes.gone, r->changes.gone_count);
	return tell_changed(s, cmd);
}

enum cmd_step cmd_select(struct session *s, struct command *cmd)
{
	struct store_view *v;
	struct bytes internal;
	struct mailbox m;
	acl_rights_t rights;
	uint32_t first_unseen;
	struct box *box = NULL;
	struct fault why;
	bool is_found;

	cmd->is_quiet = true;
	if (cmd->c.qresync != NULL && (s->features & IMAP_F_QRESYNC) == 0)
		return answer_bad(cmd, "QRESYNC needs ENABLE QRESYNC");
	if (s->state == SESSION_SELECTED) {
		session_enter(s, SESSION_AUTHED);
		if ((s->features & (IMAP_F_QRESYNC | IMAP_F_REV2)) != 0)
			session_write_str(s, "* OK [CLOSED] the former mailbox is closed\r\n");
	}
	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_found = session_mailbox(s, cmd, v, internal, false, &m, &rights);
	if (is_found && (rights & ACL_READ) == 0) {
		(void)session_refuse(cmd, rights, false, "you may not read it");
		is_found = false;
	}
	if (is_found && box_open(s, v, &m, rights, cmd->c.verb == IMAP_EXAMINE, &box, &first_unseen, &why) != STORE_OK)
		(void)answer_fault(s, cmd, &why);
	if (box != NULL) {
		box->hears_annotations = cmd->c.hears_annotations;
		s->box = box;
		session_enter(s, SESSION_SELECTED);
		client_watch(&s->client, m.id);
		notify_selected_anew(s);
		tell(s, &m, first_unseen);
		warn(s, v, &m);
	}
	store_view_close(&v);
	if (box == NULL)
		return CMD_DONE;
	return cmd->c.qresync != NULL ? resync(s, cmd) : selected(s, cmd);
}
