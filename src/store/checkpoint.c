/* checkpoint.c - blocks, each with its hash; the last one counts the records and chains the hashes of all, so that what is
 * cut, changed or mixed of two is noticed. */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "entry.h"
#include "store_private.h"

#define FILE_HEADER 32
#define BLOCK_HEADER 32
#define BLOCK_MAGIC 0x31424352u /* "RCB1" */
#define BLOCK_USUAL (256u << 10)
/* The largest record is a body's, with its structure. */
#define BLOCK_MAX (STRUCTURE_MAX + (1u << 20))

enum block_kind { BLOCK_HEAD = 1, BLOCK_RECORDS, BLOCK_END };

static uint64_t chained(uint64_t chain, uint64_t hash)
{
	uint64_t both[2] = { chain, hash }; /* little-endian here as on disk */

	return entry_hash(bytes_make((const uint8_t *)both, sizeof(both)));
}

struct writer {
	checkpoint_sink_fn *sink;
	void *arg;
	struct buffer block; /* room for the block's header, then what is in it */
	uint64_t chain;
	uint64_t records[CHECKPOINT_TABLES_MAX];
};

static void begin_block(struct writer *w)
{
	buffer_clear(&w->block);
	memset(buffer_reserve(&w->block, BLOCK_HEADER), 0, BLOCK_HEADER);
	w->block.n = BLOCK_HEADER;
}

static bool end_block(struct writer *w, enum block_kind kind, struct fault *why)
{
	uint64_t hash = entry_hash(bytes_from(buffer_bytes(&w->block), BLOCK_HEADER));

	buffer_set_u32le(&w->block, 0, BLOCK_MAGIC);
	buffer_set_u32le(&w->block, 4, kind);
	buffer_set_u64le(&w->block, 8, w->block.n - BLOCK_HEADER);
	buffer_set_u64le(&w->block, 16, hash);
	buffer_set_u64le(&w->block, 24, entry_hash(bytes_sub(buffer_bytes(&w->block), 0, 24)));
	w->chain = chained(w->chain, hash);
	if (!w->sink(w->arg, buffer_bytes(&w->block), why))
		return false;
	begin_block(w);
	return true;
}

static bool write_head(struct writer *w, const struct checkpoint_head *h, struct fault *why)
{
	size_t from = h->epoch_count > CHECKPOINT_EPOCHS_MAX ? h->epoch_count - CHECKPOINT_EPOCHS_MAX : 0;
	struct buffer *b = &w->block;

	begin_block(w);
	buffer_add_u32le(b, h->format);
	buffer_add_u64le(b, h->lsn);
	buffer_add_u8(b, h->has_reign);
	buffer_add_u64le(b, h->has_reign ? h->reign.lsn : 0);
	buffer_add_u64le(b, h->has_reign ? h->reign.epoch : 0);
	buffer_add_bytes32(b, h->has_reign ? h->reign.master : BYTES_NONE);
	buffer_add_bytes32(b, h->has_reign ? h->reign.in_sync : BYTES_NONE);
	buffer_add_u32le(b, (uint32_t)(h->epoch_count - from));
	for (size_t i = from; i < h->epoch_count; i++) {
		buffer_add_u64le(b, h->epochs[i].epoch);
		buffer_add_u64le(b, h->epochs[i].first);
	}
	return end_block(w, BLOCK_HEAD, why);
}

static bool write_table(struct writer *w, struct kv_txn *t, size_t table, struct fault *why)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, table, BYTES_NONE, &key, &value);
	bool has = c != NULL, ok = true;

	for (; ok && has; has = kv_next(c, &key, &value)) {
		if (w->block.n > BLOCK_HEADER && w->block.n + key.n + value.n > BLOCK_USUAL)
			ok = end_block(w, BLOCK_RECORDS, why);
		buffer_add_u8(&w->block, (uint8_t)table);
		buffer_add_bytes32(&w->block, key);
		buffer_add_bytes32(&w->block, value);
		w->records[table]++;
	}
	kv_cursor_end(&c);
	return ok;
}

bool checkpoint_write(struct kv_txn *t, size_t table_count, const struct checkpoint_head *head, checkpoint_sink_fn *sink,
                      void *arg, struct fault *why)
{
	struct writer w = { .sink = sink, .arg = arg };
	struct buffer b = { 0 };
	bool ok;

	buffer_add_str(&b, CHECKPOINT_MAGIC);
	buffer_add_u32le(&b, 1);
	buffer_add_u32le(&b, 0);
	buffer_add_u32le(&b, FILE_HEADER);
	buffer_add_u32le(&b, 0);
	buffer_add_u64le(&b, entry_hash(buffer_bytes(&b)));
	ok = sink(arg, buffer_bytes(&b), why) && write_head(&w, head, why);
	for (size_t i = 0; ok && i < table_count; i++)
		ok = write_table(&w, t, i, why);
	if (ok && w.block.n > BLOCK_HEADER)
		ok = end_block(&w, BLOCK_RECORDS, why);
	/* An end that a damaged page has made up would be a smaller checkpoint, not a wrong one: it must not become one. */
	if (ok && kv_has_failed(t))
		ok = fault_set(why, FAULT_OPERATOR, "the index is damaged; \"roost rebuild\" makes it anew");
	if (ok) {
		buffer_add_u64le(&w.block, w.chain);
		buffer_add_u32le(&w.block, (uint32_t)table_count);
		for (size_t i = 0; i < table_count; i++)
			buffer_add_u64le(&w.block, w.records[i]);
		ok = end_block(&w, BLOCK_END, why);
	}
	buffer_fini(&b);
	buffer_fini(&w.block);
	return ok;
}

static bool damaged(struct checkpoint_reader *r, struct fault *why, const char *what)
{
	r->is_bad = true;
	return fault_set(why, FAULT_OPERATOR, "checkpoint at %llu: %s", (unsigned long long)r->octets, what);
}

static bool read_magic(struct checkpoint_reader *r, struct bytes all, struct fault *why)
{
	struct cursor c = cursor_of(all);
	struct bytes magic;
	uint32_t major, minor, size, zero;
	uint64_t hash;

	(void)cursor_bytes(&c, 8, &magic);
	(void)cursor_u32le(&c, &major);
	(void)cursor_u32le(&c, &minor);
	(void)cursor_u32le(&c, &size);
	(void)cursor_u32le(&c, &zero);
	(void)cursor_u64le(&c, &hash);
	if (!bytes_equal_str(magic, CHECKPOINT_MAGIC))
		return damaged(r, why, "is not a checkpoint");
	if (hash != entry_hash(bytes_sub(all, 0, 24)) || size != FILE_HEADER)
		return damaged(r, why, "the header is damaged");
	if (major != 1) {
		r->is_bad = true;
		return fault_set(why, FAULT_OPERATOR, "checkpoint: has format version %u, this program reads 1", major);
	}
	r->has_magic = true;
	return true;
}

static bool read_head(struct checkpoint_reader *r, struct bytes data, struct fault *why)
{
	struct checkpoint_head *h = &r->head;
	struct cursor c;
	uint32_t count;
	uint8_t has;

	buffer_add(&r->texts, data);
	c = cursor_of(buffer_bytes(&r->texts));
	if (!cursor_u32le(&c, &h->format) || !cursor_u64le(&c, &h->lsn) || !cursor_u8(&c, &has) || has > 1 ||
	    !cursor_u64le(&c, &h->reign.lsn) || !cursor_u64le(&c, &h->reign.epoch) ||
	    !cursor_bytes32(&c, 4096, &h->reign.master) || !cursor_bytes32(&c, 65536, &h->reign.in_sync) ||
	    !cursor_u32le(&c, &count) || count > CHECKPOINT_EPOCHS_MAX || cursor_left(&c) != (size_t)count * 16)
		return damaged(r, why, "the head is malformed");
	h->has_reign = has != 0;
	h->epochs = must_calloc(count + 1, sizeof(*h->epochs));
	h->epoch_count = count;
	for (uint32_t i = 0; i < count; i++) {
		(void)cursor_u64le(&c, &h->epochs[i].epoch);
		(void)cursor_u64le(&c, &h->epochs[i].first);
		if (h->epochs[i].first > h->lsn || (i > 0 && (h->epochs[i].epoch <= h->epochs[i - 1].epoch ||
		                                              h->epochs[i].first <= h->epochs[i - 1].first)))
			return damaged(r, why, "the epochs are out of order");
	}
	r->has_head = true;
	return true;
}

static bool read_records(struct checkpoint_reader *r, struct bytes data, struct fault *why)
{
	struct cursor c = cursor_of(data);

	while (!cursor_at_end(&c)) {
		struct bytes key, value;
		uint8_t table;

		if (!cursor_u8(&c, &table) || !cursor_bytes32(&c, KV_KEY_MAX, &key) || !cursor_bytes32(&c, BLOCK_MAX, &value) ||
		    key.n == 0 || table >= CHECKPOINT_TABLES_MAX || table < r->table)
			return damaged(r, why, "a record is malformed");
		if (table > r->table)
			buffer_clear(&r->last_key);
		r->table = table;
		if (r->last_key.n > 0 && bytes_compare(buffer_bytes(&r->last_key), key) >= 0)
			return damaged(r, why, "the records are out of order");
		buffer_clear(&r->last_key);
		buffer_add(&r->last_key, key);
		r->records[table]++;
		if (r->record != NULL && !r->record(r->arg, table, key, value, why)) {
			r->is_bad = true;
			return false;
		}
	}
	return true;
}

static bool read_end(struct checkpoint_reader *r, struct bytes data, struct fault *why)
{
	struct cursor c = cursor_of(data);
	uint64_t chain, n;
	uint32_t count;

	if (!cursor_u64le(&c, &chain) || chain != r->chain || !cursor_u32le(&c, &count) || count > CHECKPOINT_TABLES_MAX ||
	    cursor_left(&c) != (size_t)count * 8 || r->table >= count)
		return damaged(r, why, "the end does not fit what is before it");
	for (uint32_t i = 0; i < count; i++) {
		(void)cursor_u64le(&c, &n);
		if (n != r->records[i])
			return damaged(r, why, "records are missing");
	}
	r->is_whole = true;
	return true;
}

/* Take one block off the front of ALL. *n_r is how many octets that were; 0: there is no whole one yet. */
static bool take_block(struct checkpoint_reader *r, struct bytes all, size_t *n_r, struct fault *why)
{
	struct cursor c = cursor_of(all);
	uint32_t magic, kind;
	uint64_t size, hash, header_hash;
	struct bytes data;
	bool ok;

	*n_r = 0;
	if (all.n < BLOCK_HEADER)
		return true;
	(void)cursor_u32le(&c, &magic);
	(void)cursor_u32le(&c, &kind);
	(void)cursor_u64le(&c, &size);
	(void)cursor_u64le(&c, &hash);
	(void)cursor_u64le(&c, &header_hash);
	if (magic != BLOCK_MAGIC || header_hash != entry_hash(bytes_sub(all, 0, 24)) || size > BLOCK_MAX)
		return damaged(r, why, "no block where one must be");
	if (size > cursor_left(&c))
		return true;
	(void)cursor_bytes(&c, (size_t)size, &data);
	if (hash != entry_hash(data))
		return damaged(r, why, "a block has a wrong checksum");
	*n_r = BLOCK_HEADER + (size_t)size;
	if (r->is_whole || (kind == BLOCK_HEAD) == r->has_head)
		ok = damaged(r, why, "a block is out of place");
	else if (kind == BLOCK_HEAD)
		ok = read_head(r, data, why);
	else if (kind == BLOCK_RECORDS)
		ok = read_records(r, data, why);
	else if (kind == BLOCK_END)
		ok = read_end(r, data, why);
	else
		ok = damaged(r, why, "a block is of an unknown kind");
	r->chain = chained(r->chain, hash);
	return ok;
}

bool checkpoint_feed(struct checkpoint_reader *r, struct bytes piece, struct fault *why)
{
	struct bytes all = piece;
	size_t n = 1;

	if (r->is_bad)
		return fault_set(why, FAULT_OPERATOR, "checkpoint: damaged before");
	if (r->held.n > 0) {
		buffer_add(&r->held, piece);
		all = buffer_bytes(&r->held);
	}
	while (n > 0) {
		bool ok = true;

		if (r->has_magic)
			ok = take_block(r, all, &n, why);
		else if ((n = all.n >= FILE_HEADER ? FILE_HEADER : 0) > 0)
			ok = read_magic(r, all, why);
		if (!ok)
			return false;
		r->octets += n;
		all = bytes_from(all, n);
	}
	if (r->is_whole && all.n > 0)
		return damaged(r, why, "there is something behind the end");
	if (r->held.n > 0) {
		buffer_drop_front(&r->held, r->held.n - all.n);
	} else {
		buffer_add(&r->held, all);
	}
	return true;
}

void checkpoint_reader_fini(struct checkpoint_reader *r)
{
	free(r->head.epochs);
	buffer_fini(&r->held);
	buffer_fini(&r->texts);
	buffer_fini(&r->last_key);
	*r = (struct checkpoint_reader){ 0 };
}
