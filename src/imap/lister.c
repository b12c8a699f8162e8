/* lister.c - rows of LIST. Without SUBSCRIBED the mailboxes are walked, with it the subscriptions, which need not be of a
 * mailbox that is there. */
#include "lister.h"

#include <stdlib.h>

#include "alloc.h"
#include "imap_writer.h"
#include "list_pattern.h"

enum { ROW_NONEXISTENT = 1 << 0, ROW_HAS_CHILDREN = 1 << 1, ROW_NO_CHILDREN = 1 << 2, ROW_USE_BELOW = 1 << 3 };

void lister_init(struct lister *l, const struct names *names, const struct imap_command *cmd, const struct list_source *source)
{
	*l = (struct lister){ .names = names, .cmd = cmd, .source = source };
	l->patterns = must_calloc(cmd->pattern_count, sizeof(*l->patterns));
	for (size_t i = 0; i < cmd->pattern_count; i++) {
		buffer_add(&l->patterns[i], cmd->mailbox);
		buffer_add(&l->patterns[i], cmd->patterns[i]);
	}
}

void lister_fini(struct lister *l)
{
	for (size_t i = 0; i < l->cmd->pattern_count; i++)
		buffer_fini(&l->patterns[i]);
	free(l->patterns);
	for (size_t i = 0; i < l->subscription_count; i++)
		buffer_fini(&l->subscriptions[i]);
	free(l->subscriptions);
	map_fini(&l->told);
	map_fini(&l->subscribed);
	buffer_fini(&l->held);
	buffer_fini(&l->held_internal);
	buffer_fini(&l->line);
	buffer_fini(&l->scratch);
}

bool lister_wants_subscriptions(const struct lister *l)
{
	return (l->cmd->list_options & (LIST_SELECT_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)) != 0;
}

bool lister_wants_names(const struct lister *l)
{
	return (l->cmd->list_options & LIST_SELECT_SUBSCRIBED) == 0;
}

struct bytes lister_prefix(const struct lister *l, size_t pattern)
{
	struct bytes p = buffer_bytes(&l->patterns[pattern]);
	size_t wild = 0;

	while (wild < p.n && p.p[wild] != '*' && p.p[wild] != '%')
		wild++;
	return bytes_sub(p, 0, wild);
}

static bool matches(const struct lister *l, struct bytes external)
{
	for (size_t i = 0; i < l->cmd->pattern_count; i++) {
		if (list_match(buffer_bytes(&l->patterns[i]), external, l->names->sep))
			return true;
	}
	return false;
}

/* The first subscription that is not before NAME. */
static size_t subscription_at(const struct lister *l, struct bytes name)
{
	size_t low = 0, high = l->subscription_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (bytes_compare(buffer_bytes(&l->subscriptions[mid]), name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool has_subscription_below(struct lister *l, struct bytes external)
{
	size_t at;

	buffer_clear(&l->scratch);
	buffer_add(&l->scratch, external);
	buffer_add_u8(&l->scratch, (uint8_t)l->names->sep);
	at = subscription_at(l, buffer_bytes(&l->scratch));
	return at < l->subscription_count && bytes_starts(buffer_bytes(&l->subscriptions[at]), buffer_bytes(&l->scratch));
}

static void add_attribute(struct buffer *line, const char **blank, const char *attribute)
{
	buffer_add_str(line, *blank);
	buffer_add_str(line, attribute);
	*blank = " ";
}

static unsigned use_of(const struct lister *l, struct bytes internal)
{
	return special_use_of(l->source->uses, l->names, internal);
}

static void write_row(struct lister *l, struct bytes external, struct bytes internal, unsigned kind, unsigned uses)
{
	bool is_recursive = (l->cmd->list_options & LIST_SELECT_RECURSIVE) != 0;
	bool by_subscription = (l->cmd->list_options & LIST_SELECT_SUBSCRIBED) != 0;
	bool has_below = is_recursive && by_subscription && has_subscription_below(l, external);
	const char *blank = "";

	buffer_clear(&l->line);
	buffer_add_str(&l->line, "* LIST (");
	if ((kind & ROW_NONEXISTENT) != 0) /* the second for those who do not know the first */
		add_attribute(&l->line, &blank, "\\NonExistent \\Noselect");
	if ((kind & ROW_HAS_CHILDREN) != 0)
		add_attribute(&l->line, &blank, "\\HasChildren");
	if ((kind & ROW_NO_CHILDREN) != 0)
		add_attribute(&l->line, &blank, "\\HasNoChildren");
	if (map_get(&l->subscribed, external) != NULL)
		add_attribute(&l->line, &blank, "\\Subscribed");
	if (uses != 0) {
		add_attribute(&l->line, &blank, "");
		special_use_write(&l->line, uses);
	}
	buffer_addf(&l->line, ") \"%c\" ", l->names->sep);
	imap_write_mailbox(&l->line, external, l->names->is_utf8);
	if (has_below)
		buffer_add_str(&l->line, " (\"CHILDINFO\" (\"SUBSCRIBED\"))");
	else if ((kind & ROW_USE_BELOW) != 0)
		buffer_add_str(&l->line, " (\"CHILDINFO\" (\"SPECIAL-USE\"))");
	buffer_add_str(&l->line, "\r\n");
	l->source->row(l->source->arg, buffer_bytes(&l->line), external,
	               (kind & ROW_NONEXISTENT) != 0 ? BYTES_NONE : internal);
}

/* Levels above EXTERNAL that match: each once. Those that are mailboxes are told only if WITH_MAILBOXES. */
static void tell_parents(struct lister *l, struct bytes external, bool with_mailboxes, unsigned kind)
{
	for (size_t i = 0; i < l->cmd->pattern_count; i++) {
		size_t n = 0;

		while (list_match_parent(buffer_bytes(&l->patterns[i]), external, l->names->sep, &n)) {
			struct bytes parent = bytes_sub(external, 0, n);
			struct buffer internal = { 0 };
			struct fault why;
			bool exists;

			if (map_get(&l->told, parent) != NULL)
				continue;
			(void)map_put(&l->told, parent, l);
			if (!lister_wants_names(l) && map_get(&l->subscribed, parent) != NULL)
				continue; /* has a row of its own */
			exists = names_to_internal(l->names, parent, &internal, &why) &&
			         l->source->exists(l->source->arg, buffer_bytes(&internal));
			if (!exists)
				write_row(l, parent, BYTES_NONE, kind | ROW_NONEXISTENT | ROW_HAS_CHILDREN, 0);
			else if (with_mailboxes)
				write_row(l, parent, buffer_bytes(&internal), kind | ROW_HAS_CHILDREN,
				          use_of(l, buffer_bytes(&internal)));
			buffer_fini(&internal);
		}
	}
}

/* Whether what is below INTERNAL is so for the user, too: with altnamespace INBOX has nothing below it. */
static bool can_have_children(const struct lister *l, struct bytes internal)
{
	return l->names->is_admin || !l->names->alt || !names_is_inbox(l->names, internal, l->names->user);
}

/* Tell the mailbox that is held; NEXT is the one behind it, empty at the end. */
static void flush_held(struct lister *l, struct bytes next)
{
	struct bytes internal = buffer_bytes(&l->held_internal);
	bool has_children;

	if (!l->has_held)
		return;
	l->has_held = false;
	/* What sorts between a name and what is below it begins with the name, too. */
	has_children = can_have_children(l, internal) &&
	               (names_is_below(next, internal) ||
	                (bytes_starts(next, internal) && l->source->has_children(l->source->arg, internal)));
	write_row(l, buffer_bytes(&l->held), internal, has_children ? ROW_HAS_CHILDREN : ROW_NO_CHILDREN,
	          use_of(l, internal));
}

void lister_name(struct lister *l, struct bytes internal)
{
	bool by_use = (l->cmd->list_options & LIST_SELECT_SPECIAL_USE) != 0;
	unsigned uses = by_use ? use_of(l, internal) : 0;
	struct buffer external = { 0 };

	flush_held(l, internal);
	names_to_external(l->names, internal, &external);
	if (!by_use)
		tell_parents(l, buffer_bytes(&external), false, 0);
	else if (uses != 0 && (l->cmd->list_options & LIST_SELECT_RECURSIVE) != 0)
		tell_parents(l, buffer_bytes(&external), true, ROW_USE_BELOW);
	if ((!by_use || uses != 0) && matches(l, buffer_bytes(&external))) {
		buffer_clear(&l->held);
		buffer_add(&l->held, buffer_bytes(&external));
		buffer_clear(&l->held_internal);
		buffer_add(&l->held_internal, internal);
		l->has_held = true;
	}
	buffer_fini(&external);
}

void lister_subscription_external(struct lister *l, struct bytes external)
{
	struct buffer *s;

	if (map_get(&l->subscribed, external) != NULL)
		return;
	(void)map_put(&l->subscribed, external, l);
	if ((l->cmd->list_options & LIST_SELECT_SUBSCRIBED) == 0)
		return;
	if (l->subscription_count == l->subscription_cap) {
		l->subscription_cap = l->subscription_cap == 0 ? 16 : 2 * l->subscription_cap;
		l->subscriptions = must_realloc(l->subscriptions, l->subscription_cap, sizeof(*l->subscriptions));
	}
	s = &l->subscriptions[l->subscription_count++];
	*s = (struct buffer){ 0 };
	buffer_add(s, external);
}

void lister_subscription(struct lister *l, struct bytes internal)
{
	struct buffer external = { 0 };

	names_to_external(l->names, internal, &external);
	lister_subscription_external(l, buffer_bytes(&external));
	buffer_fini(&external);
}

static int by_name(const void *a, const void *b)
{
	return bytes_compare(buffer_bytes(a), buffer_bytes(b));
}

static void tell_subscription(struct lister *l, struct bytes external)
{
	struct buffer internal = { 0 };
	struct fault why;
	unsigned uses = 0;
	bool exists = names_to_internal(l->names, external, &internal, &why) &&
	              l->source->exists(l->source->arg, buffer_bytes(&internal));
	unsigned kind = exists ? 0 : ROW_NONEXISTENT;

	if (exists)
		uses = use_of(l, buffer_bytes(&internal));
	if ((l->cmd->list_options & LIST_RETURN_CHILDREN) != 0)
		kind |= can_have_children(l, buffer_bytes(&internal)) &&
		                        l->source->has_children(l->source->arg, buffer_bytes(&internal)) ?
		                ROW_HAS_CHILDREN :
		                ROW_NO_CHILDREN;
	if (matches(l, external) && (uses != 0 || (l->cmd->list_options & LIST_SELECT_SPECIAL_USE) == 0))
		write_row(l, external, buffer_bytes(&internal), kind, uses);
	buffer_fini(&internal);
}

void lister_finish(struct lister *l)
{
	flush_held(l, BYTES_NONE);
	if (lister_wants_names(l) || l->subscription_count == 0)
		return;
	qsort(l->subscriptions, l->subscription_count, sizeof(*l->subscriptions), by_name);
	for (size_t i = 0; i < l->subscription_count; i++) {
		struct bytes external = buffer_bytes(&l->subscriptions[i]);

		if ((l->cmd->list_options & LIST_SELECT_RECURSIVE) != 0)
			tell_parents(l, external, true, 0);
		tell_subscription(l, external);
	}
}
