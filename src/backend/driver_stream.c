/* driver_stream.c - the entries that followers are sent: those of the present turn from memory, older ones from the journal.
 *
 * The journal is read on a pool thread, one piece at a time for each follower: what one that is far behind needs comes from
 * the disk, and no turn waits for that. What a follower does not take waits nowhere: reading stops while CONN_OUTPUT_HIGH
 * octets are queued for it, and while copy_rate says so, unless it is in sync and others wait for it. */
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "driver_link.h"
#include "log.h"

/* So much time of copy_rate may be spent at once. */
#define PACE_BURST_NS 100000000u

struct reading {
	struct driver *driver;
	struct link *link; /* NULL: it ended meanwhile */
	lsn_t from, last;
	struct buffer raw;
	enum store_result result;
	struct fault why;
};

bool driver_pace_allows(const struct driver *d)
{
	return clock_mono_ns() + PACE_BURST_NS >= d->paced_until_ns;
}

void driver_pace_note(struct driver *d, uint64_t octets)
{
	uint64_t rate = config_number(d->o.config, "copy_rate"), now = clock_mono_ns();

	if (rate == 0)
		return;
	if (d->paced_until_ns < now)
		d->paced_until_ns = now;
	d->paced_until_ns += (uint64_t)((double)octets * 1e9 / (double)rate);
}

void driver_reader_begin(struct driver *d)
{
	(void)pthread_mutex_lock(&d->lock);
	d->readers++;
	(void)pthread_mutex_unlock(&d->lock);
}

void driver_reader_end(struct driver *d)
{
	(void)pthread_mutex_lock(&d->lock);
	d->readers--;
	(void)pthread_cond_broadcast(&d->no_readers);
	(void)pthread_mutex_unlock(&d->lock);
}

void driver_wait_readers(struct driver *d)
{
	(void)pthread_mutex_lock(&d->lock);
	while (d->readers > 0)
		(void)pthread_cond_wait(&d->no_readers, &d->lock);
	(void)pthread_mutex_unlock(&d->lock);
}

bool driver_has_readers(struct driver *d)
{
	bool has;

	(void)pthread_mutex_lock(&d->lock);
	has = d->readers > 0;
	(void)pthread_mutex_unlock(&d->lock);
	return has;
}

static void send_entries(struct link *l, struct bytes raw)
{
	struct driver *d = l->driver;
	const struct peer_message m = { .type = MESSAGE_ENTRIES, .epoch = replica_epoch(d->core),
		                        .committed = replica_committed(d->core), .raw = raw };

	link_send(l, &m);
}

/* The present turn's entries, from memory: they are not on the disk yet. */
static void send_turn(struct link *l)
{
	size_t count;
	const struct store_entry *e = store_turn_entries(l->driver->o.store, &count);
	struct buffer raw = { 0 };

	for (size_t i = 0; i < count; i++) {
		buffer_add(&raw, e[i].head);
		buffer_add(&raw, e[i].body);
		if (raw.n >= STREAM_PIECE || i + 1 == count) {
			send_entries(l, buffer_bytes(&raw));
			buffer_clear(&raw);
		}
	}
	buffer_fini(&raw);
	l->next = l->driver->turn_last + 1;
}

static void read_piece(void *arg)
{
	struct reading *r = arg;

	r->result = store_read_entries(r->driver->o.store, r->from, STREAM_PIECE, &r->raw, &r->last, &r->why);
	driver_reader_end(r->driver);
}

/* What was read is sent, unless the follower has gone or begun anew meanwhile. */
static void piece_read(void *arg)
{
	struct reading *r = arg;
	struct link *l = r->link;

	if (l != NULL)
		l->reading = NULL;
	if (l != NULL && l->is_streaming && !l->is_dead && l->next == r->from) {
		if (r->result != STORE_OK) {
			log_event(LOG_ERROR, "driver.stream.unreadable", LOG_STR("member", r->driver->peers[l->peer].name),
			          LOG_FAULT(&r->why));
			l->is_streaming = false;
			link_drop(l, NULL);
		} else if (r->last >= r->from) {
			send_entries(l, buffer_bytes(&r->raw));
			driver_pace_note(r->driver, r->raw.n);
			l->next = r->last + 1;
		}
	}
	buffer_fini(&r->raw);
	free(r);
	if (l != NULL)
		link_pump(l);
}

static void begin_reading(struct link *l)
{
	struct reading *r = must_calloc(1, sizeof(*r));

	r->driver = l->driver;
	r->link = l;
	r->from = l->next;
	l->reading = r;
	driver_reader_begin(l->driver);
	loop_work(l->driver->loop, read_piece, piece_read, r);
}

void link_forget_reading(struct link *l)
{
	if (l->reading != NULL)
		l->reading->link = NULL;
	l->reading = NULL;
}

void link_pump(struct link *l)
{
	struct driver *d = l->driver;
	bool is_waited_for = (replica_in_sync(d->core) >> l->peer & 1) != 0;

	if (d->is_closed || !l->is_streaming || l->is_dead || l->reading != NULL || conn_pending(l->conn) >= CONN_OUTPUT_HIGH)
		return;
	if (d->is_turn_open && l->next == d->turn_first)
		send_turn(l);
	else if (l->next <= store_durable_lsn(d->o.store) && (is_waited_for || driver_pace_allows(d)))
		begin_reading(l);
}

void driver_sync_stream(struct driver *d, size_t peer, lsn_t from)
{
	struct link *l = d->peers[peer].link;

	if (l == NULL)
		return;
	driver_give_end(l);
	driver_give_forget(d, peer);
	l->is_streaming = true;
	l->next = from;
	link_pump(l);
}

void driver_sync_stop_streams(struct driver *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->peers[i].link != NULL)
			d->peers[i].link->is_streaming = false;
	}
}

void driver_sync_pump(struct driver *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->peers[i].link != NULL)
			link_pump(d->peers[i].link);
	}
}
