/* record_codec.c - the octets of records and configurations, both ways. */
#include "record_codec.h"

#include "cursor.h"

void record_encode(struct buffer *to, const struct record *record)
{
	buffer_add_u8(to, (uint8_t)record->state);
	buffer_add_bytes32(to, record->location);
	buffer_add_bytes32(to, record->acl);
}

bool record_decode(struct bytes value, struct record *record_r)
{
	struct cursor c = cursor_of(value);
	uint8_t state;

	if (!cursor_u8(&c, &state) || state > RECORD_ACTIVE || !cursor_bytes32(&c, UINT32_MAX, &record_r->location) ||
	    !cursor_bytes32(&c, UINT32_MAX, &record_r->acl))
		return false;
	record_r->state = (enum record_state)state;
	return true;
}

void reign_encode(struct buffer *to, const struct reign *reign)
{
	buffer_add_u64le(to, reign->epoch);
	buffer_add_bytes32(to, reign->master);
	buffer_add_bytes32(to, reign->in_sync);
}

bool reign_decode(struct bytes value, struct reign *reign_r)
{
	struct cursor c = cursor_of(value);

	return cursor_u64le(&c, &reign_r->epoch) && cursor_bytes32(&c, UINT32_MAX, &reign_r->master) &&
	       cursor_bytes32(&c, UINT32_MAX, &reign_r->in_sync);
}
