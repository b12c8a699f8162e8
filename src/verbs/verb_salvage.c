/* verb_salvage.c - `roost salvage`: what is kept in a member's salvage/, what an operator decides about it, and putting a
 * suffix aside by hand. It works on the member's files; a running member looks for decisions each second. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "salvage_file.h"
#include "store_salvage_from.h"
#include "store_tool.h"
#include "verb_args.h"
#include "verbs.h"

#define USAGE "list | show ITEM | apply [ITEM...] | discard ITEM... | take [DIR]   -C FILE"
/* How long a running member is waited for. */
#define TAKEN_MS 5000

/* "EPOCH-LSN/N", or "EPOCH-LSN" for all that is kept of it. */
struct selection {
	struct salvage_name name;
	uint64_t item;
	bool is_all;
};

static bool read_selection(const char *word, struct selection *s, struct fault *why)
{
	struct bytes b = bytes_of(word);
	size_t dash = bytes_find(b, '-'), slash = bytes_find(b, '/');

	*s = (struct selection){ .is_all = slash == b.n };
	if (dash < slash && bytes_to_u64(bytes_sub(b, 0, dash), UINT64_MAX, &s->name.epoch) &&
	    bytes_to_u64(bytes_sub(b, dash + 1, slash - dash - 1), UINT64_MAX, &s->name.first) &&
	    (s->is_all || bytes_to_u64(bytes_from(b, slash + 1), UINT64_MAX, &s->item)))
		return true;
	return fault_set(why, FAULT_CLIENT, "\"%s\" is not an item as `roost salvage list` names them, EPOCH-LSN/N", word);
}

static const char *state_word(enum salvage_state state)
{
	static const char *const words[] = { "pending", "merged", "kept", "decided", "discarded" };

	return words[state];
}

/* What was merged is not said, unless it still waits for the entry to come here. */
static bool list_file(const struct salvage_file *f, struct fault *why)
{
	char name[SALVAGE_NAME_TEXT];
	size_t merged = 0, kept = 0;

	salvage_name_text(salvage_file_name(f), name);
	for (size_t i = 0; i < salvage_file_count(f); i++) {
		struct salvage_fate fate = salvage_file_fate(f, i);
		struct buffer words = { 0 };
		struct arena a = { 0 };
		struct salvage_item item;
		bool ok;

		merged += fate.state == SALVAGE_IS_MERGED;
		kept += fate.state == SALVAGE_IS_KEPT;
		if (fate.state == SALVAGE_IS_MERGED || fate.state == SALVAGE_IS_DISCARDED)
			continue;
		ok = salvage_file_item(f, i, &a, &item, why);
		if (ok) {
			salvage_item_describe(&words, &item);
			(void)printf("%s/%zu %s %.*s%s%s\n", name, i, state_word(fate.state), (int)words.n, (const char *)words.p,
			             fate.state == SALVAGE_IS_KEPT ? ": " : "",
			             fate.state == SALVAGE_IS_KEPT ? salvage_outcome_text(fate.outcome) : "");
		}
		arena_fini(&a);
		buffer_fini(&words);
		if (!ok)
			return false;
	}
	(void)printf("%s: %zu items, %zu merged, %zu kept\n", name, salvage_file_count(f), merged, kept);
	return true;
}

typedef bool file_fn(const struct salvage_file *f, struct fault *why);

static bool each_file(const char *dir, file_fn *fn, struct fault *why)
{
	size_t count;
	struct salvage_name *names = salvage_names(dir, ".items", &count, why);
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < count; i++) {
		struct salvage_file *f = salvage_file_open(dir, names[i], why);

		ok = f != NULL && fn(f, why);
		salvage_file_close(&f);
	}
	free(names);
	return ok;
}

static bool show(const char *dir, const char *word, struct fault *why)
{
	struct selection s;
	struct salvage_file *f = NULL;
	struct arena a = { 0 };
	struct salvage_item item;
	bool ok = read_selection(word, &s, why) && (f = salvage_file_open(dir, s.name, why)) != NULL;

	if (ok && (s.is_all || s.item >= salvage_file_count(f)))
		ok = fault_set(why, FAULT_CLIENT, "%s: there is no such item", word);
	ok = ok && salvage_file_item(f, (size_t)s.item, &a, &item, why);
	if (ok && item.kind != SALVAGE_MESSAGE)
		ok = fault_set(why, FAULT_CLIENT, "%s is not a message", word);
	if (ok && item.body.n > 0 && fwrite(item.body.p, 1, item.body.n, stdout) != item.body.n)
		ok = fault_set(why, FAULT_OPERATOR, "the output could not be written");
	arena_fini(&a);
	salvage_file_close(&f);
	return ok;
}

/* Decide on what S names in its file. */
static bool decide(const char *dir, const struct selection *s, bool is_apply, size_t *count, struct fault *why)
{
	struct salvage_file *f = salvage_file_open(dir, s->name, why);
	struct salvage_decision *decisions;
	size_t n = 0;
	bool ok = f != NULL;

	if (!ok)
		return false;
	decisions = must_calloc(salvage_file_count(f), sizeof(*decisions));
	if (!s->is_all && s->item >= salvage_file_count(f))
		ok = fault_set(why, FAULT_CLIENT, "item %" PRIu64 ": there is no such item", s->item);
	for (size_t i = 0; ok && i < salvage_file_count(f); i++) {
		enum salvage_state state = salvage_file_fate(f, i).state;

		if (s->is_all ? state == SALVAGE_IS_KEPT : i == s->item)
			decisions[n++] = (struct salvage_decision){ i, is_apply };
	}
	if (ok && !s->is_all && salvage_file_fate(f, (size_t)s->item).state == SALVAGE_IS_MERGED)
		ok = fault_set(why, FAULT_CLIENT, "item %" PRIu64 " was merged already", s->item);
	if (ok && n > 0)
		ok = salvage_file_ask(dir, s->name, decisions, n, why);
	*count += n;
	free(decisions);
	salvage_file_close(&f);
	return ok;
}

static bool decide_all(const char *dir, size_t *count, struct fault *why)
{
	size_t n;
	struct salvage_name *names = salvage_names(dir, ".items", &n, why);
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < n; i++)
		ok = decide(dir, &(struct selection){ .name = names[i], .is_all = true }, true, count, why);
	free(names);
	return ok;
}

/* Whether the member has taken the decisions in; it need not run. */
static bool is_taken(const char *dir)
{
	const struct timespec pause = { 0, 50 * 1000 * 1000 };
	struct fault why;

	for (int ms = 0; ms < TAKEN_MS; ms += 50) {
		size_t count;
		struct salvage_name *names = salvage_names(dir, ".asked", &count, &why);

		free(names);
		if (names == NULL || count == 0)
			return names != NULL;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

static bool decide_words(const char *dir, const struct verb_args *a, bool is_apply, struct fault *why)
{
	size_t count = 0;
	bool ok = true;

	for (size_t i = 1; ok && i < a->count; i++) {
		struct selection s;

		ok = read_selection(a->words[i], &s, why) && decide(dir, &s, is_apply, &count, why);
	}
	if (a->count == 1)
		ok = decide_all(dir, &count, why);
	if (ok)
		(void)printf("%zu items are to be %s%s\n", count, is_apply ? "applied" : "discarded",
		             count == 0 || is_taken(dir) ? "" : ", once the member runs");
	return ok;
}

static bool take(const struct config *c, const struct store_options *o, const char *dir, const char *from, struct fault *why)
{
	if (from != NULL)
		return store_salvage_from(from, o, stdout, why);
	if (!salvage_want(dir, why))
		return false;
	(void)printf("when %s is started next it puts aside what the master lacks, and follows\n", config_string(c, "member"));
	return true;
}

static bool run(const struct verb_args *a, struct fault *why)
{
	const char *what = a->words[0];
	struct store_options o;
	char *dir;
	bool ok = verb_store_options(a->config, &o, why);

	if (!ok)
		return false;
	dir = must_printf("%s/salvage", o.dir);
	if (strcmp(what, "list") == 0 && a->count == 1)
		ok = each_file(dir, list_file, why);
	else if (strcmp(what, "show") == 0 && a->count == 2)
		ok = show(dir, a->words[1], why);
	else if (strcmp(what, "apply") == 0)
		ok = decide_words(dir, a, true, why);
	else if (strcmp(what, "discard") == 0 && a->count > 1)
		ok = decide_words(dir, a, false, why);
	else if (strcmp(what, "take") == 0 && a->count <= 2)
		ok = take(a->config, &o, dir, a->count == 2 ? a->words[1] : NULL, why);
	else
		ok = fault_set(why, FAULT_CLIENT, "usage: roost salvage " USAGE);
	if (ok && fflush(stdout) != 0)
		ok = fault_set(why, FAULT_OPERATOR, "the output could not be written");
	free(dir);
	return ok;
}

int verb_salvage(int argc, char **argv)
{
	struct verb_args a;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG, 1, VERB_WORDS_MAX, USAGE);

	if (status == 0 && !run(&a, &why)) {
		status = verb_failed("salvage", &why);
		if (strncmp(why.what, "usage", 5) == 0)
			status = EXIT_USAGE;
	}
	verb_args_fini(&a);
	return status;
}
