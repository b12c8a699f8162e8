/* fetch_answer.c - one message's FETCH response. ENVELOPE and structures are the texts kept since the message came.
 *
 * A message's answer goes out when all of it could be read. */
#include "fetch_answer.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "annotation.h"
#include "box.h"
#include "imap_date.h"
#include "imap_flags.h"
#include "imap_writer.h"

#define FETCH_LENT 65536   /* bodies of at least so much are handed to the connection without another copy */
#define FETCH_BATCH 16384  /* short answers are handed over together */
#define FETCH_PREVIEW_READ 65536 /* octets of a message whose preview is not kept */

static bool was_set_seen(const struct fetch_wanted *w, uint32_t uid)
{
	size_t low = 0, high = w->seen_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (w->seen[mid].last < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < w->seen_count && w->seen[low].first <= uid;
}

static struct bytes blob_of(struct fetch_answer *o)
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
static void add_piece(struct fetch_answer *o, struct buffer *b)
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
static void end_pieces(struct fetch_answer *o, bool is_sent)
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
static void end_message(struct fetch_answer *o, bool is_sent)
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

void fetch_answer_end(struct fetch_answer *o)
{
	session_write(o->s, buffer_bytes(&o->line));
	buffer_fini(&o->line);
	free(o->pieces);
}

static bool read_body(struct fetch_answer *o, uint64_t off, uint64_t len, struct buffer *to)
{
	enum store_result result = store_view_body(o->v, o->msg->body, off, (size_t)len, to, &o->why);

	o->is_damaged = o->is_damaged || result == STORE_DAMAGED;
	return result == STORE_OK;
}

/* A literal of LEN octets of the body from OFF on. */
static void write_body(struct fetch_answer *o, uint64_t off, uint64_t len)
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

static void write_label(struct fetch_answer *o, const struct fetch_item *item)
{
	buffer_add(&o->line, item->text);
	if (item->has_partial)
		buffer_addf(&o->line, "<%u>", item->offset);
	buffer_add_u8(&o->line, ' ');
}

/* Whether all fields of ITEM are kept beside the message: *fields_r is lent as long as the view. */
static bool has_kept_fields(struct fetch_answer *o, const struct fetch_item *item, struct bytes *fields_r)
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
static void write_fields(struct fetch_answer *o, const struct fetch_item *item, uint64_t off, uint64_t len)
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

static void write_section(struct fetch_answer *o, const struct fetch_item *item)
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
static void write_binary(struct fetch_answer *o, const struct fetch_item *item)
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

static void write_rfc822(struct fetch_answer *o, enum fetch_type type)
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

static void write_kept(struct fetch_answer *o, const char *label, struct bytes text)
{
	buffer_add_str(&o->line, label);
	if (text.n > 0)
		buffer_add(&o->line, text);
	else
		buffer_add_str(&o->line, "NIL");
}

static void write_flags(struct fetch_answer *o)
{
	buffer_add_str(&o->line, "FLAGS ");
	imap_write_flags(&o->line, o->msg->flags, box_is_recent(o->s->box, o->msg->uid), o->msg->keywords, o->m->keywords,
	                 o->m->keyword_count);
}

/* The body's hash: copies have the same one, and so has a message that comes again. */
static void write_email_id(struct fetch_answer *o)
{
	uint64_t hash = 0;

	if (store_view_body_hash(o->v, o->msg->body, &hash, &o->why) != STORE_OK)
		o->is_broken = true;
	buffer_addf(&o->line, "EMAILID (E%016llx)", (unsigned long long)hash);
}

/* RFC 8970. Of a message from before it was kept it is made from the beginning, unless that may wait. */
static void write_preview(struct fetch_answer *o, bool is_lazy)
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

static void write_item(struct fetch_answer *o, const struct fetch_item *item)
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

/* What is short goes first, so that a client knows which message it is before the body comes: UID and FLAGS. */
bool fetch_answer_write(struct fetch_answer *o, const struct fetch_wanted *w, uint32_t number)
{
	bool has_flags = w->flags || was_set_seen(w, o->msg->uid);
	bool by_uid = (o->s->features & IMAP_F_UIDONLY) != 0, is_empty;
	const char *blank = "";
	size_t before;

	o->start = o->line.n;
	o->has_blob = o->is_broken = o->has_unknown_encoding = o->is_damaged = false;
	buffer_add_str(&o->line, "* ");
	buffer_add_u64(&o->line, by_uid ? o->msg->uid : number);
	buffer_add_str(&o->line, by_uid ? " UIDFETCH (" : " FETCH (");
	if (w->uid || (has_flags && !by_uid && (o->s->features & IMAP_F_QRESYNC) != 0)) {
		buffer_add_str(&o->line, "UID ");
		buffer_add_u64(&o->line, o->msg->uid);
		blank = " ";
	}
	if (has_flags) {
		buffer_add_str(&o->line, blank);
		write_flags(o);
		blank = " ";
	}
	if (w->modseq || (has_flags && (o->s->features & IMAP_F_CONDSTORE) != 0)) {
		buffer_addf(&o->line, "%sMODSEQ (%llu)", blank, (unsigned long long)o->msg->modseq);
		blank = " ";
	}
	for (size_t i = 0; i < w->count; i++) {
		const struct fetch_item *item = &w->items[i];

		if (item->type == FETCH_UID || item->type == FETCH_FLAGS || item->type == FETCH_MODSEQ)
			continue;
		before = o->line.n;
		buffer_add_str(&o->line, blank);
		write_item(o, item);
		/* Annotations that are not there have no item. */
		if (item->type == FETCH_ANNOTATION && o->line.n == before + strlen(blank))
			o->line.n = before;
		else
			blank = " ";
	}
	is_empty = blank[0] == '\0';
	buffer_add_str(&o->line, ")\r\n");
	end_message(o, !o->is_broken && !is_empty);
	return !o->is_broken;
}

void fetch_answer_want(struct fetch_wanted *w, const struct fetch_item *items, size_t count)
{
	w->items = items;
	w->count = count;
	for (size_t i = 0; i < count; i++) {
		w->uid = w->uid || items[i].type == FETCH_UID;
		w->flags = w->flags || items[i].type == FETCH_FLAGS;
		w->modseq = w->modseq || items[i].type == FETCH_MODSEQ;
	}
}

void fetch_answer_tell(struct session *s, struct store_view *v, const struct mailbox *m, uint32_t number, const struct message *msg,
                       const struct fetch_item *items, size_t count)
{
	struct fetch_wanted w = { .items = NULL };
	struct fetch_answer o = { .s = s, .v = v, .m = m, .msg = msg };

	fetch_answer_want(&w, items, count);
	(void)fetch_answer_write(&o, &w, number);
	fetch_answer_end(&o);
}
