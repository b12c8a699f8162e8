/* DELETE (RFC 3501 section 6.3.4). What is below stays, and keeps the name alive as \NonExistent; but a user's INBOX goes
 * with all that is below it, and only administrators delete that. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "mailbox_op.h"

#define DELETE_MAX 100000

static void ended(struct client *c, struct mailbox_op *op)
{
	struct session *s = (struct session *)c;
	struct store_view *v;
	struct mailbox m;
	struct fault why;

	if (op->result != STORE_OK) {
		session_resume(s, mailbox_op_answer(s, s->cmd, op));
		return;
	}
	/* Who deletes the mailbox it has selected is left without one, not disconnected. */
	v = s->state == SESSION_SELECTED ? store_view_open(s->client.backend->store, &why) : NULL;
	if (v != NULL && store_view_mailbox_by_id(v, s->box->id, &m, &why) == STORE_NO_MAILBOX)
		session_enter(s, SESSION_AUTHED);
	store_view_close(&v);
	session_resume(s, answer_ok(s->cmd, "deleted"));
}

static bool is_user_root(struct session *s, struct bytes internal)
{
	struct buffer owner = { 0 };
	bool is = names_owner(&s->names, internal, &owner) && names_is_inbox(&s->names, internal, buffer_bytes(&owner));

	buffer_fini(&owner);
	return is;
}

/* ROOT and all below it, deepest last names first. */
static struct bytes *tree(struct command *cmd, struct store_view *v, struct bytes root, size_t *count_r)
{
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	struct bytes *names;
	size_t n = 0, at;

	store_view_names(v, root, &it);
	while (view_names_next(&it, &name, &id))
		n += bytes_equal(name, root) || names_is_below(name, root);
	view_names_end(&it);
	names = arena_array(&cmd->arena, n, sizeof(*names));
	at = n;
	store_view_names(v, root, &it);
	while (at > 0 && view_names_next(&it, &name, &id)) {
		if (bytes_equal(name, root) || names_is_below(name, root))
			names[--at] = arena_copy(&cmd->arena, name);
	}
	view_names_end(&it);
	*count_r = n;
	return names;
}

enum cmd_step cmd_delete(struct session *s, struct command *cmd)
{
	struct store_view *v;
	struct bytes internal, *names = &internal;
	struct mailbox m;
	acl_rights_t rights;
	struct mailbox_op *op;
	size_t count = 1;
	bool is_root, is_found;

	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_found = session_mailbox(s, cmd, v, internal, false, &m, &rights);
	is_root = is_user_root(s, internal);
	if (is_found && is_root && s->identity.is_admin)
		names = tree(cmd, v, internal, &count);
	store_view_close(&v);
	if (!is_found)
		return CMD_DONE;
	if ((rights & ACL_DELETE_MAILBOX) == 0)
		return session_refuse(cmd, rights, false, "you may not delete it");
	if (is_root && !s->identity.is_admin)
		return answer_no(cmd, "CANNOT", "an INBOX is not deleted");
	if (count > DELETE_MAX)
		return answer_no(cmd, "LIMIT", "too many mailboxes at once");
	op = mailbox_op_new(&s->client, ended);
	mailbox_op_delete(op, names, count);
	mailbox_op_start(op);
	return CMD_WANT_COMMIT;
}
