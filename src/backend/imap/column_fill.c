/* column_fill.c - a draft for each column that lacks messages: what those are compared by is read, in the order of UIDs, for all drafts
 * at once (column_read.c); then a draft is sorted and merged with the column that was there (column_merge.c).
 *
 * A column with a message that could not be read is used for this command only. */
#include "column_fill.h"

#include <stdlib.h>

#include "alloc.h"
#include "answer.h"
#include "clock.h"
#include "column_fill_private.h"

#define FILL_TURN_NS 5000000u

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
	if (f->gone_count == f->gone_cap) {
		f->gone_cap = f->gone_cap == 0 ? 64 : 2 * f->gone_cap;
		f->gone = must_realloc(f->gone, f->gone_cap, sizeof(*f->gone));
	}
	f->gone[f->gone_count++] = (uint32_t)at;
}

static void read_one(struct column_fill *f, struct box_reader *reader, struct column_source *m, uint32_t uid, unsigned kinds)
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
		column_read_source(m, kinds);
	}
	for (unsigned k = 0; k < COLUMN_KINDS; k++) {
		if ((kinds & 1u << k) == 0)
			continue;
		column_read_row(m, f->drafts[k], uid);
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
	struct column_source m = { .view = v, .msg = *msg };
	struct column_draft d = { .rows = column_new(kind, 0, 0) };

	column_read_source(&m, 1u << kind);
	column_read_row(&m, &d, msg->uid);
	arena_fini(&m.arena);
	buffer_fini(&m.text);
	buffer_fini(&m.header);
	return d.rows;
}

int column_fill_compare(const struct column *a, const struct column *b)
{
	return column_merge_compare(a, 0, b, 0);
}

static void make_column(struct session *s, struct column_fill *f, enum column_kind kind)
{
	struct column_draft *d = f->drafts[kind];
	struct column *c = column_merge(s->box, d);

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
		if (clock_mono_ns() > until || (f->making != COLUMN_IDS && !column_merge_sort(d, until)))
			return false;
		make_column(s, f, f->making);
	}
	return true;
}

enum fill_state column_fill_run(struct session *s, struct command *cmd, struct column_fill *f)
{
	uint64_t until = clock_mono_ns() + FILL_TURN_NS;
	struct store_view *v;
	struct column_source m = { 0 };
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
