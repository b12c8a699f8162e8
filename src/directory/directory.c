/* directory.c - the role: open the store, the listener, the admin port; stop in order.
 *
 * One loop carries all sessions, one thread writes. A mupdate server's work is small messages: what costs is the sync,
 * and that is the writer's. */
#include "directory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "dir_etcd.h"
#include "dir_follow.h"
#include "dir_lmdb.h"
#include "dir_members.h"
#include "dir_move_private.h"
#include "dir_presence.h"
#include "dir_session.h"
#include "json.h"
#include "log.h"
#include "record_store.h"

static const char *role(void *arg)
{
	(void)arg;
	return "mupdate";
}

static const char *role_of(void *arg, const char *member)
{
	struct directory *d = arg;
	struct buffer key = { 0 };
	size_t mark = bytes_find(bytes_of(member), '/');
	const char *role;

	for (size_t i = 0; member[i] != '\0'; i++)
		buffer_add_u8(&key, i < mark ? ascii_lower((uint8_t)member[i]) : (uint8_t)member[i]);
	role = dir_status_role(d, buffer_bytes(&key));
	buffer_fini(&key);
	/* Cut off from the store it may have been made another's. */
	return role != NULL && !atomic_load(&d->is_in_reach) ? "unknown" : role;
}

static bool is_ready(void *arg)
{
	struct directory *d = arg;

	return atomic_load(&d->is_ready) && atomic_load(&d->is_in_reach);
}

static void status_json(void *arg, struct buffer *to)
{
	struct directory *d = arg;
	uint64_t commits, changes;

	dir_writer_counts(d->writer, &commits, &changes);
	buffer_add_u8(to, '{');
	json_key_string(to, "role", BYTES_LIT("mupdate"));
	json_key_bool(to, "ready", atomic_load(&d->is_ready));
	json_key_u64(to, "mailboxes", atomic_load(&d->records));
	json_key_u64(to, "followers", atomic_load(&d->follower_count));
	json_key_u64(to, "sessions", atomic_load(&d->session_count));
	json_key_u64(to, "moves", atomic_load(&d->moves));
	json_key_u64(to, "commits", commits);
	if (d->follow != NULL) {
		json_key_string(to, "follows", bytes_of(d->url));
		json_key_bool(to, "connected", dir_follow_is_connected(d->follow));
	}
	json_key_string(to, "store", bytes_of(config_string(d->config, "directory_store")));
	json_key_bool(to, "store_in_reach", atomic_load(&d->is_in_reach));
	(void)pthread_mutex_lock(&d->status_lock);
	json_sep(to);
	buffer_add(to, buffer_bytes(&d->status));
	(void)pthread_mutex_unlock(&d->status_lock);
	buffer_add_u8(to, '}');
}

static void metric(struct buffer *to, const char *name, const char *type, const char *help, uint64_t value)
{
	buffer_addf(to, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name, (unsigned long long)value);
}

static void metrics(void *arg, struct buffer *to)
{
	struct directory *d = arg;
	uint64_t commits, changes;

	dir_writer_counts(d->writer, &commits, &changes);
	metric(to, "roost_directory_mailboxes", "gauge", "Records of mailboxes.", atomic_load(&d->records));
	metric(to, "roost_directory_sessions", "gauge", "Connections open.", atomic_load(&d->session_count));
	metric(to, "roost_directory_followers", "gauge", "Sessions that are sent updates.", atomic_load(&d->follower_count));
	metric(to, "roost_directory_commands_total", "counter", "Commands read.", atomic_load(&d->commands));
	metric(to, "roost_directory_logins_total", "counter", "Successful authentications.", atomic_load(&d->logins));
	metric(to, "roost_directory_moves_total", "counter", "Active mailboxes that went to another server.",
	       atomic_load(&d->moves));
	if (d->follow != NULL)
		metric(to, "roost_directory_connected", "gauge", "Whether this follower is connected to its master.",
		       dir_follow_is_connected(d->follow) ? 1 : 0);
	metric(to, "roost_directory_store_up", "gauge", "Whether the store of the records is in reach.",
	       atomic_load(&d->is_in_reach) ? 1 : 0);
	metric(to, "roost_directory_ignored_total", "counter", "Writes of members that are not master, which change nothing.",
	       atomic_load(&d->ignored));
	metric(to, "roost_directory_commits_total", "counter", "Durable transactions.", commits);
	metric(to, "roost_directory_changes_total", "counter", "Changes asked for in them.", changes);
	login_service_metrics(d->login_service, to);
	(void)pthread_mutex_lock(&d->status_lock);
	buffer_add(to, buffer_bytes(&d->metrics));
	(void)pthread_mutex_unlock(&d->status_lock);
}

static void stop(void *arg)
{
	struct directory *d = arg;

	if (d->is_stopping)
		return;
	d->is_stopping = true;
	atomic_store(&d->is_ready, false);
	log_event(LOG_INFO, "directory.role.stopping");
	listener_close(&d->listener);
	dir_sessions_end(d, "shutting down");
	login_service_stop(d->login_service); /* what it posts is taken while the loop runs; milliseconds */
	loop_stop(d->loop);
}

static void reload(void *arg)
{
	struct directory *d = arg;
	struct fault why;

	if (d->tls != NULL && !tls_reload(d->tls, &why))
		log_event(LOG_ERROR, "directory.tls.unreadable", LOG_FAULT(&why));
	log_event(LOG_INFO, "directory.role.reloaded");
}

static bool is_follower(const struct config *c)
{
	return config_is_set(c, "mupdate_server");
}

/* The values that must be there, checked before anything is opened. */
static bool check_config(const struct config *c, struct fault *why)
{
	static const char *const needed[] = { "configdirectory", "mupdate_listen", "users_file" };

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (config_string(c, needed[i]) == NULL)
			return config_fault(c, needed[i], why, "is missing; the mupdate server needs it");
	}
	if (is_follower(c) &&
	    (config_string(c, "mupdate_authname") == NULL || config_string(c, "mupdate_password") == NULL))
		return config_fault(c, "mupdate_server", why, "makes this server a follower: set mupdate_authname and mupdate_password, too");
	if (is_follower(c) && dir_store_is_etcd(c))
		return config_fault(c, "directory_store", why, "is for masters; with mupdate_server this one follows another");
	if (dir_store_is_etcd(c) && !config_is_set(c, "etcd_endpoints"))
		return config_fault(c, "etcd_endpoints", why, "is missing; directory_store: etcd needs it");
	if (!dir_members_check(c, why))
		return false;
	if ((config_string(c, "tls_server_cert") == NULL) != (config_string(c, "tls_server_key") == NULL))
		return config_fault(c, "tls_server_cert", why, "goes with tls_server_key: set both or none");
	return true;
}

static void on_followed(void *arg)
{
	struct directory *d = arg;

	d->is_out_of_reach = false;
	atomic_store(&d->is_in_reach, true);
}

static const struct dir_follow_events follow_events = { .on_changes = dir_changes_done, .on_complete = on_followed };

static void on_reach(void *arg, bool is_in_reach)
{
	struct directory *d = arg;

	d->is_out_of_reach = !is_in_reach;
	atomic_store(&d->is_in_reach, is_in_reach);
	if (is_in_reach) {
		log_event(LOG_INFO, "directory.etcd.reached");
		dir_reigns_foreign(d);
		return;
	}
	log_event(LOG_ERROR, "directory.etcd.out_of_reach");
	/* Others take this server for dead: whoever is connected is better served by one that is not cut off. */
	dir_sessions_end(d, "the directory's store is out of reach; try another mupdate server");
}

static const struct dir_etcd_events etcd_events = {
	.on_changes = dir_changes_done,
	.on_presence = dir_presence_heard,
	.on_reach = on_reach,
	.on_forgotten = dir_presence_forgotten,
};

static bool forget_copy(const char *dir, struct fault *why)
{
	char *data = must_printf("%s/data.mdb", dir);
	bool ok = unlink(data) == 0 || errno == ENOENT || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", data);

	free(data);
	return ok;
}

/* The records' own LMDB; or the copy of those in etcd, which is always made anew, since what it missed is not known; or
 * that of a followed server's. */
static struct kv *open_records(struct directory *d, struct fault *why)
{
	const struct config *c = d->config;
	bool is_whole = !dir_store_is_etcd(c);
	char *dir;
	struct kv *kv = NULL;

	if (d->is_follower) {
		kv = dir_follow_open(c, &is_whole, why);
	} else {
		dir = dir_store_is_etcd(c) ? must_printf("%s/directory-copy", config_string(c, "configdirectory")) : dir_store_path(c);
		if (!dir_store_is_etcd(c) || forget_copy(dir, why))
			kv = record_store_open(dir, (size_t)config_number(c, "index_map_size"), !dir_store_is_etcd(c), why);
		free(dir);
	}
	if (kv == NULL)
		(void)fault_context(why, "the directory's records");
	d->is_out_of_reach = !is_whole;
	atomic_store(&d->is_in_reach, is_whole);
	return kv;
}

static bool start_writer(struct directory *d, struct fault *why)
{
	if (dir_store_is_etcd(d->config)) {
		d->etcd = dir_etcd_start(d->config, d->kv, d->loop, &etcd_events, d, why);
		if (d->etcd != NULL)
			d->writer = dir_writer_start(dir_etcd_batch, d->etcd, d->loop, dir_changes_done, d, why);
	} else {
		d->writer = dir_writer_start(dir_lmdb_batch, d->kv, d->loop, dir_changes_done, d, why);
	}
	return d->writer != NULL;
}

static bool begin_following(struct directory *d, struct fault *why)
{
	const char *ca = config_string(d->config, "tls_client_ca_file");

	if ((d->tls != NULL || ca != NULL) && (d->tls_client = tls_client_new(ca, why)) == NULL)
		return false;
	d->follow = dir_follow_start(d->config, d->kv, d->loop, d->tls_client, &follow_events, d, why);
	return d->follow != NULL;
}

static bool open_all(struct directory *d, struct fault *why)
{
	const struct config *c = d->config;
	const char *cert = config_string(c, "tls_server_cert");

	d->is_follower = is_follower(c);
	d->url = d->is_follower ? dir_follow_url(c) : must_strdup("(master)");
	d->kv = open_records(d, why);
	if (d->kv == NULL)
		return false;
	d->users = users_open(config_string(c, "users_file"), why);
	if (d->users == NULL)
		return false;
	d->login_service = login_service_open(c, d->users, false, why);
	if (d->login_service == NULL)
		return false;
	if (cert != NULL && (d->tls = tls_server_new(cert, config_string(c, "tls_server_key"), config_string(c, "tls_login_ca_file"), why)) == NULL)
		return false;
	if (!start_writer(d, why))
		return false;
	if (!dir_reigns_load(d, why) || (d->is_follower && !begin_following(d, why)))
		return false;
	if (config_string(c, "admin_listen") != NULL) {
		d->source = (struct admin_source){ role, role_of, is_ready, status_json, metrics, d };
		d->admin = admin_start(config_string(c, "admin_listen"), &d->source, why);
		if (d->admin == NULL)
			return false;
	}
	d->listener = listener_open(d->loop, &d->loops, config_string(c, "mupdate_listen"), NULL,
	                            (size_t)config_number(c, "max_connections"), dir_session_called, d, why);
	if (d->listener != NULL)
		listener_set_refusal(d->listener, "* BYE \"too many connections\"\r\n");
	return d->listener != NULL && loop_on_signal(d->loop, SIGTERM, stop, d, why) &&
	       loop_on_signal(d->loop, SIGINT, stop, d, why) && loop_on_signal(d->loop, SIGHUP, reload, d, why);
}

/* Threads that post to the loop; before it is freed. */
static void stop_threads(struct directory *d)
{
	admin_stop(&d->admin);
	dir_etcd_give_up(d->etcd);
	dir_writer_stop(&d->writer);
	dir_etcd_stop(&d->etcd);
	dir_follow_stop(&d->follow);
}

static void close_all(struct directory *d)
{
	tls_free(&d->tls);
	tls_free(&d->tls_client);
	free(d->url);
	login_service_close(&d->login_service);
	users_close(&d->users);
	kv_close(&d->kv);
	registry_fini(&d->registry);
	map_fini(&d->sessions);
	buffer_fini(&d->line);
	dir_status_fini(d);
	(void)pthread_mutex_destroy(&d->status_lock);
}

bool directory_run(const struct config *config, struct fault *why)
{
	struct directory d = { .config = config };
	bool ok;

	if (!check_config(config, why))
		return false;
	d.loop = loop_new(why);
	if (d.loop == NULL)
		return false;
	d.loops = (struct loops){ &d.loop, 1 };
	list_init(&d.followers);
	list_init(&d.watchers);
	list_init(&d.promotions);
	(void)pthread_mutex_init(&d.status_lock, NULL);
	ok = open_all(&d, why);
	if (ok) {
		atomic_store(&d.is_ready, true);
		log_event(LOG_INFO, "directory.role.started", LOG_STR("listen", listener_address(d.listener)),
		          LOG_U64("mailboxes", atomic_load(&d.records)));
	} else {
		listener_close(&d.listener);
		loop_stop(d.loop);
	}
	loop_run(d.loop);
	stop_threads(&d);
	loop_join(&d.loop);
	close_all(&d);
	return ok;
}
