/* map.c - chains in a table of a power of two, which doubles when it holds as many keys as slots. */
#include "map.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "alloc.h"

#define MAP_FIRST_SLOTS 16

struct map_slot {
	struct map_slot *next;
	uint64_t hash;
	void *value;
	size_t n;
	uint8_t key[];
};

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	/* Without the random numbers the map is still right, only its worst case can be chosen. */
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uintptr_t)&seed;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

uint64_t map_hash(struct bytes key)
{
	uint64_t h;

	(void)pthread_once(&seed_once, make_seed);
	h = seed ^ key.n;
	while (key.n >= 8) {
		uint64_t word;

		memcpy(&word, key.p, 8);
		h = mix(h ^ word);
		key = bytes_from(key, 8);
	}
	for (size_t i = 0; i < key.n; i++)
		h = h << 8 ^ h >> 56 ^ key.p[i];
	return mix(h);
}

void map_fini(struct map *m)
{
	for (size_t i = 0; i < m->slot_count; i++) {
		while (m->slots[i] != NULL) {
			struct map_slot *s = m->slots[i];

			m->slots[i] = s->next;
			free(s);
		}
	}
	free(m->slots);
	*m = (struct map){ 0 };
}

static void resize(struct map *m, size_t slot_count)
{
	struct map_slot **slots = must_calloc(slot_count, sizeof(struct map_slot *));

	for (size_t i = 0; i < m->slot_count; i++) {
		while (m->slots[i] != NULL) {
			struct map_slot *s = m->slots[i];
			struct map_slot **to = &slots[s->hash & (slot_count - 1)];

			m->slots[i] = s->next;
			s->next = *to;
			*to = s;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->slot_count = slot_count;
}

/* Where the pointer to KEY's slot is, or would be. */
static struct map_slot **find(const struct map *m, struct bytes key, uint64_t hash)
{
	struct map_slot **at = &m->slots[hash & (m->slot_count - 1)];

	while (*at != NULL && !((*at)->hash == hash && bytes_equal(bytes_make((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

void *map_get(const struct map *m, struct bytes key)
{
	struct map_slot *s;

	if (m->n == 0)
		return NULL;
	s = *find(m, key, map_hash(key));
	return s == NULL ? NULL : s->value;
}

void *map_put(struct map *m, struct bytes key, void *value)
{
	uint64_t hash = map_hash(key);
	struct map_slot **at;
	struct map_slot *s;

	assert(value != NULL);
	if (m->n >= m->slot_count)
		resize(m, m->slot_count == 0 ? MAP_FIRST_SLOTS : m->slot_count * 2);
	at = find(m, key, hash);
	if (*at != NULL) {
		void *old = (*at)->value;

		(*at)->value = value;
		return old;
	}
	s = must_alloc(sizeof(*s) + key.n);
	s->next = NULL;
	s->hash = hash;
	s->value = value;
	s->n = key.n;
	if (key.n > 0)
		memcpy(s->key, key.p, key.n);
	*at = s;
	m->n++;
	return NULL;
}

void *map_take(struct map *m, struct bytes key)
{
	struct map_slot **at;
	struct map_slot *s;
	void *value;

	if (m->n == 0)
		return NULL;
	at = find(m, key, map_hash(key));
	s = *at;
	if (s == NULL)
		return NULL;
	*at = s->next;
	value = s->value;
	free(s);
	m->n--;
	return value;
}

bool map_next(const struct map *m, struct map_iter *it, struct bytes *key_r, void **value_r)
{
	struct map_slot *s;

	while (it->at == NULL) {
		if (it->slot >= m->slot_count)
			return false;
		it->at = m->slots[it->slot++];
	}
	s = it->at;
	it->at = s->next;
	*key_r = bytes_make(s->key, s->n);
	*value_r = s->value;
	return true;
}

void *map_get_u64(const struct map *m, uint64_t key)
{
	return map_get(m, bytes_make(&key, sizeof(key)));
}

void *map_put_u64(struct map *m, uint64_t key, void *value)
{
	return map_put(m, bytes_make(&key, sizeof(key)), value);
}

void *map_take_u64(struct map *m, uint64_t key)
{
	return map_take(m, bytes_make(&key, sizeof(key)));
}
