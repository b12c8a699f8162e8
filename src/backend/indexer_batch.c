/* indexer_batch.c - reading messages that are not in the index yet, and writing their texts to it, many at a time.
 *
 * Of each mailbox all messages below a UID are in: the next ones are read from a view, which is opened anew every some MiB, as one that
 * is kept open keeps the index from using its pages again. A batch is written in one transaction, sorted by scopes, with the mailboxes'
 * new UIDs. If the history became another since it was read (indexer_replaced()) it is dropped.
 *
 * A text is what SEARCH looks at: all fields and text parts of the message, decoded and folded, TEXT_MAX octets at most. One that is not
 * all there, because it is longer, cannot be read, or has a header that HEADER sees more of, is noted as such, and looked at each time. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "alloc.h"
#include "indexer_private.h"
#include "store_mend.h"

#define BATCH_OCTETS (4u << 20)
#define BATCH_ROWS 4000
#define BATCH_MAILBOXES 4000
#define TEXT_MAX (1u << 20)
/* Read through one view. */
#define VIEW_OCTETS (8u << 20)
#define VIEW_ROWS 500
#define KEEP_BUFFER (1u << 20)
/* What is left of the disk for mail. */
#define FREE_MIN (128u << 20)

void batch_drop(struct indexer *ix)
{
	struct batch *b = &ix->batch;
	struct fault ignored;

	if (b->is_open)
		(void)fulltext_end(ix->text, false, &ignored);
	b->is_open = false;
	buffer_clear(&b->headers);
	buffer_clear(&b->texts);
	b->row_count = b->mailbox_count = 0;
	b->lsn = 0;
}

void batch_fini(struct batch *b)
{
	buffer_fini(&b->headers);
	buffer_fini(&b->texts);
	free(b->rows);
	free(b->mailboxes);
	*b = (struct batch){ 0 };
}

/* False always: what failed in the transaction ends the round. */
static bool broken(struct indexer *ix)
{
	struct fault why = { 0 };
	enum fulltext_result result = fulltext_end(ix->text, false, &why);

	ix->batch.is_open = false;
	batch_drop(ix);
	if (result != FULLTEXT_OK)
		files_failed(ix, result, &why);
	return false;
}

/* Before a batch's first view is opened: what the view has may be of an older history, not of a newer one. */
static void note_generation(struct indexer *ix)
{
	if (ix->batch.is_open)
		return;
	(void)pthread_mutex_lock(&ix->history);
	ix->batch.generation = ix->generation;
	(void)pthread_mutex_unlock(&ix->history);
}

static bool begin(struct indexer *ix)
{
	struct batch *b = &ix->batch;
	struct statvfs st;
	struct fault why;

	if (b->is_open)
		return true;
	if (statvfs(ix->dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < FREE_MIN) {
		(void)fault_set(&why, FAULT_OPERATOR, "%s: less than %u MiB are free on the disk: mail is taken, the search index is not kept up",
		                ix->dir, FREE_MIN >> 20);
		files_failed(ix, FULLTEXT_NO_SPACE, &why);
		return false;
	}
	b->is_open = fulltext_begin(ix->text);
	return b->is_open || broken(ix);
}

static int compare_rows(const void *a, const void *b)
{
	const struct batch_row *x = a, *y = b;

	if (x->scope != y->scope)
		return x->scope < y->scope ? -1 : 1;
	return x->body < y->body ? -1 : x->body > y->body;
}

/* Commit, unless the history is another by now. */
static bool commit(struct indexer *ix, epoch_t epoch, enum fulltext_result *result_r, struct fault *why)
{
	bool is_same;

	(void)pthread_mutex_lock(&ix->history);
	is_same = ix->batch.generation == ix->generation;
	*result_r = fulltext_end(ix->text, is_same, why);
	if (is_same && *result_r == FULLTEXT_OK) {
		ix->lsn = ix->batch.lsn;
		ix->epoch = epoch;
	}
	(void)pthread_mutex_unlock(&ix->history);
	ix->batch.is_open = false;
	return is_same;
}

/* By scopes and bodies, each once: it may have come into two mailboxes of one scope. */
static void sort_rows(struct batch *b)
{
	size_t n = 0;

	qsort(b->rows, b->row_count, sizeof(*b->rows), compare_rows);
	for (size_t i = 0; i < b->row_count; i++) {
		if (n == 0 || compare_rows(&b->rows[n - 1], &b->rows[i]) != 0)
			b->rows[n++] = b->rows[i];
	}
	b->row_count = n;
}

/* The texts of one scope: headers first. False: it failed, or the end. */
static bool write_scope(struct indexer *ix, struct batch_row *rows, size_t count)
{
	struct bytes headers = buffer_bytes(&ix->batch.headers), texts = buffer_bytes(&ix->batch.texts);

	for (size_t i = 0; i < count; i++) {
		struct batch_row *r = &rows[i];

		if (atomic_load(&ix->is_ending) || !fulltext_add(ix->text, r->scope, r->body, &r->at) ||
		    !fulltext_add_text(ix->text, r->at, FULLTEXT_HEADER, bytes_sub(headers, r->header_off, r->header_n), r->is_whole))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		const struct batch_row *r = &rows[i];

		if (atomic_load(&ix->is_ending) ||
		    !fulltext_add_text(ix->text, r->at, FULLTEXT_BODY, bytes_sub(texts, r->off, r->n), r->is_whole))
			return false;
	}
	return true;
}

/* Of the newest entry that the batch has something of. False: the partition is being replaced. */
static bool find_epoch(struct indexer *ix, epoch_t *epoch_r)
{
	struct fault ignored;
	struct store_view *v = store_view_open(ix->store, &ignored);

	if (v == NULL)
		return false;
	*epoch_r = store_entry_epoch(ix->store, ix->batch.lsn);
	store_view_close(&v);
	return true;
}

bool batch_flush(struct indexer *ix)
{
	struct batch *b = &ix->batch;
	enum fulltext_result result;
	struct fault why;
	epoch_t epoch;
	bool is_same;

	if (!b->is_open)
		return true;
	if (!find_epoch(ix, &epoch)) {
		batch_drop(ix);
		return false;
	}
	sort_rows(b);
	for (size_t i = 0, end; i < b->row_count; i = end) {
		for (end = i + 1; end < b->row_count && b->rows[end].scope == b->rows[i].scope;)
			end++;
		if (!write_scope(ix, &b->rows[i], end - i))
			return broken(ix);
	}
	for (size_t i = 0; i < b->mailbox_count; i++) {
		if (!fulltext_put_mailbox(ix->text, b->mailboxes[i].id, &b->mailboxes[i].m))
			return broken(ix);
	}
	if (!fulltext_set_fact(ix->text, FULLTEXT_LSN, b->lsn) || !fulltext_set_fact(ix->text, FULLTEXT_EPOCH, epoch))
		return broken(ix);
	is_same = commit(ix, epoch, &result, &why);
	batch_drop(ix);
	if (result == FULLTEXT_OK)
		result = fulltext_checkpoint(ix->text, &why);
	if (result != FULLTEXT_OK)
		files_failed(ix, result, &why);
	atomic_store(&ix->texts, fulltext_texts(ix->text));
	atomic_store(&ix->octets, files_octets(ix));
	if (is_same && result == FULLTEXT_OK)
		ix->told = INDEXER_CURRENT;
	return is_same && result == FULLTEXT_OK;
}

/* Mail moves within what is one user's: "user.fred" of "user.fred.Sent", else all below one name of the top level. */
static struct bytes scope_name(struct bytes name)
{
	size_t start = bytes_find(name, '!');
	struct bytes rest;
	size_t n;

	start = start < name.n ? start + 1 : 0;
	rest = bytes_from(name, start);
	n = bytes_find(rest, '.');
	if (bytes_equal_str(bytes_sub(rest, 0, n), "user") && n < rest.n)
		n += 1 + bytes_find(bytes_from(rest, n + 1), '.');
	return bytes_sub(name, 0, start + n);
}

struct collecting {
	struct buffer *headers, *texts;
	size_t room;
	bool is_whole;
};

/* mime_text_fn. */
static bool collect(void *arg, struct bytes text, unsigned what)
{
	struct collecting *c = arg;
	struct buffer *to = (what & MIME_TEXT_HEADER) != 0 ? c->headers : c->texts;

	c->is_whole = text.n < c->room;
	text = bytes_sub(text, 0, c->room);
	c->room -= text.n + c->is_whole;
	if ((what & MIME_TEXT_ASCII) != 0)
		bytes_lower(buffer_reserve(to, text.n), text);
	else if (text.n > 0)
		memcpy(buffer_reserve(to, text.n), text.p, text.n);
	to->n += text.n;
	buffer_add_u8(to, '\n');
	return !c->is_whole;
}

/* Whether HEADER finds nothing in MESSAGE's header that is not among its texts: all of it was looked at, and no name runs into what stands
 * behind it. */
static bool has_plain_header(struct bytes message, const struct mime_limits *limits)
{
	struct bytes header = mime_header_of(message), name, body;

	if (header.n > limits->header)
		return false;
	while (mime_next_field(&header, &name, &body)) {
		if (bytes_search(name, BYTES_LIT("=?")) < name.n)
			return false;
	}
	return true;
}

static void read_text(struct indexer *ix, struct store_view *v, const struct message *msg, struct buffer *octets, struct batch_row *row)
{
	struct batch *b = &ix->batch;
	struct collecting c = { &b->headers, &b->texts, TEXT_MAX, false };
	struct fault ignored;
	struct bytes message;

	buffer_clear(octets);
	row->header_off = b->headers.n;
	row->off = b->texts.n;
	if (store_view_body(v, msg->body, 0, msg->size, octets, &ignored) == STORE_OK) {
		message = buffer_bytes(octets);
		c.is_whole = true;
		(void)mime_each_text(message, ix->limits, true, collect, &c);
		c.is_whole = c.is_whole && has_plain_header(message, ix->limits);
	}
	row->header_n = b->headers.n - row->header_off;
	row->n = b->texts.n - row->off;
	row->is_whole = c.is_whole;
}

static struct batch_row *new_row(struct batch *b)
{
	if (b->row_count == b->row_cap) {
		b->row_cap = b->row_cap == 0 ? 256 : b->row_cap * 2;
		b->rows = must_realloc(b->rows, b->row_cap, sizeof(*b->rows));
	}
	return &b->rows[b->row_count++];
}

static void note_mailbox(struct batch *b, mailbox_id_t id, const struct fulltext_mailbox *m)
{
	if (b->mailbox_count > 0 && b->mailboxes[b->mailbox_count - 1].id == id) {
		b->mailboxes[b->mailbox_count - 1].m = *m;
		return;
	}
	if (b->mailbox_count == b->mailbox_cap) {
		b->mailbox_cap = b->mailbox_cap == 0 ? 256 : b->mailbox_cap * 2;
		b->mailboxes = must_realloc(b->mailboxes, b->mailbox_cap, sizeof(*b->mailboxes));
	}
	b->mailboxes[b->mailbox_count++] = (struct batch_mailbox){ id, *m };
}

static bool is_full(const struct batch *b)
{
	return b->headers.n + b->texts.n >= BATCH_OCTETS || b->row_count >= BATCH_ROWS || b->mailbox_count >= BATCH_MAILBOXES;
}

/* Read the messages of mailbox ID from m->next on, as many as one view and the batch take; m->next goes up. False: it failed. */
static bool read_some(struct indexer *ix, struct store_view *v, mailbox_id_t id, struct fulltext_mailbox *m, uint32_t uidnext)
{
	struct batch *b = &ix->batch;
	struct buffer octets = { 0 };
	struct view_messages it;
	struct message msg;
	uint64_t read = 0;
	bool ok = true, has, is_over = false;

	store_view_messages(v, id, m->next, &it);
	for (unsigned n = 0; ok && !is_over; n++) {
		if (n == VIEW_ROWS || read > VIEW_OCTETS || is_full(b) || atomic_load(&ix->is_ending))
			break;
		if (!view_messages_next(&it, &msg)) {
			m->next = uidnext;
			is_over = true;
			break;
		}
		ok = fulltext_has(ix->text, m->scope, msg.body, &has);
		if (ok && !has) {
			struct batch_row *row = new_row(b);

			row->scope = m->scope;
			row->body = msg.body;
			read_text(ix, v, &msg, &octets, row);
			read += msg.size;
			if (octets.cap > KEEP_BUFFER)
				buffer_fini(&octets);
		}
		m->next = msg.uid + 1;
	}
	ok = ok && it.result == STORE_OK;
	view_messages_end(&it);
	buffer_fini(&octets);
	return ok;
}

/* As far as one view goes. *is_over_r: all of it is in, or it is gone. */
static bool take_some(struct indexer *ix, mailbox_id_t id, struct fulltext_mailbox *m, bool *is_over_r)
{
	struct fault why;
	struct store_view *v;
	struct mailbox box;
	bool ok;

	*is_over_r = true;
	note_generation(ix);
	v = store_view_open(ix->store, &why);
	if (v == NULL) /* a copy is being put in its place, or there are too many readers */
		return false;
	if (store_view_mailbox_by_id(v, id, &box, &why) != STORE_OK || box.uidnext <= (m->next > 0 ? m->next : 1)) {
		store_view_close(&v);
		return true;
	}
	ok = begin(ix);
	if (ok && m->next == 0) {
		m->next = 1;
		ok = fulltext_scope(ix->text, scope_name(box.name), &m->scope) || broken(ix);
	}
	if (ok) {
		ok = read_some(ix, v, id, m, box.uidnext) || broken(ix);
		*is_over_r = m->next >= box.uidnext;
	}
	if (ok) {
		lsn_t lsn = store_view_lsn(v);

		ix->batch.lsn = lsn > ix->batch.lsn ? lsn : ix->batch.lsn;
		note_mailbox(&ix->batch, id, m);
	}
	store_view_close(&v);
	return ok;
}

bool batch_take_mailbox(struct indexer *ix, mailbox_id_t id)
{
	struct fulltext_mailbox m;
	bool is_over = false;

	if (!fulltext_mailbox(ix->text, id, &m))
		return broken(ix);
	while (!is_over) {
		if (!take_some(ix, id, &m, &is_over) || atomic_load(&ix->is_ending)) {
			batch_drop(ix);
			return false;
		}
		if (is_full(&ix->batch) && !batch_flush(ix))
			return false;
	}
	return true;
}
