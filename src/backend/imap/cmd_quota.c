/* GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208). A root is shown as the mailbox of its name would be. What others use is theirs to know:
 * of a root is told who may read its mailbox, its owner, and administrators; only they set limits. */
#include "answer.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "log.h"
#include "quota_answer.h"

static bool no_root(struct command *cmd)
{
	(void)answer_no(cmd, "NONEXISTENT", "no such quota root");
	return false;
}

/* False: answered. */
static bool may_see(struct session *s, struct command *cmd, struct store_view *v, struct bytes root)
{
	struct mailbox m;
	struct fault why;
	acl_rights_t rights;

	if (s->identity.is_admin || names_is_owner(&s->names, root, bytes_of(s->identity.user)))
		return true;
	rights = store_view_mailbox(v, root, &m, &why) == STORE_OK ? session_rights(s, root, m.acl) : 0;
	if ((rights & ACL_READ) != 0)
		return true;
	if ((rights & ACL_LOOKUP) == 0)
		return no_root(cmd);
	(void)answer_no(cmd, "NOPERM", "you may not read it");
	return false;
}

/* The QUOTA response of ROOT. False: answered with what stood in the way. */
static bool tell(struct session *s, struct command *cmd, struct store_view *v, struct bytes root)
{
	struct buffer line = { 0 };
	struct quota q;
	struct fault why;
	enum store_result result = store_view_quota(v, root, &q, &why);

	if (result == STORE_NO_MAILBOX)
		return no_root(cmd);
	if (result != STORE_OK) {
		(void)answer_fault(s, cmd, &why);
		return false;
	}
	quota_answer_write(s, &q, &line);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	return true;
}

enum cmd_step cmd_getquota(struct session *s, struct command *cmd)
{
	struct bytes root;
	struct store_view *v;

	if (!session_name(s, cmd, cmd->c.mailbox, &root) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (may_see(s, cmd, v, root) && tell(s, cmd, v, root))
		(void)answer_ok(cmd, "done");
	store_view_close(&v);
	return CMD_DONE;
}

/* Whether the user may know the root of mailbox INTERNAL, which need not be there: who may read it, or, where there is none that he
 * may know of, the nearest one above. False: answered. */
static bool may_see_root_of(struct session *s, struct command *cmd, struct store_view *v, struct bytes internal)
{
	struct mailbox m;
	struct fault why;
	acl_rights_t rights = 0;

	if (s->identity.is_admin)
		return true;
	for (bool is_first = true;; is_first = false) {
		enum store_result result = store_view_mailbox(v, internal, &m, &why);

		if (result == STORE_FAILED) {
			(void)answer_fault(s, cmd, &why);
			return false;
		}
		rights = result == STORE_OK ? session_rights(s, internal, m.acl) : 0;
		if (result == STORE_OK && ((rights & (ACL_LOOKUP | ACL_READ)) != 0 || !is_first))
			break;
		if (bytes_rfind(internal, '.') == internal.n)
			break;
		internal = bytes_sub(internal, 0, bytes_rfind(internal, '.'));
	}
	if ((rights & ACL_READ) != 0)
		return true;
	if ((rights & ACL_LOOKUP) != 0)
		(void)answer_no(cmd, "NOPERM", "you may not read it");
	else
		(void)answer_no(cmd, "NONEXISTENT", "no such mailbox");
	return false;
}

enum cmd_step cmd_getquotaroot(struct session *s, struct command *cmd)
{
	struct bytes internal;
	struct store_view *v;
	struct buffer line = { 0 }, name = { 0 };
	struct quota q;
	struct fault why;

	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	if (may_see_root_of(s, cmd, v, internal)) {
		enum store_result result = store_view_quota_of(v, internal, &q, &why);

		buffer_add_str(&line, "* QUOTAROOT ");
		imap_write_mailbox(&line, cmd->c.mailbox, s->names.is_utf8);
		if (result == STORE_OK) {
			names_to_external(&s->names, q.root, &name);
			buffer_add_u8(&line, ' ');
			imap_write_mailbox(&line, buffer_bytes(&name), s->names.is_utf8);
		}
		buffer_add_str(&line, "\r\n");
		if (result == STORE_OK)
			quota_answer_write(s, &q, &line);
		if (result == STORE_FAILED) {
			(void)answer_fault(s, cmd, &why);
		} else {
			session_write(s, buffer_bytes(&line));
			(void)answer_ok(cmd, "done");
		}
	}
	store_view_close(&v);
	buffer_fini(&name);
	buffer_fini(&line);
	return CMD_DONE;
}

static void was_set(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	struct bytes root = sub->intent.set_quota.name;
	struct store_view *v;

	if (sub->request.answer.result == STORE_NO_MAILBOX) {
		(void)no_root(cmd);
	} else if (sub->request.answer.result != STORE_OK) {
		(void)answer_result(s, cmd, sub);
	} else {
		log_event(LOG_INFO, "imap.quota.set", LOG_U64("conn", c->id), LOG_STR("user", s->identity.user), LOG_BYTES("root", root),
		          LOG_U64("lsn", sub->request.answer.lsn));
		v = s->state == SESSION_ENDING ? NULL : session_view(s, cmd);
		if (v != NULL && tell(s, cmd, v, root))
			(void)answer_ok(cmd, "done");
		store_view_close(&v);
	}
	session_resume(s, CMD_DONE);
}

static bool take_settings(const struct imap_command *c, struct quota_limits *l)
{
	static const char *const names[QUOTA_RESOURCES] = { "STORAGE", "MESSAGE", "MAILBOX" };

	for (size_t i = 0; i < c->setting_count; i++) {
		unsigned r = 0;

		while (r < QUOTA_RESOURCES && !bytes_equal_nocase_str(c->settings[i].resource, names[r]))
			r++;
		if (r == QUOTA_RESOURCES)
			return false;
		l->is_limited[r] = true;
		l->limit[r] = c->settings[i].limit;
	}
	return true;
}

enum cmd_step cmd_setquota(struct session *s, struct command *cmd)
{
	struct quota_limits limits = { 0 };
	struct bytes root;
	struct submission *sub;

	if (!s->identity.is_admin)
		return answer_no(cmd, "NOPERM", "only administrators set limits");
	if (!take_settings(&cmd->c, &limits))
		return answer_no(cmd, "CANNOT", "STORAGE, MESSAGE and MAILBOX can be limited");
	if (!session_name(s, cmd, cmd->c.mailbox, &root))
		return CMD_DONE;
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_SET_QUOTA;
	sub->intent.set_quota = (struct intent_set_quota){ arena_copy(&sub->arena, root), limits };
	client_submit(&s->client, sub, was_set);
	return CMD_WANT_COMMIT;
}
