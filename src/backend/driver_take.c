/* driver_take.c - taking a whole copy of the partition from the master, and putting it in the place of what is here.
 *
 * The happy path, all that touches the disk on a pool thread:
 *	driver_take()    the core's word, for an OFFER: what an earlier try has left is opened, and TAKE says how far it goes
 *	PIECE, BODIES    each is checked and stored, then TAKEN; what waits for that is bounded by the giver's window
 *	placing          the connection is ended; when nobody looks at the partition it is closed, finished, and opened anew;
 *	                 the core hears COPIED, and it dials again
 *
 * Whatever ends the connection before ends this, and what was stored stays for the next time, or is removed if the next master
 * has all that is needed in its journal. A copy is finished only in the step that puts it in place, by a member that is a
 * follower then: so there is no moment at which a member could act on the old partition and find the new one in its place
 * later. While it is placed the core hears nothing of the directory.
 *
 * What cannot be stored (damaged on the way, or no room) is logged, and tried again when there is room. If the partition cannot
 * be opened with the copy in place the process ends, as it would end at its start. */
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "driver_link.h"
#include "json.h"
#include "log.h"

/* Beside what is left of the copy, for the index that is made of it. */
#define ROOM_BESIDE (16u << 20)

enum take_state {
	TAKE_IDLE,
	TAKE_OPENING, /* a job looks at what is there */
	TAKE_GOING,
	TAKE_READY,   /* all is stored; to be placed */
	TAKE_PLACING,
};

struct piece {
	struct list waiting;
	enum message_type type;
	uint64_t offset;
	lsn_t next, committed;
	struct buffer raw;
};

struct take {
	struct driver *driver;
	const char *dir;
	enum take_state state;
	struct link *link; /* NULL in OPENING, GOING: it ended, and so does this when the job is done */
	bool has_asked;    /* on this link, for what may be away */
	lsn_t lsn, floor;
	struct store_incoming *in;
	struct list pieces;
	uint64_t queued; /* octets of those, and of the one that a job has */
	struct progress progress;
	uint64_t total;
	uint64_t began_ms, stored;
	uint64_t room; /* octets that are wanted before the next try; 0: any */

	/* What came while it was placed. */
	bool has_reign;
	uint64_t epoch;
	struct buffer master, in_sync;

	/* The job's. */
	bool is_working, is_ok, is_placed;
	lsn_t offered, opened;
	struct piece *piece;
	struct fault why;
};

static void free_piece(struct piece **p)
{
	if (*p == NULL)
		return;
	buffer_fini(&(*p)->raw);
	free(*p);
	*p = NULL;
}

static void clear_pieces(struct take *t)
{
	struct list *m;

	while ((m = list_shift(&t->pieces)) != NULL) {
		struct piece *p = LIST_OBJECT(m, struct piece, waiting);

		free_piece(&p);
	}
	t->queued = 0;
}

/* Back to nothing; what was stored stays. No job is under way. */
static void give_up(struct take *t)
{
	if (t->link != NULL)
		t->link->is_taking = false;
	t->link = NULL;
	clear_pieces(t);
	store_incoming_close(&t->in);
	t->state = TAKE_IDLE;
}

static void failed(struct take *t)
{
	struct driver *d = t->driver;
	struct link *l = t->link;

	log_event(LOG_ERROR, "driver.copy.failed", LOG_U64("lsn", t->lsn), LOG_U64("stored", t->stored),
	          LOG_U64("left", t->progress.left), LOG_FAULT(&t->why));
	d->has_refused = true;
	t->room = t->progress.left + ROOM_BESIDE;
	give_up(t);
	if (l != NULL)
		driver_sync_disconnect(d, l->peer);
}

bool driver_take_has_room(const struct driver *d)
{
	const struct take *t = d->take;
	struct statvfs v;

	if (t->room == 0 || statvfs(t->dir, &v) != 0)
		return true;
	return (uint64_t)v.f_bavail * v.f_frsize >= t->room;
}

/* The jobs. */

static void start(struct take *t, loop_fn *job, loop_fn *done)
{
	t->is_working = true;
	loop_work(t->driver->loop, job, done, t);
}

static void open_job(void *arg)
{
	struct take *t = arg;
	lsn_t begun = t->has_asked ? 0 : store_incoming_begun(t->dir);

	t->opened = begun != 0 ? begun : t->offered;
	t->in = store_incoming_open(t->dir, t->opened, config_number(t->driver->o.config, "journal_segment_size"), &t->why);
	t->is_ok = t->in != NULL;
}

static bool store_bodies(struct take *t, struct bytes raw)
{
	lsn_t lsn;
	epoch_t epoch;
	uint64_t n;

	for (; raw.n > 0; raw = bytes_from(raw, (size_t)n)) {
		if (!store_entry_peek(raw, &lsn, &epoch, &n) || n > raw.n)
			return fault_set(&t->why, FAULT_OPERATOR, "what came is no entry");
		if (!store_incoming_entry(t->in, bytes_sub(raw, 0, (size_t)n), &t->why))
			return false;
	}
	return true;
}

static void piece_job(void *arg)
{
	struct take *t = arg;
	const struct piece *p = t->piece;

	if (p->type == MESSAGE_BODIES)
		t->is_ok = store_bodies(t, buffer_bytes(&p->raw));
	else if (p->offset != store_incoming_size(t->in))
		t->is_ok = fault_set(&t->why, FAULT_OPERATOR, "a piece of the checkpoint is out of order");
	else
		t->is_ok = store_incoming_checkpoint(t->in, buffer_bytes(&p->raw), &t->why);
}

static void place_job(void *arg)
{
	struct take *t = arg;

	t->is_ok = store_incoming_finish(t->in, t->floor, &t->why);
	if (!t->is_ok)
		return;
	store_incoming_close(&t->in);
	t->is_placed = store_reopen_run(t->driver->o.store, &t->why);
}

/* What came of them, on the loop. */

static void say(struct take *t, enum message_type type)
{
	const struct peer_message m = { .type = type, .epoch = replica_epoch(t->driver->core),
		                        .copy = { .lsn = t->lsn, .offset = store_incoming_size(t->in),
		                                  .next = store_incoming_next(t->in) } };

	link_send(t->link, &m);
}

/* A job is done. False: the copy ended meanwhile, or it failed. */
static bool goes_on(struct take *t)
{
	t->is_working = false;
	if (t->driver->is_closed || t->link == NULL) {
		give_up(t);
		return false;
	}
	if (t->is_ok)
		return true;
	failed(t);
	return false;
}

static void opened(void *arg)
{
	struct take *t = arg;

	t->lsn = t->opened;
	if (!goes_on(t))
		return;
	t->has_asked = true;
	t->state = TAKE_GOING;
	log_event(LOG_INFO, "driver.copy.begun", LOG_STR("member", t->driver->peers[t->link->peer].name), LOG_U64("lsn", t->lsn),
	          LOG_U64("offset", store_incoming_size(t->in)), LOG_U64("next", store_incoming_next(t->in)));
	say(t, MESSAGE_TAKE);
}

static void next_piece(struct take *t);

static void piece_done(void *arg)
{
	struct take *t = arg;
	bool is_last = t->piece->type == MESSAGE_BODIES && t->piece->next == 0;
	uint64_t n = t->piece->raw.n;
	struct link *l;

	t->floor = t->piece->committed;
	free_piece(&t->piece);
	if (!goes_on(t))
		return;
	t->queued -= n + sizeof(*t->piece);
	t->stored += n;
	say(t, MESSAGE_TAKEN);
	if (!is_last) {
		next_piece(t);
		return;
	}
	l = t->link;
	l->is_taking = false;
	t->link = NULL;
	t->state = TAKE_READY;
	driver_sync_disconnect(t->driver, l->peer);
}

static void next_piece(struct take *t)
{
	struct list *m = t->is_working || t->state != TAKE_GOING ? NULL : list_shift(&t->pieces);

	if (m == NULL)
		return;
	t->piece = LIST_OBJECT(m, struct piece, waiting);
	start(t, piece_job, piece_done);
}

static void tell_reign(struct take *t)
{
	struct replica_event ev = { .type = EVENT_CONFIG };

	if (!t->has_reign)
		return;
	t->has_reign = false;
	ev.reign.epoch = t->epoch;
	ev.reign.master = buffer_bytes(&t->master);
	ev.reign.in_sync = buffer_bytes(&t->in_sync);
	driver_event(t->driver, &ev);
}

static void placed(void *arg)
{
	struct take *t = arg;
	struct driver *d = t->driver;

	t->is_working = false;
	d->is_replacing = false;
	if (d->is_closed) {
		give_up(t);
		return;
	}
	if (t->is_ok && !t->is_placed) {
		log_event(LOG_ERROR, "driver.copy.unusable", LOG_FAULT(&t->why));
		driver_give_up(d);
		return;
	}
	store_reopen_done(d->o.store);
	d->o.events->on_replaced(d->o.arg);
	if (!t->is_ok) {
		failed(t);
	} else {
		log_event(LOG_INFO, "driver.copy.taken", LOG_U64("lsn", t->lsn), LOG_U64("floor", t->floor),
		          LOG_U64("octets", t->stored), LOG_NS("dur", (clock_mono_ms() - t->began_ms) * 1000000));
		t->room = 0;
		t->state = TAKE_IDLE;
		driver_journal_is(d, EVENT_COPIED);
	}
	tell_reign(t);
	driver_directory_join(d);
	driver_sync_connect(d, d->connect_to);
}

/* Orders. */

void driver_take(struct driver *d, size_t peer, const struct peer_message *m)
{
	struct take *t = d->take;
	struct link *l = d->peers[peer].link;

	if (l == NULL)
		return;
	/* Of the copy before a job may still be under way: it comes again. */
	if (t->is_working || t->state == TAKE_READY || (t->state == TAKE_GOING && t->link != l)) {
		driver_sync_disconnect(d, peer);
		return;
	}
	/* Another offer on one connection: what was asked for is away. */
	if (t->link != l)
		t->has_asked = false;
	give_up(t);
	t->link = l;
	l->is_taking = true;
	t->lsn = t->offered = m->copy.lsn;
	t->total = m->copy.total;
	t->progress = (struct progress){ .left = m->copy.left };
	t->began_ms = clock_mono_ms();
	t->stored = 0;
	t->state = TAKE_OPENING;
	start(t, open_job, opened);
}

void driver_take_hear(struct link *l, const struct peer_message *m)
{
	struct take *t = l->driver->take;
	struct piece *p;

	if (m->type == MESSAGE_PIECE && m->raw.n == 0)
		return; /* a sign of life */
	if (!l->is_taking || t->link != l || t->state != TAKE_GOING || m->copy.lsn != t->lsn || t->queued > 2 * store_entry_max()) {
		link_drop(l, "a copy comes that was not asked for");
		return;
	}
	p = must_calloc(1, sizeof(*p));
	p->type = m->type;
	p->offset = m->copy.offset;
	p->next = m->copy.next;
	p->committed = m->committed;
	buffer_add(&p->raw, m->raw);
	t->queued += m->raw.n + sizeof(*p);
	t->total = m->copy.total;
	progress_note(&t->progress, clock_mono_ms(), m->copy.left);
	list_push(&t->pieces, &p->waiting);
	next_piece(t);
}

static void remove_job(void *arg)
{
	struct take *t = arg;

	t->is_ok = store_incoming_begun(t->dir) == 0 || store_incoming_remove(t->dir, &t->why);
}

static void removed(void *arg)
{
	struct take *t = arg;

	t->is_working = false;
	if (!t->is_ok)
		log_event(LOG_WARNING, "driver.copy.left", LOG_FAULT(&t->why));
}

void driver_take_not(struct driver *d)
{
	if (d->take->state == TAKE_IDLE && !d->take->is_working)
		start(d->take, remove_job, removed);
}

void driver_take_end(struct link *l)
{
	struct take *t = l->driver->take;

	if (!l->is_taking)
		return;
	l->is_taking = false;
	t->link = NULL;
	clear_pieces(t);
	if (!t->is_working)
		give_up(t);
}

/* Nothing of this member's own work is under way, and nobody else's: what is there can be put aside. */
static bool is_quiet(struct driver *d)
{
	return replica_role(d->core) != REPLICA_MASTER && !d->is_turn_open && !d->is_flushing && !d->is_applying &&
	       d->keeper.running == KEEPER_IDLE && driver_give_is_idle(d) && !driver_has_readers(d);
}

void driver_take_tick(struct driver *d)
{
	struct take *t = d->take;

	if (t->state != TAKE_READY)
		return;
	if (replica_role(d->core) == REPLICA_MASTER) {
		give_up(t); /* by an operator's order, with what it had */
		return;
	}
	for (size_t i = 0; i < d->count; i++) {
		driver_give_forget(d, i);
		driver_sync_disconnect(d, i); /* who has called us meanwhile; nobody else gets in until it is done */
	}
	if (!is_quiet(d) || !store_reopen_begin(d->o.store))
		return;
	t->state = TAKE_PLACING;
	t->is_placed = false;
	d->is_replacing = true;
	start(t, place_job, placed);
}

bool driver_take_is_waiting(const struct driver *d)
{
	return d->take->state == TAKE_READY || d->take->state == TAKE_PLACING;
}

void driver_take_keep_reign(struct driver *d, uint64_t epoch, struct bytes master, struct bytes in_sync)
{
	struct take *t = d->take;

	t->has_reign = true;
	t->epoch = epoch;
	buffer_clear(&t->master);
	buffer_add(&t->master, master);
	buffer_clear(&t->in_sync);
	buffer_add(&t->in_sync, in_sync);
}

void driver_take_status(const struct driver *d, struct buffer *to)
{
	static const char *const states[] = { "", "preparing", "taking", "placing", "placing" };
	const struct take *t = d->take;

	if (t->state == TAKE_IDLE)
		return;
	json_key(to, "copy");
	buffer_add_u8(to, '{');
	json_key_string(to, "state", bytes_of(states[t->state]));
	json_key_u64(to, "lsn", t->lsn);
	progress_json(to, &t->progress, t->total);
	buffer_add_u8(to, '}');
}

uint64_t driver_take_left(const struct driver *d)
{
	return d->take->state == TAKE_IDLE ? 0 : d->take->progress.left;
}

void driver_take_open(struct driver *d)
{
	const char *name;

	d->take = must_calloc(1, sizeof(*d->take));
	d->take->driver = d;
	list_init(&d->take->pieces);
	(void)config_family(d->o.config, "partition-", 0, &name, &d->take->dir);
}

void driver_take_free(struct driver *d)
{
	give_up(d->take);
	buffer_fini(&d->take->master);
	buffer_fini(&d->take->in_sync);
	free(d->take);
	d->take = NULL;
}
