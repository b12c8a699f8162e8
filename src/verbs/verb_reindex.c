/* verb_reindex.c - `roost reindex -C FILE`: have a member's search index made anew, by the daemon, which may be running: a file asks it. */
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "file.h"
#include "store_tool.h"
#include "verb_args.h"
#include "verbs.h"

int verb_reindex(int argc, char **argv)
{
	struct verb_args a;
	struct store_options o;
	struct fault why;
	int status = verb_args_read(&a, argc, argv, VERB_CONFIG, 0, 0, "-C FILE");

	if (status == 0) {
		bool ok = verb_store_options(a.config, &o, &why);

		if (ok && !config_switch(a.config, "search_index"))
			ok = fault_set(&why, FAULT_OPERATOR, "search_index is off: there is no index");
		if (ok) {
			char *dir = must_printf("%s/search", o.dir), *path = must_printf("%s/anew", dir);

			ok = file_make_dirs(dir, 0700, &why) && file_replace(path, BYTES_NONE, 0600, &why);
			free(path);
			free(dir);
		}
		if (ok)
			(void)printf("the member makes its search index anew, at its next start if it is not running; "
			             "\"search_index\" in its /status.json says when it has everything\n");
		else
			status = verb_failed(argv[0], &why);
	}
	verb_args_fini(&a);
	return status;
}
