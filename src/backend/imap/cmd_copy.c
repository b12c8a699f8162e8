/* COPY, MOVE and their UID forms (RFC 3501 section 6.4.7, RFC 6851, RFC 4315). */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "imap_flags.h"
#include "limit.h"
#include "seqset.h"

static void write_set(struct buffer *to, const struct uid_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct seq_range r = { ranges[i].first, ranges[i].last };

		if (i > 0)
			buffer_add_u8(to, ',');
		seqset_write(to, &r, 1);
	}
}

static void write_copyuid(struct buffer *to, const struct intent_answer *a)
{
	buffer_addf(to, "COPYUID %u ", a->uidvalidity);
	write_set(to, a->uids, a->uid_count);
	buffer_add_u8(to, ' ');
	write_set(to, a->new_uids, a->new_uid_count);
}

static void copied(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	const struct intent_answer *a = &sub->request.answer;
	struct buffer line = { 0 };

	if (a->result == STORE_NO_MAILBOX && a->no_target) {
		session_resume(s, answer_no(cmd, "TRYCREATE", "no such mailbox"));
		return;
	}
	if (a->result != STORE_OK) {
		session_resume(s, answer_result(s, cmd, sub));
		return;
	}
	if (a->uid_count > 0 && cmd->c.verb == IMAP_MOVE) {
		/* Before the EXPUNGEs (RFC 6851 section 4.3). */
		buffer_add_str(&line, "* OK [");
		write_copyuid(&line, a);
		buffer_add_str(&line, "] moved\r\n");
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
	}
	cmd->tells_modseq = a->uid_count > 0 && cmd->c.verb == IMAP_MOVE;
	(void)answer_ok(cmd, cmd->c.verb == IMAP_MOVE ? "moved" : "copied");
	if (a->uid_count > 0 && cmd->c.verb == IMAP_COPY)
		write_copyuid(answer_code(cmd), a);
	session_resume(s, CMD_DONE);
}

enum cmd_step cmd_copy(struct session *s, struct command *cmd)
{
	bool is_move = cmd->c.verb == IMAP_MOVE;
	struct submission *sub;
	struct intent_copy *in;
	struct bytes internal;
	struct store_view *v;
	struct mailbox m;
	acl_rights_t rights;
	uint32_t *index;
	size_t count;
	bool is_found;

	if (!box_resolve(s->box, &cmd->c.set, cmd->c.is_uid, &cmd->arena, &index, &count))
		return answer_bad(cmd, "no message of that number");
	if (!session_name(s, cmd, cmd->c.target, &internal) || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	is_found = session_mailbox(s, cmd, v, internal, true, &m, &rights);
	store_view_close(&v);
	if (!is_found)
		return CMD_DONE;
	if ((rights & ACL_INSERT) == 0)
		return session_refuse(cmd, rights, true, "you may not add to it");
	if (is_move && s->box->is_readonly)
		return answer_no(cmd, "READ-ONLY", "the mailbox was opened read-only");
	if (is_move && (s->box->rights & (ACL_DELETE | ACL_EXPUNGE)) != (ACL_DELETE | ACL_EXPUNGE))
		return answer_no(cmd, "NOPERM", "you may not take messages from here");
	if (count == 0)
		return answer_ok(cmd, "nothing to do");
	if (!is_move && limit_refuses(s, cmd, index, count))
		return CMD_DONE;
	limit_cut(s, cmd, &index, &count);
	sub = submission_new(&s->client);
	sub->intent.op = is_move ? INTENT_MOVE : INTENT_COPY;
	in = &sub->intent.copy;
	in->mailbox = s->box->id;
	in->target = arena_copy(&sub->arena, internal);
	/* Flags that the target's rights do not allow stay behind (RFC 4314 section 4). */
	in->withheld = ((rights & ACL_SEEN) != 0 ? 0u : IMAP_FLAG_SEEN) | ((rights & ACL_DELETE) != 0 ? 0u : IMAP_FLAG_DELETED) |
	               ((rights & ACL_WRITE) != 0 ? 0u : IMAP_FLAG_ANSWERED | IMAP_FLAG_FLAGGED | IMAP_FLAG_DRAFT);
	in->withholds_keywords = (rights & ACL_WRITE) == 0;
	/* RFC 5257 section 4.6 */
	in->user = arena_copy(&sub->arena, bytes_of(s->identity.user));
	in->leaves_shared = (rights & ACL_ANNOTATE) == 0;
	in->uids = box_ranges(s->box, index, count, &sub->arena, &in->uid_count);
	recent_note(&s->client.backend->recent, m.id, m.uidnext);
	client_submit(&s->client, sub, copied);
	return CMD_WANT_COMMIT;
}
