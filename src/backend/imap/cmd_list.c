/* LIST (RFC 3501 section 6.3.8; RFC 5258, 6154, 5819, 8440, 9590): what is on this backend; a frontend answers for the whole murder.
 * Which rows there are is lister.h's. METADATA stands behind all rows, since there may be much of it: it is told as the client takes it.
 *
 * All names of the backend are gone through, some milliseconds at a time and as the client takes the rows: in each turn from the name
 * behind the last one on, in a view of its own. A mailbox that is renamed meanwhile may be told by both names, or neither. */
#include "answer.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "lister.h"
#include "metadata.h"
#include "status.h"

#define LIST_TURN_NS 5000000u

/* Mailboxes whose METADATA is to be told; in the command's arena. */
struct metadata_want {
	struct metadata_want *next;
	struct bytes internal, external;
};

struct metadata_wants {
	struct metadata_want *first, *last;
	bool is_begun; /* ROWS are the first's */
	struct metadata_rows rows;
};

/* The names in the order of the answer: the user's own first, INBOX at their head, then everything else. */
enum list_pass { PASS_OWN, PASS_OTHERS, PASS_ALL, PASS_OVER };

/* In the command's arena. */
struct listing {
	struct session *s;
	struct command *cmd;
	struct store_view *v; /* of this turn */
	struct lister lister;
	struct list_source source;
	struct special_uses uses;
	struct buffer out;
	struct metadata_wants *wants; /* NULL: none are asked for */
	struct buffer inbox;          /* of the user, internal */
	enum list_pass pass;
	struct buffer from;           /* where the next turn goes on in this pass; empty: at its beginning */
};

static void free_listing(void *arg)
{
	struct listing *l = arg;

	lister_fini(&l->lister);
	special_uses_fini(&l->uses);
	buffer_fini(&l->out);
	buffer_fini(&l->inbox);
	buffer_fini(&l->from);
}

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

static void want_metadata(struct listing *l, struct bytes external, struct bytes internal)
{
	struct metadata_want *w = arena_zalloc(&l->cmd->arena, sizeof(*w));

	w->internal = arena_copy(&l->cmd->arena, internal);
	w->external = arena_copy(&l->cmd->arena, external);
	if (l->wants->last != NULL)
		l->wants->last->next = w;
	else
		l->wants->first = w;
	l->wants->last = w;
}

/* What goes with a row: rights and status. */
static void add_more(struct listing *l, struct bytes external, struct bytes internal)
{
	unsigned options = l->cmd->c.list_options;
	struct mailbox m;
	struct fault why;
	acl_rights_t rights;

	if (internal.n == 0 || (options & (LIST_RETURN_MYRIGHTS | LIST_RETURN_STATUS | LIST_RETURN_METADATA)) == 0 ||
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
		status_write(l->s, l->v, &m, external, l->cmd->c.status_items, NULL, &l->out);
	if (l->wants != NULL && metadata_may(rights))
		want_metadata(l, external, internal);
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

/* Whether NAME is one of those that this pass is for. */
static bool is_of_pass(const struct listing *l, struct bytes name)
{
	struct bytes inbox = buffer_bytes(&l->inbox);
	/* A prefix is not yet a level: user.fred is not above user.freddy. */
	bool is_own = bytes_equal(name, inbox) || names_is_below(name, inbox);

	return l->pass == PASS_ALL || is_own == (l->pass == PASS_OWN);
}

/* Go on with the pass. False: there is more to come. */
static bool list_some(struct listing *l, uint64_t until)
{
	struct view_names it;
	struct bytes name, last = BYTES_NONE;
	mailbox_id_t id;
	bool has;

	store_view_names_from(l->v, l->pass == PASS_OWN ? buffer_bytes(&l->inbox) : BYTES_NONE, buffer_bytes(&l->from), &it);
	for (size_t done = 1; (has = view_names_next(&it, &name, &id)); done++) {
		if (is_of_pass(l, name) && names_is_visible(&l->s->names, name) && may_look_up(l, name, id))
			lister_name(&l->lister, name);
		last = name;
		if (done % 64 == 0 && (clock_mono_ns() > until || session_is_full(l->s)))
			break;
	}
	buffer_clear(&l->from);
	if (has) { /* the first key behind it */
		buffer_add(&l->from, last);
		buffer_add_u8(&l->from, '\0');
	}
	view_names_end(&it);
	return !has;
}

static enum list_pass next_pass(const struct listing *l)
{
	/* Others' mailboxes are of no special use to him. */
	return l->pass == PASS_OWN && (l->cmd->c.list_options & LIST_SELECT_SPECIAL_USE) == 0 ? PASS_OTHERS : PASS_OVER;
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

/* What the user has set his own mailboxes to be for. */
static void take_uses(struct session *s, struct store_view *v, struct special_uses *uses)
{
	const struct attribute of = { .user = bytes_of(s->identity.user), .name = BYTES_LIT(METADATA_SPECIAL_USE) };
	struct buffer inbox = { 0 };
	struct view_names it;
	struct bytes name, value;
	struct fault why;
	mailbox_id_t id;
	unsigned set;

	names_inbox(&s->names, of.user, &inbox);
	store_view_names(v, buffer_bytes(&inbox), &it);
	while (view_names_next(&it, &name, &id)) {
		if (names_is_below(name, buffer_bytes(&inbox)) && store_view_attribute(v, id, &of, &value, &why) == STORE_OK &&
		    special_use_parse(value, &set))
			special_uses_add(uses, name, set);
	}
	view_names_end(&it);
	buffer_fini(&inbox);
}

/* More of the next mailbox's entries. One that is gone meanwhile has none. */
static void tell_some(struct session *s, struct command *cmd, struct store_view *v, struct metadata_wants *w, struct buffer *out)
{
	const struct metadata_want *want = w->first;
	struct mailbox m;
	struct fault why;

	if (!w->is_begun) {
		w->is_begun = store_view_mailbox(v, want->internal, &m, &why) == STORE_OK;
		if (w->is_begun)
			metadata_collect(s, v, &cmd->arena, m.id, want->internal, want->external, cmd->c.metadata, &w->rows);
	}
	if (!w->is_begun || metadata_write(s, v, &w->rows, out)) {
		w->is_begun = false;
		w->first = want->next;
	}
}

static enum cmd_step tell_metadata(struct session *s, struct command *cmd)
{
	struct metadata_wants *w = cmd->state;
	struct buffer out = { 0 };
	struct store_view *v;

	if (session_is_full(s))
		return CMD_WANT_OUTPUT;
	v = session_view(s, cmd);
	if (v == NULL)
		return CMD_DONE;
	while (w->first != NULL && !session_is_full(s)) {
		tell_some(s, cmd, v, w, &out);
		session_write(s, buffer_bytes(&out));
		buffer_clear(&out);
	}
	store_view_close(&v);
	buffer_fini(&out);
	return w->first != NULL ? CMD_WANT_OUTPUT : answer_ok(cmd, "done");
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct listing *l = cmd->state;
	uint64_t until = clock_mono_ns() + LIST_TURN_NS;

	l->v = session_view(s, cmd);
	if (l->v == NULL)
		return CMD_DONE;
	while (l->pass != PASS_OVER && list_some(l, until))
		l->pass = next_pass(l);
	if (l->pass == PASS_OVER)
		lister_finish(&l->lister);
	store_view_close(&l->v);
	session_write(s, buffer_bytes(&l->out));
	buffer_clear(&l->out);
	if (l->pass != PASS_OVER)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	if (l->wants == NULL || l->wants->first == NULL)
		return answer_ok(cmd, "done");
	cmd->state = l->wants;
	cmd->resume = tell_metadata;
	return tell_metadata(s, cmd);
}

enum cmd_step cmd_list(struct session *s, struct command *cmd)
{
	struct listing *l;
	struct buffer line = { 0 };

	if (cmd->c.pattern_count == 1 && cmd->c.patterns[0].n == 0) { /* just the separator is asked for */
		buffer_addf(&line, "* LIST (\\Noselect) \"%c\" \"\"\r\n", s->names.sep);
		session_write(s, buffer_bytes(&line));
		buffer_fini(&line);
		return answer_ok(cmd, "done");
	}
	l = arena_zalloc(&cmd->arena, sizeof(*l));
	l->s = s;
	l->cmd = cmd;
	l->v = session_view(s, cmd);
	if (l->v == NULL)
		return CMD_DONE;
	if ((cmd->c.list_options & LIST_RETURN_METADATA) != 0)
		l->wants = arena_zalloc(&cmd->arena, sizeof(*l->wants));
	take_uses(s, l->v, &l->uses);
	l->source = (struct list_source){ l, exists, has_children, row, &l->uses };
	lister_init(&l->lister, &s->names, &cmd->c, &l->source);
	arena_on_free(&cmd->arena, free_listing, l);
	names_inbox(&s->names, bytes_of(s->identity.user), &l->inbox);
	if (lister_wants_subscriptions(&l->lister))
		take_subscriptions(l);
	store_view_close(&l->v);
	l->pass = !lister_wants_names(&l->lister) ? PASS_OVER : s->identity.is_admin ? PASS_ALL : PASS_OWN;
	cmd->state = l;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
