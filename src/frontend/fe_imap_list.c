/* fe_imap_list.c - LIST from the frontend's own mailbox list (RFC 3501 section 6.3.8, RFC 5258, 6154, 8440). Which rows there are
 * is lister.h's.
 *
 * What only backends know is asked for, in phases: the subscriptions, where they matter, of the server with the user's INBOX; what his mailboxes
 * are for, of each server that has some; after the rows STATUS (RFC 5819) and METADATA (RFC 9590) of each row's server, many mailboxes at a time.
 * A server that cannot be asked for the first makes the command fail; for the second its mailboxes are for what their names say; for the last
 * they are told without, as the RFCs allow.
 *
 * The names are gone through some milliseconds at a time, and as the client takes the rows; what is renamed meanwhile may be told by both of
 * its names, or neither.
 *
 * BUGS: a pattern that may match other users' or shared mailboxes walks the whole list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "fe_imap.h"
#include "imap_lex.h"
#include "imap_writer.h"
#include "lister.h"

#define STATUS_AT_ONCE 50 /* mailboxes that are asked about at one server */
#define USES_PATIENCE_MS 2000
#define LIST_TURN_NS 5000000u

acl_rights_t fe_imap_rights(const struct fe_imap *s, struct bytes internal, struct bytes acl)
{
	if (s->is_admin)
		return ACL_ALL;
	return acl_effective(acl, bytes_of(s->user), names_is_owner(&s->names, internal, bytes_of(s->user)));
}

/* A mailbox whose STATUS or METADATA is to be asked for. */
struct status_want {
	struct bytes name; /* external, in the command's arena */
	const char *server;
	bool was_asked;
};

/* A server with mailboxes of the user's own. */
struct use_server {
	struct use_server *next;
	const char *name;
};

struct list_job {
	struct list_source source;
	struct lister lister;
	struct special_uses uses;
	struct buffer out;
	enum { ASK_SUBSCRIPTIONS, ASK_USES, TELL_ROWS, ASK_STATUS } phase;
	struct buffer from;   /* TELL_ROWS: where the next turn goes on; empty: at the beginning, or all are told */
	uint64_t until_ns;    /* of this turn, */
	size_t looked_at;     /* and names in it */
	bool waits_for_client;
	struct use_server *servers; /* still to be asked; in the command's arena */
	bool is_use_unknown;        /* one could not be asked */
	struct status_want *wants; /* owned */
	size_t want_count, want_cap;
	size_t awaited; /* answers */
};

void fe_list_free(struct fe_imap *s)
{
	struct list_job *j = s->list;

	if (j == NULL)
		return;
	s->list = NULL;
	lister_fini(&j->lister);
	special_uses_fini(&j->uses);
	buffer_fini(&j->out);
	buffer_fini(&j->from);
	free(j->wants);
	free(j);
}

static struct places *places_of(const struct fe_imap *s)
{
	return fe_imap_frontend(s)->places;
}

/* The names. */

static bool exists(void *arg, struct bytes internal)
{
	struct fe_imap *s = arg;
	struct arena a = { 0 };
	struct place place;
	bool is = places_find(places_of(s), internal, &a, &place) == PLACES_FOUND && place.is_active &&
	          (fe_imap_rights(s, internal, place.acl) & ACL_LOOKUP) != 0;

	arena_fini(&a);
	return is;
}

struct child_search {
	struct fe_imap *s;
	bool is_found;
};

static bool find_child(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct child_search *f = arg;

	(void)location;
	f->is_found = (fe_imap_rights(f->s, name, acl) & ACL_LOOKUP) != 0;
	return !f->is_found;
}

static bool has_children(void *arg, struct bytes internal)
{
	struct child_search f = { .s = arg };
	struct buffer prefix = { 0 };

	buffer_add(&prefix, internal);
	buffer_add_u8(&prefix, '.');
	places_each(places_of(f.s), buffer_bytes(&prefix), find_child, &f);
	buffer_fini(&prefix);
	return f.is_found;
}

static void want_status(struct fe_imap *s, struct bytes external, const char *server)
{
	struct list_job *j = s->list;

	if (j->want_count == j->want_cap) {
		j->want_cap = j->want_cap == 0 ? 32 : 2 * j->want_cap;
		j->wants = must_realloc(j->wants, j->want_cap, sizeof(*j->wants));
	}
	j->wants[j->want_count++] =
		(struct status_want){ arena_copy(&s->arena, external), arena_str(&s->arena, bytes_of(server)), false };
}

static void row(void *arg, struct bytes row, struct bytes external, struct bytes internal)
{
	struct fe_imap *s = arg;
	struct list_job *j = s->list;
	unsigned options = s->cmd.list_options;
	struct arena a = { 0 };
	struct place place;

	buffer_add(&j->out, row);
	if (internal.n > 0 && (options & (LIST_RETURN_MYRIGHTS | LIST_RETURN_STATUS | LIST_RETURN_METADATA)) != 0 &&
	    places_find(places_of(s), internal, &a, &place) == PLACES_FOUND) {
		acl_rights_t rights = fe_imap_rights(s, internal, place.acl);

		if ((options & LIST_RETURN_MYRIGHTS) != 0) {
			buffer_add_str(&j->out, "* MYRIGHTS ");
			imap_write_mailbox(&j->out, external, s->names.is_utf8);
			buffer_add_u8(&j->out, ' ');
			acl_rights_write(&j->out, rights, true);
			buffer_add_str(&j->out, "\r\n");
		}
		/* Who may see which is the server's to say. */
		if ((options & LIST_RETURN_METADATA) != 0 || ((options & LIST_RETURN_STATUS) != 0 && (rights & ACL_READ) != 0))
			want_status(s, external, place.server);
	}
	arena_fini(&a);
	if (j->out.n > 32 * 1024) {
		conn_write(s->conn, buffer_bytes(&j->out));
		buffer_clear(&j->out);
	}
}

static bool each(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct fe_imap *s = arg;
	struct list_job *j = s->list;

	(void)location;
	if (names_is_visible(&s->names, name) && (fe_imap_rights(s, name, acl) & ACL_LOOKUP) != 0)
		lister_name(&j->lister, name);
	if (++j->looked_at % 64 != 0 || (clock_mono_ns() < j->until_ns && conn_pending(s->conn) < CONN_OUTPUT_HIGH))
		return true;
	/* The first key behind it. */
	buffer_add(&j->from, name);
	buffer_add_u8(&j->from, '\0');
	return false;
}

/* Whether a pattern could match outside of the user's own tree. */
static bool looks_elsewhere(const struct fe_imap *s)
{
	struct bytes others = bytes_of(names_others_prefix(&s->names)), shared = bytes_of(names_shared_prefix(&s->names));

	if (s->is_admin || !s->names.alt)
		return true;
	for (size_t i = 0; i < s->cmd.pattern_count; i++) {
		struct bytes p = lister_prefix(&s->list->lister, i);

		if (bytes_starts(others, bytes_sub(p, 0, others.n)) || bytes_starts(shared, bytes_sub(p, 0, shared.n)))
			return true;
	}
	return false;
}

static void ask_status(struct fe_imap *s);

static void tell_rows(struct fe_imap *s);

static void next_turn(void *arg)
{
	struct fe_imap *s = arg;

	timer_free(&s->retry);
	tell_rows(s);
}

/* Some milliseconds of it, and as the client takes it: each turn goes on behind the name that was the last one's last. */
static void tell_rows(struct fe_imap *s)
{
	struct list_job *j = s->list;
	struct buffer own = { 0 }, from = j->from;

	j->from = (struct buffer){ 0 };
	j->until_ns = clock_mono_ns() + LIST_TURN_NS;
	j->looked_at = 0;
	names_inbox(&s->names, bytes_of(s->user), &own);
	if (lister_wants_names(&j->lister))
		places_each_from(places_of(s), looks_elsewhere(s) ? BYTES_NONE : buffer_bytes(&own), buffer_bytes(&from), each, s);
	buffer_fini(&own);
	buffer_fini(&from);
	if (j->from.n == 0)
		lister_finish(&j->lister);
	conn_write(s->conn, buffer_bytes(&j->out));
	buffer_clear(&j->out);
	if (j->from.n == 0) {
		j->phase = ASK_STATUS;
		ask_status(s);
		return;
	}
	j->waits_for_client = conn_pending(s->conn) >= CONN_OUTPUT_HIGH;
	if (j->waits_for_client)
		return; /* fe_list_drained() */
	timer_free(&s->retry);
	s->retry = timer_new(s->base.shard->loop, next_turn, s);
	timer_start(s->retry, 0, 0);
}

void fe_list_drained(struct fe_imap *s)
{
	if (s->list == NULL || !s->list->waits_for_client)
		return;
	s->list->waits_for_client = false;
	tell_rows(s);
}

static void answer_rows(struct fe_imap *s)
{
	s->op_link = NULL; /* nothing is asked of a backend meanwhile */
	s->list->phase = TELL_ROWS;
	tell_rows(s);
}

/* The backends. */

/* Go on with the server of the first mailbox that was not asked for yet. */
static void ask_status(struct fe_imap *s)
{
	const struct list_job *j = s->list;

	for (size_t i = 0; i < j->want_count; i++) {
		if (j->wants[i].was_asked)
			continue;
		s->is_sent = false;
		fe_imap_forward_to(s, j->wants[i].server);
		return;
	}
	fe_imap_tagged(s, "OK", "done");
	fe_imap_op_done(s);
}

static void add_status_items(struct buffer *out, unsigned items)
{
	static const char *const names[] = { "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE",
		                             "DELETED",  "APPENDLIMIT", "MAILBOXID", "DELETED-STORAGE" };
	const char *before = " (";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((items & 1u << i) == 0)
			continue;
		buffer_add_str(out, before);
		buffer_add_str(out, names[i]);
		before = " ";
	}
	buffer_add_str(out, ")\r\n");
}

static void add_metadata_entries(struct buffer *out, const struct metadata_args *m)
{
	const char *before = " (";

	for (size_t i = 0; i < m->count; i++) {
		buffer_add_str(out, before);
		imap_write_astring(out, m->entries[i].name, true);
		before = " ";
	}
	buffer_add_str(out, ")\r\n");
}

static void ask_about(struct fe_imap *s, struct bytes mailbox, struct buffer *out)
{
	struct list_job *j = s->list;

	if ((s->cmd.list_options & LIST_RETURN_STATUS) != 0) {
		buffer_add_str(out, FE_TAG " STATUS ");
		imap_write_astring(out, mailbox, true);
		add_status_items(out, s->cmd.status_items);
		j->awaited++;
	}
	if ((s->cmd.list_options & LIST_RETURN_METADATA) != 0) {
		buffer_add_str(out, FE_TAG " GETMETADATA ");
		imap_write_astring(out, mailbox, true);
		add_metadata_entries(out, s->cmd.metadata);
		j->awaited++;
	}
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct list_job *j = s->list;
	struct buffer out = { 0 };

	imap_link_enable(l);
	if (j->phase == ASK_SUBSCRIPTIONS)
		buffer_add_str(&out, FE_TAG " LSUB \"\" *\r\n");
	else if (j->phase == ASK_USES)
		buffer_add_str(&out, FE_TAG " LIST (SPECIAL-USE) \"\" *\r\n");
	for (size_t i = 0; j->phase == ASK_STATUS && i < j->want_count && j->awaited < STATUS_AT_ONCE; i++) {
		struct status_want *w = &j->wants[i];

		if (w->was_asked || strcmp(w->server, l->server) != 0)
			continue;
		w->was_asked = true;
		ask_about(s, w->name, &out);
	}
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* A response that begins with WHAT, such as "* LIST (": its attributes, and the mailbox; none: it is malformed. False: it is something
 * else. */
static bool take_listed(struct fe_imap *s, struct bytes response, struct bytes what, struct bytes *attributes_r, struct bytes *name_r)
{
	struct cursor c = cursor_of(bytes_trim(response));
	struct bytes sep;
	struct fault why;

	*name_r = BYTES_NONE;
	if (!cursor_take_nocase(&c, what))
		return false;
	*attributes_r = bytes_sub(cursor_rest(&c), 0, bytes_find(cursor_rest(&c), ')'));
	c.p += attributes_r->n;
	if (!cursor_take(&c, ')') || !cursor_take(&c, ' ') || !imap_take_nstring(&c, &s->arena, &sep, &why) || !cursor_take(&c, ' ') ||
	    !imap_take_astring(&c, &s->arena, name_r, &why))
		*name_r = BYTES_NONE;
	return true;
}

bool fe_take_lsub(struct fe_imap *s, struct bytes response, struct bytes *external_r)
{
	struct bytes attributes, name;

	*external_r = BYTES_NONE;
	if (!take_listed(s, response, BYTES_LIT("* LSUB ("), &attributes, &name))
		return false;
	if (bytes_search(attributes, BYTES_LIT("\\Noselect")) == attributes.n)
		*external_r = name;
	return true;
}

static bool take_lsub(struct fe_imap *s, struct bytes response)
{
	struct bytes name;

	if (!fe_take_lsub(s, response, &name))
		return false;
	if (name.n > 0)
		lister_subscription_external(&s->list->lister, name);
	return true;
}

/* "* LIST (attributes) "/" name" of a mailbox with a special use. False: it is something else. */
static bool take_use(struct fe_imap *s, struct bytes response)
{
	struct buffer internal = { 0 };
	struct bytes attributes, name;
	struct fault why;
	unsigned uses = 0;

	if (!take_listed(s, response, BYTES_LIT("* LIST ("), &attributes, &name))
		return false;
	while (name.n > 0 && attributes.n > 0) {
		struct bytes word = bytes_sub(attributes, 0, bytes_find(attributes, ' '));
		unsigned use;

		attributes = bytes_from(attributes, word.n + 1);
		if (special_use_parse(word, &use))
			uses |= use;
	}
	if (uses != 0 && names_to_internal(&s->names, name, &internal, &why))
		special_uses_add(&s->list->uses, buffer_bytes(&internal), uses);
	buffer_fini(&internal);
	return true;
}

static bool note_server(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct fe_imap *s = arg;
	struct bytes server = bytes_sub(location, 0, bytes_find(location, '!'));
	struct use_server *u = s->list->servers;

	(void)acl;
	if (!names_is_owner(&s->names, name, bytes_of(s->user)))
		return true;
	while (u != NULL && !bytes_equal_str(server, u->name))
		u = u->next;
	if (u != NULL)
		return true;
	u = arena_alloc(&s->arena, sizeof(*u));
	*u = (struct use_server){ s->list->servers, arena_str(&s->arena, server) };
	s->list->servers = u;
	return true;
}

/* Ask the next server; at the end go on with the rows. */
static void ask_uses(struct fe_imap *s)
{
	struct list_job *j = s->list;
	struct use_server *u = j->servers;
	char address[PLACES_ADDRESS_MAX];
	uint64_t epoch;

	j->phase = ASK_USES;
	if (u == NULL) {
		/* They have said what is used by its name, too. */
		j->uses.is_whole = !j->is_use_unknown;
		s->deadline_ms = loop_now_ms(s->base.shard->loop) + FRONTEND_PATIENCE_MS;
		answer_rows(s);
		return;
	}
	j->servers = u->next;
	s->is_sent = false;
	s->deadline_ms = loop_now_ms(s->base.shard->loop) + USES_PATIENCE_MS;
	if (places_master(places_of(s), u->name, PLACES_IMAP, address, &epoch)) {
		fe_imap_forward_to(s, u->name);
	} else {
		j->is_use_unknown = true;
		ask_uses(s);
	}
}

static void begin_uses(struct fe_imap *s)
{
	struct buffer inbox = { 0 };

	names_inbox(&s->names, bytes_of(s->user), &inbox);
	if (!s->is_admin)
		places_each(places_of(s), buffer_bytes(&inbox), note_server, s);
	buffer_fini(&inbox);
	ask_uses(s);
}

static void fail_list(struct fe_imap *s, const char *text)
{
	fe_imap_tagged(s, "NO", text);
	fe_imap_op_done(s);
}

static bool is_of_status(struct bytes response)
{
	return bytes_starts_nocase(response, BYTES_LIT("* STATUS ")) || bytes_starts_nocase(response, BYTES_LIT("* METADATA "));
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct list_job *j = s->list;
	struct imap_response r;

	if (is_tagged && j->phase == ASK_USES) {
		j->is_use_unknown = j->is_use_unknown || !imap_response_parse(response, &r) || !bytes_equal_nocase_str(r.word, "OK");
		ask_uses(s);
	} else if (is_tagged && j->phase == ASK_STATUS) {
		if (--j->awaited == 0)
			ask_status(s);
	} else if (is_tagged) {
		if (imap_response_parse(response, &r) && bytes_equal_nocase_str(r.word, "OK"))
			begin_uses(s);
		else
			fail_list(s, "[UNAVAILABLE] the subscriptions cannot be read now");
	} else if (is_of_status(response) && j->phase == ASK_STATUS) {
		conn_write(s->conn, response);
	} else if (j->phase == ASK_USES ? take_use(s, response) : j->phase == ASK_SUBSCRIPTIONS && take_lsub(s, response)) {
		return;
	} else if (fe_imap_is_news(s, l)) {
		/* What the selected mailbox has to say of itself is the client's. */
		conn_write(s->conn, response);
	}
}

static void lost(struct fe_imap *s, const char *why)
{
	struct list_job *j = s->list;

	(void)why;
	if (j->phase == ASK_USES) {
		j->is_use_unknown = true;
		ask_uses(s);
		return;
	}
	if (j->phase == ASK_SUBSCRIPTIONS) {
		fail_list(s, "[UNAVAILABLE] the subscriptions cannot be read now");
		return;
	}
	/* Its mailboxes have none of it now. */
	j->awaited = 0;
	for (size_t i = 0; i < j->want_count; i++)
		j->wants[i].was_asked = j->wants[i].was_asked || strcmp(j->wants[i].server, s->op_server) == 0;
	ask_status(s);
}

void fe_list_begin(struct fe_imap *s)
{
	static const struct own_op list_op = { .link_ready = link_ready, .response = take_response, .lost = lost };
	struct list_job *j;
	struct buffer inbox = { 0 };
	struct place place;

	if (s->cmd.pattern_count == 1 && s->cmd.patterns[0].n == 0) {
		fe_imap_say(s, "* LIST (\\Noselect) \"%c\" \"\"", s->names.sep);
		fe_imap_tagged(s, "OK", "done");
		fe_imap_op_done(s);
		return;
	}
	j = s->list = must_calloc(1, sizeof(*j));
	j->source = (struct list_source){ s, exists, has_children, row, &j->uses };
	lister_init(&j->lister, &s->names, &s->cmd, &j->source);
	s->own = &list_op;
	names_inbox(&s->names, bytes_of(s->user), &inbox);
	if (lister_wants_subscriptions(&j->lister) &&
	    places_find(places_of(s), buffer_bytes(&inbox), &s->arena, &place) == PLACES_FOUND)
		fe_imap_forward_to(s, place.server);
	else
		begin_uses(s); /* a user without INBOX has no subscriptions */
	buffer_fini(&inbox);
}
