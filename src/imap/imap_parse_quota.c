/* imap_parse_quota.c - SETQUOTA's list (RFC 9208 section 7). */
#include "imap_parse_private.h"

static bool is_named(const struct imap_command *cmd, struct bytes resource)
{
	for (size_t i = 0; i < cmd->setting_count; i++) {
		if (bytes_equal_nocase(cmd->settings[i].resource, resource))
			return true;
	}
	return false;
}

bool imap_parse_setquota(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;
	struct quota_setting q;

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of limits", p->why);
	if (cursor_take(&p->c, ')'))
		return true;
	cmd->settings = arena_array(p->a, QUOTA_SETTINGS_MAX, sizeof(*cmd->settings));
	do {
		if (!imap_take_atom(&p->c, &q.resource, p->why) || !imap_take_space(&p->c, p->why) ||
		    !imap_take_number(&p->c, INT64_MAX, &q.limit, p->why))
			return false;
		if (is_named(cmd, q.resource))
			return fault_set(p->why, FAULT_CLIENT, "two limits of one resource");
		if (cmd->setting_count == QUOTA_SETTINGS_MAX)
			return fault_set(p->why, FAULT_LIMIT, "more than %d limits", QUOTA_SETTINGS_MAX);
		cmd->settings[cmd->setting_count++] = q;
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the limits", p->why);
}
