/* dir_commands.c - the commands of RFC 3656 section 4 after authentication: the one table, and what each does. */
#include <string.h>

#include "dir_members.h"
#include "dir_session.h"
#include "location.h"
#include "log.h"
#include "record_store.h"

enum trait {
	T_STREAMING = 1, /* legal while updates are streamed */
	T_WRITES = 2,    /* goes to the writer; others wait for the writes before them */
	T_MASTER = 4,    /* not at a follower */
};

typedef bool command_fn(struct dir_session *s, const struct mupdate_line *line);

struct command_row {
	const char *word;
	size_t min, max; /* arguments */
	unsigned traits;
	command_fn *fn;
};

static bool cmd_noop(struct dir_session *s, const struct mupdate_line *line)
{
	struct change *c;

	if (!s->dir->is_follower) {
		dir_answer(s, line->tag, "OK", "Noop done");
		return true;
	}
	/* A follower answers when it has heard what its master had told others before: Cyrus's "kick". */
	c = change_new(CHANGE_RECORD);
	c->session = s->id;
	c->tag = arena_copy(&c->arena, line->tag);
	c->is_ok = true;
	c->text = "Noop done";
	s->writes++;
	dir_follow_kick(s->dir->follow, c);
	return true;
}

static bool cmd_logout(struct dir_session *s, const struct mupdate_line *line)
{
	dir_logout(s, line->tag);
	return false;
}

static bool cmd_again(struct dir_session *s, const struct mupdate_line *line)
{
	dir_answer(s, line->tag, "BAD", "already authenticated");
	return true;
}

/* RFC 4978's command in MUPDATE's clothes. As with IMAP nothing may follow it before its answer: what does is taken for
 * compressed. Before authentication there is none, for its memory. */
static bool cmd_compress(struct dir_session *s, const struct mupdate_line *line)
{
	if (conn_is_compressed(s->conn)) {
		dir_answer(s, line->tag, "NO", "DEFLATE is active already");
	} else if (!bytes_equal_nocase_str(line->args[0], "DEFLATE")) {
		dir_answer(s, line->tag, "NO", "no such mechanism");
	} else {
		dir_answer(s, line->tag, "OK", "DEFLATE active");
		s->starts_compress = true;
	}
	return true;
}

/* LOCATION: NULL where the command has none. What it holds is the backends' business, but nobody is nowhere. */
static const char *write_refusal(const struct dir_session *s, struct bytes name, const struct bytes *location)
{
	if (name.n == 0 || name.n > RECORD_NAME_MAX || bytes_find(name, '\0') < name.n)
		return "the mailbox name is not allowed";
	if (location != NULL && location->n == 0)
		return "the location is not allowed";
	if (s->is_admin)
		return NULL;
	if (s->server == NULL)
		return "not allowed";
	if (location != NULL && !location_same_server(location_of(*location).server, bytes_of(s->server)))
		return "the location is another server's";
	if (s->member == NULL && dir_members_has(s->dir->config, bytes_of(s->server)))
		return "this login is none of the server's members";
	return NULL;
}

static struct bytes lower_copy(struct arena *a, struct bytes b)
{
	uint8_t *to = arena_alloc(a, b.n);

	for (size_t i = 0; i < b.n; i++)
		to[i] = ascii_lower(b.p[i]);
	return bytes_make(to, b.n);
}

static bool submit_record(struct dir_session *s, const struct mupdate_line *line, enum record_command command)
{
	const char *refusal = write_refusal(s, line->args[0], line->count > 1 ? &line->args[1] : NULL);
	struct change *c;

	if (refusal != NULL) {
		/* Answers keep the order of the commands: this one, too, goes through the writer's queue by waiting for it. */
		if (s->writes > 0)
			return false;
		dir_answer(s, line->tag, "NO", refusal);
		return true;
	}
	c = change_new(CHANGE_RECORD);
	c->session = s->id;
	c->command = command;
	c->tag = arena_copy(&c->arena, line->tag);
	c->name = arena_copy(&c->arena, line->args[0]);
	if (line->count > 1)
		c->location = arena_copy(&c->arena, line->args[1]);
	if (line->count > 2)
		c->acl = arena_copy(&c->arena, line->args[2]);
	if (s->server != NULL)
		c->server = lower_copy(&c->arena, bytes_of(s->server));
	if (s->member != NULL)
		c->member = arena_copy(&c->arena, bytes_of(s->member));
	s->writes++;
	dir_writer_submit(s->dir->writer, c);
	return true;
}

static bool cmd_reserve(struct dir_session *s, const struct mupdate_line *line)
{
	return submit_record(s, line, RECORD_RESERVE);
}

static bool cmd_activate(struct dir_session *s, const struct mupdate_line *line)
{
	return submit_record(s, line, RECORD_ACTIVATE);
}

static bool cmd_deactivate(struct dir_session *s, const struct mupdate_line *line)
{
	return submit_record(s, line, RECORD_DEACTIVATE);
}

static bool cmd_delete(struct dir_session *s, const struct mupdate_line *line)
{
	return submit_record(s, line, RECORD_DELETE);
}

static bool find_here(struct dir_session *s, const struct mupdate_line *line)
{
	struct buffer out = { 0 };
	struct record record;
	struct fault why;
	struct kv_txn *t = kv_read(s->dir->kv, &why);

	if (t == NULL || record_get(t, line->args[0], &record) != KV_OK) {
		dir_answer(s, line->tag, "NO", "the directory cannot be read now");
	} else {
		if (record.state != RECORD_NONE)
			dir_write_record(&out, line->tag, line->args[0], &record);
		conn_write(s->conn, buffer_bytes(&out));
		dir_answer(s, line->tag, "OK", "Search completed");
	}
	kv_end(&t);
	buffer_fini(&out);
	return true;
}

/* Several mupdate servers share the store: what another has answered a moment ago may not have come here yet. */
static void find_in_store(struct dir_session *s, const struct mupdate_line *line)
{
	struct change *c = change_new(CHANGE_NONE);

	c->session = s->id;
	c->tag = arena_copy(&c->arena, line->tag);
	c->name = arena_copy(&c->arena, line->args[0]);
	s->writes++;
	dir_writer_submit(s->dir->writer, c);
}

static void answer_found(struct dir_session *s, const struct change *c)
{
	struct buffer out = { 0 };

	if (c->is_ok && c->after.state != RECORD_NONE)
		dir_write_record(&out, c->tag, c->name, &c->after);
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static bool cmd_find(struct dir_session *s, const struct mupdate_line *line)
{
	if (s->dir->etcd != NULL && line->args[0].n > 0 && line->args[0].n <= RECORD_NAME_MAX) {
		find_in_store(s, line);
		return true;
	}
	return find_here(s, line);
}

static bool cmd_list(struct dir_session *s, const struct mupdate_line *line)
{
	dir_list_begin(s, LIST_FIND_ALL, line);
	return s->list_kind == LIST_NONE;
}

static bool cmd_update(struct dir_session *s, const struct mupdate_line *line)
{
	dir_list_begin(s, LIST_UPDATE, line);
	return s->list_kind == LIST_NONE;
}

static bool cmd_join(struct dir_session *s, const struct mupdate_line *line)
{
	dir_join(s, line);
	return true;
}

static bool cmd_reign(struct dir_session *s, const struct mupdate_line *line)
{
	dir_reign(s, line);
	return true;
}

static bool cmd_watch(struct dir_session *s, const struct mupdate_line *line)
{
	dir_watch(s, line);
	return true;
}

static bool cmd_front(struct dir_session *s, const struct mupdate_line *line)
{
	dir_front(s, line);
	return true;
}

static bool cmd_promote(struct dir_session *s, const struct mupdate_line *line)
{
	dir_promote(s, line);
	return true;
}

static const struct command_row rows[] = {
	{ "ACTIVATE", 3, 3, T_WRITES | T_MASTER, cmd_activate },
	{ "AUTHENTICATE", 0, MUPDATE_ARGS_MAX, 0, cmd_again },
	{ "COMPRESS", 1, 1, 0, cmd_compress },
	{ "DEACTIVATE", 2, 2, T_WRITES | T_MASTER, cmd_deactivate },
	{ "DELETE", 1, 1, T_WRITES | T_MASTER, cmd_delete },
	{ "FIND", 1, 1, 0, cmd_find },
	{ "LIST", 0, 1, 0, cmd_list },
	{ "LOGOUT", 0, 0, T_STREAMING, cmd_logout },
	{ "NOOP", 0, 0, T_STREAMING, cmd_noop },
	{ "RESERVE", 2, 2, T_WRITES | T_MASTER, cmd_reserve },
	{ "UPDATE", 0, DIR_FILTERS_MAX, 0, cmd_update },
	{ "XFRONTEND", 4, 5, T_STREAMING | T_MASTER, cmd_front },
	{ "XJOIN", 9, 10, T_MASTER, cmd_join },
	{ "XPROMOTE", 2, 2, T_STREAMING | T_MASTER, cmd_promote },
	{ "XREIGN", 4, 4, T_STREAMING | T_MASTER, cmd_reign },
	{ "XWATCH", 0, 0, T_STREAMING | T_MASTER, cmd_watch },
};

static const struct command_row *row_of(struct bytes word)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (bytes_equal_str(word, rows[i].word))
			return &rows[i];
	}
	return NULL;
}

bool dir_command(struct dir_session *s, const struct mupdate_line *line)
{
	const struct command_row *row = row_of(line->word);
	const char *complaint = NULL;

	if (s->writes > 0 && (row == NULL || (row->traits & T_WRITES) == 0))
		return false;
	if (row == NULL)
		complaint = "Unrecognized command";
	else if (s->is_streaming && (row->traits & T_STREAMING) == 0)
		complaint = "not legal when streaming";
	else if (line->count < row->min || line->has_atom)
		complaint = "Missing arguments";
	else if (line->count > row->max)
		complaint = "Too many arguments";
	if (complaint != NULL) {
		if (s->writes > 0)
			return false;
		return dir_bad(s, line->tag, complaint);
	}
	s->failures = 0;
	if (s->dir->is_follower && (row->traits & T_MASTER) != 0) {
		/* It waits for NOOPs before it, as answers come in the order of the commands. */
		if (s->writes > 0)
			return false;
		dir_answer(s, line->tag, "BAD", "read-only session");
		return true;
	}
	return row->fn(s, line);
}

static void log_move(const struct change *c)
{
	log_event(LOG_WARNING, "directory.mailbox.moved", LOG_BYTES("mbox", c->name), LOG_BYTES("from", c->before.location),
	          LOG_BYTES("to", c->after.location));
}

static void ignored(struct directory *d, const struct change *c)
{
	(void)atomic_fetch_add(&d->ignored, 1);
	log_event(LOG_DEBUG, "directory.write.ignored", LOG_BYTES("server", c->server), LOG_BYTES("member", c->member),
	          LOG_BYTES("mbox", c->name));
}

void dir_changes_done(void *arg, struct change *first)
{
	struct directory *d = arg;

	/* Followers are told before anybody is answered: whoever hears an OK may rely on a NOOP in an update session. */
	for (struct change *c = first; c != NULL; c = c->next) {
		if (c->kind == CHANGE_NONE)
			continue;
		if (c->is_ignored)
			ignored(d, c);
		if (c->kind != CHANGE_RECORD) {
			dir_reign_done(d, c);
		} else if (c->is_changed) {
			if (c->before.state == RECORD_NONE)
				(void)atomic_fetch_add(&d->records, 1);
			if (c->after.state == RECORD_NONE)
				(void)atomic_fetch_sub(&d->records, 1);
			if (c->is_move) {
				(void)atomic_fetch_add(&d->moves, 1);
				log_move(c);
			}
			dir_broadcast(d, c);
		}
	}
	while (first != NULL) {
		struct change *c = first;
		struct dir_session *s = dir_session_find(d, c->session);

		first = c->next;
		if (s != NULL) {
			if (c->kind == CHANGE_NONE)
				answer_found(s, c);
			dir_answer(s, c->tag, c->is_ok ? "OK" : "NO", c->text);
			s->writes--;
			dir_session_resume(s);
		}
		change_free(&c);
	}
}
