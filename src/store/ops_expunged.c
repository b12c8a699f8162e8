/* ops_expunged.c - messages that were expunged and are kept: letting go of them, and having them back. */
#include "clock.h"
#include "imap_flags.h"
#include "store_private.h"

bool store_has_reclaimable(struct store *s, int64_t before)
{
	struct fault ignored;
	struct kv_txn *t = kv_read(s->kv, &ignored);
	struct bytes key, value;
	struct kv_cursor *c = t == NULL ? NULL : kv_seek(t, T_EXPUNGED_ORDER, BYTES_NONE, &key, &value);
	bool has = c != NULL && (int64_t)key_read_u64(key, 0) < before;

	kv_cursor_end(&c);
	kv_end(&t);
	return has;
}

enum store_result op_reclaim(struct store *s, const struct intent_reclaim *in, struct arena *a, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_RECLAIM };
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(s->txn, T_EXPUNGED_ORDER, BYTES_NONE, &key, &value);
	bool has = c != NULL;

	e.mailboxes = arena_array(a, in->most, sizeof(*e.mailboxes));
	e.uids = arena_array(a, in->most, sizeof(*e.uids));
	for (; has && e.count < in->most && (int64_t)key_read_u64(key, 0) < in->before; has = kv_next(c, &key, &value)) {
		e.mailboxes[e.count] = key_read_u64(key, 8);
		e.uids[e.count++] = key_read_u32(key, 16);
	}
	kv_cursor_end(&c);
	if (kv_has_failed(s->txn))
		return STORE_FAILED;
	out->message_count = e.count;
	return e.count == 0 ? STORE_OK : turn_entry(s, &e);
}

static bool is_wanted(const struct intent_undelete *in, uint32_t uid, int64_t time)
{
	bool is = in->uid_count == 0;

	for (size_t i = 0; i < in->uid_count && !is; i++)
		is = in->uids[i].first <= uid && uid <= in->uids[i].last;
	return is && time >= in->since;
}

/* What of mailbox M is wanted, as copies that get the next UIDs. */
static bool pick(struct store *s, const struct intent_undelete *in, const struct mailbox *m, struct entry *e)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(s->txn, T_EXPUNGED, bytes_make(start, key_message(start, m->id, 0)), &key, &value);
	bool has = c != NULL;

	for (; has && key_read_u64(key, 0) == m->id && e->count < UNDELETE_MOST; has = kv_next(c, &key, &value)) {
		struct message msg;
		int64_t time;

		if (!index_decode_kept(key, value, &msg, &time))
			break;
		if (is_wanted(in, msg.uid, time)) {
			e->copies[e->count] = (struct entry_copy){ msg.uid, m->uidnext + (uint32_t)e->count, msg.body, msg.size,
				                                   msg.internaldate, (uint8_t)(msg.flags & ~(uint32_t)IMAP_FLAG_DELETED),
				                                   msg.keywords };
			e->count++;
		}
	}
	kv_cursor_end(&c);
	return !kv_has_failed(s->txn);
}

enum store_result op_undelete(struct store *s, const struct intent_undelete *in, struct arena *a, struct intent_answer *out)
{
	struct entry back = { .type = ENTRY_COPY, .time = clock_wall_s() }, gone = { .type = ENTRY_RECLAIM };
	struct mailbox m;
	enum store_result result = find_mailbox(s, in->name, &m);

	if (result != STORE_OK)
		return result;
	if (m.uidnext > UINT32_MAX - 1 - UNDELETE_MOST)
		return STORE_LIMIT;
	back.mailbox = out->mailbox = m.id;
	back.modseq = m.highestmodseq + 1;
	out->uidvalidity = m.uidvalidity;
	back.copies = arena_array(a, UNDELETE_MOST, sizeof(*back.copies));
	if (!pick(s, in, &m, &back))
		return STORE_FAILED;
	out->message_count = back.count;
	if (back.count == 0)
		return STORE_OK;
	out->modseq = back.modseq;
	out->new_uids = arena_array(a, 1, sizeof(*out->new_uids));
	out->new_uids[0] = (struct uid_range){ back.copies[0].uid, back.copies[back.count - 1].uid };
	out->new_uid_count = 1;
	gone.mailboxes = arena_array(a, back.count, sizeof(*gone.mailboxes));
	gone.uids = arena_array(a, back.count, sizeof(*gone.uids));
	for (size_t i = 0; i < back.count; i++) {
		gone.mailboxes[i] = m.id;
		gone.uids[i] = back.copies[i].source;
	}
	gone.count = back.count;
	result = index_check_room(s, back.count + gone.count);
	if (result == STORE_OK)
		result = turn_entry(s, &back);
	if (result != STORE_OK)
		return result;
	/* Half of an intent cannot be taken back: there was room for all of it. */
	return turn_entry(s, &gone) == STORE_OK ? STORE_OK : STORE_FAILED;
}
