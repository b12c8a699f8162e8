/* notify_tell.c - what became of watched mailboxes, as responses: STATUS for messages, LIST for names and subscriptions, METADATA for
 * entries; each as things are now, however often they have changed. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "box.h"
#include "imap_writer.h"
#include "metadata.h"
#include "notify_private.h"
#include "status.h"

#define TELL_TURN 200      /* mailboxes told of in one turn */
#define CHILDREN_MAX 50    /* names below one that are looked at for one that the user may list */

/* Whether there is a mailbox below INTERNAL that the user may look up. */
static bool has_children(struct session *s, struct store_view *v, struct bytes internal)
{
	struct buffer prefix = { 0 };
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	struct mailbox m;
	struct fault why;
	bool has = false;

	buffer_add(&prefix, internal);
	buffer_add_u8(&prefix, '.');
	store_view_names(v, buffer_bytes(&prefix), &it);
	for (unsigned n = 0; !has && n < CHILDREN_MAX && view_names_next(&it, &name, &id); n++)
		has = store_view_mailbox_by_id(v, id, &m, &why) == STORE_OK && (session_rights(s, name, m.acl) & ACL_LOOKUP) != 0;
	view_names_end(&it);
	buffer_fini(&prefix);
	return has;
}

static void write_name(struct session *s, struct bytes internal, struct buffer *to)
{
	struct buffer external = { 0 };

	names_to_external(&s->names, internal, &external);
	imap_write_mailbox(to, buffer_bytes(&external), s->names.is_utf8);
	buffer_fini(&external);
}

void notify_write_list(struct session *s, struct store_view *v, struct bytes internal, const char *old_name, const char *attribute,
                       struct buffer *to)
{
	struct mailbox m;
	struct fault why;
	bool is_there = store_view_mailbox(v, internal, &m, &why) == STORE_OK && (session_rights(s, internal, m.acl) & ACL_LOOKUP) != 0;
	/* With altnamespace a user's own are beside his INBOX. */
	bool is_alone = s->names.alt && !s->identity.is_admin && names_is_inbox(&s->names, internal, s->names.user);

	buffer_add_str(to, "* LIST (");
	if (!is_there)
		buffer_add_str(to, "\\NonExistent ");
	buffer_add_str(to, !is_alone && has_children(s, v, internal) ? "\\HasChildren" : "\\HasNoChildren");
	if (attribute != NULL)
		buffer_addf(to, " %s", attribute);
	if (store_view_is_subscribed(v, bytes_of(s->identity.user), internal))
		buffer_add_str(to, " \\Subscribed");
	buffer_addf(to, ") \"%c\" ", s->names.sep);
	write_name(s, internal, to);
	if (old_name != NULL) {
		buffer_add_str(to, " (\"OLDNAME\" (");
		write_name(s, bytes_of(old_name), to);
		buffer_add_str(to, "))");
	}
	buffer_add_str(to, "\r\n");
}

/* METADATA. */

void notify_entries_fini(struct notify_entries *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->at[i].name);
	free(e->at);
	*e = (struct notify_entries){ 0 };
}

static void read_of(struct session *s, struct store_view *v, mailbox_id_t mailbox, struct bytes user, struct notify_entries *e)
{
	struct view_attributes it;
	struct attribute of;

	store_view_attributes(v, mailbox, 0, user, &it);
	while (view_attributes_next(&it, &of)) {
		if (bytes_equal_str(of.name, METADATA_ADMIN) && !s->identity.is_admin)
			continue;
		e->at = must_realloc(e->at, e->count + 1, sizeof(*e->at));
		e->at[e->count++] = (struct notify_entry){ bytes_to_str(of.name), map_hash(of.value) };
	}
	view_attributes_end(&it);
}

static int by_name(const void *a, const void *b)
{
	const struct notify_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void add_changed(struct buffer *changed, const char *name)
{
	if (changed == NULL)
		return;
	buffer_add_u8(changed, ' ');
	imap_write_astring(changed, bytes_of(name), false);
}

void notify_read_entries(struct session *s, struct store_view *v, mailbox_id_t mailbox, struct notify_entries *e, struct buffer *changed)
{
	struct notify_entries now = { 0 };

	read_of(s, v, mailbox, bytes_of(s->identity.user), &now);
	read_of(s, v, mailbox, BYTES_NONE, &now);
	if (now.count > 1)
		qsort(now.at, now.count, sizeof(*now.at), by_name);
	for (size_t i = 0, k = 0; i < now.count || k < e->count;) {
		int order = i == now.count ? 1 : k == e->count ? -1 : strcmp(now.at[i].name, e->at[k].name);

		if (order < 0 || (order == 0 && now.at[i].hash != e->at[k].hash))
			add_changed(changed, now.at[i].name);
		else if (order > 0)
			add_changed(changed, e->at[k].name);
		i += order <= 0;
		k += order >= 0;
	}
	notify_entries_fini(e);
	*e = now;
}

/* Messages. */

static void tell_status(struct notify_box *b, struct store_view *v, const struct mailbox *m, struct buffer *to)
{
	struct session *s = b->notify->session;
	bool has_modseqs = (s->features & IMAP_F_CONDSTORE) != 0;
	bool is_selected = s->box != NULL && s->box->id == b->id; /* of which SELECTED's group speaks */
	struct buffer external = { 0 };
	unsigned items = 0;

	if ((b->events & NOTIFY_BOTH) != 0 && (m->exists != b->exists || m->uidnext != b->uidnext)) {
		items |= STATUS_MESSAGES | STATUS_UIDNEXT | (has_modseqs ? STATUS_HIGHESTMODSEQ : 0);
		if ((b->events & NOTIFY_FLAG_CHANGE) != 0 && m->unseen != b->unseen)
			items |= STATUS_UNSEEN;
	} else if ((b->events & NOTIFY_CHANGES) != 0 && m->highestmodseq != b->modseq) {
		items |= has_modseqs ? STATUS_HIGHESTMODSEQ | STATUS_UIDVALIDITY : 0;
		items |= (b->events & NOTIFY_FLAG_CHANGE) != 0 && m->unseen != b->unseen ? STATUS_UNSEEN : 0;
	}
	if ((b->events & NOTIFY_BOTH) != 0 && m->uidvalidity != b->uidvalidity)
		items |= STATUS_UIDVALIDITY | STATUS_UIDNEXT | STATUS_MESSAGES;
	b->exists = m->exists;
	b->uidnext = m->uidnext;
	b->unseen = m->unseen;
	b->uidvalidity = m->uidvalidity;
	b->modseq = m->highestmodseq;
	if (items == 0 || is_selected)
		return;
	names_to_external(&s->names, m->name, &external);
	status_write(s, v, m, buffer_bytes(&external), items, NULL, to);
	buffer_fini(&external);
}

static void tell_entries(struct notify_box *b, struct store_view *v, const struct mailbox *m, struct buffer *to)
{
	struct session *s = b->notify->session;
	struct buffer changed = { 0 };

	notify_read_entries(s, v, b->id, &b->entries, &changed);
	if (changed.n > 0 && metadata_may(session_rights(s, m->name, m->acl))) {
		buffer_add_str(to, "* METADATA ");
		write_name(s, m->name, to);
		buffer_add(to, buffer_bytes(&changed));
		buffer_add_str(to, "\r\n");
	}
	buffer_fini(&changed);
}

/* Names. */

/* The level above INTERNAL is affected, too (RFC 5465 section 5.4), where it is one to be heard of. */
static void tell_parent(struct notify *n, struct store_view *v, struct bytes internal, struct buffer *to)
{
	struct session *s = n->session;
	struct bytes parent = bytes_sub(internal, 0, bytes_rfind(internal, '.'));

	if (parent.n == internal.n || (s->names.alt && !s->identity.is_admin && names_is_inbox(&s->names, parent, s->names.user)))
		return;
	if ((notify_events_of(n, parent) & NOTIFY_MAILBOX_NAME) != 0)
		notify_write_list(s, v, parent, NULL, NULL, to);
}

/* What was renamed with one above it, whose rename is told, is not told of (RFC 5465 section 5.4). */
static void mark_children(struct notify *n)
{
	struct map renamed = { 0 };

	LIST_EACH(l, &n->pending) {
		struct notify_box *b = LIST_OBJECT(l, struct notify_box, in_pending);

		if (b->old_name != NULL)
			(void)map_put(&renamed, bytes_of(b->old_name), b);
	}
	LIST_EACH(l, &n->pending) {
		struct notify_box *b = LIST_OBJECT(l, struct notify_box, in_pending);
		struct bytes above = b->old_name == NULL || renamed.n < 2 ? BYTES_NONE : bytes_of(b->old_name);

		while (bytes_rfind(above, '.') < above.n && (b->pending & PENDING_WITH_PARENT) == 0) {
			const struct notify_box *p;

			above = bytes_sub(above, 0, bytes_rfind(above, '.'));
			p = map_get(&renamed, above);
			if (p != NULL && names_is_below(bytes_of(b->name), bytes_of(p->name)) &&
			    strcmp(b->old_name + above.n, b->name + strlen(p->name)) == 0)
				b->pending |= PENDING_WITH_PARENT;
		}
	}
	map_fini(&renamed);
}

/* False: B is gone. */
static bool tell_name(struct notify_box *b, struct store_view *v, struct buffer *to)
{
	struct notify *n = b->notify;
	bool is_wanted = (b->events & NOTIFY_MAILBOX_NAME) != 0, is_gone = (b->pending & PENDING_GONE) != 0;
	struct bytes name = bytes_of(b->name);

	if (is_gone && is_wanted && (b->pending & PENDING_NEW) == 0) {
		notify_write_list(n->session, v, bytes_of(b->old_name != NULL ? b->old_name : b->name), NULL, NULL, to);
		tell_parent(n, v, bytes_of(b->old_name != NULL ? b->old_name : b->name), to);
	} else if (!is_gone && is_wanted && (b->pending & PENDING_NEW) != 0) {
		notify_write_list(n->session, v, name, NULL, NULL, to);
		tell_parent(n, v, name, to);
	} else if (!is_gone && is_wanted && (b->pending & PENDING_RENAMED) != 0 && b->old_name != NULL && strcmp(b->old_name, b->name) != 0 &&
	           (b->pending & PENDING_WITH_PARENT) == 0) {
		notify_write_list(n->session, v, name, b->old_name, NULL, to);
	}
	if (!is_gone && (b->pending & PENDING_ACCESS) != 0)
		notify_write_list(n->session, v, name, NULL, (notify_events_of(n, name) & ~b->events) != 0 ? "\\NoAccess" : NULL, to);
	return !is_gone;
}

static void tell_box(struct notify_box *b, struct store_view *v, struct buffer *to)
{
	struct mailbox m;
	struct fault why;

	if (!tell_name(b, v, to)) {
		notify_drop_box(b);
		return;
	}
	if ((b->pending & PENDING_CHANGED) != 0 && store_view_mailbox_by_id(v, b->id, &m, &why) == STORE_OK) {
		tell_status(b, v, &m, to);
		if ((b->events & NOTIFY_MAILBOX_METADATA) != 0)
			tell_entries(b, v, &m, to);
	}
	free(b->old_name);
	b->old_name = NULL;
	b->pending = 0;
	list_remove(&b->in_pending);
}

/* Subscriptions: collected while the sets are compared, told when they are. */
static void subscription_changed(struct notify *n, struct bytes internal, bool is_on)
{
	bool is_wanted = false;

	(void)is_on;
	for (size_t i = 0; !is_wanted && i < n->cmd.group_count; i++) {
		const struct notify_group *g = &n->cmd.groups[i];

		is_wanted = (g->events & NOTIFY_SUBSCRIPTION_CHANGE) != 0 &&
		            (g->filter.kind == FILTER_SUBSCRIBED || mailbox_filter_has(&g->filter, &n->session->names, internal));
	}
	if (is_wanted && names_is_visible(&n->session->names, internal)) {
		buffer_add(&n->subscription_names, internal);
		buffer_add_u8(&n->subscription_names, '\0');
	}
}

static void tell_subscriptions(struct notify *n, struct store_view *v, struct buffer *to)
{
	struct bytes rest;

	notify_read_subscriptions(n, v, subscription_changed);
	rest = buffer_bytes(&n->subscription_names);
	while (rest.n > 0) {
		size_t end = bytes_find(rest, '\0');

		notify_write_list(n->session, v, bytes_sub(rest, 0, end), NULL, NULL, to);
		rest = bytes_from(rest, end + 1);
	}
	buffer_clear(&n->subscription_names);
	notify_reconsider(n, v);
}

static void tell_server(struct notify *n, struct store_view *v, struct buffer *to)
{
	struct buffer changed = { 0 };

	notify_read_entries(n->session, v, 0, &n->server_entries, &changed);
	if (changed.n > 0) {
		buffer_add_str(to, "* METADATA \"\"");
		buffer_add(to, buffer_bytes(&changed));
		buffer_add_str(to, "\r\n");
	}
	buffer_fini(&changed);
}

static void overflow(struct session *s)
{
	struct notify *n = s->notify;

	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	session_write_str(s, "* OK [NOTIFICATIONOVERFLOW] too many mailboxes: nothing more is told\r\n");
	notify_silence(n);
}

bool notify_tell(struct session *s)
{
	struct notify *n = s->notify;
	struct buffer out = { 0 };
	struct store_view *v;
	struct fault why;
	bool is_all;

	if (n == NULL || (list_is_empty(&n->pending) && !n->subscriptions_changed && !n->server_changed && !n->is_over))
		return true;
	if (session_is_full(s) || (v = store_view_open(s->client.backend->store, &why)) == NULL)
		return false;
	if (n->server_changed)
		tell_server(n, v, &out);
	if (n->subscriptions_changed)
		tell_subscriptions(n, v, &out);
	n->server_changed = n->subscriptions_changed = false;
	mark_children(n);
	for (unsigned i = 0; i < TELL_TURN && !list_is_empty(&n->pending); i++)
		tell_box(LIST_OBJECT(n->pending.next, struct notify_box, in_pending), v, &out);
	is_all = list_is_empty(&n->pending);
	store_view_close(&v);
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
	if (n->is_over)
		overflow(s);
	return is_all || n->is_over;
}

bool notify_write_first(struct notify *n, struct store_view *v, bool wants_status, struct buffer *to)
{
	struct session *s = n->session;
	size_t end = n->first_at + TELL_TURN < n->first_count ? n->first_at + TELL_TURN : n->first_count;

	for (; n->first_at < end; n->first_at++) {
		struct notify_box *b = n->first[n->first_at];
		struct buffer external = { 0 };
		struct mailbox m;
		struct fault why;

		if ((b->pending & PENDING_ACCESS) != 0) {
			notify_write_list(s, v, bytes_of(b->name), NULL, "\\NoAccess", to);
			b->pending &= ~(unsigned)PENDING_ACCESS;
		}
		if (!wants_status || (b->events & NOTIFY_BOTH) == 0 || (s->box != NULL && s->box->id == b->id) ||
		    store_view_mailbox_by_id(v, b->id, &m, &why) != STORE_OK)
			continue;
		names_to_external(&s->names, m.name, &external);
		status_write(s, v, &m, buffer_bytes(&external),
		             STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY |
		                     ((b->events & NOTIFY_CHANGES) != 0 ? STATUS_HIGHESTMODSEQ : 0),
		             NULL, to);
		buffer_fini(&external);
	}
	if (n->first_at < n->first_count)
		return false;
	free(n->first);
	n->first = NULL;
	return true;
}
