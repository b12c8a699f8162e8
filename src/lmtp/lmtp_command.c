/* lmtp_command.c - a word, then what that word takes: a path with parameters, a name, a mechanism, or nothing. */
#include "lmtp_command.h"

#include <string.h>

#include "buffer.h"
#include "cursor.h"

static const struct {
	const char *word;
	enum lmtp_verb verb;
} verbs[] = {
	{ "LHLO", LMTP_LHLO }, { "MAIL", LMTP_MAIL }, { "RCPT", LMTP_RCPT }, { "DATA", LMTP_DATA },
	{ "RSET", LMTP_RSET }, { "NOOP", LMTP_NOOP }, { "VRFY", LMTP_VRFY }, { "QUIT", LMTP_QUIT },
	{ "AUTH", LMTP_AUTH }, { "STARTTLS", LMTP_STARTTLS }, { "HELP", LMTP_HELP },
};

static struct bytes take_word(struct bytes *in)
{
	size_t n = 0;
	struct bytes word;

	while (n < in->n && in->p[n] != ' ')
		n++;
	word = bytes_sub(*in, 0, n);
	while (n < in->n && in->p[n] == ' ')
		n++;
	*in = bytes_from(*in, n);
	return word;
}

static enum lmtp_parse syntax(struct fault *why, const char *what)
{
	(void)fault_set(why, FAULT_CLIENT, "%s", what);
	return LMTP_PARSE_SYNTAX;
}

/* Skip "@one,@two:" (RFC 5321 section 4.1.2, A-d-l: accepted and ignored). */
static bool skip_route(struct cursor *c)
{
	size_t colon;

	if (cursor_peek(c) != '@')
		return true;
	colon = bytes_find(cursor_rest(c), ':');
	if (colon == cursor_left(c))
		return false;
	c->p += colon + 1;
	return true;
}

/* Read the inside of "<...>", a quoted local part included, up to and with the '>'. */
static bool take_path(struct cursor *c, struct arena *a, struct bytes *address_r)
{
	uint8_t *to = arena_alloc(a, cursor_left(c));
	size_t n = 0;
	bool is_quoted = false;
	uint8_t octet;

	if (!cursor_take(c, '<') || !skip_route(c))
		return false;
	while (cursor_u8(c, &octet)) {
		if (octet == '"') {
			is_quoted = !is_quoted;
			continue;
		}
		if (octet == '>' && !is_quoted) {
			*address_r = bytes_make(to, n);
			return true;
		}
		if (octet == '\\' && is_quoted && !cursor_u8(c, &octet))
			return false;
		if (octet < ' ' || octet == 0x7f || (octet == ' ' && !is_quoted) || (octet == '<' && !is_quoted))
			return false;
		to[n++] = octet;
	}
	return false;
}

static int hex_value(uint8_t c)
{
	c = ascii_lower(c);
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_op_id(struct bytes hex, struct lmtp_command *cmd)
{
	if (hex.n != (size_t)LMTP_OP_ID_SIZE * 2)
		return false;
	for (size_t i = 0; i < LMTP_OP_ID_SIZE; i++) {
		int high = hex_value(hex.p[2 * i]);
		int low = hex_value(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		cmd->op_id[i] = (uint8_t)(high << 4 | low);
	}
	cmd->has_op_id = true;
	return true;
}

static enum lmtp_parse parse_mail_parameter(struct bytes word, struct lmtp_command *cmd, struct fault *why)
{
	if (bytes_starts_nocase(word, BYTES_LIT("SIZE="))) {
		if (!bytes_to_u64(bytes_from(word, 5), UINT64_MAX, &cmd->size))
			return syntax(why, "SIZE= wants a number");
		return LMTP_PARSE_OK;
	}
	if (bytes_starts_nocase(word, BYTES_LIT("XROOST-OP="))) {
		if (!parse_op_id(bytes_from(word, 10), cmd))
			return syntax(why, "XROOST-OP= wants 32 hex digits");
		return LMTP_PARSE_OK;
	}
	/* RFC 4954 section 5: who submitted it first; nothing here depends on it. */
	if (bytes_equal_nocase(word, BYTES_LIT("BODY=7BIT")) || bytes_equal_nocase(word, BYTES_LIT("BODY=8BITMIME")) ||
	    bytes_starts_nocase(word, BYTES_LIT("AUTH=")))
		return LMTP_PARSE_OK;
	(void)fault_set(why, FAULT_CLIENT, "parameter not known: %.*s", BYTES_FMT(bytes_sub(word, 0, 64)));
	return LMTP_PARSE_BAD_PARAMETER;
}

/* Whether the address could be passed on: quotes around a domain, for one, are not of an address. */
static bool is_writable(struct bytes address)
{
	struct buffer text = { 0 };
	bool ok = lmtp_address_write(&text, address);

	buffer_fini(&text);
	return ok;
}

/* "FROM:<address> parameter ..." or "TO:<address> parameter ..." */
static enum lmtp_parse parse_path_command(struct bytes rest, struct bytes keyword, struct arena *a,
                                          struct lmtp_command *cmd, struct fault *why)
{
	struct cursor c = cursor_of(rest);

	if (!cursor_take_nocase(&c, keyword))
		return syntax(why, cmd->verb == LMTP_MAIL ? "MAIL wants FROM:<address>" : "RCPT wants TO:<address>");
	while (cursor_take(&c, ' '))
		;
	if (!take_path(&c, a, &cmd->address) || !is_writable(cmd->address))
		return syntax(why, "the address is not of the form <local@domain>");
	if (!cursor_at_end(&c) && cursor_peek(&c) != ' ')
		return syntax(why, "text follows the address");
	while (cursor_take(&c, ' '))
		;
	rest = cursor_rest(&c);
	while (rest.n > 0) {
		struct bytes word = take_word(&rest);
		enum lmtp_parse result = LMTP_PARSE_BAD_PARAMETER;

		if (cmd->verb == LMTP_MAIL)
			result = parse_mail_parameter(word, cmd, why);
		else if (bytes_equal_nocase(word, BYTES_LIT("IGNOREQUOTA"))) {
			cmd->ignores_quota = true;
			result = LMTP_PARSE_OK;
		} else
			(void)fault_set(why, FAULT_CLIENT, "parameter not known: %.*s", BYTES_FMT(bytes_sub(word, 0, 64)));
		if (result != LMTP_PARSE_OK)
			return result;
	}
	return LMTP_PARSE_OK;
}

static enum lmtp_verb verb_of(struct bytes word)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (bytes_equal_nocase_str(word, verbs[i].word))
			return verbs[i].verb;
	}
	return LMTP_UNKNOWN;
}

enum lmtp_parse lmtp_command_parse(struct bytes line, struct arena *a, struct lmtp_command *cmd_r, struct fault *why_r)
{
	struct bytes rest = line;

	*cmd_r = (struct lmtp_command){ 0 };
	while (rest.n > 0 && rest.p[rest.n - 1] == ' ')
		rest.n--;
	cmd_r->verb = verb_of(take_word(&rest));
	switch (cmd_r->verb) {
	case LMTP_MAIL:
		return parse_path_command(rest, BYTES_LIT("FROM:"), a, cmd_r, why_r);
	case LMTP_RCPT:
		return parse_path_command(rest, BYTES_LIT("TO:"), a, cmd_r, why_r);
	case LMTP_LHLO:
		cmd_r->word = take_word(&rest);
		return cmd_r->word.n > 0 ? LMTP_PARSE_OK : syntax(why_r, "LHLO wants a name");
	case LMTP_AUTH:
		cmd_r->word = take_word(&rest);
		cmd_r->initial = rest.n > 0 ? take_word(&rest) : BYTES_NONE;
		return cmd_r->word.n > 0 && rest.n == 0 ? LMTP_PARSE_OK : syntax(why_r, "AUTH wants a mechanism");
	case LMTP_NOOP:
	case LMTP_VRFY:
	case LMTP_HELP:
		cmd_r->word = rest;
		return LMTP_PARSE_OK;
	case LMTP_DATA:
	case LMTP_RSET:
	case LMTP_QUIT:
	case LMTP_STARTTLS:
		return rest.n == 0 ? LMTP_PARSE_OK : syntax(why_r, "the command takes no argument");
	case LMTP_UNKNOWN:
		return LMTP_PARSE_OK;
	}
	return syntax(why_r, "not a command");
}

static bool is_atext(uint8_t c)
{
	return ascii_is_alnum(c) || c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

bool lmtp_address_write(struct buffer *to, struct bytes address)
{
	size_t at = bytes_rfind(address, '@');
	bool needs_quotes = at == 0;

	for (size_t i = 0; i < address.n; i++) {
		uint8_t c = address.p[i];

		if (c < ' ' || c == 0x7f || (i > at && (c == '>' || c == '<' || c == ' ' || c == '"' || c == '\\')))
			return false;
		if (i < at && !is_atext(c))
			needs_quotes = true;
	}
	if (!needs_quotes || address.n == 0) {
		buffer_add(to, address);
		return true;
	}
	buffer_add_u8(to, '"');
	for (size_t i = 0; i < at; i++) {
		if (address.p[i] == '"' || address.p[i] == '\\')
			buffer_add_u8(to, '\\');
		buffer_add_u8(to, address.p[i]);
	}
	buffer_add_u8(to, '"');
	buffer_add(to, bytes_from(address, at));
	return true;
}
