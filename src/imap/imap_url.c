/* imap_url.c - a URL is cut at ";NAME=" and "/;NAME=": what stands before the first is the mailbox. Names of parameters have any case, as
 * older clients write them. */
#include "imap_url.h"

#include <string.h>

#include "imap_date.h"
#include "imap_lex.h"
#include "imap_parse_private.h"

/* What may stand in a URL unencoded (RFC 5092, bchar), beside what cuts it. */
static bool is_url_char(uint8_t c)
{
	return ascii_is_alnum(c) || (c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' && c != '`' && c != '{' &&
	                             c != '|' && c != '}');
}

static int hex(uint8_t c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* TEXT without "%XX"; NUL, CR and LF cannot be meant. */
static bool decode(struct bytes text, struct arena *a, struct bytes *out_r, struct fault *why)
{
	struct buffer out = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '%') {
			ok = i + 2 < text.n && hex(text.p[i + 1]) >= 0 && hex(text.p[i + 2]) >= 0;
			c = ok ? (uint8_t)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2])) : 0;
			i += 2;
		}
		ok = ok && c != '\0' && c != '\r' && c != '\n';
		buffer_add_u8(&out, c);
	}
	*out_r = arena_copy(a, buffer_bytes(&out));
	buffer_fini(&out);
	return ok || fault_set(why, FAULT_CLIENT, "\"%%\" without two hexadecimal digits, or of a control");
}

static bool wrong(struct fault *why, const char *what)
{
	return fault_set(why, FAULT_CLIENT, "a URL with a wrong %s", what);
}

static bool number(struct bytes text, uint64_t least, uint64_t most, uint32_t *n_r)
{
	uint64_t n;

	if (!bytes_to_u64(text, most, &n) || n < least)
		return false;
	*n_r = (uint32_t)n;
	return true;
}

/* "imap://user;AUTH=x@host:port", or without the scheme; *rest_r begins with "/" or is empty. */
static bool take_server(struct bytes text, struct arena *a, struct imap_url *u, struct bytes *rest_r, struct fault *why)
{
	struct bytes server, user;
	size_t n, at, bracket;

	u->has_scheme = bytes_starts_nocase(text, BYTES_LIT("imap:"));
	if (u->has_scheme)
		text = bytes_from(text, 5);
	u->has_server = bytes_starts(text, BYTES_LIT("//"));
	*rest_r = text;
	if (!u->has_server)
		return !u->has_scheme || wrong(why, "server");
	text = bytes_from(text, 2);
	n = bytes_find(text, '/');
	server = bytes_sub(text, 0, n);
	*rest_r = bytes_from(text, n);
	at = bytes_rfind(server, '@');
	if (at < server.n) {
		user = bytes_sub(server, 0, at);
		server = bytes_from(server, at + 1);
		user = bytes_sub(user, 0, bytes_find(user, ';')); /* ";AUTH=": how a client would log in */
		if (user.n > 0 && !decode(user, a, &u->user, why))
			return false;
	}
	at = bytes_rfind(server, ':');
	bracket = bytes_rfind(server, ']'); /* of an IPv6 address */
	if (at < server.n && (bracket == server.n || bracket < at)) {
		uint32_t port;

		if (!number(bytes_from(server, at + 1), 1, 65535, &port))
			return wrong(why, "port");
		server = bytes_sub(server, 0, at);
	}
	u->host = server;
	for (size_t i = 0; i < server.n; i++) {
		if (!ascii_is_alnum(server.p[i]) && strchr("-._[]:%", server.p[i]) == NULL)
			return wrong(why, "host");
	}
	return server.n > 0 || wrong(why, "host");
}

/* "offset" or "offset.length". */
static bool take_partial(struct bytes value, struct imap_url *u, struct fault *why)
{
	size_t dot = bytes_find(value, '.');

	u->section.has_partial = true;
	return (number(bytes_sub(value, 0, dot), 0, UINT32_MAX, &u->section.offset) &&
	        (dot == value.n || number(bytes_from(value, dot + 1), 1, UINT32_MAX, &u->section.length))) ||
	       wrong(why, "PARTIAL");
}

static bool take_access(struct bytes value, struct arena *a, struct imap_url *u, struct fault *why)
{
	static const struct {
		const char *name;
		enum imap_url_access access;
		bool has_user;
	} kinds[] = {
		{ "submit+", URL_ACCESS_SUBMIT, true },
		{ "user+", URL_ACCESS_USER, true },
		{ "authuser", URL_ACCESS_AUTHUSER, false },
		{ "anonymous", URL_ACCESS_ANONYMOUS, false },
	};
	size_t colon = bytes_find(value, ':');
	struct bytes access = bytes_sub(value, 0, colon), rest = bytes_from(value, colon + 1);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct bytes name = bytes_of(kinds[i].name);

		if (!bytes_starts_nocase(access, name) || (access.n > name.n) != kinds[i].has_user)
			continue;
		u->access = kinds[i].access;
		if (kinds[i].has_user && !decode(bytes_from(access, name.n), a, &u->access_user, why))
			return false;
	}
	u->rump.n = (size_t)(access.p + access.n - u->rump.p);
	if (u->access == URL_ACCESS_NONE)
		return wrong(why, "URLAUTH");
	if (colon == value.n)
		return true;
	colon = bytes_find(rest, ':');
	u->mechanism = bytes_sub(rest, 0, colon);
	u->verifier = bytes_from(rest, colon + 1);
	if (u->mechanism.n == 0 || u->verifier.n < 32)
		return wrong(why, "verifier");
	for (size_t i = 0; i < u->verifier.n; i++) {
		if (hex(u->verifier.p[i]) < 0)
			return wrong(why, "verifier");
	}
	return true;
}

/* One ";NAME=value", in the order of the grammar. */
enum param { PARAM_UIDVALIDITY, PARAM_UID, PARAM_SECTION, PARAM_PARTIAL, PARAM_EXPIRE, PARAM_URLAUTH, PARAM_COUNT };

static bool take_param(enum param param, struct bytes value, const struct imap_command_limits *limits, struct arena *a, struct imap_url *u,
                       struct fault *why)
{
	struct bytes text;

	switch (param) {
	case PARAM_UIDVALIDITY:
		return number(value, 1, UINT32_MAX, &u->uidvalidity) || wrong(why, "UIDVALIDITY");
	case PARAM_UID:
		return number(value, 1, UINT32_MAX, &u->uid) || wrong(why, "UID");
	case PARAM_SECTION:
		return decode(value, a, &text, why) && text.n > 0 && imap_section_parse(text, limits, a, &u->section, why);
	case PARAM_PARTIAL:
		return take_partial(value, u, why);
	case PARAM_EXPIRE:
		u->has_expire = true;
		return imap_rfc3339_parse(value, &u->expire) || wrong(why, "EXPIRE");
	case PARAM_URLAUTH:
		return take_access(value, a, u, why);
	case PARAM_COUNT:
		break;
	}
	return false;
}

/* The mailbox up to the first parameter, then these. */
static bool take_path(struct bytes path, const struct imap_command_limits *limits, struct arena *a, struct imap_url *u, struct fault *why)
{
	static const char *const names[PARAM_COUNT] = { "UIDVALIDITY", "UID", "SECTION", "PARTIAL", "EXPIRE", "URLAUTH" };
	size_t n = bytes_find(path, ';');
	struct bytes mailbox = bytes_sub(path, 0, n), rest = bytes_from(path, n);
	int last = -1;

	/* "/;UID=": the "/" belongs to the parameter. */
	if (mailbox.n > 0 && n < path.n && mailbox.p[mailbox.n - 1] == '/')
		mailbox.n--;
	if (mailbox.n > 0 && !decode(mailbox, a, &u->mailbox, why))
		return false;
	while (rest.n > 0) {
		size_t equals = bytes_find(rest, '='), end;
		struct bytes name = bytes_sub(bytes_from(rest, 1), 0, equals > 0 ? equals - 1 : 0), value = bytes_from(rest, equals + 1);
		int param = 0;

		while (param < PARAM_COUNT && !bytes_equal_nocase_str(name, names[param]))
			param++;
		if (rest.p[0] != ';' || param == PARAM_COUNT || param <= last)
			return wrong(why, "parameter");
		last = param;
		end = bytes_find(value, ';');
		rest = bytes_from(value, end);
		value = bytes_sub(value, 0, end);
		if (rest.n > 0 && value.n > 0 && value.p[value.n - 1] == '/')
			value.n--;
		if (!take_param((enum param)param, value, limits, a, u, why))
			return false;
	}
	return true;
}

bool imap_url_parse(struct bytes text, const struct imap_command_limits *limits, struct arena *a, struct imap_url *u, struct fault *why)
{
	struct bytes path;
	bool is_absolute;

	*u = (struct imap_url){ .section = { .type = FETCH_SECTION, .kind = SECTION_ALL }, .rump = text };
	*why = (struct fault){ 0 };
	if (text.n > IMAP_URL_MAX)
		return fault_set(why, FAULT_LIMIT, "a URL of more than %d octets", IMAP_URL_MAX);
	for (size_t i = 0; i < text.n; i++) {
		if (!is_url_char(text.p[i]))
			return wrong(why, "octet");
	}
	if (!take_server(text, a, u, &path, why))
		return false;
	/* An absolute path names its mailbox; else it is the one that is selected, not one relative to that. */
	is_absolute = bytes_starts(path, BYTES_LIT("/")) && !bytes_starts(path, BYTES_LIT("/;"));
	if (is_absolute)
		path = bytes_from(path, 1);
	else if (u->has_server || !(bytes_starts(path, BYTES_LIT("/;")) || bytes_starts(path, BYTES_LIT(";"))))
		return wrong(why, "mailbox");
	if (!take_path(path, limits, a, u, why))
		return why->kind != FAULT_NONE ? false : wrong(why, "SECTION");
	if (is_absolute && u->mailbox.n == 0)
		return wrong(why, "mailbox");
	if (u->access == URL_ACCESS_NONE)
		u->rump = BYTES_NONE;
	if (u->uid == 0 || (u->uidvalidity != 0 && u->mailbox.p == NULL) || (u->has_expire && u->access == URL_ACCESS_NONE))
		return wrong(why, u->uid == 0 ? "UID" : "parameter");
	return true;
}

void imap_url_write_safe(struct buffer *to, struct bytes text)
{
	text = bytes_sub(text, 0, IMAP_URL_MAX);
	buffer_add_u8(to, '"');
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ']')
			buffer_addf(to, "%%%02X", c);
		else
			buffer_add_u8(to, c);
	}
	buffer_add_u8(to, '"');
}
