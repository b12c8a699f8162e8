/* LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9; attributes of RFC 3348, 5258, 6154): what is on this backend; a frontend
 * answers for the whole murder.
 *
 * A level that is no mailbox but has some below it is listed as \NonExistent.
 *
 * BUGS: goes through all names of the backend that the user may see, in one turn of the loop. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "list_pattern.h"

struct listing {
	struct session *s;
	struct command *cmd;
	struct store_view *v;
	struct bytes *patterns; /* with the reference in front */
	struct map told;        /* levels that were told, external names */
	struct buffer out;
	struct buffer name; /* external, of the mailbox at hand */
};

/* Whether a name below INTERNAL is there that the user may see. */
static bool has_children(struct listing *l, struct bytes internal)
{
	struct view_names it;
	struct bytes name;
	struct mailbox m;
	mailbox_id_t id;
	struct buffer prefix = { 0 };
	bool has = false;
	struct fault why;

	buffer_add(&prefix, internal);
	buffer_add_u8(&prefix, '.');
	store_view_names(l->v, buffer_bytes(&prefix), &it);
	while (!has && view_names_next(&it, &name, &id)) {
		has = l->s->identity.is_admin || names_is_owner(&l->s->names, name, bytes_of(l->s->identity.user)) ||
		      (store_view_mailbox_by_id(l->v, id, &m, &why) == STORE_OK &&
		       (session_rights(l->s, name, m.acl) & ACL_LOOKUP) != 0);
	}
	view_names_end(&it);
	buffer_fini(&prefix);
	return has;
}

static bool matches_any(const struct listing *l, struct bytes external)
{
	for (size_t i = 0; i < l->cmd->c.pattern_count; i++) {
		if (list_match(l->patterns[i], external, l->s->names.sep))
			return true;
	}
	return false;
}

static void write_row(struct listing *l, const char *word, const char *attributes, struct bytes external)
{
	buffer_addf(&l->out, "* %s (%s) \"%c\" ", word, attributes, l->s->names.sep);
	imap_write_astring(&l->out, external, false);
	buffer_add_str(&l->out, "\r\n");
	if (l->out.n > 32 * 1024) {
		session_write(l->s, buffer_bytes(&l->out));
		buffer_clear(&l->out);
	}
}

/* Levels above EXTERNAL that match but are no mailboxes of their own: each is told once. EXISTS says whether one is. */
static void list_parents(struct listing *l, const char *word, const char *attributes, struct bytes external,
                         bool (*exists)(struct listing *l, struct bytes external))
{
	char sep = l->s->names.sep;

	for (size_t i = 0; i < l->cmd->c.pattern_count; i++) {
		size_t n = 0;

		while (list_match_parent(l->patterns[i], external, sep, &n)) {
			struct bytes parent = bytes_sub(external, 0, n);

			if (map_get(&l->told, parent) != NULL)
				continue;
			(void)map_put(&l->told, parent, l);
			if (!exists(l, parent))
				write_row(l, word, attributes, parent);
		}
	}
}

static bool mailbox_exists(struct listing *l, struct bytes external)
{
	struct buffer internal = { 0 };
	struct mailbox m;
	struct fault why;
	bool is_there = names_to_internal(&l->s->names, external, &internal, &why) &&
	                store_view_mailbox(l->v, buffer_bytes(&internal), &m, &why) == STORE_OK;

	buffer_fini(&internal);
	return is_there;
}

static void list_one(struct listing *l, struct bytes internal, mailbox_id_t id)
{
	struct session *s = l->s;
	unsigned options = l->cmd->c.list_options;
	struct bytes user = bytes_of(s->identity.user);
	const char *use;
	struct mailbox m;
	struct fault why;
	bool is_subscribed = false;
	char attributes[128];

	if (!names_is_visible(&s->names, internal))
		return;
	buffer_clear(&l->name);
	names_to_external(&s->names, internal, &l->name);
	if (!s->identity.is_admin && !names_is_owner(&s->names, internal, user) &&
	    (store_view_mailbox_by_id(l->v, id, &m, &why) != STORE_OK || (session_rights(s, internal, m.acl) & ACL_LOOKUP) == 0))
		return;
	if ((options & LIST_SELECT_SUBSCRIBED) == 0 && (options & LIST_SELECT_SPECIAL_USE) == 0)
		list_parents(l, "LIST", "\\NonExistent \\Noselect \\HasChildren", buffer_bytes(&l->name), mailbox_exists);
	if (!matches_any(l, buffer_bytes(&l->name)))
		return;
	use = names_special_use(&s->names, internal);
	if ((options & LIST_SELECT_SPECIAL_USE) != 0 && use == NULL)
		return;
	if ((options & (LIST_SELECT_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)) != 0)
		is_subscribed = store_view_is_subscribed(l->v, user, internal);
	if ((options & LIST_SELECT_SUBSCRIBED) != 0 && !is_subscribed)
		return;
	(void)snprintf(attributes, sizeof(attributes), "%s%s%s%s", has_children(l, internal) ? "\\HasChildren" : "\\HasNoChildren",
	               use != NULL ? " " : "", use != NULL ? use : "", is_subscribed ? " \\Subscribed" : "");
	write_row(l, "LIST", attributes, buffer_bytes(&l->name));
}

static void list_prefix(struct listing *l, struct bytes prefix, struct bytes except)
{
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;

	store_view_names(l->v, prefix, &it);
	while (view_names_next(&it, &name, &id)) {
		if (except.n > 0 && (bytes_equal(name, except) || names_is_below(name, except)))
			continue;
		/* A prefix is not yet a level: user.fred is not above user.freddy. */
		if (prefix.n > 0 && except.n == 0 && !bytes_equal(name, prefix) && !names_is_below(name, prefix))
			continue;
		list_one(l, name, id);
	}
	view_names_end(&it);
}

/* The user's own first, INBOX at their head, then everything else. */
static void list_all(struct listing *l)
{
	struct buffer inbox = { 0 };

	if (l->s->identity.is_admin) {
		list_prefix(l, BYTES_NONE, BYTES_NONE);
		return;
	}
	names_inbox(&l->s->names, bytes_of(l->s->identity.user), &inbox);
	list_prefix(l, buffer_bytes(&inbox), BYTES_NONE);
	list_prefix(l, BYTES_NONE, buffer_bytes(&inbox));
	buffer_fini(&inbox);
}

static bool begin(struct session *s, struct command *cmd, struct listing *l)
{
	*l = (struct listing){ .s = s, .cmd = cmd };
	l->patterns = arena_array(&cmd->arena, cmd->c.pattern_count, sizeof(*l->patterns));
	for (size_t i = 0; i < cmd->c.pattern_count; i++) {
		struct buffer b = { 0 };

		buffer_add(&b, cmd->c.mailbox);
		buffer_add(&b, cmd->c.patterns[i]);
		l->patterns[i] = arena_copy(&cmd->arena, buffer_bytes(&b));
		buffer_fini(&b);
	}
	l->v = session_view(s, cmd);
	return l->v != NULL;
}

static enum cmd_step end(struct listing *l)
{
	store_view_close(&l->v);
	session_write(l->s, buffer_bytes(&l->out));
	buffer_fini(&l->out);
	buffer_fini(&l->name);
	map_fini(&l->told);
	return answer_ok(l->cmd, "done");
}

enum cmd_step cmd_list(struct session *s, struct command *cmd)
{
	struct listing l;
	struct buffer line = { 0 };

	if (cmd->c.pattern_count == 1 && cmd->c.patterns[0].n == 0) { /* just the separator is asked for */
		buffer_addf(&line, "* LIST (\\Noselect) \"%c\" \"\"\r\n", s->names.sep);
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
		return answer_ok(cmd, "done");
	}
	if (!begin(s, cmd, &l))
		return CMD_DONE;
	list_all(&l);
	return end(&l);
}

static bool is_subscribed(struct listing *l, struct bytes external)
{
	struct buffer internal = { 0 };
	struct fault why;
	bool is = names_to_internal(&l->s->names, external, &internal, &why) &&
	          store_view_is_subscribed(l->v, bytes_of(l->s->identity.user), buffer_bytes(&internal));

	buffer_fini(&internal);
	return is;
}

enum cmd_step cmd_lsub(struct session *s, struct command *cmd)
{
	struct listing l;
	struct view_subscriptions it;
	struct bytes internal;

	if (!begin(s, cmd, &l))
		return CMD_DONE;
	store_view_subscriptions(l.v, bytes_of(s->identity.user), &it);
	while (view_subscriptions_next(&it, &internal)) {
		buffer_clear(&l.name);
		names_to_external(&s->names, internal, &l.name);
		/* Section 6.3.9: with "%" a level above is told for what is below it. */
		list_parents(&l, "LSUB", "\\Noselect", buffer_bytes(&l.name), is_subscribed);
		if (matches_any(&l, buffer_bytes(&l.name)))
			write_row(&l, "LSUB", "", buffer_bytes(&l.name));
	}
	view_subscriptions_end(&it);
	return end(&l);
}
