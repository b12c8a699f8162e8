/* login_gate.c - a map of addresses in a ring by when they were last heard of; one lock over both. */
#include "login_gate.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "list.h"
#include "map.h"

#define NETWORKS_MAX 256
#define TRIED_MAX 4
#define TRUST_MS (24ull * 3600 * 1000)
#define FAILURES_MAX 1000

struct network {
	int family;
	uint8_t octets[16];
	unsigned bits;
};

struct entry {
	struct list by_age;
	struct gate_address address;
	unsigned failures;
	unsigned inside;          /* attempts that have begun and not ended */
	uint64_t next_ms;         /* when the next attempt may be looked at */
	uint64_t failed_ms;       /* the last failure */
	uint64_t trusted_ms;      /* until when it is trusted; 0: not */
	uint64_t tried[TRIED_MAX]; /* what failed last */
	unsigned tried_at;
};

struct gate {
	struct gate_options o;
	struct network networks[NETWORKS_MAX];
	size_t network_count;
	pthread_mutex_t lock; /* guards the rest */
	struct map entries;   /* struct entry, owned */
	struct list by_age;   /* oldest first */
	size_t slowed;        /* entries with failures */
};

/* "192.0.2.0/24", "2001:db8::/32", or an address alone. */
static bool parse_network(struct bytes word, struct network *n)
{
	size_t slash = bytes_find(word, '/');
	struct bytes host = bytes_sub(word, 0, slash);
	char text[INET6_ADDRSTRLEN] = { 0 };
	uint64_t bits;

	if (host.n == 0 || host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	n->family = bytes_find(host, ':') < host.n ? AF_INET6 : AF_INET;
	bits = n->family == AF_INET6 ? 128 : 32;
	if (inet_pton(n->family, text, n->octets) != 1 || (slash < word.n && !bytes_to_u64(bytes_from(word, slash + 1), bits, &bits)))
		return false;
	n->bits = (unsigned)bits;
	return true;
}

struct gate *gate_new(const struct gate_options *o, struct fault *why)
{
	struct gate *g = must_calloc(1, sizeof(*g));
	struct bytes word;

	g->o = *o;
	list_init(&g->by_age);
	(void)pthread_mutex_init(&g->lock, NULL);
	for (size_t i = 0; config_word(o->trusted, "login_trusted_networks", i, &word); i++) {
		if (i == NETWORKS_MAX || !parse_network(word, &g->networks[i])) {
			(void)config_fault(o->trusted, "login_trusted_networks", why, "\"%.*s\" is no network such as 192.0.2.0/24 or 2001:db8::/32, "
			                   "or there are more than %d", BYTES_FMT(word), NETWORKS_MAX);
			gate_free(&g);
			return NULL;
		}
		g->network_count++;
	}
	return g;
}

void gate_free(struct gate **gp)
{
	struct gate *g = *gp;

	if (g == NULL)
		return;
	*gp = NULL;
	LIST_EACH(m, &g->by_age)
		free(LIST_OBJECT(m, struct entry, by_age));
	map_fini(&g->entries);
	(void)pthread_mutex_destroy(&g->lock);
	free(g);
}

static bool is_within(const struct network *n, int family, const uint8_t *octets)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	return n->family == family && memcmp(n->octets, octets, whole) == 0 &&
	       (rest == 0 || ((n->octets[whole] ^ octets[whole]) >> (8 - rest)) == 0);
}

struct bytes gate_host_of(const char *peer)
{
	struct bytes all = bytes_of(peer);

	if (all.n > 0 && all.p[0] == '[')
		return bytes_sub(all, 1, bytes_find(all, ']') - 1);
	return bytes_sub(all, 0, bytes_rfind(all, ':'));
}

struct gate_address gate_address_of(const struct gate *g, const char *peer)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct bytes host = gate_host_of(peer);
	struct gate_address a = { .n = 0 };
	char text[INET6_ADDRSTRLEN] = { 0 };
	uint8_t octets[16];
	const uint8_t *at = octets;
	int family = bytes_find(host, ':') < host.n ? AF_INET6 : AF_INET;

	if (host.n >= sizeof(text) || host.n == 0)
		return a;
	memcpy(text, host.p, host.n);
	if (inet_pton(family, text, octets) != 1)
		return a;
	if (family == AF_INET6 && memcmp(octets, mapped, sizeof(mapped)) == 0) {
		family = AF_INET;
		at = octets + sizeof(mapped);
	}
	for (size_t i = 0; i < g->network_count; i++) {
		if (is_within(&g->networks[i], family, at))
			return a;
	}
	a.n = family == AF_INET ? 4 : 8;
	memcpy(a.octets, at, a.n);
	return a;
}

uint64_t gate_delay_ms(const struct gate *g, unsigned n)
{
	uint64_t ms = g->o.delay_ms;

	if (n == 0 || ms == 0)
		return 0;
	for (; n > 1 && ms < g->o.delay_max_ms; n--)
		ms *= 2;
	return ms < g->o.delay_max_ms ? ms : g->o.delay_max_ms;
}

static void drop(struct gate *g, struct entry *e)
{
	(void)map_take(&g->entries, bytes_make(e->address.octets, e->address.n));
	list_remove(&e->by_age);
	g->slowed -= e->failures > 0;
	free(e);
}

/* The entry of A, forgotten of what is long ago; made if it is not there and MAKE. */
static struct entry *entry_of(struct gate *g, const struct gate_address *a, uint64_t now, bool make)
{
	struct entry *e = map_get(&g->entries, bytes_make(a->octets, a->n));

	if (e == NULL && make) {
		if (g->entries.n >= g->o.max_addresses)
			drop(g, LIST_OBJECT(g->by_age.next, struct entry, by_age));
		e = must_calloc(1, sizeof(*e));
		e->address = *a;
		list_init(&e->by_age);
		(void)map_put(&g->entries, bytes_make(a->octets, a->n), e);
	}
	if (e == NULL)
		return NULL;
	list_remove(&e->by_age);
	list_push(&g->by_age, &e->by_age);
	if (e->failures > 0 && now - e->failed_ms >= g->o.forget_ms) {
		e->failures = 0;
		memset(e->tried, 0, sizeof(e->tried));
		g->slowed--;
	}
	return e;
}

bool gate_enter(struct gate *g, const struct gate_address *a, uint64_t now, uint64_t *wait_ms_r)
{
	struct entry *e;
	bool may = true;

	*wait_ms_r = 0;
	if (a->n == 0)
		return true;
	(void)pthread_mutex_lock(&g->lock);
	e = entry_of(g, a, now, true);
	if (e->trusted_ms <= now) {
		unsigned n = e->failures + (e->inside >= GATE_SIDE_BY_SIDE ? e->inside - GATE_SIDE_BY_SIDE + 1 : 0);
		uint64_t begins = e->next_ms > now ? e->next_ms : now;

		may = begins - now <= 2 * g->o.delay_max_ms;
		if (may) {
			*wait_ms_r = begins - now;
			e->next_ms = begins + gate_delay_ms(g, n);
		}
	}
	if (may)
		e->inside++;
	(void)pthread_mutex_unlock(&g->lock);
	return may;
}

void gate_leave(struct gate *g, const struct gate_address *a)
{
	struct entry *e;

	if (a->n == 0)
		return;
	(void)pthread_mutex_lock(&g->lock);
	/* The table may have forgotten it, and begun anew, meanwhile. */
	e = map_get(&g->entries, bytes_make(a->octets, a->n));
	if (e != NULL && e->inside > 0)
		e->inside--;
	if (e != NULL && e->inside == 0 && e->failures == 0 && e->trusted_ms == 0)
		drop(g, e);
	(void)pthread_mutex_unlock(&g->lock);
}

static bool was_tried(const struct entry *e, uint64_t what)
{
	for (size_t i = 0; what != 0 && i < TRIED_MAX; i++) {
		if (e->tried[i] == what)
			return true;
	}
	return false;
}

unsigned gate_failed(struct gate *g, const struct gate_address *a, uint64_t now, uint64_t what)
{
	struct entry *e;
	unsigned n = 0;

	if (a->n == 0)
		return 0;
	(void)pthread_mutex_lock(&g->lock);
	e = entry_of(g, a, now, true);
	if (e->trusted_ms <= now) {
		if (!was_tried(e, what) && e->failures < FAILURES_MAX) {
			uint64_t next;

			g->slowed += e->failures == 0;
			e->failures++;
			e->tried[e->tried_at++ % TRIED_MAX] = what;
			next = now + gate_delay_ms(g, e->failures);
			e->next_ms = e->next_ms > next ? e->next_ms : next;
		}
		e->failed_ms = now;
		n = e->failures;
	}
	(void)pthread_mutex_unlock(&g->lock);
	return n;
}

void gate_trust(struct gate *g, const struct gate_address *a, uint64_t now)
{
	struct entry *e;

	if (a->n == 0)
		return;
	(void)pthread_mutex_lock(&g->lock);
	e = entry_of(g, a, now, true);
	e->trusted_ms = now + TRUST_MS;
	g->slowed -= e->failures > 0;
	e->failures = 0;
	(void)pthread_mutex_unlock(&g->lock);
}

size_t gate_count(struct gate *g)
{
	size_t n;

	(void)pthread_mutex_lock(&g->lock);
	n = g->slowed;
	(void)pthread_mutex_unlock(&g->lock);
	return n;
}
