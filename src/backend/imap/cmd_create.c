/* CREATE (RFC 3501 section 6.3.3; RFC 6154 section 3). Levels above need not be there and are not made. The right to create comes from the
 * nearest mailbox above; a user's INBOX and shared roots are made by administrators. */
#include "answer.h"
#include "dispatch.h"
#include "mailbox_op.h"
#include "metadata.h"

/* RFC 8474 section 4.1; where the mailbox is gone again already the answer does without. */
static void add_mailbox_id(struct session *s)
{
	struct buffer internal = { 0 };
	struct fault why;
	struct mailbox m;
	struct store_view *v = store_view_open(s->client.backend->store, &why);

	if (v != NULL && s->state != SESSION_ENDING && names_to_internal(&s->names, s->cmd->c.mailbox, &internal, &why) &&
	    store_view_mailbox(v, buffer_bytes(&internal), &m, &why) == STORE_OK) {
		buffer_add_str(answer_code(s->cmd), "MAILBOXID (");
		session_mailbox_id(s, &m, answer_code(s->cmd));
		buffer_add_u8(answer_code(s->cmd), ')');
	}
	store_view_close(&v);
	buffer_fini(&internal);
}

static void ended(struct client *c, struct mailbox_op *op)
{
	struct session *s = (struct session *)c;

	if (op->result == STORE_OK) {
		(void)answer_ok(s->cmd, "made");
		add_mailbox_id(s);
		session_resume(s, CMD_DONE);
	} else if (op->result == STORE_CONFLICT && !op->is_refused && !op->is_unreachable) {
		session_resume(s, answer_no(s->cmd, "USEATTR", "another mailbox has that special use"));
	} else {
		session_resume(s, mailbox_op_answer(s, s->cmd, op));
	}
}

bool create_check(struct session *s, struct command *cmd, struct store_view *v, struct bytes internal, struct buffer *acl)
{
	struct bytes above = internal;
	struct mailbox m;
	struct fault why;
	enum store_result result = store_view_mailbox(v, internal, &m, &why);
	struct buffer owner = { 0 };
	bool is_there = result == STORE_OK, is_seen = is_there && (session_rights(s, internal, m.acl) & ACL_LOOKUP) != 0, may;

	if (is_there)
		result = STORE_NO_MAILBOX;
	while (result == STORE_NO_MAILBOX && bytes_rfind(above, '.') < above.n) {
		above = bytes_sub(above, 0, bytes_rfind(above, '.'));
		result = store_view_mailbox(v, above, &m, &why);
	}
	if (result == STORE_FAILED) {
		(void)answer_fault(s, cmd, &why);
		return false;
	}
	/* Who could not make it is not told that one he may not see is there. */
	may = result == STORE_OK ? (session_rights(s, above, m.acl) & ACL_CREATE) != 0 : s->identity.is_admin;
	if (is_seen || (is_there && may)) {
		(void)answer_no(cmd, "ALREADYEXISTS", "there is a mailbox of that name");
		return false;
	}
	if (!may) {
		(void)answer_no(cmd, "NOPERM", "you may not create it");
		return false;
	}
	if (result == STORE_OK) {
		buffer_add(acl, m.acl);
	} else if (names_owner(&s->names, internal, &owner)) {
		acl_write_default(acl, buffer_bytes(&owner));
	} else {
		buffer_add_str(acl, "anyone\tlrs\t");
	}
	buffer_fini(&owner);
	return true;
}

/* Cyrus's second argument: this server, this partition, or both. */
static bool is_here(const struct backend *b, struct bytes where)
{
	size_t mark = bytes_find(where, '!');

	if (where.n == 0)
		return true;
	if (mark < where.n)
		return bytes_equal_nocase_str(bytes_sub(where, 0, mark), b->server) &&
		       (mark + 1 == where.n || bytes_equal_str(bytes_from(where, mark + 1), b->partition));
	return bytes_equal_nocase_str(where, b->server) || bytes_equal_str(where, b->partition);
}

enum cmd_step cmd_create(struct session *s, struct command *cmd)
{
	struct store_view *v;
	struct bytes internal;
	struct buffer acl = { 0 };
	struct attribute_change use;
	struct attribute_changes uses = { .at = &use };
	struct mailbox_op *op;
	bool may;

	if (!is_here(s->client.backend, cmd->c.partition))
		return answer_no(cmd, "CANNOT", "that server or partition is not here");
	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	may = create_check(s, cmd, v, internal, &acl);
	store_view_close(&v);
	if (may && cmd->c.special_use.n > 0) {
		use = (struct attribute_change){ .name = BYTES_LIT(METADATA_SPECIAL_USE), .value = cmd->c.special_use, .is_set = true,
			                         .user = metadata_user(s, &cmd->arena, internal, BYTES_LIT(METADATA_SPECIAL_USE)) };
		uses.count = 1;
		may = metadata_use_change(s, &cmd->arena, internal, &use);
		if (!may)
			(void)answer_no(cmd, "USEATTR", "no such special use, or not of this mailbox");
	}
	if (may) {
		op = mailbox_op_new(&s->client, ended);
		mailbox_op_create(op, internal, buffer_bytes(&acl), &uses);
		mailbox_op_start(op);
	}
	buffer_fini(&acl);
	return may ? CMD_WANT_COMMIT : CMD_DONE;
}
