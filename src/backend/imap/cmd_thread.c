/* THREAD, UID THREAD (RFC 5256; REFS): search, then read of each message found who it says it answers, some milliseconds at a
 * time; the forest is threads.h's. */
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_envelope.h"
#include "search.h"
#include "threads.h"

#define THREAD_TURN_NS 5000000u
#define THREAD_PIECE 32768
#define THREAD_IDS_MAX 200 /* of one message: the newest references count */

struct threading {
	struct search search;
	struct threads threads;
	size_t at;
	unsigned step;
	const struct thread_node *next;
	struct buffer line;
};

static void free_threading(void *arg)
{
	struct threading *st = arg;

	threads_fini(&st->threads);
	buffer_fini(&st->line);
}

static enum cmd_step tell(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;

	cmd->resume = tell;
	while (st->next != NULL) {
		threads_write(&st->threads, &st->next, &st->line, THREAD_PIECE);
		if (st->next == NULL)
			break;
		session_write(s, buffer_bytes(&st->line));
		buffer_clear(&st->line);
		if (session_is_full(s))
			return CMD_WANT_OUTPUT;
	}
	buffer_add_str(&st->line, "\r\n");
	session_write(s, buffer_bytes(&st->line));
	return answer_ok(cmd, "done");
}

static enum cmd_step build(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;

	cmd->resume = build;
	if (s->state != SESSION_SELECTED)
		return CMD_DONE;
	if (st->step < THREADS_STEPS) {
		threads_step(&st->threads, st->step++);
		return CMD_WANT_TURN;
	}
	st->next = st->threads.root.child;
	buffer_add_str(&st->line, st->next != NULL ? "* THREAD " : "* THREAD");
	return tell(s, cmd);
}

/* Its Message-ID, then those of References, or else the first of In-Reply-To. */
static size_t take_ids(struct store_view *v, const struct message *msg, struct bytes blob, const struct envelope *e,
                       struct buffer *header, struct bytes ids[THREAD_IDS_MAX])
{
	struct bytes field = e->message_id, id;
	struct bytes kept;
	uint64_t off, len;
	int64_t sent;
	size_t n = 1;
	struct fault why;

	if (!threads_next_id(&field, &ids[0]))
		ids[0] = BYTES_NONE;
	if (!mime_blob_header(blob, &kept, &sent)) {
		buffer_clear(header);
		if (mime_blob_section(blob, NULL, 0, MIME_HEADER, &off, &len) && len > 0)
			(void)store_view_body(v, msg->body, off, (size_t)len, header, &why);
		kept = buffer_bytes(header);
	}
	field = mime_field(kept, "References");
	while (threads_next_id(&field, &id)) {
		if (n == THREAD_IDS_MAX) {
			for (size_t i = 1; i + 1 < n; i++)
				ids[i] = ids[i + 1];
			n--;
		}
		ids[n++] = id;
	}
	field = e->in_reply_to;
	if (n == 1 && threads_next_id(&field, &id))
		ids[n++] = id;
	return n;
}

static void read_one(struct session *s, struct command *cmd, struct store_view *v, const struct message *msg, uint32_t index,
                     struct buffer *header)
{
	struct threading *st = cmd->state;
	struct bytes ids[THREAD_IDS_MAX], blob = BYTES_NONE;
	struct arena a = { 0 };
	struct buffer subject = { 0 };
	struct envelope e = { 0 };
	struct fault why;
	int64_t date, day;
	bool is_reply = false;
	size_t n = 0;

	if (store_view_structure(v, msg->body, &blob, &why) == STORE_OK)
		(void)envelope_read(mime_blob_envelope(blob),
		                    cmd->c.algorithm == THREAD_ORDEREDSUBJECT ? ENVELOPE_SUBJECT : ENVELOPE_IDS, &a, &e);
	if (!mime_date(e.date, &date, &day))
		date = msg->internaldate;
	if (cmd->c.algorithm != THREAD_REFS)
		is_reply = mime_base_subject(e.subject, &subject);
	if (cmd->c.algorithm != THREAD_ORDEREDSUBJECT)
		n = take_ids(v, msg, blob, &e, header, ids);
	threads_add(&st->threads, cmd->c.is_uid ? s->box->uids[index] : index + 1, date, msg->internaldate, buffer_bytes(&subject),
	            is_reply, ids, n);
	buffer_fini(&subject);
	arena_fini(&a);
}

static enum cmd_step read_all(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;
	uint64_t until = clock_mono_ns() + THREAD_TURN_NS;
	struct buffer header = { 0 };
	struct store_view *v;
	struct message msg;
	struct box_reader reader;

	cmd->resume = read_all;
	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	reader = (struct box_reader){ .view = v, .mailbox = s->box->id };
	for (bool is_first = true; st->at < st->search.count && (is_first || clock_mono_ns() < until); st->at++, is_first = false) {
		uint32_t index = st->search.found[st->at];

		if (box_read(&reader, s->box->uids[index], &msg))
			read_one(s, cmd, v, &msg, index, &header);
		else
			cmd->missed_one = true;
	}
	box_read_end(&reader);
	store_view_close(&v);
	buffer_fini(&header);
	return st->at < st->search.count ? CMD_WANT_TURN : build(s, cmd);
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct threading *st = cmd->state;
	enum search_state state = search_run(s, cmd, &st->search);

	if (state != SEARCH_ENDED)
		return state == SEARCH_GOES_ON ? CMD_WANT_TURN : CMD_DONE;
	return read_all(s, cmd);
}

enum cmd_step cmd_thread(struct session *s, struct command *cmd)
{
	struct threading *st = arena_zalloc(&cmd->arena, sizeof(*st));

	if (!search_begin(s, cmd, &st->search))
		return CMD_DONE;
	threads_init(&st->threads, cmd->c.algorithm, &cmd->arena);
	arena_on_free(&cmd->arena, free_threading, st);
	cmd->state = st;
	cmd->resume = go_on;
	return go_on(s, cmd);
}
