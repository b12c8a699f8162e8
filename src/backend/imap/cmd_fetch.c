/* FETCH, UID FETCH (RFC 3501 sections 6.4.5 and 7.4.2).
 *
 * If a body is asked for without PEEK, \Seen is set first, for all messages at once, and committed; then the answers go out
 * message by message as fast as the client takes them. ENVELOPE and structures are the texts kept since the message came.
 *
 * A message's answer goes out when all of it could be read. One whose octets are damaged waits until they are mended from another
 * member; where they cannot be it is left out, the others are answered, and the command ends with NO. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "annotation.h"
#include "answer.h"
#include "box.h"
#include "cmd_fetch.h"
#include "dispatch.h"
#include "imap_date.h"
#include "imap_flags.h"
#include "imap_writer.h"
#include "limit.h"

#define FETCH_LENT 65536   /* bodies of at least so much are handed to the connection without another copy */
#define FETCH_BATCH 16384  /* short answers are handed over together */
#define FETCH_TURN 500     /* messages in one turn of the loop */
#define FETCH_PREVIEW_READ 65536 /* octets of a message whose preview is not kept */
#define FETCH_SLOW 20      /* a message that had to be read for it counts so many in a turn */
#define FETCH_MENDS 3      /* messages that could not be mended before one command tries no more */

struct fetching {
	uint32_t *index;
	size_t count, at;
	bool wants_uid, wants_flags, wants_modseq;
	const struct uid_range *seen; /* set by this command: their FLAGS are told too */
	size_t seen_count;
	bool is_broken; /* a message could not be read */
	lsn_t tried;    /* the body that was last given to be mended */
	unsigned not_mended;
	bool has_unknown_encoding; /* a part was not to be decoded */
	struct fault why;
};

static bool was_set_seen(const struct fetching *f, uint32_t uid)
{
	size_t low = 0, high = f->seen_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->seen[mid].last < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->seen_count && f->seen[low].first <= uid;
}

/* One message's answer, in pieces: LINE is the last, and becomes one where a large body comes between. */
struct output {
	struct buffer *pieces;
	size_t count, cap;
	struct session *s;
	struct store_view *v;
	const struct mailbox *m;
	const struct message *msg;
	struct bytes blob; /* its structure, if asked for */
	bool has_blob, is_broken, has_unknown_encoding;
	bool is_damaged; /* and it may be mended */
	struct buffer line; /* of several messages; the present one's from START on */
	size_t start;
	size_t slow; /* messages that took a while */
	struct fault why;
};

static struct bytes blob_of(struct output *o)
{
	if (!o->has_blob) {
		o->has_blob = true;
		if (store_view_structure(o->v, o->msg->body, &o->blob, &o->why) == STORE_FAILED)
			o->is_broken = true;
	}
	return o->blob;
}

static void free_lent(void *arg)
{
	free(arg);
}

/* Take B, which is then empty, as the next piece. What stands in the line of messages before this one goes out first. */
static void add_piece(struct output *o, struct buffer *b)
{
	if (b == &o->line && o->start > 0) {
		session_write(o->s, bytes_sub(buffer_bytes(b), 0, o->start));
		buffer_drop_front(b, o->start);
		o->start = 0;
	}
	if (o->count == o->cap) {
		o->cap = o->cap == 0 ? 4 : o->cap * 2;
		o->pieces = must_realloc(o->pieces, o->cap, sizeof(*o->pieces));
	}
	o->pieces[o->count++] = *b;
	*b = (struct buffer){ 0 };
}

/* Send all pieces, or drop them. */
static void end_pieces(struct output *o, bool is_sent)
{
	struct conn *c = o->s->client.conn;

	for (size_t i = 0; i < o->count; i++) {
		struct buffer *b = &o->pieces[i];

		if (is_sent && b->n >= FETCH_LENT && c != NULL) {
			conn_write_lent(c, buffer_bytes(b), free_lent, b->p);
			continue;
		}
		if (is_sent)
			session_write(o->s, buffer_bytes(b));
		buffer_fini(b);
	}
	o->count = 0;
}

/* The message is written whole, or to be dropped (IS_SENT false). */
static void end_message(struct output *o, bool is_sent)
{
	if (o->count > 0) {
		add_piece(o, &o->line);
		end_pieces(o, is_sent);
		return;
	}
	if (!is_sent)
		o->line.n = o->start;
	if (o->line.n >= FETCH_BATCH) {
		session_write(o->s, buffer_bytes(&o->line));
		buffer_clear(&o->line);
	}
}

static void end_output(struct output *o)
{
	session_write(o->s, buffer_bytes(&o->line));
	buffer_fini(&o->line);
	free(o->pieces);
}

static bool read_body(struct output *o, uint64_t off, uint64_t len, struct buffer *to)
{
	enum store_result result = store_view_body(o->v, o->msg->body, off, (size_t)len, to, &o->why);

	o->is_damaged = o->is_damaged || result == STORE_DAMAGED;
	return result == STORE_OK;
}

/* A literal of LEN octets of the body from OFF on. */
static void write_body(struct output *o, uint64_t off, uint64_t len)
{
	struct buffer body = { 0 };

	imap_write_literal_head(&o->line, len, false);
	if (len == 0)
		return;
	if (!read_body(o, off, len, &body) || body.n != len) {
		o->is_broken = true;
		buffer_fini(&body);
		return;
	}
	if (len < FETCH_LENT) {
		buffer_add(&o->line, buffer_bytes(&body));
		buffer_fini(&body);
		return;
	}
	add_piece(o, &o->line);
	add_piece(o, &body);
}

static void clamp(const struct fetch_item *item, uint64_t *off, uint64_t *len)
{
	uint64_t skip;

	if (!item->has_partial)
		return;
	skip = item->offset < *len ? item->offset : *len;
	*off += skip;
	*len -= skip;
	if (*len > item->length)
		*len = item->length;
}

static void write_label(struct output *o, const struct fetch_item *item)
{
	buffer_add(&o->line, item->text);
	if (item->has_partial)
		buffer_addf(&o->line, "<%u>", item->offset);
	buffer_add_u8(&o->line, ' ');
}

/* Whether all fields of ITEM are kept beside the message: *fields_r is lent as long as the view. */
static bool has_kept_fields(struct output *o, const struct fetch_item *item, struct bytes *fields_r)
{
	int64_t sent;

	if (item->kind != SECTION_FIELDS || item->part_count > 0)
		return false;
	for (size_t i = 0; i < item->field_count; i++) {
		if (!mime_is_kept_field(item->fields[i]))
			return false;
	}
	return mime_blob_header(blob_of(o), fields_r, &sent);
}

/* HEADER.FIELDS and .NOT: made from the header. */
static void write_fields(struct output *o, const struct fetch_item *item, uint64_t off, uint64_t len)
{
	struct buffer header = { 0 }, picked = { 0 };
	struct bytes fields;
	uint64_t from = 0, n;

	if (!has_kept_fields(o, item, &fields)) {
		if (len > 0 && !read_body(o, off, len, &header))
			o->is_broken = true;
		fields = buffer_bytes(&header);
	}
	mime_header_fields(&picked, fields, item->fields, item->field_count, item->kind == SECTION_FIELDS_NOT);
	n = picked.n;
	clamp(item, &from, &n);
	imap_write_literal_head(&o->line, n, false);
	buffer_add(&o->line, bytes_sub(buffer_bytes(&picked), (size_t)from, (size_t)n));
	buffer_fini(&header);
	buffer_fini(&picked);
}

static void write_section(struct output *o, const struct fetch_item *item)
{
	static const enum mime_section kinds[] = {
		[SECTION_ALL] = MIME_ALL,       [SECTION_HEADER] = MIME_HEADER,     [SECTION_FIELDS] = MIME_HEADER,
		[SECTION_FIELDS_NOT] = MIME_HEADER, [SECTION_TEXT] = MIME_TEXT, [SECTION_MIME] = MIME_MIME,
	};
	uint64_t off = 0, len = o->msg->size;

	write_label(o, item);
	if ((item->kind != SECTION_ALL || item->part_count > 0) &&
	    !mime_blob_section(blob_of(o), item->parts, item->part_count, kinds[item->kind], &off, &len)) {
		buffer_add_str(&o->line, "NIL");
		return;
	}
	if (item->kind == SECTION_FIELDS || item->kind == SECTION_FIELDS_NOT) {
		write_fields(o, item, off, len);
		return;
	}
	clamp(item, &off, &len);
	write_body(o, off, len);
}

/* BINARY: the part without its encoding (RFC 3516 section 4). The message as a whole has none. */
static void write_binary(struct output *o, const struct fetch_item *item)
{
	struct buffer header = { 0 }, body = { 0 }, decoded = { 0 };
	uint64_t off = 0, len = o->msg->size, head_off = 0, head_len = 0, from = 0, n;
	bool is_there = item->part_count == 0 ||
	                (mime_blob_section(blob_of(o), item->parts, item->part_count, MIME_ALL, &off, &len) &&
	                 mime_blob_section(blob_of(o), item->parts, item->part_count, MIME_MIME, &head_off, &head_len));

	if (item->type == FETCH_BINARY)
		write_label(o, item);
	if (is_there && ((head_len > 0 && !read_body(o, head_off, head_len, &header)) || (len > 0 && !read_body(o, off, len, &body))))
		o->is_broken = true;
	else if (is_there && !mime_decode_part(buffer_bytes(&header), buffer_bytes(&body), &decoded))
		o->has_unknown_encoding = true;
	n = decoded.n;
	clamp(item, &from, &n);
	if (item->type == FETCH_BINARY_SIZE) {
		buffer_add(&o->line, item->text);
		buffer_addf(&o->line, " %zu", decoded.n);
	} else if (!is_there || o->has_unknown_encoding) {
		buffer_add_str(&o->line, "NIL");
	} else {
		struct bytes piece = bytes_sub(buffer_bytes(&decoded), (size_t)from, (size_t)n);

		if (bytes_find(piece, '\0') < piece.n)
			buffer_add_u8(&o->line, '~'); /* literal8 */
		imap_write_literal_head(&o->line, n, false);
		buffer_add(&o->line, piece);
	}
	buffer_fini(&header);
	buffer_fini(&body);
	buffer_fini(&decoded);
}

static void write_rfc822(struct output *o, enum fetch_type type)
{
	uint64_t off = 0, len = o->msg->size;

	buffer_add_str(&o->line, type == FETCH_RFC822 ? "RFC822 " : type == FETCH_RFC822_HEADER ? "RFC822.HEADER " : "RFC822.TEXT ");
	if (type != FETCH_RFC822 &&
	    !mime_blob_section(blob_of(o), NULL, 0, type == FETCH_RFC822_HEADER ? MIME_HEADER : MIME_TEXT, &off, &len)) {
		buffer_add_str(&o->line, "NIL");
		return;
	}
	write_body(o, off, len);
}

static void write_kept(struct output *o, const char *label, struct bytes text)
{
	buffer_add_str(&o->line, label);
	if (text.n > 0)
		buffer_add(&o->line, text);
	else
		buffer_add_str(&o->line, "NIL");
}

static void write_flags(struct output *o)
{
	buffer_add_str(&o->line, "FLAGS ");
	imap_write_flags(&o->line, o->msg->flags, box_is_recent(o->s->box, o->msg->uid), o->msg->keywords, o->m->keywords,
	                 o->m->keyword_count);
}

/* The body's hash: copies have the same one, and so has a message that comes again. */
static void write_email_id(struct output *o)
{
	uint64_t hash = 0;

	if (store_view_body_hash(o->v, o->msg->body, &hash, &o->why) != STORE_OK)
		o->is_broken = true;
	buffer_addf(&o->line, "EMAILID (E%016llx)", (unsigned long long)hash);
}

/* RFC 8970. Of a message from before it was kept it is made from the beginning, unless that may wait. */
static void write_preview(struct output *o, bool is_lazy)
{
	struct buffer body = { 0 }, made = { 0 };
	struct bytes text;
	bool has = mime_blob_preview(blob_of(o), &text);

	if (!has && !is_lazy) {
		o->slow++;
		has = read_body(o, 0, FETCH_PREVIEW_READ, &body);
		o->is_broken = o->is_broken || !has;
		mime_preview(buffer_bytes(&body), &o->s->client.backend->mime_limits, &made);
		text = buffer_bytes(&made);
	}
	buffer_add_str(&o->line, "PREVIEW ");
	if (!has)
		buffer_add_str(&o->line, "NIL");
	else
		imap_write_string(&o->line, text, false);
	buffer_fini(&body);
	buffer_fini(&made);
}

static void write_item(struct output *o, const struct fetch_item *item)
{
	switch (item->type) {
	case FETCH_UID:
	case FETCH_FLAGS:
		break; /* written before the others */
	case FETCH_INTERNALDATE:
		buffer_add_str(&o->line, "INTERNALDATE ");
		imap_datetime_write(&o->line, o->msg->internaldate);
		break;
	case FETCH_MODSEQ:
		break; /* with FLAGS */
	case FETCH_SIZE:
		buffer_add_str(&o->line, "RFC822.SIZE ");
		buffer_add_u64(&o->line, o->msg->size);
		break;
	case FETCH_ENVELOPE:
		write_kept(o, "ENVELOPE ", mime_blob_envelope(blob_of(o)));
		break;
	case FETCH_BODY:
		write_kept(o, "BODY ", mime_blob_body(blob_of(o)));
		break;
	case FETCH_BODYSTRUCTURE:
		write_kept(o, "BODYSTRUCTURE ", mime_blob_bodystructure(blob_of(o)));
		break;
	case FETCH_ANNOTATION:
		(void)annotation_write(o->s, o->v, o->s->box->id, o->msg->uid, item, &o->line);
		break;
	case FETCH_EMAILID:
		write_email_id(o);
		break;
	case FETCH_THREADID: /* RFC 8474 section 5.2: threads are not kept */
		buffer_add_str(&o->line, "THREADID NIL");
		break;
	case FETCH_BINARY:
	case FETCH_BINARY_SIZE:
		write_binary(o, item);
		break;
	case FETCH_PREVIEW:
		write_preview(o, item->is_lazy);
		break;
	case FETCH_SAVEDATE: /* RFC 8514 section 4.2 */
		buffer_add_str(&o->line, "SAVEDATE ");
		if (o->msg->savedate == 0)
			buffer_add_str(&o->line, "NIL");
		else
			imap_datetime_write(&o->line, o->msg->savedate);
		break;
	case FETCH_SECTION:
		write_section(o, item);
		break;
	case FETCH_RFC822:
	case FETCH_RFC822_HEADER:
	case FETCH_RFC822_TEXT:
		write_rfc822(o, item->type);
		break;
	}
}

/* What is short goes first, so that a client knows which message it is before the body comes: UID and FLAGS. False: the body
 * could not be read, and nothing was sent. */
static bool write_message(struct output *o, struct command *cmd, uint32_t number)
{
	const struct fetching *f = cmd->state;
	bool has_flags = f->wants_flags || was_set_seen(f, o->msg->uid);
	bool by_uid = (o->s->features & IMAP_F_UIDONLY) != 0, is_empty;
	const char *blank = "";
	size_t before;

	o->start = o->line.n;
	o->has_blob = o->is_broken = o->has_unknown_encoding = o->is_damaged = false;
	buffer_add_str(&o->line, "* ");
	buffer_add_u64(&o->line, by_uid ? o->msg->uid : number);
	buffer_add_str(&o->line, by_uid ? " UIDFETCH (" : " FETCH (");
	if (f->wants_uid || (has_flags && !by_uid && (o->s->features & IMAP_F_QRESYNC) != 0)) {
		buffer_add_str(&o->line, "UID ");
		buffer_add_u64(&o->line, o->msg->uid);
		blank = " ";
	}
	if (has_flags) {
		buffer_add_str(&o->line, blank);
		write_flags(o);
		blank = " ";
	}
	if (f->wants_modseq || (has_flags && (o->s->features & IMAP_F_CONDSTORE) != 0)) {
		buffer_addf(&o->line, "%sMODSEQ (%llu)", blank, (unsigned long long)o->msg->modseq);
		blank = " ";
	}
	for (size_t i = 0; i < cmd->c.item_count; i++) {
		if (cmd->c.items[i].type == FETCH_UID || cmd->c.items[i].type == FETCH_FLAGS ||
		    cmd->c.items[i].type == FETCH_MODSEQ)
			continue;
		before = o->line.n;
		buffer_add_str(&o->line, blank);
		write_item(o, &cmd->c.items[i]);
		/* Annotations that are not there have no item. */
		if (cmd->c.items[i].type == FETCH_ANNOTATION && o->line.n == before + strlen(blank))
			o->line.n = before;
		else
			blank = " ";
	}
	is_empty = blank[0] == '\0';
	buffer_add_str(&o->line, ")\r\n");
	end_message(o, !o->is_broken && !is_empty);
	return !o->is_broken;
}

void fetch_tell(struct session *s, struct store_view *v, const struct mailbox *m, uint32_t number, const struct message *msg,
                const struct fetch_item *items, size_t count)
{
	struct fetching f = { .wants_uid = false };
	struct command cmd = { .state = &f };
	struct output o = { .s = s, .v = v, .m = m, .msg = msg };

	cmd.c.items = (struct fetch_item *)(uintptr_t)items;
	cmd.c.item_count = count;
	for (size_t i = 0; i < count; i++) {
		f.wants_uid = f.wants_uid || items[i].type == FETCH_UID;
		f.wants_flags = f.wants_flags || items[i].type == FETCH_FLAGS;
		f.wants_modseq = f.wants_modseq || items[i].type == FETCH_MODSEQ;
	}
	(void)write_message(&o, &cmd, number);
	end_output(&o);
}

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
	struct output o = { .s = s, .m = &m, .msg = &msg };
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
		is_whole = write_message(&o, cmd, f->index[f->at] + 1);
		f->has_unknown_encoding = f->has_unknown_encoding || o.has_unknown_encoding;
		if (is_whole)
			continue;
		if (o.is_damaged && f->tried != msg.body && f->not_mended < FETCH_MENDS) {
			f->tried = msg.body;
			end_output(&o);
			box_read_end(&reader);
			store_view_close(&v);
			client_mend(&s->client, msg.body, mended);
			return CMD_WANT_COMMIT;
		}
		if (!f->is_broken)
			f->why = o.why;
		f->is_broken = true;
	}
	end_output(&o);
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
		f->seen = (const void *)copy.p;
		f->seen_count = a->uid_count;
		cmd->told = f->seen;
		cmd->told_count = f->seen_count;
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
	f->wants_uid = cmd->c.is_uid && (s->features & IMAP_F_UIDONLY) == 0; /* RFC 9586: the UID stands in front */
	f->wants_modseq = cmd->c.has_modseq;
	for (size_t i = 0; i < cmd->c.item_count; i++) {
		const struct fetch_item *item = &cmd->c.items[i];

		f->wants_uid = f->wants_uid || item->type == FETCH_UID;
		f->wants_flags = f->wants_flags || item->type == FETCH_FLAGS;
		f->wants_modseq = f->wants_modseq || item->type == FETCH_MODSEQ;
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
