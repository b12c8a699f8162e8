/* store_types.c - results by name, and the list of what a commit changed. */
#include "store_types.h"

#include <stdlib.h>

#include "map.h"

const char *store_result_name(enum store_result r)
{
	static const char *const names[] = { "ok", "no mailbox", "exists", "conflict", "bad", "limit", "over quota", "no space", "not master",
		                             "gone", "damaged", "failed" };

	return (size_t)r < sizeof(names) / sizeof(names[0]) ? names[r] : "?";
}

mailbox_id_t store_change_of_user(struct bytes user)
{
	return map_hash(user) | 1ull << 63;
}

void store_changes_fini(struct store_changes *c)
{
	free(c->of);
	*c = (struct store_changes){ 0 };
}
