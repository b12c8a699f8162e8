/* dir_presence.c - presence to and from the shared store.
 *
 * Keys: member/SERVER/MEMBER, frontend/NAME, promote/SERVER. Every value begins with a bytes32 of who wrote it; what this
 * process wrote itself comes back by the watch and is passed over. */
#include "dir_presence.h"

#include "cursor.h"
#include "log.h"

static void key_of(struct buffer *key, const char *table, const char *a, const char *b)
{
	buffer_add_str(key, table);
	buffer_add_str(key, a);
	if (b != NULL) {
		buffer_add_u8(key, '/');
		buffer_add_str(key, b);
	}
}

static void add_str(struct buffer *to, const char *s)
{
	buffer_add_bytes32(to, bytes_of(s));
}

static void say(struct directory *d, struct buffer *key, struct buffer *value)
{
	struct bytes v = buffer_bytes(value);

	dir_etcd_say(d->etcd, buffer_bytes(key), v.n > 0 ? &v : NULL);
	buffer_fini(key);
	buffer_fini(value);
}

void dir_presence_member(struct directory *d, const struct server *server, const struct member *m)
{
	struct buffer key = { 0 }, value = { 0 };

	if (d->etcd == NULL)
		return;
	key_of(&key, "member/", server->name, m->name);
	if (m->session != 0) {
		buffer_add_bytes32(&value, dir_etcd_owner(d->etcd));
		add_str(&value, m->at.imap);
		add_str(&value, m->at.lmtp);
		add_str(&value, m->at.sync);
		add_str(&value, m->at.admin);
		buffer_add_u64le(&value, m->claim_epoch);
		add_str(&value, m->claim_master);
		add_str(&value, m->claim_in_sync);
		add_str(&value, m->at.pop3);
	}
	say(d, &key, &value);
}

void dir_presence_front(struct directory *d, const struct front *f)
{
	struct buffer key = { 0 }, value = { 0 };

	if (d->etcd == NULL)
		return;
	key_of(&key, "frontend/", f->name, NULL);
	if (f->session != 0) {
		buffer_add_bytes32(&value, dir_etcd_owner(d->etcd));
		add_str(&value, f->at.imap);
		add_str(&value, f->at.lmtp);
		add_str(&value, f->at.admin);
		add_str(&value, f->at.pop3);
	}
	say(d, &key, &value);
}

void dir_presence_promote(struct directory *d, const struct server *server, struct bytes member)
{
	struct buffer key = { 0 }, value = { 0 };

	key_of(&key, "promote/", server->name, NULL);
	buffer_add_bytes32(&value, dir_etcd_owner(d->etcd));
	buffer_add_bytes32(&value, member);
	buffer_add_u64le(&value, server->epoch);
	say(d, &key, &value);
}

static bool take_addresses(struct cursor *c, bool has_sync, struct addresses *at)
{
	struct bytes imap, lmtp, sync = BYTES_NONE, admin;

	if (!cursor_bytes32(c, UINT16_MAX, &imap) || !cursor_bytes32(c, UINT16_MAX, &lmtp) ||
	    (has_sync && !cursor_bytes32(c, UINT16_MAX, &sync)) || !cursor_bytes32(c, UINT16_MAX, &admin))
		return false;
	registry_set(&at->imap, imap);
	registry_set(&at->lmtp, lmtp);
	registry_set(&at->sync, sync);
	registry_set(&at->admin, admin);
	return true;
}

/* The last of a value; one that was written before there was POP3 ends without it. */
static void take_pop3(struct cursor *c, struct addresses *at)
{
	struct bytes pop3;

	registry_set(&at->pop3, cursor_bytes32(c, UINT16_MAX, &pop3) ? pop3 : BYTES_NONE);
}

static void heard_member(struct directory *d, struct bytes name, bool is_gone, struct cursor *c)
{
	size_t mark = bytes_find(name, '/');
	struct server *server = registry_server(&d->registry, bytes_sub(name, 0, mark), true);
	struct member *m = server_member(server, bytes_from(name, mark + 1), true);
	struct dir_session *here = m == NULL ? NULL : dir_session_find(d, m->session);
	struct bytes master, in_sync;

	if (m == NULL)
		return; /* too many: the mupdate server that it joined is as full */
	if (is_gone) {
		if (m->session != DIR_ELSEWHERE)
			return;
		m->session = 0;
		log_event(LOG_INFO, "directory.member.left", LOG_STR("server", server->name), LOG_STR("member", m->name));
		dir_tell_member(d, server, m);
		return;
	}
	if (!take_addresses(c, true, &m->at) || !cursor_u64le(c, &m->claim_epoch) ||
	    !cursor_bytes32(c, UINT32_MAX, &master) || !cursor_bytes32(c, UINT32_MAX, &in_sync)) {
		log_event(LOG_ERROR, "directory.etcd.damaged", LOG_BYTES("key", name));
		return;
	}
	registry_set(&m->claim_master, master);
	registry_set(&m->claim_in_sync, in_sync);
	take_pop3(c, &m->at);
	if (here != NULL) {
		/* It has connected elsewhere since: the connection here is one that it has lost and we have not yet. */
		here->has_joined = false;
		conn_abort(here->conn);
	}
	m->session = DIR_ELSEWHERE;
	m->is_stale = false;
	dir_tell_member(d, server, m);
	dir_try_first(d, server);
}

static void heard_front(struct directory *d, struct bytes name, bool is_gone, struct cursor *c)
{
	struct front *f = registry_front(&d->registry, name, !is_gone);

	if (f == NULL)
		return;
	if (is_gone) {
		if (f->session != DIR_ELSEWHERE)
			return;
		f->session = 0;
	} else if (take_addresses(c, false, &f->at)) {
		take_pop3(c, &f->at);
		f->session = DIR_ELSEWHERE;
		f->is_stale = false;
	}
	dir_tell_front(d, f);
}

static void heard_promote(struct directory *d, struct bytes name, struct cursor *c)
{
	struct server *server = registry_server(&d->registry, name, false);
	struct member *master = server == NULL ? NULL : server_member(server, bytes_of(server->master), false);
	struct dir_session *to = master == NULL ? NULL : dir_session_find(d, master->session);
	struct bytes member;
	uint64_t epoch;

	if (to != NULL && cursor_bytes32(c, UINT16_MAX, &member) && cursor_u64le(c, &epoch) && epoch == server->epoch)
		dir_ask_master(to, server, member);
}

/* All that is elsewhere is void until it is heard again. */
static void reset(struct directory *d, bool is_over)
{
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&d->registry.servers, &it, &key, &value)) {
		struct server *server = value;

		LIST_EACH(at, &server->members) {
			struct member *m = LIST_OBJECT(at, struct member, in_server);

			if (!is_over) {
				m->is_stale = m->session == DIR_ELSEWHERE;
			} else if (m->is_stale && m->session == DIR_ELSEWHERE) {
				m->session = 0;
				dir_tell_member(d, server, m);
			}
		}
	}
	it = (struct map_iter){ 0 };
	while (map_next(&d->registry.fronts, &it, &key, &value)) {
		struct front *f = value;

		if (!is_over) {
			f->is_stale = f->session == DIR_ELSEWHERE;
		} else if (f->is_stale && f->session == DIR_ELSEWHERE) {
			f->session = 0;
			dir_tell_front(d, f);
		}
	}
}

void dir_presence_heard(void *arg, struct presence *p)
{
	struct directory *d = arg;
	struct cursor c = cursor_of(p->value);
	struct bytes owner = BYTES_NONE;
	size_t mark = bytes_find(p->key, '/');
	struct bytes name = bytes_from(p->key, mark + 1);
	bool is_gone = p->kind == PRESENCE_GONE;

	if (p->kind == PRESENCE_RESET || p->kind == PRESENCE_LISTED) {
		reset(d, p->kind == PRESENCE_LISTED);
	} else if (bytes_starts(p->key, BYTES_LIT("promote/"))) {
		/* Also one's own: the master may have come here meanwhile. */
		if (!is_gone && cursor_bytes32(&c, UINT16_MAX, &owner))
			heard_promote(d, name, &c);
	} else if (is_gone || (cursor_bytes32(&c, UINT16_MAX, &owner) && !bytes_equal(owner, dir_etcd_owner(d->etcd)))) {
		if (bytes_starts(p->key, BYTES_LIT("member/")))
			heard_member(d, name, is_gone, &c);
		else
			heard_front(d, name, is_gone, &c);
	}
	presence_free(&p);
}

void dir_presence_forgotten(void *arg)
{
	struct directory *d = arg;
	struct map_iter it = { 0 };
	struct bytes key;
	void *value;

	while (map_next(&d->registry.servers, &it, &key, &value)) {
		struct server *server = value;

		LIST_EACH(at, &server->members) {
			struct member *m = LIST_OBJECT(at, struct member, in_server);

			if (dir_session_find(d, m->session) != NULL)
				dir_presence_member(d, server, m);
		}
	}
	it = (struct map_iter){ 0 };
	while (map_next(&d->registry.fronts, &it, &key, &value)) {
		struct front *f = value;

		if (dir_session_find(d, f->session) != NULL)
			dir_presence_front(d, f);
	}
}
