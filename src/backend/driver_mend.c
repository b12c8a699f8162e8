/* driver_mend.c - entries that this member's disk has spoilt are fetched from another member and put back; and the same for
 * others (docs/formats.md, "Sync stream", WANTED, ENTRY, NONE).
 *
 * A reader or the scrubber names an entry. Whoever names one that is being mended waits for the same. The members with a
 * connection are asked in turn, each for at most ASK_MS; what comes is checked and written on the pool, and the waiting are told.
 * Reading for another is done on the pool, too: nothing here holds a turn or a beacon up. */
#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "driver_link.h"
#include "log.h"
#include "store_mend.h"

#define ASK_MS 3000
#define PATIENT_MS 60000 /* while only the scrubber waits, and nobody is connected */
#define NOBODY REPLICA_MEMBERS_MAX
#define MENDINGS_MAX 256 /* entries at once; who names another is told that it is not mended */
#define AGAIN_MS 5000    /* what could not be mended is not asked for again, nor logged */
#define SERVINGS_MAX 8   /* entries read at once for others; one more is answered NONE */

struct mending {
	struct list member; /* of d->mendings */
	struct driver *driver;
	lsn_t lsn;
	struct list waiting; /* struct driver_mend */
	member_set_t asked;
	size_t peer; /* asked now; NOBODY */
	uint64_t began_ms, until_ms;
	bool is_writing; /* on the pool, which has it until it is back */
	struct buffer raw;
	enum store_result result;
	struct fault why;
};

struct serving {
	struct driver *driver;
	size_t peer;
	lsn_t lsn;
	struct buffer raw;
	bool is_there;
};

static void answer(struct driver_mend *w, bool is_mended)
{
	w->is_mended = is_mended;
	if (w->done == NULL)
		free(w);
	else
		loop_post(w->loop, w->done, w->arg);
}

static void finish(struct mending *m, bool is_mended)
{
	struct driver *d = m->driver;
	struct list *l;

	assert(!m->is_writing);
	(void)atomic_fetch_add(is_mended ? &d->mended : &d->not_mended, 1);
	while ((l = list_shift(&m->waiting)) != NULL)
		answer(LIST_OBJECT(l, struct driver_mend, waiting), is_mended);
	if (!is_mended)
		d->given_up[d->given_up_next++ % GIVEN_UP_MAX] = (struct given_up){ m->lsn, clock_mono_ms() + AGAIN_MS };
	list_remove(&m->member);
	d->mending_count--;
	buffer_fini(&m->raw);
	free(m);
}

static bool is_patient(const struct mending *m)
{
	LIST_EACH(l, &m->waiting) {
		if (LIST_OBJECT(l, struct driver_mend, waiting)->done != NULL)
			return false;
	}
	return m->asked == 0 && m->driver->count > 1 && clock_mono_ms() < m->began_ms + PATIENT_MS;
}

/* Ask the next member that was not asked yet; if there is none it is over. */
static void ask(struct mending *m)
{
	struct driver *d = m->driver;
	const struct peer_message wanted = { .type = MESSAGE_WANTED, .epoch = replica_epoch(d->core), .lsn = m->lsn };

	for (size_t i = 0; i < d->count; i++) {
		if (i == d->self || (m->asked >> i & 1) != 0 || d->peers[i].link == NULL)
			continue;
		m->asked |= (member_set_t)1 << i;
		m->peer = i;
		m->until_ms = clock_mono_ms() + ASK_MS;
		driver_sync_send(d, i, &wanted);
		return;
	}
	m->peer = NOBODY;
	if (is_patient(m))
		return;
	log_event(LOG_ERROR, "driver.entry.not_mended", LOG_U64("lsn", m->lsn),
	          LOG_STR("why", m->asked == 0 ? "no other member is connected" : "no other member has it whole"));
	finish(m, false);
}

static struct mending *find(struct driver *d, lsn_t lsn)
{
	LIST_EACH(l, &d->mendings) {
		struct mending *m = LIST_OBJECT(l, struct mending, member);

		if (m->lsn == lsn)
			return m;
	}
	return NULL;
}

static bool was_given_up(const struct driver *d, lsn_t lsn)
{
	uint64_t now = clock_mono_ms();

	for (size_t i = 0; i < GIVEN_UP_MAX; i++) {
		if (d->given_up[i].lsn == lsn && now < d->given_up[i].until_ms)
			return true;
	}
	return false;
}

static void take(void *arg)
{
	struct driver_mend *w = arg;
	struct driver *d = w->driver;
	struct mending *m = find(d, w->lsn);

	if (m == NULL && (d->is_closed || d->mending_count == MENDINGS_MAX || was_given_up(d, w->lsn))) {
		answer(w, false);
		return;
	}
	if (m != NULL) {
		list_push(&m->waiting, &w->waiting);
		if (m->peer == NOBODY)
			ask(m);
		return;
	}
	m = must_calloc(1, sizeof(*m));
	m->driver = d;
	m->lsn = w->lsn;
	m->began_ms = clock_mono_ms();
	list_init(&m->waiting);
	list_push(&m->waiting, &w->waiting);
	list_push(&d->mendings, &m->member);
	d->mending_count++;
	(void)atomic_fetch_add(&d->damaged, 1);
	log_event(LOG_ERROR, "driver.entry.damaged", LOG_U64("lsn", m->lsn));
	ask(m);
}

void driver_mend(struct driver *d, struct driver_mend *mend)
{
	mend->driver = d;
	mend->loop = loop_current();
	mend->is_mended = false;
	loop_post(d->loop, take, mend);
}

/* On the pool. */
static void write_back(void *arg)
{
	struct mending *m = arg;

	m->result = store_entry_mend(m->driver->o.store, m->lsn, buffer_bytes(&m->raw), &m->why);
	driver_reader_end(m->driver);
}

static void written(void *arg)
{
	struct mending *m = arg;
	struct driver *d = m->driver;

	m->is_writing = false;
	buffer_fini(&m->raw);
	if (m->result == STORE_OK) {
		log_event(LOG_WARNING, "driver.entry.mended", LOG_U64("lsn", m->lsn), LOG_STR("from", d->peers[m->peer].name));
		finish(m, true);
		return;
	}
	log_event(LOG_ERROR, "driver.entry.not_mended", LOG_U64("lsn", m->lsn), LOG_FAULT(&m->why));
	/* Another member's may be the right one; the disk will not be another. */
	if (m->result == STORE_BAD && !d->is_closed)
		ask(m);
	else
		finish(m, false);
}

static void came(struct driver *d, size_t peer, const struct peer_message *said)
{
	struct mending *m = find(d, said->lsn);

	if (m == NULL || m->is_writing || m->peer != peer)
		return; /* too late */
	if (said->type == MESSAGE_NONE) {
		ask(m);
		return;
	}
	buffer_add(&m->raw, said->raw);
	m->is_writing = true;
	driver_reader_begin(d);
	loop_work(d->loop, write_back, written, m);
}

/* On the pool. */
static void read_out(void *arg)
{
	struct serving *s = arg;
	struct fault why;
	enum store_result result = store_entry_read(s->driver->o.store, s->lsn, &s->raw, &why);

	s->is_there = result == STORE_OK;
	driver_reader_end(s->driver);
	if (result == STORE_DAMAGED)
		log_event(LOG_ERROR, "driver.entry.damaged", LOG_U64("lsn", s->lsn), LOG_FAULT(&why));
}

/* No more is made to wait for who does not take what waits already. */
static bool may_serve(const struct driver *d, size_t peer)
{
	const struct link *l = d->peers[peer].link;

	return !d->is_replacing && l != NULL && conn_pending(l->conn) < CONN_OUTPUT_HIGH;
}

static void served(void *arg)
{
	struct serving *s = arg;
	struct driver *d = s->driver;
	bool is_given = s->is_there && may_serve(d, s->peer);
	const struct peer_message m = { .type = is_given ? MESSAGE_ENTRY : MESSAGE_NONE, .epoch = replica_epoch(d->core),
		                        .lsn = s->lsn, .raw = is_given ? buffer_bytes(&s->raw) : BYTES_NONE };

	d->serving_count--;
	if (!d->is_closed)
		driver_sync_send(d, s->peer, &m);
	buffer_fini(&s->raw);
	free(s);
}

static void serve(struct driver *d, size_t peer, lsn_t lsn)
{
	const struct peer_message none = { .type = MESSAGE_NONE, .epoch = replica_epoch(d->core), .lsn = lsn };
	struct serving *s;

	if (d->serving_count >= SERVINGS_MAX || !may_serve(d, peer)) {
		driver_sync_send(d, peer, &none);
		return;
	}
	s = must_calloc(1, sizeof(*s));
	s->driver = d;
	s->peer = peer;
	s->lsn = lsn;
	d->serving_count++;
	driver_reader_begin(d);
	loop_work(d->loop, read_out, served, s);
}

bool driver_mend_message(struct driver *d, size_t peer, const struct peer_message *m)
{
	switch (m->type) {
	case MESSAGE_WANTED:
		serve(d, peer, m->lsn);
		return true;
	case MESSAGE_ENTRY:
	case MESSAGE_NONE:
		came(d, peer, m);
		return true;
	default:
		return false;
	}
}

void driver_mend_tick(struct driver *d)
{
	uint64_t now = clock_mono_ms();

	LIST_EACH(l, &d->mendings) {
		struct mending *m = LIST_OBJECT(l, struct mending, member);

		if (!m->is_writing && (m->peer == NOBODY || now >= m->until_ms || d->peers[m->peer].link == NULL))
			ask(m);
	}
}

void driver_mend_close(struct driver *d)
{
	LIST_EACH(l, &d->mendings) {
		struct mending *m = LIST_OBJECT(l, struct mending, member);

		if (!m->is_writing)
			finish(m, false);
	}
}
