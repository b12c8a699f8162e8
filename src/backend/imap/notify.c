/* notify.c - which mailboxes are watched, and what happens to them. What is told is notify_tell.c's. */
#include "notify.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "fetch_answer.h"
#include "metadata.h"
#include "notify_private.h"

unsigned notify_events_of(const struct notify *n, struct bytes internal)
{
	unsigned events = 0;

	for (size_t i = 0; i < n->cmd.group_count; i++) {
		const struct notify_group *g = &n->cmd.groups[i];

		if (g->filter.kind == FILTER_SUBSCRIBED ? map_get(&n->subscribed, internal) != NULL :
		                                          mailbox_filter_has(&g->filter, &n->session->names, internal))
			events |= g->events;
	}
	return events;
}

void notify_mark(struct notify_box *b, unsigned pending)
{
	b->pending |= pending;
	if (list_is_empty(&b->in_pending))
		list_push(&b->notify->pending, &b->in_pending);
	session_wake(b->notify->session);
}

static void box_changed(struct watcher *w, mailbox_id_t mailbox, uint32_t what)
{
	(void)mailbox;
	if ((what & (STORE_CHANGE_MESSAGES | STORE_CHANGE_ATTRIBUTES)) != 0)
		notify_mark(LIST_OBJECT(w, struct notify_box, watcher), PENDING_CHANGED);
}

struct notify_box *notify_add_box(struct notify *n, struct store_view *v, const struct mailbox *m, unsigned events)
{
	struct notify_box *b;

	if (n->boxes.n >= n->session->client.backend->max_notify_mailboxes) {
		n->is_over = true;
		session_wake(n->session);
		return NULL;
	}
	b = must_calloc(1, sizeof(*b));
	*b = (struct notify_box){ .notify = n, .id = m->id, .name = bytes_to_str(m->name), .events = events, .exists = m->exists,
		                  .uidnext = m->uidnext, .unseen = m->unseen, .uidvalidity = m->uidvalidity, .modseq = m->highestmodseq };
	list_init(&b->in_pending);
	b->watcher.changed = box_changed;
	(void)map_put_u64(&n->boxes, b->id, b);
	watcher_set(n->session->client.shard, &b->watcher, b->id);
	if ((events & NOTIFY_MAILBOX_METADATA) != 0)
		notify_read_entries(n->session, v, b->id, &b->entries, NULL);
	return b;
}

void notify_drop_box(struct notify_box *b)
{
	(void)map_take_u64(&b->notify->boxes, b->id);
	watcher_set(b->notify->session->client.shard, &b->watcher, 0);
	list_remove(&b->in_pending);
	notify_entries_fini(&b->entries);
	free(b->name);
	free(b->old_name);
	free(b);
}

/* What of EVENTS can be told to somebody with RIGHTS (RFC 5465 section 5). */
static unsigned allowed(acl_rights_t rights, unsigned events)
{
	if ((rights & ACL_LOOKUP) == 0)
		return 0;
	return (rights & ACL_READ) != 0 ? events : events & (NOTIFY_MAILBOX_NAME | NOTIFY_SUBSCRIPTION_CHANGE);
}

static acl_rights_t rights_of(struct notify *n, const struct mailbox *m)
{
	return names_is_visible(&n->session->names, m->name) ? session_rights(n->session, m->name, m->acl) : 0;
}

/* The mailbox is there, or is another than it was: watch it as is wanted now. */
static void look_at(struct notify *n, struct store_view *v, const struct mailbox *m, uint32_t what)
{
	struct notify_box *b = map_get_u64(&n->boxes, m->id);
	acl_rights_t rights = rights_of(n, m);
	unsigned wanted = notify_events_of(n, m->name), events = allowed(rights, wanted);
	bool is_seen = wanted != 0 && (rights & ACL_LOOKUP) != 0;

	if (b == NULL) {
		b = is_seen ? notify_add_box(n, v, m, events) : NULL;
		if (b != NULL && events != wanted)
			b->pending |= PENDING_ACCESS; /* told before the OK, or with the rest */
		if (b != NULL && what != 0)
			notify_mark(b, PENDING_NEW);
		if (b != NULL && (what & STORE_CHANGE_CREATED) != 0 && m->uidnext > 1) {
			/* Messages have come since, before another thread's word of the mailbox reached here. */
			b->exists = b->unseen = 0;
			b->uidnext = 1;
			notify_mark(b, PENDING_CHANGED);
		}
		return;
	}
	if (!bytes_equal_str(m->name, b->name)) {
		if (b->old_name == NULL)
			b->old_name = b->name;
		else
			free(b->name);
		b->name = bytes_to_str(m->name);
		notify_mark(b, PENDING_RENAMED);
	}
	if (!is_seen) {
		/* What it was called is told as gone, if that was to be heard of. */
		notify_mark(b, PENDING_GONE);
		return;
	}
	b->pending &= ~(unsigned)PENDING_GONE;
	if (b->events != events && what == STORE_CHANGE_ACL)
		notify_mark(b, PENDING_ACCESS);
	b->events = events;
}

void notify_reconsider(struct notify *n, struct store_view *v)
{
	struct map_iter at = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&n->boxes, &at, &key, &value)) {
		struct notify_box *b = value;
		unsigned wanted = notify_events_of(n, bytes_of(b->name));
		struct mailbox m;
		struct fault why;

		if (wanted == 0)
			notify_drop_box(b);
		else if (store_view_mailbox_by_id(v, b->id, &m, &why) == STORE_OK)
			b->events = allowed(rights_of(n, &m), wanted);
	}
	notify_collect(n, v);
}

static void list_changed(struct watcher *w, mailbox_id_t mailbox, uint32_t what)
{
	struct notify *n = LIST_OBJECT(w, struct notify, list_watcher);
	struct notify_box *b = map_get_u64(&n->boxes, mailbox);
	struct store_view *v;
	struct mailbox m;
	struct fault why;

	if ((what & STORE_CHANGE_DELETED) != 0) {
		if (b != NULL)
			notify_mark(b, PENDING_GONE);
		return;
	}
	v = store_view_open(n->session->client.backend->store, &why);
	if (v != NULL && store_view_mailbox_by_id(v, mailbox, &m, &why) == STORE_OK)
		look_at(n, v, &m, what);
	store_view_close(&v);
}

static void subscriptions_changed(struct watcher *w, mailbox_id_t mailbox, uint32_t what)
{
	struct notify *n = LIST_OBJECT(w, struct notify, subscription_watcher);

	(void)mailbox;
	(void)what;
	n->subscriptions_changed = true;
	session_wake(n->session);
}

static void server_changed(struct watcher *w, mailbox_id_t mailbox, uint32_t what)
{
	struct notify *n = LIST_OBJECT(w, struct notify, server_watcher);

	(void)mailbox;
	(void)what;
	n->server_changed = true;
	session_wake(n->session);
}

void notify_read_subscriptions(struct notify *n, struct store_view *v, void (*fn)(struct notify *n, struct bytes internal, bool is_on))
{
	struct map now = { 0 };
	struct map_iter at = { 0 };
	struct view_subscriptions it;
	struct bytes name;
	void *value;

	store_view_subscriptions(v, bytes_of(n->session->identity.user), &it);
	while (view_subscriptions_next(&it, &name)) {
		if (now.n < n->session->client.backend->max_notify_mailboxes)
			(void)map_put(&now, name, n);
		else
			n->is_over = true;
	}
	view_subscriptions_end(&it);
	while (fn != NULL && map_next(&now, &at, &name, &value)) {
		if (map_get(&n->subscribed, name) == NULL)
			fn(n, name, true);
	}
	at = (struct map_iter){ 0 };
	while (fn != NULL && map_next(&n->subscribed, &at, &name, &value)) {
		if (map_get(&now, name) == NULL)
			fn(n, name, false);
	}
	map_fini(&n->subscribed);
	n->subscribed = now;
}

struct collecting {
	struct notify *n;
	struct store_view *v;
	const struct mailbox_filter *filter;
};

static void collect_name(const struct collecting *c, struct bytes internal)
{
	struct mailbox m;
	struct fault why;

	if (store_view_mailbox(c->v, internal, &m, &why) == STORE_OK)
		look_at(c->n, c->v, &m, 0);
}

static void collect_prefix(void *arg, struct bytes prefix)
{
	const struct collecting *c = arg;
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;

	if (c->filter->kind == FILTER_MAILBOXES) {
		collect_name(c, prefix);
		return;
	}
	store_view_names(c->v, prefix, &it);
	while (!c->n->is_over && view_names_next(&it, &name, &id)) {
		if (mailbox_filter_has(c->filter, &c->n->session->names, name))
			collect_name(c, name);
	}
	view_names_end(&it);
}

void notify_collect(struct notify *n, struct store_view *v)
{
	struct collecting c = { n, v, NULL };
	struct map_iter at = { 0 };
	struct bytes name;
	void *value;

	for (size_t i = 0; i < n->cmd.group_count; i++) {
		c.filter = &n->cmd.groups[i].filter;
		if (n->cmd.groups[i].events != 0)
			mailbox_filter_each_prefix(c.filter, &n->session->names, collect_prefix, &c);
	}
	while (!n->is_over && map_next(&n->subscribed, &at, &name, &value)) {
		if (notify_events_of(n, name) != 0)
			collect_name(&c, name);
	}
}

void notify_silence(struct notify *n)
{
	struct shard *shard = n->session->client.shard;
	struct map_iter at = { 0 };
	struct bytes key;
	void *b;

	watcher_set(shard, &n->list_watcher, 0);
	watcher_set(shard, &n->subscription_watcher, 0);
	watcher_set(shard, &n->server_watcher, 0);
	while (map_next(&n->boxes, &at, &key, &b))
		notify_drop_box(b);
	map_fini(&n->boxes);
	map_fini(&n->subscribed);
	notify_entries_fini(&n->server_entries);
	buffer_fini(&n->subscription_names);
	free(n->first);
	n->first = NULL;
	n->first_count = n->cmd.group_count = 0;
	n->selected = NULL;
	n->is_over = n->subscriptions_changed = n->server_changed = false;
}

void notify_free(struct notify **np)
{
	struct notify *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	notify_silence(n);
	arena_fini(&n->arena);
	free(n);
}

/* Take the groups apart. False: the tagged answer is set. */
static bool take_groups(struct notify *n, struct command *cmd)
{
	for (size_t i = 0; i < n->cmd.group_count; i++) {
		struct notify_group *g = &n->cmd.groups[i];

		if ((g->events & NOTIFY_UNKNOWN) != 0) {
			(void)answer_no(cmd, "BADEVENT (" NOTIFY_SUPPORTED ")", "there is no such event here");
			return false;
		}
		n->events |= g->events;
		if (g->filter.kind == FILTER_SELECTED || g->filter.kind == FILTER_SELECTED_DELAYED)
			n->selected = g;
		n->is_subscribed_known = n->is_subscribed_known || g->filter.kind == FILTER_SUBSCRIBED;
		mailbox_filter_resolve(&g->filter, &n->session->names, &n->arena);
	}
	n->is_subscribed_known = n->is_subscribed_known || (n->events & NOTIFY_SUBSCRIPTION_CHANGE) != 0;
	return true;
}

/* Watchers come first, then one view: what is not in it is heard of. */
static bool begin(struct notify *n, struct command *cmd)
{
	struct session *s = n->session;
	struct shard *shard = s->client.shard;
	struct store_view *v;

	n->list_watcher.changed = list_changed;
	n->subscription_watcher.changed = subscriptions_changed;
	n->server_watcher.changed = server_changed;
	if (n->cmd.group_count > (size_t)(n->selected != NULL))
		watcher_set(shard, &n->list_watcher, WATCH_LIST);
	if (n->is_subscribed_known)
		watcher_set(shard, &n->subscription_watcher, store_change_of_user(bytes_of(s->identity.user)));
	if ((n->events & NOTIFY_SERVER_METADATA) != 0)
		watcher_set(shard, &n->server_watcher, STORE_CHANGE_OF_SERVER);
	if ((v = session_view(s, cmd)) == NULL)
		return false;
	if (n->is_subscribed_known)
		notify_read_subscriptions(n, v, NULL);
	notify_collect(n, v);
	if ((n->events & NOTIFY_SERVER_METADATA) != 0)
		notify_read_entries(s, v, 0, &n->server_entries, NULL);
	store_view_close(&v);
	if (!n->is_over)
		return true;
	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	(void)answer_no(cmd, "NOTIFICATIONOVERFLOW", "too many mailboxes");
	return false;
}

struct notify *notify_new(struct session *s, struct command *cmd)
{
	struct notify *n = must_calloc(1, sizeof(*n));
	struct map_iter at = { 0 };
	struct bytes key;
	void *b;
	struct fault why;

	n->session = s;
	list_init(&n->pending);
	n->fetched_uid = UINT32_MAX - 1; /* until notify_selected_anew() */
	if (imap_command_parse(arena_copy(&n->arena, cmd->octets), &s->client.backend->command_limits, &n->arena, &n->cmd, &why) !=
	            IMAP_PARSE_OK ||
	    !take_groups(n, cmd) || (n->cmd.is_notify_set && !begin(n, cmd))) {
		if (!cmd->has_answer)
			(void)answer_fault(s, cmd, &why);
		notify_free(&n);
		return NULL;
	}
	n->first = must_realloc(NULL, n->boxes.n + 1, sizeof(struct notify_box *));
	while (map_next(&n->boxes, &at, &key, &b))
		n->first[n->first_count++] = b;
	return n;
}

/* The selected mailbox. */

unsigned notify_selected(const struct session *s)
{
	if (s->notify == NULL)
		return NOTIFY_BOTH | NOTIFY_FLAG_CHANGE | (s->box != NULL && s->box->hears_annotations ? NOTIFY_ANNOTATION_CHANGE : 0u);
	return s->notify->selected == NULL ? 0 : s->notify->selected->events;
}

bool notify_delays_expunge(const struct session *s)
{
	return s->notify != NULL && s->notify->selected != NULL && s->notify->selected->filter.kind == FILTER_SELECTED_DELAYED;
}

void notify_selected_anew(struct session *s)
{
	if (s->notify == NULL)
		return;
	s->notify->fetched_uid = s->box != NULL ? s->box->last_uid : 0;
	s->notify->own_count = 0;
}

static bool is_own(const struct notify *n, uint32_t uid)
{
	for (size_t i = 0; i < n->own_count; i++) {
		if (n->own[i].first <= uid && uid <= n->own[i].last)
			return true;
	}
	return false;
}

bool notify_fetch_new(struct session *s, struct store_view *v, const struct mailbox *m, uint64_t until_ns)
{
	struct notify *n = s->notify;
	const struct notify_group *g = n == NULL ? NULL : n->selected;
	struct box_reader reader = { .view = v, .mailbox = m->id };
	struct message msg;
	size_t i;

	if (g == NULL || g->item_count == 0)
		return true;
	for (i = box_position(s->box, n->fetched_uid + 1); i < s->box->count && clock_mono_ns() < until_ns && !session_is_full(s); i++) {
		uint32_t uid = s->box->uids[i];

		if (!is_own(n, uid) && box_read(&reader, uid, &msg))
			fetch_answer_tell(s, v, m, (uint32_t)i + 1, &msg, g->items, g->item_count);
		n->fetched_uid = uid;
	}
	box_read_end(&reader);
	if (i < s->box->count)
		return false;
	n->own_count = 0;
	return true;
}

/* What this session does itself. */

static void note_own(struct notify *n, struct uid_range range)
{
	/* Where there are too many the oldest may be told after all. */
	if (n->own_count == sizeof(n->own) / sizeof(n->own[0]))
		memmove(n->own, n->own + 1, --n->own_count * sizeof(n->own[0]));
	n->own[n->own_count++] = range;
}

/* A change of mailbox ID by COUNT modseqs up to MODSEQ is this session's: where the client knows all before it, it knows all. */
static void know(struct notify *n, mailbox_id_t id, modseq_t modseq, size_t count)
{
	struct notify_box *b = map_get_u64(&n->boxes, id);
	struct store_view *v;
	struct mailbox m;
	struct fault why;

	if (b == NULL || count == 0 || b->modseq + count != modseq)
		return;
	v = store_view_open(n->session->client.backend->store, &why);
	if (v != NULL && store_view_mailbox_by_id(v, id, &m, &why) == STORE_OK && m.highestmodseq == modseq) {
		b->exists = m.exists;
		b->uidnext = m.uidnext;
		b->unseen = m.unseen;
		b->modseq = modseq;
	}
	store_view_close(&v);
}

void notify_committed(struct session *s, const struct submission *sub)
{
	struct notify *n = s->notify;
	const struct intent *in = &sub->intent;
	const struct intent_answer *a = &sub->request.answer;

	if (n == NULL || a->result != STORE_OK)
		return;
	if (in->op == INTENT_APPEND) {
		for (size_t i = 0; i < in->append.target_count; i++) {
			const struct append_target *t = &in->append.targets[i];

			if (t->result != STORE_OK)
				continue;
			if (s->box != NULL && t->mailbox_id == s->box->id)
				note_own(n, (struct uid_range){ t->uid, t->uid });
			know(n, t->mailbox_id, t->modseq, 1);
		}
	} else if (in->op == INTENT_COPY || in->op == INTENT_MOVE || in->op == INTENT_PLACE) {
		for (size_t i = 0; s->box != NULL && a->mailbox == s->box->id && i < a->new_uid_count; i++)
			note_own(n, a->new_uids[i]);
		know(n, a->mailbox, a->modseq, 1);
	}
}

/* Whether INTERNAL is, or is below, what the command names. */
static bool is_named(struct session *s, struct bytes external, struct bytes internal)
{
	struct buffer named = { 0 };
	struct fault why;
	bool is = external.n > 0 && names_to_internal(&s->names, external, &named, &why) &&
	          (bytes_equal(internal, buffer_bytes(&named)) || names_is_below(internal, buffer_bytes(&named)));

	buffer_fini(&named);
	return is;
}

void notify_forget(struct session *s, const struct command *cmd)
{
	struct notify *n = s->notify;
	const struct imap_command *c = &cmd->c;
	struct store_view *v;
	struct fault why;

	if (n == NULL || cmd->status != ANSWER_OK)
		return;
	switch (c->verb) {
	case IMAP_CREATE:
	case IMAP_DELETE:
	case IMAP_RENAME:
	case IMAP_SETACL:
	case IMAP_DELETEACL:
		LIST_EACH(l, &n->pending) {
			struct notify_box *b = LIST_OBJECT(l, struct notify_box, in_pending);
			struct bytes name = bytes_of(b->name);

			if (!is_named(s, c->mailbox, name) && !is_named(s, c->target, name))
				continue;
			if ((b->pending & PENDING_GONE) != 0) {
				notify_drop_box(b);
				continue;
			}
			b->pending &= (unsigned)(PENDING_CHANGED | PENDING_ACCESS);
			free(b->old_name);
			b->old_name = NULL;
		}
		break;
	case IMAP_SUBSCRIBE:
	case IMAP_UNSUBSCRIBE:
		if (!n->is_subscribed_known || (v = store_view_open(s->client.backend->store, &why)) == NULL)
			break;
		notify_read_subscriptions(n, v, NULL);
		notify_reconsider(n, v);
		store_view_close(&v);
		break;
	default:
		break;
	}
}
