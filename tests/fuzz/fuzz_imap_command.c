/* fuzz_imap_command.c - a client's stream, cut into commands by the framer, each parsed. Input: an octet that says in which
 * pieces the stream arrives, then the stream.
 *
 * Where the stream is cut into commands does not depend on how it arrives; the framer always moves; what is parsed stays within its limits and can be written again. */
#include "buffer.h"
#include "fuzz.h"
#include "imap_command.h"
#include "imap_date.h"
#include "imap_framer.h"
#include "imap_lex.h"
#include "imap_writer.h"

static const struct imap_frame_limits frame_limits = { .line = 300, .literal = 100, .command = 250, .message = 600, .messages = 900 };
static const struct imap_command_limits limits = { .list = 12, .depth = 5 };

/* What a writer makes of S is read as S. */
static void check_astring(struct bytes s)
{
	struct arena a = { 0 };
	struct buffer line = { 0 };
	struct cursor c;
	struct bytes again;
	struct fault why;

	fuzz_touch(s);
	imap_write_astring(&line, s, true);
	c = cursor_of(buffer_bytes(&line));
	FUZZ_CHECK(imap_take_astring(&c, &a, &again, &why));
	FUZZ_CHECK(cursor_at_end(&c) && bytes_equal(again, s));
	arena_fini(&a);
	buffer_fini(&line);
}

static void check_list(const struct bytes *list, size_t count)
{
	FUZZ_CHECK(count <= limits.list);
	for (size_t i = 0; i < count; i++)
		check_astring(list[i]);
}

static void check_set(const struct seqset *set)
{
	struct seqset copy = *set, again;
	struct arena a = { 0 };
	struct buffer text = { 0 };
	struct cursor c;
	struct fault why;

	FUZZ_CHECK(set->count <= limits.list);
	copy.ranges = arena_array(&a, set->count, sizeof(*copy.ranges));
	for (size_t i = 0; i < set->count; i++)
		copy.ranges[i] = set->ranges[i];
	seqset_resolve(&copy, 1000);
	for (size_t i = 0; i < copy.count; i++) {
		FUZZ_CHECK(copy.ranges[i].first >= 1 && copy.ranges[i].first <= copy.ranges[i].last);
		FUZZ_CHECK(i == 0 || copy.ranges[i].first > copy.ranges[i - 1].last);
		FUZZ_CHECK(seqset_has(&copy, copy.ranges[i].first) && seqset_has(&copy, copy.ranges[i].last));
	}
	if (copy.count > 0) {
		seqset_write(&text, copy.ranges, copy.count);
		c = cursor_of(buffer_bytes(&text));
		FUZZ_CHECK(seqset_parse(&c, &a, limits.list, &again, &why) && cursor_at_end(&c));
		FUZZ_CHECK(again.count == copy.count &&
		           memcmp(again.ranges, copy.ranges, copy.count * sizeof(*copy.ranges)) == 0);
	}
	buffer_fini(&text);
	arena_fini(&a);
}

static void check_key(const struct search_key *k, size_t depth)
{
	FUZZ_CHECK(depth <= 2 * limits.depth + 2);
	for (; k != NULL; k = k->next) {
		check_astring(k->field);
		check_astring(k->string);
		check_set(&k->set);
		FUZZ_CHECK(k->type != SEARCH_NOT || (k->children != NULL && k->children->next == NULL));
		FUZZ_CHECK(k->type != SEARCH_OR || (k->children != NULL && k->children->next != NULL &&
		                                    k->children->next->next == NULL));
		check_key(k->children, depth + 1);
	}
}

static void check_item(const struct fetch_item *item)
{
	struct buffer line = { 0 };
	struct arena a = { 0 };
	struct imap_command c;
	struct fault why;
	bool has_such = false;

	if (item->type != FETCH_SECTION && item->type != FETCH_BINARY && item->type != FETCH_BINARY_SIZE)
		return;
	/* The section is echoed in answers: it must be one that means the same, and in which no line end stands but that
	 * of a literal. */
	buffer_add_str(&line, "a FETCH 1 ");
	buffer_add(&line, item->text);
	FUZZ_CHECK(imap_command_parse(buffer_bytes(&line), &limits, &a, &c, &why) == IMAP_PARSE_OK);
	FUZZ_CHECK(c.item_count == 1 && c.items[0].kind == item->kind && c.items[0].part_count == item->part_count &&
	           c.items[0].field_count == item->field_count);
	for (size_t i = 0; i < item->field_count; i++)
		FUZZ_CHECK(bytes_equal(c.items[0].fields[i], item->fields[i]));
	/* No literal is announced as one that does not wait; a name may hold what looks like it. */
	for (size_t i = 0; i < item->field_count; i++)
		has_such = has_such || bytes_search(item->fields[i], BYTES_LIT("+}\r\n")) < item->fields[i].n;
	FUZZ_CHECK(has_such || bytes_search(item->text, BYTES_LIT("+}\r\n")) == item->text.n);
	check_list(item->fields, item->field_count);
	arena_fini(&a);
	buffer_fini(&line);
}

static void check_message(const struct append_message *m)
{
	struct buffer text = { 0 };
	int64_t again;

	fuzz_touch(m->octets);
	check_list(m->keywords, m->keyword_count);
	FUZZ_CHECK(m->part_count <= limits.list && (m->part_count == 0 || m->octets.n == 0));
	for (size_t i = 0; i < m->part_count; i++) {
		fuzz_touch(m->parts[i].octets);
		FUZZ_CHECK(m->parts[i].raw.n > (m->parts[i].is_url ? 4u : 5u));
	}
	if (!m->has_date)
		return;
	imap_datetime_write(&text, m->internaldate);
	FUZZ_CHECK(imap_datetime_parse(bytes_sub(buffer_bytes(&text), 1, text.n - 2), &again));
	/* Beyond the years 1 to 9999 it is written as 1970. */
	FUZZ_CHECK(again == m->internaldate || again == 0);
	buffer_fini(&text);
}

static void check_command(const struct imap_command *c)
{
	FUZZ_CHECK(c->tag.n > 0 && c->tag.n <= 64 && c->row != NULL && c->row->verb == c->verb);
	FUZZ_CHECK(!c->is_uid || (c->row->traits & IMAP_T_HAS_UID) != 0);
	check_astring(c->mailbox);
	check_astring(c->target);
	check_astring(c->partition);
	check_astring(c->special_use);
	check_astring(c->user);
	check_astring(c->password);
	check_astring(c->mechanism);
	check_astring(c->initial);
	check_astring(c->charset);
	check_astring(c->identifier);
	check_astring(c->rights);
	check_list(c->keywords, c->keyword_count);
	check_list(c->patterns, c->pattern_count);
	check_list(c->words, c->word_count);
	check_set(&c->set);
	FUZZ_CHECK(c->criterion_count <= SORT_CRITERIA_MAX);
	FUZZ_CHECK((c->partial_from < 0) == (c->partial_to < 0));
	FUZZ_CHECK(c->partial_from < 0 ? c->partial_from >= c->partial_to : c->partial_from <= c->partial_to);
	FUZZ_CHECK(!c->wants_vanished || (c->is_uid && c->has_modseq));
	if (c->qresync != NULL) {
		FUZZ_CHECK(c->qresync->uidvalidity > 0 && c->qresync->modseq > 0);
		check_set(&c->qresync->known);
		check_set(&c->qresync->match_seq);
		check_set(&c->qresync->match_uid);
	}
	check_key(c->search, 0);
	FUZZ_CHECK(c->item_count <= limits.list);
	for (size_t i = 0; i < c->item_count; i++)
		check_item(&c->items[i]);
	FUZZ_CHECK((c->message_count > 0) == (c->verb == IMAP_APPEND || c->verb == IMAP_REPLACE) && c->message_count <= limits.list);
	for (size_t i = 0; i < c->message_count; i++)
		check_message(&c->messages[i]);
	if (c->verb == IMAP_REPLACE)
		FUZZ_CHECK(c->message_count == 1 && c->set.count == 1 && !c->set.is_saved);
}

/* As a proxy passes it on it is the same command, and one that a server need not ask to go on with. */
static void check_passed_on(struct bytes command, const struct imap_command *is)
{
	static const struct imap_frame_limits wide = { 8192, 8192, 8192, 8192, 8192 };
	struct buffer passed = { 0 };
	struct imap_framer f = { 0 };
	struct arena a = { 0 };
	struct imap_command c;
	struct bytes tag;
	struct fault why;
	size_t n = 0;

	imap_framer_add_non_sync(&passed, command);
	FUZZ_CHECK(imap_framer_next(&f, buffer_bytes(&passed), &wide, &n, &tag, &why) == FRAME_COMMAND && n == passed.n);
	if (is != NULL) {
		FUZZ_CHECK(imap_command_parse(buffer_bytes(&passed), &limits, &a, &c, &why) == IMAP_PARSE_OK);
		FUZZ_CHECK(c.verb == is->verb && bytes_equal(c.tag, is->tag) && bytes_equal(c.mailbox, is->mailbox) &&
		           c.message_count == is->message_count && bytes_equal(c.password, is->password));
		for (size_t i = 0; i < c.message_count; i++)
			FUZZ_CHECK(bytes_equal(c.messages[i].octets, is->messages[i].octets));
	}
	arena_fini(&a);
	buffer_fini(&passed);
}

static void parse(struct bytes command, bool is_framed)
{
	struct arena a = { 0 };
	struct imap_command c;
	struct fault why = { 0 };

	switch (imap_command_parse(command, &limits, &a, &c, &why)) {
	case IMAP_PARSE_OK:
		check_command(&c);
		if (is_framed)
			check_passed_on(command, &c);
		break;
	case IMAP_PARSE_UNKNOWN:
	case IMAP_PARSE_BAD:
		FUZZ_CHECK(why.kind != FAULT_NONE && c.tag.n > 0);
		if (is_framed)
			check_passed_on(command, NULL);
		break;
	}
	fuzz_touch(bytes_of(imap_command_name(&c)));
	arena_fini(&a);
}

struct cuts {
	size_t at[256]; /* where commands ended */
	size_t count;
	bool is_over; /* FRAME_FATAL: how soon depends on what has come */
};

/* Give the framer ALL in pieces of CHUNK, as a session does. */
static void frame(struct bytes all, size_t chunk, bool do_parse, struct cuts *cuts)
{
	struct imap_framer f = { 0 };
	size_t taken = 0, come = 0, steps = 0;

	while (taken < come || come < all.n) {
		struct bytes tag = BYTES_NONE, in;
		struct fault why = { 0 };
		size_t n = 0;
		uint8_t *exact;
		enum imap_frame result;

		if (taken == come)
			come = chunk > all.n - come ? all.n : come + chunk;
		/* Exactly what has come, so that a sanitizer sees a look beyond it. */
		in.n = come - taken;
		exact = malloc(in.n);
		if (exact == NULL)
			abort();
		memcpy(exact, all.p + taken, in.n);
		in.p = exact;
		result = imap_framer_next(&f, in, &frame_limits, &n, &tag, &why);
		FUZZ_CHECK(++steps < 4 * all.n + 16);
		switch (result) {
		case FRAME_MORE:
			FUZZ_CHECK(n > in.n);
			free(exact);
			if (come == all.n)
				return;
			come = chunk > all.n - come ? all.n : come + chunk;
			continue;
		case FRAME_COMMAND:
			FUZZ_CHECK(n > 0 && n <= in.n && in.p[n - 1] == '\n');
			FUZZ_CHECK(n <= frame_limits.line + frame_limits.command + frame_limits.messages);
			if (do_parse)
				parse(bytes_sub(in, 0, n), true);
			if (cuts->count < sizeof(cuts->at) / sizeof(cuts->at[0]))
				cuts->at[cuts->count++] = taken + n;
			break;
		case FRAME_CONTINUE:
			n = 0;
			break;
		case FRAME_SKIP:
			FUZZ_CHECK(n > 0 && n <= in.n);
			break;
		case FRAME_REFUSED:
		case FRAME_TOO_BIG:
			FUZZ_CHECK(n > 0 && n <= in.n && tag.n > 0 && why.kind != FAULT_NONE);
			fuzz_touch(tag);
			break;
		case FRAME_FATAL:
			FUZZ_CHECK(why.kind != FAULT_NONE);
			cuts->is_over = true;
			free(exact);
			return;
		}
		free(exact);
		taken += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	size_t chunk = fuzz_chunk(fuzz_take_octet(&in));
	struct cuts whole = { .count = 0 }, pieces = { .count = 0 };

	frame(in, SIZE_MAX, true, &whole);
	frame(in, chunk, false, &pieces);
	if (!whole.is_over && !pieces.is_over) {
		FUZZ_CHECK(whole.count == pieces.count);
		FUZZ_CHECK(memcmp(whole.at, pieces.at, whole.count * sizeof(whole.at[0])) == 0);
	}
	parse(in, false);
	return 0;
}
