/* RENAME (RFC 3501 section 6.3.5): a mailbox with all that is below it, as one entry of the journal. RENAME of one's INBOX
 * moves its messages into a new mailbox and leaves it empty. */
#include "answer.h"
#include "dispatch.h"
#include "mailbox_op.h"

#define RENAME_MAX 10000

static void ended(struct client *c, struct mailbox_op *op)
{
	struct session *s = (struct session *)c;

	if (op->result == STORE_OK)
		session_resume(s, answer_ok(s->cmd, "renamed"));
	else
		session_resume(s, mailbox_op_answer(s, s->cmd, op));
}

struct renaming {
	struct rename_pair *pairs;
	struct bytes *acls;
	size_t count;
	bool is_over, has_clash;
};

/* FROM and all below it, with their new names. */
static void collect(struct session *s, struct command *cmd, struct store_view *v, struct bytes from, struct bytes to,
                    struct renaming *r)
{
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	struct mailbox m;
	struct fault why;
	size_t cap = 0;

	store_view_names(v, from, &it);
	while (view_names_next(&it, &name, &id))
		cap += bytes_equal(name, from) || names_is_below(name, from);
	view_names_end(&it);
	r->is_over = cap > RENAME_MAX;
	if (r->is_over)
		return;
	r->pairs = arena_array(&cmd->arena, cap, sizeof(*r->pairs));
	r->acls = arena_array(&cmd->arena, cap, sizeof(*r->acls));
	store_view_names(v, from, &it);
	while (r->count < cap && view_names_next(&it, &name, &id)) {
		struct buffer b = { 0 };

		if (!bytes_equal(name, from) && !names_is_below(name, from))
			continue;
		buffer_add(&b, to);
		buffer_add(&b, bytes_from(name, from.n));
		r->is_over = r->is_over || b.n > NAMES_MAX;
		r->pairs[r->count].from = arena_copy(&cmd->arena, name);
		r->pairs[r->count].to = arena_copy(&cmd->arena, buffer_bytes(&b));
		if (store_view_mailbox_by_id(v, id, &m, &why) == STORE_OK)
			r->acls[r->count] = arena_copy(&cmd->arena, m.acl);
		r->has_clash = r->has_clash || store_view_mailbox(v, buffer_bytes(&b), &m, &why) == STORE_OK;
		r->count++;
		buffer_fini(&b);
	}
	view_names_end(&it);
	(void)s;
}

static enum cmd_step rename_inbox(struct session *s, struct bytes from, struct bytes to, struct bytes acl, uint64_t messages)
{
	struct mailbox_op *op = mailbox_op_new(&s->client, ended);

	mailbox_op_rename_inbox(op, from, to, acl, messages);
	mailbox_op_start(op);
	return CMD_WANT_COMMIT;
}

static enum cmd_step rename_tree(struct session *s, struct command *cmd, const struct renaming *r)
{
	struct mailbox_op *op;

	if (r->is_over)
		return answer_no(cmd, "LIMIT", "too many mailboxes, or too long a name");
	if (r->count == 0)
		return answer_no(cmd, "NONEXISTENT", "no such mailbox");
	if (r->has_clash)
		return answer_no(cmd, "ALREADYEXISTS", "there is a mailbox of the new name");
	op = mailbox_op_new(&s->client, ended);
	mailbox_op_rename(op, r->pairs, r->acls, r->count);
	mailbox_op_start(op);
	return CMD_WANT_COMMIT;
}

/* Whether the user may take FROM away, or each of what is below it where FROM itself is no mailbox. */
static bool may_take(struct session *s, struct command *cmd, struct store_view *v, struct bytes from)
{
	struct mailbox m;
	struct fault why;
	bool is_there = store_view_mailbox(v, from, &m, &why) == STORE_OK;
	acl_rights_t rights = is_there ? session_rights(s, from, m.acl) : 0;

	if (!is_there)
		return s->identity.is_admin || names_is_owner(&s->names, from, bytes_of(s->identity.user)) ||
		       (answer_no(cmd, "NONEXISTENT", "no such mailbox"), false);
	if ((rights & ACL_DELETE_MAILBOX) != 0)
		return true;
	(void)session_refuse(cmd, rights, false, "you may not rename it");
	return false;
}

enum cmd_step cmd_rename(struct session *s, struct command *cmd)
{
	struct store_view *v;
	struct bytes from, to;
	struct buffer acl = { 0 };
	struct renaming r = { 0 };
	struct mailbox m;
	struct fault why;
	enum cmd_step next = CMD_DONE;

	if (!session_name(s, cmd, cmd->c.mailbox, &from) || !session_name(s, cmd, cmd->c.target, &to) ||
	    (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (bytes_equal(from, to))
		(void)answer_no(cmd, "ALREADYEXISTS", "that is its name");
	else if (names_is_below(to, from) && !names_is_inbox(&s->names, from, bytes_of(s->identity.user)))
		(void)answer_no(cmd, "CANNOT", "a mailbox cannot go below itself");
	else if (may_take(s, cmd, v, from) && create_check(s, cmd, v, to, &acl)) {
		struct bytes new_acl = arena_copy(&cmd->arena, buffer_bytes(&acl));

		if (names_is_inbox(&s->names, from, bytes_of(s->identity.user))) {
			uint64_t messages = store_view_mailbox(v, from, &m, &why) == STORE_OK ? m.exists : 0;

			store_view_close(&v);
			next = rename_inbox(s, from, to, new_acl, messages);
		} else {
			collect(s, cmd, v, from, to, &r);
			store_view_close(&v);
			next = rename_tree(s, cmd, &r);
		}
	}
	store_view_close(&v);
	buffer_fini(&acl);
	return next;
}
