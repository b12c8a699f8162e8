/* imap_args.c - the arguments of every command but FETCH and SEARCH. */
#include <string.h>

#include "imap_flags.h"
#include "imap_parse_private.h"

#define KEYWORD_MAX 256

bool bytes_list_add(struct imap_parser *p, struct bytes_list *l, struct bytes b)
{
	if (l->count == p->limits->list)
		return fault_set(p->why, FAULT_LIMIT, "a list of more than %zu members", p->limits->list);
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 8 : l->cap * 2;
		struct bytes *more = arena_array(p->a, cap, sizeof(*more));

		if (l->count > 0)
			memcpy(more, l->at, l->count * sizeof(*more));
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count++] = b;
	return true;
}

static bool space(struct imap_parser *p)
{
	return imap_take_space(&p->c, p->why);
}

static bool astring(struct imap_parser *p, struct bytes *s_r)
{
	return space(p) && imap_take_astring(&p->c, p->a, s_r, p->why);
}

static bool set(struct imap_parser *p)
{
	return space(p) && seqset_parse(&p->c, p->a, p->limits->list, &p->cmd->set, p->why);
}

static bool one_flag(struct imap_parser *p, struct bytes_list *keywords)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} names[] = {
		{ "Answered", IMAP_FLAG_ANSWERED }, { "Flagged", IMAP_FLAG_FLAGGED }, { "Deleted", IMAP_FLAG_DELETED },
		{ "Seen", IMAP_FLAG_SEEN },         { "Draft", IMAP_FLAG_DRAFT },     { "Recent", 0 },
	};
	struct bytes word;

	if (!cursor_take(&p->c, '\\')) {
		if (!imap_take_atom(&p->c, &word, p->why))
			return false;
		if (word.n > KEYWORD_MAX)
			return fault_set(p->why, FAULT_LIMIT, "a keyword of more than %d octets", KEYWORD_MAX);
		return bytes_list_add(p, keywords, word);
	}
	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!bytes_equal_nocase_str(word, names[i].name))
			continue;
		if (names[i].bit == 0)
			return fault_set(p->why, FAULT_CLIENT, "\\Recent is the server's to set");
		p->cmd->flags |= names[i].bit;
		return true;
	}
	return fault_set(p->why, FAULT_CLIENT, "no such system flag: \\%.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
}

bool imap_parse_flags(struct imap_parser *p, bool may_be_bare)
{
	bool in_list = cursor_take(&p->c, '(');
	struct bytes_list keywords = { 0 };

	if (!in_list && !may_be_bare)
		return imap_expected(&p->c, "a list of flags", p->why);
	if (!in_list || cursor_peek(&p->c) != ')') {
		do {
			if (!one_flag(p, &keywords))
				return false;
		} while (cursor_take(&p->c, ' '));
	}
	if (in_list && !cursor_take(&p->c, ')'))
		return imap_expected(&p->c, "the end of the flags", p->why);
	p->cmd->keywords = keywords.at;
	p->cmd->keyword_count = keywords.count;
	return true;
}

static bool parse_create(struct imap_parser *p)
{
	struct bytes word;
	const uint8_t *start;

	if (!astring(p, &p->cmd->mailbox))
		return false;
	if (!cursor_take(&p->c, ' '))
		return true;
	if (cursor_peek(&p->c) != '(')
		return imap_take_astring(&p->c, p->a, &p->cmd->partition, p->why);
	/* RFC 6154 section 3: (USE (\Sent ...)) */
	p->c.p++;
	if (!imap_take_atom(&p->c, &word, p->why) || !bytes_equal_nocase_str(word, "USE") || !space(p) ||
	    !cursor_take(&p->c, '('))
		return imap_expected(&p->c, "USE and a list", p->why);
	start = p->c.p;
	while (!cursor_at_end(&p->c) && cursor_peek(&p->c) != ')')
		p->c.p++;
	p->cmd->special_use = bytes_make(start, (size_t)(p->c.p - start));
	return (cursor_take(&p->c, ')') && cursor_take(&p->c, ')')) || imap_expected(&p->c, "the end of USE", p->why);
}

/* "(MESSAGES UNSEEN)". */
static bool take_status_items(struct imap_parser *p)
{
	static const struct {
		const char *name;
		unsigned bit;
	} items[] = {
		{ "MESSAGES", STATUS_MESSAGES },       { "RECENT", STATUS_RECENT }, { "UIDNEXT", STATUS_UIDNEXT },
		{ "UIDVALIDITY", STATUS_UIDVALIDITY }, { "UNSEEN", STATUS_UNSEEN }, { "HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ },
		{ "SIZE", STATUS_SIZE },               { "DELETED", STATUS_DELETED },
		{ "APPENDLIMIT", STATUS_APPENDLIMIT }, { "MAILBOXID", STATUS_MAILBOXID },
		{ "DELETED-STORAGE", STATUS_DELETED_STORAGE },
	};
	struct bytes word;

	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of items", p->why);
	do {
		unsigned bit = 0;

		if (!imap_take_atom(&p->c, &word, p->why))
			return false;
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
			if (bytes_equal_nocase_str(word, items[i].name))
				bit = items[i].bit;
		}
		if (bit == 0)
			return fault_set(p->why, FAULT_CLIENT, "no such item: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
		p->cmd->status_items |= bit;
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the items", p->why);
}

static bool parse_list_options(struct imap_parser *p, bool is_return)
{
	static const struct {
		const char *name;
		unsigned select, answer;
	} options[] = {
		{ "SUBSCRIBED", LIST_SELECT_SUBSCRIBED, LIST_RETURN_SUBSCRIBED },
		{ "SPECIAL-USE", LIST_SELECT_SPECIAL_USE, LIST_RETURN_SPECIAL_USE },
		{ "REMOTE", LIST_SELECT_REMOTE, 0 },
		{ "RECURSIVEMATCH", LIST_SELECT_RECURSIVE, 0 },
		{ "CHILDREN", 0, LIST_RETURN_CHILDREN },
		{ "MYRIGHTS", 0, LIST_RETURN_MYRIGHTS },
		{ "STATUS", 0, LIST_RETURN_STATUS },
		{ "METADATA", 0, LIST_RETURN_METADATA },
	};
	struct bytes word;

	p->cmd->list_options |= LIST_IS_EXTENDED;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of options", p->why);
	if (cursor_take(&p->c, ')'))
		return true;
	do {
		unsigned bit = 0;

		if (!imap_take_atom(&p->c, &word, p->why))
			return false;
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
			if (bytes_equal_nocase_str(word, options[i].name))
				bit = is_return ? options[i].answer : options[i].select;
		}
		if (bit == 0)
			return fault_set(p->why, FAULT_CLIENT, "no such option here: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
		p->cmd->list_options |= bit;
		if (bit == LIST_RETURN_STATUS && (!space(p) || !take_status_items(p)))
			return false;
		if (bit == LIST_RETURN_METADATA && (!space(p) || !imap_take_metadata_entries(p)))
			return false;
	} while (cursor_take(&p->c, ' '));
	if (!is_return && (p->cmd->list_options & LIST_SELECT_RECURSIVE) != 0 &&
	    (p->cmd->list_options & (LIST_SELECT_SUBSCRIBED | LIST_SELECT_SPECIAL_USE)) == 0)
		return fault_set(p->why, FAULT_CLIENT, "RECURSIVEMATCH of what?");
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the options", p->why);
}

static bool parse_list(struct imap_parser *p)
{
	struct bytes_list patterns = { 0 };
	struct bytes pattern, word;

	if (!space(p))
		return false;
	if (cursor_peek(&p->c) == '(' && p->cmd->verb == IMAP_LIST && (!parse_list_options(p, false) || !space(p)))
		return false;
	if (!imap_take_astring(&p->c, p->a, &p->cmd->mailbox, p->why) || !space(p))
		return false;
	if (cursor_peek(&p->c) == '(' && p->cmd->verb == IMAP_LIST) {
		p->cmd->list_options |= LIST_IS_EXTENDED;
		p->c.p++;
		do {
			if (!imap_take_list_mailbox(&p->c, p->a, &pattern, p->why) || !bytes_list_add(p, &patterns, pattern))
				return false;
		} while (cursor_take(&p->c, ' '));
		if (!cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the patterns", p->why);
	} else if (!imap_take_list_mailbox(&p->c, p->a, &pattern, p->why) || !bytes_list_add(p, &patterns, pattern)) {
		return false;
	}
	p->cmd->patterns = patterns.at;
	p->cmd->pattern_count = patterns.count;
	if (p->cmd->verb != IMAP_LIST || !cursor_take(&p->c, ' '))
		return true;
	if (!imap_take_atom(&p->c, &word, p->why) || !bytes_equal_nocase_str(word, "RETURN") || !space(p))
		return imap_expected(&p->c, "RETURN", p->why);
	return parse_list_options(p, true);
}

/* Sets that name what is known, not what is there: no "*", no "$"; sorted and merged. */
static bool known_set(struct imap_parser *p, struct seqset *set_r)
{
	if (!seqset_parse(&p->c, p->a, p->limits->list, set_r, p->why))
		return false;
	if (set_r->has_star || set_r->is_saved)
		return fault_set(p->why, FAULT_CLIENT, "a set of known messages has neither * nor $");
	return true;
}

static uint64_t members(const struct seqset *set)
{
	uint64_t n = 0;

	for (size_t i = 0; i < set->count; i++)
		n += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
	return n;
}

/* "(uidvalidity modseq [known-uids] [(numbers uids)])". */
static bool take_qresync(struct imap_parser *p)
{
	struct qresync_args *q = arena_zalloc(p->a, sizeof(*q));
	uint64_t n;

	p->cmd->qresync = q;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list behind QRESYNC", p->why);
	if (!imap_take_number(&p->c, UINT32_MAX, &n, p->why) || !space(p) ||
	    !imap_take_number(&p->c, INT64_MAX, &q->modseq, p->why))
		return false;
	q->uidvalidity = (uint32_t)n;
	if (n == 0 || q->modseq == 0)
		return fault_set(p->why, FAULT_CLIENT, "a UIDVALIDITY or mod-sequence of 0");
	if (cursor_left(&p->c) > 1 && p->c.p[0] == ' ' && p->c.p[1] != '(') {
		q->has_known = true;
		if (!space(p) || !known_set(p, &q->known))
			return false;
		seqset_resolve(&q->known, 0);
	}
	if (cursor_take(&p->c, ' ')) {
		q->has_match = true;
		if (!cursor_take(&p->c, '('))
			return imap_expected(&p->c, "a list of numbers and UIDs", p->why);
		if (!known_set(p, &q->match_seq) || !space(p) || !known_set(p, &q->match_uid))
			return false;
		seqset_resolve(&q->match_seq, 0);
		seqset_resolve(&q->match_uid, 0);
		if (members(&q->match_seq) != members(&q->match_uid))
			return fault_set(p->why, FAULT_CLIENT, "not as many numbers as UIDs");
		if (!cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the numbers and UIDs", p->why);
	}
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of QRESYNC's list", p->why);
}

static bool parse_select(struct imap_parser *p)
{
	if (!astring(p, &p->cmd->mailbox))
		return false;
	if (cursor_left(&p->c) < 2 || p->c.p[0] != ' ' || p->c.p[1] != '(')
		return true;
	p->c.p += 2;
	do {
		if (!p->cmd->is_condstore && cursor_take_nocase(&p->c, BYTES_LIT("CONDSTORE"))) {
			p->cmd->is_condstore = true;
		} else if (p->cmd->qresync == NULL && cursor_take_nocase(&p->c, BYTES_LIT("QRESYNC "))) {
			if (!take_qresync(p))
				return false;
		} else if (!p->cmd->hears_annotations && cursor_take_nocase(&p->c, BYTES_LIT("ANNOTATE"))) { /* RFC 5257 section 4.2 */
			p->cmd->hears_annotations = true;
		} else {
			return imap_expected(&p->c, "CONDSTORE, QRESYNC or ANNOTATE", p->why);
		}
	} while (cursor_take(&p->c, ' '));
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the parameters", p->why);
}

static bool parse_store(struct imap_parser *p)
{
	if (!set(p) || !space(p))
		return false;
	if (cursor_take_nocase(&p->c, BYTES_LIT("(UNCHANGEDSINCE "))) { /* RFC 7162 section 3.1.3 */
		p->cmd->has_modseq = true;
		if (!imap_take_number(&p->c, INT64_MAX, &p->cmd->modseq, p->why))
			return false;
		if (!cursor_take(&p->c, ')'))
			return imap_expected(&p->c, "the end of the modifiers", p->why);
		if (!space(p))
			return false;
	}
	if (cursor_take_nocase(&p->c, BYTES_LIT("ANNOTATION "))) { /* RFC 5257 section 4.5: as with .SILENT */
		p->cmd->is_silent = true;
		return imap_take_annotations(p, &p->cmd->annotations, &p->cmd->annotation_count);
	}
	p->cmd->how = cursor_take(&p->c, '+') ? STORE_HOW_ADD : cursor_take(&p->c, '-') ? STORE_HOW_TAKE : STORE_HOW_REPLACE;
	if (!cursor_take_nocase(&p->c, BYTES_LIT("FLAGS")))
		return imap_expected(&p->c, "FLAGS", p->why);
	p->cmd->is_silent = cursor_take_nocase(&p->c, BYTES_LIT(".SILENT"));
	return space(p) && imap_parse_flags(p, true);
}

static bool parse_authenticate(struct imap_parser *p)
{
	if (!space(p) || !imap_take_atom(&p->c, &p->cmd->mechanism, p->why))
		return false;
	if (!cursor_take(&p->c, ' '))
		return true;
	p->cmd->initial = cursor_rest(&p->c);
	p->c.p = p->c.end;
	if (p->cmd->initial.n == 0)
		return imap_expected(&p->c, "an initial response", p->why);
	if (bytes_equal_str(p->cmd->initial, "="))
		p->cmd->initial.n = 0;
	return true;
}

static bool parse_enable(struct imap_parser *p)
{
	struct bytes_list words = { 0 };
	struct bytes word;

	do {
		if (!space(p) || !imap_take_atom(&p->c, &word, p->why) || !bytes_list_add(p, &words, word))
			return false;
	} while (cursor_peek(&p->c) == ' ' && cursor_left(&p->c) > 1);
	p->cmd->words = words.at;
	p->cmd->word_count = words.count;
	return true;
}

/* "B01" "B02" (RFC 5267 section 4.3.5). */
static bool parse_cancelupdate(struct imap_parser *p)
{
	struct bytes_list words = { 0 };
	struct bytes word;

	do {
		if (!space(p) || !imap_take_string(&p->c, p->a, &word, p->why) || !bytes_list_add(p, &words, word))
			return false;
	} while (cursor_peek(&p->c) == ' ' && cursor_left(&p->c) > 1);
	p->cmd->words = words.at;
	p->cmd->word_count = words.count;
	return true;
}

static bool parse_id(struct imap_parser *p)
{
	struct bytes_list words = { 0 };
	struct bytes word;

	if (!space(p))
		return false;
	if (cursor_take_nocase(&p->c, BYTES_LIT("NIL")))
		return true;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "NIL or a list", p->why);
	if (!cursor_take(&p->c, ')')) {
		do {
			if (!imap_take_nstring(&p->c, p->a, &word, p->why) || !bytes_list_add(p, &words, word))
				return false;
		} while (cursor_take(&p->c, ' '));
		if (!cursor_take(&p->c, ')') || words.count % 2 != 0 || words.count > 60)
			return imap_expected(&p->c, "at most 30 pairs and the end of the list", p->why);
	}
	p->cmd->words = words.at;
	p->cmd->word_count = words.count;
	return true;
}

bool imap_parse_args(struct imap_parser *p)
{
	struct imap_command *c = p->cmd;

	switch (c->verb) {
	case IMAP_CAPABILITY:
	case IMAP_CHECK:
	case IMAP_CLOSE:
	case IMAP_IDLE:
	case IMAP_LOGOUT:
	case IMAP_NAMESPACE:
	case IMAP_NOOP:
	case IMAP_STARTTLS:
	case IMAP_UNAUTHENTICATE:
	case IMAP_UNSELECT:
	case IMAP_XAUTOCREATE:
		return true;
	case IMAP_CANCELUPDATE:
		return parse_cancelupdate(p);
	case IMAP_COMPRESS:
		return space(p) && imap_take_atom(&p->c, &c->mechanism, p->why);
	case IMAP_EXPUNGE:
		return !c->is_uid || set(p);
	case IMAP_DELETE:
	case IMAP_GETACL:
	case IMAP_GETQUOTA:
	case IMAP_GETQUOTAROOT:
	case IMAP_MYRIGHTS:
	case IMAP_SUBSCRIBE:
	case IMAP_UNSUBSCRIBE:
		return astring(p, &c->mailbox);
	case IMAP_EXAMINE:
	case IMAP_SELECT:
		return parse_select(p);
	case IMAP_RENAME:
		return astring(p, &c->mailbox) && astring(p, &c->target) &&
		       (cursor_at_end(&p->c) || astring(p, &c->partition));
	case IMAP_DELETEACL:
	case IMAP_LISTRIGHTS:
		return astring(p, &c->mailbox) && astring(p, &c->identifier);
	case IMAP_SETACL:
		return astring(p, &c->mailbox) && astring(p, &c->identifier) && astring(p, &c->rights);
	case IMAP_SETQUOTA:
		return astring(p, &c->mailbox) && space(p) && imap_parse_setquota(p);
	case IMAP_COPY:
	case IMAP_MOVE:
		return set(p) && astring(p, &c->target);
	case IMAP_LOGIN:
		return astring(p, &c->user) && astring(p, &c->password);
	case IMAP_APPEND:
	case IMAP_REPLACE:
		return imap_parse_append(p);
	case IMAP_GENURLAUTH:
	case IMAP_RESETKEY:
	case IMAP_URLFETCH:
		return imap_parse_urlauth(p);
	case IMAP_AUTHENTICATE:
		return parse_authenticate(p);
	case IMAP_CREATE:
		return parse_create(p);
	case IMAP_ENABLE:
		return parse_enable(p);
	case IMAP_FETCH:
		return set(p) && space(p) && imap_parse_fetch(p);
	case IMAP_GETMETADATA:
		return imap_parse_getmetadata(p);
	case IMAP_ID:
		return parse_id(p);
	case IMAP_LIST:
	case IMAP_LSUB:
		return parse_list(p);
	case IMAP_SEARCH:
		return space(p) && imap_parse_search(p);
	case IMAP_SETMETADATA:
		return imap_parse_setmetadata(p);
	case IMAP_NOTIFY:
		return space(p) && imap_parse_notify(p);
	case IMAP_ESEARCH:
		return space(p) && imap_parse_esearch(p);
	case IMAP_SORT:
		return space(p) && imap_parse_sort(p);
	case IMAP_THREAD:
		return space(p) && imap_parse_thread(p);
	case IMAP_STATUS:
		return astring(p, &c->mailbox) && space(p) && take_status_items(p);
	case IMAP_STORE:
		return parse_store(p);
	case IMAP_VERB_COUNT:
		break;
	}
	return fault_set(p->why, FAULT_CLIENT, "not a command");
}
