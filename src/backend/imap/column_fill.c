/* column_fill.c - a draft for each column that lacks messages: what those are compared by is read, in the order of UIDs, for all drafts
 * at once; then a draft is sorted, pieces first, then pass by pass pairs of pieces; then it is merged with the column that was there,
 * which is sorted already, and the ranks are given anew. What has no place in the session's picture of the mailbox any more is left
 * out of the new column.
 *
 * A column with a message that could not be read is used for this command only. */
#include "column_fill.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "imap_envelope.h"
#include "threads.h"

#define FILL_TURN_NS 5000000u
#define FILL_PIECE 4096  /* messages */
#define FILL_TEXT_MAX 1024 /* octets of one text: what is longer is compared by its beginning */
#define FILL_IDS_MAX 200 /* of one message: the newest references count */

/* What a row is sorted by: the number, or the beginning of the text, so that greater is later; then the text. */
struct sort_item {
	uint64_t key;
	uint32_t row;
};

struct column_draft {
	struct column *before; /* held; NULL: none */
	size_t before_at;      /* rows of it below the UID that is looked at */
	struct column *rows;   /* the new ones; no ranks yet */
	size_t cap, octets_cap, ids_cap, octets_count, ids_count;
	bool is_partial;       /* a message could not be read */
	struct sort_item *items, *other;
	size_t at, width;      /* sorted so far, in pieces of WIDTH */
};

static void free_draft(struct column_draft *d)
{
	column_release(&d->before);
	column_release(&d->rows);
	free(d->items);
	free(d->other);
	free(d);
}

static void free_fill(void *arg)
{
	struct column_fill *f = arg;

	for (size_t k = 0; k < COLUMN_KINDS; k++) {
		column_release(&f->columns[k]);
		if (f->drafts[k] != NULL)
			free_draft(f->drafts[k]);
	}
	free(f->gone);
}

void column_fill_begin(struct command *cmd, struct column_fill *f, unsigned kinds, const uint32_t *found, size_t count)
{
	*f = (struct column_fill){ .kinds = kinds, .found = found, .count = count };
	arena_on_free(&cmd->arena, free_fill, f);
}

/* Move AT to the first row of UID or more; whether it is UID's. */
static bool seek_row(const struct column *c, size_t *at, uint32_t uid)
{
	while (*at < c->count && c->uids[*at] < uid)
		(*at)++;
	return *at < c->count && c->uids[*at] == uid;
}

static bool has_all(const struct session *s, const struct column_fill *f, const struct column *c)
{
	size_t at = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (!seek_row(c, &at, s->box->uids[f->found[i]]))
			return false;
	}
	return true;
}

void column_fill_rows(const struct session *s, const struct column_fill *f, const struct column *c, uint32_t *row)
{
	size_t at = 0;

	for (size_t i = 0; i < f->count; i++) {
		(void)seek_row(c, &at, s->box->uids[f->found[i]]);
		row[i] = (uint32_t)at;
	}
}

/* Reading. */

static void *grown(void *p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = *cap + *cap / 2 > need ? *cap + *cap / 2 : need + 64;
	return must_realloc(p, *cap, size);
}

static void begin_row(struct column_draft *d, uint32_t uid)
{
	struct column *c = d->rows;

	if (c->count == d->cap) {
		d->cap = d->cap == 0 ? 256 : d->cap + d->cap / 2;
		c->uids = must_realloc(c->uids, d->cap, sizeof(*c->uids));
		if (column_has_numbers(c->kind))
			c->numbers = must_realloc(c->numbers, d->cap, sizeof(*c->numbers));
		else
			c->ends = must_realloc(c->ends, d->cap, sizeof(*c->ends));
		if (c->kind == COLUMN_SUBJECT)
			c->marks = must_realloc(c->marks, d->cap, sizeof(*c->marks));
	}
	c->uids[c->count] = uid;
}

static void end_row(struct column_draft *d)
{
	struct column *c = d->rows;

	if (c->ends != NULL)
		c->ends[c->count] = c->kind == COLUMN_IDS ? d->ids_count : d->octets_count;
	c->count++;
}

static void add_text(struct column_draft *d, struct bytes text)
{
	text = bytes_sub(text, 0, FILL_TEXT_MAX);
	d->rows->octets = grown(d->rows->octets, &d->octets_cap, d->octets_count + text.n, 1);
	if (text.n > 0)
		memcpy(d->rows->octets + d->octets_count, text.p, text.n);
	d->octets_count += text.n;
}

static void add_id(struct column_draft *d, struct bytes id)
{
	uint64_t hash = id.n == 0 ? 0 : map_hash(id);

	d->rows->ids = grown(d->rows->ids, &d->ids_cap, d->ids_count + 1, sizeof(*d->rows->ids));
	d->rows->ids[d->ids_count++] = id.n > 0 && hash == 0 ? 1 : hash;
}

/* One message, as its parts are asked for. */
struct source {
	struct store_view *view;
	struct message msg;
	struct bytes blob, kept;
	struct envelope envelope;
	int64_t sent;
	bool has_kept, is_partial;
	struct arena arena;
	struct buffer text, header;
};

/* RFC 5957 section 3: the name, else the address. */
static void write_display(const struct envelope_address *a, struct buffer *to)
{
	if (a->name.p != NULL) {
		mime_fold_words(a->name, to);
		return;
	}
	mime_fold_words(a->mailbox, to);
	if (a->host.p != NULL && a->mailbox.p != NULL) {
		buffer_add_u8(to, '@');
		mime_fold_words(a->host, to);
	}
}

/* Its Message-ID, then those of References, or else the first of In-Reply-To. */
static void take_ids(struct source *m, struct column_draft *d)
{
	struct bytes field = m->envelope.message_id, id, ids[FILL_IDS_MAX];
	uint64_t off, len;
	size_t n = 1;
	struct fault why;

	if (!threads_next_id(&field, &ids[0]))
		ids[0] = BYTES_NONE;
	if (!m->has_kept) {
		if (mime_blob_section(m->blob, NULL, 0, MIME_HEADER, &off, &len) && len > 0 &&
		    store_view_body(m->view, m->msg.body, off, (size_t)len, &m->header, &why) != STORE_OK)
			m->is_partial = true;
		m->kept = buffer_bytes(&m->header);
	}
	field = mime_field(m->kept, "References");
	while (threads_next_id(&field, &id)) {
		if (n == FILL_IDS_MAX) {
			for (size_t i = 1; i + 1 < n; i++)
				ids[i] = ids[i + 1];
			n--;
		}
		ids[n++] = id;
	}
	field = m->envelope.in_reply_to;
	if (n == 1 && threads_next_id(&field, &id))
		ids[n++] = id;
	for (size_t i = 0; i < n; i++)
		add_id(d, ids[i]);
}

static int64_t date_of(const struct source *m)
{
	int64_t sent, day;

	if (m->has_kept)
		return m->sent != INT64_MIN ? m->sent : m->msg.internaldate;
	return mime_date(m->envelope.date, &sent, &day) ? sent : m->msg.internaldate;
}

static void take_value(struct source *m, struct column_draft *d)
{
	struct column *c = d->rows;
	const struct envelope *e = &m->envelope;

	buffer_clear(&m->text);
	switch (c->kind) {
	case COLUMN_ARRIVAL:
		c->numbers[c->count] = m->msg.internaldate;
		return;
	case COLUMN_SIZE:
		c->numbers[c->count] = m->msg.size;
		return;
	case COLUMN_DATE:
		c->numbers[c->count] = date_of(m);
		return;
	case COLUMN_IDS:
		take_ids(m, d);
		return;
	case COLUMN_SUBJECT:
		c->marks[c->count] = mime_base_subject(e->subject, &m->text);
		break;
	case COLUMN_FROM:
		mime_fold_words(e->from.mailbox, &m->text);
		break;
	case COLUMN_TO:
		mime_fold_words(e->to.mailbox, &m->text);
		break;
	case COLUMN_CC:
		mime_fold_words(e->cc.mailbox, &m->text);
		break;
	case COLUMN_DISPLAYFROM:
		write_display(&e->from, &m->text);
		break;
	case COLUMN_DISPLAYTO:
		write_display(&e->to, &m->text);
		break;
	case COLUMN_UIDS:
	case COLUMN_KINDS:
		break;
	}
	add_text(d, buffer_bytes(&m->text));
}

/* How far the ENVELOPE is to be read for the columns in KINDS; false: not at all. */
static bool needs_envelope(unsigned kinds, enum envelope_field *up_to_r)
{
	const unsigned rest = 1u << COLUMN_TO | 1u << COLUMN_CC | 1u << COLUMN_DISPLAYTO | 1u << COLUMN_IDS;
	const unsigned from = 1u << COLUMN_FROM | 1u << COLUMN_DISPLAYFROM;

	*up_to_r = (kinds & rest) != 0                   ? ENVELOPE_IDS :
	           (kinds & from) != 0                   ? ENVELOPE_FROM :
	           (kinds & (1u << COLUMN_SUBJECT)) != 0 ? ENVELOPE_SUBJECT :
	                                                   ENVELOPE_DATE;
	return (kinds & (rest | from | 1u << COLUMN_SUBJECT | 1u << COLUMN_DATE)) != 0;
}

/* The columns that lack UID. */
static unsigned lacking(struct column_fill *f, uint32_t uid)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < COLUMN_KINDS; k++) {
		struct column_draft *d = f->drafts[k];

		if (d != NULL && (d->before == NULL || !seek_row(d->before, &d->before_at, uid)))
			kinds |= 1u << k;
	}
	return kinds;
}

static void note_gone(struct column_fill *f, size_t at)
{
	f->gone = grown(f->gone, &f->gone_cap, f->gone_count + 1, sizeof(*f->gone));
	f->gone[f->gone_count++] = (uint32_t)at;
}

/* What is kept of m->msg, as far as KINDS need it. */
static void read_source(struct source *m, unsigned kinds)
{
	enum envelope_field up_to;
	struct fault why;

	if (!needs_envelope(kinds, &up_to))
		return;
	m->is_partial = store_view_structure(m->view, m->msg.body, &m->blob, &why) != STORE_OK;
	m->has_kept = mime_blob_header(m->blob, &m->kept, &m->sent);
	if (up_to > ENVELOPE_DATE || !m->has_kept)
		(void)envelope_read(mime_blob_envelope(m->blob), up_to, &m->arena, &m->envelope);
}

static void read_one(struct column_fill *f, struct box_reader *reader, struct source *m, uint32_t uid, unsigned kinds)
{
	m->envelope = (struct envelope){ 0 };
	m->blob = m->kept = BYTES_NONE;
	m->has_kept = m->is_partial = false;
	buffer_clear(&m->header);
	if (!box_read(reader, uid, &m->msg)) {
		m->msg = (struct message){ .uid = uid };
		m->is_partial = true;
		note_gone(f, f->at);
	} else {
		read_source(m, kinds);
	}
	for (unsigned k = 0; k < COLUMN_KINDS; k++) {
		if ((kinds & 1u << k) == 0)
			continue;
		begin_row(f->drafts[k], uid);
		take_value(m, f->drafts[k]);
		end_row(f->drafts[k]);
		f->drafts[k]->is_partial = f->drafts[k]->is_partial || m->is_partial;
	}
	arena_fini(&m->arena);
	m->arena = (struct arena){ 0 };
}

static void take_cached(struct session *s, struct column_fill *f)
{
	for (unsigned k = 0; k < COLUMN_KINDS; k++) {
		struct column *c;

		if ((f->kinds & 1u << k) == 0)
			continue;
		c = column_cache_get(&s->client.backend->columns, (enum column_kind)k, s->box->id, f->epoch);
		if (c != NULL && has_all(s, f, c)) {
			f->columns[k] = c;
			continue;
		}
		f->drafts[k] = must_calloc(1, sizeof(struct column_draft));
		f->drafts[k]->before = c;
		f->drafts[k]->rows = column_new((enum column_kind)k, s->box->id, f->epoch);
	}
}

static bool has_drafts(const struct column_fill *f)
{
	for (unsigned k = 0; k < COLUMN_KINDS; k++) {
		if (f->drafts[k] != NULL)
			return true;
	}
	return false;
}

/* Sorting. */

static uint64_t key_of(const struct column *c, size_t row)
{
	struct bytes text;
	uint64_t key = 0;

	if (c->numbers != NULL)
		return (uint64_t)c->numbers[row] ^ 1ull << 63;
	text = column_text(c, row);
	for (size_t i = 0; i < sizeof(key); i++)
		key = key << 8 | (i < text.n ? text.p[i] : 0);
	return key;
}

static int compare_rows(const struct column *a, size_t row_a, const struct column *b, size_t row_b)
{
	if (a->numbers != NULL)
		return a->numbers[row_a] < b->numbers[row_b] ? -1 : a->numbers[row_a] > b->numbers[row_b];
	return bytes_compare(column_text(a, row_a), column_text(b, row_b));
}

enum column_kind column_fill_kind(enum sort_by by)
{
	static const enum column_kind kinds[] = {
		[SORT_ARRIVAL] = COLUMN_ARRIVAL, [SORT_CC] = COLUMN_CC,     [SORT_DATE] = COLUMN_DATE,
		[SORT_FROM] = COLUMN_FROM,       [SORT_SIZE] = COLUMN_SIZE, [SORT_SUBJECT] = COLUMN_SUBJECT,
		[SORT_TO] = COLUMN_TO,           [SORT_DISPLAYFROM] = COLUMN_DISPLAYFROM, [SORT_DISPLAYTO] = COLUMN_DISPLAYTO,
	};

	return kinds[by];
}

struct column *column_fill_one(struct store_view *v, const struct message *msg, enum column_kind kind)
{
	struct source m = { .view = v, .msg = *msg };
	struct column_draft d = { .rows = column_new(kind, 0, 0) };

	read_source(&m, 1u << kind);
	begin_row(&d, msg->uid);
	take_value(&m, &d);
	end_row(&d);
	arena_fini(&m.arena);
	buffer_fini(&m.text);
	buffer_fini(&m.header);
	return d.rows;
}

int column_fill_compare(const struct column *a, const struct column *b)
{
	return compare_rows(a, 0, b, 0);
}

static int compare_items(const void *x, const void *y, void *arg)
{
	const struct sort_item *a = x, *b = y;
	const struct column *c = arg;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return compare_rows(c, a->row, c, b->row);
}

static void merge(const struct column *c, const struct sort_item *from, struct sort_item *to, size_t a, size_t b, size_t e)
{
	size_t i = a, j = b;

	for (size_t k = a; k < e; k++)
		to[k] = j == e || (i < b && compare_items(&from[i], &from[j], (void *)(uintptr_t)c) <= 0) ? from[i++] : from[j++];
}

/* Whether it is sorted by now. */
static bool sort_some(struct column_draft *d, uint64_t until)
{
	size_t n = d->rows->count;

	if (d->items == NULL) {
		d->items = must_realloc(NULL, n + 1, sizeof(*d->items));
		d->other = must_realloc(NULL, n + 1, sizeof(*d->other));
	}
	for (; d->width == 0 && d->at < n; d->at += FILL_PIECE) {
		size_t end = n - d->at < FILL_PIECE ? n : d->at + FILL_PIECE;

		if (clock_mono_ns() > until)
			return false;
		for (size_t i = d->at; i < end; i++)
			d->items[i] = (struct sort_item){ key_of(d->rows, i), (uint32_t)i };
		qsort_r(d->items + d->at, end - d->at, sizeof(*d->items), compare_items, d->rows);
	}
	if (d->width == 0) {
		d->width = FILL_PIECE;
		d->at = 0;
	}
	while (d->width < n) {
		struct sort_item *swap = d->items;

		for (; d->at < n; d->at += 2 * d->width) {
			size_t b = d->at + d->width < n ? d->at + d->width : n, e = b + d->width < n ? b + d->width : n;

			if (clock_mono_ns() > until)
				return false;
			merge(d->rows, d->items, d->other, d->at, b, e);
		}
		d->items = d->other;
		d->other = swap;
		d->at = 0;
		d->width *= 2;
	}
	return true;
}

/* Merging with the column before. */

struct place {
	uint32_t *of_before, *of_rows; /* the row in the new column, UINT32_MAX: it has none */
};

static void put_row(struct column *to, const struct column *from, size_t row)
{
	size_t begin = row == 0 || from->ends == NULL ? 0 : from->ends[row - 1], n = from->ends == NULL ? 0 : from->ends[row] - begin;
	size_t end = to->count == 0 || to->ends == NULL ? 0 : to->ends[to->count - 1];

	to->uids[to->count] = from->uids[row];
	if (to->numbers != NULL)
		to->numbers[to->count] = from->numbers[row];
	if (to->octets != NULL && n > 0)
		memcpy(to->octets + end, from->octets + begin, n);
	if (to->ids != NULL && n > 0)
		memcpy(to->ids + end, from->ids + begin, n * sizeof(*to->ids));
	if (to->ends != NULL)
		to->ends[to->count] = end + n;
	if (to->marks != NULL)
		to->marks[to->count] = from->marks[row];
	to->count++;
}

static size_t values_of(const struct column *c)
{
	return c == NULL || c->ends == NULL || c->count == 0 ? 0 : c->ends[c->count - 1];
}

/* An empty column with room for the rows of both. */
static struct column *with_room(const struct column_draft *d)
{
	struct column *c = column_new(d->rows->kind, d->rows->mailbox, d->rows->epoch);
	size_t n = d->rows->count + (d->before != NULL ? d->before->count : 0) + 1;
	size_t values = values_of(d->rows) + values_of(d->before) + 1;

	c->size = sizeof(*c) + n * sizeof(*c->uids);
	c->uids = must_realloc(NULL, n, sizeof(*c->uids));
	if (c->kind != COLUMN_IDS) {
		c->ranks = must_realloc(NULL, n, sizeof(*c->ranks));
		c->size += n * sizeof(*c->ranks);
	}
	if (column_has_numbers(c->kind)) {
		c->numbers = must_realloc(NULL, n, sizeof(*c->numbers));
		c->size += n * sizeof(*c->numbers);
		return c;
	}
	c->ends = must_realloc(NULL, n, sizeof(*c->ends));
	c->size += n * sizeof(*c->ends);
	if (c->kind == COLUMN_IDS) {
		c->ids = must_realloc(NULL, values, sizeof(*c->ids));
		c->size += values * sizeof(*c->ids);
	} else {
		c->octets = must_alloc(values);
		c->size += values;
	}
	if (c->kind == COLUMN_SUBJECT) {
		c->marks = must_alloc(n);
		c->size += n;
	}
	return c;
}

/* The rows of both in the order of UIDs, but for what the box has no more. */
static void merge_rows(const struct box *box, const struct column_draft *d, struct column *to, struct place *p)
{
	const struct column *old = d->before, *new = d->rows;
	size_t i = 0, j = 0, at = 0, olds = old != NULL ? old->count : 0;

	while (i < olds || j < new->count) {
		if (j == new->count || (i < olds && old->uids[i] < new->uids[j])) {
			uint32_t uid = old->uids[i];
			bool is_there;

			while (at < box->count && box->uids[at] < uid)
				at++;
			is_there = uid > box->last_uid || (at < box->count && box->uids[at] == uid);
			p->of_before[i] = is_there ? (uint32_t)to->count : UINT32_MAX;
			if (is_there)
				put_row(to, old, i);
			i++;
		} else {
			p->of_rows[j] = (uint32_t)to->count;
			put_row(to, new, j++);
		}
	}
}

/* The rows of C in the order of their ranks. */
static uint32_t *by_rank(const struct column *c)
{
	size_t n = c != NULL ? c->count : 0;
	uint32_t *order = must_realloc(NULL, n + 1, sizeof(*order)), *starts = must_calloc(n + 2, sizeof(*starts));

	for (size_t i = 0; i < n; i++)
		starts[c->ranks[i] + 1]++;
	for (size_t i = 1; i <= n; i++)
		starts[i] += starts[i - 1];
	for (size_t i = 0; i < n; i++)
		order[starts[c->ranks[i]]++] = (uint32_t)i;
	free(starts);
	return order;
}

static void give_ranks(const struct column_draft *d, struct column *to, const struct place *p)
{
	const struct column *old = d->before, *new = d->rows;
	uint32_t *order = by_rank(old);
	size_t i = 0, j = 0, olds = old != NULL ? old->count : 0, last = SIZE_MAX, last_old = SIZE_MAX;
	uint32_t rank = 0;

	while (i < olds || j < new->count) {
		bool is_old = j == new->count || (i < olds && compare_rows(old, order[i], new, d->items[j].row) <= 0);
		size_t this_old = is_old ? order[i] : SIZE_MAX;
		size_t row = is_old ? p->of_before[this_old] : p->of_rows[d->items[j].row];

		i += is_old;
		j += !is_old;
		if (row == UINT32_MAX)
			continue;
		if (last == SIZE_MAX)
			rank = column_has_texts(to->kind) && column_text(to, row).n > 0; /* 0 is the empty text's */
		else if (is_old && last_old != SIZE_MAX)
			rank += old->ranks[last_old] != old->ranks[this_old];
		else
			rank += compare_rows(to, last, to, row) != 0;
		to->ranks[row] = rank;
		last = row;
		last_old = this_old;
	}
	free(order);
}

static void make_column(struct session *s, struct column_fill *f, enum column_kind kind)
{
	struct column_draft *d = f->drafts[kind];
	struct column *c = with_room(d);
	struct place p;

	p.of_rows = must_realloc(NULL, d->rows->count + 1, sizeof(*p.of_rows));
	p.of_before = must_realloc(NULL, (d->before != NULL ? d->before->count : 0) + 1, sizeof(*p.of_before));
	merge_rows(s->box, d, c, &p);
	if (kind != COLUMN_IDS)
		give_ranks(d, c, &p);
	free(p.of_rows);
	free(p.of_before);
	if (!d->is_partial)
		column_cache_put(&s->client.backend->columns, c);
	f->columns[kind] = c;
	free_draft(d);
	f->drafts[kind] = NULL;
}

/* One column after the other; false: time is up. */
static bool make_columns(struct session *s, struct column_fill *f, uint64_t until)
{
	for (; f->making < COLUMN_KINDS; f->making++) {
		struct column_draft *d = f->drafts[f->making];

		if (d == NULL)
			continue;
		if (clock_mono_ns() > until || (f->making != COLUMN_IDS && !sort_some(d, until)))
			return false;
		make_column(s, f, f->making);
	}
	return true;
}

enum fill_state column_fill_run(struct session *s, struct command *cmd, struct column_fill *f)
{
	uint64_t until = clock_mono_ns() + FILL_TURN_NS;
	struct store_view *v;
	struct source m = { 0 };
	struct box_reader reader;

	if (s->state != SESSION_SELECTED || (v = session_view(s, cmd)) == NULL)
		return FILL_FAILED;
	if (!f->has_begun) {
		f->has_begun = true;
		f->epoch = store_view_epoch(v);
		take_cached(s, f);
		if (!has_drafts(f))
			f->at = f->count;
	}
	reader = (struct box_reader){ .view = v, .mailbox = s->box->id };
	m.view = v;
	for (size_t done = 0; f->at < f->count; f->at++) {
		uint32_t uid = s->box->uids[f->found[f->at]];
		unsigned kinds = lacking(f, uid);

		if (kinds == 0)
			continue;
		if (++done % 64 == 0 && clock_mono_ns() > until)
			break;
		read_one(f, &reader, &m, uid, kinds);
	}
	box_read_end(&reader);
	store_view_close(&v);
	buffer_fini(&m.text);
	buffer_fini(&m.header);
	if (f->at < f->count || !make_columns(s, f, until))
		return FILL_GOES_ON;
	return FILL_ENDED;
}
