/* FETCH, UID FETCH (RFC 3501 sections 6.4.5 and 7.4.2).
 *
 * If a body is asked for without PEEK, \Seen is set first, for all messages at once, and committed; then the answers go out
 * message by message as fast as the client takes them (fetch_answer.c).
 *
 * A message whose octets are damaged waits until they are mended from another member; where they cannot be it is left out, the
 * others are answered, and the command ends with NO. */
#include "answer.h"
#include "box.h"
#include "dispatch.h"
#include "fetch_answer.h"
#include "imap_flags.h"
#include "limit.h"

#define FETCH_TURN 500 /* messages in one turn of the loop */
#define FETCH_SLOW 20  /* a message that had to be read for it counts so many in a turn */
#define FETCH_MENDS 3  /* messages that could not be mended before one command tries no more */

struct fetching {
	uint32_t *index;
	size_t count, at;
	struct fetch_wanted wanted;
	bool is_broken; /* a message could not be read */
	lsn_t tried;    /* the body that was last given to be mended */
	unsigned not_mended;
	bool has_unknown_encoding; /* a part was not to be decoded */
	struct fault why;
};

static enum cmd_step go_on(struct session *s, struct command *cmd);

/* client_told_fn: once more, whatever came of it. */
static void mended(struct client *c, bool is_mended)
{
	struct session *s = (struct session *)c;
	struct fetching *f = s->cmd->state;

	f->not_mended += !is_mended;
	session_resume(s, go_on(s, s->cmd));
}

static enum cmd_step go_on(struct session *s, struct command *cmd)
{
	struct fetching *f = cmd->state;
	struct store_view *v;
	struct mailbox m;
	struct message msg;
	struct fault why;
	struct fetch_answer o = { .s = s, .m = &m, .msg = &msg };
	struct box_reader reader = { .mailbox = 0 };
	size_t done = 0;

	cmd->resume = go_on;
	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	o.v = reader.view = v;
	reader.mailbox = s->box->id;
	if (store_view_mailbox_by_id(v, s->box->id, &m, &why) != STORE_OK)
		f->at = f->count; /* it was deleted: the end tells */
	if (f->at < f->count && m.keyword_count != s->box->keyword_count)
		box_write_flags(s, &m);
	for (; f->at < f->count && !session_is_full(s) && done + o.slow * FETCH_SLOW < FETCH_TURN; f->at++, done++) {
		bool is_whole;

		if (!box_read(&reader, s->box->uids[f->index[f->at]], &msg)) {
			cmd->missed_one = true;
			continue;
		}
		is_whole = fetch_answer_write(&o, &f->wanted, f->index[f->at] + 1);
		f->has_unknown_encoding = f->has_unknown_encoding || o.has_unknown_encoding;
		if (is_whole)
			continue;
		if (o.is_damaged && f->tried != msg.body && f->not_mended < FETCH_MENDS) {
			f->tried = msg.body;
			fetch_answer_end(&o);
			box_read_end(&reader);
			store_view_close(&v);
			client_mend(&s->client, msg.body, mended);
			return CMD_WANT_COMMIT;
		}
		if (!f->is_broken)
			f->why = o.why;
		f->is_broken = true;
	}
	fetch_answer_end(&o);
	box_read_end(&reader);
	store_view_close(&v);
	if (f->at < f->count)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	if (f->is_broken)
		return answer_fault(s, cmd, &f->why);
	return f->has_unknown_encoding ? answer_no(cmd, "UNKNOWN-CTE", "a part has an encoding that is not known") :
	                                 answer_ok(cmd, "done");
}

/* Where a limit was hit the highest UIDs go first, so that a client that loses the connection goes on below (RFC 9738 section 3.1). */
static enum cmd_step begin(struct session *s, struct command *cmd)
{
	struct fetching *f = cmd->state;

	for (size_t i = 0; cmd->limited_uid != 0 && i < f->count / 2; i++) {
		uint32_t swap = f->index[i];

		f->index[i] = f->index[f->count - 1 - i];
		f->index[f->count - 1 - i] = swap;
	}
	return go_on(s, cmd);
}

static void set_seen(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	struct command *cmd = s->cmd;
	struct fetching *f = cmd->state;
	const struct intent_answer *a = &sub->request.answer;
	struct bytes copy;

	if (a->result == STORE_NOT_MASTER || a->result == STORE_FAILED) {
		session_resume(s, answer_result(s, cmd, sub));
		return;
	}
	if (a->result == STORE_OK && a->uid_count > 0) { /* a full disk does not keep anybody from reading */
		copy = arena_copy(&cmd->arena, bytes_make(a->uids, a->uid_count * sizeof(*a->uids)));
		f->wanted.seen = (const void *)copy.p;
		f->wanted.seen_count = a->uid_count;
		cmd->told = f->wanted.seen;
		cmd->told_count = f->wanted.seen_count;
		cmd->told_modseq = a->modseq;
	}
	session_resume(s, begin(s, cmd));
}

/* Set \Seen on the messages that lack it. False: there is none. */
static bool submit_seen(struct session *s, struct command *cmd)
{
	struct fetching *f = cmd->state;
	struct fault why;
	struct store_view *v = store_view_open(s->client.backend->store, &why);
	struct submission *sub;
	struct message msg;
	uint32_t *unseen;
	size_t n = 0;

	if (v == NULL)
		return false;
	unseen = arena_array(&cmd->arena, f->count, sizeof(*unseen));
	for (size_t i = 0; i < f->count; i++) {
		if (store_view_message(v, s->box->id, s->box->uids[f->index[i]], &msg, &why) == STORE_OK &&
		    (msg.flags & IMAP_FLAG_SEEN) == 0)
			unseen[n++] = f->index[i];
	}
	store_view_close(&v);
	if (n == 0)
		return false;
	sub = submission_new(&s->client);
	sub->intent.op = INTENT_STORE;
	sub->intent.store = (struct intent_store){ .mailbox = s->box->id, .how = INTENT_FLAGS_ADD, .flags = IMAP_FLAG_SEEN };
	sub->intent.store.uids = box_ranges(s->box, unseen, n, &sub->arena, &sub->intent.store.uid_count);
	client_submit(&s->client, sub, set_seen);
	return true;
}

/* CHANGEDSINCE (RFC 7162 section 3.1.4.1): of the messages named those that changed since; VANISHED: tell which of the UIDs
 * named are gone since. */
static bool keep_changed(struct session *s, struct command *cmd, const struct seqset *named)
{
	struct fetching *f = cmd->state;
	struct box_changes changes;
	size_t n = 0, at = 0;

	if (!box_changes(s, cmd, cmd->c.modseq, cmd->c.wants_vanished ? named : NULL, &changes))
		return false;
	box_write_vanished(s, true, changes.gone, changes.gone_count);
	for (size_t i = 0; i < f->count; i++) {
		while (at < changes.count && changes.index[at] < f->index[i])
			at++;
		if (at < changes.count && changes.index[at] == f->index[i])
			f->index[n++] = f->index[i];
	}
	f->count = n;
	return true;
}

/* PARTIAL (RFC 9394 section 3.3): of the messages named those at these places. */
static void keep_partial(struct command *cmd)
{
	struct fetching *f = cmd->state;
	int64_t n = (int64_t)f->count, from = cmd->c.partial_from, to = cmd->c.partial_to;
	int64_t first = from < 0 ? n + to : from - 1, last = from < 0 ? n + from : to - 1;

	first = first < 0 ? 0 : first > n ? n : first;
	last = last >= n ? n - 1 : last;
	f->index += first;
	f->count = last < first ? 0 : (size_t)(last - first + 1);
}

enum cmd_step cmd_fetch(struct session *s, struct command *cmd)
{
	struct fetching *f = arena_zalloc(&cmd->arena, sizeof(*f));
	struct seqset named = cmd->c.set;
	bool sets_seen = false;

	cmd->state = f;
	/* "*" is the last message to the one, the last UID that ever was to what is gone. */
	named.ranges = arena_array(&cmd->arena, named.count, sizeof(*named.ranges));
	for (size_t i = 0; i < named.count; i++)
		named.ranges[i] = cmd->c.set.ranges[i];
	seqset_resolve(&named, s->box->last_uid);
	if (cmd->c.wants_vanished && (s->features & IMAP_F_QRESYNC) == 0)
		return answer_bad(cmd, "VANISHED needs ENABLE QRESYNC");
	if (!box_resolve(s->box, &cmd->c.set, cmd->c.is_uid, &cmd->arena, &f->index, &f->count))
		return answer_bad(cmd, "no message of that number");
	f->wanted.uid = cmd->c.is_uid && (s->features & IMAP_F_UIDONLY) == 0; /* RFC 9586: the UID stands in front */
	f->wanted.modseq = cmd->c.has_modseq;
	fetch_answer_want(&f->wanted, cmd->c.items, cmd->c.item_count);
	for (size_t i = 0; i < cmd->c.item_count; i++) {
		const struct fetch_item *item = &cmd->c.items[i];

		sets_seen = sets_seen || ((item->type == FETCH_SECTION || item->type == FETCH_RFC822 ||
		                           item->type == FETCH_RFC822_TEXT || item->type == FETCH_BINARY) &&
		                          !item->is_peek);
	}
	if (cmd->c.has_partial) {
		int64_t span = cmd->c.partial_to - cmd->c.partial_from;

		if (s->client.backend->message_limit > 0 && (uint64_t)(span < 0 ? -span : span) >= s->client.backend->message_limit)
			return limit_refuse(s, cmd);
		keep_partial(cmd);
	}
	if (cmd->c.has_modseq && !keep_changed(s, cmd, &named))
		return CMD_DONE;
	limit_cut(s, cmd, &f->index, &f->count);
	if (sets_seen && f->count > 0 && !s->box->is_readonly && (s->box->rights & ACL_SEEN) != 0 && submit_seen(s, cmd))
		return CMD_WANT_COMMIT;
	return begin(s, cmd);
}
