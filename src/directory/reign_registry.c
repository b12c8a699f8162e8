/* reign_registry.c - maps of servers, their members, and frontends by name; and how each is told to others. */
#include "reign_registry.h"

#include <stdlib.h>

#include "alloc.h"
#include "mupdate_line.h"

void registry_set(char **to, struct bytes value)
{
	free(*to);
	*to = bytes_to_str(value);
}

static void addresses_fini(struct addresses *a)
{
	free(a->imap);
	free(a->lmtp);
	free(a->sync);
	free(a->admin);
	free(a->pop3);
}

static void member_free(struct member *m)
{
	addresses_fini(&m->at);
	free(m->name);
	free(m->claim_master);
	free(m->claim_in_sync);
	free(m);
}

static void front_free(struct front *f)
{
	addresses_fini(&f->at);
	free(f->name);
	free(f);
}

static void server_free(struct server *s)
{
	struct list *m;

	while ((m = list_shift(&s->members)) != NULL)
		member_free(LIST_OBJECT(m, struct member, in_server));
	free(s->name);
	free(s->master);
	free(s->in_sync);
	free(s);
}

void registry_fini(struct registry *r)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&r->servers, &it, &key, &value))
		server_free(value);
	map_fini(&r->servers);
	it = (struct map_iter){ 0 };
	while (map_next(&r->fronts, &it, &key, &value))
		front_free(value);
	map_fini(&r->fronts);
}

struct server *registry_server(struct registry *r, struct bytes name, bool create)
{
	char *lower = bytes_to_str(name);
	struct server *s;

	for (char *p = lower; *p != '\0'; p++)
		*p = (char)ascii_lower((uint8_t)*p);
	s = map_get(&r->servers, bytes_of(lower));
	if (s != NULL || !create) {
		free(lower);
		return s;
	}
	s = must_calloc(1, sizeof(*s));
	s->name = lower;
	s->master = must_strdup("");
	s->in_sync = must_strdup("");
	list_init(&s->members);
	(void)map_put(&r->servers, bytes_of(lower), s);
	return s;
}

void server_set_reign(struct server *s, const struct reign *reign)
{
	s->epoch = reign->epoch;
	registry_set(&s->master, reign->master);
	registry_set(&s->in_sync, reign->in_sync);
}

struct member *server_member(struct server *s, struct bytes name, bool create)
{
	struct member *m;
	size_t count = 0;

	LIST_EACH(at, &s->members) {
		count++;
		m = LIST_OBJECT(at, struct member, in_server);
		if (bytes_equal_str(name, m->name))
			return m;
	}
	if (!create || count == SERVER_MEMBERS_MAX)
		return NULL;
	m = must_calloc(1, sizeof(*m));
	m->name = bytes_to_str(name);
	list_push(&s->members, &m->in_server);
	return m;
}

static bool forget_front(struct registry *r)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&r->fronts, &it, &key, &value)) {
		struct front *f = value;

		if (f->session == 0) {
			(void)map_take(&r->fronts, key);
			front_free(f);
			return true;
		}
	}
	return false;
}

struct front *registry_front(struct registry *r, struct bytes name, bool create)
{
	struct front *f = map_get(&r->fronts, name);

	if (f != NULL || !create)
		return f;
	if (r->fronts.n >= REGISTRY_FRONTS_MAX && !forget_front(r))
		return NULL;
	f = must_calloc(1, sizeof(*f));
	f->name = bytes_to_str(name);
	(void)map_put(&r->fronts, name, f);
	return f;
}

bool server_first_reign(const struct server *s, struct reign *next_r)
{
	struct reign_claim claims[SERVER_MEMBERS_MAX];
	size_t count = 0;

	LIST_EACH(at, &s->members) {
		const struct member *m = LIST_OBJECT(at, struct member, in_server);

		if (m->session == 0)
			continue;
		claims[count++] = (struct reign_claim){
			bytes_of(m->name), { m->claim_epoch, bytes_of(m->claim_master), bytes_of(m->claim_in_sync) }
		};
	}
	return reign_first(claims, count, next_r);
}

static void add_u64(struct buffer *to, uint64_t v)
{
	struct buffer text = { 0 };

	buffer_add_u64(&text, v);
	mupdate_add_string(to, buffer_bytes(&text));
	buffer_fini(&text);
}

/* A line of its own, so that clients that know nothing of it take the one before it as ever. SERVER is empty for a frontend. */
static void write_pop3(struct buffer *to, const char *server, const char *name, const struct addresses *at)
{
	if (at->pop3 == NULL || at->pop3[0] == '\0')
		return;
	buffer_add_str(to, "* XPOP3");
	mupdate_add_string(to, bytes_of(server));
	mupdate_add_string(to, bytes_of(name));
	mupdate_add_string(to, bytes_of(at->pop3));
	buffer_add_str(to, "\r\n");
}

void registry_write_member(struct buffer *to, const struct server *s, const struct member *m)
{
	buffer_add_str(to, "* XMEMBER");
	mupdate_add_string(to, bytes_of(s->name));
	mupdate_add_string(to, bytes_of(m->name));
	mupdate_add_string(to, bytes_of(m->at.imap));
	mupdate_add_string(to, bytes_of(m->at.lmtp));
	mupdate_add_string(to, bytes_of(m->at.sync));
	mupdate_add_string(to, bytes_of(m->at.admin));
	mupdate_add_string(to, bytes_of(m->session != 0 ? "up" : "down"));
	buffer_add_str(to, "\r\n");
	write_pop3(to, s->name, m->name, &m->at);
}

void registry_write_server(struct buffer *to, const struct server *s)
{
	buffer_add_str(to, "* XSERVER");
	mupdate_add_string(to, bytes_of(s->name));
	add_u64(to, s->epoch);
	mupdate_add_string(to, bytes_of(s->master));
	mupdate_add_string(to, bytes_of(s->in_sync));
	buffer_add_str(to, "\r\n");
}

void registry_write_front(struct buffer *to, const struct front *f)
{
	buffer_add_str(to, "* XFRONTEND");
	mupdate_add_string(to, bytes_of(f->name));
	mupdate_add_string(to, bytes_of(f->at.imap));
	mupdate_add_string(to, bytes_of(f->at.lmtp));
	mupdate_add_string(to, bytes_of(f->at.admin));
	mupdate_add_string(to, bytes_of(f->session != 0 ? "up" : "down"));
	buffer_add_str(to, "\r\n");
	write_pop3(to, "", f->name, &f->at);
}

void registry_write_all(struct buffer *to, const struct registry *r)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&r->servers, &it, &key, &value)) {
		struct server *s = value;

		/* Members first: whoever hears of a master knows its addresses already. */
		LIST_EACH(at, &s->members)
			registry_write_member(to, s, LIST_OBJECT(at, struct member, in_server));
		registry_write_server(to, s);
	}
	it = (struct map_iter){ 0 };
	while (map_next(&r->fronts, &it, &key, &value))
		registry_write_front(to, value);
}
