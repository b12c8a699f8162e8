/* users_file.c - the text form of a user, and the changes that the command line makes to the file. */
#include <errno.h>
#include <fcntl.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#include "alloc.h"
#include "base64.h"
#include "file.h"
#include "users_private.h"

#define USERS_FILE_MAX (256 * 1024 * 1024)
#define SALT_SIZE 16

static const struct bytes scheme = { (const uint8_t *)"SCRAM-SHA-256$", 14 };

char *users_prepare(struct bytes text)
{
	char *in = bytes_to_str(text);
	char *out = NULL;

	if (strlen(in) == text.n && gsasl_saslprep(in, GSASL_ALLOW_UNASSIGNED, &out, NULL) == GSASL_OK) {
		char *copy = must_strdup(out);

		explicit_bzero(in, text.n);
		explicit_bzero(out, strlen(out));
		free(in);
		gsasl_free(out);
		return copy;
	}
	return in;
}

bool users_derive(struct bytes password, const uint8_t *salt, size_t salt_size, uint32_t iterations,
                  uint8_t stored_r[USERS_KEY_SIZE], uint8_t server_r[USERS_KEY_SIZE])
{
	uint8_t salted[USERS_KEY_SIZE], client[USERS_KEY_SIZE];
	unsigned n = USERS_KEY_SIZE;
	bool ok = PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt, (int)salt_size, (int)iterations,
	                            EVP_sha256(), USERS_KEY_SIZE, salted) == 1 &&
	          HMAC(EVP_sha256(), salted, USERS_KEY_SIZE, (const uint8_t *)"Client Key", 10, client, &n) != NULL &&
	          HMAC(EVP_sha256(), salted, USERS_KEY_SIZE, (const uint8_t *)"Server Key", 10, server_r, &n) != NULL &&
	          EVP_Digest(client, USERS_KEY_SIZE, stored_r, &n, EVP_sha256(), NULL) == 1;

	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	return ok;
}

static bool decode(struct bytes text, uint8_t *to, size_t min, size_t max, size_t *n_r)
{
	struct buffer b = { 0 };
	bool ok = base64_decode(&b, text) && b.n >= min && b.n <= max;

	if (ok) {
		memcpy(to, b.p, b.n);
		*n_r = b.n;
	}
	buffer_fini(&b);
	return ok;
}

static struct bytes take_field(struct bytes *rest, uint8_t end)
{
	size_t n = bytes_find(*rest, end);
	struct bytes field = bytes_sub(*rest, 0, n);

	*rest = bytes_from(*rest, n + 1);
	return field;
}

bool users_line_parse(struct bytes line, struct users_line *line_r, struct fault *why)
{
	uint64_t iterations;
	size_t n;

	*line_r = (struct users_line){ 0 };
	line = bytes_trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return true;
	line_r->name = take_field(&line, ':');
	if (line_r->name.n == 0 || line_r->name.n > USERS_NAME_MAX || !bytes_starts(line, scheme))
		return fault_set(why, FAULT_OPERATOR, "is not NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY");
	line = bytes_from(line, scheme.n);
	if (!bytes_to_u64(take_field(&line, ':'), 10000000, &iterations) || iterations == 0)
		return fault_set(why, FAULT_OPERATOR, "the number of iterations is wrong");
	line_r->key.iterations = (uint32_t)iterations;
	if (!decode(take_field(&line, '$'), line_r->key.salt, 1, USERS_SALT_MAX, &line_r->key.salt_size))
		return fault_set(why, FAULT_OPERATOR, "the salt is wrong");
	if (!decode(take_field(&line, ':'), line_r->key.stored, USERS_KEY_SIZE, USERS_KEY_SIZE, &n) ||
	    !decode(line, line_r->key.server, USERS_KEY_SIZE, USERS_KEY_SIZE, &n))
		return fault_set(why, FAULT_OPERATOR, "a key is wrong");
	return true;
}

void users_line_write(struct buffer *to, struct bytes name, const struct users_key *key)
{
	buffer_add(to, name);
	buffer_add_u8(to, ':');
	buffer_add(to, scheme);
	buffer_add_u64(to, key->iterations);
	buffer_add_u8(to, ':');
	base64_encode(to, bytes_make(key->salt, key->salt_size));
	buffer_add_u8(to, '$');
	base64_encode(to, bytes_make(key->stored, USERS_KEY_SIZE));
	buffer_add_u8(to, ':');
	base64_encode(to, bytes_make(key->server, USERS_KEY_SIZE));
	buffer_add_u8(to, '\n');
}

static bool check_name(struct bytes name, struct fault *why)
{
	if (name.n == 0 || name.n > USERS_NAME_MAX)
		return fault_set(why, FAULT_CLIENT, "a user's name has 1 to %d octets", USERS_NAME_MAX);
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] == 0x7f || name.p[i] == ':' || name.p[i] == '#')
			return fault_set(why, FAULT_CLIENT, "a user's name has no blanks, controls, ':' or '#'");
	}
	return true;
}

/* Copy the file's lines to B, but for NAME's. */
static bool copy_others(const char *path, struct bytes name, struct buffer *b, bool *found_r, struct fault *why)
{
	struct buffer text = { 0 };
	int err;
	bool ok = file_read_all(path, USERS_FILE_MAX, &text, &err, why);
	struct bytes rest = buffer_bytes(&text);

	*found_r = false;
	if (!ok && err == ENOENT)
		ok = true;
	for (unsigned number = 1; ok && rest.n > 0; number++) {
		struct bytes line = take_field(&rest, '\n');
		struct users_line parsed;

		ok = users_line_parse(line, &parsed, why);
		if (!ok) {
			(void)fault_context(why, "%s: line %u", path, number);
		} else if (parsed.name.n > 0 && bytes_equal(parsed.name, name)) {
			*found_r = true;
		} else {
			buffer_add(b, line);
			buffer_add_u8(b, '\n');
		}
	}
	buffer_fini(&text);
	return ok;
}

/* Take the lock beside PATH; closing the descriptor frees it. */
static int lock_file(const char *path, struct fault *why)
{
	char *lock = must_printf("%s.lock", path);
	int fd = file_open(lock, O_RDWR | O_CREAT, 0600, why);

	if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot lock", lock);
		file_close(&fd);
	}
	free(lock);
	return fd;
}

bool users_set_password(const char *path, struct bytes name, struct bytes password, struct fault *why)
{
	struct users_key key = { .iterations = USERS_ITERATIONS, .salt_size = SALT_SIZE };
	struct buffer text = { 0 };
	char *prepared;
	bool found, ok;
	int lock;

	if (!check_name(name, why))
		return false;
	if (password.n == 0 || password.n > 1024 || bytes_find(password, '\0') < password.n)
		return fault_set(why, FAULT_CLIENT, "a password has 1 to 1024 octets and no NUL");
	if (getrandom(key.salt, SALT_SIZE, 0) != SALT_SIZE)
		return fault_errno(why, FAULT_OPERATOR, errno, "random numbers");
	prepared = users_prepare(password);
	ok = users_derive(bytes_of(prepared), key.salt, SALT_SIZE, key.iterations, key.stored, key.server);
	explicit_bzero(prepared, strlen(prepared));
	free(prepared);
	if (!ok)
		return fault_set(why, FAULT_OPERATOR, "cannot derive the keys");
	lock = lock_file(path, why);
	ok = lock >= 0 && copy_others(path, name, &text, &found, why);
	if (ok) {
		users_line_write(&text, name, &key);
		ok = file_replace(path, buffer_bytes(&text), 0600, why);
	}
	file_close(&lock);
	buffer_fini(&text);
	return ok;
}

bool users_delete(const char *path, struct bytes name, struct fault *why)
{
	struct buffer text = { 0 };
	int lock = lock_file(path, why);
	bool found = false;
	bool ok = lock >= 0 && copy_others(path, name, &text, &found, why);

	if (ok && !found)
		ok = fault_set(why, FAULT_CLIENT, "%s: no user \"%.*s\"", path, BYTES_FMT(name));
	ok = ok && file_replace(path, buffer_bytes(&text), 0600, why);
	file_close(&lock);
	buffer_fini(&text);
	return ok;
}

bool users_exists(const char *path, struct bytes name, bool *found_r, struct fault *why)
{
	struct buffer text = { 0 };
	bool ok = copy_others(path, name, &text, found_r, why);

	buffer_fini(&text);
	return ok;
}
