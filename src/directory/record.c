/* record.c - the directory's state table, as one function per command. */
#include "record.h"

#include "location.h"

static struct record_change answer(bool is_ok, const char *text)
{
	return (struct record_change){ .is_ok = is_ok, .text = text };
}

static struct record_change become(enum record_state state, struct bytes location, struct bytes acl)
{
	return (struct record_change){ .is_ok = true, .text = "done", .is_changed = true, .next = { state, location, acl } };
}

/* Of two equal locations the one that names its partition. */
static struct bytes fuller(struct bytes a, struct bytes b)
{
	return location_of(a).partition.n > 0 ? a : b;
}

static struct record_change reserve(const struct record *now, struct bytes location)
{
	if (now->state == RECORD_NONE)
		return become(RECORD_RESERVED, location, BYTES_NONE);
	if (!location_equal(now->location, location))
		return answer(false, "mailbox already exists");
	return answer(true, "done");
}

static struct record_change activate(const struct record *now, struct bytes location, struct bytes acl)
{
	struct record_change change;

	if (now->state == RECORD_NONE)
		return become(RECORD_ACTIVE, location, acl);
	if (!location_equal(now->location, location)) {
		/* RFC 3656 section 4.2: activation takes over what another holds. */
		change = become(RECORD_ACTIVE, location, acl);
		change.is_move = true;
		return change;
	}
	location = fuller(location, now->location);
	if (now->state == RECORD_ACTIVE && bytes_equal(now->acl, acl) && bytes_equal(now->location, location))
		return answer(true, "done");
	return become(RECORD_ACTIVE, location, acl);
}

static struct record_change deactivate(const struct record *now, struct bytes location)
{
	if (now->state == RECORD_NONE)
		return answer(false, "mailbox unknown");
	if (!location_equal(now->location, location))
		return answer(false, "mailbox is elsewhere");
	if (now->state == RECORD_RESERVED)
		return answer(false, "mailbox is not active");
	return become(RECORD_RESERVED, fuller(location, now->location), BYTES_NONE);
}

static struct record_change delete_record(const struct record *now, struct bytes deleted_by, struct bytes server)
{
	if (now->state == RECORD_NONE) {
		if (server.n > 0 && location_same_server(deleted_by, server))
			return answer(true, "done");
		return answer(false, "mailbox unknown");
	}
	if (server.n > 0 && !location_same_server(location_of(now->location).server, server))
		return answer(false, "mailbox is elsewhere");
	return become(RECORD_NONE, BYTES_NONE, BYTES_NONE);
}

struct record_change record_decide(enum record_command command, const struct record *now, struct bytes location,
                                   struct bytes acl, struct bytes deleted_by, struct bytes server)
{
	switch (command) {
	case RECORD_RESERVE:
		return reserve(now, location);
	case RECORD_ACTIVATE:
		return activate(now, location, acl);
	case RECORD_DEACTIVATE:
		return deactivate(now, location);
	case RECORD_DELETE:
		return delete_record(now, deleted_by, server);
	}
	return answer(false, "not a command");
}
