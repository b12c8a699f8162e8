/* pop3_command.c - a word, then what that word takes: text, a mechanism, or numbers. */
#include "pop3_command.h"

enum takes { TAKES_NOTHING, TAKES_TEXT, TAKES_MECHANISM, TAKES_NUMBER, TAKES_NUMBER_OR_NOTHING, TAKES_TWO_NUMBERS, TAKES_ANYTHING };

static const struct {
	const char *word;
	enum takes takes;
	const char *wants;
} verbs[] = {
	[POP3_USER] = { "USER", TAKES_TEXT, "USER wants a name" },
	[POP3_PASS] = { "PASS", TAKES_TEXT, "PASS wants a password" },
	[POP3_AUTH] = { "AUTH", TAKES_MECHANISM, "AUTH wants a mechanism, and at most an initial response" },
	[POP3_CAPA] = { "CAPA", TAKES_NOTHING, "CAPA takes no argument" },
	[POP3_STLS] = { "STLS", TAKES_NOTHING, "STLS takes no argument" },
	[POP3_QUIT] = { "QUIT", TAKES_NOTHING, "QUIT takes no argument" },
	[POP3_STAT] = { "STAT", TAKES_NOTHING, "STAT takes no argument" },
	[POP3_LIST] = { "LIST", TAKES_NUMBER_OR_NOTHING, "LIST takes at most a message's number" },
	[POP3_RETR] = { "RETR", TAKES_NUMBER, "RETR wants a message's number" },
	[POP3_DELE] = { "DELE", TAKES_NUMBER, "DELE wants a message's number" },
	[POP3_NOOP] = { "NOOP", TAKES_NOTHING, "NOOP takes no argument" },
	[POP3_RSET] = { "RSET", TAKES_NOTHING, "RSET takes no argument" },
	[POP3_TOP] = { "TOP", TAKES_TWO_NUMBERS, "TOP wants a message's number and a number of lines" },
	[POP3_UIDL] = { "UIDL", TAKES_NUMBER_OR_NOTHING, "UIDL takes at most a message's number" },
	[POP3_UNKNOWN] = { "", TAKES_ANYTHING, "" },
};

static void skip_blanks(struct bytes *in)
{
	while (in->n > 0 && in->p[0] == ' ')
		*in = bytes_from(*in, 1);
}

static struct bytes take_word(struct bytes *in)
{
	struct bytes word = bytes_sub(*in, 0, bytes_find(*in, ' '));

	*in = bytes_from(*in, word.n);
	skip_blanks(in);
	return word;
}

/* Digits, however many. */
static bool take_number(struct bytes *in, uint32_t *v_r)
{
	struct bytes word = take_word(in);
	uint64_t v = 0;

	if (word.n == 0)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (!ascii_is_digit(word.p[i]))
			return false;
		v = v * 10 + (uint64_t)(word.p[i] - '0');
		if (v > UINT32_MAX)
			v = UINT32_MAX;
	}
	*v_r = (uint32_t)v;
	return true;
}

/* A message's number begins at 1; one that there cannot be is told from one that is not a number. */
static bool take_message(struct bytes *in, uint32_t *v_r)
{
	if (!take_number(in, v_r))
		return false;
	if (*v_r == 0)
		*v_r = UINT32_MAX;
	return true;
}

static enum pop3_verb verb_of(struct bytes word)
{
	enum pop3_verb v = POP3_USER;

	while (v != POP3_UNKNOWN && !bytes_equal_nocase_str(word, verbs[v].word))
		v++;
	return v;
}

static bool take_arguments(struct bytes rest, enum takes takes, struct pop3_command *cmd)
{
	switch (takes) {
	case TAKES_NOTHING:
		break;
	case TAKES_TEXT:
		cmd->word = rest;
		return rest.n > 0;
	case TAKES_MECHANISM:
		cmd->word = take_word(&rest);
		if (rest.n > 0)
			cmd->initial = take_word(&rest);
		return cmd->word.n > 0 && rest.n == 0;
	case TAKES_NUMBER_OR_NOTHING:
		return rest.n == 0 || (take_message(&rest, &cmd->number) && rest.n == 0);
	case TAKES_NUMBER:
		return take_message(&rest, &cmd->number) && rest.n == 0;
	case TAKES_TWO_NUMBERS:
		return take_message(&rest, &cmd->number) && take_number(&rest, &cmd->lines) && rest.n == 0;
	case TAKES_ANYTHING:
		return true;
	}
	return rest.n == 0;
}

bool pop3_command_parse(struct bytes line, struct pop3_command *cmd_r, struct fault *why_r)
{
	size_t n = bytes_find(line, ' ');
	struct bytes rest = bytes_from(line, n < line.n ? n + 1 : n);

	*cmd_r = (struct pop3_command){ .verb = verb_of(bytes_sub(line, 0, n)) };
	if (cmd_r->verb != POP3_PASS) { /* a password may begin and end with blanks */
		while (rest.n > 0 && rest.p[rest.n - 1] == ' ')
			rest.n--;
		skip_blanks(&rest);
	}
	if (take_arguments(rest, verbs[cmd_r->verb].takes, cmd_r))
		return true;
	return fault_set(why_r, FAULT_CLIENT, "%s", verbs[cmd_r->verb].wants);
}
