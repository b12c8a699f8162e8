/* fuzz_record_codec.c - records and configurations as they are stored, and the decisions on them. Input: a line each of a
 * record, a command with location, ACL and server in it, then a configuration with who claims what. */
#include "fuzz.h"
#include "location.h"
#include "record_codec.h"

static void same_record(struct bytes value, const struct record *r)
{
	struct buffer b = { 0 };
	struct record again;

	record_encode(&b, r);
	FUZZ_CHECK(b.n <= value.n && bytes_starts(value, buffer_bytes(&b)));
	FUZZ_CHECK(record_decode(buffer_bytes(&b), &again) && again.state == r->state &&
	           bytes_equal(again.location, r->location) && bytes_equal(again.acl, r->acl));
	buffer_fini(&b);
}

/* What holds whatever the record: docs/architecture.md, the table of states. */
static void decide(const struct record *now, enum record_command command, struct bytes location, struct bytes acl,
                   struct bytes deleted_by, struct bytes server)
{
	struct record_change c = record_decide(command, now, location, acl, deleted_by, server), twice;
	bool is_here = now->state != RECORD_NONE && location_equal(now->location, location);

	FUZZ_CHECK(c.text != NULL && (c.is_ok || !c.is_changed) && (!c.is_move || c.is_changed));
	if (command == RECORD_RESERVE && now->state != RECORD_NONE)
		FUZZ_CHECK(c.is_ok == is_here && !c.is_changed);
	if (command == RECORD_ACTIVATE)
		FUZZ_CHECK(c.is_ok && (!c.is_changed || c.next.state == RECORD_ACTIVE));
	if (command == RECORD_DEACTIVATE)
		FUZZ_CHECK(c.is_ok == (is_here && now->state == RECORD_ACTIVE));
	if (!c.is_changed)
		return;
	FUZZ_CHECK((command == RECORD_DELETE) == (c.next.state == RECORD_NONE));
	/* A pair says everything twice. */
	twice = record_decide(command, &c.next, location, acl, server, server);
	if (command == RECORD_RESERVE || command == RECORD_ACTIVATE || (command == RECORD_DELETE && server.n > 0))
		FUZZ_CHECK(twice.is_ok && !twice.is_changed);
}

static void try_reign(struct bytes value, struct bytes member, struct bytes master, struct bytes in_sync)
{
	struct reign now = { 0 }, again, first;
	struct buffer b = { 0 };
	struct reign_claim claims[2];
	const char *refusal;

	if (!reign_decode(value, &now))
		return;
	reign_encode(&b, &now);
	FUZZ_CHECK(bytes_starts(value, buffer_bytes(&b)) && reign_decode(buffer_bytes(&b), &again) && again.epoch == now.epoch);
	buffer_fini(&b);
	refusal = reign_refusal(&now, member, now.epoch, master, in_sync);
	if (refusal == NULL)
		FUZZ_CHECK(now.epoch > 0 && reign_has_member(now.in_sync, member) && reign_has_member(in_sync, master) &&
		           reign_has_member(now.in_sync, master));
	FUZZ_CHECK(reign_refusal(&now, member, now.epoch + 1, master, in_sync) != NULL);
	claims[0] = (struct reign_claim){ member, now };
	claims[1] = (struct reign_claim){ master, { 0 } };
	if (reign_first(claims, 2, &first))
		FUZZ_CHECK(first.epoch == now.epoch + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size), value = fuzz_take_line(&in), location = fuzz_take_line(&in);
	struct bytes acl = fuzz_take_line(&in), deleted_by = fuzz_take_line(&in), server = fuzz_take_line(&in), a, b;
	struct record now = { .state = RECORD_NONE };

	if (record_decode(value, &now))
		same_record(value, &now);
	else
		now = (struct record){ .state = RECORD_NONE };
	for (int command = RECORD_RESERVE; command <= RECORD_DELETE; command++)
		decide(&now, (enum record_command)command, location, acl, deleted_by, server);
	a = fuzz_take_line(&in);
	b = fuzz_take_line(&in);
	try_reign(in, location, a, b);
	return 0;
}
