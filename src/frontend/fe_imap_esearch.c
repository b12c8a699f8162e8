/* fe_imap_esearch.c - ESEARCH (RFC 7377) over several servers: which mailboxes are meant is found in the mailbox list (and where a
 * client's subscriptions are, by LSUB at his INBOX's server), then each server with some of them is asked in turn, under the client's own
 * tag, so that its answers are the client's as they are. What lies on one server only is forwarded as it came.
 *
 * A server that is lost, or has another master, is asked again as long as the client was told nothing that it answered; so a failover is
 * not noticed. When one refuses, or is lost in the midst of its answer or for too long, the others are not asked any more, and the command
 * ends with NO: what was told stays told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_writer.h"
#include "mailbox_filter.h"

#define NAMES_OCTETS_MAX 900 /* of mailboxes in one command, but for one that is longer: a line has its limit */

struct target {
	struct bytes name; /* external, in the command's arena; none: the selected mailbox */
	const char *server;
};

struct esearch_job {
	bool wants_subscriptions;
	bool is_asking; /* mailboxes are searched; before: the subscriptions are read */
	struct target *targets; /* owned */
	size_t count, cap, at;
	size_t from;   /* those of the server at hand: FROM up to AT */
	bool has_told; /* the client was told something that it answered */
	struct map known; /* internal names */
	bool is_over;
	const struct mailbox_filter *filter; /* that is being looked through */
};

static struct places *places_of(const struct fe_imap *s)
{
	return fe_imap_frontend(s)->places;
}

void fe_esearch_free(struct fe_imap *s)
{
	struct esearch_job *j = s->esearch;

	if (j == NULL)
		return;
	s->esearch = NULL;
	map_fini(&j->known);
	free(j->targets);
	free(j);
}

static void end(struct fe_imap *s, const char *status, const char *text)
{
	fe_imap_tagged(s, status, text);
	fe_imap_op_done(s);
}

static void add(struct fe_imap *s, struct bytes internal, struct bytes external, const char *server)
{
	struct esearch_job *j = s->esearch;

	if (internal.n > 0 && map_get(&j->known, internal) != NULL)
		return;
	if (j->count >= config_number(fe_imap_frontend(s)->config, "imap_max_search_mailboxes")) {
		j->is_over = true;
		return;
	}
	if (internal.n > 0)
		(void)map_put(&j->known, internal, j);
	if (j->count == j->cap) {
		j->cap = j->cap == 0 ? 16 : 2 * j->cap;
		j->targets = must_realloc(j->targets, j->cap, sizeof(*j->targets));
	}
	j->targets[j->count++] = (struct target){ external, server };
}

static const char *server_of(struct fe_imap *s, struct bytes location)
{
	/* Few servers, many mailboxes: one copy of each name would do, but the arena goes with the command. */
	return arena_str(&s->arena, bytes_sub(location, 0, bytes_find(location, '!')));
}

static void add_place(struct fe_imap *s, struct bytes internal, struct bytes location, struct bytes acl, bool is_named)
{
	acl_rights_t rights = fe_imap_rights(s, internal, acl);
	struct buffer external = { 0 };

	if ((rights & ACL_READ) == 0 || (!is_named && (rights & ACL_LOOKUP) == 0) || !names_is_visible(&s->names, internal))
		return;
	names_to_external(&s->names, internal, &external);
	add(s, internal, arena_copy(&s->arena, buffer_bytes(&external)), server_of(s, location));
	buffer_fini(&external);
}

static bool each(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct fe_imap *s = arg;

	if (mailbox_filter_has(s->esearch->filter, &s->names, name))
		add_place(s, name, location, acl, mailbox_filter_names(s->esearch->filter, name));
	return !s->esearch->is_over;
}

static void add_named(struct fe_imap *s, struct bytes internal, bool is_named)
{
	struct place place;

	if (places_find(places_of(s), internal, &s->arena, &place) == PLACES_FOUND && place.is_active)
		add_place(s, internal, place.location, place.acl, is_named);
}

static void add_prefix(void *arg, struct bytes prefix)
{
	struct fe_imap *s = arg;

	if (s->esearch->filter->kind == FILTER_MAILBOXES)
		add_named(s, prefix, true);
	else
		places_each(places_of(s), prefix, each, s);
}

static void ask(struct fe_imap *s);

/* All are known: ask the servers, or the one that has them all. */
static void collected(struct fe_imap *s)
{
	struct esearch_job *j = s->esearch;
	bool is_one = !j->wants_subscriptions; /* which only the INBOX's server knows */

	for (size_t i = 1; i < j->count; i++)
		is_one = is_one && strcmp(j->targets[i].server, j->targets[0].server) == 0;
	if (j->is_over) {
		end(s, "NO", "[LIMIT] too many mailboxes");
	} else if (j->count == 0) {
		end(s, "OK", "no such mailboxes");
	} else if (is_one) {
		s->own = NULL;
		s->is_sent = false;
		fe_imap_forward_to(s, j->targets[0].server);
	} else {
		j->is_asking = true;
		s->own_tag = s->cmd.tag;
		ask(s);
	}
}

static int by_server(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int order = strcmp(x->server, y->server);

	return order != 0 ? order : bytes_compare(x->name, y->name);
}

static void ask(struct fe_imap *s)
{
	struct esearch_job *j = s->esearch;

	if (j->at == 0)
		qsort(j->targets, j->count, sizeof(*j->targets), by_server);
	if (j->at == j->count) {
		end(s, "OK", "done");
		return;
	}
	s->is_sent = false;
	j->has_told = false;
	j->from = j->at;
	s->deadline_ms = loop_now_ms(s->base.shard->loop) + FRONTEND_PATIENCE_MS;
	fe_imap_forward_to(s, j->targets[j->at].server);
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct esearch_job *j = s->esearch;
	struct buffer out = { 0 }, names = { 0 };
	bool has_selected = false;

	imap_link_enable(l);
	if (!j->is_asking) {
		buffer_add_str(&out, FE_TAG " LSUB \"\" *\r\n");
	} else {
		for (; j->at < j->count && strcmp(j->targets[j->at].server, l->server) == 0; j->at++) {
			const struct target *t = &j->targets[j->at];

			if (names.n > 0 && names.n + t->name.n > NAMES_OCTETS_MAX)
				break;
			if (t->name.n == 0) {
				has_selected = true;
				continue;
			}
			if (names.n > 0)
				buffer_add_u8(&names, ' ');
			imap_write_astring(&names, t->name, true);
		}
		buffer_add(&out, s->cmd.tag);
		buffer_add_str(&out, has_selected ? " ESEARCH IN (selected" : " ESEARCH IN (");
		if (names.n > 0) {
			buffer_add_str(&out, has_selected ? " mailboxes (" : "mailboxes (");
			buffer_add(&out, buffer_bytes(&names));
			buffer_add_u8(&out, ')');
		}
		buffer_add_str(&out, ") ");
		buffer_add(&out, s->cmd.rest);
		buffer_add_str(&out, "\r\n");
	}
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
	buffer_fini(&names);
}

/* False: it is too late, or the client would be told something twice. */
static bool ask_again(struct fe_imap *s, const char *why)
{
	struct esearch_job *j = s->esearch;

	if (j->has_told || loop_now_ms(s->base.shard->loop) >= s->deadline_ms)
		return false;
	j->at = j->from;
	fe_imap_try_later(s, why);
	return true;
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct esearch_job *j = s->esearch;
	struct imap_response r;
	struct bytes external;

	if (is_tagged && (!imap_response_parse(response, &r) || !bytes_equal_nocase_str(r.word, "OK"))) {
		bool is_deposed = bytes_starts(r.code, BYTES_LIT("XNOTMASTER"));

		if (is_deposed && s->selected != l && !j->has_told) {
			imap_link_drop(l);
			if (ask_again(s, "it is not the master"))
				return;
		}
		if (j->is_asking && !is_deposed)
			end(s, bytes_equal_nocase_str(r.word, "BAD") ? "BAD" : "NO", arena_str(&s->arena, r.rest));
		else
			end(s, "NO", "[UNAVAILABLE] a server is not there now; not all mailboxes were searched");
	} else if (is_tagged && j->is_asking) {
		ask(s);
	} else if (is_tagged) {
		collected(s);
	} else if (!j->is_asking && fe_take_lsub(s, response, &external)) {
		struct buffer internal = { 0 };
		struct fault why;

		if (external.n > 0 && names_to_internal(&s->names, external, &internal, &why))
			add_named(s, buffer_bytes(&internal), false);
		buffer_fini(&internal);
	} else if (j->is_asking || fe_imap_is_news(s, l)) {
		/* How far it is may be told once more. */
		if (j->is_asking && !(imap_response_parse(response, &r) && bytes_starts_nocase(r.code, BYTES_LIT("INPROGRESS "))))
			j->has_told = true;
		conn_write(s->conn, response);
	}
}

static void lost(struct fe_imap *s, const char *why)
{
	if (!ask_again(s, why))
		end(s, "NO", "[UNAVAILABLE] a server was lost; not all mailboxes were searched");
}

void fe_esearch_begin(struct fe_imap *s)
{
	static const struct own_op op = { .link_ready = link_ready, .response = take_response, .lost = lost };
	const struct imap_command *c = &s->cmd;
	bool only_selected = true, has_selected = c->filter_count == 0, wants_subscriptions = false;
	struct buffer inbox = { 0 };
	struct place place;

	for (size_t i = 0; i < c->filter_count; i++) {
		has_selected = has_selected || c->filters[i].kind == FILTER_SELECTED;
		only_selected = only_selected && c->filters[i].kind == FILTER_SELECTED;
		wants_subscriptions = wants_subscriptions || c->filters[i].kind == FILTER_SUBSCRIBED;
	}
	if (s->selected == NULL && (has_selected || (c->return_options & SEARCH_RETURN_UPDATE) != 0)) {
		end(s, "BAD", "no mailbox is selected");
		return;
	}
	if (!only_selected && (c->return_options & SEARCH_RETURN_SAVE) != 0) {
		end(s, "BAD", "only what is found in the selected mailbox can be saved");
		return;
	}
	if (only_selected) {
		fe_imap_forward_selected(s);
		return;
	}
	s->esearch = must_calloc(1, sizeof(*s->esearch));
	s->esearch->wants_subscriptions = wants_subscriptions;
	s->own = &op;
	for (size_t i = 0; i < c->filter_count; i++) {
		struct mailbox_filter *f = &c->filters[i];

		if (f->kind == FILTER_SELECTED)
			add(s, BYTES_NONE, BYTES_NONE, s->selected->server);
		mailbox_filter_resolve(f, &s->names, &s->arena);
		s->esearch->filter = f;
		mailbox_filter_each_prefix(f, &s->names, add_prefix, s);
	}
	names_inbox(&s->names, bytes_of(s->user), &inbox);
	if (wants_subscriptions && places_find(places_of(s), buffer_bytes(&inbox), &s->arena, &place) == PLACES_FOUND)
		fe_imap_forward_to(s, place.server);
	else
		collected(s);
	buffer_fini(&inbox);
}
