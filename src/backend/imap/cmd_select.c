/* SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2). A failed one leaves no mailbox selected. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"

static void tell(struct session *s, const struct mailbox *m, uint32_t first_unseen)
{
	struct buffer out = { 0 };

	buffer_addf(&out, "* %zu EXISTS\r\n* %zu RECENT\r\n", s->box->count, box_recent_count(s->box));
	session_write(s, buffer_bytes(&out));
	box_write_flags(s, m);
	buffer_clear(&out);
	if (first_unseen != 0)
		buffer_addf(&out, "* OK [UNSEEN %u] first unseen\r\n", first_unseen);
	buffer_addf(&out, "* OK [UIDVALIDITY %u] valid\r\n* OK [UIDNEXT %u] next\r\n", m->uidvalidity, m->uidnext);
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
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
	if (s->state == SESSION_SELECTED)
		session_enter(s, SESSION_AUTHED);
	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_found = session_mailbox(s, cmd, v, internal, false, &m, &rights);
	if (is_found && (rights & ACL_READ) == 0) {
		(void)answer_no(cmd, (rights & ACL_LOOKUP) != 0 ? "NOPERM" : "NONEXISTENT",
		                (rights & ACL_LOOKUP) != 0 ? "you may not read it" : "no such mailbox");
		is_found = false;
	}
	if (is_found && box_open(s, v, &m, rights, cmd->c.verb == IMAP_EXAMINE, &box, &first_unseen, &why) != STORE_OK)
		(void)answer_fault(s, cmd, &why);
	if (box != NULL) {
		s->box = box;
		session_enter(s, SESSION_SELECTED);
		client_watch(&s->client, m.id);
		tell(s, &m, first_unseen);
		(void)answer_ok(cmd, "selected");
		buffer_add_str(answer_code(cmd), box->is_readonly ? "READ-ONLY" : "READ-WRITE");
	}
	store_view_close(&v);
	return CMD_DONE;
}
