/* imap_parse_search.c - search programs (RFC 3501 sections 6.4.4 and 9). */
#include "imap_date.h"
#include "imap_flags.h"
#include "imap_parse_private.h"

enum argument { ARG_NONE, ARG_STRING, ARG_FIELD, ARG_DATE, ARG_NUMBER, ARG_KEYWORD, ARG_SET, ARG_MODSEQ, ARG_INTERVAL, ARG_AFTER_UID, ARG_BEFORE_UID, ARG_ANNOTATION, ARG_ONE_KEY, ARG_TWO_KEYS };

static const struct search_row {
	const char *name;
	enum search_type type;
	enum argument argument;
	uint32_t flags;
	bool is_negated;
	const char *field;
} rows[] = {
	{ "ALL", SEARCH_ALL, ARG_NONE, 0, false, NULL },
	{ "ANNOTATION", SEARCH_ANNOTATION, ARG_ANNOTATION, 0, false, NULL },
	{ "ANSWERED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_ANSWERED, false, NULL },
	{ "BCC", SEARCH_HEADER, ARG_STRING, 0, false, "Bcc" },
	{ "BEFORE", SEARCH_BEFORE, ARG_DATE, 0, false, NULL },
	{ "BODY", SEARCH_BODY, ARG_STRING, 0, false, NULL },
	{ "CC", SEARCH_HEADER, ARG_STRING, 0, false, "Cc" },
	{ "DELETED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_DELETED, false, NULL },
	{ "DRAFT", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_DRAFT, false, NULL },
	{ "EMAILID", SEARCH_EMAILID, ARG_KEYWORD, 0, false, NULL },
	{ "FLAGGED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_FLAGGED, false, NULL },
	{ "FROM", SEARCH_HEADER, ARG_STRING, 0, false, "From" },
	{ "HEADER", SEARCH_HEADER, ARG_FIELD, 0, false, NULL },
	{ "KEYWORD", SEARCH_KEYWORD, ARG_KEYWORD, 0, false, NULL },
	{ "LARGER", SEARCH_LARGER, ARG_NUMBER, 0, false, NULL },
	{ "MODSEQ", SEARCH_MODSEQ, ARG_MODSEQ, 0, false, NULL },
	{ "NEW", SEARCH_NEW, ARG_NONE, 0, false, NULL },
	{ "NOT", SEARCH_NOT, ARG_ONE_KEY, 0, false, NULL },
	{ "OLD", SEARCH_RECENT, ARG_NONE, 0, true, NULL },
	{ "OLDER", SEARCH_OLDER, ARG_INTERVAL, 0, false, NULL },
	{ "ON", SEARCH_ON, ARG_DATE, 0, false, NULL },
	{ "OR", SEARCH_OR, ARG_TWO_KEYS, 0, false, NULL },
	{ "RECENT", SEARCH_RECENT, ARG_NONE, 0, false, NULL },
	{ "SAVEDATESUPPORTED", SEARCH_ALL, ARG_NONE, 0, false, NULL }, /* by every mailbox */
	{ "SAVEDBEFORE", SEARCH_SAVEDBEFORE, ARG_DATE, 0, false, NULL },
	{ "SAVEDON", SEARCH_SAVEDON, ARG_DATE, 0, false, NULL },
	{ "SAVEDSINCE", SEARCH_SAVEDSINCE, ARG_DATE, 0, false, NULL },
	{ "SEEN", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_SEEN, false, NULL },
	{ "SENTBEFORE", SEARCH_SENTBEFORE, ARG_DATE, 0, false, NULL },
	{ "SENTON", SEARCH_SENTON, ARG_DATE, 0, false, NULL },
	{ "SENTSINCE", SEARCH_SENTSINCE, ARG_DATE, 0, false, NULL },
	{ "SINCE", SEARCH_SINCE, ARG_DATE, 0, false, NULL },
	{ "SMALLER", SEARCH_SMALLER, ARG_NUMBER, 0, false, NULL },
	{ "SUBJECT", SEARCH_HEADER, ARG_STRING, 0, false, "Subject" },
	{ "TEXT", SEARCH_TEXT, ARG_STRING, 0, false, NULL },
	{ "THREADID", SEARCH_THREADID, ARG_KEYWORD, 0, false, NULL },
	{ "TO", SEARCH_HEADER, ARG_STRING, 0, false, "To" },
	{ "UID", SEARCH_UID, ARG_SET, 0, false, NULL },
	{ "UIDAFTER", SEARCH_UID, ARG_AFTER_UID, 0, false, NULL },
	{ "UIDBEFORE", SEARCH_UID, ARG_BEFORE_UID, 0, false, NULL },
	{ "UNANSWERED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_ANSWERED, true, NULL },
	{ "UNDELETED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_DELETED, true, NULL },
	{ "UNDRAFT", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_DRAFT, true, NULL },
	{ "UNFLAGGED", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_FLAGGED, true, NULL },
	{ "UNKEYWORD", SEARCH_KEYWORD, ARG_KEYWORD, 0, true, NULL },
	{ "UNSEEN", SEARCH_FLAG, ARG_NONE, IMAP_FLAG_SEEN, true, NULL },
	{ "YOUNGER", SEARCH_YOUNGER, ARG_INTERVAL, 0, false, NULL },
};

struct search_state {
	struct imap_parser *p;
	size_t depth, keys;
};

static bool take_key(struct search_state *s, struct search_key **key_r);

static struct search_key *new_key(struct search_state *s, enum search_type type)
{
	struct search_key *k = arena_zalloc(s->p->a, sizeof(*k));

	k->type = type;
	return k;
}

/* ["/flags/\\Seen" all] 1234: a flag has no modseq of its own here, so that of the message counts (RFC 7162 section 3.1.5). */
static bool take_modseq(struct imap_parser *p, struct search_key *k)
{
	struct bytes entry, kind;

	p->cmd->has_modseq = true;
	if (cursor_peek(&p->c) == '"') {
		if (!imap_take_string(&p->c, p->a, &entry, p->why) || !imap_take_space(&p->c, p->why) ||
		    !imap_take_atom(&p->c, &kind, p->why) || !imap_take_space(&p->c, p->why))
			return false;
		if (!bytes_starts_nocase(entry, BYTES_LIT("/flags/")) ||
		    !(bytes_equal_nocase_str(kind, "priv") || bytes_equal_nocase_str(kind, "shared") ||
		      bytes_equal_nocase_str(kind, "all")))
			return fault_set(p->why, FAULT_CLIENT, "not the name and kind of a flag's entry: \"%.*s\" %.*s",
			                 BYTES_FMT(bytes_sub(entry, 0, 32)), BYTES_FMT(bytes_sub(kind, 0, 32)));
	}
	return imap_take_number(&p->c, INT64_MAX, &k->number, p->why);
}

/* UIDs above or below one (RFC 9738 section 3.2), which may be none. */
static bool take_open_set(struct imap_parser *p, bool is_above, struct seqset *set)
{
	uint64_t uid;

	if (!imap_take_number(&p->c, UINT32_MAX - 1, &uid, p->why))
		return false;
	if (uid == 0)
		return fault_set(p->why, FAULT_CLIENT, "0 is no UID");
	set->ranges = arena_array(p->a, 1, sizeof(*set->ranges));
	set->count = is_above ? uid < UINT32_MAX - 1 : uid > 1;
	if (set->count > 0)
		set->ranges[0] = is_above ? (struct seq_range){ (uint32_t)uid + 1, UINT32_MAX - 1 } : (struct seq_range){ 1, (uint32_t)uid - 1 };
	return true;
}

static bool take_argument(struct search_state *s, const struct search_row *row, struct search_key *k)
{
	struct imap_parser *p = s->p;
	struct bytes text;
	int64_t days;

	if (row->argument == ARG_NONE)
		return true;
	if (!imap_take_space(&p->c, p->why))
		return false;
	switch (row->argument) {
	case ARG_NONE:
		return true;
	case ARG_FIELD:
		return imap_take_astring(&p->c, p->a, &k->field, p->why) && imap_take_space(&p->c, p->why) &&
		       imap_take_astring(&p->c, p->a, &k->string, p->why);
	case ARG_STRING:
		k->field = bytes_of(row->field);
		return imap_take_astring(&p->c, p->a, &k->string, p->why);
	case ARG_KEYWORD:
		return imap_take_atom(&p->c, &k->string, p->why);
	case ARG_NUMBER:
		return imap_take_number(&p->c, UINT32_MAX, &k->number, p->why);
	case ARG_MODSEQ:
		return take_modseq(p, k);
	case ARG_INTERVAL:
		return imap_take_number(&p->c, UINT32_MAX, &k->number, p->why) &&
		       (k->number > 0 || fault_set(p->why, FAULT_CLIENT, "an interval of no seconds"));
	case ARG_AFTER_UID:
	case ARG_BEFORE_UID:
		return take_open_set(p, row->argument == ARG_AFTER_UID, &k->set);
	case ARG_ANNOTATION:
		return imap_take_annotation_key(p, k);
	case ARG_SET:
		return seqset_parse(&p->c, p->a, p->limits->list, &k->set, p->why);
	case ARG_DATE:
		if (!imap_take_astring(&p->c, p->a, &text, p->why))
			return false;
		if (!imap_date_parse(text, &days))
			return fault_set(p->why, FAULT_CLIENT, "not a date: \"%.*s\"", BYTES_FMT(bytes_sub(text, 0, 32)));
		k->number = (uint64_t)days;
		return true;
	case ARG_ONE_KEY:
		return take_key(s, &k->children);
	case ARG_TWO_KEYS:
		return take_key(s, &k->children) && imap_take_space(&p->c, p->why) && take_key(s, &k->children->next);
	}
	return false;
}

static const struct search_row *find_row(struct bytes word)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (bytes_equal_nocase_str(word, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

/* Keys separated by blanks, up to what is no blank: an AND. */
static bool take_keys(struct search_state *s, struct search_key **and_r)
{
	struct search_key **last;

	*and_r = new_key(s, SEARCH_AND);
	last = &(*and_r)->children;
	do {
		if (!take_key(s, last))
			return false;
		last = &(*last)->next;
	} while (cursor_left(&s->p->c) > 1 && cursor_take(&s->p->c, ' '));
	return true;
}

/* Any key may stand behind FUZZY; to those without a string it means nothing (RFC 6203 section 5). */
static void make_fuzzy(struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		k->is_fuzzy = true;
		make_fuzzy(k->children);
	}
}

static bool take_fuzzy(struct search_state *s, struct search_key **key_r)
{
	if (!imap_take_space(&s->p->c, s->p->why) || !take_key(s, key_r))
		return false;
	s->p->cmd->has_fuzzy = true;
	make_fuzzy(*key_r);
	return true;
}

/* There are scores only where something is matched more or less (RFC 6203 sections 4 and 6). */
static bool check_relevancy(struct imap_parser *p)
{
	bool wants = (p->cmd->return_options & SEARCH_RETURN_RELEVANCY) != 0;

	for (size_t i = 0; i < p->cmd->criterion_count; i++)
		wants = wants || p->cmd->criteria[i].by == SORT_RELEVANCY;
	return !wants || p->cmd->has_fuzzy || fault_set(p->why, FAULT_CLIENT, "RELEVANCY without a FUZZY search key");
}

static bool take_plain_key(struct search_state *s, struct search_key **key_r)
{
	struct imap_parser *p = s->p;
	int first = cursor_peek(&p->c);
	const struct search_row *row;
	struct bytes word;

	if (first == '*' || first == '$' || (first >= 0 && ascii_is_digit((uint8_t)first))) {
		*key_r = new_key(s, SEARCH_SEQ);
		return seqset_parse(&p->c, p->a, p->limits->list, &(*key_r)->set, p->why);
	}
	if (cursor_take(&p->c, '('))
		return take_keys(s, key_r) && (cursor_take(&p->c, ')') || imap_expected(&p->c, "')'", p->why));
	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	if (bytes_equal_nocase_str(word, "FUZZY"))
		return take_fuzzy(s, key_r);
	row = find_row(word);
	if (row == NULL)
		return fault_set(p->why, FAULT_CLIENT, "no such search key: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
	*key_r = new_key(s, row->type);
	(*key_r)->flags = row->flags;
	if (!take_argument(s, row, *key_r))
		return false;
	if (row->is_negated) {
		struct search_key *k = *key_r;

		*key_r = new_key(s, SEARCH_NOT);
		(*key_r)->children = k;
	}
	return true;
}

static bool take_key(struct search_state *s, struct search_key **key_r)
{
	bool ok;

	*key_r = NULL;
	if (++s->keys > s->p->limits->list)
		return fault_set(s->p->why, FAULT_LIMIT, "more than %zu search keys", s->p->limits->list);
	if (++s->depth > s->p->limits->depth)
		return fault_set(s->p->why, FAULT_LIMIT, "search keys nested more than %zu deep", s->p->limits->depth);
	ok = take_plain_key(s, key_r);
	s->depth--;
	return ok;
}

static bool take_position(struct imap_parser *p, int64_t *n_r)
{
	struct cursor start = p->c;
	bool is_negative = cursor_take(&p->c, '-');
	uint64_t n;

	*n_r = 0;
	if (!imap_take_number(&p->c, UINT32_MAX, &n, p->why))
		return false;
	if (n == 0)
		return imap_expected(&start, "a position of PARTIAL, counted from 1, or from -1 backwards,", p->why);
	*n_r = is_negative ? -(int64_t)n : (int64_t)n;
	return true;
}

bool imap_take_partial(struct imap_parser *p)
{
	struct imap_command *cmd = p->cmd;
	int64_t from, to;

	if (!take_position(p, &from))
		return false;
	if (!cursor_take(&p->c, ':'))
		return imap_expected(&p->c, "':'", p->why);
	if (!take_position(p, &to))
		return false;
	if ((from < 0) != (to < 0))
		return fault_set(p->why, FAULT_CLIENT, "PARTIAL %lld:%lld is counted from both ends", (long long)from, (long long)to);
	cmd->partial_from = (from < 0 ? from > to : from < to) ? from : to;
	cmd->partial_to = cmd->partial_from == from ? to : from;
	return true;
}

/* Behind UPDATE: the list of RFC 5465 section 7, which its example has a blank before and its grammar has not. */
static bool take_update_items(struct imap_parser *p)
{
	if (cursor_left(&p->c) > 1 && p->c.p[0] == ' ' && p->c.p[1] == '(')
		p->c.p++;
	if (cursor_peek(&p->c) != '(')
		return true;
	return imap_take_fetch_list(p, &p->cmd->update_items, &p->cmd->update_item_count);
}

/* "(MIN COUNT)" (RFC 4731 section 3.1). */
static bool take_return(struct imap_parser *p)
{
	static const struct {
		const char *name;
		unsigned bit;
	} options[] = {
		{ "MIN", SEARCH_RETURN_MIN },     { "MAX", SEARCH_RETURN_MAX },   { "ALL", SEARCH_RETURN_ALL },
		{ "COUNT", SEARCH_RETURN_COUNT }, { "SAVE", SEARCH_RETURN_SAVE }, { "PARTIAL", SEARCH_RETURN_PARTIAL },
		{ "UPDATE", SEARCH_RETURN_UPDATE }, { "CONTEXT", SEARCH_RETURN_CONTEXT },
		{ "RELEVANCY", SEARCH_RETURN_RELEVANCY },
	};
	struct bytes word;

	p->cmd->has_return = true;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of what to return", p->why);
	if (cursor_take(&p->c, ')')) {
		p->cmd->return_options = SEARCH_RETURN_ALL;
		return true;
	}
	do {
		unsigned bit = 0;

		if (!imap_take_atom(&p->c, &word, p->why))
			return false;
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
			if (bytes_equal_nocase_str(word, options[i].name))
				bit = options[i].bit;
		}
		if (bit == 0)
			return fault_set(p->why, FAULT_CLIENT, "cannot return %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
		if ((p->cmd->return_options & bit & SEARCH_RETURN_PARTIAL) != 0) /* RFC 9394 section 3.1 */
			return fault_set(p->why, FAULT_CLIENT, "PARTIAL twice");
		if (bit == SEARCH_RETURN_PARTIAL && (!imap_take_space(&p->c, p->why) || !imap_take_partial(p)))
			return false;
		if (bit == SEARCH_RETURN_UPDATE && !take_update_items(p))
			return false;
		p->cmd->return_options |= bit;
	} while (cursor_take(&p->c, ' '));
	if ((p->cmd->return_options & SEARCH_RETURN_PARTIAL) != 0 && (p->cmd->return_options & SEARCH_RETURN_ALL) != 0)
		return fault_set(p->why, FAULT_CLIENT, "ALL and PARTIAL together");
	return cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of the list", p->why);
}

bool imap_parse_search(struct imap_parser *p)
{
	struct search_state s = { p, 0, 0 };

	if (cursor_take_nocase(&p->c, BYTES_LIT("RETURN ")) && (!take_return(p) || !imap_take_space(&p->c, p->why)))
		return false;
	if (cursor_take_nocase(&p->c, BYTES_LIT("CHARSET "))) {
		if (!imap_take_astring(&p->c, p->a, &p->cmd->charset, p->why) || !imap_take_space(&p->c, p->why))
			return false;
	}
	return take_keys(&s, &p->cmd->search) && check_relevancy(p);
}

/* "charset keys", behind what SORT and THREAD have before it. */
static bool take_program(struct imap_parser *p)
{
	struct search_state s = { p, 0, 0 };

	return imap_take_space(&p->c, p->why) && imap_take_astring(&p->c, p->a, &p->cmd->charset, p->why) &&
	       imap_take_space(&p->c, p->why) && take_keys(&s, &p->cmd->search);
}

/* "[RETURN (...)] (REVERSE DATE SUBJECT) charset keys" (RFC 5256, RFC 5267 section 3). */
bool imap_parse_sort(struct imap_parser *p)
{
	static const char *const names[] = { "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO",
		                             "RELEVANCY", "ANNOTATION" };
	struct imap_command *cmd = p->cmd;
	struct bytes word;

	if (cursor_take_nocase(&p->c, BYTES_LIT("RETURN ")) && (!take_return(p) || !imap_take_space(&p->c, p->why)))
		return false;
	if (!cursor_take(&p->c, '('))
		return imap_expected(&p->c, "a list of what to sort by", p->why);
	do {
		struct sort_criterion *k = &cmd->criteria[cmd->criterion_count];
		size_t i = 0;

		if (cmd->criterion_count == SORT_CRITERIA_MAX)
			return fault_set(p->why, FAULT_LIMIT, "more than %d criteria", SORT_CRITERIA_MAX);
		k->is_reverse = cursor_take_nocase(&p->c, BYTES_LIT("REVERSE "));
		if (!imap_take_atom(&p->c, &word, p->why))
			return false;
		while (i < sizeof(names) / sizeof(names[0]) && !bytes_equal_nocase_str(word, names[i]))
			i++;
		if (i == sizeof(names) / sizeof(names[0]))
			return fault_set(p->why, FAULT_CLIENT, "cannot sort by %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
		k->by = (enum sort_by)i;
		if (k->by == SORT_ANNOTATION && (!imap_take_space(&p->c, p->why) || !imap_take_annotation_criterion(p, k)))
			return false;
		cmd->criterion_count++;
	} while (cursor_take(&p->c, ' '));
	return (cursor_take(&p->c, ')') || imap_expected(&p->c, "the end of what to sort by", p->why)) && take_program(p) && check_relevancy(p);
}

bool imap_parse_thread(struct imap_parser *p)
{
	static const char *const names[] = { "ORDEREDSUBJECT", "REFERENCES", "REFS" };
	struct bytes word;

	if (!imap_take_atom(&p->c, &word, p->why))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		p->cmd->algorithm = (enum thread_algorithm)i;
		if (bytes_equal_nocase_str(word, names[i]))
			return take_program(p);
	}
	return fault_set(p->why, FAULT_CLIENT, "no such algorithm: %.*s", BYTES_FMT(bytes_sub(word, 0, 32)));
}
