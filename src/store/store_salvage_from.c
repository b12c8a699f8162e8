/* store_salvage_from.c - the same for a partition that has no daemon any more: what it alone has goes to a member's salvage/. */
#include "store_salvage_from.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "salvage_file.h"
#include "store_private.h"

/* The member may be running: its journal is only read. */
static bool find_common(const struct store *s, const struct store_options *to, lsn_t *common_r, struct fault *why)
{
	char *path = must_printf("%s/journal", to->dir);
	struct journal j;
	bool ok = journal_open(&j, path, 1 << 20, true, why);

	*common_r = ok ? journal_common(&s->journal, &j) : 0;
	journal_close(&j);
	free(path);
	if (ok && *common_r == 0)
		ok = fault_set(why, FAULT_OPERATOR, "%s and %s have no entry in common: they are not of one server", s->dir, to->dir);
	return ok;
}

/* Items from FROM to TO; there whole before they go here. */
static bool move_items(const char *from, const char *to, struct salvage_name name, struct fault *why)
{
	char text[SALVAGE_NAME_TEXT], *source, *target;
	struct buffer b = { 0 };
	bool ok;

	salvage_name_text(name, text);
	source = must_printf("%s/%s.items", from, text);
	target = must_printf("%s/%s.items", to, text);
	ok = file_make_dirs(to, 0700, why) && file_read_all(source, SIZE_MAX / 2, &b, NULL, why) &&
	     file_replace(target, buffer_bytes(&b), 0600, why);
	if (ok && unlink(source) != 0)
		ok = fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot remove", source);
	buffer_fini(&b);
	free(source);
	free(target);
	return ok;
}

bool store_salvage_from(const char *dir, const struct store_options *to, FILE *out, struct fault *why)
{
	struct store_options o = *to;
	char *target = must_printf("%s/salvage", to->dir);
	struct salvage_name *names = NULL;
	struct store *s = NULL;
	lsn_t common = 0, last;
	size_t count = 0;
	bool ok;

	o.dir = dir;
	s = store_open(&o, why);
	if (s != NULL)
		s->is_relic = true;
	ok = s != NULL && find_common(s, to, &common, why);
	last = ok ? store_last_lsn(s) : 0;
	ok = ok && store_save_after(s, common, why) == STORE_OK;
	if (ok) {
		names = salvage_names(store_salvage_dir(s), ".items", &count, why);
		ok = names != NULL;
	}
	for (size_t i = 0; ok && i < count; i++)
		ok = move_items(store_salvage_dir(s), target, names[i], why);
	if (ok)
		(void)fprintf(out, "%s: entry %" PRIu64 " is the last in common, %" PRIu64 " more were here; %zu files of items are in %s\n", dir,
		              common, last - common, count, target);
	free(names);
	store_close(&s);
	free(target);
	return ok;
}
