/* driver_scrub.c - the journal is read through, entry by entry, at the rate that verify_rate allows: what nobody reads is found
 * damaged while another member still has it. Each finding is logged, counted, and given to be mended.
 *
 * The tick gives the pool a piece at a time, of so much as the rate allows for a tenth of a second, and the next when its time has
 * come. A pass begins verify_interval_s after the one before it began, at its end if it takes longer; the first with the member. */
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "store_mend.h"

#define PIECES_PER_S 10
#define PIECE_MIN (64u << 10)
#define PIECE_ENTRIES 100000 /* most are gone where there are so many */
#define ENTRY_COST 512       /* beside its octets */
#define KEEP_BUFFER (1u << 20)
#define NS_PER_MS 1000000u

/* On the pool. */
static void read_piece(void *arg)
{
	struct driver *d = arg;
	struct scrub *s = &d->scrub;
	uint64_t budget = s->pace.rate / PIECES_PER_S > PIECE_MIN ? s->pace.rate / PIECES_PER_S : PIECE_MIN;
	lsn_t last = store_applied_lsn(d->o.store);
	struct fault why;

	s->piece = 0;
	s->found_count = 0;
	s->is_over = s->next > last;
	for (size_t i = 0; i < PIECE_ENTRIES && s->piece < budget && s->found_count < SCRUB_FOUND_MAX && !s->is_over; i++) {
		enum store_result result;

		buffer_clear(&s->raw);
		result = store_entry_read(d->o.store, s->next, &s->raw, &why);
		if (result == STORE_DAMAGED)
			s->found[s->found_count++] = s->next;
		if (result != STORE_GONE)
			s->piece += s->raw.n + ENTRY_COST;
		s->is_over = s->next++ >= last;
	}
	if (s->raw.cap > KEEP_BUFFER)
		buffer_fini(&s->raw);
	driver_reader_end(d);
}

static void pass_over(struct driver *d)
{
	struct scrub *s = &d->scrub;
	uint64_t interval_ms = config_number(d->o.config, "verify_interval_s") * 1000;

	(void)atomic_fetch_add(&s->passes, 1);
	log_event(LOG_INFO, "driver.scrub.passed", LOG_U64("lsn", s->next - 1), LOG_U64("octets", s->pass_octets),
	          LOG_U64("found", s->pass_found), LOG_NS("dur", (clock_mono_ms() - s->began_ms) * NS_PER_MS));
	s->next = 1;
	if (s->due_ms < s->began_ms + interval_ms)
		s->due_ms = s->began_ms + interval_ms;
}

static void piece_done(void *arg)
{
	struct driver *d = arg;
	struct scrub *s = &d->scrub;

	s->is_running = false;
	if (d->is_closed)
		return;
	for (size_t i = 0; i < s->found_count; i++) {
		struct driver_mend *mend = must_calloc(1, sizeof(*mend));

		mend->lsn = s->found[i];
		driver_mend(d, mend);
	}
	s->pass_octets += s->piece;
	s->pass_found += s->found_count;
	(void)atomic_fetch_add(&s->octets, s->piece);
	atomic_store(&s->lsn, s->next - 1);
	s->due_ms = clock_mono_ms() + pace_rest_ns(&s->pace, s->piece, clock_mono_ns()) / NS_PER_MS;
	if (s->is_over)
		pass_over(d);
}

void driver_scrub_tick(struct driver *d)
{
	struct scrub *s = &d->scrub;
	uint64_t now = clock_mono_ms();

	if (s->is_running || d->is_stopping || s->pace.rate == 0 || now < s->due_ms)
		return;
	if (s->next == 1) {
		s->began_ms = now;
		s->pass_octets = s->pass_found = 0;
	}
	s->is_running = true;
	driver_reader_begin(d);
	loop_work(d->loop, read_piece, piece_done, d);
}

void driver_scrub_init(struct driver *d)
{
	d->scrub.next = 1;
	pace_init(&d->scrub.pace, config_number(d->o.config, "verify_rate"));
}

void driver_scrub_fini(struct driver *d)
{
	buffer_fini(&d->scrub.raw);
}
