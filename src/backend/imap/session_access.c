/* session_access.c - names and mailboxes as a session's user may have them: by the ACL of now (RFC 4314). */
#include "answer.h"
#include "box.h"

acl_rights_t session_rights(struct session *s, struct bytes internal, struct bytes acl)
{
	struct bytes user = bytes_of(s->identity.user);

	if (s->identity.is_admin)
		return ACL_ALL;
	return acl_effective(acl, user, names_is_owner(&s->names, internal, user));
}

bool session_name(struct session *s, struct command *cmd, struct bytes name, struct bytes *internal_r)
{
	struct buffer to = { 0 };
	struct fault why;
	bool ok = names_to_internal(&s->names, name, &to, &why);

	if (ok) {
		*internal_r = arena_copy(&cmd->arena, buffer_bytes(&to));
	} else {
		(void)answer_fault(s, cmd, &why);
		buffer_add_str(answer_code(cmd), "CANNOT");
	}
	buffer_fini(&to);
	return ok;
}

struct store_view *session_view(struct session *s, struct command *cmd)
{
	struct fault why;
	struct store_view *v = store_view_open(s->client.backend->store, &why);

	if (v == NULL)
		(void)answer_fault(s, cmd, &why);
	return v;
}

bool session_mailbox(struct session *s, struct command *cmd, struct store_view *v, struct bytes internal, bool is_target,
                     struct mailbox *m_r, acl_rights_t *rights_r)
{
	struct fault why;
	enum store_result result = store_view_mailbox(v, internal, m_r, &why);

	*rights_r = 0;
	if (result == STORE_OK)
		*rights_r = session_rights(s, internal, m_r->acl);
	if (result == STORE_FAILED) {
		(void)answer_fault(s, cmd, &why);
		return false;
	}
	if (result != STORE_OK || *rights_r == 0) {
		(void)session_refuse(cmd, 0, is_target, "");
		return false;
	}
	return true;
}

enum cmd_step session_refuse(struct command *cmd, acl_rights_t rights, bool is_target, const char *text)
{
	if ((rights & ACL_LOOKUP) != 0)
		return answer_no(cmd, "NOPERM", text);
	return answer_no(cmd, is_target ? "TRYCREATE" : "NONEXISTENT", "no such mailbox");
}

void session_take_rights(struct session *s)
{
	struct fault why;
	struct mailbox m;
	acl_rights_t rights;
	struct store_view *v = store_view_open(s->client.backend->store, &why);

	s->box->has_new_rights = false;
	if (v != NULL && store_view_mailbox_by_id(v, s->box->id, &m, &why) == STORE_OK) {
		rights = session_rights(s, m.name, m.acl);
		if ((rights & ACL_READ) == 0)
			session_bye(s, "you may not read the mailbox any more");
		else if (box_take_rights(s->box, rights))
			box_write_flags(s, &m);
	}
	store_view_close(&v);
}
