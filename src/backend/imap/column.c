/* column.c - counted columns, and the cache: a map and a list in the order of use, under one lock that is held for a few pointers. */
#include "column.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"

bool column_has_numbers(enum column_kind kind)
{
	return kind == COLUMN_ARRIVAL || kind == COLUMN_SIZE || kind == COLUMN_DATE;
}

bool column_has_texts(enum column_kind kind)
{
	return !column_has_numbers(kind) && kind != COLUMN_IDS && kind != COLUMN_UIDS;
}

struct bytes column_text(const struct column *c, size_t row)
{
	size_t begin = row == 0 ? 0 : c->ends[row - 1];

	return c->ends[row] == begin ? BYTES_NONE : bytes_make(c->octets + begin, c->ends[row] - begin);
}

struct column *column_new(enum column_kind kind, uint64_t mailbox, uint64_t epoch)
{
	struct column *c = must_calloc(1, sizeof(*c));

	c->kind = kind;
	c->mailbox = mailbox;
	c->epoch = epoch;
	atomic_init(&c->refs, 1);
	list_init(&c->used);
	return c;
}

void column_release(struct column **cp)
{
	struct column *c = *cp;

	*cp = NULL;
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	free(c->uids);
	free(c->ranks);
	free(c->numbers);
	free(c->octets);
	free(c->ids);
	free(c->ends);
	free(c->marks);
	free(c);
}

void column_cache_init(struct column_cache *cache, size_t max)
{
	*cache = (struct column_cache){ .max = max };
	(void)pthread_mutex_init(&cache->lock, NULL);
	list_init(&cache->used);
}

static uint64_t key_of(enum column_kind kind, uint64_t mailbox)
{
	return mailbox * COLUMN_KINDS + (uint64_t)kind;
}

/* With the lock. */
static void drop(struct column_cache *cache, struct column *c)
{
	void *was = map_take_u64(&cache->columns, key_of(c->kind, c->mailbox));

	assert(was == c);
	list_remove(&c->used);
	cache->size -= c->size;
	column_release(&c);
}

void column_cache_fini(struct column_cache *cache)
{
	while (!list_is_empty(&cache->used))
		drop(cache, LIST_OBJECT(cache->used.next, struct column, used));
	map_fini(&cache->columns);
	(void)pthread_mutex_destroy(&cache->lock);
}

struct column *column_cache_get(struct column_cache *cache, enum column_kind kind, uint64_t mailbox, uint64_t epoch)
{
	struct column *c;

	(void)pthread_mutex_lock(&cache->lock);
	c = map_get_u64(&cache->columns, key_of(kind, mailbox));
	if (c != NULL && c->epoch != epoch) {
		if (c->epoch < epoch)
			drop(cache, c);
		c = NULL;
	}
	if (c != NULL) {
		(void)atomic_fetch_add(&c->refs, 1);
		list_remove(&c->used);
		list_push(&cache->used, &c->used);
	}
	(void)pthread_mutex_unlock(&cache->lock);
	return c;
}

void column_cache_put(struct column_cache *cache, struct column *c)
{
	struct column *before;

	(void)pthread_mutex_lock(&cache->lock);
	before = map_get_u64(&cache->columns, key_of(c->kind, c->mailbox));
	if (c->size <= cache->max / 2 && (before == NULL || before->epoch <= c->epoch)) {
		if (before != NULL)
			drop(cache, before);
		while (cache->size > cache->max - c->size)
			drop(cache, LIST_OBJECT(cache->used.next, struct column, used));
		(void)atomic_fetch_add(&c->refs, 1);
		(void)map_put_u64(&cache->columns, key_of(c->kind, c->mailbox), c);
		list_push(&cache->used, &c->used);
		cache->size += c->size;
	}
	(void)pthread_mutex_unlock(&cache->lock);
}
