/* imap_parse_urlauth.c - GENURLAUTH, RESETKEY and URLFETCH (RFC 4467 section 8). */
#include "imap_parse_private.h"

static bool take_url(struct imap_parser *p, struct bytes_list *l)
{
	struct bytes url;

	return imap_take_space(&p->c, p->why) && imap_take_astring(&p->c, p->a, &url, p->why) && bytes_list_add(p, l, url);
}

static bool take_mechanism(struct imap_parser *p, struct bytes_list *l)
{
	struct bytes word;

	return imap_take_space(&p->c, p->why) && imap_take_atom(&p->c, &word, p->why) && bytes_list_add(p, l, word);
}

bool imap_parse_urlauth(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;
	struct bytes_list words = { 0 };
	bool ok = true;

	if (cmd->verb == IMAP_RESETKEY) {
		if (cursor_at_end(&p->c))
			return true;
		if (!imap_take_space(&p->c, p->why) || !imap_take_astring(&p->c, p->a, &cmd->mailbox, p->why))
			return false;
		while (ok && !cursor_at_end(&p->c))
			ok = take_mechanism(p, &words);
	} else {
		do {
			ok = take_url(p, &words) && (cmd->verb == IMAP_URLFETCH || take_mechanism(p, &words));
		} while (ok && cursor_peek(&p->c) == ' ');
	}
	cmd->words = words.at;
	cmd->word_count = words.count;
	return ok;
}
