/* LSUB (RFC 3501 section 6.3.9): the user's subscriptions, whether there are such mailboxes or not. */
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
};

static void write_row(struct listing *l, const char *attributes, struct bytes external)
{
	buffer_addf(&l->out, "* LSUB (%s) \"%c\" ", attributes, l->s->names.sep);
	imap_write_mailbox(&l->out, external, l->s->names.is_utf8);
	buffer_add_str(&l->out, "\r\n");
	if (l->out.n > 32 * 1024) {
		session_write(l->s, buffer_bytes(&l->out));
		buffer_clear(&l->out);
	}
}

static bool matches_any(const struct listing *l, struct bytes external)
{
	for (size_t i = 0; i < l->cmd->c.pattern_count; i++) {
		if (list_match(l->patterns[i], external, l->s->names.sep))
			return true;
	}
	return false;
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

/* With "%" a level above is told for what is below it and does not match itself, once, unless it is subscribed itself. */
static void list_parents(struct listing *l, struct bytes external)
{
	for (size_t i = 0; i < l->cmd->c.pattern_count; i++) {
		size_t n = 0;

		if (list_match(l->patterns[i], external, l->s->names.sep))
			continue;
		while (list_match_parent(l->patterns[i], external, l->s->names.sep, &n)) {
			struct bytes parent = bytes_sub(external, 0, n);

			if (map_get(&l->told, parent) != NULL)
				continue;
			(void)map_put(&l->told, parent, l);
			if (!is_subscribed(l, parent))
				write_row(l, "\\Noselect", parent);
		}
	}
}

enum cmd_step cmd_lsub(struct session *s, struct command *cmd)
{
	struct listing l = { .s = s, .cmd = cmd, .v = session_view(s, cmd) };
	struct view_subscriptions it;
	struct bytes internal;
	struct buffer b = { 0 };

	if (l.v == NULL)
		return CMD_DONE;
	l.patterns = arena_array(&cmd->arena, cmd->c.pattern_count, sizeof(*l.patterns));
	for (size_t i = 0; i < cmd->c.pattern_count; i++) {
		buffer_clear(&b);
		buffer_add(&b, cmd->c.mailbox);
		buffer_add(&b, cmd->c.patterns[i]);
		l.patterns[i] = arena_copy(&cmd->arena, buffer_bytes(&b));
	}
	store_view_subscriptions(l.v, bytes_of(s->identity.user), &it);
	while (view_subscriptions_next(&it, &internal)) {
		buffer_clear(&b);
		names_to_external(&s->names, internal, &b);
		list_parents(&l, buffer_bytes(&b));
		if (matches_any(&l, buffer_bytes(&b)))
			write_row(&l, "", buffer_bytes(&b));
	}
	view_subscriptions_end(&it);
	store_view_close(&l.v);
	session_write(s, buffer_bytes(&l.out));
	buffer_fini(&l.out);
	buffer_fini(&b);
	map_fini(&l.told);
	return answer_ok(cmd, "done");
}
