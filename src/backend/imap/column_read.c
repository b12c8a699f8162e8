/* column_read.c - what of a message goes into a column, and adding it to the column's draft. */
#include "column_fill_private.h"

#include <string.h>

#include "alloc.h"
#include "threads.h"

#define READ_TEXT_MAX 1024 /* octets of one text: what is longer is compared by its beginning */
#define READ_IDS_MAX 200 /* of one message: the newest references count */

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
	text = bytes_sub(text, 0, READ_TEXT_MAX);
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
static void take_ids(struct column_source *m, struct column_draft *d)
{
	struct bytes field = m->envelope.message_id, id, ids[READ_IDS_MAX];
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
		if (n == READ_IDS_MAX) {
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

static int64_t date_of(const struct column_source *m)
{
	int64_t sent, day;

	if (m->has_kept)
		return m->sent != INT64_MIN ? m->sent : m->msg.internaldate;
	return mime_date(m->envelope.date, &sent, &day) ? sent : m->msg.internaldate;
}

static void take_value(struct column_source *m, struct column_draft *d)
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

void column_read_source(struct column_source *m, unsigned kinds)
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

void column_read_row(struct column_source *m, struct column_draft *d, uint32_t uid)
{
	begin_row(d, uid);
	take_value(m, d);
	end_row(d);
}
