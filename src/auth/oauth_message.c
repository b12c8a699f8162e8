/* oauth_message.c - key=value pairs, each ended by ^A, and one more ^A behind them. */
#include "oauth_message.h"

#include <string.h>

#define KVSEP 1

static struct bytes take_until(struct bytes *rest, uint8_t end)
{
	size_t n = bytes_find(*rest, end);
	struct bytes field = bytes_sub(*rest, 0, n);

	*rest = bytes_from(*rest, n + 1);
	return field;
}

/* saslname (RFC 5801 section 4). */
static bool take_name(struct bytes text, struct buffer *to)
{
	for (size_t i = 0; i < text.n; i++) {
		struct bytes code = bytes_sub(text, i, 3);

		if (text.p[i] != '=') {
			buffer_add_u8(to, text.p[i]);
		} else if (bytes_equal_str(code, "=2C") || bytes_equal_str(code, "=3D")) {
			buffer_add_u8(to, code.p[2] == 'C' ? ',' : '=');
			i += 2;
		} else {
			return false;
		}
	}
	return text.n > 0;
}

static bool is_token_octet(uint8_t c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("-._~+/", c) != NULL);
}

/* "Bearer" and a b64token (RFC 6750 section 2.1). */
static bool take_token(struct bytes value, struct bytes *token_r, struct fault *why)
{
	size_t n = 0;

	if (!bytes_starts_nocase(value, BYTES_LIT("Bearer ")))
		return fault_set(why, FAULT_CLIENT, "no bearer token");
	value = bytes_from(value, 7);
	while (value.n > 0 && value.p[0] == ' ')
		value = bytes_from(value, 1);
	if (value.n > OAUTH_TOKEN_MAX)
		return fault_set(why, FAULT_LIMIT, "the token is longer than %d octets", OAUTH_TOKEN_MAX);
	while (n < value.n && is_token_octet(value.p[n]))
		n++;
	*token_r = value;
	if (n == 0)
		return fault_set(why, FAULT_CLIENT, "no bearer token");
	while (n < value.n && value.p[n] == '=')
		n++;
	return n == value.n || fault_set(why, FAULT_CLIENT, "the token has octets that none has");
}

static bool is_key(struct bytes key)
{
	for (size_t i = 0; i < key.n; i++) {
		if (!ascii_is_alpha(key.p[i]))
			return false;
	}
	return key.n > 0;
}

static bool is_value(struct bytes value)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];

		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return false;
	}
	return true;
}

/* *( key "=" value ^A ) ^A: "auth", once; AUTHZID_KEY, NULL: none; others are passed over. */
static bool take_pairs(struct bytes in, const char *authzid_key, struct oauth_message *m, struct fault *why)
{
	while (in.n > 1) {
		size_t end = bytes_find(in, KVSEP);
		struct bytes value = bytes_sub(in, 0, end), key = take_until(&value, '=');

		if (end == in.n || key.n >= end || !is_key(key) || !is_value(value))
			return fault_set(why, FAULT_CLIENT, "not a list of key=value");
		if (bytes_equal_nocase_str(key, "auth")) {
			if (m->token.n > 0)
				return fault_set(why, FAULT_CLIENT, "two tokens");
			if (!take_token(value, &m->token, why))
				return false;
		} else if (authzid_key != NULL && bytes_equal_nocase_str(key, authzid_key)) {
			buffer_clear(&m->authzid);
			buffer_add(&m->authzid, bytes_sub(value, 0, 1024));
		}
		in = bytes_from(in, end + 1);
	}
	if (in.n != 1 || in.p[0] != KVSEP)
		return fault_set(why, FAULT_CLIENT, "not ended as it should");
	return m->token.n > 0 || fault_set(why, FAULT_CLIENT, "no bearer token");
}

bool oauthbearer_parse(struct bytes in, struct oauth_message *m_r, struct fault *why)
{
	struct bytes flag, authzid;

	*m_r = (struct oauth_message){ 0 };
	flag = take_until(&in, ',');
	authzid = take_until(&in, ',');
	/* There is no channel binding in it (RFC 7628 section 3.1): "p=" has no business here. */
	if (!bytes_equal_str(flag, "n") && !bytes_equal_str(flag, "y"))
		return fault_set(why, FAULT_CLIENT, "no GS2 header");
	if (authzid.n > 0 && (authzid.n > 1024 || !bytes_starts(authzid, BYTES_LIT("a=")) || !take_name(bytes_from(authzid, 2), &m_r->authzid)))
		return fault_set(why, FAULT_CLIENT, "no GS2 header");
	if (in.n == 0 || in.p[0] != KVSEP)
		return fault_set(why, FAULT_CLIENT, "no GS2 header");
	return take_pairs(bytes_from(in, 1), NULL, m_r, why);
}

bool xoauth2_parse(struct bytes in, struct oauth_message *m_r, struct fault *why)
{
	*m_r = (struct oauth_message){ 0 };
	if (!take_pairs(in, "user", m_r, why))
		return false;
	return m_r->authzid.n > 0 || fault_set(why, FAULT_CLIENT, "no user");
}

void oauth_message_fini(struct oauth_message *m)
{
	buffer_fini(&m->authzid);
	m->token = BYTES_NONE;
}
