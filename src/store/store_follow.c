/* store_follow.c - a follower's side, and streaming entries to one. */
#include <stdlib.h>

#include "alloc.h"
#include "store_private.h"

bool store_entry_peek(struct bytes raw, lsn_t *lsn_r, epoch_t *epoch_r, uint64_t *length_r)
{
	struct entry_header h;

	if (!entry_header_read(raw, &h))
		return false;
	*lsn_r = h.lsn;
	*epoch_r = h.epoch;
	*length_r = (uint64_t)h.head_size + h.body_size;
	return true;
}

uint64_t store_entry_max(void)
{
	return (uint64_t)ENTRY_HEAD_MAX + ENTRY_BODY_MAX;
}

static enum store_follow no(enum store_follow result, struct fault *why, const char *what, lsn_t lsn)
{
	(void)fault_set(why, FAULT_TRANSIENT, "entry %llu: %s", (unsigned long long)lsn, what);
	return result;
}

static void note_reign(struct store *s, const struct entry *e)
{
	const struct store_reign reign = store_reign_of(e);

	store_note_reign(s, &reign);
}

enum store_follow store_follow_append(struct store *s, struct bytes raw, struct fault *why)
{
	struct journal *j = &s->journal;
	struct arena a = { 0 };
	struct entry_header h;
	struct entry e;
	struct bytes head, body;
	bool ok, has_room;

	if (s->is_failed) {
		*why = s->failure;
		return STORE_FOLLOW_FAILED;
	}
	if (!entry_header_read(raw, &h) || (uint64_t)h.head_size + h.body_size != raw.n)
		return no(STORE_FOLLOW_CORRUPT, why, "not an entry", 0);
	if (h.lsn <= j->last)
		return journal_epoch_at(j, h.lsn) == h.epoch ? no(STORE_FOLLOW_DUPLICATE, why, "is here already", h.lsn) :
		                                               no(STORE_FOLLOW_DIFFERS, why, "another entry is here", h.lsn);
	if (h.lsn > j->last + 1)
		return no(STORE_FOLLOW_GAP, why, "is beyond the next", h.lsn);
	if (j->last > 0 && h.epoch < journal_epoch_at(j, j->last))
		return no(STORE_FOLLOW_CORRUPT, why, "is of an earlier epoch", h.lsn);
	if (journal_must_flush(j, raw.n + 64))
		return no(STORE_FOLLOW_BUSY, why, "must wait for a flush", h.lsn);
	head = bytes_sub(raw, 0, h.head_size);
	body = bytes_from(raw, h.head_size);
	ok = entry_read(head, body, true, &a, &e, why);
	s->turn_changed = s->turn_records = 0;
	has_room = ok && index_has_room_for(s, NULL, &e, why);
	if (has_room && e.type == ENTRY_EPOCH)
		note_reign(s, &e);
	arena_fini(&a);
	if (!ok)
		return STORE_FOLLOW_CORRUPT;
	if (!has_room)
		return STORE_FOLLOW_NO_SPACE;
	switch (journal_reserve(j, raw.n + 64, why)) {
	case STORE_OK:
		break;
	case STORE_NO_SPACE:
		return STORE_FOLLOW_NO_SPACE;
	default:
		store_fail(s, why);
		return STORE_FOLLOW_FAILED;
	}
	return journal_append(j, h.epoch, head, body, true) ? STORE_FOLLOW_OK :
	                                                      no(STORE_FOLLOW_NO_SPACE, why, "no room in the segment", h.lsn);
}

#define APPLY_ENTRIES 4000
#define APPLY_BYTES (8u << 20)

/* About how many octets of the index it changes, where that is many. */
static uint64_t weight_of(const struct entry *e)
{
	uint64_t octets = e->structure.n + e->count * 32;

	for (size_t i = 0; e->type == ENTRY_ATTRIBUTE && i < e->count; i++)
		octets += e->attributes[i].of.value.n;
	for (size_t i = 0; i < e->given_count; i++)
		octets += e->given[i].value.n;
	return octets;
}

enum store_result store_apply_to(struct store *s, lsn_t lsn, size_t max_entries, struct store_changes *changes, struct fault *why)
{
	struct store_changes own = { 0 };
	struct kv_txn *t;
	lsn_t at = store_applied_lsn(s);
	uint64_t bytes = 0, freed;
	bool ok = true, is_bad = false;

	if (at >= lsn)
		return STORE_OK;
	if (changes == NULL)
		changes = &own;
	freed = changes->freed;
	t = kv_write(s->kv, why);
	if (t == NULL)
		return STORE_FAILED;
	for (size_t i = 0; ok && at < lsn && i < max_entries && bytes < APPLY_BYTES; i++) {
		struct arena a = { 0 };
		struct entry e;

		ok = store_read_entry(s, at + 1, false, &a, &e, why);
		if (ok && !apply_entry(t, &e, changes)) {
			is_bad = !kv_has_failed(t);
			ok = fault_set(why, FAULT_OPERATOR, "%s: the index cannot take entry %llu; restore this member from the other",
			               s->dir, (unsigned long long)at + 1);
		}
		if (ok && e.type == ENTRY_DIGEST)
			digest_check(s, t, &e);
		bytes += ok ? weight_of(&e) : 0;
		arena_fini(&a);
		at += ok;
	}
	freed = changes->freed - freed;
	store_changes_fini(&own);
	if (!ok) {
		kv_end(&t);
		return is_bad ? STORE_BAD : STORE_FAILED;
	}
	if (!kv_commit(&t, why))
		return STORE_FAILED;
	atomic_store(&s->applied, at);
	s->freed += freed;
	return STORE_OK;
}

enum store_result store_apply_committed(struct store *s, lsn_t lsn, struct store_changes *changes, struct fault *why)
{
	enum store_result result;

	if (s->is_failed) {
		*why = s->failure;
		return STORE_FAILED;
	}
	if (lsn > s->journal.durable)
		lsn = s->journal.durable;
	result = store_apply_to(s, lsn, APPLY_ENTRIES, changes, why);
	if (result != STORE_OK)
		store_fail(s, why);
	return result;
}

enum store_result store_truncate_after(struct store *s, lsn_t lsn, struct fault *why)
{
	enum store_result result;

	if (s->is_failed) {
		*why = s->failure;
		return STORE_FAILED;
	}
	if (lsn < store_applied_lsn(s)) {
		(void)fault_set(why, FAULT_OPERATOR, "entries up to %llu are committed here: not cut to %llu",
		                (unsigned long long)store_applied_lsn(s), (unsigned long long)lsn);
		return STORE_CONFLICT;
	}
	result = journal_truncate_after(&s->journal, lsn, why);
	if (result == STORE_FAILED)
		store_fail(s, why);
	return result;
}

static enum store_result read_entries(struct store *s, lsn_t from, size_t max_bytes, struct buffer *out, lsn_t *last_r,
                                      struct fault *why)
{
	lsn_t first = journal_first_whole(&s->journal);

	*last_r = from - 1;
	if (from < first) {
		(void)fault_set(why, FAULT_OPERATOR,
		                "%s: entries before %llu are not in the journal any more, entry %llu is wanted: the member that wants it "
		                "needs a copy of this partition",
		                s->dir, (unsigned long long)first, (unsigned long long)from);
		return STORE_GONE;
	}
	for (lsn_t lsn = from; lsn <= s->journal.durable; lsn++) {
		struct bytes head, body;
		struct arena a = { 0 };
		struct entry e = { 0 };
		bool ok;

		if (!journal_find(&s->journal, lsn, &head, &body, why))
			return STORE_FAILED;
		if (lsn > from && out->n + head.n + body.n > max_bytes)
			break;
		/* What this member's disk has spoilt must not become the other's. */
		ok = entry_read(head, body, true, &a, &e, why);
		arena_fini(&a);
		if (!ok) {
			(void)fault_context(why, "%s", s->dir);
			return STORE_FAILED;
		}
		buffer_add(out, head);
		buffer_add(out, body);
		*last_r = lsn;
	}
	return STORE_OK;
}

enum store_result store_read_entries(struct store *s, lsn_t from, size_t max_bytes, struct buffer *out, lsn_t *last_r,
                                     struct fault *why)
{
	struct journal_pin pin;
	enum store_result result;

	journal_pin(&s->journal, &pin);
	result = read_entries(s, from, max_bytes, out, last_r, why);
	journal_unpin(&s->journal, &pin);
	return result;
}
