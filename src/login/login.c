/* login.c - one client's exchange: held, stepped, asked about, answered.
 *
 * Phases: IDLE; HELD until the gate lets the attempt in; EXCHANGE while the client has to answer; CHECKING while somebody is asked;
 * PENALTY while the refusal is held back. What can go wrong: the client goes at any moment (login_fini()); nobody can be asked
 * (UNAVAILABLE, which is no failure of the client's); too many attempts of one address wait (UNAVAILABLE, and the connection ends). */
#include "login.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "clock.h"
#include "log.h"
#include "login_private.h"
#include "policy.h"

static const char *const reasons[REASON_COUNT] = {
	[REASON_CREDENTIALS] = "credentials", [REASON_TOKEN] = "token",         [REASON_EXPIRED] = "expired",
	[REASON_SCOPE] = "scope",             [REASON_AUTHORIZATION] = "authorization", [REASON_MALFORMED] = "malformed",
};

static enum login_result handle(struct login *l, enum sasl_result result, struct buffer *out, struct fault *why);

void identity_fini(struct identity *id)
{
	free(id->user);
	free(id->authcid);
	*id = (struct identity){ 0 };
}

static void wipe(struct buffer *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->n);
	buffer_fini(b);
}

void login_init(struct login *l, const struct login_class *class, struct login_service *service, struct conn *conn,
                struct identity *identity, void *arg)
{
	l->class = class;
	l->service = service;
	l->conn = conn;
	l->identity = identity;
	l->arg = arg;
	l->address = gate_address_of(service->gate, conn_peer(conn));
}

/* The attempt is over, whatever came of it. */
static void end_attempt(struct login *l)
{
	login_check_drop(l);
	timer_free(&l->timer);
	sasl_server_free(&l->sasl);
	wipe(&l->response);
	buffer_fini(&l->challenge);
	buffer_fini(&l->exporter);
	buffer_fini(&l->end_point);
	buffer_fini(&l->unique);
	buffer_fini(&l->certificate);
	if (l->is_inside)
		gate_leave(l->service->gate, &l->address);
	l->is_inside = l->has_spoken_last = false;
	l->phase = LOGIN_IDLE;
}

void login_fini(struct login *l)
{
	end_attempt(l);
}

bool login_is_spent(const struct login *l)
{
	return l->is_spent;
}

struct bytes login_challenge(const struct login *l)
{
	return buffer_bytes(&l->challenge);
}

/* ---- what is offered ---- */

static bool may_send_plain(const struct login *l)
{
	return auth_may_send_plain(l->service->config, conn_is_tls(l->conn), conn_is_loopback(l->conn));
}

bool login_takes_passwords(const struct login *l)
{
	return auth_takes_passwords(l->service->config, may_send_plain(l));
}

static bool certified_name(const struct login *l, struct buffer *to)
{
	return l->service->wants_certificates && conn_peer_name(l->conn, l->service->name_is_email ? CONN_NAME_EMAIL : CONN_NAME_CN, to);
}

void login_mechanisms(const struct login *l, struct buffer *to)
{
	struct buffer name = { 0 };
	const struct auth_means means = { .may_send_plain = may_send_plain(l),
		                          .has_binding = conn_is_tls(l->conn),
		                          .has_certificate = certified_name(l, &name),
		                          .has_oauth = l->service->oauth != NULL && l->class->takes_tokens };

	auth_mechanisms(l->service->config, &means, to);
	buffer_fini(&name);
}

static bool has_word(struct bytes words, struct bytes word)
{
	while (words.n > 0) {
		size_t n = bytes_find(words, ' ');

		if (bytes_equal_nocase(bytes_sub(words, 0, n), word))
			return true;
		words = bytes_from(words, n + 1);
	}
	return false;
}

static bool is_offered(const struct login *l, struct bytes mechanism)
{
	struct buffer words = { 0 };
	bool is;

	login_mechanisms(l, &words);
	is = has_word(buffer_bytes(&words), mechanism);
	buffer_fini(&words);
	return is;
}

/* ---- its end ---- */

static void tell(struct login *l, enum login_result result)
{
	if (result != LOGIN_WAITS)
		l->class->done(l->arg, result);
}

static void penalty_over(void *arg)
{
	struct login *l = arg;

	end_attempt(l);
	tell(l, LOGIN_REFUSED);
}

static void wait_for(struct login *l, enum login_phase phase, loop_fn *fn, uint64_t ms)
{
	l->phase = phase;
	timer_free(&l->timer);
	l->timer = timer_new(conn_loop(l->conn), fn, l);
	timer_start(l->timer, ms, 0);
}

static const char *mechanism_of(const struct login *l)
{
	return l->is_bare ? "password" : sasl_server_mechanism(l->sasl);
}

/* Who the client is, or says it is. */
static struct bytes said_name(const struct login *l)
{
	struct bytes name = sasl_server_authcid(l->sasl);

	return name.n > 0 ? name : sasl_server_authzid(l->sasl);
}

/* Count it and log it. The log line is one that is read by programs: docs/operations.md. */
static void note_failure(struct login *l, enum login_reason reason, const struct fault *why)
{
	struct login_service *s = l->service;
	/* A token that the issuer did sign is nobody's guess: a hundred of them run out in any large office. */
	bool is_genuine = reason == REASON_EXPIRED || reason == REASON_SCOPE;
	unsigned there = is_genuine ? 0 : gate_failed(s->gate, &l->address, clock_mono_ms(), l->what);

	l->is_counted = true;
	l->failures++;
	l->is_spent = l->failures >= s->max_failures;
	atomic_fetch_add(&s->refused[reason], 1);
	log_event(LOG_INFO, "login.attempt.refused", LOG_STR("protocol", l->class->protocol), LOG_U64("conn", conn_id(l->conn)),
	          LOG_BYTES("address", gate_host_of(conn_peer(l->conn))), LOG_BYTES("user", said_name(l)),
	          LOG_STR("mechanism", mechanism_of(l)), LOG_STR("reason", reasons[reason]), LOG_U64("failures", l->failures),
	          LOG_U64("of_address", there), LOG_FAULT(why));
}

/* Hold the answer back. Whoever waits for his refusal is not inside any more: others of his address may be looked at. */
static enum login_result hold_back(struct login *l)
{
	uint64_t delay = gate_delay_ms(l->service->gate, l->failures);

	end_attempt(l);
	if (delay == 0)
		return LOGIN_REFUSED;
	wait_for(l, LOGIN_PENALTY, penalty_over, delay);
	return LOGIN_WAITS;
}

static enum login_result refuse(struct login *l, enum login_reason reason, const struct fault *why)
{
	if (!l->is_counted)
		note_failure(l, reason, why);
	return hold_back(l);
}

static enum login_result unavailable(struct login *l, const struct fault *why)
{
	atomic_fetch_add(&l->service->unavailable, 1);
	log_event(LOG_WARNING, "login.check.unavailable", LOG_STR("protocol", l->class->protocol), LOG_U64("conn", conn_id(l->conn)),
	          LOG_BYTES("user", said_name(l)), LOG_STR("mechanism", mechanism_of(l)), LOG_FAULT(why));
	end_attempt(l);
	return LOGIN_UNAVAILABLE;
}

static bool is_token_mechanism(const struct login *l)
{
	return bytes_equal_str(bytes_of(sasl_server_mechanism(l->sasl)), "OAUTHBEARER") ||
	       bytes_equal_str(bytes_of(sasl_server_mechanism(l->sasl)), "XOAUTH2");
}

/* The exchange is over and right: may it be who it wants to be? */
static enum login_result accept(struct login *l)
{
	const struct config *cfg = l->service->config;
	struct bytes authcid = sasl_server_authcid(l->sasl), authzid = sasl_server_authzid(l->sasl);
	struct identity *id = l->identity;
	struct fault why = { 0 };

	if (is_token_mechanism(l))
		authzid = oauth_user_of(l->service->oauth, authzid);
	if (is_token_mechanism(l) && auth_is_privileged(cfg, authcid)) {
		(void)fault_set(&why, FAULT_CLIENT, "an administrator or a daemon, for whom no token is taken");
		return refuse(l, REASON_AUTHORIZATION, &why);
	}
	if (!l->class->takes_any_authzid && !auth_may_act_as(cfg, authcid, authzid)) {
		(void)fault_set(&why, FAULT_CLIENT, "may not act as %.*s", BYTES_FMT(authzid));
		return refuse(l, REASON_AUTHORIZATION, &why);
	}
	identity_fini(id);
	id->user = bytes_to_str(authzid);
	id->authcid = bytes_to_str(authcid);
	id->is_admin = auth_is_admin(cfg, authzid);
	id->is_proxy = auth_is_proxy(cfg, authcid);
	if (l->class->may != NULL && !l->class->may(l->arg, &why)) {
		identity_fini(id);
		return refuse(l, REASON_AUTHORIZATION, &why);
	}
	if (id->is_proxy)
		gate_trust(l->service->gate, &l->address, clock_mono_ms());
	atomic_fetch_add(&l->service->accepted, 1);
	end_attempt(l);
	return LOGIN_OK;
}

/* ---- its steps ---- */

/* What stands for the name and the secret of Q, so that trying the same again is told from trying another. */
static uint64_t print_of(const struct login *l, const struct sasl_question *q)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	struct buffer both = { 0 };
	unsigned n = sizeof(mac);
	uint64_t print;

	buffer_add(&both, q->name);
	buffer_add_u8(&both, '\0');
	buffer_add(&both, q->secret);
	if (HMAC(EVP_sha256(), l->service->secret, sizeof(l->service->secret), both.p, both.n, mac, &n) == NULL)
		abort();
	wipe(&both);
	memcpy(&print, mac, sizeof(print));
	return print | 1; /* never 0 */
}

static enum login_result verdict(struct login *l, enum check_result result, struct bytes name, struct fault *why)
{
	struct buffer out = { 0 };
	struct fault own = { 0 };
	enum login_result answer;

	switch (result) {
	case CHECK_WAITS:
		l->phase = LOGIN_CHECKING;
		return LOGIN_WAITS;
	case CHECK_UNAVAILABLE:
		return unavailable(l, why);
	default:
		break;
	}
	/* A refused token is explained to the client before the exchange fails: it is counted whether or not that hears it out. */
	if (result != CHECK_RIGHT && is_token_mechanism(l))
		note_failure(l, result == CHECK_EXPIRED ? REASON_EXPIRED : result == CHECK_SCOPE ? REASON_SCOPE : REASON_TOKEN, why);
	answer = handle(l, sasl_server_verdict(l->sasl, result == CHECK_RIGHT ? SASL_RIGHT : result == CHECK_SCOPE ? SASL_WRONG_SCOPE : SASL_WRONG,
	                                       name, &out, &own),
	                &out, &own);
	buffer_fini(&out);
	return answer;
}

static enum login_result ask(struct login *l)
{
	struct sasl_question q;
	struct buffer name = { 0 };
	struct fault why = { 0 };
	enum check_result checked;
	enum login_result answer;

	sasl_server_question(l->sasl, &q);
	l->what = print_of(l, &q);
	checked = login_check(l, &q, &name, &why);
	answer = verdict(l, checked, buffer_bytes(&name), &why);
	buffer_fini(&name);
	return answer;
}

void login_checked(struct login *l, enum check_result result, struct bytes name, struct fault *why)
{
	tell(l, verdict(l, result, name, why));
}

static enum login_result handle(struct login *l, enum sasl_result result, struct buffer *out, struct fault *why)
{
	switch (result) {
	case SASL_ASK:
		return ask(l);
	case SASL_FAIL:
		return refuse(l, strstr(why->what, "malformed") != NULL || is_token_mechanism(l) ? REASON_MALFORMED : REASON_CREDENTIALS, why);
	case SASL_OK:
		if (out->n == 0)
			return accept(l);
		break;
	case SASL_MORE:
		break;
	}
	l->has_spoken_last = result == SASL_OK;
	l->phase = LOGIN_EXCHANGE;
	buffer_clear(&l->challenge);
	base64_encode(&l->challenge, buffer_bytes(out));
	return LOGIN_CONTINUE;
}

static enum login_result step(struct login *l, bool has_response, struct bytes response)
{
	struct buffer out = { 0 };
	struct fault why = { 0 };
	enum sasl_result result = sasl_server_step(l->sasl, has_response, response, &out, &why);
	enum login_result answer = handle(l, result, &out, &why);

	buffer_fini(&out);
	return answer;
}

static void hold_over(void *arg)
{
	struct login *l = arg;
	struct buffer response = l->response;
	enum login_result result;

	l->response = (struct buffer){ 0 };
	result = step(l, l->has_response, buffer_bytes(&response));
	wipe(&response);
	tell(l, result);
}

/* The mechanism is chosen: let it in, now or later. */
static enum login_result enter(struct login *l, bool has_response, struct bytes response)
{
	uint64_t wait_ms;

	l->what = 0;
	l->is_counted = false;
	if (!gate_enter(l->service->gate, &l->address, clock_mono_ms(), &wait_ms)) {
		atomic_fetch_add(&l->service->turned_away, 1);
		log_event(LOG_INFO, "login.attempt.turned_away", LOG_STR("protocol", l->class->protocol), LOG_U64("conn", conn_id(l->conn)),
		          LOG_BYTES("address", gate_host_of(conn_peer(l->conn))));
		l->is_spent = true;
		end_attempt(l);
		return LOGIN_UNAVAILABLE;
	}
	l->is_inside = true;
	if (wait_ms == 0)
		return step(l, has_response, response);
	l->has_response = has_response;
	buffer_add(&l->response, response);
	wait_for(l, LOGIN_HELD, hold_over, wait_ms);
	return LOGIN_WAITS;
}

static struct sasl_options options_of(struct login *l)
{
	bool has_binding = conn_binding(l->conn, CONN_BIND_EXPORTER, &l->exporter);

	has_binding = conn_binding(l->conn, CONN_BIND_END_POINT, &l->end_point) || has_binding;
	has_binding = conn_binding(l->conn, CONN_BIND_UNIQUE, &l->unique) || has_binding;
	(void)certified_name(l, &l->certificate);
	return (struct sasl_options){ .users = l->service->users,
		                      .asks_passwords = true,
		                      .bindings = { buffer_bytes(&l->exporter), buffer_bytes(&l->end_point), buffer_bytes(&l->unique) },
		                      .offers_plus = has_binding && is_offered(l, BYTES_LIT("SCRAM-SHA-256-PLUS")),
		                      .certificate = buffer_bytes(&l->certificate),
		                      .oauth_error = l->service->oauth_error };
}

enum login_result login_start(struct login *l, struct bytes mechanism, bool has_initial, struct bytes initial)
{
	struct buffer plain = { 0 };
	enum login_result result = LOGIN_MALFORMED;
	struct sasl_options o;

	end_attempt(l);
	if (!is_offered(l, mechanism))
		return auth_sends_secret(mechanism) && !may_send_plain(l) ? LOGIN_NEEDS_TLS : LOGIN_UNKNOWN;
	o = options_of(l);
	l->is_bare = false;
	l->sasl = sasl_server_new(&o, mechanism);
	if (l->sasl == NULL) {
		end_attempt(l);
		return LOGIN_UNKNOWN;
	}
	if (!has_initial || bytes_equal_str(initial, "=") || base64_decode(&plain, initial))
		result = enter(l, has_initial, buffer_bytes(&plain));
	else
		end_attempt(l);
	wipe(&plain);
	return result;
}

enum login_result login_password(struct login *l, struct bytes name, struct bytes password)
{
	struct sasl_options o = { .users = l->service->users, .asks_passwords = true };
	struct buffer message = { 0 };
	enum login_result result;

	end_attempt(l);
	if (!login_takes_passwords(l))
		return may_send_plain(l) ? LOGIN_UNKNOWN : LOGIN_NEEDS_TLS;
	l->is_bare = true;
	l->sasl = sasl_server_new(&o, BYTES_LIT("PLAIN"));
	buffer_add_u8(&message, '\0');
	buffer_add(&message, name);
	buffer_add_u8(&message, '\0');
	buffer_add(&message, password);
	result = enter(l, true, buffer_bytes(&message));
	wipe(&message);
	return result;
}

enum login_result login_line(struct login *l, struct bytes line)
{
	struct buffer plain = { 0 };
	enum login_result result;

	if (l->is_counted)
		return hold_back(l); /* of a refused token, which is all that goes on after it was counted */
	if (bytes_equal_str(line, "*")) {
		end_attempt(l);
		return LOGIN_ABORTED;
	}
	if (!base64_decode(&plain, line)) {
		end_attempt(l);
		wipe(&plain);
		return LOGIN_MALFORMED;
	}
	result = l->has_spoken_last ? accept(l) : step(l, true, buffer_bytes(&plain));
	wipe(&plain);
	return result;
}
