/* fe_imap_forward.c - commands to backends, and their answers back: octet for octet, but for what only proxies are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_writer.h"
#include "log.h"

static struct places *places_of(const struct fe_imap *s)
{
	return fe_imap_frontend(s)->places;
}

static void fail(struct fe_imap *s, const char *text)
{
	fe_imap_tagged(s, "NO", text);
	fe_imap_op_done(s);
}

/* Whether the command may be sent again although it may have been done: then doing it twice is doing it once. */
static bool is_repeatable(enum imap_verb verb)
{
	switch (verb) {
	case IMAP_STATUS:
	case IMAP_GETACL:
	case IMAP_GETQUOTA:
	case IMAP_GETQUOTAROOT:
	case IMAP_SETQUOTA:
	case IMAP_GETMETADATA:
	case IMAP_SETMETADATA:
	case IMAP_MYRIGHTS:
	case IMAP_LISTRIGHTS:
	case IMAP_LSUB:
	case IMAP_SELECT:
	case IMAP_EXAMINE:
	case IMAP_SUBSCRIBE:
	case IMAP_UNSUBSCRIBE:
	case IMAP_SETACL:
	case IMAP_DELETEACL:
	case IMAP_ESEARCH:
		return true;
	default:
		return false;
	}
}

static void retry_now(void *arg)
{
	struct fe_imap *s = arg;

	timer_free(&s->retry);
	fe_imap_try(s);
}

void fe_imap_try_later(struct fe_imap *s, const char *why)
{
	char text[200];

	s->is_sent = false;
	s->op_link = NULL;
	if (loop_now_ms(s->base.shard->loop) < s->deadline_ms) {
		timer_free(&s->retry);
		s->retry = timer_new(s->base.shard->loop, retry_now, s);
		timer_start(s->retry, FRONTEND_RETRY_MS, 0);
		return;
	}
	(void)snprintf(text, sizeof(text), "[UNAVAILABLE] the server %.60s cannot be reached now: %.80s", s->op_server, why);
	log_event(LOG_WARNING, "frontend.imap.given_up", LOG_U64("conn", s->id), LOG_STR("server", s->op_server),
	          LOG_STR("why", why));
	if (s->own != NULL)
		s->own->lost(s, why);
	else
		fail(s, text);
}

static void send_command(struct fe_imap *s)
{
	bool selects = s->cmd.verb == IMAP_SELECT || s->cmd.verb == IMAP_EXAMINE;

	if (selects && s->selected != NULL && s->selected != s->op_link) {
		imap_link_unselect(s->selected);
		s->selected = NULL;
		if ((s->features & (IMAP_F_QRESYNC | IMAP_F_REV2)) != 0)
			fe_imap_say(s, "* OK [CLOSED] the former mailbox is closed");
	}
	imap_link_enable(s->op_link);
	s->is_sent = true;
	conn_write(s->op_link->conn, buffer_bytes(&s->raw));
}

void fe_imap_try(struct fe_imap *s)
{
	struct imap_link *l = imap_link_get(s, s->op_server);

	if (l == NULL && s->selected != NULL && strcmp(s->selected->server, s->op_server) == 0) {
		fe_imap_bye(s, "[UNAVAILABLE] the mailbox's server has another master: please connect again");
		return;
	}
	if (l == NULL) {
		fe_imap_try_later(s, "it has no master");
		return;
	}
	s->op_link = l;
	if (l->state == ILINK_READY)
		fe_imap_link_ready(s, l);
}

void fe_imap_link_ready(struct fe_imap *s, struct imap_link *l)
{
	if (!s->has_op || s->op_link != l || s->is_sent)
		return;
	if (s->own != NULL)
		s->own->link_ready(s, l);
	else
		send_command(s);
}

void fe_imap_forward_to(struct fe_imap *s, const char *server)
{
	(void)snprintf(s->op_server, sizeof(s->op_server), "%s", server);
	fe_imap_try(s);
}

void fe_imap_forward_selected(struct fe_imap *s)
{
	fe_imap_forward_to(s, s->selected->server);
}

struct sync_wait {
	struct fe_imap *session;
	void (*next)(struct fe_imap *s);
};

static void synced(void *arg)
{
	struct sync_wait w = *(struct sync_wait *)arg;

	free(arg);
	w.session->syncs--;
	if (w.session->is_dead) {
		if (w.session->syncs == 0)
			free(w.session);
		return;
	}
	if (w.session->has_op)
		w.next(w.session);
}

void fe_imap_sync_then(struct fe_imap *s, void (*next)(struct fe_imap *s))
{
	struct sync_wait *w = must_alloc(sizeof(*w));

	*w = (struct sync_wait){ s, next };
	s->has_synced = true;
	s->syncs++;
	places_sync(places_of(s), synced, w);
}

static bool locate(struct fe_imap *s, struct bytes external, struct buffer *internal, struct place *place, bool *known_r)
{
	enum places_result result;
	struct fault why;
	char text[200];

	*known_r = false;
	if (!names_to_internal(&s->names, external, internal, &why)) {
		(void)snprintf(text, sizeof(text), "[CANNOT] %.150s", why.what);
		fail(s, text);
		return false;
	}
	result = places_find(places_of(s), buffer_bytes(internal), &s->arena, place);
	*known_r = result == PLACES_FOUND && place->is_active;
	if (result == PLACES_FAILED)
		fail(s, "[UNAVAILABLE] the mailbox list cannot be read now");
	return result != PLACES_FAILED;
}

static void by_mailbox_again(struct fe_imap *s)
{
	fe_imap_forward_by_mailbox(s, s->cmd.mailbox);
}

void fe_imap_forward_by_mailbox(struct fe_imap *s, struct bytes mailbox)
{
	struct buffer internal = { 0 };
	struct place place;
	bool is_known;

	if (locate(s, mailbox, &internal, &place, &is_known)) {
		if (is_known)
			fe_imap_forward_to(s, place.server);
		else if (!s->has_synced)
			fe_imap_sync_then(s, by_mailbox_again);
		else if (s->cmd.verb == IMAP_APPEND)
			fail(s, "[TRYCREATE] no such mailbox");
		else
			fail(s, "[NONEXISTENT] no such mailbox");
	}
	buffer_fini(&internal);
}

void fe_imap_forward_to_inbox(struct fe_imap *s)
{
	struct buffer inbox = { 0 };
	struct place place;

	names_inbox(&s->names, bytes_of(s->user), &inbox);
	if (places_find(places_of(s), buffer_bytes(&inbox), &s->arena, &place) == PLACES_FOUND) {
		fe_imap_forward_to(s, place.server);
	} else if (!s->has_synced) {
		fe_imap_sync_then(s, fe_imap_forward_to_inbox);
	} else if (s->cmd.verb == IMAP_LSUB) {
		fe_imap_tagged(s, "OK", "done");
		fe_imap_op_done(s);
	} else {
		fail(s, "[CANNOT] a user without INBOX has no subscriptions");
	}
	buffer_fini(&inbox);
}

void fe_imap_forward_metadata(struct fe_imap *s)
{
	const char *home = config_string(fe_imap_frontend(s)->config, "metadata_server");
	char server[PLACES_SERVER_MAX];

	if (s->cmd.mailbox.n > 0) {
		fe_imap_forward_by_mailbox(s, s->cmd.mailbox);
		return;
	}
	if (home != NULL)
		fe_imap_forward_to(s, home);
	else if (places_first_server(places_of(s), server))
		fe_imap_forward_to(s, server);
	else
		fail(s, "[UNAVAILABLE] no server is known");
}

/* CREATE with a partition or server behind it: the server is ours to choose, the backend gets the name alone. */
static void rewrite_create(struct fe_imap *s)
{
	struct buffer out = { 0 };

	buffer_add(&out, s->cmd.tag);
	buffer_add_str(&out, " CREATE ");
	imap_write_astring(&out, s->cmd.mailbox, true);
	buffer_add_str(&out, "\r\n");
	fe_imap_replace_raw(s, &out);
}

/* Where a new mailbox goes: with its nearest parent, else where asked, else anywhere. */
void fe_imap_forward_create(struct fe_imap *s)
{
	struct buffer internal = { 0 };
	struct place place;
	char server[PLACES_SERVER_MAX];
	bool is_known, has_server = false;

	if (!locate(s, s->cmd.mailbox, &internal, &place, &is_known)) {
		buffer_fini(&internal);
		return;
	}
	if (is_known) { /* whether he may be told so its server knows */
		if (s->cmd.partition.n > 0)
			rewrite_create(s);
		fe_imap_forward_to(s, place.server);
		buffer_fini(&internal);
		return;
	}
	if (s->cmd.partition.n > 0) {
		struct bytes named = bytes_sub(s->cmd.partition, 0, bytes_find(s->cmd.partition, '!'));
		char address[PLACES_ADDRESS_MAX];
		uint64_t epoch;

		(void)snprintf(server, sizeof(server), "%.*s", BYTES_FMT(named));
		has_server = places_master(places_of(s), server, PLACES_IMAP, address, &epoch) && epoch > 0;
		if (!has_server) {
			fail(s, "[CANNOT] no such server");
			buffer_fini(&internal);
			return;
		}
	}
	for (size_t n = internal.n; !has_server && n > 0; n--) {
		if (internal.p[n - 1] == '.' &&
		    places_find(places_of(s), bytes_sub(buffer_bytes(&internal), 0, n - 1), &s->arena, &place) == PLACES_FOUND) {
			(void)snprintf(server, sizeof(server), "%s", place.server);
			has_server = true;
		}
	}
	if (!has_server && !s->has_synced) {
		fe_imap_sync_then(s, fe_imap_forward_create);
	} else if (!has_server && !places_any_server(places_of(s), buffer_bytes(&internal), server)) {
		fail(s, "[UNAVAILABLE] no server is known");
	} else {
		if (s->cmd.partition.n > 0) {
			rewrite_create(s);
		}
		fe_imap_forward_to(s, server);
	}
	buffer_fini(&internal);
}

static bool take_first(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	(void)name;
	(void)acl;
	(void)snprintf(arg, PLACES_SERVER_MAX, "%.*s", BYTES_FMT(bytes_sub(location, 0, bytes_find(location, '!'))));
	return false;
}

/* Where there is no mailbox of the root's name: the server of the first one below. */
static bool find_below(struct fe_imap *s, struct buffer *internal, char server[PLACES_SERVER_MAX])
{
	server[0] = '\0';
	buffer_add_u8(internal, '.');
	places_each(places_of(s), buffer_bytes(internal), take_first, server);
	return server[0] != '\0';
}

/* Where a mailbox of that name would be made. */
static bool find_above(struct fe_imap *s, struct bytes internal, char server[PLACES_SERVER_MAX])
{
	struct place place;

	for (size_t n = internal.n; n > 0; n--) {
		if (internal.p[n - 1] == '.' && places_find(places_of(s), bytes_sub(internal, 0, n - 1), &s->arena, &place) == PLACES_FOUND) {
			(void)snprintf(server, PLACES_SERVER_MAX, "%s", place.server);
			return true;
		}
	}
	return s->is_admin && places_any_server(places_of(s), internal, server);
}

/* A root is with the mailbox of its name; each server counts what it has itself. */
void fe_imap_forward_quota(struct fe_imap *s)
{
	struct buffer internal = { 0 };
	struct place place;
	char server[PLACES_SERVER_MAX];
	bool is_known;

	if (locate(s, s->cmd.mailbox, &internal, &place, &is_known)) {
		if (is_known)
			fe_imap_forward_to(s, place.server);
		else if (!s->has_synced)
			fe_imap_sync_then(s, fe_imap_forward_quota);
		else if (s->cmd.verb == IMAP_GETQUOTAROOT ? find_above(s, buffer_bytes(&internal), server) : find_below(s, &internal, server))
			fe_imap_forward_to(s, server);
		else
			fail(s, s->cmd.verb == IMAP_GETQUOTAROOT ? "[NONEXISTENT] no such mailbox" : "[NONEXISTENT] no such quota root");
	}
	buffer_fini(&internal);
}

/* Before anything is copied to another server: whether messages may be taken from the selected mailbox. False: answered. */
static bool may_take(struct fe_imap *s)
{
	struct bytes name = buffer_bytes(&s->selected_name);
	struct place place;

	if (s->is_readonly) {
		fail(s, "[READ-ONLY] the mailbox was opened read-only");
		return false;
	}
	if (places_find(places_of(s), name, &s->arena, &place) == PLACES_FOUND &&
	    (~fe_imap_rights(s, name, place.acl) & (ACL_DELETE | ACL_EXPUNGE)) != 0) {
		fail(s, "[NOPERM] you may not take messages from here");
		return false;
	}
	return true;
}

void fe_imap_forward_copy(struct fe_imap *s)
{
	struct buffer internal = { 0 };
	struct place place;
	bool is_known;

	if (locate(s, s->cmd.target, &internal, &place, &is_known)) {
		if (is_known && strcmp(place.server, s->selected->server) == 0)
			fe_imap_forward_selected(s);
		else if (!is_known && !s->has_synced)
			fe_imap_sync_then(s, fe_imap_forward_copy);
		else if (!is_known)
			fail(s, "[TRYCREATE] no such mailbox");
		else if (s->cmd.verb != IMAP_MOVE || may_take(s))
			fe_copy_begin(s, place.server);
	}
	buffer_fini(&internal);
}

void fe_imap_forward_append(struct fe_imap *s)
{
	if (s->cmd.verb == IMAP_REPLACE)
		fe_imap_forward_replace(s);
	else
		fe_imap_forward_by_mailbox(s, s->cmd.mailbox);
}

void fe_imap_forward_replace(struct fe_imap *s)
{
	struct buffer internal = { 0 };
	struct place place;
	bool is_known;

	if (locate(s, s->cmd.mailbox, &internal, &place, &is_known)) {
		if (is_known && strcmp(place.server, s->selected->server) == 0)
			fe_imap_forward_selected(s);
		else if (!is_known && !s->has_synced)
			fe_imap_sync_then(s, fe_imap_forward_replace);
		else if (!is_known)
			fail(s, "[TRYCREATE] no such mailbox");
		else if (may_take(s))
			fe_replace_begin(s, place.server);
	}
	buffer_fini(&internal);
}

/* The tagged line came. */

static void pass_final(struct fe_imap *s)
{
	fe_imap_write(s, buffer_bytes(&s->final));
	fe_imap_op_done(s);
}

static bool changes_list(enum imap_verb verb)
{
	return verb == IMAP_CREATE || verb == IMAP_DELETE || verb == IMAP_RENAME || verb == IMAP_SETACL || verb == IMAP_DELETEACL;
}

/* Which mailbox that is, and how it was opened. */
static void note_selected(struct fe_imap *s, const struct imap_response *r)
{
	struct fault why;

	buffer_clear(&s->selected_name);
	s->is_readonly = bytes_starts_nocase(r->code, BYTES_LIT("READ-ONLY"));
	if (s->selected != NULL)
		(void)names_to_internal(&s->names, s->cmd.mailbox, &s->selected_name, &why);
}

static void finish(struct fe_imap *s, struct imap_link *l, struct bytes segment, const struct imap_response *r)
{
	bool is_ok = bytes_equal_nocase_str(r->word, "OK");

	if (bytes_starts(r->code, BYTES_LIT("XNOTMASTER"))) {
		if (s->selected == l) {
			fe_imap_bye(s, "[UNAVAILABLE] the mailbox's server has another master: please connect again");
			return;
		}
		imap_link_drop(l);
		fe_imap_try_later(s, "it is not the master");
		return;
	}
	switch (s->cmd.verb) {
	case IMAP_SELECT:
	case IMAP_EXAMINE:
		s->selected = is_ok ? l : NULL;
		note_selected(s, r);
		break;
	case IMAP_CLOSE:
	case IMAP_UNSELECT:
		if (is_ok)
			s->selected = NULL;
		break;
	default:
		break;
	}
	buffer_add(&s->final, segment);
	if (is_ok && changes_list(s->cmd.verb))
		fe_imap_sync_then(s, pass_final); /* so that the client's next LIST or SELECT finds what it just made */
	else
		pass_final(s);
}

/* Where the selected mailbox's server ends the session, not itself, the client is told why: such as a right that was taken. A mailbox that
 * is there no more may have moved to another server: then the client had better connect again than be told that it is gone. */
static void take_bye(struct fe_imap *s, const struct imap_link *l, const struct imap_response *r)
{
	char *text;

	if (s->selected != l || bytes_equal_nocase_str(r->code, "UNAVAILABLE") || bytes_equal_nocase_str(r->code, "NONEXISTENT"))
		return;
	text = bytes_to_str(r->rest);
	fe_imap_bye(s, text);
	free(text);
}

void fe_imap_link_segment(struct fe_imap *s, struct imap_link *l, struct bytes segment, bool is_first, bool has_literal)
{
	struct imap_response r;
	bool is_parsed = is_first && imap_response_parse(segment, &r);

	if (is_parsed && r.is_untagged && bytes_equal_nocase_str(r.word, "BYE")) {
		take_bye(s, l, &r); /* the connection's end follows */
		return;
	}
	if (is_parsed && r.is_untagged && bytes_equal_nocase_str(r.code, "NOTIFICATIONOVERFLOW")) {
		fe_notify_overflow(s);
		return;
	}
	if (s->has_op && s->own != NULL && s->op_link == l) {
		if (is_first)
			buffer_clear(&l->collect);
		/* How far a command of ours is says nothing of the client's. */
		if (is_first && is_parsed && r.is_untagged && s->own_tag.n == 0 && bytes_starts_nocase(r.code, BYTES_LIT("INPROGRESS ")))
			return;
		if (is_first)
			l->is_last_segment = is_parsed && (s->own_tag.n > 0 ? bytes_equal(r.tag, s->own_tag) : bytes_equal_str(r.tag, FE_TAG));
		buffer_add(&l->collect, segment);
		if (!has_literal)
			s->own->response(s, l, buffer_bytes(&l->collect), l->is_last_segment);
		return;
	}
	if (s->has_op && s->op_link == l && s->is_sent && is_parsed && !r.is_untagged && !r.is_continuation && !has_literal &&
	    bytes_equal(r.tag, s->cmd.tag)) {
		finish(s, l, segment, &r);
		return;
	}
	/* It told nothing of what was done: the command may be sent again. */
	if (!(is_parsed && r.is_untagged && bytes_starts_nocase(r.code, BYTES_LIT("INPROGRESS "))))
		s->has_passed = true;
	conn_write(s->conn, segment);
	fe_imap_passed(s, l, has_literal);
}

void fe_imap_link_literal(struct fe_imap *s, struct imap_link *l, struct bytes piece)
{
	if (s->has_op && s->own != NULL && s->op_link == l)
		buffer_add(&l->collect, piece);
	else
		conn_write_through(s->conn, piece);
}

void fe_imap_link_lost(struct fe_imap *s, struct imap_link *l, const char *why)
{
	bool was_selected = s->selected == l;

	if (was_selected) {
		s->selected = NULL;
		log_event(LOG_INFO, "frontend.imap.backend_lost", LOG_U64("conn", s->id), LOG_STR("server", l->server),
		          LOG_STR("why", why));
		fe_imap_bye(s, "[UNAVAILABLE] the mailbox's server was lost: please connect again");
		return;
	}
	if (s->mid == l) {
		fe_imap_bye(s, "[UNAVAILABLE] a server was lost in the midst of what it said: please connect again");
		return;
	}
	if (l->is_watching)
		fe_notify_overflow(s);
	if (!s->has_op || s->op_link != l)
		return;
	s->op_link = NULL;
	if (s->own != NULL)
		s->own->lost(s, why);
	else if (!s->is_sent || (is_repeatable(s->cmd.verb) && !s->has_passed))
		fe_imap_try_later(s, why);
	else
		fail(s, "[UNAVAILABLE] the server was lost; whether the command was done is not known");
}
