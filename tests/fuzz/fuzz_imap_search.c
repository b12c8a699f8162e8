/* fuzz_imap_search.c - a search program. Input: an octet that says of which command, then what stands behind its name.
 *
 * Trees stay within the limits of depth and number, each node is what its type says, sets are sets, and each text within them is one of the input
 * or of the arena. */
#include "buffer.h"
#include "fuzz.h"
#include "imap_command.h"

static const struct imap_command_limits limits = { .list = 40, .depth = 8 };
static const char *const before[] = { "a SEARCH ", "a UID SEARCH ", "a SORT ", "a UID SORT RETURN (", "a THREAD REFS UTF-8 ", "a SEARCH RETURN (", "a SORT (DATE) UTF-8 ",
	                              "a UID THREAD " };

static size_t keys;

static void check_key(const struct search_key *k, size_t depth)
{
	/* Brackets and negations make a node of their own beside that of the key. */
	FUZZ_CHECK(depth <= 3 * limits.depth + 3);
	for (; k != NULL; k = k->next) {
		keys++;
		fuzz_touch(k->field);
		fuzz_touch(k->string);
		FUZZ_CHECK(k->set.count <= limits.list);
		for (size_t i = 0; i < k->set.count; i++)
			FUZZ_CHECK(k->set.ranges[i].first >= 1 && k->set.ranges[i].last >= 1);
		FUZZ_CHECK((k->type == SEARCH_AND || k->type == SEARCH_OR || k->type == SEARCH_NOT) == (k->children != NULL));
		FUZZ_CHECK(k->type != SEARCH_NOT || k->children->next == NULL);
		FUZZ_CHECK(k->type != SEARCH_OR || (k->children->next != NULL && k->children->next->next == NULL));
		FUZZ_CHECK((k->type != SEARCH_OLDER && k->type != SEARCH_YOUNGER) || k->number > 0);
		FUZZ_CHECK(k->type != SEARCH_SEQ || k->set.count > 0 || k->set.is_saved); /* UIDBEFORE 1 is a set of no UIDs */
		FUZZ_CHECK(k->type != SEARCH_KEYWORD || k->string.n > 0);
		check_key(k->children, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	const char *start = before[fuzz_take_octet(&in) % (sizeof(before) / sizeof(before[0]))];
	struct buffer command = { 0 };
	struct arena a = { 0 };
	struct imap_command c;
	struct fault why = { 0 };

	buffer_add_str(&command, start);
	buffer_add(&command, in);
	keys = 0;
	if (imap_command_parse(buffer_bytes(&command), &limits, &a, &c, &why) == IMAP_PARSE_OK) {
		FUZZ_CHECK(c.search != NULL && c.search->type == SEARCH_AND && c.search->next == NULL);
		check_key(c.search, 0);
		/* Every key that was counted has at most two nodes beside its own. */
		FUZZ_CHECK(keys <= 3 * limits.list + 1);
		FUZZ_CHECK(c.verb != IMAP_SORT || (c.criterion_count > 0 && c.criterion_count <= SORT_CRITERIA_MAX));
		FUZZ_CHECK(c.has_return || c.return_options == 0);
		fuzz_touch(c.charset);
	} else {
		FUZZ_CHECK(why.kind != FAULT_NONE && why.what[0] != '\0');
	}
	arena_fini(&a);
	buffer_fini(&command);
	return 0;
}
