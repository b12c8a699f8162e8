/* GETMETADATA and SETMETADATA (RFC 5464).
 *
 * A value goes out as the client takes it: between two looks at the store a value may change, an entry go. Shared entries of the server
 * are an administrator's to set, those of a mailbox need the right w, too, which the RFC leaves open. */
#include "answer.h"
#include "dispatch.h"
#include "metadata.h"

static bool is_shared(struct bytes name)
{
	return bytes_starts(name, BYTES_LIT("/shared"));
}

/* Entries of the murder as a whole are kept by one server: others would answer otherwise. */
static bool is_kept_here(struct session *s, struct command *cmd)
{
	const char *home = config_string(s->client.backend->cfg, "metadata_server");

	if (home == NULL || bytes_equal_nocase_str(bytes_of(home), s->client.backend->server))
		return true;
	(void)answer_no(cmd, "CANNOT", "the entries of the server are kept by another one: ask a frontend");
	return false;
}

/* The mailbox that the command names, for which the user needs rights; 0 and empty for the server. False: answered. */
static bool find(struct session *s, struct command *cmd, struct store_view *v, mailbox_id_t *id_r, struct bytes *internal_r,
                 acl_rights_t *rights_r)
{
	struct mailbox m;

	*id_r = 0;
	*internal_r = BYTES_NONE;
	*rights_r = 0;
	if (cmd->c.mailbox.n == 0)
		return is_kept_here(s, cmd);
	if (!session_name(s, cmd, cmd->c.mailbox, internal_r) || !session_mailbox(s, cmd, v, *internal_r, false, &m, rights_r))
		return false;
	*id_r = m.id;
	if (metadata_may(*rights_r))
		return true;
	(void)((*rights_r & ACL_LOOKUP) != 0 ? answer_no(cmd, "NOPERM", "you may not see its entries") :
	                                       answer_no(cmd, "NONEXISTENT", "no such mailbox"));
	return false;
}

static enum cmd_step tell_more(struct session *s, struct command *cmd)
{
	struct metadata_rows *rows = cmd->state;
	struct buffer out = { 0 };
	struct store_view *v;
	bool is_over = false;

	if (session_is_full(s))
		return CMD_WANT_OUTPUT;
	v = session_view(s, cmd);
	if (v == NULL)
		return CMD_DONE;
	while (!is_over && !session_is_full(s)) {
		is_over = metadata_write(s, v, rows, &out);
		session_write(s, buffer_bytes(&out));
		buffer_clear(&out);
	}
	store_view_close(&v);
	buffer_fini(&out);
	if (!is_over)
		return CMD_WANT_OUTPUT;
	(void)answer_ok(cmd, "done");
	if (rows->longest > 0)
		buffer_addf(answer_code(cmd), "METADATA LONGENTRIES %llu", (unsigned long long)rows->longest);
	return CMD_DONE;
}

enum cmd_step cmd_getmetadata(struct session *s, struct command *cmd)
{
	struct store_view *v = session_view(s, cmd);
	struct metadata_rows *rows;
	struct bytes internal;
	acl_rights_t rights;
	mailbox_id_t id;
	bool is_found;

	if (v == NULL)
		return CMD_DONE;
	is_found = find(s, cmd, v, &id, &internal, &rights);
	if (is_found) {
		cmd->state = rows = arena_zalloc(&cmd->arena, sizeof(*rows));
		cmd->resume = tell_more;
		metadata_collect(s, v, &cmd->arena, id, internal, cmd->c.mailbox, cmd->c.metadata, rows);
	}
	store_view_close(&v);
	return is_found ? tell_more(s, cmd) : CMD_DONE;
}

static void ended(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	enum store_result result = sub->request.answer.result;

	if (result == STORE_LIMIT) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		session_resume(s, answer_no(s->cmd, "METADATA TOOMANY", "there are as many entries as there may be"));
	} else if (result == STORE_CONFLICT) {
		session_resume(s, answer_no(s->cmd, "USEATTR", "another mailbox has that special use"));
	} else {
		session_resume(s, answer_result(s, s->cmd, sub));
	}
}

/* What is wrong with one entry. False: answered. */
static bool may_set(struct session *s, struct command *cmd, struct bytes internal, acl_rights_t rights, const struct metadata_entry *e)
{
	const struct config *cfg = s->client.backend->cfg;
	uint64_t most = config_number(cfg, "metadata_max_value");

	if (internal.n == 0 && bytes_equal_str(e->name, METADATA_ADMIN))
		(void)answer_no(cmd, "CANNOT", METADATA_ADMIN " is read-only");
	else if (is_shared(e->name) && (internal.n == 0 ? !s->identity.is_admin : (rights & ACL_WRITE) == 0))
		(void)answer_no(cmd, "NOPERM", "you may not set shared entries");
	else if (e->name.n > config_number(cfg, "metadata_max_name") ||
	         e->name.n + bytes_of(s->identity.user).n > ATTRIBUTE_USER_AND_NAME_MAX)
		(void)answer_no(cmd, "LIMIT", "an entry's name is too long");
	else if (e->value.n > most) {
		(void)answer_no(cmd, NULL, "the value is too long");
		buffer_addf(answer_code(cmd), "METADATA MAXSIZE %llu", (unsigned long long)most);
	} else
		return true;
	return false;
}

/* The change that E asks for. False: answered. */
static bool set_change(struct session *s, struct command *cmd, struct arena *a, struct bytes internal, const struct metadata_entry *e,
                       struct attribute_change *c)
{
	*c = (struct attribute_change){ .user = arena_copy(a, metadata_user(s, a, internal, e->name)), .name = arena_copy(a, e->name),
		                        .value = arena_copy(a, e->value), .is_set = e->value.p != NULL };
	if (internal.n == 0 || !c->is_set || !bytes_equal_str(e->name, METADATA_SPECIAL_USE) || metadata_use_change(s, a, internal, c))
		return true;
	(void)answer_no(cmd, "USEATTR", "no such special use, or not of this mailbox");
	return false;
}

enum cmd_step cmd_setmetadata(struct session *s, struct command *cmd)
{
	const struct metadata_args *args = cmd->c.metadata;
	struct store_view *v = session_view(s, cmd);
	struct submission *sub;
	struct attribute_change *changes;
	struct bytes internal;
	acl_rights_t rights;
	mailbox_id_t id;
	bool ok;

	if (v == NULL)
		return CMD_DONE;
	ok = find(s, cmd, v, &id, &internal, &rights);
	store_view_close(&v);
	for (size_t i = 0; ok && i < args->count; i++)
		ok = may_set(s, cmd, internal, rights, &args->entries[i]);
	if (!ok)
		return CMD_DONE;
	sub = submission_new(&s->client);
	changes = arena_array(&sub->arena, args->count, sizeof(*changes));
	sub->intent.op = INTENT_ATTRIBUTE;
	sub->intent.attribute.name = arena_copy(&sub->arena, internal);
	sub->intent.attribute.changes.most = (size_t)config_number(s->client.backend->cfg, "metadata_max_entries");
	for (size_t i = 0; ok && i < args->count; i++)
		ok = set_change(s, cmd, &sub->arena, internal, &args->entries[i], &changes[i]);
	if (!ok) {
		submission_free(sub);
		return CMD_DONE;
	}
	sub->intent.attribute.changes.at = changes;
	sub->intent.attribute.changes.count = args->count;
	client_submit(&s->client, sub, ended);
	return CMD_WANT_COMMIT;
}
