/* message.c - all messages have the same five fields; some have something behind them. */
#include "message.h"

#include "cursor.h"

static bool is_of_copy(unsigned type)
{
	return type >= MESSAGE_OFFER && type <= MESSAGE_COPY_LAST;
}

static bool is_type(unsigned type)
{
	return type >= MESSAGE_HELLO && type <= MESSAGE_SALVAGED;
}

static bool has_raw(unsigned type)
{
	return type == MESSAGE_ENTRIES || type == MESSAGE_PIECE || type == MESSAGE_BODIES || type == MESSAGE_SALVAGE ||
	       type == MESSAGE_SALVAGED || type == MESSAGE_ENTRY;
}

/* u8 type, u64 epoch, u64 lsn, u64 committed, u64 time; then HELLO: u32 count, rows of u64 epoch, u64 first; OFFER to TAKEN:
 * u64 lsn, u64 offset, u64 next, u64 left, u64 total; ENTRIES, PIECE, BODIES, SALVAGE, SALVAGED, ENTRY: raw */
void message_write(struct buffer *to, const struct peer_message *m)
{
	buffer_add_u8(to, (uint8_t)m->type);
	buffer_add_u64le(to, m->epoch);
	buffer_add_u64le(to, m->lsn);
	buffer_add_u64le(to, m->committed);
	buffer_add_u64le(to, m->time_ms);
	if (m->type == MESSAGE_HELLO) {
		buffer_add_u32le(to, (uint32_t)m->history->count);
		for (size_t i = 0; i < m->history->count; i++) {
			buffer_add_u64le(to, m->history->rows[i].epoch);
			buffer_add_u64le(to, m->history->rows[i].first);
		}
	} else if (is_of_copy(m->type)) {
		buffer_add_u64le(to, m->copy.lsn);
		buffer_add_u64le(to, m->copy.offset);
		buffer_add_u64le(to, m->copy.next);
		buffer_add_u64le(to, m->copy.left);
		buffer_add_u64le(to, m->copy.total);
	}
	buffer_add(to, m->raw);
}

static bool read_copy(struct cursor *c, struct message_copy *copy_r)
{
	return cursor_u64le(c, &copy_r->lsn) && cursor_u64le(c, &copy_r->offset) && cursor_u64le(c, &copy_r->next) &&
	       cursor_u64le(c, &copy_r->left) && cursor_u64le(c, &copy_r->total);
}

static bool read_history(struct cursor *c, struct history *h)
{
	uint32_t count;
	uint64_t epoch, first;

	h->count = 0;
	if (!cursor_u32le(c, &count) || count > HISTORY_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (!cursor_u64le(c, &epoch) || !cursor_u64le(c, &first))
			return false;
		if (first == 0 || (i > 0 && (epoch <= h->rows[i - 1].epoch || first <= h->rows[i - 1].first)))
			return false;
		h->rows[h->count++] = (struct history_row){ epoch, first };
	}
	return true;
}

bool message_read(struct bytes in, struct peer_message *m_r, struct history *history_r, struct fault *why)
{
	struct cursor c = cursor_of(in);
	uint8_t type;

	*m_r = (struct peer_message){ 0 };
	if (!cursor_u8(&c, &type) || !is_type(type) || !cursor_u64le(&c, &m_r->epoch) ||
	    !cursor_u64le(&c, &m_r->lsn) || !cursor_u64le(&c, &m_r->committed) || !cursor_u64le(&c, &m_r->time_ms))
		return fault_set(why, FAULT_CLIENT, "not a message of the sync stream");
	m_r->type = (enum message_type)type;
	if (type == MESSAGE_HELLO && !read_history(&c, history_r))
		return fault_set(why, FAULT_CLIENT, "a HELLO without a proper history");
	if (is_of_copy(type) && !read_copy(&c, &m_r->copy))
		return fault_set(why, FAULT_CLIENT, "a message of type %u that is too short", type);
	if (has_raw(type)) {
		m_r->raw = cursor_rest(&c);
		return true;
	}
	return cursor_at_end(&c) || fault_set(why, FAULT_CLIENT, "octets after a message of type %u", type);
}
