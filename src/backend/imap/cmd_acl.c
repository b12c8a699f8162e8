/* GETACL, MYRIGHTS, LISTRIGHTS, SETACL, DELETEACL (RFC 4314). */
#include "answer.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "mailbox_op.h"

/* Find the mailbox; NEED are rights of which one must be there. False: answered. */
static bool find(struct session *s, struct command *cmd, acl_rights_t need, struct bytes *internal_r, struct bytes *acl_r,
                 acl_rights_t *rights_r)
{
	struct store_view *v;
	struct mailbox m;
	bool is_found;

	if (!session_name(s, cmd, cmd->c.mailbox, internal_r) || (v = session_view(s, cmd)) == NULL)
		return false;
	is_found = session_mailbox(s, cmd, v, *internal_r, false, &m, rights_r);
	if (is_found) {
		*acl_r = arena_copy(&cmd->arena, m.acl);
		is_found = (*rights_r & need) != 0;
		if (!is_found)
			(void)session_refuse(cmd, *rights_r, false, "you may not administer it");
	}
	store_view_close(&v);
	return is_found;
}

enum cmd_step cmd_getacl(struct session *s, struct command *cmd)
{
	struct bytes internal, acl, who;
	acl_rights_t rights;
	struct buffer line = { 0 };

	if (!find(s, cmd, ACL_ADMIN, &internal, &acl, &rights))
		return CMD_DONE;
	buffer_add_str(&line, "* ACL ");
	imap_write_mailbox(&line, cmd->c.mailbox, s->names.is_utf8);
	while (acl_next(&acl, &who, &rights)) {
		buffer_add_u8(&line, ' ');
		imap_write_astring(&line, who, false);
		buffer_add_u8(&line, ' ');
		acl_rights_write(&line, rights, true);
	}
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return answer_ok(cmd, "done");
}

enum cmd_step cmd_myrights(struct session *s, struct command *cmd)
{
	struct bytes internal, acl;
	acl_rights_t rights;
	struct buffer line = { 0 };

	if (!find(s, cmd, ACL_LOOKUP | ACL_READ | ACL_INSERT | ACL_CREATE | ACL_DELETE_MAILBOX | ACL_ADMIN, &internal, &acl,
	          &rights))
		return CMD_DONE;
	buffer_add_str(&line, "* MYRIGHTS ");
	imap_write_mailbox(&line, cmd->c.mailbox, s->names.is_utf8);
	buffer_add_u8(&line, ' ');
	acl_rights_write(&line, rights, true);
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return answer_ok(cmd, "done");
}

static bool is_identifier(struct bytes who)
{
	for (size_t i = 0; i < who.n; i++) {
		if (who.p[i] < ' ' || who.p[i] == 0x7f)
			return false;
	}
	return who.n > 0 && who.n <= 255 && !bytes_equal_str(who, "-");
}

/* With virtual domains a user of one names those of his own without it, and his mailboxes' ACLs have whole names. */
static struct bytes whole_identifier(const struct session *s, struct command *cmd)
{
	struct bytes who = cmd->c.identifier, user = bytes_of(s->identity.user);
	struct bytes name = bytes_from(who, who.n > 0 && who.p[0] == '-');
	size_t at = bytes_rfind(user, '@');

	if (!s->names.virt || s->identity.is_admin || at == user.n || bytes_find(name, '@') < name.n || name.n == 0 ||
	    bytes_equal_str(name, "anyone") || bytes_equal_str(name, "anonymous"))
		return who;
	return bytes_of(arena_printf(&cmd->arena, "%.*s%.*s", BYTES_FMT(who), BYTES_FMT(bytes_from(user, at))));
}

/* Nothing is tied but to itself; c stands for k, d for x, t and e. */
static void write_grantable(struct buffer *line, acl_rights_t always)
{
	if (always != 0)
		acl_rights_write(line, always, false);
	else
		buffer_add_str(line, "\"\"");
	if ((always & ACL_CREATE) != 0)
		buffer_add_u8(line, 'c');
	for (acl_rights_t bit = 1; (bit & ACL_ALL) != 0; bit <<= 1) {
		if ((always & bit) != 0)
			continue;
		buffer_add_u8(line, ' ');
		acl_rights_write(line, bit, false);
	}
	buffer_add_str(line, (always & ACL_CREATE) != 0 ? " d" : " c d");
}

enum cmd_step cmd_listrights(struct session *s, struct command *cmd)
{
	struct bytes internal, acl;
	acl_rights_t rights;
	struct buffer line = { 0 };

	if (!is_identifier(cmd->c.identifier))
		return answer_bad(cmd, "that identifier cannot be");
	if (!find(s, cmd, ACL_ADMIN, &internal, &acl, &rights))
		return CMD_DONE;
	buffer_add_str(&line, "* LISTRIGHTS ");
	imap_write_mailbox(&line, cmd->c.mailbox, s->names.is_utf8);
	buffer_add_u8(&line, ' ');
	imap_write_astring(&line, cmd->c.identifier, false);
	buffer_add_u8(&line, ' ');
	write_grantable(&line, names_is_owner(&s->names, internal, whole_identifier(s, cmd)) ? ACL_OWNER : 0);
	buffer_add_str(&line, "\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return answer_ok(cmd, "done");
}

static void ended(struct client *c, struct mailbox_op *op)
{
	struct session *s = (struct session *)c;

	if (op->result == STORE_OK)
		session_resume(s, answer_ok(s->cmd, "done"));
	else
		session_resume(s, mailbox_op_answer(s, s->cmd, op));
}

/* As Cyrus names them; the users' file has none, so that a grant would give nothing. */
static bool is_group(struct bytes who)
{
	return bytes_starts(bytes_from(who, who.n > 0 && who.p[0] == '-'), BYTES_LIT("group:"));
}

/* How is '+', '-' or 0, before the letters. */
static enum cmd_step change(struct session *s, struct command *cmd, uint8_t how, acl_rights_t letters)
{
	struct bytes internal, acl, who;
	acl_rights_t rights, now;
	struct buffer to = { 0 };
	struct mailbox_op *op;

	if (!is_identifier(cmd->c.identifier))
		return answer_bad(cmd, "that identifier cannot be");
	if (!find(s, cmd, ACL_ADMIN, &internal, &acl, &rights))
		return CMD_DONE;
	who = whole_identifier(s, cmd);
	if (letters != 0 && how != '-' && is_group(who))
		return answer_no(cmd, "CANNOT", "there are no groups here");
	now = acl_get(acl, who);
	now = how == '+' ? now | letters : how == '-' ? now & ~letters : letters;
	acl_set(&to, acl, who, now);
	op = mailbox_op_new(&s->client, ended);
	mailbox_op_set_acl(op, internal, acl, buffer_bytes(&to));
	buffer_fini(&to);
	mailbox_op_start(op);
	return CMD_WANT_COMMIT;
}

enum cmd_step cmd_setacl(struct session *s, struct command *cmd)
{
	struct bytes text = cmd->c.rights;
	uint8_t how = text.n > 0 && (text.p[0] == '+' || text.p[0] == '-') ? text.p[0] : 0;
	acl_rights_t letters;

	if (!acl_rights_parse(bytes_from(text, how != 0), &letters))
		return answer_bad(cmd, "a letter that is no right");
	return change(s, cmd, how, letters);
}

enum cmd_step cmd_deleteacl(struct session *s, struct command *cmd)
{
	return change(s, cmd, 0, 0);
}
