/* store_digest.c - comparing what members have without sending it: sums of hashes, which do not depend on the order.
 *
 * Each mailbox's record has the sum over its messages, kept up by apply(); "digest" in meta is the sum over all records of
 * mailboxes, subscriptions and attributes. The master journals both as they stand, the second whole, the first for a slice of the mailboxes,
 * anew from the messages, not from the sum: a slice of the next ones each time, so that in time all are looked at. Who applies
 * the entry has the same or says so: then its index is not what the journal makes of it, or the master's is not. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "store_private.h"

#define SLICE_ROWS 2000
#define SLICE_MAILBOXES 64
#define ODD 0x9e3779b97f4a7c15u

uint64_t digest_of(struct bytes key, struct bytes value)
{
	return (entry_hash(key) + ODD) * ODD + entry_hash(value);
}

/* Sum of the messages of MAILBOX from UID FIRST to LAST, of at most MOST: *last_r is the last looked at, UINT32_MAX at the end. */
static uint64_t sum_rows(struct kv_txn *t, mailbox_id_t mailbox, uint32_t first, uint32_t last, size_t most, size_t *rows_r,
                         uint32_t *last_r)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_MESSAGE, bytes_make(start, key_message(start, mailbox, first)), &key, &value);
	uint64_t sum = 0;
	bool has = c != NULL;

	*last_r = last;
	for (*rows_r = 0; has && key_read_u64(key, 0) == mailbox && key_read_u32(key, 8) <= last; has = kv_next(c, &key, &value)) {
		if (*rows_r == most)
			break;
		sum += digest_of(key, value);
		++*rows_r;
		*last_r = key_read_u32(key, 8);
	}
	if (!has || key_read_u64(key, 0) != mailbox || key_read_u32(key, 8) > last)
		*last_r = last;
	kv_cursor_end(&c);
	return sum;
}

static void differs(struct store *s, lsn_t lsn, struct bytes mailbox, const char *what)
{
	struct store_digest *d = &s->digest;

	d->differences++;
	if (mailbox.n > 0) {
		free(d->mailbox);
		d->mailbox = bytes_to_str(mailbox);
	}
	log_event(LOG_ERROR, "store.digest.differs", LOG_STR("dir", s->dir), LOG_U64("lsn", lsn), LOG_BYTES("mailbox", mailbox),
	          LOG_STR("what", what));
}

/* What the record of a mailbox says of its messages against SUM, if that is all of them. */
static void check_own(struct store *s, struct kv_txn *t, lsn_t lsn, const struct entry_digest *g, uint64_t sum)
{
	struct mailbox m;

	if (g->first == 1 && g->last == UINT32_MAX && index_mailbox(t, g->mailbox, &m) == KV_OK && m.digest != sum)
		differs(s, lsn, m.name, "this member's record and its own messages; \"roost rebuild\" makes the index anew");
}

static void check_slice(struct store *s, struct kv_txn *t, lsn_t lsn, const struct entry_digest *g)
{
	uint8_t key[KEY_MAX];
	struct bytes k = bytes_make(key, key_u64(key, g->mailbox)), value = BYTES_NONE;
	struct mailbox m = { 0 };
	size_t rows;
	uint32_t last;
	bool has = kv_get(t, T_MAILBOX, k, &value) == KV_OK && index_mailbox(t, g->mailbox, &m) == KV_OK;
	uint64_t sum = sum_rows(t, g->mailbox, g->first, g->last, SIZE_MAX, &rows, &last);

	if (!has)
		differs(s, lsn, BYTES_LIT("?"), "a mailbox of the master's is not here");
	else if (digest_of(k, value) != g->record)
		differs(s, lsn, m.name, "its record and the master's");
	if (sum != g->rows)
		differs(s, lsn, m.name, "its messages and the master's");
	check_own(s, t, lsn, g, sum);
}

void digest_check(struct store *s, struct kv_txn *t, const struct entry *e)
{
	uint64_t all;
	bool was = s->digest.differs;

	s->digest.lsn = e->lsn;
	s->digest.differs = index_meta(t, "digest", &all) != KV_OK || all != e->value;
	if (s->digest.differs && !was)
		differs(s, e->lsn, BYTES_NONE, "all mailboxes, subscriptions and attributes, and the master's");
	for (size_t i = 0; i < e->count; i++)
		check_slice(s, t, e->lsn, &e->digests[i]);
}

/* The next slice, from where the last ended; at the end from the beginning. */
static size_t take_slice(struct store *s, struct entry_digest *slice)
{
	struct store_digest *d = &s->digest;
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(s->txn, T_MAILBOX, bytes_make(start, key_u64(start, d->next_mailbox)), &key, &value);
	size_t count = 0, left = SLICE_ROWS;
	bool has = c != NULL;

	for (; has && count < SLICE_MAILBOXES && left > 0; has = kv_next(c, &key, &value)) {
		struct entry_digest *g = &slice[count++];
		size_t rows;

		g->mailbox = key_read_u64(key, 0);
		g->first = g->mailbox == d->next_mailbox && d->next_uid > 0 ? d->next_uid : 1;
		g->record = digest_of(key, value);
		g->rows = sum_rows(s->txn, g->mailbox, g->first, UINT32_MAX, left, &rows, &g->last);
		left -= rows;
		d->next_mailbox = g->last == UINT32_MAX ? g->mailbox + 1 : g->mailbox;
		d->next_uid = g->last == UINT32_MAX ? 0 : g->last + 1;
		check_own(s, s->txn, s->journal.last + 1, g, g->rows);
	}
	if (!has && (count == 0 || slice[count - 1].last == UINT32_MAX)) {
		d->next_mailbox = 0;
		d->next_uid = 0;
	}
	kv_cursor_end(&c);
	return count;
}

enum store_result op_digest(struct store *s, struct intent_answer *out)
{
	struct entry_digest slice[SLICE_MAILBOXES];
	struct entry e = { .type = ENTRY_DIGEST, .digests = slice };
	enum store_result result;

	(void)out;
	if (index_meta(s->txn, "digest", &e.value) != KV_OK)
		return STORE_FAILED;
	e.count = take_slice(s, slice);
	result = turn_entry(s, &e);
	if (result == STORE_OK)
		s->digest.lsn = e.lsn;
	return result;
}

lsn_t store_digest_lsn(const struct store *s)
{
	return s->digest.lsn;
}
