/* imap_parse_notify.c - NOTIFY (RFC 5465): which events of which mailboxes. */
#include "imap_parse_private.h"

static const struct {
	const char *name;
	unsigned bit;
} events[] = {
	{ "MessageNew", NOTIFY_MESSAGE_NEW },
	{ "MessageExpunge", NOTIFY_MESSAGE_EXPUNGE },
	{ "FlagChange", NOTIFY_FLAG_CHANGE },
	{ "AnnotationChange", NOTIFY_ANNOTATION_CHANGE },
	{ "MailboxName", NOTIFY_MAILBOX_NAME },
	{ "SubscriptionChange", NOTIFY_SUBSCRIPTION_CHANGE },
	{ "MailboxMetadataChange", NOTIFY_MAILBOX_METADATA },
	{ "ServerMetadataChange", NOTIFY_SERVER_METADATA },
};

static bool take_event(struct imap_parser *p, struct notify_group *g)
{
	unsigned bit = NOTIFY_UNKNOWN;
	struct bytes word;

	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (bytes_equal_nocase_str(word, events[i].name))
			bit = events[i].bit;
	}
	g->events |= bit;
	if (bit == NOTIFY_MESSAGE_NEW && cursor_left(&p->c) > 1 && p->c.p[0] == ' ' && p->c.p[1] == '(') {
		p->c.p++;
		return imap_take_fetch_list(p, &g->items, &g->item_count);
	}
	return true;
}

/* What RFC 5465 section 5 wants of a group's events. */
static bool check_group(struct imap_parser *p, const struct notify_group *g)
{
	bool is_selected = g->filter.kind == FILTER_SELECTED || g->filter.kind == FILTER_SELECTED_DELAYED;
	bool has_both = (g->events & NOTIFY_BOTH) == NOTIFY_BOTH;

	if ((g->events & (NOTIFY_BOTH | NOTIFY_CHANGES)) != 0 && !has_both)
		return fault_set(p->why, FAULT_CLIENT, "MessageNew and MessageExpunge go together, and with every other event of messages");
	if (is_selected && (g->events & NOTIFY_OF_MAILBOXES) != 0)
		return fault_set(p->why, FAULT_CLIENT, "only events of messages are for the selected mailbox");
	if (!is_selected && g->item_count > 0)
		return fault_set(p->why, FAULT_CLIENT, "only of the selected mailbox can items be fetched");
	if (g->filter.kind == FILTER_SUBTREE_ONE)
		return fault_set(p->why, FAULT_CLIENT, "subtree-one is for searching");
	return true;
}

/* "(selected (MessageNew (UID) MessageExpunge))"; the RFC's examples leave the inner parentheses out. */
static bool take_group(struct imap_parser *p, struct notify_group *g)
{
	const uint8_t *start = p->c.p, *events_start;
	bool in_list;

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a group of events", p->why);
	if (!imap_take_filter(p, &g->filter) || !imap_take_space(&p->c, p->why))
		return false;
	events_start = p->c.p;
	if (!cursor_take_nocase(&p->c, BYTES_LIT("NONE)"))) {
		in_list = cursor_take(&p->c, '(');
		do {
			if (!take_event(p, g))
				return false;
		} while (cursor_take(&p->c, ' '));
		if ((in_list && !cursor_take(&p->c, ')')) || !cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the events", p->why);
	}
	g->octets = bytes_make(start, (size_t)(p->c.p - start));
	g->event_octets = bytes_make(events_start, (size_t)(p->c.p - 1 - events_start));
	return check_group(p, g);
}

bool imap_parse_notify(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;
	size_t cap = 0;
	bool has_selected = false;
	void *at = NULL;

	if (cursor_take_nocase(&p->c, BYTES_LIT("NONE")))
		return true;
	if (!cursor_take_nocase(&p->c, BYTES_LIT("SET")))
		return imap_expected(&p->c, "SET or NONE", p->why);
	cmd->is_notify_set = true;
	cmd->wants_status = cursor_take_nocase(&p->c, BYTES_LIT(" STATUS"));
	if (!imap_take_space(&p->c, p->why))
		return false;
	do {
		struct notify_group *g;
		bool is_selected;

		if (cmd->group_count == NOTIFY_GROUPS_MAX)
			return fault_set(p->why, FAULT_LIMIT, "more than %d groups of events", NOTIFY_GROUPS_MAX);
		g = imap_one_more(p, &at, &cmd->group_count, &cap, sizeof(*g));
		*g = (struct notify_group){ 0 };
		cmd->groups = at;
		if (!take_group(p, g))
			return false;
		is_selected = g->filter.kind == FILTER_SELECTED || g->filter.kind == FILTER_SELECTED_DELAYED;
		if (is_selected && has_selected)
			return fault_set(p->why, FAULT_CLIENT, "two groups for the selected mailbox");
		has_selected = has_selected || is_selected;
	} while (cursor_left(&p->c) > 1 && cursor_take(&p->c, ' '));
	return true;
}
