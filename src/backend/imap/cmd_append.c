/* APPEND (RFC 3501 section 6.3.11, RFC 4315): the message is copied and its structure made here, on the session's loop. */
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_flags.h"

static void appended(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	const struct append_target *t = &sub->intent.append.targets[0];
	enum store_result result = sub->request.answer.result;

	if (result == STORE_OK) {
		(void)answer_ok(cmd, "kept");
		buffer_addf(answer_code(cmd), "APPENDUID %u %u", t->uidvalidity, t->uid);
	} else if (result == STORE_NO_MAILBOX) {
		(void)answer_no(cmd, "TRYCREATE", "no such mailbox");
	} else {
		(void)answer_result(s, cmd, sub);
	}
	session_resume(s, CMD_DONE);
}

/* Flags that RIGHTS do not allow are left out (RFC 4314 section 4). */
static void set_flags(struct append_target *t, const struct command *cmd, acl_rights_t rights, struct arena *a)
{
	uint32_t flags = cmd->c.flags;

	if ((rights & ACL_SEEN) == 0)
		flags &= ~(uint32_t)IMAP_FLAG_SEEN;
	if ((rights & ACL_DELETE) == 0)
		flags &= ~(uint32_t)IMAP_FLAG_DELETED;
	if ((rights & ACL_WRITE) == 0)
		flags &= IMAP_FLAG_SEEN | IMAP_FLAG_DELETED;
	t->flags = flags;
	if ((rights & ACL_WRITE) != 0 && cmd->c.keyword_count > 0) {
		struct bytes *keywords = arena_array(a, cmd->c.keyword_count, sizeof(*keywords));

		for (size_t i = 0; i < cmd->c.keyword_count; i++)
			keywords[i] = arena_copy(a, cmd->c.keywords[i]);
		t->keywords = keywords;
		t->keyword_count = cmd->c.keyword_count;
	}
}

enum cmd_step cmd_append(struct session *s, struct command *cmd)
{
	struct backend *b = s->client.backend;
	struct bytes internal;
	struct store_view *v;
	struct mailbox m;
	acl_rights_t rights;
	struct submission *sub;
	struct append_target *t;
	struct buffer structure = { 0 };
	bool is_found;

	if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_found = session_mailbox(s, cmd, v, internal, true, &m, &rights);
	store_view_close(&v);
	if (!is_found)
		return CMD_DONE;
	if ((rights & ACL_INSERT) == 0)
		return answer_no(cmd, "NOPERM", "you may not add to it");
	if (cmd->c.message.n == 0)
		return answer_no(cmd, "CANNOT", "a message of no octets");
	if (bytes_find(cmd->c.message, '\0') < cmd->c.message.n)
		return cmd->c.is_binary ? answer_no(cmd, "UNKNOWN-CTE", "NUL octets are not kept: encode the part") :
		                          answer_no(cmd, "CANNOT", "the message holds NUL octets");
	sub = submission_new(&s->client);
	if (!inflight_set(&b->inflight, &sub->share, cmd->c.message.n)) {
		submission_free(sub);
		atomic_fetch_add(&b->counters.limits_hit, 1);
		return answer_no(cmd, "LIMIT", "too many messages at once, try later");
	}
	buffer_add(&sub->body, cmd->c.message);
	sub->intent.op = INTENT_APPEND;
	sub->intent.append.body = buffer_bytes(&sub->body);
	mime_blob_write(&structure, sub->intent.append.body, &b->mime_limits);
	sub->intent.append.structure = arena_copy(&sub->arena, buffer_bytes(&structure));
	buffer_fini(&structure);
	t = arena_zalloc(&sub->arena, sizeof(*t));
	t->mailbox = arena_copy(&sub->arena, internal);
	t->internaldate = cmd->c.has_date ? cmd->c.internaldate : clock_wall_s();
	set_flags(t, cmd, rights, &sub->arena);
	sub->intent.append.targets = t;
	sub->intent.append.target_count = 1;
	recent_note(&b->recent, m.id, m.uidnext);
	client_submit(&s->client, sub, appended);
	return CMD_WANT_COMMIT;
}
