/* imap_parse_esearch.c - ESEARCH (RFC 7377), and how it and NOTIFY name mailboxes. */
#include "imap_parse_private.h"

#include <string.h>

static const struct {
	const char *name;
	enum filter_kind kind;
	bool has_names;
} filters[] = {
	{ "SELECTED", FILTER_SELECTED, false }, { "SELECTED-DELAYED", FILTER_SELECTED_DELAYED, false },
	{ "INBOXES", FILTER_INBOXES, false },   { "PERSONAL", FILTER_PERSONAL, false },
	{ "SUBSCRIBED", FILTER_SUBSCRIBED, false }, { "SUBTREE", FILTER_SUBTREE, true },
	{ "SUBTREE-ONE", FILTER_SUBTREE_ONE, true }, { "MAILBOXES", FILTER_MAILBOXES, true },
};

static bool take_names(struct imap_parser *p, struct mailbox_filter *f)
{
	struct bytes_list names = { 0 };
	struct bytes name;
	bool in_list;

	if (!imap_take_space(&p->c, p->why))
		return false;
	in_list = cursor_take(&p->c, '(');
	do {
		if (!imap_take_astring(&p->c, p->a, &name, p->why) || !bytes_list_add(p, &names, name))
			return false;
	} while (in_list && cursor_take(&p->c, ' '));
	f->names = names.at;
	f->name_count = names.count;
	return !in_list || cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the mailboxes", p->why);
}

bool imap_take_filter(struct imap_parser *p, struct mailbox_filter *f)
{
	struct bytes word;

	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		if (!bytes_equal_nocase_str(word, filters[i].name))
			continue;
		f->kind = filters[i].kind;
		return !filters[i].has_names || take_names(p, f);
	}
	return fault_set(p->why, FAULT_CLIENT, "no such mailboxes: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
}

void *imap_one_more(struct imap_parser *p, void **at, size_t *count, size_t *cap, size_t size)
{
	if (*count == *cap) {
		void *more = arena_array(p->a, *cap == 0 ? 4 : *cap * 2, size);

		if (*count > 0)
			memcpy(more, *at, *count * size);
		*at = more;
		*cap = *cap == 0 ? 4 : *cap * 2;
	}
	return (char *)*at + (*count)++ * size;
}

/* "IN (mailboxes a subtree (b c))"; scope options, of which there are none so far, are refused. */
static bool take_sources(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;
	size_t cap = 0;
	void *at = NULL;

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of mailboxes behind IN", p->why);
	do {
		struct mailbox_filter *f;

		if (cmd->filter_count == p->limits->list)
			return fault_set(p->why, FAULT_LIMIT, "a list of more than %zu members", p->limits->list);
		if (cmd->filter_count == ESEARCH_FILTERS_MAX)
			return fault_set(p->why, FAULT_LIMIT, "more than %d sets of mailboxes", ESEARCH_FILTERS_MAX);
		f = imap_one_more(p, &at, &cmd->filter_count, &cap, sizeof(*f));
		*f = (struct mailbox_filter){ 0 };
		cmd->filters = at;
		if (!imap_take_filter(p, f))
			return false;
		if (f->kind == FILTER_SELECTED_DELAYED)
			return fault_set(p->why, FAULT_CLIENT, "selected-delayed is not for searching");
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the mailboxes", p->why);
}

bool imap_parse_esearch(struct imap_parser *p)
{
	p->cmd->is_uid = true; /* RFC 7377 section 2.1 */
	if (cursor_take_nocase(&p->c, BYTES_LIT("IN ")) && (!take_sources(p) || !imap_take_space(&p->c, p->why)))
		return false;
	p->cmd->rest = cursor_rest(&p->c);
	if (!imap_parse_search(p))
		return false;
	if (!p->cmd->has_return) {
		p->cmd->has_return = true;
		p->cmd->return_options = SEARCH_RETURN_ALL;
	}
	return true;
}
