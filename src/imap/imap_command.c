/* imap_command.c - the table of commands, and the part of the grammar that all have: tag, UID, name. Arguments are
 * read in imap_args.c, imap_parse_fetch.c and imap_parse_search.c. */
#include "imap_command.h"

#include "imap_parse_private.h"

#define MAILBOX IMAP_T_NAMES_MAILBOX
#define TARGET IMAP_T_NAMES_TARGET
#define SWITCHES IMAP_T_SWITCHES
#define UID IMAP_T_HAS_UID
#define SEQ IMAP_T_USES_SEQ

static const struct imap_row rows[IMAP_VERB_COUNT] = {
	[IMAP_APPEND] = { "APPEND", IMAP_APPEND, IMAP_ST_IN, MAILBOX },
	[IMAP_AUTHENTICATE] = { "AUTHENTICATE", IMAP_AUTHENTICATE, IMAP_ST_NOT_AUTHED, IMAP_T_SECRET },
	[IMAP_CANCELUPDATE] = { "CANCELUPDATE", IMAP_CANCELUPDATE, IMAP_ST_SELECTED, 0 },
	[IMAP_CAPABILITY] = { "CAPABILITY", IMAP_CAPABILITY, IMAP_ST_ANY, 0 },
	[IMAP_CHECK] = { "CHECK", IMAP_CHECK, IMAP_ST_SELECTED, 0 },
	[IMAP_CLOSE] = { "CLOSE", IMAP_CLOSE, IMAP_ST_SELECTED, SWITCHES },
	[IMAP_COMPRESS] = { "COMPRESS", IMAP_COMPRESS, IMAP_ST_IN, 0 },
	[IMAP_COPY] = { "COPY", IMAP_COPY, IMAP_ST_SELECTED, SEQ | UID | TARGET },
	[IMAP_CREATE] = { "CREATE", IMAP_CREATE, IMAP_ST_IN, MAILBOX },
	[IMAP_DELETE] = { "DELETE", IMAP_DELETE, IMAP_ST_IN, MAILBOX },
	[IMAP_DELETEACL] = { "DELETEACL", IMAP_DELETEACL, IMAP_ST_IN, MAILBOX },
	[IMAP_ENABLE] = { "ENABLE", IMAP_ENABLE, IMAP_ST_IN, 0 },
	[IMAP_ESEARCH] = { "ESEARCH", IMAP_ESEARCH, IMAP_ST_IN, UID },
	[IMAP_EXAMINE] = { "EXAMINE", IMAP_EXAMINE, IMAP_ST_IN, MAILBOX | SWITCHES },
	[IMAP_EXPUNGE] = { "EXPUNGE", IMAP_EXPUNGE, IMAP_ST_SELECTED, UID },
	[IMAP_FETCH] = { "FETCH", IMAP_FETCH, IMAP_ST_SELECTED, SEQ | UID },
	[IMAP_GENURLAUTH] = { "GENURLAUTH", IMAP_GENURLAUTH, IMAP_ST_IN, 0 },
	[IMAP_GETACL] = { "GETACL", IMAP_GETACL, IMAP_ST_IN, MAILBOX },
	[IMAP_GETQUOTA] = { "GETQUOTA", IMAP_GETQUOTA, IMAP_ST_IN, MAILBOX },
	[IMAP_GETQUOTAROOT] = { "GETQUOTAROOT", IMAP_GETQUOTAROOT, IMAP_ST_IN, MAILBOX },
	[IMAP_GETMETADATA] = { "GETMETADATA", IMAP_GETMETADATA, IMAP_ST_IN, MAILBOX },
	[IMAP_ID] = { "ID", IMAP_ID, IMAP_ST_ANY, 0 },
	[IMAP_IDLE] = { "IDLE", IMAP_IDLE, IMAP_ST_IN, 0 },
	[IMAP_LIST] = { "LIST", IMAP_LIST, IMAP_ST_IN, 0 },
	[IMAP_LISTRIGHTS] = { "LISTRIGHTS", IMAP_LISTRIGHTS, IMAP_ST_IN, MAILBOX },
	[IMAP_LOGIN] = { "LOGIN", IMAP_LOGIN, IMAP_ST_NOT_AUTHED, IMAP_T_SECRET },
	[IMAP_LOGOUT] = { "LOGOUT", IMAP_LOGOUT, IMAP_ST_ANY, 0 },
	[IMAP_LSUB] = { "LSUB", IMAP_LSUB, IMAP_ST_IN, 0 },
	[IMAP_MOVE] = { "MOVE", IMAP_MOVE, IMAP_ST_SELECTED, SEQ | UID | TARGET },
	[IMAP_MYRIGHTS] = { "MYRIGHTS", IMAP_MYRIGHTS, IMAP_ST_IN, MAILBOX },
	[IMAP_NAMESPACE] = { "NAMESPACE", IMAP_NAMESPACE, IMAP_ST_IN, 0 },
	[IMAP_NOOP] = { "NOOP", IMAP_NOOP, IMAP_ST_ANY, 0 },
	[IMAP_NOTIFY] = { "NOTIFY", IMAP_NOTIFY, IMAP_ST_IN, 0 },
	[IMAP_RENAME] = { "RENAME", IMAP_RENAME, IMAP_ST_IN, MAILBOX | TARGET },
	[IMAP_REPLACE] = { "REPLACE", IMAP_REPLACE, IMAP_ST_SELECTED, SEQ | UID | MAILBOX },
	[IMAP_RESETKEY] = { "RESETKEY", IMAP_RESETKEY, IMAP_ST_IN, 0 },
	[IMAP_SEARCH] = { "SEARCH", IMAP_SEARCH, IMAP_ST_SELECTED, SEQ | UID },
	[IMAP_SELECT] = { "SELECT", IMAP_SELECT, IMAP_ST_IN, MAILBOX | SWITCHES },
	[IMAP_SETACL] = { "SETACL", IMAP_SETACL, IMAP_ST_IN, MAILBOX },
	[IMAP_SETQUOTA] = { "SETQUOTA", IMAP_SETQUOTA, IMAP_ST_IN, MAILBOX },
	[IMAP_SETMETADATA] = { "SETMETADATA", IMAP_SETMETADATA, IMAP_ST_IN, MAILBOX },
	[IMAP_SORT] = { "SORT", IMAP_SORT, IMAP_ST_SELECTED, SEQ | UID },
	[IMAP_STARTTLS] = { "STARTTLS", IMAP_STARTTLS, IMAP_ST_NOT_AUTHED, 0 },
	[IMAP_STATUS] = { "STATUS", IMAP_STATUS, IMAP_ST_IN, MAILBOX },
	[IMAP_STORE] = { "STORE", IMAP_STORE, IMAP_ST_SELECTED, SEQ | UID },
	[IMAP_SUBSCRIBE] = { "SUBSCRIBE", IMAP_SUBSCRIBE, IMAP_ST_IN, MAILBOX },
	[IMAP_THREAD] = { "THREAD", IMAP_THREAD, IMAP_ST_SELECTED, SEQ | UID },
	[IMAP_UNAUTHENTICATE] = { "UNAUTHENTICATE", IMAP_UNAUTHENTICATE, IMAP_ST_IN, 0 },
	[IMAP_UNSELECT] = { "UNSELECT", IMAP_UNSELECT, IMAP_ST_SELECTED, SWITCHES },
	[IMAP_XAUTOCREATE] = { "XAUTOCREATE", IMAP_XAUTOCREATE, IMAP_ST_IN, 0 },
	[IMAP_UNSUBSCRIBE] = { "UNSUBSCRIBE", IMAP_UNSUBSCRIBE, IMAP_ST_IN, MAILBOX },
	[IMAP_URLFETCH] = { "URLFETCH", IMAP_URLFETCH, IMAP_ST_IN, 0 },
};

const struct imap_row *imap_row(enum imap_verb verb)
{
	return &rows[verb];
}

const char *imap_command_name(const struct imap_command *c)
{
	return c->row == NULL ? "?" : c->row->name;
}

static bool has_numbers(const struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		if ((k->type == SEARCH_SEQ && !k->set.is_saved) || has_numbers(k->children))
			return true;
	}
	return false;
}

bool imap_command_uses_numbers(const struct imap_command *c)
{
	return ((c->row->traits & IMAP_T_USES_SEQ) != 0 && !c->is_uid) || has_numbers(c->search) ||
	       (c->qresync != NULL && c->qresync->has_match);
}

unsigned imap_command_enables(const struct imap_command *c)
{
	bool has = c->has_modseq || c->is_condstore || c->qresync != NULL || (c->status_items & STATUS_HIGHESTMODSEQ) != 0;

	for (size_t i = 0; i < c->item_count; i++)
		has = has || c->items[i].type == FETCH_MODSEQ;
	return has ? IMAP_F_CONDSTORE : 0;
}

static const struct imap_row *find_row(struct bytes word)
{
	if (bytes_equal_nocase_str(word, "LOCALAPPEND"))
		return &rows[IMAP_APPEND];
	for (size_t i = 0; i < IMAP_VERB_COUNT; i++) {
		if (bytes_equal_nocase_str(word, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

static bool is_tag_char(uint8_t c)
{
	return imap_is_astring_char(c) && c != '+';
}

static bool take_tag(struct cursor *c, struct bytes *tag_r, struct fault *why)
{
	const uint8_t *start = c->p;

	while (!cursor_at_end(c) && is_tag_char(*c->p))
		c->p++;
	if (c->p == start || c->p - start > 64 || cursor_peek(c) != ' ') {
		c->p = start;
		return imap_expected(c, "a tag and a blank", why);
	}
	*tag_r = bytes_make(start, (size_t)(c->p - start));
	c->p++;
	return true;
}

static struct bytes without_end(struct bytes command)
{
	if (command.n > 0 && command.p[command.n - 1] == '\n')
		command.n--;
	if (command.n > 0 && command.p[command.n - 1] == '\r')
		command.n--;
	return command;
}

enum imap_parse imap_command_parse(struct bytes command, const struct imap_command_limits *limits, struct arena *a,
                                   struct imap_command *cmd_r, struct fault *why)
{
	struct imap_parser p = { cursor_of(without_end(command)), a, limits, cmd_r, why };
	struct bytes word;

	*cmd_r = (struct imap_command){ .tag = BYTES_LIT("*"), .verb = IMAP_VERB_COUNT };
	if (!take_tag(&p.c, &cmd_r->tag, why) || !imap_take_atom(&p.c, &word, why))
		return IMAP_PARSE_BAD;
	if (bytes_equal_nocase_str(word, "UID")) {
		cmd_r->is_uid = true;
		if (!imap_take_space(&p.c, why) || !imap_take_atom(&p.c, &word, why))
			return IMAP_PARSE_BAD;
	}
	cmd_r->row = find_row(word);
	if (cmd_r->row == NULL || (cmd_r->is_uid && (cmd_r->row->traits & IMAP_T_HAS_UID) == 0)) {
		cmd_r->row = NULL;
		(void)fault_set(why, FAULT_CLIENT, "unknown command \"%.*s\"", BYTES_FMT(bytes_sub(word, 0, 32)));
		return IMAP_PARSE_UNKNOWN;
	}
	cmd_r->verb = cmd_r->row->verb;
	if (!imap_parse_args(&p) || !imap_at_end(&p.c, why)) {
		(void)fault_context(why, "%s", cmd_r->row->name);
		return IMAP_PARSE_BAD;
	}
	return IMAP_PARSE_OK;
}
