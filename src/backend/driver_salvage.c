/* driver_salvage.c - the holder's side of salvage: items of suffixes that only this member had go to the master, one after the
 * other, and their files when all is done.
 *
 * An item counts as done once the entry that did it is here, too, for until then the master's disk alone has it. What the
 * master could not do is kept until an operator has decided (`roost salvage`); decisions come as files, looked for each
 * second. Whoever is master itself does its own items. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "cursor.h"
#include "driver_private.h"
#include "log.h"
#include "salvage_file.h"

#define LOOK_MS 1000
/* Under way at once; one item may be larger. */
#define WINDOW_ITEMS 64
#define WINDOW_OCTETS (4u << 20)
/* Results after which the states are written, though more are under way: they are only a matter of not asking again. */
#define SAVE_RESULTS 256

struct held {
	struct salvage_file *file;
	bool *is_sent; /* and not answered */
	size_t next;   /* the first that may be pending */
};

struct salvager {
	struct held *held;
	size_t count;
	size_t sent; /* in all */
	uint64_t sent_octets;
	size_t unsaved;
	bool has_names_sent; /* mailboxes are being made or renamed: what comes after has to wait */
	uint64_t look_ms, not_before_ms;
	uint64_t kept, pending;
	bool is_pumping;
};

static void close_held(struct held *h)
{
	salvage_file_close(&h->file);
	free(h->is_sent);
}

static bool is_held(const struct salvager *s, struct salvage_name name)
{
	for (size_t i = 0; i < s->count; i++) {
		struct salvage_name n = salvage_file_name(s->held[i].file);

		if (n.epoch == name.epoch && n.first == name.first)
			return true;
	}
	return false;
}

static void count(struct salvager *s)
{
	s->kept = s->pending = 0;
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 0; k < salvage_file_count(s->held[i].file); k++) {
			enum salvage_state state = salvage_file_fate(s->held[i].file, k).state;

			s->kept += state == SALVAGE_IS_KEPT;
			s->pending += state == SALVAGE_IS_PENDING || state == SALVAGE_IS_FORCED;
		}
	}
}

/* Take up what is in salvage/ and not known yet. */
static void load(struct driver *d)
{
	struct salvager *s = d->salvager;
	struct fault why;
	size_t n;
	struct salvage_name *names = salvage_names(store_salvage_dir(d->o.store), ".items", &n, &why);

	for (size_t i = 0; names != NULL && i < n; i++) {
		struct salvage_file *f;

		if (is_held(s, names[i]))
			continue;
		f = salvage_file_open(store_salvage_dir(d->o.store), names[i], &why);
		if (f == NULL) {
			log_event(LOG_ERROR, "driver.salvage.unreadable", LOG_FAULT(&why));
			continue;
		}
		s->held = must_realloc(s->held, s->count + 1, sizeof(*s->held));
		s->held[s->count++] = (struct held){ .file = f, .is_sent = must_calloc(salvage_file_count(f), sizeof(bool)) };
	}
	free(names);
	count(s);
}

static void save(struct driver *d)
{
	struct salvager *s = d->salvager;
	struct fault why;

	for (size_t i = 0; i < s->count; i++) {
		if (!salvage_file_save(s->held[i].file, &why))
			log_event(LOG_ERROR, "driver.salvage.unwritable", LOG_FAULT(&why));
	}
	s->unsaved = 0;
}

/* What is merged by an entry that is not here, though this member is further, was merged at a master whose end is lost: again. */
static bool is_done(struct driver *d, struct held *h, size_t i)
{
	struct salvage_fate fate = salvage_file_fate(h->file, i);

	if (fate.state == SALVAGE_IS_DISCARDED)
		return true;
	if (fate.state != SALVAGE_IS_MERGED || fate.lsn > store_applied_lsn(d->o.store))
		return false;
	if (store_epoch_at(d->o.store, fate.lsn) == fate.epoch)
		return true;
	salvage_file_set(h->file, i, &(struct salvage_fate){ .state = SALVAGE_IS_PENDING });
	h->next = 0;
	return false;
}

static void remove_done(struct driver *d)
{
	struct salvager *s = d->salvager;
	struct fault why;

	for (size_t i = 0; i < s->count; i++) {
		struct held *h = &s->held[i];
		char name[SALVAGE_NAME_TEXT];
		bool all = true;

		for (size_t k = 0; all && k < salvage_file_count(h->file); k++)
			all = is_done(d, h, k);
		if (!all)
			continue;
		salvage_name_text(salvage_file_name(h->file), name);
		if (!salvage_file_remove(h->file, &why)) {
			log_event(LOG_ERROR, "driver.salvage.unwritable", LOG_FAULT(&why));
			continue;
		}
		log_event(LOG_INFO, "driver.salvage.done", LOG_STR("suffix", name));
		close_held(h);
		memmove(h, h + 1, (s->count - i - 1) * sizeof(*h));
		s->count--;
		i--;
	}
}

/* Its kept items that only wanted for the mailbox that ITEM has made. */
static void wake_dependents(struct held *h, const struct salvage_item *item)
{
	for (size_t i = 0; i < salvage_file_count(h->file); i++) {
		struct salvage_fate fate = salvage_file_fate(h->file, i);
		struct arena a = { 0 };
		struct salvage_item other;
		struct fault why;

		if (fate.state == SALVAGE_IS_KEPT && fate.outcome == SALVAGE_NO_MAILBOX &&
		    salvage_file_item(h->file, i, &a, &other, &why) && other.mailbox == item->mailbox &&
		    other.mailbox_epoch == item->mailbox_epoch)
			salvage_file_set(h->file, i, &(struct salvage_fate){ .state = SALVAGE_IS_PENDING });
		arena_fini(&a);
	}
	h->next = 0;
}

static void pump(struct driver *d);

static void take_result(struct driver *d, struct held *h, size_t i, const struct salvage_fate *fate)
{
	struct salvager *s = d->salvager;
	struct buffer words = { 0 };
	struct arena a = { 0 };
	struct salvage_item item;
	struct fault why;

	salvage_file_set(h->file, i, fate);
	s->unsaved++;
	if (salvage_file_item(h->file, i, &a, &item, &why)) {
		if (fate->state == SALVAGE_IS_KEPT) {
			salvage_item_describe(&words, &item);
			log_event(LOG_WARNING, "driver.salvage.kept", LOG_BYTES("item", buffer_bytes(&words)),
			          LOG_STR("why", salvage_outcome_text(fate->outcome)));
		} else if (item.kind == SALVAGE_MAILBOX) {
			wake_dependents(h, &item);
		}
	}
	buffer_fini(&words);
	arena_fini(&a);
}

/* The master's word on the item that ID names. */
static void answered(struct driver *d, size_t peer, struct bytes id, enum salvage_outcome outcome, lsn_t lsn, epoch_t epoch)
{
	struct salvager *s = d->salvager;
	struct cursor c = cursor_of(id);
	struct salvage_name name;
	uint64_t i;

	(void)peer;
	if (!cursor_u64le(&c, &name.epoch) || !cursor_u64le(&c, &name.first) || !cursor_u64le(&c, &i))
		return;
	for (size_t k = 0; k < s->count; k++) {
		struct held *h = &s->held[k];
		struct salvage_name n = salvage_file_name(h->file);

		if (n.epoch != name.epoch || n.first != name.first || i >= salvage_file_count(h->file) || !h->is_sent[i])
			continue;
		h->is_sent[i] = false;
		s->sent--;
		s->sent_octets -= salvage_file_item_size(h->file, (size_t)i);
		if (outcome == SALVAGE_RETRY || outcome == SALVAGE_NEEDS_NAME) {
			h->next = 0;
			s->not_before_ms = clock_mono_ms() + LOOK_MS;
		} else {
			const struct salvage_fate fate = { outcome == SALVAGE_MERGED ? SALVAGE_IS_MERGED : SALVAGE_IS_KEPT, outcome, lsn,
				                           epoch };

			take_result(d, h, (size_t)i, &fate);
		}
	}
	if (s->sent == 0)
		s->has_names_sent = false;
	if (s->sent == 0 || s->unsaved >= SAVE_RESULTS)
		save(d);
	pump(d);
}

/* Sending. */

static void put_id(uint8_t to[DRIVER_ITEM_ID], struct salvage_name name, uint64_t i)
{
	struct buffer b = { to, 0, DRIVER_ITEM_ID };

	buffer_add_u64le(&b, name.epoch);
	buffer_add_u64le(&b, name.first);
	buffer_add_u64le(&b, i);
}

static void send_item(struct driver *d, struct held *h, size_t i, const struct salvage_item *item, bool is_forced)
{
	struct salvager *s = d->salvager;
	struct buffer octets = { 0 }, raw = { 0 };
	uint8_t id[DRIVER_ITEM_ID];

	h->is_sent[i] = true;
	s->sent++;
	s->sent_octets += salvage_file_item_size(h->file, i);
	s->has_names_sent = s->has_names_sent || item->kind == SALVAGE_MAILBOX || item->kind == SALVAGE_RENAME;
	put_id(id, salvage_file_name(h->file), i);
	salvage_item_write(&octets, item);
	if (replica_role(d->core) == REPLICA_MASTER) {
		driver_merge(d, buffer_bytes(&octets), item->body, is_forced, d->self, bytes_make(id, sizeof(id)), answered);
	} else {
		const struct peer_message m = { .type = MESSAGE_SALVAGE, .epoch = replica_epoch(d->core) };

		/* u8 forced, 24 octets that name it, bytes32 item, the message's octets */
		buffer_add_u8(&raw, is_forced);
		buffer_add(&raw, bytes_make(id, sizeof(id)));
		buffer_add_bytes32(&raw, buffer_bytes(&octets));
		driver_sync_send_with(d, (size_t)replica_master(d->core), &m, buffer_bytes(&raw), item->body);
	}
	buffer_fini(&octets);
	buffer_fini(&raw);
}

static bool may_send(struct driver *d)
{
	int master = replica_master(d->core);

	if (d->is_closed || d->is_stopping || clock_mono_ms() < d->salvager->not_before_ms)
		return false;
	if (replica_role(d->core) == REPLICA_MASTER)
		return d->was_serving && d->is_gate_open;
	return replica_role(d->core) == REPLICA_FOLLOWER && master >= 0 && d->peers[master].link != NULL;
}

static bool is_names(enum salvage_kind kind)
{
	return kind == SALVAGE_MAILBOX || kind == SALVAGE_RENAME;
}

/* Send what may be sent of H. False: it waits. */
static bool pump_held(struct driver *d, struct held *h)
{
	struct salvager *s = d->salvager;
	bool is_first = true, waits = false;

	for (size_t i = h->next; i < salvage_file_count(h->file); i++) {
		enum salvage_state state = salvage_file_fate(h->file, i).state;
		struct arena a = { 0 };
		struct salvage_item item;
		struct fault why;

		waits = waits || h->is_sent[i];
		if (h->is_sent[i] || (state != SALVAGE_IS_PENDING && state != SALVAGE_IS_FORCED)) {
			if (is_first && !h->is_sent[i])
				h->next = i + 1;
			else
				is_first = false;
			continue;
		}
		is_first = false;
		if (s->sent >= WINDOW_ITEMS || (s->sent > 0 && s->sent_octets >= WINDOW_OCTETS) || !may_send(d))
			return false;
		if (!salvage_file_item(h->file, i, &a, &item, &why)) {
			log_event(LOG_ERROR, "driver.salvage.unreadable", LOG_FAULT(&why));
			salvage_file_set(h->file, i, &(struct salvage_fate){ SALVAGE_IS_KEPT, SALVAGE_REFUSED, 0, 0 });
			arena_fini(&a);
			continue;
		}
		/* Names one after the other, and all before what is in them. */
		if (s->has_names_sent || (is_names(item.kind) && s->sent > 0)) {
			arena_fini(&a);
			return false;
		}
		send_item(d, h, i, &item, state == SALVAGE_IS_FORCED);
		arena_fini(&a);
		waits = true;
	}
	return !waits;
}

static void pump(struct driver *d)
{
	struct salvager *s = d->salvager;

	/* An item that is done at once must not come back here from within. */
	if (s->is_pumping || !may_send(d))
		return;
	s->is_pumping = true;
	for (size_t i = 0; i < s->count; i++) {
		if (!pump_held(d, &s->held[i]))
			break;
	}
	s->is_pumping = false;
}

void driver_salvage_forget_sent(struct driver *d)
{
	struct salvager *s = d->salvager;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++) {
		memset(s->held[i].is_sent, 0, salvage_file_count(s->held[i].file) * sizeof(bool));
		s->held[i].next = 0;
	}
	s->sent = 0;
	s->sent_octets = 0;
	s->has_names_sent = false;
}

/* The other's items, and its answers. */

static void tell_peer(struct driver *d, size_t peer, struct bytes id, enum salvage_outcome outcome, lsn_t lsn, epoch_t epoch)
{
	const struct peer_message m = { .type = MESSAGE_SALVAGED, .epoch = replica_epoch(d->core), .lsn = lsn, .committed = epoch,
		                        .time_ms = outcome, .raw = id };

	driver_sync_send(d, peer, &m);
}

void driver_salvage_heard(struct driver *d, size_t peer, const struct peer_message *m)
{
	struct cursor c = cursor_of(m->raw);
	struct bytes id, item;
	uint8_t is_forced;

	if (m->type == MESSAGE_SALVAGED) {
		if (m->raw.n == DRIVER_ITEM_ID && m->time_ms < SALVAGE_OUTCOMES && replica_role(d->core) == REPLICA_FOLLOWER)
			answered(d, peer, m->raw, (enum salvage_outcome)m->time_ms, m->lsn, m->committed);
		return;
	}
	if (!cursor_u8(&c, &is_forced) || !cursor_bytes(&c, DRIVER_ITEM_ID, &id) ||
	    !cursor_bytes32(&c, ENTRY_HEAD_MAX, &item)) {
		log_event(LOG_ERROR, "driver.salvage.broken", LOG_STR("member", d->peers[peer].name));
		driver_sync_disconnect(d, peer);
		return;
	}
	if (replica_role(d->core) != REPLICA_MASTER || !d->was_serving)
		tell_peer(d, peer, id, SALVAGE_RETRY, 0, 0);
	else
		driver_merge(d, item, cursor_rest(&c), is_forced != 0, peer, id, tell_peer);
}

void driver_salvage_tick(struct driver *d)
{
	struct salvager *s = d->salvager;
	uint64_t now = clock_mono_ms();
	struct fault why;

	if (now < s->look_ms || d->is_closed)
		return;
	s->look_ms = now + LOOK_MS;
	load(d);
	for (size_t i = 0; i < s->count; i++) {
		if (!salvage_file_take_asked(s->held[i].file, &why))
			log_event(LOG_ERROR, "driver.salvage.unreadable", LOG_FAULT(&why));
		s->held[i].next = 0;
	}
	if (s->sent == 0) {
		save(d);
		remove_done(d);
	}
	pump(d);
	count(s);
}

void driver_salvage_open(struct driver *d)
{
	d->salvager = must_calloc(1, sizeof(*d->salvager));
	load(d);
}

void driver_salvage_look(struct driver *d)
{
	d->salvager->look_ms = 0;
}

void driver_salvage_close(struct driver *d)
{
	struct salvager *s = d->salvager;

	if (s == NULL)
		return;
	save(d);
	for (size_t i = 0; i < s->count; i++)
		close_held(&s->held[i]);
	free(s->held);
	free(s);
	d->salvager = NULL;
}

void driver_salvage_counts(const struct driver *d, uint64_t *kept_r, uint64_t *pending_r)
{
	*kept_r = d->salvager->kept;
	*pending_r = d->salvager->pending;
}
