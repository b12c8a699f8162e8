/* driver_give.c - giving a whole copy of the partition to a member that needs more than the journal has.
 *
 * The happy path, all reading on pool threads, one job at a time for each taker:
 *	driver_give()    the core's word; the newest checkpoint is opened (made first, if there is none) and OFFERed
 *	TAKE             the taker says which checkpoint, that one or an earlier one which it has part of, and what it has
 *	PIECE, BODIES    what it lacks, no faster than copy_rate, and no more than a window ahead of what it has stored (TAKEN)
 *	HELLO            it has taken all and comes again
 *
 * If the connection breaks the checkpoint stays open for KEPT_MS: it can be gone on with, even where it was removed meanwhile.
 * What cannot be read is logged and ends the connection; the taker comes again, and is made to wait for RETRY_MS. A taker that
 * stores nothing for STALL_MS is given up. */
#include <stdlib.h>
#include <sys/statvfs.h>

#include "alloc.h"
#include "clock.h"
#include "driver_link.h"
#include "json.h"
#include "log.h"

/* Messages, and octets but for the last message, that may be under way. */
#define WINDOW_COUNT 16
#define WINDOW_OCTETS (4u << 20)
#define KEPT_MS 600000
#define RETRY_MS 3000
#define STALL_MS 60000
/* Jobs at once, of those who went away among them: a member that says HELLO again and again makes no more. */
#define GIVES_MAX (2u * REPLICA_MEMBERS_MAX)
/* Percent of the disk that must be free for anything to be held for others. */
#define HOLD_FREE 10

enum give_job { JOB_NONE, JOB_OPEN, JOB_BEGIN, JOB_PIECE, JOB_BODIES };

struct give {
	struct driver *driver;
	struct link *link; /* NULL: it ended; this is freed when no job is under way */
	size_t peer;
	lsn_t common;
	struct store_source *src; /* NULL: not opened yet; the job's while there is one */
	lsn_t lsn; /* its */
	bool is_offered, is_taken, is_all_sent;
	uint64_t offset; /* next to be sent */
	lsn_t next;
	uint64_t sizes[WINDOW_COUNT]; /* of the messages under way, a ring */
	size_t first, count;
	uint64_t under_way;
	uint64_t said_ms, heard_ms, not_before_ms;
	struct progress progress;

	/* The job's, from its beginning to its end. */
	enum give_job job;
	lsn_t wanted;
	struct buffer raw;
	lsn_t raw_next;
	uint64_t total, left;
	bool is_ok;
	struct fault why;
};

static void give_free(struct give *g)
{
	struct peer *p = &g->driver->peers[g->peer];

	/* Who reigns no more may have to cut its journal below that checkpoint. */
	if (g->is_taken && !g->driver->is_closed && replica_role(g->driver->core) == REPLICA_MASTER) {
		store_source_close(&p->kept);
		p->kept = g->src;
		p->kept_until_ms = clock_mono_ms() + KEPT_MS;
		g->src = NULL;
	}
	store_source_close(&g->src);
	buffer_fini(&g->raw);
	free(g);
}

void driver_give_end(struct link *l)
{
	struct give *g = l->give;

	if (g == NULL)
		return;
	l->give = NULL;
	g->link = NULL;
	if (g->job == JOB_NONE)
		give_free(g);
}

void driver_give_forget(struct driver *d, size_t peer)
{
	store_source_close(&d->peers[peer].kept);
}

bool driver_give_is_idle(const struct driver *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->peers[i].kept != NULL || (d->peers[i].link != NULL && d->peers[i].link->give != NULL))
			return false;
	}
	return d->gives == 0;
}

/* The jobs, on a pool thread. */

/* The newest checkpoint that goes beyond what both journals have. */
static bool open_newest(struct give *g)
{
	g->src = store_source_open(g->driver->o.store, 0, &g->why);
	if (g->src == NULL)
		return false;
	if (store_source_lsn(g->src) > g->common)
		return store_source_weigh(g->src, 1, &g->total, &g->why);
	store_source_close(&g->src);
	return fault_set(&g->why, FAULT_TRANSIENT, "the newest checkpoint is too old");
}

/* The one that the taker has part of, if it is there and the journal goes on from it. */
static bool change_source(struct give *g)
{
	struct store_source *other;
	struct fault why;

	if (g->wanted == store_source_lsn(g->src))
		return true;
	if (g->wanted <= g->common || g->wanted + 1 < store_first_lsn(g->driver->o.store))
		return false;
	other = store_source_open(g->driver->o.store, g->wanted, &why);
	if (other == NULL)
		return false;
	store_source_close(&g->src);
	g->src = other;
	return true;
}

static bool begin(struct give *g)
{
	uint64_t size;

	if (!change_source(g)) {
		g->wanted = 0;
		return true;
	}
	size = store_source_size(g->src);
	if (g->offset > size)
		return fault_set(&g->why, FAULT_CLIENT, "it says that it has more than there is");
	if (!store_source_weigh(g->src, 1, &g->total, &g->why) || !store_source_weigh(g->src, g->next, &g->left, &g->why))
		return false;
	g->total += size;
	g->left += size - g->offset;
	return true;
}

static void work(void *arg)
{
	struct give *g = arg;

	switch (g->job) {
	case JOB_OPEN:
		g->is_ok = open_newest(g);
		break;
	case JOB_BEGIN:
		g->is_ok = begin(g);
		break;
	case JOB_PIECE:
		g->is_ok = store_source_read(g->src, g->offset, STREAM_PIECE, &g->raw, &g->why);
		break;
	case JOB_BODIES:
		g->is_ok = store_source_bodies(g->src, g->next, STREAM_PIECE, &g->raw, &g->raw_next, &g->why);
		break;
	case JOB_NONE:
		break;
	}
	driver_reader_end(g->driver);
}

/* What came of them, on the loop. */

static void say(struct give *g, struct peer_message *m)
{
	m->epoch = replica_epoch(g->driver->core);
	m->copy.lsn = g->lsn;
	m->copy.left = g->progress.left;
	m->copy.total = g->total;
	g->said_ms = clock_mono_ms();
	link_send(g->link, m);
}

static void offer(struct give *g)
{
	struct peer_message m = { .type = MESSAGE_OFFER, .lsn = g->common, .committed = replica_committed(g->driver->core) };

	g->is_offered = true;
	g->is_taken = false;
	g->progress.left = g->total += store_source_size(g->src);
	say(g, &m);
	log_event(LOG_INFO, "driver.copy.offered", LOG_STR("member", g->driver->peers[g->peer].name),
	          LOG_U64("lsn", g->lsn), LOG_U64("octets", g->total));
}

static void sent(struct give *g, uint64_t octets)
{
	g->sizes[(g->first + g->count) % WINDOW_COUNT] = octets;
	g->count++;
	g->under_way += octets;
	if (g->count == 1)
		g->heard_ms = clock_mono_ms();
	driver_pace_note(g->driver, octets);
	(void)atomic_fetch_add(&g->driver->copied, octets);
	buffer_clear(&g->raw);
}

static void took(struct give *g, uint64_t octets)
{
	progress_note(&g->progress, clock_mono_ms(), g->progress.left > octets ? g->progress.left - octets : 0);
}

static void send_piece(struct give *g)
{
	struct peer_message m = { .type = MESSAGE_PIECE, .copy.offset = g->offset, .raw = buffer_bytes(&g->raw) };

	took(g, g->raw.n);
	g->offset += g->raw.n;
	say(g, &m);
	sent(g, m.raw.n);
}

static void send_bodies(struct give *g)
{
	/* What was expunged by now may be missing in what was sent: nobody's copy is whole before it knows that, too. */
	struct peer_message m = { .type = MESSAGE_BODIES, .committed = store_applied_lsn(g->driver->o.store),
		                  .copy.next = g->raw_next, .raw = buffer_bytes(&g->raw) };

	took(g, g->raw_next == 0 ? UINT64_MAX : g->raw.n);
	g->next = g->raw_next;
	g->is_all_sent = g->next == 0;
	say(g, &m);
	sent(g, m.raw.n);
	if (g->is_all_sent)
		log_event(LOG_INFO, "driver.copy.given", LOG_STR("member", g->driver->peers[g->peer].name),
		          LOG_U64("lsn", g->lsn), LOG_U64("floor", m.committed));
}

static void failed(struct give *g)
{
	struct driver *d = g->driver;

	if (g->why.kind == FAULT_CLIENT) {
		link_drop(g->link, g->why.what);
	} else if (g->why.kind == FAULT_TRANSIENT && g->src == NULL) {
		d->keeper.wants_checkpoint = true; /* and then again: driver_give_tick() */
		g->not_before_ms = clock_mono_ms() + 200;
	} else {
		log_event(LOG_ERROR, "driver.copy.unreadable", LOG_STR("member", d->peers[g->peer].name), LOG_FAULT(&g->why));
		d->peers[g->peer].give_not_before_ms = clock_mono_ms() + RETRY_MS;
		link_drop(g->link, NULL);
	}
}

static void worked(void *arg)
{
	struct give *g = arg;
	struct link *l = g->link;
	enum give_job job = g->job;

	g->job = JOB_NONE;
	g->driver->gives--;
	if (l == NULL || l->is_dead || g->driver->is_closed) {
		if (l != NULL)
			l->give = NULL;
		give_free(g);
		return;
	}
	g->lsn = g->src == NULL ? 0 : store_source_lsn(g->src);
	if (!g->is_ok) {
		failed(g);
		return;
	}
	if (job == JOB_OPEN || (job == JOB_BEGIN && g->wanted == 0)) {
		if (job == JOB_BEGIN)
			g->total -= store_source_size(g->src);
		offer(g);
	} else if (job == JOB_BEGIN) {
		g->is_taken = true;
		g->progress = (struct progress){ .left = g->left };
	} else if (job == JOB_PIECE) {
		send_piece(g);
	} else {
		send_bodies(g);
	}
	driver_give_pump(l);
}

static void start(struct give *g, enum give_job job)
{
	g->job = job;
	g->driver->gives++;
	driver_reader_begin(g->driver);
	loop_work(g->driver->loop, work, worked, g);
}

void driver_give_pump(struct link *l)
{
	struct give *g = l->give;

	if (g == NULL || g->job != JOB_NONE || l->is_dead || g->driver->is_closed || g->driver->gives >= GIVES_MAX)
		return;
	if (g->src == NULL) {
		if (clock_mono_ms() >= g->not_before_ms)
			start(g, JOB_OPEN);
	} else if (g->is_taken && !g->is_all_sent && g->count < WINDOW_COUNT && g->under_way < WINDOW_OCTETS &&
	           conn_pending(l->conn) < CONN_OUTPUT_HIGH && driver_pace_allows(g->driver)) {
		start(g, g->offset < store_source_size(g->src) ? JOB_PIECE : JOB_BODIES);
	}
}

void driver_give(struct driver *d, size_t peer, lsn_t common)
{
	struct link *l = d->peers[peer].link;
	struct give *g;

	if (l == NULL)
		return;
	driver_give_end(l);
	l->is_streaming = false;
	g = must_calloc(1, sizeof(*g));
	g->driver = d;
	g->link = l;
	g->peer = peer;
	g->common = common;
	g->said_ms = g->heard_ms = clock_mono_ms();
	g->not_before_ms = d->peers[peer].give_not_before_ms;
	l->give = g;
	driver_give_pump(l);
}

static void hear_take(struct give *g, const struct peer_message *m)
{
	struct peer *p = &g->driver->peers[g->peer];

	if (!g->is_offered || g->is_taken || g->job != JOB_NONE) {
		link_drop(g->link, "it takes a copy that was not offered");
		return;
	}
	if (p->kept != NULL && store_source_lsn(p->kept) == m->copy.lsn) {
		store_source_close(&g->src);
		g->src = p->kept;
		p->kept = NULL;
	}
	g->wanted = m->copy.lsn;
	g->offset = m->copy.offset;
	g->next = m->copy.next;
	log_event(LOG_INFO, "driver.copy.begun", LOG_STR("member", p->name), LOG_U64("lsn", m->copy.lsn),
	          LOG_U64("offset", m->copy.offset), LOG_U64("next", m->copy.next));
	start(g, JOB_BEGIN);
}

void driver_give_hear(struct link *l, const struct peer_message *m)
{
	struct give *g = l->give;

	if (g == NULL) {
		link_drop(l, "it takes a copy that was not offered");
	} else if (m->type == MESSAGE_TAKE) {
		hear_take(g, m);
	} else if (g->count == 0) {
		link_drop(l, "it has stored what was not sent");
	} else {
		g->heard_ms = clock_mono_ms();
		g->under_way -= g->sizes[g->first];
		g->first = (g->first + 1) % WINDOW_COUNT;
		g->count--;
		driver_give_pump(l);
	}
}

static void tick(struct give *g, uint64_t now)
{
	struct peer_message alive = { .type = MESSAGE_PIECE, .copy.offset = g->offset };

	if (g->count > 0 && now >= g->heard_ms + STALL_MS) {
		link_drop(g->link, "it takes a copy and has stored nothing for a minute");
		return;
	}
	if (now >= g->said_ms + config_number(g->driver->o.config, "lease_ms"))
		say(g, &alive);
	driver_give_pump(g->link);
}

void driver_give_tick(struct driver *d)
{
	uint64_t now = clock_mono_ms();

	for (size_t i = 0; i < d->count; i++) {
		struct peer *p = &d->peers[i];

		if (p->kept != NULL && now >= p->kept_until_ms)
			driver_give_forget(d, i);
		if (p->link != NULL && p->link->give != NULL)
			tick(p->link->give, now);
	}
}

/* A follower that never gets there must not fill the disk. */
static bool is_tight(const struct driver *d)
{
	const char *name, *dir;
	struct statvfs v;

	return config_family(d->o.config, "partition-", 0, &name, &dir) && statvfs(dir, &v) == 0 &&
	       (double)v.f_bavail * 100 < (double)v.f_blocks * HOLD_FREE;
}

static void hold_from(lsn_t *hold, lsn_t from)
{
	if (*hold == 0 || from < *hold)
		*hold = from;
}

lsn_t driver_give_hold(const struct driver *d)
{
	lsn_t hold = 0;

	for (size_t i = 0; i < d->count; i++) {
		const struct link *l = d->peers[i].link;
		const struct store_source *kept = d->peers[i].kept;

		if (kept != NULL)
			hold_from(&hold, store_source_lsn(kept) + 1);
		if (l != NULL && l->give != NULL && l->give->lsn > 0)
			hold_from(&hold, l->give->lsn + 1);
		if (l != NULL && l->is_streaming)
			hold_from(&hold, l->next);
	}
	return hold != 0 && is_tight(d) ? 0 : hold;
}

void driver_give_status(const struct driver *d, size_t peer, struct buffer *to)
{
	const struct give *g = d->peers[peer].link == NULL ? NULL : d->peers[peer].link->give;

	if (g == NULL)
		return;
	json_key(to, "copy");
	buffer_add_u8(to, '{');
	json_key_string(to, "state", bytes_of(g->is_all_sent ? "sent" : g->is_taken ? "giving" : "preparing"));
	if (g->is_taken)
		progress_json(to, &g->progress, g->total);
	buffer_add_u8(to, '}');
}
