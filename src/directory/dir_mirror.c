/* dir_mirror.c - one write transaction that is open from the first put to the commit, and the changes in it. */
#include "dir_mirror.h"

#include <stdlib.h>

#include "alloc.h"
#include "buffer.h"
#include "log.h"
#include "record_store.h"

#define SWEEP_MAX 4096

struct dir_mirror {
	struct kv *kv;
	struct kv_txn *txn; /* NULL: nothing is put */
	struct change *first, **last;
	size_t count;
	bool is_listing;
	struct buffer swept; /* the name that the sweep has come to */
};

struct dir_mirror *dir_mirror_new(struct kv *kv)
{
	struct dir_mirror *m = must_calloc(1, sizeof(*m));

	m->kv = kv;
	m->last = &m->first;
	return m;
}

static void drop(struct dir_mirror *m)
{
	kv_end(&m->txn);
	while (m->first != NULL) {
		struct change *c = m->first;

		m->first = c->next;
		change_free(&c);
	}
	m->last = &m->first;
	m->count = 0;
}

void dir_mirror_free(struct dir_mirror **mp)
{
	struct dir_mirror *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	drop(m);
	buffer_fini(&m->swept);
	free(m);
}

static bool begin(struct dir_mirror *m, struct fault *why)
{
	if (m->txn == NULL)
		m->txn = kv_write(m->kv, why);
	return m->txn != NULL;
}

static bool failed(struct dir_mirror *m, struct fault *why)
{
	drop(m);
	return fault_set(why, FAULT_OPERATOR, "the copy of the directory cannot be written: see the line before");
}

static void push(struct dir_mirror *m, struct change *c)
{
	*m->last = c;
	m->last = &c->next;
	m->count++;
}

static bool is_same(const struct record *a, const struct record *b)
{
	return a->state == b->state && bytes_equal(a->location, b->location) && bytes_equal(a->acl, b->acl);
}

/* Make NAME be RECORD; KV_OK with a change pushed where it was not. */
static enum kv_result set_record(struct dir_mirror *m, struct bytes name, const struct record *record)
{
	struct record now;
	struct change *c;
	enum kv_result result = record_get(m->txn, name, &now);

	if (result != KV_OK || is_same(&now, record))
		return result;
	c = change_of_record(name, &now, record);
	push(m, c);
	return record_put(m->txn, c->name, &c->after);
}

bool dir_mirror_put(struct dir_mirror *m, struct bytes name, const struct record *record, struct bytes deleted_by,
                    struct fault *why)
{
	enum kv_result result;

	if (name.n == 0 || name.n > RECORD_NAME_MAX) {
		log_event(LOG_WARNING, "directory.copy.name_skipped", LOG_BYTES("mbox", name));
		return true;
	}
	if (!begin(m, why))
		return false;
	result = set_record(m, name, record);
	if (result == KV_OK && record->state != RECORD_NONE && m->is_listing)
		result = record_mark_seen(m->txn, name);
	if (result == KV_OK && record->state == RECORD_NONE)
		result = deleted_by.n > 0 ? record_note_deleted(m->txn, name, deleted_by) : record_forget_deleted(m->txn, name);
	return result == KV_OK || failed(m, why);
}

bool dir_mirror_put_reign(struct dir_mirror *m, struct bytes server, const struct reign *reign, struct fault *why)
{
	struct reign now;
	enum kv_result result;

	if (!begin(m, why))
		return false;
	result = reign_get(m->txn, server, &now);
	if (result == KV_OK && (now.epoch != reign->epoch || !bytes_equal(now.master, reign->master) ||
	                        !bytes_equal(now.in_sync, reign->in_sync))) {
		push(m, change_of_reign(server, reign));
		result = reign_put(m->txn, server, reign);
	}
	return result == KV_OK || failed(m, why);
}

bool dir_mirror_list_begin(struct dir_mirror *m, struct fault *why)
{
	m->is_listing = true;
	buffer_clear(&m->swept);
	return begin(m, why) && (record_clear_seen(m->txn) == KV_OK || failed(m, why));
}

/* The next name at or after m->swept that was not seen, into m->swept; false: none. */
static bool next_unseen(struct dir_mirror *m)
{
	struct record_cursor c;
	struct record record;
	struct bytes name;
	bool found = false;

	record_cursor_open(m->txn, buffer_bytes(&m->swept), false, &c);
	while (!found && record_cursor_get(&c, &name, &record)) {
		if (!record_was_seen(m->txn, name)) {
			buffer_clear(&m->swept);
			buffer_add(&m->swept, name);
			found = true;
		}
		record_cursor_next(&c);
	}
	(void)record_cursor_close(&c); /* damage of a copy ends the process */
	return found;
}

bool dir_mirror_list_end(struct dir_mirror *m, bool *more_r, struct fault *why)
{
	static const struct record none = { .state = RECORD_NONE };
	enum kv_result result = KV_OK;

	*more_r = false;
	if (!begin(m, why))
		return false;
	for (size_t n = 0; result == KV_OK && next_unseen(m); n++) {
		if (n == SWEEP_MAX) {
			*more_r = true;
			return true;
		}
		result = set_record(m, buffer_bytes(&m->swept), &none);
	}
	if (result == KV_OK)
		result = record_clear_seen(m->txn);
	m->is_listing = false;
	return result == KV_OK || failed(m, why);
}

size_t dir_mirror_pending(const struct dir_mirror *m)
{
	return m->count;
}

bool dir_mirror_commit(struct dir_mirror *m, struct change **first_r, struct fault *why)
{
	*first_r = NULL;
	if (m->txn != NULL && !kv_commit(&m->txn, why)) {
		drop(m);
		return false;
	}
	*first_r = m->first;
	m->first = NULL;
	m->last = &m->first;
	m->count = 0;
	return true;
}
