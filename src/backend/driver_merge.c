/* driver_merge.c - the master's side of salvage: one item of a suffix that another member (or this one, before it was master)
 * acknowledged alone becomes an intent, with the directory where names are made or go.
 *
 * First it is tried without the directory. Where a name is needed it is reserved, and tried again. What of a change of the
 * mailbox list the directory is not told here, as it is away, the comparison tells it when it is back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "driver_private.h"
#include "log.h"

/* Octets of items that may be under way; a member sends far less at once. */
#define MERGES_OCTETS (2ull << 30)

struct merge {
	struct list all;
	struct driver *driver;
	uint8_t *octets; /* of item and body: a copy */
	uint64_t size;
	struct arena arena;
	struct salvage_item item;
	struct intent intent;
	struct driver_request request;
	struct driver_directory_request directory;
	bool is_named; /* marked as busy */
	driver_merged_fn *merged;
	size_t peer;
	uint8_t id[DRIVER_ITEM_ID];
};

static void drop(struct merge *m)
{
	list_remove(&m->all);
	m->driver->merging -= m->size;
	if (m->is_named)
		driver_name_end(m->driver, m->item.name);
	arena_fini(&m->arena);
	free(m->octets);
	free(m);
}

static void finish(struct merge *m, enum salvage_outcome outcome)
{
	struct driver *d = m->driver;
	lsn_t lsn = 0;
	epoch_t epoch = 0;

	/* Also what had been done before is there once all that is applied here is there. Only a master has done anything: what ends
	 * otherwise may end while a copy is put in place. */
	if (outcome == SALVAGE_MERGED) {
		lsn = m->request.answer.lsn != 0 ? m->request.answer.lsn : store_applied_lsn(d->o.store);
		epoch = store_epoch_at(d->o.store, lsn);
	}
	if (!d->is_closed)
		m->merged(d, m->peer, bytes_make(m->id, DRIVER_ITEM_ID), outcome, lsn, epoch);
	drop(m);
}

static void committed(void *arg);

static void submit(struct merge *m)
{
	m->request = (struct driver_request){ .intent = &m->intent, .arena = &m->arena, .done = committed, .arg = m };
	driver_submit(m->driver, &m->request);
}

static void reserved(void *arg)
{
	struct merge *m = arg;

	if (m->directory.outcome == MUPDATE_OUTCOME_OK) {
		m->intent.salvage.has_name = true;
		submit(m);
	} else {
		finish(m, m->directory.outcome == MUPDATE_OUTCOME_NO ? SALVAGE_NAME_TAKEN : SALVAGE_RETRY);
	}
}

static void reserve(struct merge *m)
{
	/* The comparison with the directory leaves the name alone meanwhile. */
	m->is_named = true;
	driver_name_begin(m->driver, m->item.name);
	m->directory = (struct driver_directory_request){ .verb = DRIVER_RESERVE, .name = m->item.name, .done = reserved, .arg = m };
	driver_directory(m->driver, &m->directory);
}

static void committed(void *arg)
{
	struct merge *m = arg;
	struct driver *d = m->driver;
	const struct intent_answer *a = &m->request.answer;
	enum salvage_outcome outcome = a->result == STORE_OK ? a->salvage : SALVAGE_RETRY;

	if (outcome == SALVAGE_NEEDS_NAME && !m->intent.salvage.has_name) {
		reserve(m);
		return;
	}
	if (outcome == SALVAGE_MERGED && a->new_name.n > 0)
		driver_announce(d, a->new_name, a->new_acl);
	if (outcome == SALVAGE_MERGED && a->gone_name.n > 0)
		driver_retract(d, a->gone_name);
	if (outcome != SALVAGE_MERGED && m->intent.salvage.has_name && m->is_named) {
		/* Reserved for nothing; or a client was quicker, whose mailbox it is now. */
		m->is_named = false;
		driver_name_end(d, m->item.name);
		driver_compare(d);
	}
	finish(m, outcome);
}

void driver_merge(struct driver *d, struct bytes item, struct bytes body, bool is_forced, size_t peer, struct bytes id,
                  driver_merged_fn *merged)
{
	struct merge *m = must_calloc(1, sizeof(*m));
	struct fault why;

	assert(id.n == DRIVER_ITEM_ID);
	m->driver = d;
	m->size = item.n + body.n;
	m->octets = must_alloc(m->size + 1);
	if (item.n > 0)
		memcpy(m->octets, item.p, item.n);
	if (body.n > 0)
		memcpy(m->octets + item.n, body.p, body.n);
	memcpy(m->id, id.p, id.n);
	m->peer = peer;
	m->merged = merged;
	list_push(&d->merges, &m->all);
	d->merging += m->size;
	if (d->merging > MERGES_OCTETS && d->merging > m->size) {
		finish(m, SALVAGE_RETRY);
		return;
	}
	if (!salvage_item_read(bytes_make(m->octets, item.n), &m->arena, &m->item, &why)) {
		log_event(LOG_ERROR, "driver.salvage.broken", LOG_FAULT(&why));
		finish(m, SALVAGE_REFUSED);
		return;
	}
	m->item.body = bytes_make(m->octets + item.n, body.n);
	m->intent.op = INTENT_SALVAGE;
	m->intent.salvage = (struct intent_salvage){ .item = &m->item, .is_forced = is_forced };
	submit(m);
}

void driver_merges_drop(struct driver *d)
{
	while (!list_is_empty(&d->merges)) {
		struct merge *m = LIST_OBJECT(d->merges.next, struct merge, all);

		m->is_named = false; /* nobody compares any more */
		drop(m);
	}
}
