/* users.c - the file in memory: a map that is made anew whenever the file has changed. */
#include "users.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "map.h"
#include "users_private.h"

#define USERS_FILE_MAX (256 * 1024 * 1024)
#define LOOK_AGAIN_MS 1000
#define PASSWORD_MAX 1024

struct user {
	struct users_key key;
	bool has_seen;
	uint8_t seen[USERS_KEY_SIZE]; /* HMAC of the password that was right last */
};

struct users {
	char *path;
	uint8_t secret[USERS_KEY_SIZE]; /* of this process, for user.seen */
	pthread_mutex_t lock;           /* guards all below */
	struct map by_name;             /* struct user */
	uint32_t fake_iterations;       /* of users that are not there, and what their salts are made with */
	size_t fake_salt_size;
	uint8_t fake_secret[USERS_KEY_SIZE];
	struct timespec mtime;
	ino_t inode;
	off_t size;
	uint64_t looked_ms;
};

static void free_map(struct map *m)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *user;

	while (map_next(m, &it, &key, &user))
		free(user);
	map_fini(m);
}

/* Both are those of the file's first user, which is known to whoever has the file and to nobody else. */
static void note_first(struct users *u, const struct users_key *key)
{
	unsigned n = USERS_KEY_SIZE;

	u->fake_iterations = key->iterations;
	u->fake_salt_size = key->salt_size < USERS_KEY_SIZE ? key->salt_size : USERS_KEY_SIZE;
	if (HMAC(EVP_sha256(), key->server, USERS_KEY_SIZE, (const uint8_t *)"salts of nobody", 15, u->fake_secret, &n) == NULL)
		abort();
}

static bool load(struct users *u, struct map *to, struct fault *why)
{
	struct buffer text = { 0 };
	bool ok = file_read_all(u->path, USERS_FILE_MAX, &text, NULL, why);
	struct bytes rest = buffer_bytes(&text);

	for (unsigned number = 1; ok && rest.n > 0; number++) {
		size_t n = bytes_find(rest, '\n');
		struct users_line line;

		ok = users_line_parse(bytes_sub(rest, 0, n), &line, why);
		if (!ok) {
			(void)fault_context(why, "%s: line %u", u->path, number);
		} else if (line.name.n > 0) {
			struct user *user = must_calloc(1, sizeof(*user));

			user->key = line.key;
			if (to->n == 0)
				note_first(u, &line.key);
			free(map_put(to, line.name, user));
		}
		rest = bytes_from(rest, n + 1);
	}
	buffer_fini(&text);
	if (!ok)
		free_map(to);
	return ok;
}

static void note_file(struct users *u, const struct stat *st)
{
	u->mtime = st->st_mtim;
	u->inode = st->st_ino;
	u->size = st->st_size;
}

/* Read the file again if it has changed since; a file that cannot be read leaves the old content in use. */
static void look_again(struct users *u)
{
	uint64_t now = clock_mono_ms();
	struct map fresh = { 0 };
	struct fault why;
	struct stat st;

	if (now - u->looked_ms < LOOK_AGAIN_MS)
		return;
	u->looked_ms = now;
	if (stat(u->path, &st) != 0)
		return;
	if (st.st_mtim.tv_sec == u->mtime.tv_sec && st.st_mtim.tv_nsec == u->mtime.tv_nsec && st.st_ino == u->inode &&
	    st.st_size == u->size)
		return;
	note_file(u, &st);
	if (!load(u, &fresh, &why)) {
		log_event(LOG_ERROR, "auth.users.unreadable", LOG_FAULT(&why));
		return;
	}
	free_map(&u->by_name);
	u->by_name = fresh;
	log_event(LOG_INFO, "auth.users.reloaded", LOG_STR("file", u->path), LOG_U64("users", u->by_name.n));
}

struct users *users_open(const char *path, struct fault *why)
{
	struct users *u = must_calloc(1, sizeof(*u));
	struct stat st;

	u->path = must_strdup(path);
	(void)pthread_mutex_init(&u->lock, NULL);
	if (getrandom(u->secret, sizeof(u->secret), 0) != sizeof(u->secret)) {
		(void)fault_set(why, FAULT_OPERATOR, "no random numbers to be had");
		users_close(&u);
		return NULL;
	}
	if (stat(path, &st) == 0)
		note_file(u, &st);
	u->looked_ms = clock_mono_ms();
	u->fake_iterations = USERS_ITERATIONS;
	u->fake_salt_size = 16;
	memcpy(u->fake_secret, u->secret, sizeof(u->fake_secret)); /* of a file without users */
	if (!load(u, &u->by_name, why))
		users_close(&u);
	return u;
}

void users_close(struct users **up)
{
	struct users *u = *up;

	if (u == NULL)
		return;
	*up = NULL;
	free_map(&u->by_name);
	explicit_bzero(u->secret, sizeof(u->secret));
	explicit_bzero(u->fake_secret, sizeof(u->fake_secret));
	(void)pthread_mutex_destroy(&u->lock);
	free(u->path);
	free(u);
}

bool users_lookup(struct users *u, struct bytes name, struct users_key *key_r)
{
	struct user *user;

	(void)pthread_mutex_lock(&u->lock);
	look_again(u);
	user = map_get(&u->by_name, name);
	if (user == NULL && u->looked_ms != clock_mono_ms()) {
		/* A user that was just added must not have to wait for the next look. */
		u->looked_ms = 0;
		look_again(u);
		user = map_get(&u->by_name, name);
	}
	if (user != NULL)
		*key_r = user->key;
	(void)pthread_mutex_unlock(&u->lock);
	return user != NULL;
}

bool users_lookup_or_fake(struct users *u, struct bytes name, struct users_key *key_r)
{
	uint8_t salt[USERS_KEY_SIZE];
	unsigned n = sizeof(salt);

	(void)pthread_mutex_lock(&u->lock);
	*key_r = (struct users_key){ .iterations = u->fake_iterations, .salt_size = u->fake_salt_size };
	if (HMAC(EVP_sha256(), u->fake_secret, USERS_KEY_SIZE, name.p, name.n, salt, &n) == NULL)
		abort();
	(void)pthread_mutex_unlock(&u->lock);
	memcpy(key_r->salt, salt, key_r->salt_size);
	return users_lookup(u, name, key_r);
}

static void fingerprint(const struct users *u, struct bytes name, struct bytes password, uint8_t to[USERS_KEY_SIZE])
{
	struct buffer both = { 0 };
	unsigned n = USERS_KEY_SIZE;

	buffer_add(&both, name);
	buffer_add_u8(&both, '\0');
	buffer_add(&both, password);
	if (HMAC(EVP_sha256(), u->secret, sizeof(u->secret), both.p, both.n, to, &n) == NULL)
		abort();
	explicit_bzero(both.p, both.n);
	buffer_fini(&both);
}

static bool was_seen(struct users *u, struct bytes name, const uint8_t print[USERS_KEY_SIZE])
{
	struct user *user;
	bool is_same;

	(void)pthread_mutex_lock(&u->lock);
	look_again(u);
	user = map_get(&u->by_name, name);
	is_same = user != NULL && user->has_seen && CRYPTO_memcmp(user->seen, print, USERS_KEY_SIZE) == 0;
	(void)pthread_mutex_unlock(&u->lock);
	return is_same;
}

static void note_seen(struct users *u, struct bytes name, const struct users_key *key, const uint8_t print[USERS_KEY_SIZE])
{
	struct user *user;

	(void)pthread_mutex_lock(&u->lock);
	user = map_get(&u->by_name, name);
	/* The file may have changed while the password was checked. */
	if (user != NULL && memcmp(user->key.stored, key->stored, USERS_KEY_SIZE) == 0) {
		user->has_seen = true;
		memcpy(user->seen, print, USERS_KEY_SIZE);
	}
	(void)pthread_mutex_unlock(&u->lock);
}

bool users_was_verified(struct users *u, struct bytes name, struct bytes password)
{
	uint8_t print[USERS_KEY_SIZE];

	if (password.n > PASSWORD_MAX || name.n > USERS_NAME_MAX)
		return false;
	fingerprint(u, name, password, print);
	return was_seen(u, name, print);
}

bool users_verify(struct users *u, struct bytes name, struct bytes password)
{
	struct users_key key;
	uint8_t stored[USERS_KEY_SIZE], server[USERS_KEY_SIZE], print[USERS_KEY_SIZE];
	bool is_known, is_right;
	char *prepared;

	if (password.n > PASSWORD_MAX || name.n > USERS_NAME_MAX)
		return false;
	fingerprint(u, name, password, print);
	if (was_seen(u, name, print))
		return true;
	is_known = users_lookup_or_fake(u, name, &key);
	prepared = users_prepare(password);
	is_right = users_derive(bytes_of(prepared), key.salt, key.salt_size, key.iterations, stored, server) &&
	           CRYPTO_memcmp(stored, key.stored, USERS_KEY_SIZE) == 0 && is_known && password.n > 0;
	explicit_bzero(prepared, strlen(prepared));
	free(prepared);
	if (is_right)
		note_seen(u, name, &key, print);
	return is_right;
}
