/* users_private.h - the file's form, for auth/ only. */
#ifndef ROOST_AUTH_USERS_PRIVATE_H
#define ROOST_AUTH_USERS_PRIVATE_H

#include "buffer.h"
#include "users.h"

struct users_line {
	struct bytes name; /* empty on a comment or blank line */
	struct users_key key;
};

/* Parse one line without its end. False with WHY (no file, no line number). */
bool users_line_parse(struct bytes line, struct users_line *line_r, struct fault *why);
void users_line_write(struct buffer *to, struct bytes name, const struct users_key *key);
/* StoredKey and ServerKey of a prepared password (RFC 5802 section 3). */
bool users_derive(struct bytes password, const uint8_t *salt, size_t salt_size, uint32_t iterations,
                  uint8_t stored_r[USERS_KEY_SIZE], uint8_t server_r[USERS_KEY_SIZE]);
/* SASLprep (RFC 4013) for queries; a string it refuses is left as it is, and so matches only itself. The caller wipes
 * and frees. */
char *users_prepare(struct bytes text);

#endif
