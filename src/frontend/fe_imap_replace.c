/* fe_imap_replace.c - REPLACE (RFC 8508) whose mailbox is on another server than the selected one: the message is appended there, and when
 * that is committed the old one is marked deleted and expunged here.
 *
 * Story: UID FETCH or FETCH (UID) of the message, APPEND there, UID STORE +FLAGS.SILENT (\Deleted) and UID EXPUNGE here. Two servers are
 * not one: when something fails after the APPEND both messages are there and the client is told NO, with APPENDUID. Nothing is lost, and
 * the old message never goes without the new one. */
#include <stdio.h>
#include <string.h>

#include "fe_imap.h"
#include "imap_writer.h"

enum replace_step { REPLACE_FIND, REPLACE_APPEND, REPLACE_STORE, REPLACE_EXPUNGE };

/* In the command's arena. */
struct replace_job {
	enum replace_step step;
	char source[PLACES_SERVER_MAX], target[PLACES_SERVER_MAX];
	uint32_t uid;      /* 0: not known yet */
	struct bytes code; /* "APPENDUID 1 2"; empty: the server did not say */
};

static void fail(struct fe_imap *s, const char *text)
{
	fe_imap_tagged(s, "NO", text);
	fe_imap_op_done(s);
}

static void go(struct fe_imap *s, enum replace_step step)
{
	struct replace_job *j = s->replace;

	j->step = step;
	s->is_sent = false;
	(void)snprintf(s->op_server, sizeof(s->op_server), "%s", step == REPLACE_APPEND ? j->target : j->source);
	fe_imap_try(s);
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct replace_job *j = s->replace;
	struct buffer out = { 0 };

	imap_link_enable(l);
	buffer_add_str(&out, FE_TAG " ");
	switch (j->step) {
	case REPLACE_FIND:
		buffer_add_str(&out, s->cmd.is_uid ? "UID FETCH " : "FETCH ");
		if (s->cmd.set.ranges[0].first == SEQ_STAR)
			buffer_add_u8(&out, '*');
		else
			buffer_add_u64(&out, s->cmd.set.ranges[0].first);
		buffer_add_str(&out, " (UID)\r\n");
		break;
	case REPLACE_APPEND:
		buffer_add_str(&out, "APPEND ");
		imap_write_astring(&out, s->cmd.mailbox, true);
		buffer_add_u8(&out, ' ');
		buffer_add(&out, s->cmd.message_text);
		buffer_add_str(&out, "\r\n");
		break;
	case REPLACE_STORE:
		buffer_addf(&out, "UID STORE %u +FLAGS.SILENT (\\Deleted)\r\n", j->uid);
		break;
	case REPLACE_EXPUNGE:
		buffer_addf(&out, "UID EXPUNGE %u\r\n", j->uid);
		break;
	}
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* "* 3 FETCH (UID 7)" or "* 7 UIDFETCH (UID 7)": the answer to REPLACE_FIND; news of flags has more in it. */
static bool note_uid(struct replace_job *j, struct bytes response)
{
	struct imap_response r;
	struct bytes rest;
	uint64_t uid;
	size_t n;

	if (!imap_response_parse(response, &r) || !r.is_untagged)
		return false;
	rest = bytes_from(r.rest, bytes_find(r.rest, '('));
	if (!(bytes_starts_nocase(r.rest, BYTES_LIT("FETCH (")) || bytes_starts_nocase(r.rest, BYTES_LIT("UIDFETCH ("))) ||
	    !bytes_starts_nocase(rest, BYTES_LIT("(UID ")))
		return false;
	rest = bytes_from(rest, 5);
	n = bytes_find(rest, ')');
	if (!bytes_to_u64(bytes_sub(rest, 0, n), UINT32_MAX, &uid))
		return false;
	j->uid = (uint32_t)uid;
	return true;
}

/* What a server said as the end of a step that failed. */
static void refused(struct fe_imap *s, const struct imap_response *r)
{
	struct replace_job *j = s->replace;
	const char *text = bytes_starts(r->code, BYTES_LIT("XNOTMASTER")) ? "[UNAVAILABLE] the server has another master" :
	                                                                   arena_str(&s->arena, bytes_trim(r->rest));

	if (j->step == REPLACE_STORE || j->step == REPLACE_EXPUNGE)
		text = arena_printf(&s->arena, "[%.*s] the new message is kept, and so is the old one: %.200s",
		                    BYTES_FMT(j->code.n > 0 ? j->code : BYTES_LIT("CANNOT")), text);
	fe_imap_tagged(s, bytes_equal_nocase_str(r->word, "BAD") ? "BAD" : "NO", text);
	fe_imap_op_done(s);
}

static void step_done(struct fe_imap *s, const struct imap_response *r)
{
	struct replace_job *j = s->replace;

	if (!bytes_equal_nocase_str(r->word, "OK")) {
		refused(s, r);
		return;
	}
	switch (j->step) {
	case REPLACE_FIND:
		if (j->uid == 0)
			fail(s, "there is no such message to replace");
		else
			go(s, REPLACE_APPEND);
		return;
	case REPLACE_APPEND:
		if (bytes_starts_nocase(r->code, BYTES_LIT("APPENDUID "))) {
			j->code = arena_copy(&s->arena, bytes_sub(r->code, 0, 60));
			fe_imap_say(s, "* OK [%.*s] the replacement is kept", BYTES_FMT(j->code));
		}
		go(s, REPLACE_STORE);
		return;
	case REPLACE_STORE:
		go(s, REPLACE_EXPUNGE);
		return;
	case REPLACE_EXPUNGE:
		fe_imap_tagged(s, "OK", bytes_starts_nocase(r->code, BYTES_LIT("HIGHESTMODSEQ ")) ?
		                                arena_printf(&s->arena, "[%.*s] replaced", BYTES_FMT(bytes_sub(r->code, 0, 40))) : "replaced");
		fe_imap_op_done(s);
		return;
	}
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct replace_job *j = s->replace;
	struct imap_response r;

	if (is_tagged) {
		if (imap_response_parse(response, &r))
			step_done(s, &r);
		return;
	}
	if (j->step == REPLACE_FIND && note_uid(j, response))
		return;
	/* What the selected mailbox has to say of itself is the client's. */
	if (fe_imap_is_news(s, l))
		conn_write(s->conn, response);
}

static void lost(struct fe_imap *s, const char *why)
{
	(void)why;
	fail(s, s->replace->step == REPLACE_FIND ? "[UNAVAILABLE] a server was lost" :
	                                           "[UNAVAILABLE] a server was lost; the new message may be kept beside the old one");
}

static const struct own_op replace_op = { .link_ready = link_ready, .response = take_response, .lost = lost };

void fe_replace_begin(struct fe_imap *s, const char *target_server)
{
	s->replace = arena_zalloc(&s->arena, sizeof(*s->replace));
	s->own = &replace_op;
	(void)snprintf(s->replace->source, sizeof(s->replace->source), "%s", s->selected->server);
	(void)snprintf(s->replace->target, sizeof(s->replace->target), "%s", target_server);
	go(s, REPLACE_FIND);
}
