/* ESEARCH (RFC 7377): one search in several mailboxes, one after the other, each as if it were selected for reading; with an answer for
 * each that has something to tell. Which ones is found out at the beginning, from one snapshot; one that goes before its turn comes has no answer.
 *
 * Of the selected mailbox, named as "selected", it is the session's own picture that is searched. */
#include <stdlib.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "context.h"
#include "dispatch.h"
#include "inprogress.h"
#include "limit.h"
#include "mailbox_filter.h"
#include "map.h"
#include "search_answer.h"

struct esearch {
	mailbox_id_t *ids; /* owned; 0: the selected one */
	size_t count, cap, at;
	struct map known;  /* ids, as keys */
	uint64_t messages; /* in all of them, as they were at the beginning */
	bool is_over;      /* there are more than may be searched */

	/* The one at hand. */
	struct arena arena;
	struct imap_command c; /* the command once more: sets and strings are made ready for one mailbox */
	struct box *box;       /* owned; NULL: the selected one */
	struct bytes name;     /* external */
	struct search search;
	struct search_answer answer;
};

static void end_one(struct esearch *e)
{
	arena_fini(&e->arena);
	e->arena = (struct arena){ 0 };
	box_free(&e->box);
}

static void free_esearch(void *arg)
{
	struct esearch *e = arg;

	end_one(e);
	map_fini(&e->known);
	free(e->ids);
}

static void add(struct session *s, struct esearch *e, const struct mailbox *m)
{
	mailbox_id_t id = m == NULL ? s->box->id : m->id;

	if (map_get_u64(&e->known, id) != NULL)
		return;
	if (e->count >= s->client.backend->max_search_mailboxes) {
		e->is_over = true;
		return;
	}
	(void)map_put_u64(&e->known, id, e);
	if (e->count == e->cap) {
		e->cap = e->cap == 0 ? 16 : e->cap * 2;
		e->ids = must_realloc(e->ids, e->cap, sizeof(*e->ids));
	}
	e->ids[e->count++] = m == NULL ? 0 : id;
	e->messages += m == NULL ? s->box->count : m->exists;
}

/* Whether the user may search M; one that he did not name must be in his list, too (RFC 7377 section 2.2). */
static bool may_search(struct session *s, const struct mailbox *m, bool is_named)
{
	acl_rights_t rights = session_rights(s, m->name, m->acl);

	return (rights & ACL_READ) != 0 && (is_named || (rights & ACL_LOOKUP) != 0) && names_is_visible(&s->names, m->name);
}

struct collecting {
	struct session *s;
	struct esearch *e;
	struct store_view *v;
	const struct mailbox_filter *filter;
};

static void add_by_name(const struct collecting *c, struct bytes internal, bool is_named)
{
	struct mailbox m;
	struct fault why;

	if (store_view_mailbox(c->v, internal, &m, &why) == STORE_OK && may_search(c->s, &m, is_named))
		add(c->s, c->e, &m);
}

static void add_prefix(void *arg, struct bytes prefix)
{
	const struct collecting *c = arg;
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;

	if (c->filter->kind == FILTER_MAILBOXES) {
		add_by_name(c, prefix, true);
		return;
	}
	store_view_names(c->v, prefix, &it);
	while (!c->e->is_over && view_names_next(&it, &name, &id)) {
		if (mailbox_filter_has(c->filter, &c->s->names, name))
			add_by_name(c, name, false);
	}
	view_names_end(&it);
}

static void collect(struct session *s, struct command *cmd, struct esearch *e, struct store_view *v)
{
	struct collecting c = { s, e, v, NULL };
	struct view_subscriptions it;
	struct bytes name;

	if (cmd->c.filter_count == 0)
		add(s, e, NULL);
	for (size_t i = 0; i < cmd->c.filter_count; i++) {
		struct mailbox_filter *f = &cmd->c.filters[i];

		c.filter = f;
		mailbox_filter_resolve(f, &s->names, &cmd->arena);
		if (f->kind == FILTER_SELECTED)
			add(s, e, NULL);
		mailbox_filter_each_prefix(f, &s->names, add_prefix, &c);
		if (f->kind != FILTER_SUBSCRIBED)
			continue;
		store_view_subscriptions(v, bytes_of(s->identity.user), &it);
		while (!e->is_over && view_subscriptions_next(&it, &name))
			add_by_name(&c, name, false);
		view_subscriptions_end(&it);
	}
}

static bool has_saved(const struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		if (k->set.is_saved || has_saved(k->children))
			return true;
	}
	return false;
}

static enum cmd_step go_on(struct session *s, struct command *cmd);

static enum cmd_step next(struct session *s, struct command *cmd)
{
	struct esearch *e = cmd->state;

	end_one(e);
	e->at++;
	inprogress_tell(s, cmd, e->at, e->count);
	cmd->resume = go_on;
	return e->at < e->count ? CMD_WANT_TURN : answer_ok(cmd, "done");
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct esearch *e = cmd->state;
	enum cmd_step step;

	cmd->resume = tell;
	step = search_answer_tell(s, cmd, &e->answer);
	return step == CMD_DONE ? next(s, cmd) : step;
}

static enum cmd_step search(struct session *s, struct command *cmd)
{
	struct esearch *e = cmd->state;
	enum search_state state = search_run(s, cmd, &e->search);

	cmd->resume = search;
	if (state == SEARCH_GOES_ON)
		return CMD_WANT_TURN;
	if (state == SEARCH_WAITS)
		return CMD_WANT_COMMIT;
	if (state == SEARCH_FAILED)
		return CMD_DONE;
	if (e->box == NULL && (cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
		search_answer_save(s, cmd, &e->search);
	if (e->box == NULL)
		context_add(s, cmd, e->search.found, e->search.count);
	if (e->search.count == 0 || cmd->c.return_options == SEARCH_RETURN_SAVE)
		return next(s, cmd);
	search_answer_begin(s, cmd, &e->answer, &e->search, e->search.found, "SEARCH");
	return tell(s, cmd);
}

/* Begin with the mailbox whose turn it is. */
static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct esearch *e = cmd->state;
	struct store_view *v;
	struct buffer name = { 0 };
	struct mailbox m;
	struct fault why;
	uint32_t unseen;
	enum store_result result;

	if (s->state == SESSION_ENDING || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	result = store_view_mailbox_by_id(v, e->ids[e->at] == 0 ? s->box->id : e->ids[e->at], &m, &why);
	if (result == STORE_OK && e->ids[e->at] != 0 && (session_rights(s, m.name, m.acl) & ACL_READ) == 0)
		result = STORE_NO_MAILBOX; /* any more */
	if (result == STORE_OK && e->ids[e->at] != 0)
		result = box_open(s, v, &m, session_rights(s, m.name, m.acl), true, &e->box, &unseen, &why);
	if (result == STORE_OK) {
		names_to_external(&s->names, m.name, &name);
		e->name = arena_copy(&e->arena, buffer_bytes(&name));
		buffer_fini(&name);
	}
	store_view_close(&v);
	if (result == STORE_FAILED)
		return answer_fault(s, cmd, &why);
	if (result != STORE_OK || imap_command_parse(arena_copy(&e->arena, cmd->octets), &s->client.backend->command_limits, &e->arena,
	                                             &e->c, &why) != IMAP_PARSE_OK)
		return next(s, cmd); /* it is gone */
	if (!search_begin_in(s, cmd, &e->search, e->box == NULL ? s->box : e->box, &e->c, &e->arena))
		return CMD_DONE;
	e->answer.mailbox = e->name;
	return search(s, cmd);
}

enum cmd_step cmd_esearch(struct session *s, struct command *cmd)
{
	struct esearch *e = arena_zalloc(&cmd->arena, sizeof(*e));
	struct store_view *v;
	bool only_selected = true, has_selected = cmd->c.filter_count == 0;

	for (size_t i = 0; i < cmd->c.filter_count; i++) {
		has_selected = has_selected || cmd->c.filters[i].kind == FILTER_SELECTED;
		only_selected = only_selected && cmd->c.filters[i].kind == FILTER_SELECTED;
	}
	if (has_selected && s->box == NULL)
		return answer_bad(cmd, "no mailbox is selected");
	if (!only_selected && (cmd->c.return_options & SEARCH_RETURN_SAVE) != 0)
		return answer_bad(cmd, "only what is found in the selected mailbox can be saved");
	if ((cmd->c.return_options & SEARCH_RETURN_UPDATE) != 0 && s->box == NULL && !s->identity.is_proxy)
		return answer_bad(cmd, "only of the selected mailbox are results kept up to date");
	if ((s->features & IMAP_F_UTF8) != 0 && cmd->c.charset.n > 0)
		return answer_bad(cmd, "no CHARSET once UTF8=ACCEPT is enabled");
	if (!only_selected && has_saved(cmd->c.search))
		return answer_no(cmd, "CANNOT", "\"$\" is of the selected mailbox");
	if (has_selected && !context_check(s, cmd))
		return CMD_DONE;
	if ((v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	cmd->state = e;
	arena_on_free(&cmd->arena, free_esearch, e);
	collect(s, cmd, e, v);
	store_view_close(&v);
	if (e->is_over) {
		atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
		return answer_no(cmd, "LIMIT", "too many mailboxes");
	}
	if (!only_selected && s->client.backend->message_limit > 0 && e->messages > s->client.backend->message_limit)
		return limit_refuse(s, cmd);
	return e->count > 0 ? go_on(s, cmd) : answer_ok(cmd, "no such mailboxes");
}
