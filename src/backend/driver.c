/* driver.c - the engine's frame: events into the replica core, its actions out, threads, and stop.
 *
 * Every input (a tick, a frame of a member, a word of the directory, the end of a sync) becomes an event; the core's
 * actions are done in their order. An action may bring about another event: it is queued and taken when the actions of the
 * present one are done, so that the core is never re-entered. */
#include "driver.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "salvage_file.h"

#define STOP_HAND_OVER_MS 2000

void driver_words(const struct driver *d, member_set_t set, char *to, size_t size)
{
	size_t n = 0;

	to[0] = '\0';
	for (size_t i = 0; i < d->count; i++) {
		if ((set >> i & 1) != 0)
			n += (size_t)snprintf(to + n, size - n, "%s%s", n > 0 ? " " : "", d->peers[i].name);
	}
}

void driver_answer(struct driver_request *r)
{
	loop_post(r->loop, r->done, r->arg);
}

static void append_epoch(struct driver *d, const struct replica_action *a)
{
	(void)snprintf(d->epoch_master, sizeof(d->epoch_master), "%s", d->peers[a->master].name);
	driver_words(d, a->in_sync, d->epoch_in_sync, sizeof(d->epoch_in_sync));
	d->epoch_intent = (struct intent){ .op = INTENT_EPOCH,
		                           .epoch = { a->epoch, bytes_of(d->epoch_master), bytes_of(d->epoch_in_sync) } };
	d->wants_epoch = true;
}

static void role_changed(struct driver *d, uint64_t epoch)
{
	bool is_master = replica_role(d->core) == REPLICA_MASTER;
	int master = replica_master(d->core);

	log_event(LOG_INFO, "driver.role.changed", LOG_STR("role", is_master ? "master" : "replica"), LOG_U64("epoch", epoch),
	          LOG_STR("master", master < 0 ? "" : d->peers[master].name));
	if (is_master) {
		driver_sync_connect(d, -1); /* the others dial us now */
		driver_salvage_forget_sent(d);
		return;
	}
	driver_turn_abort(d);
	driver_fail_waiting(d);
	driver_salvage_forget_sent(d);
	for (size_t i = 0; i < d->count; i++)
		driver_give_forget(d, i);
	d->wants_epoch = false;
}

static void do_action(struct driver *d, const struct replica_action *a)
{
	switch (a->type) {
	case ACTION_TRUNCATE:
		driver_truncate(d, a->lsn);
		break;
	case ACTION_SAVE:
		driver_save(d, a->lsn);
		break;
	case ACTION_GIVE:
		driver_give(d, a->peer, a->lsn);
		break;
	case ACTION_TAKE:
		driver_take(d, a->peer, &a->message);
		break;
	case ACTION_CONNECT:
		driver_sync_connect(d, (int)a->peer);
		break;
	case ACTION_DISCONNECT:
		driver_sync_disconnect(d, a->peer);
		break;
	case ACTION_SEND:
		driver_sync_send(d, a->peer, &a->message);
		break;
	case ACTION_STREAM:
		driver_sync_stream(d, a->peer, a->lsn);
		break;
	case ACTION_STOP_STREAMS:
		driver_sync_stop_streams(d);
		break;
	case ACTION_FOLLOW:
		driver_follow(d);
		break;
	case ACTION_APPEND_EPOCH:
		append_epoch(d, a);
		break;
	case ACTION_COMMIT:
		if (replica_role(d->core) == REPLICA_MASTER)
			driver_turn_commit(d, a->lsn);
		else
			driver_apply(d, a->lsn);
		break;
	case ACTION_ASK:
		driver_directory_ask(d, a);
		break;
	case ACTION_ROLE:
		role_changed(d, a->epoch);
		break;
	case ACTION_GATE:
		d->is_gate_open = a->is_open;
		break;
	case ACTION_REPORT:
		log_event(LOG_WARNING, "driver.core.reported", LOG_STR("what", a->text));
		break;
	}
}

/* Tell who serves, to sessions and to whoever asks /role. */
static void publish(struct driver *d)
{
	uint64_t now = clock_mono_ms();
	bool serves = replica_may_act(d->core, now) && !d->is_closed;

	atomic_store(&d->act_until, serves ? replica_act_until(d->core) : 0);
	atomic_store(&d->is_ready,
	             serves || (replica_role(d->core) == REPLICA_FOLLOWER && replica_master(d->core) >= 0 &&
	                        replica_is_connected(d->core, (size_t)replica_master(d->core))));
	if (serves == d->was_serving)
		return;
	d->was_serving = serves;
	log_event(LOG_INFO, serves ? "driver.serving.began" : "driver.serving.ended",
	          LOG_U64("epoch", replica_epoch(d->core)), LOG_U64("lsn", store_applied_lsn(d->o.store)));
	d->o.events->on_serving(d->o.arg, serves);
	if (serves)
		driver_compare(d);
}

static void step(struct driver *d, const struct replica_event *ev)
{
	struct replica_event now = *ev;

	now.now_ms = clock_mono_ms();
	replica_step(d->core, &now, &d->actions);
	d->message = ev->type == EVENT_MESSAGE ? ev->message : NULL;
	d->message_peer = ev->peer;
	for (size_t i = 0; i < d->actions.count; i++) {
		const struct replica_action a = d->actions.at[i];

		do_action(d, &a);
	}
	d->message = NULL;
	if (ev->type == EVENT_PEER_DOWN)
		driver_salvage_forget_sent(d);
}

void driver_event(struct driver *d, const struct replica_event *ev)
{
	size_t taken = 0;

	if (d->is_stepping) {
		assert(ev->type != EVENT_MESSAGE && ev->type != EVENT_CONFIG && d->queue_count < DRIVER_EVENTS_MAX);
		d->queue[d->queue_count++] = *ev;
		return;
	}
	d->is_stepping = true;
	step(d, ev);
	while (taken < d->queue_count) {
		const struct replica_event next = d->queue[taken++];

		step(d, &next);
	}
	d->queue_count = 0;
	d->is_stepping = false;
	publish(d);
	driver_turn(d);
}

void driver_tell(struct driver *d, enum replica_event_type type, uint64_t lsn, uint64_t epoch)
{
	const struct replica_event ev = { .type = type, .lsn = lsn, .epoch = epoch };

	driver_event(d, &ev);
}

bool driver_may_serve(const struct driver *d)
{
	uint64_t until = atomic_load(&d->act_until);

	return until == UINT64_MAX || (until != 0 && clock_mono_ms() < until);
}

const char *driver_role(const struct driver *d)
{
	return driver_may_serve(d) ? "master" : "replica";
}

bool driver_is_ready(const struct driver *d)
{
	return atomic_load(&d->is_ready);
}

/* Requests. */

struct given {
	struct driver *driver;
	struct driver_request *request;
};

static void take(void *arg)
{
	struct given *g = arg;
	struct driver *d = g->driver;

	if (d->is_closed || replica_role(d->core) != REPLICA_MASTER) {
		g->request->answer.result = STORE_NOT_MASTER;
		g->request->had_no_effect = true;
		driver_answer(g->request);
	} else {
		list_push(&d->waiting, &g->request->waiting);
		driver_turn(d);
	}
	free(g);
}

void driver_submit(struct driver *d, struct driver_request *request)
{
	struct given *g = must_alloc(sizeof(*g));

	request->loop = loop_current();
	assert(request->loop != NULL);
	request->had_no_effect = false;
	request->cost = intent_cost(request->intent);
	request->answer = (struct intent_answer){ 0 };
	*g = (struct given){ d, request };
	loop_post(d->loop, take, g);
}

void driver_name_begin(struct driver *d, struct bytes name)
{
	(void)pthread_mutex_lock(&d->lock);
	(void)map_put(&d->busy_names, name, (void *)((uintptr_t)map_get(&d->busy_names, name) + 1));
	(void)pthread_mutex_unlock(&d->lock);
}

void driver_name_end(struct driver *d, struct bytes name)
{
	uintptr_t count;

	(void)pthread_mutex_lock(&d->lock);
	count = (uintptr_t)map_take(&d->busy_names, name);
	if (count > 1)
		(void)map_put(&d->busy_names, name, (void *)(count - 1));
	(void)pthread_mutex_unlock(&d->lock);
}

/* Life. */

static void close_all(struct driver *d)
{
	d->is_closed = true;
	if (!d->is_replacing)
		driver_flush_wait(d); /* a follower's, too: its end is posted to this loop */
	driver_turn_abort(d);
	driver_fail_waiting(d);
	publish(d);
	driver_directory_close(d);
	driver_mend_close(d);
	driver_sync_close(d);
	driver_salvage_close(d);
	timer_free(&d->ticker);
	loop_stop(d->loop);
}

/* A stopping master first hands over, so that nobody has to wait for its lease to end. */
static void stop_tick(struct driver *d)
{
	bool is_master = replica_role(d->core) == REPLICA_MASTER;

	if (is_master && clock_mono_ms() < d->stop_ms + STOP_HAND_OVER_MS) {
		for (size_t i = 0; i < d->count; i++) {
			if (i != d->self && (replica_in_sync(d->core) >> i & 1) != 0 && d->peers[i].link != NULL) {
				const struct replica_event ev = { .type = EVENT_PROMOTE, .peer = i };

				driver_event(d, &ev);
				return;
			}
		}
	}
	close_all(d);
}

static void on_tick(void *arg)
{
	struct driver *d = arg;

	driver_tell(d, EVENT_TICK, 0, 0);
	driver_sync_pump(d); /* what copy_rate kept back */
	driver_give_tick(d);
	driver_take_tick(d);
	driver_status_refresh(d);
	if (!d->is_replacing) {
		store_pass_floor(d->o.store);
		driver_keeper_tick(d);
		driver_expunged_tick(d);
		driver_salvage_tick(d);
		driver_mend_tick(d);
		driver_scrub_tick(d);
	}
	if (d->is_stopping && !d->is_closed)
		stop_tick(d);
}

static void begin_stop(void *arg)
{
	struct driver *d = arg;

	d->is_stopping = true;
	d->stop_ms = clock_mono_ms();
	stop_tick(d);
}

void driver_journal_is(struct driver *d, enum replica_event_type type)
{
	size_t count;
	const struct store_epoch *epochs = store_epochs(d->o.store, &count);
	struct history *history = must_calloc(1, sizeof(*history));
	struct replica_event ev = { .type = type };

	for (size_t i = count > HISTORY_MAX ? count - HISTORY_MAX : 0; i < count; i++)
		history_append(history, epochs[i].epoch, epochs[i].first);
	ev.start.last = store_last_lsn(d->o.store);
	ev.start.durable = store_durable_lsn(d->o.store);
	ev.start.applied = store_applied_lsn(d->o.store);
	ev.start.floor = store_floor(d->o.store);
	ev.start.history = history;
	driver_event(d, &ev);
	free(history);
}

static void start_here(void *arg)
{
	struct driver *d = arg;
	uint64_t tick_ms = config_number(d->o.config, "lease_ms") / 20;

	driver_journal_is(d, EVENT_START);
	driver_salvage_open(d);
	driver_directory_open(d);
	d->ticker = timer_new(d->loop, on_tick, d);
	timer_start(d->ticker, 1, tick_ms < 2 ? 2 : tick_ms > 50 ? 50 : tick_ms);
}

/* sync_peers: MEMBER=HOST:PORT of every member, this one among them. A server of one member needs no row. */
static bool read_peers(struct driver *d, struct fault *why)
{
	const struct config *c = d->o.config;
	struct bytes word;
	bool has_self = false;

	for (size_t i = 0; config_word(c, "sync_peers", i, &word); i++) {
		size_t mark = bytes_find(word, '=');
		struct peer *p = &d->peers[d->count];

		if (mark == 0 || mark >= word.n || mark > REPLICA_NAME_MAX || d->count == REPLICA_MEMBERS_MAX)
			return config_fault(c, "sync_peers", why, "\"%.*s\" is not MEMBER=HOST:PORT (or there are more than %d)",
			                    BYTES_FMT(word), REPLICA_MEMBERS_MAX);
		(void)snprintf(p->name, sizeof(p->name), "%.*s", BYTES_FMT(bytes_sub(word, 0, mark)));
		p->address = bytes_to_str(bytes_from(word, mark + 1));
		if (strcmp(p->name, d->member) == 0) {
			has_self = true;
			d->self = d->count;
		}
		d->count++;
	}
	if (d->count == 0) {
		(void)snprintf(d->peers[0].name, sizeof(d->peers[0].name), "%s", d->member);
		d->count = 1;
		has_self = true;
	}
	return has_self || config_fault(c, "sync_peers", why, "does not name this member, \"%s\"", d->member);
}

/* sync_remote: members that only follow. */
static bool read_remote(const struct driver *d, member_set_t *set_r, struct fault *why)
{
	const struct config *c = d->o.config;
	struct bytes word;

	*set_r = 0;
	for (size_t i = 0; config_word(c, "sync_remote", i, &word); i++) {
		size_t k = 0;

		while (k < d->count && !bytes_equal_str(word, d->peers[k].name))
			k++;
		if (k == d->count)
			return config_fault(c, "sync_remote", why, "\"%.*s\" is not one of sync_peers", BYTES_FMT(word));
		*set_r |= (member_set_t)1 << k;
	}
	return *set_r != ((member_set_t)1 << d->count) - 1 ||
	       config_fault(c, "sync_remote", why, "names all of sync_peers: one at least has to be able to reign");
}

static void free_driver(struct driver *d)
{
	driver_expunged_free(d);
	driver_merges_drop(d);
	driver_take_free(d);
	replica_free(&d->core);
	for (size_t i = 0; i < d->count; i++)
		free(d->peers[i].address);
	map_fini(&d->busy_names);
	map_fini(&d->listed);
	buffer_fini(&d->status);
	buffer_fini(&d->metrics);
	arena_fini(&d->turn_arena);
	(void)pthread_cond_destroy(&d->no_readers);
	(void)pthread_mutex_destroy(&d->lock);
	driver_scrub_fini(d);
	free(d->queue);
	free(d->location);
	for (size_t i = 0; i < sizeof(d->addresses) / sizeof(d->addresses[0]); i++)
		free(d->addresses[i]);
	free(d);
}

struct driver *driver_start(const struct driver_options *options, struct fault *why)
{
	struct driver *d = must_calloc(1, sizeof(*d));
	struct replica_options ro = { 0 };

	d->o = *options;
	/* The listeners whose addresses these are go before the driver does. */
	d->o.imap_address = d->addresses[0] = must_strdup(options->imap_address);
	d->o.lmtp_address = d->addresses[1] = must_strdup(options->lmtp_address);
	d->o.admin_address = d->addresses[2] = must_strdup(options->admin_address);
	d->o.pop3_address = d->addresses[3] = must_strdup(options->pop3_address);
	d->server = config_string(options->config, "servername");
	d->member = config_string(options->config, "member");
	d->partition = config_string(options->config, "defaultpartition");
	d->location = must_printf("%s!%s", d->server, d->partition);
	d->queue = must_calloc(DRIVER_EVENTS_MAX, sizeof(*d->queue));
	d->connect_to = -1;
	driver_take_open(d);
	list_init(&d->waiting);
	list_init(&d->callers);
	list_init(&d->in_turn);
	list_init(&d->merges);
	d->is_async = strcmp(config_string(options->config, "sync_mode"), "async") == 0;
	list_init(&d->mendings);
	driver_scrub_init(d);
	d->digest_intent.op = INTENT_DIGEST;
	if (config_number(options->config, "digest_interval_s") > 0)
		d->digest_due_ms = clock_mono_ms() + config_number(options->config, "digest_interval_s") * 1000;
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)pthread_cond_init(&d->no_readers, NULL);
	if (!read_peers(d, why) || !read_remote(d, &ro.remote, why) || (d->loop = loop_start("writer", why)) == NULL) {
		free_driver(d);
		return NULL;
	}
	d->loops = (struct loops){ &d->loop, 1 };
	ro.count = d->count;
	ro.self = d->self;
	ro.lease_ms = config_number(options->config, "lease_ms");
	ro.is_async = d->is_async;
	ro.saves = d->is_async || salvage_is_wanted(store_salvage_dir(d->o.store));
	for (size_t i = 0; i < d->count; i++)
		ro.names[i] = d->peers[i].name;
	d->core = replica_new(&ro);
	if (!driver_sync_open(d, why) || !driver_flusher_start(d, why)) {
		listener_close(&d->sync);
		loop_stop(d->loop);
		loop_join(&d->loop);
		free_driver(d);
		return NULL;
	}
	if (!driver_keeper_start(d, why) ) {
		listener_close(&d->sync);
		driver_flusher_stop(d);
		loop_stop(d->loop);
		loop_join(&d->loop);
		free_driver(d);
		return NULL;
	}
	loop_post(d->loop, start_here, d);
	return d;
}

void driver_stop(struct driver **dp)
{
	struct driver *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	/* While the loop can still be told of its end. */
	driver_keeper_stop(d);
	loop_post(d->loop, begin_stop, d);
	loop_join(&d->loop);
	driver_flusher_stop(d);
	free_driver(d);
}
