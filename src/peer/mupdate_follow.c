/* mupdate_follow.c - what the server says unasked: the update stream and the extension's pushes. */
#include "mupdate_client_private.h"

void client_update_line(struct mupdate_client *c, const struct mupdate_line *line)
{
	const struct mupdate_client_events *e = c->o.events;

	if (bytes_equal_str(line->word, "MAILBOX") && line->count == 3) {
		if (e->on_record != NULL)
			e->on_record(c->o.arg, line->args[0], line->args[1], true, line->args[2]);
	} else if (bytes_equal_str(line->word, "RESERVE") && line->count == 2) {
		if (e->on_record != NULL)
			e->on_record(c->o.arg, line->args[0], line->args[1], false, BYTES_NONE);
	} else if (bytes_equal_str(line->word, "DELETE") && line->count == 1) {
		if (e->on_deleted != NULL)
			e->on_deleted(c->o.arg, line->args[0]);
	} else if (bytes_equal_str(line->word, "OK") && c->is_listing) {
		c->is_listing = false;
		if (e->on_list_end != NULL)
			e->on_list_end(c->o.arg);
	} else {
		client_fail(c, "not of an update stream: %.*s", BYTES_FMT(line->word));
	}
}

void client_pushed_line(struct mupdate_client *c, const struct mupdate_line *line)
{
	const struct mupdate_client_events *e = c->o.events;
	const struct bytes *a = line->args;
	uint64_t epoch;

	if (bytes_equal_str(line->word, "XSERVER") && line->count == 4) {
		if (!bytes_to_u64(a[1], UINT64_MAX, &epoch))
			client_fail(c, "an epoch is not a number");
		else if (e->on_server != NULL)
			e->on_server(c->o.arg, a[0], epoch, a[2], a[3]);
	} else if (bytes_equal_str(line->word, "XMEMBER") && line->count == 7) {
		if (e->on_member != NULL)
			e->on_member(c->o.arg, a[0], a[1], a[2], a[3], a[4], a[5], bytes_equal_str(a[6], "up"));
	} else if (bytes_equal_str(line->word, "XFRONTEND") && line->count == 5) {
		if (e->on_front != NULL)
			e->on_front(c->o.arg, a[0], a[1], a[2], a[3], bytes_equal_str(a[4], "up"));
	} else if (bytes_equal_str(line->word, "XPOP3") && line->count == 3) {
		if (e->on_pop3 != NULL)
			e->on_pop3(c->o.arg, a[0], a[1], a[2]);
	} else if (bytes_equal_str(line->word, "XPROMOTE") && line->count == 2) {
		if (e->on_promote != NULL)
			e->on_promote(c->o.arg, a[0], a[1]);
	}
	/* "* BYE" and what later versions may say: the close, if any, follows. */
}
