/* pop3_reply.c - a status, a blank, text that may begin with a code in brackets. */
#include "pop3_reply.h"

static bool take_status(struct bytes *line, enum pop3_status *status_r)
{
	static const struct {
		struct bytes word;
		enum pop3_status status;
	} words[] = {
		{ BYTES_LIT("+OK"), POP3_OK },
		{ BYTES_LIT("-ERR"), POP3_ERR },
		{ BYTES_LIT("+"), POP3_CHALLENGE },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = words[i].word.n;

		if (!bytes_starts_nocase(*line, words[i].word) || (line->n > n && line->p[n] != ' '))
			continue;
		*status_r = words[i].status;
		*line = bytes_from(*line, line->n > n ? n + 1 : n);
		return true;
	}
	return false;
}

bool pop3_reply_parse(struct bytes line, struct pop3_reply *reply_r)
{
	enum pop3_status status;
	size_t end;

	if (!take_status(&line, &status))
		return false;
	*reply_r = (struct pop3_reply){ .status = status, .text = line };
	end = bytes_find(line, ']');
	if (status != POP3_CHALLENGE && line.n > 0 && line.p[0] == '[' && end < line.n)
		reply_r->code = bytes_sub(line, 1, end - 1);
	return true;
}
