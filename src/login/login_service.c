/* login_service.c - from the configuration to the gate, the issuer and saslauthd; and the questions that go to them. */
#include "login_service.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "alloc.h"
#include "clock.h"
#include "json.h"
#include "login_private.h"
#include "login_saslauthd.h"
#include "policy.h"

#define WAITING_MAX 1000
/* A password costs thousands of hashes, as many as its account's line says: not on a loop. */
#define HASHERS 2

/* A question that somebody is asked. */
struct login_check {
	struct work_item item;
	struct login_service *service;
	struct login *login; /* NULL: it is gone; on its loop's thread only */
	const char *protocol;
	enum sasl_question_kind kind;
	bool is_of_file;            /* the users_file is asked */
	struct buffer name, secret; /* of the question */
	enum check_result result;
	struct buffer user; /* whom the token names */
	struct fault why;
};

static enum check_result check_of(enum oauth_result r)
{
	static const enum check_result results[] = {
		[OAUTH_RIGHT] = CHECK_RIGHT, [OAUTH_WRONG] = CHECK_WRONG,
		[OAUTH_EXPIRED] = CHECK_EXPIRED, [OAUTH_SCOPE] = CHECK_SCOPE,
		[OAUTH_UNAVAILABLE] = CHECK_UNAVAILABLE, [OAUTH_ASK] = CHECK_WAITS,
	};

	return results[r];
}

/* On a worker's thread. */
static void run(struct work_item *w, struct worker *on)
{
	struct login_check *c = (struct login_check *)w;
	struct login_service *s = c->service;

	if (c->is_of_file) {
		c->result = users_verify(s->users, buffer_bytes(&c->name), buffer_bytes(&c->secret)) ? CHECK_RIGHT : CHECK_WRONG;
		return;
	}
	if (c->kind == SASL_TOKEN) {
		c->result = check_of(oauth_ask(s->oauth, buffer_bytes(&c->secret), on, &c->user, &c->why));
		return;
	}
	switch (login_saslauthd(s->saslauthd, buffer_bytes(&c->name), buffer_bytes(&c->secret), c->protocol, s->timeout_ms, on, &c->why)) {
	case SASLAUTHD_RIGHT:
		c->result = CHECK_RIGHT;
		break;
	case SASLAUTHD_WRONG:
		c->result = CHECK_WRONG;
		break;
	case SASLAUTHD_UNAVAILABLE:
		c->result = CHECK_UNAVAILABLE;
		break;
	}
}

static void wipe(struct buffer *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->n);
	buffer_fini(b);
}

static void free_check(struct login_check *c)
{
	wipe(&c->secret);
	buffer_fini(&c->name);
	buffer_fini(&c->user);
	free(c);
}

static void done(struct work_item *w, bool was_run)
{
	struct login_check *c = (struct login_check *)w;
	struct login *l = c->login;

	if (!was_run) {
		c->result = CHECK_UNAVAILABLE;
		(void)fault_set(&c->why, FAULT_TRANSIENT, "too many others are waiting for an answer");
	}
	if (l != NULL) {
		l->check = NULL;
		login_checked(l, c->result, buffer_bytes(&c->user), &c->why);
	}
	free_check(c);
}

void login_check_drop(struct login *l)
{
	if (l->check != NULL)
		l->check->login = NULL;
	l->check = NULL;
}

static enum check_result ask(struct login *l, struct workers *whom, const struct sasl_question *q, struct fault *why)
{
	struct login_service *s = l->service;
	struct login_check *c = must_calloc(1, sizeof(*c));

	c->item = (struct work_item){ .run = run, .done = done, .loop = conn_loop(l->conn), .until_ms = clock_mono_ms() + s->timeout_ms };
	c->service = s;
	c->login = l;
	c->protocol = l->class->protocol;
	c->kind = q->kind;
	c->is_of_file = whom == s->hashers;
	buffer_add(&c->name, q->name);
	buffer_add(&c->secret, q->secret);
	l->check = c;
	if (workers_add(whom, &c->item))
		return CHECK_WAITS;
	l->check = NULL;
	free_check(c);
	(void)fault_set(why, FAULT_TRANSIENT, "too many others are waiting for an answer");
	return CHECK_UNAVAILABLE;
}

struct refreshing {
	struct work_item item;
	struct oauth *oauth;
};

static void run_refresh(struct work_item *w, struct worker *on)
{
	oauth_refresh(((struct refreshing *)w)->oauth, on);
}

static void done_refresh(struct work_item *w, bool was_run)
{
	if (!was_run)
		oauth_refresh(((struct refreshing *)w)->oauth, NULL);
	free(w);
}

/* The keys are old: have them asked for, while they are used. */
static void refresh(struct login_service *s)
{
	struct refreshing *r = must_calloc(1, sizeof(*r));

	r->item = (struct work_item){ .run = run_refresh, .done = done_refresh, .loop = loop_current(), .until_ms = UINT64_MAX };
	r->oauth = s->oauth;
	if (!workers_add(s->workers, &r->item))
		done_refresh(&r->item, false);
}

enum check_result login_check(struct login *l, const struct sasl_question *q, struct buffer *name_r, struct fault *why)
{
	struct login_service *s = l->service;
	struct users_key key = { 0 };
	enum oauth_result result;

	if (q->kind == SASL_TOKEN) {
		if (oauth_is_due(s->oauth))
			refresh(s);
		result = oauth_check(s->oauth, q->secret, name_r, why);
		return result == OAUTH_ASK ? ask(l, s->workers, q, why) : check_of(result);
	}
	/* Whom the file has, nobody else is asked about; nor about daemons' names: whoever had one of them there could act as everybody. */
	if (s->saslauthd != NULL && q->secret.n > 0 && !auth_is_daemon(s->config, q->name) && !users_lookup(s->users, q->name, &key))
		return ask(l, s->workers, q, why);
	OPENSSL_cleanse(&key, sizeof(key));
	return users_was_verified(s->users, q->name, q->secret) ? CHECK_RIGHT : ask(l, s->hashers, q, why);
}

/* ---- life ---- */

/* What a refused client is told beside the status (RFC 7628 section 3.2.2). */
static char *error_of(const struct config *c)
{
	const char *discovery = config_string(c, "oauth_discovery_url");
	struct buffer text = { 0 }, scopes = { 0 };
	struct bytes word;
	char *copy;

	for (size_t i = 0; config_word(c, "oauth_scope", i, &word); i++) {
		buffer_add_str(&scopes, i == 0 ? "" : " ");
		buffer_add(&scopes, word);
	}
	if (scopes.n > 0)
		json_key_string(&text, "scope", buffer_bytes(&scopes));
	if (discovery != NULL)
		json_key_string(&text, "openid-configuration", bytes_of(discovery));
	copy = bytes_to_str(buffer_bytes(&text));
	buffer_fini(&text);
	buffer_fini(&scopes);
	return copy;
}

static bool open_checks(struct login_service *s, struct fault *why)
{
	const struct config *c = s->config;

	if (oauth_is_wanted(c) && (s->oauth = oauth_open(c, why)) == NULL)
		return false;
	if (bytes_equal_str(bytes_of(config_string(c, "sasl_pwcheck_method")), "saslauthd"))
		s->saslauthd = config_string(c, "sasl_saslauthd_path");
	if (s->oauth == NULL && s->saslauthd == NULL)
		return true;
	s->workers = workers_start((size_t)config_number(c, "login_check_threads"), WAITING_MAX, why);
	return s->workers != NULL;
}

struct login_service *login_service_open(const struct config *c, struct users *users, bool for_people, struct fault *why)
{
	const struct gate_options go = { .delay_ms = config_number(c, "login_delay_ms"),
		                         .delay_max_ms = config_number(c, "login_delay_max_ms"),
		                         .forget_ms = config_number(c, "login_forget_s") * 1000,
		                         .max_addresses = (size_t)config_number(c, "login_max_addresses"),
		                         .trusted = c };
	struct login_service *s = must_calloc(1, sizeof(*s));

	s->config = c;
	s->users = users;
	s->max_failures = (unsigned)config_number(c, "login_max_failures");
	s->timeout_ms = config_number(c, "login_check_timeout_ms");
	s->wants_certificates = config_string(c, "tls_login_ca_file") != NULL;
	s->name_is_email = bytes_equal_str(bytes_of(config_string(c, "tls_login_name")), "email");
	s->oauth_error = error_of(c);
	if (getrandom(s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		abort();
	if (s->wants_certificates && config_string(c, "tls_server_cert") == NULL)
		(void)config_fault(c, "tls_login_ca_file", why, "needs tls_server_cert and tls_server_key");
	else
		s->gate = gate_new(&go, why);
	if (s->gate != NULL)
		s->hashers = workers_start(HASHERS, WAITING_MAX, why);
	if (s->hashers == NULL || (for_people && !open_checks(s, why)))
		login_service_close(&s);
	return s;
}

void login_service_stop(struct login_service *s)
{
	if (s == NULL)
		return;
	workers_stop(s->workers);
	workers_stop(s->hashers);
}

void login_service_close(struct login_service **sp)
{
	struct login_service *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	workers_free(&s->workers);
	workers_free(&s->hashers);
	oauth_close(&s->oauth);
	gate_free(&s->gate);
	free(s->oauth_error);
	free(s);
}

void login_service_reload(struct login_service *s)
{
	if (s->oauth != NULL)
		oauth_reload(s->oauth);
}

static void metric(struct buffer *to, const char *name, const char *type, uint64_t value)
{
	buffer_addf(to, "# TYPE %s %s\n%s %llu\n", name, type, name, (unsigned long long)value);
}

void login_service_metrics(struct login_service *s, struct buffer *to)
{
	static const char *const reasons[REASON_COUNT] = { "credentials", "token", "expired", "scope", "authorization", "malformed" };
	size_t tokens, keys;

	buffer_add_str(to, "# TYPE roost_login_refused_total counter\n");
	for (size_t i = 0; i < REASON_COUNT; i++)
		buffer_addf(to, "roost_login_refused_total{reason=\"%s\"} %llu\n", reasons[i], (unsigned long long)atomic_load(&s->refused[i]));
	metric(to, "roost_login_accepted_total", "counter", atomic_load(&s->accepted));
	metric(to, "roost_login_turned_away_total", "counter", atomic_load(&s->turned_away));
	metric(to, "roost_login_unavailable_total", "counter", atomic_load(&s->unavailable));
	metric(to, "roost_login_slowed_addresses", "gauge", gate_count(s->gate));
	if (s->workers != NULL)
		metric(to, "roost_login_checks_waiting", "gauge", workers_waiting(s->workers));
	if (s->oauth != NULL) {
		oauth_count(s->oauth, &tokens, &keys);
		metric(to, "roost_login_tokens_remembered", "gauge", tokens);
		metric(to, "roost_login_token_keys", "gauge", keys);
	}
}
