/* store_mend.c - reading an entry with all its checks, and writing one in its place. */
#include "store_mend.h"

#include "alloc.h"
#include "store_private.h"

/* Whether the entry is what the index says of its body. An entry whose body is not referred to is not in there. */
static bool fits_index(struct store *s, const struct entry *e, struct fault *why)
{
	struct kv_txn *t;
	struct index_body b;
	bool ok = true;

	if (e->type != ENTRY_APPEND)
		return true;
	t = kv_read(s->kv, why);
	if (t == NULL)
		return false;
	if (index_body(t, e->lsn, &b) == KV_OK && (b.hash != e->body_hash || b.size != e->body.n))
		ok = fault_set(why, FAULT_OPERATOR, "%s: entry %llu has another message than the index says", s->dir, (unsigned long long)e->lsn);
	kv_end(&t);
	return ok;
}

/* RAW is whole, entry LSN, and what the index says. */
static bool is_entry(struct store *s, lsn_t lsn, struct bytes raw, epoch_t *epoch_r, struct fault *why)
{
	struct arena a = { 0 };
	struct entry_header h;
	struct entry e;
	bool ok;

	if (!entry_header_read(raw, &h) || h.lsn != lsn || (uint64_t)h.head_size + h.body_size != raw.n)
		return fault_set(why, FAULT_OPERATOR, "%s: entry %llu: its header is damaged", s->dir, (unsigned long long)lsn);
	ok = entry_read(bytes_sub(raw, 0, h.head_size), bytes_from(raw, h.head_size), true, &a, &e, why) && fits_index(s, &e, why);
	arena_fini(&a);
	*epoch_r = h.epoch;
	return ok || fault_context(why, "%s", s->dir);
}

static enum store_result read_pinned(struct store *s, lsn_t lsn, struct buffer *raw, struct fault *why)
{
	struct segment *segment;
	uint64_t at;
	epoch_t epoch;
	size_t start = raw->n;
	enum journal_place place = journal_locate(&s->journal, lsn, &segment, &at, why);

	if (place == JOURNAL_NOWHERE || lsn > store_applied_lsn(s)) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: there is no entry %llu", s->dir, (unsigned long long)lsn);
		return STORE_GONE;
	}
	if (place == JOURNAL_FOUND && journal_read(&s->journal, lsn, JOURNAL_HEAD, 0, SIZE_MAX, raw, why) &&
	    journal_read(&s->journal, lsn, JOURNAL_BODY, 0, SIZE_MAX, raw, why) &&
	    is_entry(s, lsn, bytes_from(buffer_bytes(raw), start), &epoch, why))
		return STORE_OK;
	raw->n = start;
	return STORE_DAMAGED;
}

enum store_result store_entry_read(struct store *s, lsn_t lsn, struct buffer *raw, struct fault *why)
{
	struct journal_pin pin;
	enum store_result result;

	journal_pin(&s->journal, &pin);
	result = read_pinned(s, lsn, raw, why);
	journal_unpin(&s->journal, &pin);
	return result;
}

epoch_t store_entry_epoch(struct store *s, lsn_t lsn)
{
	struct buffer head = { 0 };
	struct journal_pin pin;
	struct entry_header h;
	struct fault ignored;
	epoch_t epoch = 0;

	journal_pin(&s->journal, &pin);
	if (lsn > 0 && journal_read(&s->journal, lsn, JOURNAL_HEAD, 0, SIZE_MAX, &head, &ignored) &&
	    entry_head_is_whole(buffer_bytes(&head)) && entry_header_read(buffer_bytes(&head), &h))
		epoch = h.epoch;
	journal_unpin(&s->journal, &pin);
	buffer_fini(&head);
	return epoch;
}

/* The epoch of a neighbour that is whole; 0 where there is none. */
static epoch_t epoch_of(struct store *s, lsn_t lsn)
{
	struct bytes head, body;
	struct entry_header h;
	struct fault ignored;

	return journal_find(&s->journal, lsn, &head, &body, &ignored) && entry_head_is_whole(head) && entry_header_read(head, &h) ? h.epoch : 0;
}

/* What is here of entry LSN says whether RAW is it: its head, or where that is damaged the epochs around it. */
static bool is_ours(struct store *s, lsn_t lsn, struct bytes raw, epoch_t epoch)
{
	struct bytes head, body;
	struct fault ignored;
	epoch_t before, after;

	if (journal_find(&s->journal, lsn, &head, &body, &ignored) && entry_head_is_whole(head))
		return bytes_starts(raw, head) && raw.n == head.n + body.n;
	before = epoch_of(s, lsn - 1);
	after = epoch_of(s, lsn + 1);
	return (before == 0 || epoch >= before) && (after == 0 || epoch <= after);
}

static enum store_result mend_pinned(struct store *s, lsn_t lsn, struct bytes raw, struct fault *why)
{
	struct segment *segment = NULL;
	struct buffer now = { 0 };
	enum journal_place place;
	uint64_t at;
	epoch_t epoch;
	enum store_result result = read_pinned(s, lsn, &now, why);

	buffer_fini(&now);
	if (result != STORE_DAMAGED)
		return result;
	if (!is_entry(s, lsn, raw, &epoch, why))
		return STORE_BAD;
	if (!is_ours(s, lsn, raw, epoch)) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: entry %llu of another member is not this one's", s->dir, (unsigned long long)lsn);
		return STORE_BAD;
	}
	place = journal_place_for(&s->journal, lsn, raw.n, &segment, &at, why);
	if (place != JOURNAL_FOUND)
		return place == JOURNAL_DAMAGED ? STORE_DAMAGED : STORE_GONE;
	if (!journal_put_back(&s->journal, segment, lsn, at, raw, why))
		return STORE_FAILED;
	result = read_pinned(s, lsn, &now, why);
	buffer_fini(&now);
	if (result == STORE_OK)
		(void)atomic_fetch_add(&s->mended, 1);
	return result == STORE_OK ? STORE_OK : STORE_FAILED;
}

enum store_result store_entry_mend(struct store *s, lsn_t lsn, struct bytes raw, struct fault *why)
{
	struct journal_pin pin;
	enum store_result result;

	journal_pin(&s->journal, &pin);
	result = mend_pinned(s, lsn, raw, why);
	journal_unpin(&s->journal, &pin);
	return result;
}
