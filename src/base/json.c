/* json.c - text with JSON's escapes, and commas where they belong. */
#include "json.h"

#include "utf8.h"

void json_add_text(struct buffer *to, struct bytes s)
{
	buffer_add_u8(to, '"');
	while (s.n > 0) {
		size_t n = utf8_valid(s);

		if (n == 0) {
			buffer_addf(to, "\\u%04x", s.p[0]);
			n = 1;
		} else if (n > 1) {
			buffer_add(to, bytes_sub(s, 0, n));
		} else if (s.p[0] < ' ' || s.p[0] == 0x7f) {
			buffer_addf(to, "\\u%04x", s.p[0]);
		} else {
			if (s.p[0] == '"' || s.p[0] == '\\')
				buffer_add_u8(to, '\\');
			buffer_add_u8(to, s.p[0]);
		}
		s = bytes_from(s, n);
	}
	buffer_add_u8(to, '"');
}

void json_sep(struct buffer *to)
{
	uint8_t last = to->n == 0 ? '{' : to->p[to->n - 1];

	if (last != '{' && last != '[' && last != ':' && last != ',')
		buffer_add_u8(to, ',');
}

void json_key(struct buffer *to, const char *key)
{
	json_sep(to);
	json_add_text(to, bytes_of(key));
	buffer_add_u8(to, ':');
}

void json_key_string(struct buffer *to, const char *key, struct bytes value)
{
	json_key(to, key);
	json_add_text(to, value);
}

void json_key_u64(struct buffer *to, const char *key, uint64_t value)
{
	json_key(to, key);
	buffer_add_u64(to, value);
}

void json_key_bool(struct buffer *to, const char *key, bool value)
{
	json_key(to, key);
	buffer_add_str(to, value ? "true" : "false");
}
