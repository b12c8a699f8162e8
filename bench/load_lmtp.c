/* load_lmtp.c - deliveries as an MTA makes them: the envelope pipelined, then the message. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { LMTP_BANNER, LMTP_LHLO, LMTP_MAIL, LMTP_RCPT, LMTP_DATA, LMTP_DONE };

static void begin(struct client *c)
{
	struct run *r = c->run;

	if (!run_wants_more(r)) {
		c->is_settled = true;
		return;
	}
	c->id = ++r->started;
	c->begun_ns = now_ns();
	c->step = LMTP_MAIL;
	client_sendf(c, "MAIL FROM:<bench@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n", r->words[c->id % r->word_count]);
}

static void connected(struct client *c)
{
	c->step = LMTP_BANNER;
}

static void answered(struct client *c, const char *line)
{
	struct run *r = c->run;

	if (r->journal != NULL)
		(void)fprintf(r->journal, "%s-%llu %.3s %s\n", r->id, (unsigned long long)c->id, line,
		              r->words[c->id % r->word_count]);
	c->id = 0;
	if (line[0] == '2')
		client_good(c);
	else
		client_bad(c, line);
	begin(c);
}

static bool on_line(struct client *c, char *line)
{
	struct run *r = c->run;

	if (strlen(line) < 3)
		return false;
	if (line[3] == '-')
		return true;
	switch (c->step) {
	case LMTP_BANNER:
		client_sendf(c, "LHLO bench.example.org\r\n");
		c->step = LMTP_LHLO;
		return line[0] == '2';
	case LMTP_LHLO:
		begin(c);
		return line[0] == '2';
	case LMTP_MAIL:
	case LMTP_RCPT:
		if (line[0] != '2') {
			client_bad(c, line);
			return false;
		}
		c->step++;
		return true;
	case LMTP_DATA:
		if (line[0] != '3') {
			client_bad(c, line);
			return false;
		}
		client_sendf(c, "X-Bench: %s-%llu\r\n", r->id, (unsigned long long)c->id);
		client_send(c, r->body, r->size);
		client_send(c, ".\r\n", 3);
		c->step = LMTP_DONE;
		return true;
	case LMTP_DONE:
		answered(c, line);
		return true;
	default:
		return false;
	}
}

const struct mode mode_lmtp = { "lmtp", connected, on_line };
