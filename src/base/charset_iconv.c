/* charset_iconv.c - the charsets that iconv knows; the only home of iconv.h.
 *
 * Opening a conversion loads modules and reads their configuration, which costs many times what a usual text does. So each thread keeps the
 * last few that it used, closed when it ends, and remembers the last names that nobody knows: mail is full of the same ones. What one text
 * left half done does not reach the next, as each begins in the initial state.
 *
 * Names come from whoever writes mail: only what may be a charset's name reaches iconv, which takes "/" for its own options. */
#include "charset_iconv.h"

#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "utf8.h"

#define NAME_MAX_OCTETS 64
#define OPEN_MAX 8
#define UNKNOWN_MAX 32

struct conversion {
	char name[NAME_MAX_OCTETS + 1]; /* in capitals; "": nothing is kept here */
	uint64_t used;                  /* higher: later */
	iconv_t cd;
};

struct unknown {
	char name[NAME_MAX_OCTETS + 1];
};

/* One thread's. */
struct kept {
	struct conversion open[OPEN_MAX];
	struct unknown unknown[UNKNOWN_MAX];
	size_t unknown_next; /* where the next goes */
	uint64_t uses;
};

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
/* Held while a conversion is opened or closed: modules are loaded and let go for all threads. */
static pthread_mutex_t modules = PTHREAD_MUTEX_INITIALIZER;

static void close_one(struct conversion *c)
{
	if (c->name[0] == '\0')
		return;
	(void)pthread_mutex_lock(&modules);
	(void)iconv_close(c->cd); /* it fails for what is none only */
	(void)pthread_mutex_unlock(&modules);
	c->name[0] = '\0';
}

static void free_kept(void *arg)
{
	struct kept *k = arg;

	for (size_t i = 0; i < OPEN_MAX; i++)
		close_one(&k->open[i]);
	free(k);
}

static void make_key(void)
{
	if (pthread_key_create(&key, free_kept) != 0)
		abort();
}

static struct kept *mine(void)
{
	struct kept *k;

	(void)pthread_once(&key_once, make_key);
	k = pthread_getspecific(key);
	if (k == NULL) {
		k = must_calloc(1, sizeof(*k));
		if (pthread_setspecific(key, k) != 0)
			abort();
	}
	return k;
}

/* CHARSET as it is looked for; false: it cannot be a charset's name. */
static bool take_name(struct bytes charset, char name[NAME_MAX_OCTETS + 1])
{
	if (charset.n == 0 || charset.n > NAME_MAX_OCTETS)
		return false;
	for (size_t i = 0; i < charset.n; i++) {
		uint8_t c = charset.p[i];

		if (c == '\0' || (!ascii_is_alnum(c) && strchr("-_.:+", c) == NULL))
			return false;
		name[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
	}
	name[charset.n] = '\0';
	return true;
}

static bool is_unknown(const struct kept *k, const char *name)
{
	for (size_t i = 0; i < UNKNOWN_MAX; i++) {
		if (strcmp(k->unknown[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The place of NAME, or the one that was not used for longest. */
static struct conversion *place_of(struct kept *k, const char *name)
{
	struct conversion *oldest = &k->open[0];

	for (size_t i = 0; i < OPEN_MAX; i++) {
		if (strcmp(k->open[i].name, name) == 0)
			return &k->open[i];
		if (k->open[i].used < oldest->used)
			oldest = &k->open[i];
	}
	return oldest;
}

/* Ready for a text from its beginning; (iconv_t)-1: there is no such charset. */
static iconv_t conversion_from(struct bytes charset)
{
	struct kept *k = mine();
	struct conversion *c;
	char name[NAME_MAX_OCTETS + 1];
	iconv_t cd;

	if (!take_name(charset, name) || is_unknown(k, name))
		return (iconv_t)-1;
	c = place_of(k, name);
	if (strcmp(c->name, name) != 0) {
		(void)pthread_mutex_lock(&modules);
		cd = iconv_open("UTF-8", name);
		(void)pthread_mutex_unlock(&modules);
		if (cd == (iconv_t)-1) {
			/* Anything else, as no descriptors being left, is over some time. */
			if (errno == EINVAL)
				memcpy(k->unknown[k->unknown_next++ % UNKNOWN_MAX].name, name, sizeof(name));
			return cd;
		}
		close_one(c);
		memcpy(c->name, name, sizeof(name));
		c->cd = cd;
	}
	c->used = ++k->uses;
	(void)iconv(c->cd, NULL, NULL, NULL, NULL);
	return c->cd;
}

bool charset_iconv_knows(struct bytes charset)
{
	return conversion_from(charset) != (iconv_t)-1;
}

bool charset_iconv(struct bytes charset, struct bytes in, struct buffer *to)
{
	iconv_t cd = conversion_from(charset);
	char *from = (char *)(uintptr_t)in.p;
	size_t left = in.n, room, before;
	char *out;

	if (cd == (iconv_t)-1)
		return false;
	while (left > 0) {
		size_t rc;

		before = room = left * 2 + 16;
		out = (char *)buffer_reserve(to, room);
		rc = iconv(cd, &from, &left, &out, &room);
		to->n += before - room;
		if (rc != (size_t)-1 || left == 0)
			break;
		if (errno == E2BIG)
			continue;
		/* A broken octet: keep it as Latin-1 and go on behind it. */
		utf8_add_latin1(to, (uint8_t)*from);
		from++;
		left--;
	}
	/* Some charsets hold the last character back, as another one might join it. */
	before = room = 16;
	out = (char *)buffer_reserve(to, room);
	(void)iconv(cd, NULL, NULL, &out, &room);
	to->n += before - room;
	return true;
}
