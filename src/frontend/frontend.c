/* frontend.c - the role: configuration, loops, listeners, the directory's follower; stop in order. */
#include "frontend.h"

#include <signal.h>
#include <stdlib.h>

#include "alloc.h"
#include "capabilities.h"
#include "fe_imap.h"
#include "fe_pop3.h"
#include "frontend_private.h"
#include "json.h"
#include "log.h"

struct fe_shard *fe_shard_of(struct frontend *fe, const struct loop *loop)
{
	for (size_t i = 0; i < fe->loops.count; i++) {
		if (fe->shards[i].loop == loop)
			return &fe->shards[i];
	}
	abort();
}

bool fe_inflight(struct frontend *fe, int64_t octets)
{
	uint64_t now = atomic_fetch_add(&fe->inflight, (uint64_t)octets) + (uint64_t)octets;

	if (octets <= 0 || now <= fe->max_inflight)
		return true;
	(void)atomic_fetch_sub(&fe->inflight, (uint64_t)octets);
	return false;
}

static const char *role(void *arg)
{
	(void)arg;
	return "frontend";
}

static bool is_ready(void *arg)
{
	struct frontend *fe = arg;

	return places_is_ready(fe->places) && capabilities_is_settled(fe->capabilities);
}

static void status_json(void *arg, struct buffer *to)
{
	struct frontend *fe = arg;

	buffer_add_u8(to, '{');
	json_key_string(to, "role", BYTES_LIT("frontend"));
	json_key_string(to, "name", bytes_of(fe->name));
	json_key_bool(to, "ready", is_ready(fe));
	json_key_u64(to, "imap_sessions", atomic_load(&fe->imap_sessions));
	json_key_u64(to, "lmtp_sessions", atomic_load(&fe->lmtp_sessions));
	json_key_u64(to, "pop3_sessions", atomic_load(&fe->pop3_sessions));
	json_key_u64(to, "accepted", atomic_load(&fe->accepted));
	json_key_u64(to, "refused", atomic_load(&fe->refused));
	json_key_u64(to, "resent", atomic_load(&fe->resent));
	places_status_json(fe->places, to);
	buffer_add_u8(to, '}');
}

static void metric(struct buffer *to, const char *name, const char *type, uint64_t value)
{
	buffer_addf(to, "# TYPE %s %s\n%s %llu\n", name, type, name, (unsigned long long)value);
}

static void metrics(void *arg, struct buffer *to)
{
	struct frontend *fe = arg;

	metric(to, "roost_frontend_imap_sessions", "gauge", atomic_load(&fe->imap_sessions));
	metric(to, "roost_frontend_lmtp_sessions", "gauge", atomic_load(&fe->lmtp_sessions));
	metric(to, "roost_frontend_pop3_sessions", "gauge", atomic_load(&fe->pop3_sessions));
	metric(to, "roost_frontend_logins_total", "counter", atomic_load(&fe->logins));
	metric(to, "roost_frontend_login_failures_total", "counter", atomic_load(&fe->login_failures));
	metric(to, "roost_frontend_commands_total", "counter", atomic_load(&fe->commands));
	metric(to, "roost_frontend_accepted_total", "counter", atomic_load(&fe->accepted));
	metric(to, "roost_frontend_refused_total", "counter", atomic_load(&fe->refused));
	metric(to, "roost_frontend_resent_total", "counter", atomic_load(&fe->resent));
	metric(to, "roost_frontend_inflight_octets", "gauge", atomic_load(&fe->inflight));
	metric(to, "roost_frontend_mailboxes", "gauge", places_count(fe->places));
	login_service_metrics(fe->login_service, to);
}

/* Deliveries and commands that wait look again by themselves. */
static void on_server_changed(void *arg, struct bytes server)
{
	struct frontend *fe = arg;

	capabilities_look(fe->capabilities, server);
}

static void on_server_gone(void *arg, struct bytes server)
{
	struct frontend *fe = arg;

	capabilities_forget(fe->capabilities, server);
}

static void on_list_whole(void *arg)
{
	struct frontend *fe = arg;

	capabilities_list_is_whole(fe->capabilities);
}

static const struct places_events places_events = {
	.changed = on_server_changed, .gone = on_server_gone, .whole = on_list_whole
};

static void end_shard(void *arg)
{
	struct fe_shard *sh = arg;

	sh->is_ending = true;
	LIST_EACH(m, &sh->sessions) {
		struct fe_session *s = LIST_OBJECT(m, struct fe_session, in_shard);

		s->farewell(s);
	}
	fe_lmtp_end_idle(sh);
}

static void stop(void *arg)
{
	struct frontend *fe = arg;

	if (fe->is_stopping)
		return;
	fe->is_stopping = true;
	log_event(LOG_INFO, "frontend.role.stopping");
	listener_close(&fe->imap);
	listener_close(&fe->imaps);
	listener_close(&fe->lmtp);
	listener_close(&fe->pop3);
	listener_close(&fe->pop3s);
	for (size_t i = 0; i < fe->loops.count; i++)
		loop_post(fe->loops.at[i], end_shard, &fe->shards[i]);
	capabilities_stop(fe->capabilities);
	places_stop(fe->places);
	loop_stop(fe->home);
}

static void reload(void *arg)
{
	struct frontend *fe = arg;
	struct fault why;

	if (fe->tls != NULL && !tls_reload(fe->tls, &why))
		log_event(LOG_ERROR, "frontend.tls.unreadable", LOG_FAULT(&why));
	login_service_reload(fe->login_service);
	log_event(LOG_INFO, "frontend.role.reloaded");
}

static bool check_config(const struct config *c, struct fault *why)
{
	static const char *const needed[] = { "configdirectory", "member", "mupdate_server", "users_file", "proxy_authname" };

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		bool has = i == 2 ? config_is_set(c, needed[i]) : config_string(c, needed[i]) != NULL;

		if (!has)
			return config_fault(c, needed[i], why, "is missing; a frontend needs it");
	}
	if ((config_string(c, "tls_server_cert") == NULL) != (config_string(c, "tls_server_key") == NULL))
		return config_fault(c, "tls_server_cert", why, "goes with tls_server_key: set both or none");
	if (config_string(c, "imaps_listen") != NULL && config_string(c, "tls_server_cert") == NULL)
		return config_fault(c, "imaps_listen", why, "needs tls_server_cert and tls_server_key");
	if (config_string(c, "pop3s_listen") != NULL && config_string(c, "tls_server_cert") == NULL)
		return config_fault(c, "pop3s_listen", why, "needs tls_server_cert and tls_server_key");
	return true;
}

#define IMAP_FULL "* BYE [UNAVAILABLE] too many connections, try later\r\n"
#define LMTP_FULL "421 4.3.2 too many connections, try later\r\n"
#define POP3_FULL "-ERR [SYS/TEMP] too many connections, try later\r\n"

static bool listen_on(struct frontend *fe, const char *key, struct tls_context *tls, listener_fn *called,
                      struct listener **l_r, struct fault *why)
{
	const char *address = config_string(fe->config, key);

	if (address == NULL)
		return true;
	*l_r = listener_open(fe->home, &fe->loops, address, tls, (size_t)config_number(fe->config, "max_connections"), called, fe,
	                     why);
	if (*l_r == NULL)
		return fault_context(why, "%s", key);
	listener_set_refusal(*l_r, called == fe_lmtp_called ? LMTP_FULL : called == fe_pop3_called ? POP3_FULL : IMAP_FULL);
	return true;
}

static bool open_all(struct frontend *fe, struct fault *why)
{
	const struct config *c = fe->config;
	const char *cert = config_string(c, "tls_server_cert");
	const char *ca = config_string(c, "tls_client_ca_file");
	struct places_options po = { .config = c, .name = fe->name, .events = &places_events, .arg = fe };

	fe->users = users_open(config_string(c, "users_file"), why);
	if (fe->users == NULL)
		return false;
	fe->login_service = login_service_open(c, fe->users, true, why);
	if (fe->login_service == NULL)
		return false;
	if (cert != NULL && (fe->tls = tls_server_new(cert, config_string(c, "tls_server_key"), config_string(c, "tls_login_ca_file"), why)) == NULL)
		return false;
	if ((cert != NULL || ca != NULL) && (fe->tls_client = tls_client_new(ca, why)) == NULL)
		return false;
	if (!loops_start(&fe->loops, (size_t)config_number(c, "loops"), why))
		return false;
	fe->shards = must_calloc(fe->loops.count, sizeof(*fe->shards));
	for (size_t i = 0; i < fe->loops.count; i++) {
		fe->shards[i].fe = fe;
		fe->shards[i].loop = fe->loops.at[i];
		list_init(&fe->shards[i].sessions);
		list_init(&fe->shards[i].lmtp_idle);
	}
	if (!listen_on(fe, "imap_listen", NULL, fe_imap_called, &fe->imap, why) ||
	    !listen_on(fe, "imaps_listen", fe->tls, fe_imap_called, &fe->imaps, why) ||
	    !listen_on(fe, "lmtp_listen", NULL, fe_lmtp_called, &fe->lmtp, why) ||
	    !listen_on(fe, "pop3_listen", NULL, fe_pop3_called, &fe->pop3, why) ||
	    !listen_on(fe, "pop3s_listen", fe->tls, fe_pop3_called, &fe->pop3s, why))
		return false;
	po.tls = fe->tls_client;
	po.imap_address = fe->imap != NULL ? listener_address(fe->imap) : "";
	po.lmtp_address = fe->lmtp != NULL ? listener_address(fe->lmtp) : "";
	po.pop3_address = fe->pop3 != NULL ? listener_address(fe->pop3) : "";
	po.admin_address = config_string(c, "admin_listen") == NULL ? "" : config_string(c, "admin_listen");
	fe->capabilities = capabilities_new(fe);
	fe->places = places_open(fe->home, &po, why);
	if (fe->places == NULL)
		return false;
	capabilities_recall(fe->capabilities);
	if (config_string(c, "admin_listen") != NULL) {
		fe->source = (struct admin_source){ role, NULL, is_ready, status_json, metrics, fe };
		fe->admin = admin_start(config_string(c, "admin_listen"), &fe->source, why);
		if (fe->admin == NULL)
			return false;
	}
	return loop_on_signal(fe->home, SIGTERM, stop, fe, why) && loop_on_signal(fe->home, SIGINT, stop, fe, why) &&
	       loop_on_signal(fe->home, SIGHUP, reload, fe, why);
}

bool frontend_run(const struct config *config, struct fault *why)
{
	struct frontend *fe = must_calloc(1, sizeof(*fe));
	bool ok;

	fe->config = config;
	fe->name = config_string(config, "member");
	fe->max_message = config_number(config, "maxmessagesize");
	fe->max_inflight = config_number(config, "max_inflight");
	fe->progress_ms = config_number(config, "imap_progress_ms");
	if (!check_config(config, why) || (fe->home = loop_new(why)) == NULL) {
		free(fe);
		return false;
	}
	ok = open_all(fe, why);
	if (ok) {
		log_event(LOG_INFO, "frontend.role.started", LOG_STR("imap", fe->imap == NULL ? "" : listener_address(fe->imap)),
		          LOG_STR("lmtp", fe->lmtp == NULL ? "" : listener_address(fe->lmtp)),
		          LOG_STR("pop3", fe->pop3 == NULL ? "" : listener_address(fe->pop3)));
	} else {
		listener_close(&fe->imap);
		listener_close(&fe->imaps);
		listener_close(&fe->lmtp);
		listener_close(&fe->pop3);
		listener_close(&fe->pop3s);
		if (fe->capabilities != NULL)
			capabilities_stop(fe->capabilities);
		if (fe->places != NULL)
			places_stop(fe->places);
		loop_stop(fe->home);
	}
	loop_run(fe->home);
	admin_stop(&fe->admin);
	login_service_stop(fe->login_service);
	loops_stop(&fe->loops);
	loop_join(&fe->home);
	capabilities_free(&fe->capabilities);
	places_free(&fe->places);
	free(fe->shards);
	tls_free(&fe->tls);
	tls_free(&fe->tls_client);
	login_service_close(&fe->login_service);
	users_close(&fe->users);
	free(fe);
	return ok;
}
