/* driver_status.c - the engine's figures, made once a tick on its own loop and read from any thread. */
#include "driver_private.h"

#include "clock.h"
#include "json.h"

/* How far behind it is, and when it will not be. */
static void lag_json(struct driver *d, size_t i, uint64_t last, struct buffer *to)
{
	struct peer *p = &d->peers[i];
	uint64_t acked = replica_acked(d->core, i);
	uint64_t lag = replica_role(d->core) == REPLICA_MASTER && last > acked ? last - acked : 0;

	json_key_u64(to, "lag", lag);
	if (lag == 0 || p->link == NULL || !p->lag.has_rate)
		p->lag_total = lag;
	progress_note(&p->lag, clock_mono_ms(), lag);
	if (lag > p->lag_total)
		p->lag_total = lag;
	/* In sync it is never more than a turn behind, and nobody waits for it. */
	if (lag == 0 || p->link == NULL || (replica_in_sync(d->core) >> i & 1) != 0)
		return;
	json_key(to, "catching_up");
	buffer_add_u8(to, '{');
	progress_json(to, &p->lag, p->lag_total);
	buffer_add_u8(to, '}');
}

static void peer_json(struct driver *d, size_t i, uint64_t last, struct buffer *to)
{
	json_key(to, d->peers[i].name);
	buffer_add_u8(to, '{');
	json_key_bool(to, "connected", d->peers[i].link != NULL);
	json_key_u64(to, "acked", replica_acked(d->core, i));
	lag_json(d, i, last, to);
	driver_give_status(d, i, to);
	buffer_add_u8(to, '}');
}

static void metrics_of_peers(struct driver *d, uint64_t last, struct buffer *to)
{
	if (replica_role(d->core) != REPLICA_MASTER || d->count < 2)
		return;
	buffer_add_str(to, "# TYPE roost_peer_lag gauge\n");
	for (size_t i = 0; i < d->count; i++) {
		uint64_t acked = replica_acked(d->core, i);

		if (i != d->self)
			buffer_addf(to, "roost_peer_lag{member=\"%s\"} %llu\n", d->peers[i].name,
			            (unsigned long long)(last > acked ? last - acked : 0));
	}
}

static void write_status(struct driver *d, struct buffer *to)
{
	const struct store_stats *st = &d->stats;
	struct fault why;
	char words[512];
	int master = replica_master(d->core);
	uint64_t kept, pending;

	driver_salvage_counts(d, &kept, &pending);
	driver_words(d, replica_in_sync(d->core), words, sizeof(words));
	buffer_add_u8(to, '{');
	json_key_string(to, "server", bytes_of(d->server));
	json_key_string(to, "member", bytes_of(d->member));
	json_key_u64(to, "epoch", replica_epoch(d->core));
	json_key_string(to, "master", bytes_of(master < 0 ? "" : d->peers[master].name));
	json_key_string(to, "in_sync", bytes_of(words));
	json_key_string(to, "sync_mode", bytes_of(d->is_async ? "async" : "sync"));
	json_key_u64(to, "salvage_kept", kept);
	json_key_u64(to, "salvage_pending", pending);
	json_key_u64(to, "lsn", st->last);
	json_key_u64(to, "durable", st->durable);
	json_key_u64(to, "applied", st->applied);
	json_key_u64(to, "committed", replica_committed(d->core));
	json_key_u64(to, "turns", atomic_load(&d->turns));
	json_key_u64(to, "syncs", st->flushes);
	json_key_u64(to, "journal_bytes", st->journal_bytes);
	json_key_u64(to, "journal_first", st->first);
	json_key_u64(to, "checkpoint", st->checkpoint);
	json_key_u64(to, "mailboxes", st->mailboxes);
	json_key_u64(to, "conflicts", atomic_load(&d->conflicts));
	json_key_u64(to, "digest", st->digest);
	json_key_u64(to, "differences", st->differences);
	if (st->differs || st->differs_in != NULL)
		json_key_string(to, "differs_in", bytes_of(st->differs_in == NULL ? "?" : st->differs_in));
	json_key_u64(to, "verified", atomic_load(&d->scrub.lsn));
	json_key_u64(to, "verify_passes", atomic_load(&d->scrub.passes));
	json_key_u64(to, "damaged", atomic_load(&d->damaged));
	json_key_u64(to, "mended", atomic_load(&d->mended));
	json_key_u64(to, "not_mended", atomic_load(&d->not_mended));
	if (!d->is_replacing && store_is_failed(d->o.store)) {
		store_failure(d->o.store, &why);
		json_key_string(to, "failed", bytes_of(why.what));
	}
	json_key_string(to, "directory", bytes_of(d->directory == NULL ? "" : mupdate_client_problem(d->directory)));
	json_key(to, "peers");
	buffer_add_u8(to, '{');
	for (size_t i = 0; i < d->count; i++) {
		if (i != d->self)
			peer_json(d, i, st->last, to);
	}
	buffer_add_u8(to, '}');
	driver_take_status(d, to);
	buffer_add_u8(to, '}');
}

static void write_metrics(struct driver *d, struct buffer *to)
{
	const struct store_stats *st = &d->stats;
	uint64_t kept, pending;

	driver_salvage_counts(d, &kept, &pending);
	buffer_addf(to,
	            "# TYPE roost_epoch gauge\nroost_epoch %llu\n# TYPE roost_lsn gauge\nroost_lsn %llu\n"
	            "# TYPE roost_applied_lsn gauge\nroost_applied_lsn %llu\n# TYPE roost_turns_total counter\n"
	            "roost_turns_total %llu\n# TYPE roost_turn_intents_total counter\nroost_turn_intents_total %llu\n"
	            "# TYPE roost_journal_syncs_total counter\nroost_journal_syncs_total %llu\n"
	            "# TYPE roost_journal_bytes gauge\nroost_journal_bytes %llu\n"
	            "# TYPE roost_directory_conflicts_total counter\nroost_directory_conflicts_total %llu\n"
	            "# TYPE roost_salvage_kept gauge\nroost_salvage_kept %llu\n"
	            "# TYPE roost_salvage_pending gauge\nroost_salvage_pending %llu\n"
	            "# TYPE roost_digest_differences_total counter\nroost_digest_differences_total %llu\n"
	            "# TYPE roost_verified_octets_total counter\nroost_verified_octets_total %llu\n"
	            "# TYPE roost_verify_passes_total counter\nroost_verify_passes_total %llu\n"
	            "# TYPE roost_entries_damaged_total counter\nroost_entries_damaged_total %llu\n"
	            "# TYPE roost_entries_mended_total counter\nroost_entries_mended_total %llu\n"
	            "# TYPE roost_entries_not_mended_total counter\nroost_entries_not_mended_total %llu\n"
	            "# TYPE roost_copy_octets_total counter\nroost_copy_octets_total %llu\n"
	            "# TYPE roost_copy_left_octets gauge\nroost_copy_left_octets %llu\n",
	            (unsigned long long)replica_epoch(d->core), (unsigned long long)st->last, (unsigned long long)st->applied,
	            (unsigned long long)atomic_load(&d->turns), (unsigned long long)atomic_load(&d->turned),
	            (unsigned long long)st->flushes, (unsigned long long)st->journal_bytes,
	            (unsigned long long)atomic_load(&d->conflicts), (unsigned long long)kept, (unsigned long long)pending,
	            (unsigned long long)st->differences,
	            (unsigned long long)atomic_load(&d->scrub.octets),
	            (unsigned long long)atomic_load(&d->scrub.passes), (unsigned long long)atomic_load(&d->damaged),
	            (unsigned long long)atomic_load(&d->mended), (unsigned long long)atomic_load(&d->not_mended),
	            (unsigned long long)atomic_load(&d->copied), (unsigned long long)driver_take_left(d));
	metrics_of_peers(d, st->last, to);
}

void driver_status_refresh(struct driver *d)
{
	struct buffer s = { 0 }, m = { 0 };

	if (!d->is_replacing)
		store_get_stats(d->o.store, &d->stats);
	write_status(d, &s);
	write_metrics(d, &m);
	(void)pthread_mutex_lock(&d->lock);
	buffer_fini(&d->status);
	buffer_fini(&d->metrics);
	d->status = s;
	d->metrics = m;
	(void)pthread_mutex_unlock(&d->lock);
}

void driver_status_json(struct driver *d, struct buffer *to)
{
	(void)pthread_mutex_lock(&d->lock);
	json_sep(to);
	if (d->status.n > 2)
		buffer_add(to, bytes_sub(buffer_bytes(&d->status), 1, d->status.n - 2));
	(void)pthread_mutex_unlock(&d->lock);
}

void driver_metrics(struct driver *d, struct buffer *to)
{
	(void)pthread_mutex_lock(&d->lock);
	buffer_add(to, buffer_bytes(&d->metrics));
	(void)pthread_mutex_unlock(&d->lock);
	buffer_addf(to, "# TYPE roost_master gauge\nroost_master %d\n", driver_may_serve(d) ? 1 : 0);
}
