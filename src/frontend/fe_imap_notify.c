/* fe_imap_notify.c - NOTIFY (RFC 5465) through the frontend: each server that has some of the mailboxes asked for is told, and says by itself
 * what happens to them; that goes to the client as it comes, one response after the other. A connection that is made later, as for
 * a mailbox that is selected elsewhere, is told before its first command.
 *
 * Subscriptions are the INBOX's server's to know: the others are told the names that are subscribed to now.
 *
 * A server that is lost, or has another master, may have had news that nobody hears any more: the client is told NOTIFICATIONOVERFLOW, as the
 * RFC has it, and NOTIFY is as good as NONE everywhere; a client that wants to goes on from a new one, with STATUS.
 *
 * BUGS: a mailbox that comes to be on a server where nothing was asked for, or is subscribed to there, is heard of from the next NOTIFY on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_writer.h"
#include "mailbox_filter.h"

#define NAMES_OCTETS_MAX 8000 /* of subscriptions in one command */
/* What a session has that never used NOTIFY, nearly. */
#define AS_BEFORE "NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))\r\n"

struct subscription {
	struct bytes external; /* in the arena */
	const char *server;
};

struct fe_notify {
	struct arena arena;
	struct imap_command cmd; /* its groups as they were written; filters are resolved */
	char inbox_server[PLACES_SERVER_MAX];
	bool wants_inbox, wants_subscribed;
	struct subscription *subscribed; /* owned */
	size_t subscribed_count, subscribed_cap;
};

struct target {
	char server[PLACES_SERVER_MAX];
	bool has_mailboxes;
};

struct notify_job {
	struct fe_notify *next; /* owned until all have taken it */
	bool is_asking;
	bool is_overtaken; /* by an overflow: servers that had taken it were told otherwise */
	struct target *targets; /* owned */
	size_t count, at;
	const struct mailbox_filter *filter;
};

static struct places *places_of(const struct fe_imap *s)
{
	return fe_imap_frontend(s)->places;
}

static void free_wishes(struct fe_notify **np)
{
	struct fe_notify *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	free(n->subscribed);
	arena_fini(&n->arena);
	free(n);
}

void fe_notify_end_job(struct fe_imap *s)
{
	struct notify_job *j = s->notify_job;

	if (j == NULL)
		return;
	s->notify_job = NULL;
	free_wishes(&j->next);
	free(j->targets);
	free(j);
}

void fe_notify_free(struct fe_imap *s)
{
	fe_notify_end_job(s);
	free_wishes(&s->notify);
}

/* "(mailboxes (a b) events)", of what is subscribed to on SERVER. False: nothing is. */
static bool write_subscribed(const struct fe_notify *n, const struct notify_group *g, const char *server, struct buffer *to)
{
	size_t before = to->n;
	const char *blank = " (mailboxes (";

	for (size_t i = 0; i < n->subscribed_count; i++) {
		if (strcmp(n->subscribed[i].server, server) != 0)
			continue;
		buffer_add_str(to, blank);
		imap_write_astring(to, n->subscribed[i].external, true);
		blank = " ";
	}
	if (to->n == before)
		return false;
	buffer_add_str(to, ") ");
	buffer_add(to, g->event_octets);
	buffer_add_u8(to, ')');
	return true;
}

static void write_notify(const struct fe_notify *n, const char *server, bool wants_status, struct buffer *to)
{
	size_t begin = to->n;
	bool has_one = false;

	buffer_add_str(to, wants_status ? "NOTIFY SET STATUS" : "NOTIFY SET");
	for (size_t i = 0; i < n->cmd.group_count; i++) {
		const struct notify_group *g = &n->cmd.groups[i];

		if (g->filter.kind == FILTER_SUBSCRIBED && strcmp(server, n->inbox_server) != 0) {
			has_one = write_subscribed(n, g, server, to) || has_one;
			continue;
		}
		buffer_add_u8(to, ' ');
		buffer_add(to, g->octets);
		has_one = true;
	}
	if (!has_one) {
		to->n = begin;
		buffer_add_str(to, "NOTIFY NONE");
	}
	buffer_add_str(to, "\r\n");
}

void fe_notify_link(struct imap_link *l)
{
	struct fe_imap *s = l->session;
	struct buffer out = { 0 };

	/* One that idles takes no command: it is told before the next. */
	if (l->notify_version == s->notify_version || l->state != ILINK_READY || (s->is_idling && l == s->op_link))
		return;
	l->notify_version = s->notify_version;
	l->notify_awaited++;
	buffer_add_str(&out, "FN ");
	if (s->notify == NULL)
		buffer_add_str(&out, AS_BEFORE);
	else
		write_notify(s->notify, l->server, false, &out);
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

bool fe_notify_is_answer(struct imap_link *l, struct bytes segment)
{
	struct imap_response r;

	if (l->notify_awaited == 0 || !bytes_starts(segment, BYTES_LIT("FN ")))
		return false;
	l->notify_awaited--;
	if (!imap_response_parse(segment, &r) || !bytes_equal_nocase_str(r.word, "OK"))
		fe_notify_overflow(l->session);
	return true;
}

void fe_notify_overflow(struct fe_imap *s)
{
	struct fe_notify *n;

	if (s->notify == NULL || s->notify->cmd.group_count == 0 || s->is_dead || s->is_leaving)
		return;
	fe_imap_say(s, "* OK [NOTIFICATIONOVERFLOW] a server was lost or has too much: nothing more is told");
	n = must_calloc(1, sizeof(*n));
	free_wishes(&s->notify);
	s->notify = n;
	s->notify_version++;
	if (s->notify_job != NULL)
		s->notify_job->is_overtaken = true;
	LIST_EACH(m, &s->links) {
		struct imap_link *l = LIST_OBJECT(m, struct imap_link, in_session);

		l->is_watching = false;
		fe_notify_link(l);
	}
}

/* The command. */

static void add_target(struct fe_imap *s, struct bytes server, bool has_mailboxes)
{
	struct notify_job *j = s->notify_job;

	for (size_t i = 0; i < j->count; i++) {
		if (bytes_equal_str(server, j->targets[i].server)) {
			j->targets[i].has_mailboxes = j->targets[i].has_mailboxes || has_mailboxes;
			return;
		}
	}
	j->targets = must_realloc(j->targets, j->count + 1, sizeof(*j->targets));
	j->targets[j->count].has_mailboxes = has_mailboxes;
	(void)snprintf(j->targets[j->count++].server, PLACES_SERVER_MAX, "%.*s", BYTES_FMT(server));
}

static struct bytes server_of(struct bytes location)
{
	return bytes_sub(location, 0, bytes_find(location, '!'));
}

static bool each(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct fe_imap *s = arg;

	if (mailbox_filter_has(s->notify_job->filter, &s->names, name) && (fe_imap_rights(s, name, acl) & ACL_LOOKUP) != 0)
		add_target(s, server_of(location), true);
	return true;
}

static void add_prefix(void *arg, struct bytes prefix)
{
	struct fe_imap *s = arg;
	struct place place;

	if (s->notify_job->filter->kind != FILTER_MAILBOXES)
		places_each(places_of(s), prefix, each, s);
	else if (places_find(places_of(s), prefix, &s->arena, &place) == PLACES_FOUND)
		add_target(s, server_of(place.location), true);
}

static void end(struct fe_imap *s, const char *status, const char *text)
{
	fe_imap_tagged(s, status, text);
	fe_imap_op_done(s);
}

/* Some have taken what the others have not: they are told again what holds. */
static void fail_job(struct fe_imap *s, const char *status, const char *text)
{
	struct notify_job *j = s->notify_job;

	if (j->is_asking && s->notify == NULL)
		s->notify_version++;
	LIST_EACH(m, &s->links) {
		struct imap_link *l = LIST_OBJECT(m, struct imap_link, in_session);

		for (size_t i = 0; j->is_asking && i <= j->at && i < j->count; i++) {
			if (strcmp(j->targets[i].server, l->server) != 0)
				continue;
			l->notify_version = s->notify_version - 1;
			fe_notify_link(l);
		}
	}
	end(s, status, text);
}

/* Whether all that have something to tell, and have taken it, are still there and at it. */
static bool is_held(const struct fe_imap *s, const struct notify_job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		bool is_there = !j->targets[i].has_mailboxes;

		LIST_EACH(m, &s->links)
			is_there = is_there || strcmp(j->targets[i].server, LIST_OBJECT(m, struct imap_link, in_session)->server) == 0;
		if (!is_there)
			return false;
	}
	return !j->is_overtaken;
}

static void ask(struct fe_imap *s)
{
	struct notify_job *j = s->notify_job;

	if (j->at < j->count) {
		s->is_sent = false;
		fe_imap_forward_to(s, j->targets[j->at].server);
		return;
	}
	if (!is_held(s, j)) {
		fail_job(s, "NO", "[UNAVAILABLE] a server was lost meanwhile, try again");
		return;
	}
	free_wishes(&s->notify);
	s->notify = j->next;
	j->next = NULL;
	s->notify_version++;
	LIST_EACH(m, &s->links) {
		struct imap_link *l = LIST_OBJECT(m, struct imap_link, in_session);

		l->is_watching = false;
		for (size_t i = 0; i < j->count; i++) {
			if (strcmp(j->targets[i].server, l->server) != 0)
				continue;
			l->notify_version = s->notify_version;
			l->is_watching = j->targets[i].has_mailboxes;
		}
	}
	end(s, "OK", "done");
}

static void begin_asking(struct fe_imap *s)
{
	struct notify_job *j = s->notify_job;
	size_t octets = 0;

	for (size_t i = 0; i < j->next->subscribed_count; i++)
		octets += j->next->subscribed[i].external.n;
	if (octets > NAMES_OCTETS_MAX) {
		end(s, "NO", "[NOTIFICATIONOVERFLOW] too many subscriptions on other servers than the INBOX's");
		return;
	}
	if (s->selected != NULL)
		add_target(s, bytes_of(s->selected->server), false);
	LIST_EACH(m, &s->links)
		add_target(s, bytes_of(LIST_OBJECT(m, struct imap_link, in_session)->server), false);
	j->is_asking = true;
	ask(s);
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct notify_job *j = s->notify_job;
	struct buffer out = { 0 };

	imap_link_enable(l);
	buffer_add_str(&out, FE_TAG " ");
	if (j->is_asking)
		write_notify(j->next, l->server, s->cmd.wants_status, &out);
	else
		buffer_add_str(&out, "LSUB \"\" *\r\n");
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static void take_subscription(struct fe_imap *s, struct bytes external)
{
	struct fe_notify *n = s->notify_job->next;
	struct buffer internal = { 0 };
	struct place place;
	struct fault why;

	if (external.n > 0 && names_to_internal(&s->names, external, &internal, &why) &&
	    places_find(places_of(s), buffer_bytes(&internal), &s->arena, &place) == PLACES_FOUND && strcmp(place.server, n->inbox_server) != 0) {
		if (n->subscribed_count == n->subscribed_cap) {
			n->subscribed_cap = n->subscribed_cap == 0 ? 16 : 2 * n->subscribed_cap;
			n->subscribed = must_realloc(n->subscribed, n->subscribed_cap, sizeof(*n->subscribed));
		}
		n->subscribed[n->subscribed_count++] =
			(struct subscription){ arena_copy(&n->arena, external), arena_str(&n->arena, bytes_of(place.server)) };
		add_target(s, bytes_of(place.server), true);
	}
	buffer_fini(&internal);
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct notify_job *j = s->notify_job;
	struct imap_response r;
	struct bytes external;

	(void)l;
	if (is_tagged && (!imap_response_parse(response, &r) || !bytes_equal_nocase_str(r.word, "OK"))) {
		if (bytes_starts(r.code, BYTES_LIT("XNOTMASTER")))
			fail_job(s, "NO", "[UNAVAILABLE] a server has another master now, try again");
		else
			fail_job(s, "NO", arena_str(&s->arena, r.rest));
	} else if (is_tagged && j->is_asking) {
		j->at++;
		ask(s);
	} else if (is_tagged) {
		begin_asking(s);
	} else if (j->is_asking || !fe_take_lsub(s, response, &external)) {
		conn_write(s->conn, response);
	} else {
		take_subscription(s, external);
	}
}

static void lost(struct fe_imap *s, const char *why)
{
	(void)why;
	fail_job(s, "NO", "[UNAVAILABLE] a server cannot be reached now");
}

/* What is wanted, from the command at hand. False: it is answered. */
static bool take_wishes(struct fe_imap *s, struct fe_notify *n)
{
	const struct config *cfg = fe_imap_frontend(s)->config;
	const struct imap_command_limits limits = { (size_t)config_number(cfg, "imap_max_list"), (size_t)config_number(cfg, "imap_max_depth") };
	struct fault why;

	if (imap_command_parse(arena_copy(&n->arena, buffer_bytes(&s->raw)), &limits, &n->arena, &n->cmd, &why) != IMAP_PARSE_OK) {
		end(s, "BAD", why.what); /* it was parsed once */
		return false;
	}
	for (size_t i = 0; i < n->cmd.group_count; i++) {
		struct notify_group *g = &n->cmd.groups[i];

		if ((g->events & NOTIFY_UNKNOWN) != 0) {
			end(s, "NO", "[BADEVENT (" NOTIFY_SUPPORTED ")] there is no such event here");
			return false;
		}
		n->wants_subscribed = n->wants_subscribed || g->filter.kind == FILTER_SUBSCRIBED;
		n->wants_inbox = n->wants_inbox || (g->events & (NOTIFY_SUBSCRIPTION_CHANGE | NOTIFY_SERVER_METADATA)) != 0;
		mailbox_filter_resolve(&g->filter, &s->names, &n->arena);
	}
	return true;
}

void fe_notify_begin(struct fe_imap *s)
{
	static const struct own_op op = { .link_ready = link_ready, .response = take_response, .lost = lost };
	struct fe_notify *n;
	struct buffer inbox = { 0 };
	struct place place;
	bool has_inbox;

	if (!s->has_synced) {
		fe_imap_sync_then(s, fe_notify_begin); /* which servers are asked is for the list to say, with the newest rights */
		return;
	}
	s->notify_job = must_calloc(1, sizeof(*s->notify_job));
	s->notify_job->next = n = must_calloc(1, sizeof(*n));
	if (!take_wishes(s, n))
		return;
	s->own = &op;
	names_inbox(&s->names, bytes_of(s->user), &inbox);
	has_inbox = places_find(places_of(s), buffer_bytes(&inbox), &s->arena, &place) == PLACES_FOUND;
	buffer_fini(&inbox);
	if (has_inbox)
		(void)snprintf(n->inbox_server, sizeof(n->inbox_server), "%s", place.server);
	for (size_t i = 0; i < n->cmd.group_count; i++) {
		s->notify_job->filter = &n->cmd.groups[i].filter;
		if (n->cmd.groups[i].events != 0)
			mailbox_filter_each_prefix(s->notify_job->filter, &s->names, add_prefix, s);
	}
	if (has_inbox && (n->wants_inbox || n->wants_subscribed))
		add_target(s, bytes_of(n->inbox_server), true);
	if (has_inbox && n->wants_subscribed)
		fe_imap_forward_to(s, n->inbox_server);
	else
		begin_asking(s);
}
