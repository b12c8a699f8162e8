/* backend.c - the role: check the configuration, open the store, start the driver, listen; stop in the reverse order.
 *
 * The main thread is the listeners' loop; clients live on the loops of b->loops, the store's write side and the other
 * members are the driver's. A member listens from the start and tells clients that it is not the master until it is. */
#include "backend.h"

#include <signal.h>
#include <stdlib.h>

#include "alloc.h"
#include "autocreate.h"
#include "backend_private.h"
#include "imap_session.h"
#include "indexer.h"
#include "json.h"
#include "listener.h"
#include "lmtp_session.h"
#include "log.h"
#include "pop3_session.h"
#include "store.h"

/* driver_events: on the writer thread. */

static void on_serving(void *arg, bool may_serve)
{
	struct backend *b = arg;

	for (size_t i = 0; !may_serve && i < b->loops.count; i++)
		shard_farewell(&b->shards[i], FAREWELL_NOT_MASTER);
}

static void on_changes(void *arg, const struct store_changes *changes)
{
	struct backend *b = arg;

	for (size_t i = 0; i < b->loops.count; i++)
		shard_changed(&b->shards[i], changes);
	if (b->indexer != NULL)
		indexer_changed(b->indexer, changes);
}

static void on_replaced(void *arg)
{
	struct backend *b = arg;

	if (b->indexer != NULL)
		indexer_replaced(b->indexer);
}

static const struct driver_events driver_events = { on_serving, on_changes, on_replaced };

/* admin_source: any thread. */

static const char *role(void *arg)
{
	struct backend *b = arg;

	return backend_may_serve(b) ? "master" : "replica";
}

static bool is_ready(void *arg)
{
	struct backend *b = arg;
	const struct driver *d = atomic_load(&b->driver);

	return d != NULL && driver_is_ready(d);
}

/* NULL: 0. */
static uint64_t count_of(const struct listener *l)
{
	return l != NULL ? listener_count(l) : 0;
}

static void count_sessions(struct backend *b, uint64_t *imap_r, uint64_t *lmtp_r, uint64_t *pop3_r)
{
	(void)pthread_rwlock_rdlock(&b->driver_lock);
	*imap_r = count_of(b->imap) + count_of(b->imaps);
	*lmtp_r = count_of(b->lmtp);
	*pop3_r = count_of(b->pop3) + count_of(b->pop3s);
	(void)pthread_rwlock_unlock(&b->driver_lock);
}

static void status_json(void *arg, struct buffer *to)
{
	struct backend *b = arg;
	struct driver *d = atomic_load(&b->driver);
	uint64_t imap, lmtp, pop3;

	buffer_add_u8(to, '{');
	json_key_string(to, "role", bytes_of(role(b)));
	json_key_bool(to, "ready", is_ready(b));
	if (d != NULL)
		driver_status_json(d, to);
	count_sessions(b, &imap, &lmtp, &pop3);
	json_key_u64(to, "imap_sessions", imap);
	json_key_u64(to, "lmtp_sessions", lmtp);
	json_key_u64(to, "pop3_sessions", pop3);
	json_key_u64(to, "lmtp_accepted", atomic_load(&b->counters.lmtp_accepted));
	json_key_u64(to, "lmtp_refused", atomic_load(&b->counters.lmtp_refused));
	json_key_u64(to, "inflight_octets", atomic_load(&b->inflight.now));
	if (b->indexer != NULL)
		indexer_status_json(b->indexer, to);
	else
		json_key_string(to, "search_index", BYTES_LIT("off"));
	buffer_add_u8(to, '}');
}

static void metric(struct buffer *to, const char *name, const char *type, uint64_t value)
{
	buffer_addf(to, "# TYPE %s %s\n%s %llu\n", name, type, name, (unsigned long long)value);
}

static void metrics(void *arg, struct buffer *to)
{
	struct backend *b = arg;
	struct driver *d = atomic_load(&b->driver);
	uint64_t imap, lmtp, pop3;

	if (d != NULL)
		driver_metrics(d, to);
	count_sessions(b, &imap, &lmtp, &pop3);
	metric(to, "roost_imap_sessions", "gauge", imap);
	metric(to, "roost_lmtp_sessions", "gauge", lmtp);
	metric(to, "roost_pop3_sessions", "gauge", pop3);
	metric(to, "roost_imap_commands_total", "counter", atomic_load(&b->counters.imap_commands));
	metric(to, "roost_logins_total", "counter", atomic_load(&b->counters.logins));
	metric(to, "roost_login_failures_total", "counter", atomic_load(&b->counters.login_failures));
	metric(to, "roost_lmtp_accepted_total", "counter", atomic_load(&b->counters.lmtp_accepted));
	metric(to, "roost_lmtp_refused_total", "counter", atomic_load(&b->counters.lmtp_refused));
	metric(to, "roost_lmtp_duplicates_total", "counter", atomic_load(&b->counters.lmtp_duplicates));
	metric(to, "roost_lmtp_octets_total", "counter", atomic_load(&b->counters.lmtp_octets));
	metric(to, "roost_limits_hit_total", "counter", atomic_load(&b->counters.limits_hit));
	metric(to, "roost_over_quota_total", "counter", atomic_load(&b->counters.over_quota));
	metric(to, "roost_inflight_octets", "gauge", atomic_load(&b->inflight.now));
	login_service_metrics(b->login_service, to);
	if (b->indexer != NULL)
		indexer_metrics(b->indexer, to);
}

/* Configuration. */

static bool check_config(struct backend *b, const char **dir_r, struct fault *why)
{
	static const char *const needed[] = { "servername", "member", "users_file" };
	const struct config *c = b->cfg;
	const char *name, *value;
	struct bytes word;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (config_string(c, needed[i]) == NULL)
			return config_fault(c, needed[i], why, "is missing; a backend needs it");
	}
	if (!config_word(c, "mupdate_server", 0, &word))
		return config_fault(c, "mupdate_server", why, "is missing; a backend needs it");
	if (!config_family(c, "partition-", 0, &name, dir_r))
		return config_fault(c, "partition-", why, "no partition-NAME is given; a backend needs one directory for its mail");
	if (config_family(c, "partition-", 1, &name, &value))
		return config_fault(c, "partition-", why, "more than one partition is given; this version serves one");
	b->partition = config_string(c, "defaultpartition");
	if (!config_family(c, "partition-", 0, &name, &value) || !bytes_equal_str(bytes_of(name), b->partition))
		return config_fault(c, "defaultpartition", why, "is \"%s\", but the partition given is \"%s\"", b->partition, name);
	if (config_string(c, "imap_listen") == NULL && config_string(c, "imaps_listen") == NULL)
		return config_fault(c, "imap_listen", why, "is missing; give it, imaps_listen, or both");
	if ((config_string(c, "tls_server_cert") == NULL) != (config_string(c, "tls_server_key") == NULL))
		return config_fault(c, "tls_server_cert", why, "goes with tls_server_key: set both or none");
	if (config_string(c, "imaps_listen") != NULL && config_string(c, "tls_server_cert") == NULL)
		return config_fault(c, "imaps_listen", why, "needs tls_server_cert and tls_server_key");
	if (!autocreate_check(c, why))
		return false;
	if (config_string(c, "pop3s_listen") != NULL && config_string(c, "tls_server_cert") == NULL)
		return config_fault(c, "pop3s_listen", why, "needs tls_server_cert and tls_server_key");
	b->server = config_string(c, "servername");
	b->member = config_string(c, "member");
	b->max_message = config_number(c, "maxmessagesize");
	b->message_limit = (size_t)config_number(c, "imap_message_limit");
	b->max_search_mailboxes = (size_t)config_number(c, "imap_max_search_mailboxes");
	b->max_notify_mailboxes = (size_t)config_number(c, "imap_max_notify_mailboxes");
	b->max_contexts = (size_t)config_number(c, "imap_max_contexts");
	b->progress_ns = config_number(c, "imap_progress_ms") * 1000000;
	b->frame_limits = (struct imap_frame_limits){
		.line = (size_t)config_number(c, "imap_max_line"),
		.literal = (size_t)config_number(c, "imap_max_literal"),
		.command = (size_t)config_number(c, "imap_max_command"),
		.message = (size_t)b->max_message,
		.messages = (size_t)config_number(c, "imap_max_append"),
	};
	if (b->frame_limits.messages < b->frame_limits.message)
		b->frame_limits.messages = b->frame_limits.message;
	b->command_limits = (struct imap_command_limits){
		.list = (size_t)config_number(c, "imap_max_list"),
		.depth = (size_t)config_number(c, "imap_max_depth"),
	};
	b->mime_limits = (struct mime_limits){
		.parts = (size_t)config_number(c, "mime_max_parts"),
		.depth = (size_t)config_number(c, "mime_max_depth"),
		.header = (size_t)config_number(c, "mime_max_header"),
	};
	b->inflight.max = config_number(c, "max_inflight");
	return true;
}

#define IMAP_FULL "* BYE [UNAVAILABLE] too many connections, try later\r\n"
#define LMTP_FULL "421 4.3.2 too many connections, try later\r\n"
#define POP3_FULL "-ERR [SYS/TEMP] too many connections, try later\r\n"

static bool open_listener(struct backend *b, const char *key, struct tls_context *tls, listener_fn *called,
                          struct listener **l_r, struct fault *why)
{
	const char *address = config_string(b->cfg, key);

	if (address == NULL)
		return true;
	*l_r = listener_open(b->home, &b->loops, address, tls, (size_t)config_number(b->cfg, "max_connections"), called, b, why);
	if (*l_r == NULL)
		return fault_context(why, "%s", key);
	listener_set_refusal(*l_r, called == lmtp_session_called ? LMTP_FULL : called == pop3_session_called ? POP3_FULL : IMAP_FULL);
	return true;
}

static bool open_store(struct backend *b, const char *dir, struct fault *why)
{
	const struct store_options options = {
		.dir = dir,
		.map_size = config_number(b->cfg, "index_map_size"),
		.segment_size = config_number(b->cfg, "journal_segment_size"),
		.keywords_max = (unsigned)config_number(b->cfg, "imap_max_keywords"),
		.expunge_delay = config_number(b->cfg, "expunge_delay"),
	};

	b->store = store_open(&options, why);
	return b->store != NULL;
}

static bool open_tls(struct backend *b, struct fault *why)
{
	const char *cert = config_string(b->cfg, "tls_server_cert");
	const char *ca = config_string(b->cfg, "tls_client_ca_file");

	if (cert != NULL && (b->tls = tls_server_new(cert, config_string(b->cfg, "tls_server_key"), config_string(b->cfg, "tls_login_ca_file"), why)) == NULL)
		return false;
	if ((cert != NULL || ca != NULL) && (b->tls_client = tls_client_new(ca, why)) == NULL)
		return false;
	return true;
}

static bool open_driver(struct backend *b, struct fault *why)
{
	const char *admin = config_string(b->cfg, "admin_listen");
	const struct driver_options options = {
		.config = b->cfg,
		.store = b->store,
		.users = b->users,
		.tls_server = b->tls,
		.tls_client = b->tls_client,
		.imap_address = b->imap != NULL ? listener_address(b->imap) : listener_address(b->imaps),
		.lmtp_address = b->lmtp != NULL ? listener_address(b->lmtp) : "",
		.pop3_address = b->pop3 != NULL ? listener_address(b->pop3) : "",
		.admin_address = b->admin != NULL ? admin_address(b->admin) : admin != NULL ? admin : "",
		.events = &driver_events,
		.arg = b,
	};

	atomic_store(&b->driver, driver_start(&options, why));
	return atomic_load(&b->driver) != NULL;
}

/* Life. */

static void stop(void *arg)
{
	struct backend *b = arg;

	if (b->is_stopping)
		return;
	b->is_stopping = true;
	log_event(LOG_INFO, "backend.role.stopping");
	(void)pthread_rwlock_wrlock(&b->driver_lock);
	listener_close(&b->imap);
	listener_close(&b->imaps);
	listener_close(&b->lmtp);
	listener_close(&b->pop3);
	listener_close(&b->pop3s);
	(void)pthread_rwlock_unlock(&b->driver_lock);
	for (size_t i = 0; i < b->loops.count; i++)
		shard_farewell(&b->shards[i], FAREWELL_STOPPING);
	loop_stop(b->home);
}

static void reload(void *arg)
{
	struct backend *b = arg;
	struct fault why;

	if (b->tls != NULL && !tls_reload(b->tls, &why))
		log_event(LOG_ERROR, "backend.tls.unreadable", LOG_FAULT(&why));
	if (b->tls_client != NULL && !tls_reload(b->tls_client, &why))
		log_event(LOG_ERROR, "backend.tls.unreadable", LOG_FAULT(&why));
	login_service_reload(b->login_service);
	log_event(LOG_INFO, "backend.role.reloaded");
}

static bool open_all(struct backend *b, const char *dir, struct fault *why)
{
	const struct config *c = b->cfg;

	b->users = users_open(config_string(c, "users_file"), why);
	if (b->users == NULL || !open_tls(b, why))
		return false;
	b->login_service = login_service_open(c, b->users, true, why);
	if (b->login_service == NULL || !open_store(b, dir, why))
		return false;
	if (config_switch(c, "search_index") && (b->indexer = indexer_start(b->store, dir, &b->mime_limits, why)) == NULL)
		return false;
	if (!loops_start(&b->loops, (size_t)config_number(c, "loops"), why))
		return false;
	b->shards = must_calloc(b->loops.count, sizeof(*b->shards));
	b->shard_count = b->loops.count;
	for (size_t i = 0; i < b->shard_count; i++)
		shard_init(&b->shards[i], b, b->loops.at[i]);
	if (!open_listener(b, "imap_listen", NULL, imap_session_called, &b->imap, why) ||
	    !open_listener(b, "imaps_listen", b->tls, imap_session_called, &b->imaps, why) ||
	    !open_listener(b, "lmtp_listen", NULL, lmtp_session_called, &b->lmtp, why) ||
	    !open_listener(b, "pop3_listen", NULL, pop3_session_called, &b->pop3, why) ||
	    !open_listener(b, "pop3s_listen", b->tls, pop3_session_called, &b->pop3s, why))
		return false;
	if (config_string(c, "admin_listen") != NULL) {
		b->source = (struct admin_source){ role, NULL, is_ready, status_json, metrics, b };
		b->admin = admin_start(config_string(c, "admin_listen"), &b->source, why);
		if (b->admin == NULL)
			return fault_context(why, "admin_listen");
	}
	return open_driver(b, why) && loop_on_signal(b->home, SIGTERM, stop, b, why) &&
	       loop_on_signal(b->home, SIGINT, stop, b, why) && loop_on_signal(b->home, SIGHUP, reload, b, why);
}

/* Everything but the home loop, which has ended. */
/* False with WHY: the store has failed. */
static bool close_all(struct backend *b, struct fault *why)
{
	struct driver *driver = atomic_load(&b->driver);
	bool is_well;

	admin_stop(&b->admin);
	(void)pthread_rwlock_wrlock(&b->driver_lock);
	atomic_store(&b->driver, NULL);
	(void)pthread_rwlock_unlock(&b->driver_lock);
	driver_stop(&driver);
	login_service_stop(b->login_service);
	if (b->shards != NULL)
		loops_stop(&b->loops);
	for (size_t i = 0; b->shards != NULL && i < b->shard_count; i++)
		shard_fini(&b->shards[i]);
	free(b->shards);
	is_well = b->store == NULL || !store_is_failed(b->store);
	if (!is_well && why != NULL)
		store_failure(b->store, why);
	indexer_stop(&b->indexer);
	store_close(&b->store);
	tls_free(&b->tls);
	tls_free(&b->tls_client);
	login_service_close(&b->login_service);
	users_close(&b->users);
	recent_fini(&b->recent);
	column_cache_fini(&b->columns);
	(void)pthread_rwlock_destroy(&b->driver_lock);
	return is_well;
}

bool backend_run(const struct config *config, struct fault *why)
{
	struct backend *b = must_calloc(1, sizeof(*b));
	const char *dir;
	bool ok;

	b->cfg = config;
	if (!check_config(b, &dir, why) || (b->home = loop_new(why)) == NULL) {
		free(b);
		return false;
	}
	recent_init(&b->recent);
	column_cache_init(&b->columns, (size_t)config_number(b->cfg, "mailbox_cache"));
	(void)pthread_rwlock_init(&b->driver_lock, NULL);
	ok = open_all(b, dir, why);
	if (ok) {
		log_event(LOG_INFO, "backend.role.started", LOG_STR("server", b->server), LOG_STR("member", b->member),
		          LOG_STR("imap", listener_address(b->imap != NULL ? b->imap : b->imaps)),
		          LOG_STR("lmtp", b->lmtp != NULL ? listener_address(b->lmtp) : ""),
		          LOG_STR("pop3", b->pop3 != NULL ? listener_address(b->pop3) : ""));
	} else {
		listener_close(&b->imap);
		listener_close(&b->imaps);
		listener_close(&b->lmtp);
		listener_close(&b->pop3);
		listener_close(&b->pop3s);
		loop_stop(b->home);
	}
	loop_run(b->home);
	ok = close_all(b, ok ? why : NULL) && ok;
	loop_join(&b->home);
	free(b);
	return ok;
}
