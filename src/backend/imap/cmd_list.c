/* LIST (RFC 3501 section 6.3.8; RFC 5258, 6154, 5819, 8440): what is on this backend; a frontend answers for the whole murder.
 * Which rows there are is lister.h's.
 *
 * BUGS: goes through all names of the backend that the user may see, in one turn of the loop. */
#include "answer.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "lister.h"
#include "status.h"

struct listing {
	struct session *s;
	struct command *cmd;
	struct store_view *v;
	struct lister lister;
	struct buffer out;
};

/* Whether the user may look up the mailbox ID, INTERNAL. */
static bool may_look_up(struct listing *l, struct bytes internal, mailbox_id_t id)
{
	struct mailbox m;
	struct fault why;

	return l->s->identity.is_admin || names_is_owner(&l->s->names, internal, bytes_of(l->s->identity.user)) ||
	       (store_view_mailbox_by_id(l->v, id, &m, &why) == STORE_OK &&
	        (session_rights(l->s, internal, m.acl) & ACL_LOOKUP) != 0);
}

static bool exists(void *arg, struct bytes internal)
{
	struct listing *l = arg;
	struct mailbox m;
	struct fault why;

	return store_view_mailbox(l->v, internal, &m, &why) == STORE_OK && may_look_up(l, internal, m.id);
}

static bool has_children(void *arg, struct bytes internal)
{
	struct listing *l = arg;
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	struct buffer prefix = { 0 };
	bool has = false;

	buffer_add(&prefix, internal);
	buffer_add_u8(&prefix, '.');
	store_view_names(l->v, buffer_bytes(&prefix), &it);
	while (!has && view_names_next(&it, &name, &id))
		has = may_look_up(l, name, id);
	view_names_end(&it);
	buffer_fini(&prefix);
	return has;
}

/* What goes with a row: rights and status. */
static void add_more(struct listing *l, struct bytes external, struct bytes internal)
{
	unsigned options = l->cmd->c.list_options;
	struct mailbox m;
	struct fault why;
	acl_rights_t rights;

	if (internal.n == 0 || (options & (LIST_RETURN_MYRIGHTS | LIST_RETURN_STATUS)) == 0 ||
	    store_view_mailbox(l->v, internal, &m, &why) != STORE_OK)
		return;
	rights = session_rights(l->s, internal, m.acl);
	if ((options & LIST_RETURN_MYRIGHTS) != 0) {
		buffer_add_str(&l->out, "* MYRIGHTS ");
		imap_write_mailbox(&l->out, external, l->s->names.is_utf8);
		buffer_add_u8(&l->out, ' ');
		acl_rights_write(&l->out, rights, true);
		buffer_add_str(&l->out, "\r\n");
	}
	if ((options & LIST_RETURN_STATUS) != 0 && (rights & ACL_READ) != 0)
		status_write(l->s, l->v, &m, external, l->cmd->c.status_items, &l->out);
}

static void row(void *arg, struct bytes row, struct bytes external, struct bytes internal)
{
	struct listing *l = arg;

	buffer_add(&l->out, row);
	add_more(l, external, internal);
	if (l->out.n > 32 * 1024) {
		session_write(l->s, buffer_bytes(&l->out));
		buffer_clear(&l->out);
	}
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
		if (names_is_visible(&l->s->names, name) && may_look_up(l, name, id))
			lister_name(&l->lister, name);
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

static void take_subscriptions(struct listing *l)
{
	struct view_subscriptions it;
	struct bytes internal;

	store_view_subscriptions(l->v, bytes_of(l->s->identity.user), &it);
	while (view_subscriptions_next(&it, &internal))
		lister_subscription(&l->lister, internal);
	view_subscriptions_end(&it);
}

enum cmd_step cmd_list(struct session *s, struct command *cmd)
{
	struct listing l = { .s = s, .cmd = cmd };
	const struct list_source source = { &l, exists, has_children, row };
	struct buffer line = { 0 };

	if (cmd->c.pattern_count == 1 && cmd->c.patterns[0].n == 0) { /* just the separator is asked for */
		buffer_addf(&line, "* LIST (\\Noselect) \"%c\" \"\"\r\n", s->names.sep);
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
		return answer_ok(cmd, "done");
	}
	l.v = session_view(s, cmd);
	if (l.v == NULL)
		return CMD_DONE;
	lister_init(&l.lister, &s->names, &cmd->c, &source);
	if (lister_wants_subscriptions(&l.lister))
		take_subscriptions(&l);
	if (lister_wants_names(&l.lister))
		list_all(&l);
	lister_finish(&l.lister);
	lister_fini(&l.lister);
	store_view_close(&l.v);
	session_write(s, buffer_bytes(&l.out));
	buffer_fini(&l.out);
	return answer_ok(cmd, "done");
}
