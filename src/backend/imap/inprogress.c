/* inprogress.c - see inprogress.h. Commands that work in turns say how far they are in each; for those that wait, for
 * the writer or a pool thread, a timer says the last of it again, made when a session first waits. */
#include "inprogress.h"

#include "clock.h"
#include "imap_writer.h"

#define INPROGRESS_REST 5 /* later ones come so many times slower than the first */

void inprogress_tell(struct session *s, struct command *cmd, uint64_t done, uint64_t total)
{
	uint64_t wait_ns = s->client.backend->progress_ns, now = clock_mono_ns();
	struct buffer line = { 0 };

	cmd->progress_done = done;
	cmd->progress_total = total;
	if (now - (cmd->progress_ns == 0 ? cmd->started_ns : cmd->progress_ns) <
	    (cmd->progress_ns == 0 ? wait_ns : INPROGRESS_REST * wait_ns))
		return;
	cmd->progress_ns = now;
	buffer_add_str(&line, "* OK [INPROGRESS (");
	imap_write_string(&line, cmd->c.tag, false);
	if (total == 0)
		buffer_add_str(&line, " NIL NIL)] please wait\r\n");
	else
		buffer_addf(&line, " %llu %llu)] %llu%% done\r\n", (unsigned long long)done, (unsigned long long)total,
		            (unsigned long long)(total < UINT64_MAX / 100 ? done * 100 / total : 0));
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

static void fired(void *arg)
{
	struct session *s = arg;

	if (s->cmd != NULL && s->cmd->step == CMD_WANT_COMMIT && s->state != SESSION_ENDING && !session_is_full(s))
		inprogress_tell(s, s->cmd, s->cmd->progress_done, s->cmd->progress_total);
}

void inprogress_wait(struct session *s)
{
	uint64_t ms = s->client.backend->progress_ns / 1000000;

	if (s->state == SESSION_NOT_AUTHED || s->client.conn == NULL)
		return;
	if (s->progress == NULL)
		s->progress = timer_new(s->client.shard->loop, fired, s);
	timer_start(s->progress, ms, INPROGRESS_REST * ms);
}

void inprogress_end(struct session *s)
{
	if (s->progress != NULL)
		timer_stop(s->progress);
}
