/* lmtp_duplicate.c - a Message-ID as an operation id: itself behind a letter or, where it is too long for one, its hash and its end. */
#include "lmtp_duplicate.h"

#include "buffer.h"
#include "entry.h"
#include "mime.h"

/* What stands between < and >; the whole field where it is not of that form. */
static struct bytes message_id(struct bytes message)
{
	struct bytes field = bytes_trim(mime_field(mime_header_of(message), "Message-ID"));
	size_t from = bytes_find(field, '<');
	struct bytes inside = bytes_from(field, from + 1);
	size_t n = bytes_find(inside, '>');

	return from < field.n && n < inside.n ? bytes_trim(bytes_sub(inside, 0, n)) : field;
}

void lmtp_duplicate_name(struct intent_append *in, struct arena *a)
{
	struct bytes id = message_id(in->body);
	struct buffer to = { 0 };

	if (id.n == 0)
		return;
	if (id.n < OP_ID_MAX) {
		buffer_add_u8(&to, 'm');
		buffer_add(&to, id);
	} else {
		buffer_add_u8(&to, 'M');
		buffer_add_u64le(&to, entry_hash(id));
		buffer_add(&to, bytes_from(id, id.n - (OP_ID_MAX - to.n)));
	}
	in->also_id = in->op_id;
	in->op_id = arena_copy(a, buffer_bytes(&to));
	buffer_fini(&to);
}
