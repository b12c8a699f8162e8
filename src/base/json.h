/* json.h - writing JSON (RFC 8259) into a buffer. Commas are the writer's: json_sep() adds one where needed. */
#ifndef ROOST_BASE_JSON_H
#define ROOST_BASE_JSON_H

#include "buffer.h"

/* A quoted string; octets that are not valid UTF-8 are taken for Latin-1. */
void json_add_text(struct buffer *to, struct bytes s);
/* A comma unless the last octet is '{', '[', ':' or ',' or the buffer is empty. */
void json_sep(struct buffer *to);
/* ,"KEY": in front of a value, ,"KEY":"VALUE", ,"KEY":N, ,"KEY":true; each with json_sep(). KEY is plain text. */
void json_key(struct buffer *to, const char *key);
void json_key_string(struct buffer *to, const char *key, struct bytes value);
void json_key_u64(struct buffer *to, const char *key, uint64_t value);
void json_key_bool(struct buffer *to, const char *key, bool value);

#endif
