/* sim_disk.c - a member's journal as a file: what is in the process's memory, what the kernel has, what is on the disk.
 *
 * A flush writes one batch (a header of 32 octets, then the entries) and syncs it; the next begins only after that. So:
 *	the process ends    what the kernel was given stays, to the octet, though it may not be on the disk
 *	the machine ends    of each sector of what was not synced the old or the new octets are there
 *	a sync fails        the same, and no later sync says so: the kernel takes the pages for clean
 * Recovery keeps the entries of the last batch that are whole and stand before the first that is not, as journal_open.c
 * does by checksums. Then it makes the batch durable, which it cannot know it to be. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sim.h"

#define SECTOR 512u
#define BATCH_HEADER 32u

bool disk_is_full(const struct sim *s, const struct sim_disk *d)
{
	return d->full_until > s->now;
}

uint64_t disk_epoch(const struct sim_disk *d, uint64_t lsn)
{
	return lsn == 0 || lsn > d->last ? 0 : d->at[lsn].epoch;
}

bool disk_append(struct sim *s, struct sim_disk *d, const struct sim_entry *e)
{
	if (disk_is_full(s, d) || d->is_failed)
		return false;
	if (d->last + 2 > d->cap) {
		d->cap = d->cap * 2 + 64;
		d->at = must_realloc(d->at, d->cap, sizeof(*d->at));
	}
	d->at[++d->last] = *e;
	return true;
}

static uint64_t octets(const struct sim_disk *d, uint64_t from, uint64_t to)
{
	uint64_t n = 0;

	for (uint64_t lsn = from; lsn <= to; lsn++)
		n += d->at[lsn].size;
	return n;
}

void disk_flush_begin(struct sim *s, struct sim_disk *d)
{
	if (d->is_flushing || d->is_failed || d->written >= d->last)
		return;
	d->is_flushing = true;
	d->flush_to = d->last;
	d->flush_at = s->now + 100 + sim_random(s, 2 * MS);
	if (d->slow_until > s->now)
		d->flush_at += sim_random(s, 3 * SECOND);
}

static void all_safe(struct sim_disk *d)
{
	if (d->written > d->safe)
		d->used += BATCH_HEADER + octets(d, d->safe + 1, d->written);
	d->safe = d->written;
}

void disk_make_safe(struct sim_disk *d)
{
	d->written = d->last;
	all_safe(d);
}

bool disk_flush_end(struct sim *s, struct sim_disk *d)
{
	d->is_flushing = false;
	d->written = d->flush_to;
	if (d->fail_until > s->now) {
		d->is_failed = true;
		return false;
	}
	all_safe(d);
	return true;
}

void disk_truncate(struct sim_disk *d, uint64_t lsn)
{
	if (lsn >= d->last)
		return;
	if (lsn < d->safe)
		d->used -= octets(d, lsn + 1, d->safe);
	d->last = lsn;
	if (d->written > lsn)
		d->written = lsn;
	if (d->safe > lsn)
		d->safe = lsn;
}

/* How many of the entries SAFE + 1 .. TO, which lie behind a header at USED, are whole, when only the octets up to LENGTH
 * reached the file (a process was killed) or, if IS_TORN, each sector by chance. */
static uint64_t whole_entries(struct sim *s, const struct sim_disk *d, uint64_t to, uint64_t length, bool is_torn)
{
	uint64_t at = d->used, end, lsn = d->safe;
	uint64_t sector = UINT64_MAX; /* the newest one decided on */
	uint64_t mode = sim_random(s, 3);  /* nothing of it, everything, or each by chance */
	bool is_there = true;

	for (end = at + BATCH_HEADER; lsn <= to; end += d->at[lsn].size) {
		for (uint64_t i = at / SECTOR; is_torn && is_there && i <= (end - 1) / SECTOR; i++) {
			if (i != sector)
				is_there = mode == 1 || (mode == 2 && sim_random(s, 8) != 0);
			sector = i;
		}
		if (!is_there || (!is_torn && end - d->used > length))
			break;
		at = end;
		/* The header first, then entry after entry. */
		if (++lsn > to)
			break;
	}
	return lsn > d->safe ? lsn - 1 : d->safe;
}

void disk_crash(struct sim *s, struct sim_disk *d, bool is_power)
{
	uint64_t to = d->is_flushing ? d->flush_to : d->written;

	if (to > d->safe) {
		uint64_t all = BATCH_HEADER + octets(d, d->safe + 1, to);
		/* What the kernel has already, a crash of the process does not take back. */
		uint64_t length = d->is_flushing ? sim_random(s, 2) == 0 ? all : sim_random(s, all + 1) : all;
		uint64_t whole = whole_entries(s, d, to, length, is_power);

		if (s->bug == BUG_TORN_TAKEN && is_power && whole > d->safe && whole < to) {
			for (uint64_t lsn = whole + 1; lsn <= to; lsn++)
				d->at[lsn].is_torn = true;
			whole = to;
		}
		d->written = whole;
	}
	d->last = d->written;
	if (is_power)
		all_safe(d);
	d->is_flushing = d->is_failed = false;
}

bool disk_recover(struct sim *s, struct sim_disk *d)
{
	if (s->bug == BUG_TRUST_CACHE)
		return true;
	if (d->written > d->safe && d->fail_until > s->now)
		return false;
	all_safe(d);
	return true;
}
