/* login_oauth.c - the keys under a lock that many read; answers of introspections in a small table by the token's hash.
 *
 * Keys: those of oauth_jwks_file, read again when it has changed, or of oauth_jwks_url, asked for again after oauth_jwks_refresh_s, and when a
 * token names a key that is not there, but no more often than every KEYS_REST_MS: an issuer may change its keys at any time, and anybody may
 * make up names of keys. If the issuer cannot be reached the old ones stay in use, and nobody can say whether a token of another key is right. */
#include "login_oauth.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "jwt.h"
#include "list.h"
#include "log.h"
#include "login_http.h"
#include "map.h"
#include "oauth_message.h"

#define HASH_SIZE 32
#define TOKENS_MAX 4096       /* answers that are remembered */
#define ANSWER_MAX (64 * 1024) /* of an introspection, octets */
#define KEYS_REST_MS 10000
#define FILE_LOOK_MS 1000

struct remembered {
	struct list by_age;
	uint8_t hash[HASH_SIZE];
	int64_t until_s;
	char *name; /* owned */
};

struct oauth {
	const struct config *config;
	struct jwt_rules rules;
	const char *file, *keys_url, *ask_url, *ca_file;
	uint64_t timeout_ms, refresh_ms;
	int64_t remember_s;
	pthread_mutex_t fetching; /* one asks for the keys, the others wait for what comes */
	atomic_bool is_refreshing;
	atomic_bool is_away;           /* the issuer, when keys were last asked for; set before ASKED_MS */
	atomic_uint_fast64_t asked_ms; /* when keys were last asked for; 0: never */
	pthread_rwlock_t keys_lock; /* guards the keys and what the file was */
	struct jwks *keys;          /* NULL: none yet */
	struct timespec mtime;
	ino_t inode;
	atomic_uint_fast64_t looked_ms;
	pthread_mutex_t lock; /* guards the rest */
	struct map tokens;    /* struct remembered by hash, owned */
	struct list by_age;   /* oldest first */
};

bool oauth_is_wanted(const struct config *c)
{
	return config_string(c, "oauth_jwks_file") != NULL || config_string(c, "oauth_jwks_url") != NULL ||
	       config_string(c, "oauth_introspection_url") != NULL;
}

/* URLs are told in logs. */
static bool has_password(const char *url)
{
	struct bytes all = bytes_of(url), rest = bytes_from(all, bytes_search(all, BYTES_LIT("://")) + 3);
	size_t end = bytes_find(rest, '/');

	return bytes_find(bytes_sub(rest, 0, end), '@') < end;
}

static bool check_config(const struct config *c, struct fault *why)
{
	static const char *const urls[] = { "oauth_jwks_url", "oauth_introspection_url" };
	bool has_file = config_string(c, "oauth_jwks_file") != NULL, has_url = config_string(c, "oauth_jwks_url") != NULL;

	for (size_t i = 0; i < 2; i++) {
		if (config_string(c, urls[i]) != NULL && !login_http_may(config_string(c, urls[i])))
			return config_fault(c, urls[i], why, "is no https URL; http is for this machine only (127.0.0.1, [::1], localhost)");
		if (config_string(c, urls[i]) != NULL && has_password(config_string(c, urls[i])))
			return config_fault(c, urls[i], why, "has a name or password in it; they go into oauth_client_id and oauth_client_secret");
	}
	if (has_file && has_url)
		return config_fault(c, "oauth_jwks_url", why, "is given beside oauth_jwks_file; give one of them");
	if ((has_file || has_url) && config_string(c, "oauth_issuer") == NULL)
		return config_fault(c, "oauth_issuer", why, "is missing; keys are those of an issuer");
	if ((has_file || has_url) && !config_is_set(c, "oauth_audience"))
		return config_fault(c, "oauth_audience", why, "is missing; without it tokens for other services would be taken");
	return true;
}

static void use_keys(struct oauth *o, struct jwks *keys)
{
	struct jwks *old;

	(void)pthread_rwlock_wrlock(&o->keys_lock);
	old = o->keys;
	o->keys = keys;
	(void)pthread_rwlock_unlock(&o->keys_lock);
	jwks_free(&old);
}

static bool read_file(struct oauth *o, struct fault *why)
{
	struct buffer text = { 0 };
	struct jwks *keys = NULL;

	if (file_read_all(o->file, JWKS_SIZE_MAX, &text, NULL, why)) {
		keys = jwks_parse(buffer_bytes(&text), why);
		if (keys == NULL)
			(void)fault_context(why, "%s", o->file);
	}
	buffer_fini(&text);
	if (keys == NULL)
		return false;
	use_keys(o, keys);
	return true;
}

/* Whether the file is another than it was; it is then taken for known. */
static bool has_changed(struct oauth *o)
{
	struct stat st;
	bool has;

	if (stat(o->file, &st) != 0)
		return false;
	(void)pthread_rwlock_wrlock(&o->keys_lock);
	has = st.st_mtim.tv_sec != o->mtime.tv_sec || st.st_mtim.tv_nsec != o->mtime.tv_nsec || st.st_ino != o->inode;
	o->mtime = st.st_mtim;
	o->inode = st.st_ino;
	(void)pthread_rwlock_unlock(&o->keys_lock);
	return has;
}

void oauth_reload(struct oauth *o)
{
	struct fault why;

	if (o->file == NULL)
		return;
	if (read_file(o, &why))
		log_event(LOG_INFO, "login.keys.read", LOG_STR("from", o->file));
	else
		log_event(LOG_ERROR, "login.keys.unreadable", LOG_FAULT(&why));
}

static void look_again(struct oauth *o)
{
	uint64_t now = clock_mono_ms(), looked = atomic_load(&o->looked_ms);

	if (o->file == NULL || now - looked < FILE_LOOK_MS || !atomic_compare_exchange_strong(&o->looked_ms, &looked, now))
		return;
	if (has_changed(o))
		oauth_reload(o);
}

struct oauth *oauth_open(const struct config *c, struct fault *why)
{
	struct oauth *o;

	if (!check_config(c, why))
		return NULL;
	o = must_calloc(1, sizeof(*o));
	o->config = c;
	o->file = config_string(c, "oauth_jwks_file");
	o->keys_url = config_string(c, "oauth_jwks_url");
	o->ask_url = config_string(c, "oauth_introspection_url");
	o->ca_file = config_string(c, "oauth_ca_file");
	o->timeout_ms = config_number(c, "login_check_timeout_ms");
	o->refresh_ms = config_number(c, "oauth_jwks_refresh_s") * 1000;
	o->remember_s = (int64_t)config_number(c, "oauth_cache_s");
	o->rules = (struct jwt_rules){ .issuer = config_string(c, "oauth_issuer"),
		                       .audiences = c,
		                       .scopes = c,
		                       .name_claim = config_string(c, "oauth_username_claim"),
		                       .name_domain = config_string(c, "oauth_username_domain"),
		                       .leeway_s = (int64_t)config_number(c, "oauth_leeway_s") };
	list_init(&o->by_age);
	(void)pthread_mutex_init(&o->fetching, NULL);
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_rwlock_init(&o->keys_lock, NULL);
	if (o->file != NULL) {
		(void)has_changed(o);
		if (!read_file(o, why))
			oauth_close(&o);
	}
	return o;
}

static void forget(struct oauth *o, struct remembered *r)
{
	(void)map_take(&o->tokens, bytes_make(r->hash, HASH_SIZE));
	list_remove(&r->by_age);
	free(r->name);
	free(r);
}

void oauth_close(struct oauth **op)
{
	struct oauth *o = *op;

	if (o == NULL)
		return;
	*op = NULL;
	LIST_EACH(m, &o->by_age)
		forget(o, LIST_OBJECT(m, struct remembered, by_age));
	map_fini(&o->tokens);
	jwks_free(&o->keys);
	(void)pthread_mutex_destroy(&o->fetching);
	(void)pthread_mutex_destroy(&o->lock);
	(void)pthread_rwlock_destroy(&o->keys_lock);
	free(o);
}

struct bytes oauth_user_of(const struct oauth *o, struct bytes name)
{
	return jwt_user_of(&o->rules, name);
}

void oauth_count(struct oauth *o, size_t *tokens_r, size_t *keys_r)
{
	(void)pthread_rwlock_rdlock(&o->keys_lock);
	*keys_r = o->keys == NULL ? 0 : jwks_count(o->keys);
	(void)pthread_rwlock_unlock(&o->keys_lock);
	(void)pthread_mutex_lock(&o->lock);
	*tokens_r = o->tokens.n;
	(void)pthread_mutex_unlock(&o->lock);
}

/* ---- answers that are remembered ---- */

static void hash_of(struct bytes token, uint8_t to[HASH_SIZE])
{
	unsigned n = HASH_SIZE;

	if (EVP_Digest(token.p, token.n, to, &n, EVP_sha256(), NULL) != 1)
		abort();
}

static bool is_remembered(struct oauth *o, const uint8_t hash[HASH_SIZE], struct buffer *name_r)
{
	struct remembered *r;
	bool is = false;

	(void)pthread_mutex_lock(&o->lock);
	r = map_get(&o->tokens, bytes_make(hash, HASH_SIZE));
	if (r != NULL && r->until_s <= clock_wall_s()) {
		forget(o, r);
	} else if (r != NULL) {
		buffer_add_str(name_r, r->name);
		is = true;
	}
	(void)pthread_mutex_unlock(&o->lock);
	return is;
}

static void remember(struct oauth *o, const uint8_t hash[HASH_SIZE], struct bytes name, int64_t expires)
{
	int64_t now = clock_wall_s(), until = expires < now + o->remember_s ? expires : now + o->remember_s;
	struct remembered *r;

	if (until <= now)
		return;
	(void)pthread_mutex_lock(&o->lock);
	r = map_get(&o->tokens, bytes_make(hash, HASH_SIZE));
	if (r != NULL)
		forget(o, r);
	if (o->tokens.n >= TOKENS_MAX)
		forget(o, LIST_OBJECT(o->by_age.next, struct remembered, by_age));
	r = must_calloc(1, sizeof(*r));
	memcpy(r->hash, hash, HASH_SIZE);
	r->until_s = until;
	r->name = bytes_to_str(name);
	list_init(&r->by_age);
	list_push(&o->by_age, &r->by_age);
	(void)map_put(&o->tokens, bytes_make(hash, HASH_SIZE), r);
	(void)pthread_mutex_unlock(&o->lock);
}

/* ---- keys ---- */

static enum oauth_result result_of(enum jwt_result r)
{
	return r == JWT_RIGHT ? OAUTH_RIGHT : r == JWT_EXPIRED ? OAUTH_EXPIRED : r == JWT_SCOPE ? OAUTH_SCOPE : OAUTH_WRONG;
}

/* Which keys there are for a token. */
enum keys { KEYS_NONE, KEYS_OTHERS, KEYS_ITS };

/* By the keys that are here. */
static enum oauth_result by_keys(struct oauth *o, struct bytes token, enum keys *keys_r, struct buffer *name_r, struct fault *why)
{
	struct jwt_claims claims = { 0 };
	enum jwt_result result = JWT_NO_KEY;

	*keys_r = KEYS_NONE;
	(void)pthread_rwlock_rdlock(&o->keys_lock);
	if (o->keys != NULL) {
		result = jwt_verify(token, o->keys, &o->rules, clock_wall_s(), &claims, why);
		*keys_r = result == JWT_NO_KEY ? KEYS_OTHERS : KEYS_ITS;
	}
	(void)pthread_rwlock_unlock(&o->keys_lock);
	if (result == JWT_RIGHT)
		buffer_add(name_r, buffer_bytes(&claims.name));
	jwt_claims_fini(&claims);
	return result_of(result);
}

static bool was_just_asked(struct oauth *o)
{
	uint64_t asked = atomic_load(&o->asked_ms);

	return asked != 0 && clock_mono_ms() - asked < (o->refresh_ms < KEYS_REST_MS ? o->refresh_ms : KEYS_REST_MS);
}

/* What to say of a token whose key is not among those that are here. IS_AWAY was read before they were looked at: whatever comes in between
 * is not what the token is refused by. */
static enum oauth_result without_its_key(bool is_away, struct fault *why)
{
	if (!is_away)
		return OAUTH_WRONG;
	(void)fault_set(why, FAULT_TRANSIENT, "the token names a key that is not here, and the issuer cannot be asked for it");
	return OAUTH_UNAVAILABLE;
}

/* Ask for the keys, unless somebody just did. False with WHY: there are none, as the issuer cannot be asked. */
static bool fetch(struct oauth *o, struct worker *on, struct fault *why)
{
	const struct http_request r = { .url = o->keys_url, .ca_file = o->ca_file, .timeout_ms = o->timeout_ms, .max = JWKS_SIZE_MAX };
	struct buffer text = { 0 };
	struct jwks *keys = NULL;
	bool has;

	(void)pthread_mutex_lock(&o->fetching);
	if (!was_just_asked(o)) {
		if (login_http(&r, on, &text, why)) {
			keys = jwks_parse(buffer_bytes(&text), why);
			if (keys == NULL)
				(void)fault_context(why, "oauth_jwks_url");
		}
		buffer_fini(&text);
		if (keys != NULL) {
			log_event(LOG_INFO, "login.keys.read", LOG_STR("from", o->keys_url));
			use_keys(o, keys);
		} else if (!worker_is_stopping(on)) {
			log_event(LOG_WARNING, "login.keys.unavailable", LOG_FAULT(why));
		}
		atomic_store(&o->is_away, keys == NULL);
		atomic_store(&o->asked_ms, clock_mono_ms());
	} else {
		(void)fault_set(why, FAULT_TRANSIENT, "the issuer's keys could not be had a moment ago");
	}
	(void)pthread_rwlock_rdlock(&o->keys_lock);
	has = o->keys != NULL;
	(void)pthread_rwlock_unlock(&o->keys_lock);
	(void)pthread_mutex_unlock(&o->fetching);
	return has;
}

bool oauth_is_due(struct oauth *o)
{
	uint64_t asked = atomic_load(&o->asked_ms);

	/* Before the first time a token asks by itself. */
	if (o->keys_url == NULL || asked == 0 || clock_mono_ms() - asked < o->refresh_ms)
		return false;
	return !atomic_exchange(&o->is_refreshing, true);
}

void oauth_refresh(struct oauth *o, struct worker *on)
{
	struct fault why;

	if (on != NULL)
		(void)fetch(o, on, &why);
	atomic_store(&o->is_refreshing, false);
}

/* ---- the issuer's word ---- */

/* RFC 6749 section 2.3.1: name and secret are encoded before they are put together. The caller frees; NULL: not given. */
static char *encoded(const struct config *c, const char *key)
{
	const char *value = config_string(c, key);
	struct buffer text = { 0 };
	char *copy;

	if (value == NULL)
		return NULL;
	login_http_encode(&text, bytes_of(value));
	copy = bytes_to_str(buffer_bytes(&text));
	buffer_fini(&text);
	return copy;
}

static enum oauth_result introspect(struct oauth *o, struct bytes token, struct worker *on, struct buffer *name_r, struct fault *why)
{
	char *client = encoded(o->config, "oauth_client_id"), *secret = encoded(o->config, "oauth_client_secret");
	struct http_request r = { .url = o->ask_url,
		                  .user = client,
		                  .password = secret,
		                  .ca_file = o->ca_file,
		                  .timeout_ms = o->timeout_ms,
		                  .max = ANSWER_MAX };
	enum oauth_result result = OAUTH_UNAVAILABLE;
	struct buffer form = { 0 }, answer = { 0 };
	struct jwt_claims claims = { 0 };
	uint8_t hash[HASH_SIZE];

	buffer_add_str(&form, "token=");
	login_http_encode(&form, token);
	buffer_add_str(&form, "&token_type_hint=access_token");
	r.form = buffer_bytes(&form);
	if (login_http(&r, on, &answer, why))
		result = result_of(jwt_introspected(buffer_bytes(&answer), &o->rules, clock_wall_s(), &claims, why));
	if (result == OAUTH_RIGHT) {
		hash_of(token, hash);
		remember(o, hash, buffer_bytes(&claims.name), claims.expires);
		buffer_add(name_r, buffer_bytes(&claims.name));
	}
	free(client);
	free(secret);
	explicit_bzero(form.p, form.n);
	buffer_fini(&form);
	buffer_fini(&answer);
	jwt_claims_fini(&claims);
	return result;
}

static bool has_keys(const struct oauth *o)
{
	return o->file != NULL || o->keys_url != NULL;
}

enum oauth_result oauth_check(struct oauth *o, struct bytes token, struct buffer *name_r, struct fault *why)
{
	bool is_jwt = has_keys(o) && jwt_is_one(token);
	uint8_t hash[HASH_SIZE];
	bool just_asked, is_away;
	enum oauth_result result;
	enum keys keys;

	if (token.n > OAUTH_TOKEN_MAX) {
		(void)fault_set(why, FAULT_CLIENT, "the token is too long");
		return OAUTH_WRONG;
	}
	if (is_jwt) {
		look_again(o);
		just_asked = was_just_asked(o);
		is_away = atomic_load(&o->is_away);
		result = by_keys(o, token, &keys, name_r, why);
		if (keys == KEYS_ITS || o->keys_url == NULL)
			return result;
		return keys == KEYS_OTHERS && just_asked ? without_its_key(is_away, why) : OAUTH_ASK;
	}
	if (o->ask_url == NULL) {
		(void)fault_set(why, FAULT_CLIENT, "the token is malformed");
		return OAUTH_WRONG;
	}
	hash_of(token, hash);
	return is_remembered(o, hash, name_r) ? OAUTH_RIGHT : OAUTH_ASK;
}

enum oauth_result oauth_ask(struct oauth *o, struct bytes token, struct worker *on, struct buffer *name_r, struct fault *why)
{
	enum oauth_result result;
	enum keys keys;
	bool is_away;

	if (!has_keys(o) || !jwt_is_one(token))
		return introspect(o, token, on, name_r, why);
	if (!fetch(o, on, why))
		return OAUTH_UNAVAILABLE;
	is_away = atomic_load(&o->is_away);
	result = by_keys(o, token, &keys, name_r, why);
	return keys == KEYS_ITS ? result : without_its_key(is_away, why);
}
