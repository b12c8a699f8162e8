/* driver_directory.c - the member as a client of the directory: joining, asking for reigns, the mailbox list.
 *
 * Whenever this member serves and the directory is (again) connected, the two lists are compared and the difference is
 * mended, ours being the truth about our own server: what the directory lacks is reserved and activated, what it has too
 * much is deleted. Names that a session is working on are left alone: the session tells the directory itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "driver_private.h"
#include "log.h"
#include "store_view.h"

struct listed {
	bool is_active, is_ours; /* found here, too */
	char *acl;
};

static void on_up(void *arg, bool is_roost);
static void on_down(void *arg);
static void on_server(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync);
static void on_promote(void *arg, struct bytes server, struct bytes member);

static const struct mupdate_client_events events = {
	.on_up = on_up, .on_down = on_down, .on_server = on_server, .on_promote = on_promote
};

static void joined(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct driver *d = arg;

	if (d->is_closed)
		return;
	if (outcome != MUPDATE_OUTCOME_OK) {
		if (outcome != MUPDATE_OUTCOME_LOST)
			log_event(LOG_ERROR, "driver.join.refused", LOG_BYTES("why", text));
		return;
	}
	d->is_joined = true;
	driver_tell(d, EVENT_DIRECTORY_UP, 0, 0);
	if (d->was_serving)
		driver_compare(d);
}

static void on_up(void *arg, bool is_roost)
{
	struct driver *d = arg;
	struct store_reign last = { 0 };
	struct buffer epoch = { 0 };
	const char *sync = d->sync != NULL ? listener_address(d->sync) : "";
	struct bytes args[10];

	if (d->is_replacing) {
		d->wants_join = true;
		return;
	}
	if (!is_roost) {
		log_event(LOG_ERROR, "driver.directory.foreign",
		          LOG_STR("why", "this mupdate server grants no reigns: a backend needs roost mupdate"));
		return;
	}
	/* With an empty journal nothing is known, whatever the last reign was. */
	if (store_last_lsn(d->o.store) > 0)
		(void)store_reign(d->o.store, &last);
	buffer_add_u64(&epoch, last.epoch);
	args[0] = bytes_of(d->server);
	args[1] = bytes_of(d->member);
	args[2] = bytes_of(d->o.imap_address);
	args[3] = bytes_of(d->o.lmtp_address);
	args[4] = bytes_of(sync);
	args[5] = bytes_of(d->o.admin_address);
	args[6] = buffer_bytes(&epoch);
	args[7] = last.master;
	args[8] = last.in_sync;
	args[9] = bytes_of(d->o.pop3_address);
	/* A mupdate server that knows no POP3 takes no tenth. */
	(void)mupdate_client_send(d->directory, "XJOIN", args, args[9].n > 0 ? 10 : 9, NULL, joined, d);
	buffer_fini(&epoch);
}

void driver_directory_join(struct driver *d)
{
	if (d->wants_join)
		on_up(d, true);
	d->wants_join = false;
}

static void on_down(void *arg)
{
	struct driver *d = arg;

	d->is_joined = d->wants_join = false;
	if (!d->is_closed)
		driver_tell(d, EVENT_DIRECTORY_DOWN, 0, 0);
}

static void on_server(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync)
{
	struct driver *d = arg;
	struct replica_event ev = { .type = EVENT_CONFIG };

	if (d->is_closed || !bytes_equal_nocase_str(server, d->server))
		return;
	if (d->is_replacing) {
		driver_take_keep_reign(d, epoch, master, in_sync);
		return;
	}
	ev.reign.epoch = epoch;
	ev.reign.master = master;
	ev.reign.in_sync = in_sync;
	driver_event(d, &ev);
}

static void on_promote(void *arg, struct bytes server, struct bytes member)
{
	struct driver *d = arg;

	if (d->is_closed || !bytes_equal_nocase_str(server, d->server))
		return;
	for (size_t i = 0; i < d->count; i++) {
		const struct replica_event ev = { .type = EVENT_PROMOTE, .peer = i };

		if (bytes_equal_str(member, d->peers[i].name))
			driver_event(d, &ev);
	}
}

struct asked {
	struct driver *driver;
	uint64_t epoch;
};

static void ask_answered(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct asked *a = arg;
	struct driver *d = a->driver;
	struct replica_event ev = { .type = outcome == MUPDATE_OUTCOME_LOST ? EVENT_ASK_LOST : EVENT_ASK_ANSWERED,
		                    .epoch = a->epoch,
		                    .is_granted = outcome == MUPDATE_OUTCOME_OK };

	free(a);
	if (d->is_closed)
		return;
	log_event(LOG_INFO, "driver.reign.answered", LOG_U64("epoch", ev.epoch), LOG_BYTES("text", text));
	driver_event(d, &ev);
}

void driver_directory_ask(struct driver *d, const struct replica_action *action)
{
	struct asked *a = must_alloc(sizeof(*a));
	struct buffer epoch = { 0 };
	char words[512];
	struct bytes args[4];

	*a = (struct asked){ d, action->epoch };
	buffer_add_u64(&epoch, action->epoch);
	driver_words(d, action->in_sync, words, sizeof(words));
	args[0] = bytes_of(d->server);
	args[1] = buffer_bytes(&epoch);
	args[2] = bytes_of(d->peers[action->master].name);
	args[3] = bytes_of(words);
	log_event(LOG_INFO, "driver.reign.asked", LOG_U64("epoch", action->epoch), LOG_BYTES("master", args[2]),
	          LOG_STR("in_sync", words));
	if (!mupdate_client_send(d->directory, "XREIGN", args, 4, NULL, ask_answered, a)) {
		free(a);
		driver_tell(d, EVENT_ASK_LOST, 0, 0);
	}
	buffer_fini(&epoch);
}

/* The comparison of lists. */

static void clear_listed(struct driver *d)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&d->listed, &it, &key, &value)) {
		free(((struct listed *)value)->acl);
		free(value);
	}
	map_fini(&d->listed);
}

static void on_listed(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	struct driver *d = arg;
	struct listed *l = must_calloc(1, sizeof(*l));
	struct listed *old;

	(void)location;
	l->is_active = is_active;
	l->acl = bytes_to_str(acl);
	old = map_put(&d->listed, name, l);
	if (old != NULL) {
		free(old->acl);
		free(old);
	}
}

static void mended(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct driver *d = arg;

	if (outcome == MUPDATE_OUTCOME_NO && !d->is_closed) {
		(void)atomic_fetch_add(&d->conflicts, 1);
		log_event(LOG_ERROR, "driver.mailbox.conflict", LOG_BYTES("why", text));
	}
}

static bool is_busy(struct driver *d, struct bytes name)
{
	bool busy;

	(void)pthread_mutex_lock(&d->lock);
	busy = map_get(&d->busy_names, name) != NULL;
	(void)pthread_mutex_unlock(&d->lock);
	return busy;
}

/* Tell the directory of NAME. A reservation that is refused means that another server holds the name: then it is not
 * activated, for that would take it over. */
struct to_activate {
	struct driver *driver;
	char *name, *acl;
};

static void reserved(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct to_activate *a = arg;
	struct driver *d = a->driver;
	const struct bytes args[] = { bytes_of(a->name), bytes_of(d->location), bytes_of(a->acl) };

	if (outcome == MUPDATE_OUTCOME_OK && !d->is_closed)
		(void)mupdate_client_send(d->directory, "ACTIVATE", args, 3, NULL, mended, d);
	else
		mended(d, outcome, text);
	free(a->name);
	free(a->acl);
	free(a);
}

void driver_announce(struct driver *d, struct bytes name, struct bytes acl)
{
	struct to_activate *a = must_calloc(1, sizeof(*a));
	const struct bytes args[] = { name, bytes_of(d->location) };

	*a = (struct to_activate){ d, bytes_to_str(name), bytes_to_str(acl) };
	if (!mupdate_client_send(d->directory, "RESERVE", args, 2, NULL, reserved, a)) {
		free(a->name);
		free(a->acl);
		free(a);
	}
}

void driver_retract(struct driver *d, struct bytes name)
{
	(void)mupdate_client_send(d->directory, "DELETE", &name, 1, NULL, mended, d);
}

static size_t mend_missing(struct driver *d, struct store_view *v)
{
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	size_t count = 0;

	store_view_names(v, BYTES_NONE, &it);
	while (view_names_next(&it, &name, &id)) {
		struct listed *l = map_get(&d->listed, name);
		struct mailbox m;
		struct fault why;

		if (l != NULL)
			l->is_ours = true;
		if (is_busy(d, name) || store_view_mailbox_by_id(v, id, &m, &why) != STORE_OK)
			continue;
		if (l != NULL && l->is_active && bytes_equal_str(m.acl, l->acl))
			continue;
		driver_announce(d, name, m.acl);
		count++;
	}
	view_names_end(&it);
	return count;
}

static size_t mend_surplus(struct driver *d)
{
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;
	size_t count = 0;

	while (map_next(&d->listed, &it, &name, &value)) {
		if (((struct listed *)value)->is_ours || is_busy(d, name))
			continue;
		driver_retract(d, name);
		count++;
	}
	return count;
}

static void list_ended(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct driver *d = arg;
	struct store_view *v;
	struct fault why;
	size_t added, removed;

	(void)text;
	d->is_comparing = false;
	if (outcome == MUPDATE_OUTCOME_OK && d->was_serving && !d->is_closed) {
		v = store_view_open(d->o.store, &why);
		if (v == NULL) {
			log_event(LOG_ERROR, "driver.compare.failed", LOG_FAULT(&why));
		} else {
			added = mend_missing(d, v);
			store_view_close(&v);
			removed = mend_surplus(d);
			log_event(LOG_INFO, "driver.mailboxes.compared", LOG_U64("directory", d->listed.n), LOG_U64("announced", added),
			          LOG_U64("removed", removed));
		}
	}
	clear_listed(d);
}

void driver_compare(struct driver *d)
{
	char *prefix;
	struct bytes arg;

	if (!d->is_joined || d->is_comparing || d->is_closed)
		return;
	prefix = must_printf("%s!", d->server);
	arg = bytes_of(prefix);
	d->is_comparing = mupdate_client_send(d->directory, "LIST", &arg, 1, on_listed, list_ended, d);
	free(prefix);
}

/* Sessions' commands. */

static void told(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct driver_directory_request *r = arg;

	r->outcome = outcome;
	(void)snprintf(r->text, sizeof(r->text), "%.*s", BYTES_FMT(text));
	loop_post(r->loop, r->done, r->arg);
}

static void tell_here(void *arg)
{
	static const char *const verbs[] = { "RESERVE", "ACTIVATE", "DEACTIVATE", "DELETE" };
	static const size_t counts[] = { 2, 3, 2, 1 };
	struct driver_directory_request *r = arg;
	struct driver *d = r->driver;
	const struct bytes args[] = { r->name, bytes_of(d->location), r->acl };

	if (d->is_closed || !d->is_joined ||
	    !mupdate_client_send(d->directory, verbs[r->verb], args, counts[r->verb], NULL, told, r))
		told(r, MUPDATE_OUTCOME_LOST, BYTES_LIT("the mupdate server cannot be reached"));
}

void driver_directory(struct driver *d, struct driver_directory_request *request)
{
	request->driver = d;
	request->loop = loop_current();
	loop_post(d->loop, tell_here, request);
}

void driver_directory_open(struct driver *d)
{
	const struct mupdate_client_options o = {
		.config = d->o.config, .authzid = d->member, .tls = d->o.tls_client, .events = &events, .arg = d
	};

	d->directory = mupdate_client_start(d->loop, &o);
}

void driver_directory_close(struct driver *d)
{
	mupdate_client_stop(&d->directory);
	clear_listed(d);
}
