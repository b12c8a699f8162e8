/* dir_reigns.c - what RFC 3656 lacks: members, reigns and frontends, as commands that begin with X (docs/formats.md,
 * "MUPDATE extension"). Whoever watches hears of every change, members before the configuration that names them, and
 * before anybody is answered. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dir_members.h"
#include "dir_presence.h"
#include "dir_session.h"
#include "location.h"
#include "log.h"
#include "record_store.h"

#define PROMOTE_MS 30000

/* Somebody waits for a server to change its master. */
struct dir_promotion {
	struct list in_dir;
	struct directory *dir;
	uint64_t session;
	char *tag, *server, *member; /* MEMBER empty: any other than BEFORE */
	char *before;
	struct timer *deadline;
};

static void tell_watchers(struct directory *d, struct bytes lines)
{
	LIST_EACH(m, &d->watchers) {
		struct dir_session *s = LIST_OBJECT(m, struct dir_session, watcher);

		conn_write(s->conn, lines);
		if (conn_pending(s->conn) > config_number(d->config, "mupdate_max_pending")) {
			list_remove(&s->watcher);
			conn_abort(s->conn);
		}
	}
}

static void tell_server(struct directory *d, const struct server *server)
{
	struct buffer out = { 0 };

	registry_write_server(&out, server);
	tell_watchers(d, buffer_bytes(&out));
	buffer_fini(&out);
	dir_status_changed(d);
}

void dir_tell_member(struct directory *d, const struct server *server, const struct member *m)
{
	struct buffer out = { 0 };

	registry_write_member(&out, server, m);
	tell_watchers(d, buffer_bytes(&out));
	buffer_fini(&out);
	dir_status_changed(d);
}

void dir_tell_front(struct directory *d, const struct front *f)
{
	struct buffer out = { 0 };

	registry_write_front(&out, f);
	tell_watchers(d, buffer_bytes(&out));
	buffer_fini(&out);
	dir_status_changed(d);
}

bool dir_may_join(const struct config *c, struct bytes account, struct bytes authzid, struct bytes server,
                  struct bytes member)
{
	if (dir_members_has(c, server))
		return false; /* its roles are not for its members to decide */
	/* The account is the server's, shared by its members; which of them it is stands in the authorization id. */
	return config_has_word(c, "servers", account) && location_same_server(account, server) &&
	       bytes_equal(authzid, member);
}

/* The names of S's members, as a configuration has them: nobody here knows which of them is in sync. */
static struct bytes foreign_members(struct arena *a, const struct server *s)
{
	struct buffer all = { 0 };
	struct bytes copy;

	LIST_EACH(at, &s->members) {
		buffer_add_str(&all, all.n > 0 ? " " : "");
		buffer_add_str(&all, LIST_OBJECT(at, struct member, in_server)->name);
	}
	copy = arena_copy(a, buffer_bytes(&all));
	buffer_fini(&all);
	return copy;
}

static void load_one(void *arg, struct bytes name, const struct reign *reign)
{
	struct directory *d = arg;

	server_set_reign(registry_server(&d->registry, name, true), reign);
}

/* The members of a server with a row, and the first of them as master if it has none yet. */
static void load_foreign(struct directory *d, const char *name, const char *value)
{
	struct server *s = registry_server(&d->registry, bytes_of(name), true);
	struct bytes row = bytes_of(value), member, first = BYTES_NONE;
	struct change *c;

	s->is_foreign = true;
	while (dir_members_next(&row, &member)) {
		(void)server_member(s, member, true);
		first = first.n == 0 ? member : first;
	}
	if (s->epoch > 0)
		return;
	c = change_new(CHANGE_FIRST_REIGN);
	c->server = arena_copy(&c->arena, bytes_of(s->name));
	c->wanted.epoch = 1;
	c->wanted.in_sync = foreign_members(&c->arena, s);
	c->wanted.master = arena_copy(&c->arena, first);
	dir_writer_submit(d->writer, c);
}

void dir_reigns_foreign(struct directory *d)
{
	const char *name, *value;

	for (size_t i = 0; !d->is_follower && config_family(d->config, "members-", i, &name, &value); i++)
		load_foreign(d, name, value);
}

bool dir_reigns_load(struct directory *d, struct fault *why)
{
	struct kv_txn *t = kv_read(d->kv, why);
	bool ok = t != NULL;

	if (ok) {
		ok = reign_each(t, load_one, d) ||
		     fault_set(why, FAULT_OPERATOR, "the directory's servers cannot be read: see the line before");
		atomic_store(&d->records, record_count(t));
		kv_end(&t);
	}
	if (!ok)
		return false;
	dir_reigns_foreign(d);
	dir_status_changed(d);
	return true;
}

void dir_try_first(struct directory *d, const struct server *s)
{
	struct reign first;
	struct change *c;

	if (s->epoch > 0 || !server_first_reign(s, &first))
		return;
	c = change_new(CHANGE_FIRST_REIGN);
	c->server = arena_copy(&c->arena, bytes_of(s->name));
	c->wanted.epoch = first.epoch;
	c->wanted.master = arena_copy(&c->arena, first.master);
	c->wanted.in_sync = arena_copy(&c->arena, first.in_sync);
	dir_writer_submit(d->writer, c);
}

static void begin_watching(struct dir_session *s)
{
	struct buffer out = { 0 };

	registry_write_all(&out, &s->dir->registry);
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
	list_remove(&s->watcher);
	list_push(&s->dir->watchers, &s->watcher);
}

static bool is_too_long(const struct mupdate_line *line)
{
	for (size_t i = 0; i < line->count; i++) {
		/* The ninth of XJOIN is a set of members. */
		if (line->args[i].n > REGISTRY_TEXT_MAX * (i == 8 ? SERVER_MEMBERS_MAX : 1))
			return true;
	}
	return false;
}

/* XJOIN server member imap lmtp sync admin epoch master in-sync [pop3] */
void dir_join(struct dir_session *s, const struct mupdate_line *line)
{
	struct directory *d = s->dir;
	struct server *server;
	struct member *m;
	uint64_t epoch;

	if (s->has_joined) {
		dir_answer(s, line->tag, "BAD", "this session has joined");
		return;
	}
	if (!bytes_to_u64(line->args[6], UINT64_MAX, &epoch) || line->args[1].n == 0 ||
	    bytes_find(line->args[1], ' ') < line->args[1].n) {
		dir_answer(s, line->tag, "BAD", "the epoch is not a number, or the member's name holds a blank");
		return;
	}
	if (is_too_long(line)) {
		dir_answer(s, line->tag, "NO", "a name or address is too long");
		return;
	}
	if (!dir_may_join(d->config, bytes_of(s->account), bytes_of(s->authzid), line->args[0], line->args[1])) {
		log_event(LOG_WARNING, "directory.join.refused", LOG_U64("conn", s->id), LOG_STR("account", s->account),
		          LOG_BYTES("server", line->args[0]), LOG_BYTES("member", line->args[1]));
		dir_answer(s, line->tag, "NO", "this account may not join as that member");
		return;
	}
	server = registry_server(&d->registry, line->args[0], true);
	m = server_member(server, line->args[1], true);
	if (m == NULL) {
		dir_answer(s, line->tag, "NO", "the server has too many members");
		return;
	}
	if (m->session != 0 && dir_session_find(d, m->session) != NULL) {
		/* The newer connection is the member's: the older is one that it has lost and we have not yet. */
		struct dir_session *old = dir_session_find(d, m->session);

		old->has_joined = false;
		conn_abort(old->conn);
	}
	m->session = s->id;
	registry_set(&m->at.imap, line->args[2]);
	registry_set(&m->at.lmtp, line->args[3]);
	registry_set(&m->at.sync, line->args[4]);
	registry_set(&m->at.admin, line->args[5]);
	registry_set(&m->at.pop3, line->count > 9 ? line->args[9] : BYTES_NONE);
	m->claim_epoch = epoch;
	registry_set(&m->claim_master, line->args[7]);
	registry_set(&m->claim_in_sync, line->args[8]);
	registry_set(&s->server, bytes_of(server->name));
	registry_set(&s->member, line->args[1]);
	s->has_joined = true;
	log_event(LOG_INFO, "directory.member.joined", LOG_STR("server", server->name), LOG_STR("member", m->name),
	          LOG_STR("peer", conn_peer(s->conn)), LOG_U64("epoch", epoch));
	dir_tell_member(d, server, m);
	dir_presence_member(d, server, m);
	begin_watching(s);
	dir_answer(s, line->tag, "OK", "joined");
	dir_try_first(d, server);
}

/* XREIGN server epoch master in-sync */
void dir_reign(struct dir_session *s, const struct mupdate_line *line)
{
	struct change *c;
	uint64_t epoch;

	if (!bytes_to_u64(line->args[1], UINT64_MAX, &epoch)) {
		dir_answer(s, line->tag, "BAD", "the epoch is not a number");
		return;
	}
	if (!s->has_joined || !location_same_server(bytes_of(s->server), line->args[0])) {
		dir_answer(s, line->tag, "NO", "only a joined member of the server may ask");
		return;
	}
	c = change_new(CHANGE_REIGN);
	c->session = s->id;
	c->tag = arena_copy(&c->arena, line->tag);
	c->server = arena_copy(&c->arena, bytes_of(s->server));
	c->member = arena_copy(&c->arena, bytes_of(s->member));
	c->asked_epoch = epoch;
	c->wanted.master = arena_copy(&c->arena, line->args[2]);
	c->wanted.in_sync = arena_copy(&c->arena, line->args[3]);
	s->writes++;
	dir_writer_submit(s->dir->writer, c);
}

static void promotion_over(struct dir_promotion *p, const char *status, const char *text)
{
	struct dir_session *s = dir_session_find(p->dir, p->session);

	if (s != NULL && text != NULL) {
		s->is_promoting = false;
		dir_answer(s, bytes_of(p->tag), status, text);
	}
	list_remove(&p->in_dir);
	timer_free(&p->deadline);
	free(p->tag);
	free(p->server);
	free(p->member);
	free(p->before);
	free(p);
}

static void promotion_late(void *arg)
{
	promotion_over(arg, "NO", "the master did not change in time; see the members' logs");
}

void dir_reign_done(struct directory *d, const struct change *c)
{
	struct server *server = registry_server(&d->registry, c->server, true);

	if (c->is_changed) {
		server_set_reign(server, &c->reign);
		log_event(LOG_INFO, "directory.reign.granted", LOG_STR("server", server->name), LOG_U64("epoch", server->epoch),
		          LOG_STR("master", server->master), LOG_STR("in_sync", server->in_sync));
		tell_server(d, server);
	} else if (c->kind == CHANGE_REIGN && !c->is_ok) {
		struct dir_session *s = dir_session_find(d, c->session);
		struct buffer out = { 0 };

		registry_write_server(&out, server);
		if (s != NULL)
			conn_write(s->conn, buffer_bytes(&out));
		buffer_fini(&out);
		log_event(LOG_INFO, "directory.reign.refused", LOG_STR("server", server->name), LOG_BYTES("member", c->member),
		          LOG_U64("asked", c->asked_epoch), LOG_STR("why", c->text));
	}
	if (!c->is_changed)
		return;
	LIST_EACH(m, &d->promotions) {
		struct dir_promotion *p = LIST_OBJECT(m, struct dir_promotion, in_dir);

		if (strcmp(p->server, server->name) != 0)
			continue;
		if (p->member[0] != '\0' ? strcmp(p->member, server->master) == 0 : strcmp(p->before, server->master) != 0)
			promotion_over(p, "OK", "promoted");
	}
}

void dir_watch(struct dir_session *s, const struct mupdate_line *line)
{
	begin_watching(s);
	dir_answer(s, line->tag, "OK", "watching");
}

/* XFRONTEND name imap lmtp admin [pop3] */
void dir_front(struct dir_session *s, const struct mupdate_line *line)
{
	struct front *f;

	if (!s->is_proxy && !s->is_admin) {
		dir_answer(s, line->tag, "NO", "only one of proxyservers is a frontend");
		return;
	}
	if (s->front != NULL) {
		dir_answer(s, line->tag, "BAD", "this session is a frontend's");
		return;
	}
	f = is_too_long(line) ? NULL : registry_front(&s->dir->registry, line->args[0], true);
	if (f == NULL) {
		dir_answer(s, line->tag, "NO", "a name or address is too long, or there are too many frontends");
		return;
	}
	f->session = s->id;
	registry_set(&f->at.imap, line->args[1]);
	registry_set(&f->at.lmtp, line->args[2]);
	registry_set(&f->at.admin, line->args[3]);
	registry_set(&f->at.pop3, line->count > 4 ? line->args[4] : BYTES_NONE);
	registry_set(&s->front, line->args[0]);
	dir_tell_front(s->dir, f);
	dir_presence_front(s->dir, f);
	dir_answer(s, line->tag, "OK", "welcome");
}

/* A server whose members do not join: the record alone decides. */
static void promote_foreign(struct dir_session *s, const struct mupdate_line *line, const struct server *server,
                            struct bytes member)
{
	struct change *c = change_new(CHANGE_FORCE_REIGN);

	c->session = s->id;
	c->tag = arena_copy(&c->arena, line->tag);
	c->server = arena_copy(&c->arena, bytes_of(server->name));
	c->wanted.master = arena_copy(&c->arena, member);
	c->wanted.in_sync = foreign_members(&c->arena, server);
	s->writes++;
	dir_writer_submit(s->dir->writer, c);
}

static const char *promote_refusal(struct dir_session *s, struct server *server, struct bytes member)
{
	if (server == NULL || server->epoch == 0)
		return "no such server";
	if (!s->is_admin && (s->server == NULL || !location_same_server(bytes_of(s->server), bytes_of(server->name))))
		return "only an administrator or the server's own account may do that";
	if (server->is_foreign)
		return member.n == 0 || server_member(server, member, false) != NULL ? NULL : "it has no such member";
	if (member.n > 0 && !reign_has_member(bytes_of(server->in_sync), member))
		return "that member is not in the in-sync set; wait until it has caught up";
	return NULL;
}

/* Another in-sync member than the master. */
static struct bytes other_member(const struct server *server)
{
	LIST_EACH(at, &server->members) {
		struct member *m = LIST_OBJECT(at, struct member, in_server);

		if (strcmp(m->name, server->master) == 0)
			continue;
		if (server->is_foreign || (m->session != 0 && reign_has_member(bytes_of(server->in_sync), bytes_of(m->name))))
			return bytes_of(m->name);
	}
	return BYTES_NONE;
}

void dir_ask_master(struct dir_session *to, const struct server *server, struct bytes member)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, "* XPROMOTE");
	mupdate_add_string(&out, bytes_of(server->name));
	mupdate_add_string(&out, member);
	buffer_add_str(&out, "\r\n");
	conn_write(to->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* XPROMOTE server member */
void dir_promote(struct dir_session *s, const struct mupdate_line *line)
{
	struct directory *d = s->dir;
	struct server *server = registry_server(&d->registry, line->args[0], false);
	struct bytes member = line->args[1];
	const char *refusal = promote_refusal(s, server, member);
	struct dir_promotion *p;
	struct member *master;
	struct dir_session *to;

	if (refusal == NULL && member.n == 0) {
		member = other_member(server);
		if (member.n == 0)
			refusal = "no other member is in sync and up";
	}
	if (refusal != NULL) {
		dir_answer(s, line->tag, "NO", refusal);
		return;
	}
	if (bytes_equal_str(member, server->master)) {
		dir_answer(s, line->tag, "OK", "it is the master");
		return;
	}
	if (s->is_promoting) {
		dir_answer(s, line->tag, "NO", "this session waits for another hand-over");
		return;
	}
	if (server->is_foreign) {
		promote_foreign(s, line, server, member);
		return;
	}
	master = server_member(server, bytes_of(server->master), false);
	to = master == NULL ? NULL : dir_session_find(d, master->session);
	if (to == NULL && (master == NULL || master->session != DIR_ELSEWHERE)) {
		dir_answer(s, line->tag, "NO", "the master is not connected; its replica takes over by itself");
		return;
	}
	p = must_calloc(1, sizeof(*p));
	p->dir = d;
	p->session = s->id;
	p->tag = bytes_to_str(line->tag);
	p->server = must_strdup(server->name);
	p->member = bytes_to_str(member);
	p->before = must_strdup(server->master);
	p->deadline = timer_new(d->loop, promotion_late, p);
	timer_start(p->deadline, PROMOTE_MS, 0);
	list_push(&d->promotions, &p->in_dir);
	s->is_promoting = true;
	if (to != NULL)
		dir_ask_master(to, server, member);
	else
		dir_presence_promote(d, server, member);
}

void dir_left(struct dir_session *s)
{
	struct directory *d = s->dir;

	LIST_EACH(at, &d->promotions) {
		struct dir_promotion *p = LIST_OBJECT(at, struct dir_promotion, in_dir);

		if (p->session == s->id)
			promotion_over(p, NULL, NULL);
	}
	if (s->has_joined) {
		struct server *server = registry_server(&d->registry, bytes_of(s->server), true);
		struct member *m = server_member(server, bytes_of(s->member), false);

		if (m != NULL && m->session == s->id) {
			m->session = 0;
			log_event(LOG_INFO, "directory.member.left", LOG_STR("server", server->name), LOG_STR("member", m->name));
			dir_tell_member(d, server, m);
			dir_presence_member(d, server, m);
		}
	}
	if (s->front != NULL) {
		struct front *f = registry_front(&d->registry, bytes_of(s->front), false);

		if (f != NULL && f->session == s->id) {
			f->session = 0;
			dir_tell_front(d, f);
			dir_presence_front(d, f);
		}
	}
}
