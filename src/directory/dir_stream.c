/* dir_stream.c - LIST and UPDATE: a list goes out in pieces as the follower reads it, each piece from a fresh snapshot
 * after the last name sent; what changes meanwhile is held and follows the list. A change that the list has passed is
 * among the held ones, one that it has not yet reached is sent twice, which changes nothing.
 *
 * A follower that does not read costs mupdate_max_pending octets of changes at most, besides what of the list is on its
 * way, and all together mupdate_max_pending_all; then it is disconnected; nobody waits for it. */
#include <stdlib.h>

#include "dir_session.h"
#include "log.h"
#include "record_store.h"

/* A piece of a list ends with the first of these. */
#define PIECE_RECORDS 512
#define PIECE_OCTETS (64 * 1024)
/* What of a list may be on its way: a piece after one that was just below the high-water mark, its last record long. */
#define LIST_PENDING_MAX (CONN_OUTPUT_HIGH + 4 * PIECE_OCTETS)

void dir_write_record(struct buffer *to, struct bytes tag, struct bytes name, const struct record *record)
{
	buffer_add(to, tag);
	buffer_add_str(to, record->state == RECORD_ACTIVE ? " MAILBOX" : " RESERVE");
	mupdate_add_string(to, name);
	mupdate_add_string(to, record->location);
	if (record->state == RECORD_ACTIVE)
		mupdate_add_string(to, record->acl);
	buffer_add_str(to, "\r\n");
}

/* RFC 3656 sections 4.6 and 4.9: a prefix of the location. The server's part matches whatever its case. */
static bool matches(struct bytes location, const char *filter)
{
	struct bytes want = bytes_of(filter);
	size_t mark = bytes_find(want, '!');

	return bytes_starts_nocase(location, bytes_sub(want, 0, mark)) &&
	       (mark == want.n || (location.n >= mark && bytes_starts(bytes_from(location, mark), bytes_from(want, mark))));
}

static bool is_wanted(const struct dir_session *s, struct bytes location)
{
	if (s->filter_count == 0)
		return true;
	for (size_t i = 0; i < s->filter_count; i++) {
		if (matches(location, s->filters[i]))
			return true;
	}
	return false;
}

static void list_over(struct dir_session *s)
{
	struct bytes tag = bytes_of(s->list_tag);

	if (s->list_kind == LIST_UPDATE) {
		dir_answer(s, tag, "OK", "streaming starts");
		conn_write(s->conn, buffer_bytes(&s->held));
		buffer_fini(&s->held);
	} else {
		dir_answer(s, tag, "OK", "list complete");
		for (size_t i = 0; i < s->filter_count; i++)
			free(s->filters[i]);
		s->filter_count = 0;
	}
	s->list_kind = LIST_NONE;
	buffer_fini(&s->list_at);
	dir_session_resume(s);
}

void dir_list_go_on(struct dir_session *s)
{
	struct bytes tag = bytes_of(s->list_tag);
	bool has_more = true;

	while (has_more && conn_pending(s->conn) < CONN_OUTPUT_HIGH) {
		struct buffer out = { 0 };
		struct record_cursor c;
		struct bytes name;
		struct record record;
		struct fault why;
		struct kv_txn *t = kv_read(s->dir->kv, &why);
		bool is_last = false, is_whole;

		if (t == NULL) {
			log_event(LOG_ERROR, "directory.read.failed", LOG_FAULT(&why));
			conn_abort(s->conn);
			return;
		}
		record_cursor_open(t, buffer_bytes(&s->list_at), s->list_started, &c);
		for (size_t i = 0; !is_last && (has_more = record_cursor_get(&c, &name, &record)); i++) {
			if (record.state != RECORD_NONE && is_wanted(s, record.location))
				dir_write_record(&out, tag, name, &record);
			is_last = i + 1 == PIECE_RECORDS || out.n >= PIECE_OCTETS;
			if (is_last) {
				buffer_clear(&s->list_at);
				buffer_add(&s->list_at, name);
				s->list_started = true;
			}
			record_cursor_next(&c);
		}
		is_whole = record_cursor_close(&c);
		kv_end(&t);
		if (!is_whole) {
			/* A list that only seems to end would have followers forget what is behind. */
			(void)fault_set(&why, FAULT_OPERATOR, "the records cannot be read: see the line before");
			log_event(LOG_ERROR, "directory.read.failed", LOG_FAULT(&why));
			buffer_fini(&out);
			conn_abort(s->conn);
			return;
		}
		conn_write(s->conn, buffer_bytes(&out));
		buffer_fini(&out);
	}
	if (!has_more)
		list_over(s);
}

void dir_list_begin(struct dir_session *s, enum list_kind kind, const struct mupdate_line *line)
{
	s->list_kind = kind;
	s->list_started = false;
	free(s->list_tag);
	s->list_tag = bytes_to_str(line->tag);
	for (size_t i = 0; i < line->count; i++)
		s->filters[s->filter_count++] = bytes_to_str(line->args[i]);
	if (kind == LIST_UPDATE) {
		s->is_streaming = true;
		list_push(&s->dir->followers, &s->follower);
		(void)atomic_fetch_add(&s->dir->follower_count, 1);
	}
	dir_list_go_on(s);
}

static void write_delete(struct buffer *to, struct bytes tag, struct bytes name)
{
	buffer_add(to, tag);
	buffer_add_str(to, " DELETE");
	mupdate_add_string(to, name);
	buffer_add_str(to, "\r\n");
}

static size_t pending(const struct dir_session *s)
{
	return conn_pending(s->conn) + s->held.n;
}

static void drop(struct dir_session *s)
{
	log_event(LOG_WARNING, "directory.follower.dropped", LOG_U64("conn", s->id), LOG_STR("peer", conn_peer(s->conn)),
	          LOG_U64("pending", pending(s)));
	list_remove(&s->follower);
	conn_abort(s->conn);
}

/* Many that do not read may each be below their own limit: those for whom most waits go until the rest is below MAX. */
static void drop_biggest(struct directory *d, size_t total, size_t max)
{
	while (total > max) {
		struct dir_session *biggest = NULL;

		LIST_EACH(m, &d->followers) {
			struct dir_session *s = LIST_OBJECT(m, struct dir_session, follower);

			if (biggest == NULL || pending(s) > pending(biggest))
				biggest = s;
		}
		if (biggest == NULL || pending(biggest) == 0)
			return;
		total -= pending(biggest);
		drop(biggest);
	}
}

void dir_broadcast(struct directory *d, const struct change *c)
{
	size_t max = (size_t)config_number(d->config, "mupdate_max_pending"), total = 0;

	LIST_EACH(m, &d->followers) {
		struct dir_session *s = LIST_OBJECT(m, struct dir_session, follower);
		struct bytes tag = bytes_of(s->list_tag);
		bool wants_after = c->after.state != RECORD_NONE && is_wanted(s, c->after.location);
		bool wants_before = c->before.state != RECORD_NONE && is_wanted(s, c->before.location);

		buffer_clear(&d->line);
		if (wants_after)
			dir_write_record(&d->line, tag, c->name, &c->after);
		else if (wants_before)
			write_delete(&d->line, tag, c->name);
		else
			continue;
		if (s->list_kind != LIST_NONE)
			buffer_add(&s->held, buffer_bytes(&d->line));
		else
			conn_write(s->conn, buffer_bytes(&d->line));
		if (pending(s) > max + LIST_PENDING_MAX)
			drop(s);
		else
			total += pending(s);
	}
	drop_biggest(d, total, (size_t)config_number(d->config, "mupdate_max_pending_all"));
}
