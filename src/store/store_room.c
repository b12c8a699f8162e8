/* store_room.c - whether the index can take a change of very many messages. LMDB writes each page that it changes anew, and can use
 * the old one only later: the bound is what comes to the records, and a copy of the pages that hold them, at most of all pages.
 *
 * BUGS: the bound is generous: on a nearly full disk what would just fit is refused. */
#include "log.h"
#include "store_private.h"

/* Fewer fit what a new segment leaves for the index (journal_open.c). */
#define VERY_MANY 256
/* Of one message in all tables, their pages half full: its records, or what is left of it; and pages in which it has any. */
#define RECORD_OCTETS 600
#define TOMBSTONE_OCTETS 100
#define PAGES_OCTETS (6 * 4096)

/* A page is copied once in a turn, however often it is changed. */
static bool has_room(struct store *s, uint64_t count, uint64_t octets, struct fault *why)
{
	uint64_t used, room, pages = (s->turn_changed + count) * PAGES_OCTETS, need;

	kv_measure(s->kv, &used, &room);
	need = s->turn_records + count * octets + (pages < used ? pages : used);
	return need <= room ||
	       fault_set(why, FAULT_OPERATOR,
	                 "%s: to change %llu messages at once may need %llu octets for the index, and there are %llu: make room, or change fewer", s->dir,
	                 (unsigned long long)count, (unsigned long long)need, (unsigned long long)room);
}

enum store_result index_check_room(struct store *s, uint64_t count)
{
	struct fault why;

	if (count < VERY_MANY || has_room(s, count, RECORD_OCTETS, &why))
		return STORE_OK;
	log_event(LOG_ERROR, "store.index.no_room", LOG_FAULT(&why));
	return STORE_NO_SPACE;
}

/* How many messages of the mailbox that E deletes. */
static bool count_deleted(struct store *s, struct kv_txn *t, const struct entry *e, uint64_t *count_r, struct fault *why)
{
	struct kv_txn *own = t == NULL ? kv_read(s->kv, why) : NULL;
	struct mailbox m;

	if (t == NULL && own == NULL)
		return false;
	*count_r = index_mailbox(t != NULL ? t : own, e->mailbox, &m) == KV_OK ? m.exists : 0;
	kv_end(&own);
	return true;
}

bool index_has_room_for(struct store *s, struct kv_txn *t, const struct entry *e, struct fault *why)
{
	bool goes = e->type == ENTRY_DELETE || e->type == ENTRY_EXPUNGE || e->type == ENTRY_RECLAIM;
	uint64_t count = e->type == ENTRY_DIGEST ? 0 : e->count, octets = goes ? TOMBSTONE_OCTETS : RECORD_OCTETS;

	if (e->type == ENTRY_DELETE && !count_deleted(s, t, e, &count, why))
		return false;
	if (count < VERY_MANY)
		return true;
	if (!has_room(s, count, octets, why))
		return false;
	s->turn_records += count * octets;
	s->turn_changed += count;
	return true;
}
