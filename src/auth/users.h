/* users.h - the built-in credential file: names and SCRAM-SHA-256 keys, no passwords.
 *
 * One user a line, "NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY" (the form of RFC 5803), '#' starts a comment
 * line. The file is looked at again when it has changed. Format: docs/formats.md "users_file". */
#ifndef ROOST_AUTH_USERS_H
#define ROOST_AUTH_USERS_H

#include <stdint.h>

#include "bytes.h"
#include "fault.h"

#define USERS_KEY_SIZE 32
#define USERS_SALT_MAX 64
#define USERS_NAME_MAX 255
#define USERS_ITERATIONS 4096

struct users;

struct users_key {
	uint32_t iterations;
	size_t salt_size;
	uint8_t salt[USERS_SALT_MAX];
	uint8_t stored[USERS_KEY_SIZE]; /* RFC 5802 section 3: StoredKey, ServerKey */
	uint8_t server[USERS_KEY_SIZE];
};

/* Read PATH, which must exist. NULL with WHY naming the file and line. */
struct users *users_open(const char *path, struct fault *why);
/* Sets *U to NULL; NULL is allowed. */
void users_close(struct users **u);

/* Whether PASSWORD is NAME's. An unknown name takes as long as a wrong password; a right one seen before takes
 * microseconds. Comparison is in constant time. Any thread. */
bool users_verify(struct users *u, struct bytes name, struct bytes password);
/* Whether PASSWORD was found to be NAME's before, and still is: at once. False: users_verify() has to say. Any thread. */
bool users_was_verified(struct users *u, struct bytes name, struct bytes password);
/* Copy NAME's key. False: no such user. Any thread. */
bool users_lookup(struct users *u, struct bytes name, struct users_key *key_r);
/* The same for an exchange that must not tell who is there: where there is no such user *KEY_R is made up, with as many iterations
 * as the file's first user has and a salt that is always the same for NAME, also on other machines with this file, as long as that
 * user's password is not changed. No password fits it. Any thread. */
bool users_lookup_or_fake(struct users *u, struct bytes name, struct users_key *key_r);

/* Change the file at PATH under its lock file (PATH.lock): make or change NAME with a new password; create the file if
 * missing. False with WHY: the name or the password is not allowed (empty, control characters, ':'), or I/O. Blocks. */
bool users_set_password(const char *path, struct bytes name, struct bytes password, struct fault *why);
/* Remove NAME. False with WHY also where there is no such user. */
bool users_delete(const char *path, struct bytes name, struct fault *why);
/* Whether PATH holds NAME: *found_r. False with WHY where it cannot be read. */
bool users_exists(const char *path, struct bytes name, bool *found_r, struct fault *why);

#endif
