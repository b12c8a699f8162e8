/* recent.c - a table of claimed UIDs by mailbox, under one lock. */
#include "recent.h"

#include <stdlib.h>

#include "alloc.h"

struct recent_row {
	uint32_t claimed; /* highest UID that is nobody's recent any more */
};

void recent_init(struct recent *r)
{
	*r = (struct recent){ 0 };
	pthread_mutex_init(&r->lock, NULL);
}

void recent_fini(struct recent *r)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *row;

	while (map_next(&r->claimed, &it, &key, &row))
		free(row);
	map_fini(&r->claimed);
	pthread_mutex_destroy(&r->lock);
}

static struct recent_row *row_of(struct recent *r, uint64_t mailbox, uint32_t claimed)
{
	struct recent_row *row = map_get_u64(&r->claimed, mailbox);

	if (row == NULL) {
		row = must_alloc(sizeof(*row));
		row->claimed = claimed;
		(void)map_put_u64(&r->claimed, mailbox, row);
	}
	return row;
}

void recent_note(struct recent *r, uint64_t mailbox, uint32_t first)
{
	pthread_mutex_lock(&r->lock);
	(void)row_of(r, mailbox, first - 1);
	pthread_mutex_unlock(&r->lock);
}

uint32_t recent_claim(struct recent *r, uint64_t mailbox, uint32_t last, bool is_claiming)
{
	struct recent_row *row;
	uint32_t claimed;

	pthread_mutex_lock(&r->lock);
	row = row_of(r, mailbox, last);
	claimed = row->claimed < last ? row->claimed : last;
	if (is_claiming && row->claimed < last)
		row->claimed = last;
	pthread_mutex_unlock(&r->lock);
	return claimed;
}
