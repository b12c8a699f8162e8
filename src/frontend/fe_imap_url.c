/* fe_imap_url.c - commands with URLs (RFC 4467, 4469) whose mailboxes are on several servers. Where all are on one server that is asked as it
 * stands. Else the servers are asked URL by URL:
 *
 * GENURLAUTH: the answers are put together. URLFETCH: each answer is passed on as it comes; what cannot be had is NIL. CATENATE: what lies on
 * another server than the target is fetched there and takes its URL's place as TEXT, then the command goes on as any other. RESETKEY of all
 * mailboxes: each server in turn; all have done it, or the client is told NO and asks again.
 *
 * A URL that names no mailbox that is known goes to the target as it is, whose answer is BADURL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fe_imap.h"
#include "imap_url.h"
#include "imap_writer.h"
#include "policy.h"

struct url_item {
	struct bytes url, mechanism;
	char server[PLACES_SERVER_MAX]; /* empty: not known */
	bool is_malformed;
	struct cat_part *part;          /* CATENATE */
	bool has_octets;
	struct buffer octets;
};

/* In the command's arena. */
struct url_job {
	struct url_item *items;
	size_t count, at;
	struct buffer out;
	size_t octets; /* of all items */
	char target[PLACES_SERVER_MAX]; /* CATENATE */
};

static void free_job(void *arg)
{
	struct url_job *j = arg;

	for (size_t i = 0; i < j->count; i++)
		buffer_fini(&j->items[i].octets);
	buffer_fini(&j->out);
}

static void end(struct fe_imap *s, const char *status, const char *text)
{
	fe_imap_tagged(s, status, text);
	fe_imap_op_done(s);
}

static bool is_catenate(const struct fe_imap *s)
{
	return s->cmd.verb == IMAP_APPEND || s->cmd.verb == IMAP_REPLACE;
}

static struct imap_command_limits limits_of(const struct fe_imap *s)
{
	const struct config *cfg = fe_imap_frontend(s)->config;

	return (struct imap_command_limits){ (size_t)config_number(cfg, "imap_max_list"), (size_t)config_number(cfg, "imap_max_depth") };
}

/* The server of the mailbox NAME as N's user has it; false: there is none that is known. */
static bool server_of(struct fe_imap *s, const struct names *n, struct bytes name, char server[PLACES_SERVER_MAX])
{
	struct buffer internal = { 0 };
	struct place place;
	struct fault why;
	bool is_known = names_to_internal(n, name, &internal, &why) &&
	                places_find(fe_imap_frontend(s)->places, buffer_bytes(&internal), &s->arena, &place) == PLACES_FOUND && place.is_active;

	if (is_known)
		(void)snprintf(server, PLACES_SERVER_MAX, "%s", place.server);
	buffer_fini(&internal);
	return is_known;
}

/* Where ITEM has to be asked for. */
static void locate(struct fe_imap *s, struct url_item *item)
{
	const struct config *cfg = fe_imap_frontend(s)->config;
	const struct imap_command_limits limits = limits_of(s);
	struct names names = s->names;
	struct imap_url u;
	struct fault why;

	item->is_malformed = !imap_url_parse(item->url, &limits, &s->arena, &u, &why);
	if (item->is_malformed)
		return;
	/* What is not authorized a backend would read for its user, as CATENATE needs it. */
	if (s->cmd.verb == IMAP_URLFETCH && u.verifier.p == NULL)
		return;
	/* Whoever had it authorized named it. */
	if (s->cmd.verb == IMAP_URLFETCH && u.user.p != NULL)
		names = names_of(cfg, u.user, auth_is_admin(cfg, u.user));
	names.is_utf8 = true;
	if (u.mailbox.p != NULL)
		(void)server_of(s, &names, u.mailbox, item->server);
	else if (s->selected != NULL && s->cmd.verb != IMAP_URLFETCH)
		(void)snprintf(item->server, PLACES_SERVER_MAX, "%s", s->selected->server);
}

static void add_item(struct fe_imap *s, struct url_job *j, struct bytes url, struct bytes mechanism, struct cat_part *part)
{
	j->items[j->count] = (struct url_item){ .url = url, .mechanism = mechanism, .part = part };
	locate(s, &j->items[j->count++]);
}

static void collect_items(struct fe_imap *s, struct url_job *j)
{
	const struct imap_command *c = &s->cmd;
	size_t n = c->word_count, step = c->verb == IMAP_GENURLAUTH ? 2 : 1;

	for (size_t i = 0; i < c->message_count; i++)
		n += c->messages[i].part_count;
	j->items = arena_array(&s->arena, n, sizeof(*j->items));
	for (size_t i = 0; i < c->word_count; i += step)
		add_item(s, j, c->words[i], step == 2 ? c->words[i + 1] : BYTES_NONE, NULL);
	for (size_t i = 0; i < c->message_count; i++) {
		for (size_t k = 0; k < c->messages[i].part_count; k++) {
			if (c->messages[i].parts[k].is_url)
				add_item(s, j, c->messages[i].parts[k].octets, BYTES_NONE, &c->messages[i].parts[k]);
		}
	}
}

static void go_on(struct fe_imap *s);

static void write_nil(struct fe_imap *s, struct bytes url)
{
	struct buffer line = { 0 };

	buffer_add_str(&line, "* URLFETCH ");
	imap_write_string(&line, url, false);
	buffer_add_str(&line, " NIL\r\n");
	fe_imap_write(s, buffer_bytes(&line)); /* another server may be in the midst of its news */
	buffer_fini(&line);
}

/* The item at hand cannot be had. */
static void missing(struct fe_imap *s)
{
	struct url_job *j = s->url;
	struct bytes url = j->items[j->at].url;
	struct buffer line = { 0 };

	if (!is_catenate(s)) {
		write_nil(s, url);
		j->at++;
		go_on(s);
		return;
	}
	buffer_add_str(&line, "[BADURL ");
	imap_url_write_safe(&line, url);
	buffer_add_str(&line, "] the URL names nothing that you may read");
	buffer_add_u8(&line, '\0');
	end(s, "NO", (const char *)line.p);
	buffer_fini(&line);
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct url_job *j = s->url;
	struct buffer out = { 0 };

	imap_link_enable(l);
	buffer_add_str(&out, FE_TAG);
	if (s->cmd.verb == IMAP_RESETKEY) {
		buffer_add_str(&out, " RESETKEY");
	} else {
		buffer_add_str(&out, s->cmd.verb == IMAP_GENURLAUTH ? " GENURLAUTH " : " URLFETCH ");
		imap_write_string(&out, j->items[j->at].url, true);
	}
	if (s->cmd.verb == IMAP_GENURLAUTH) {
		buffer_add_u8(&out, ' ');
		buffer_add(&out, j->items[j->at].mechanism);
	}
	buffer_add_str(&out, "\r\n");
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

/* '* URLFETCH "url" {n}CRLF...', or NIL. */
static void take_octets(struct url_item *item, struct bytes response)
{
	size_t n;
	bool has_literal;
	uint64_t literal;

	if (!imap_response_segment(response, &n, &has_literal, &literal) || !has_literal || literal > response.n - n)
		return;
	buffer_add(&item->octets, bytes_sub(response, n, (size_t)literal));
	item->has_octets = true;
}

static void take_untagged(struct fe_imap *s, struct imap_link *l, struct bytes response)
{
	struct url_job *j = s->url;
	struct imap_response r;
	bool is_parsed = imap_response_parse(response, &r) && r.is_untagged;

	if (is_parsed && s->cmd.verb == IMAP_URLFETCH && bytes_equal_nocase_str(r.word, "URLFETCH")) {
		j->items[j->at].has_octets = true;
		conn_write(s->conn, response);
	} else if (is_parsed && s->cmd.verb == IMAP_GENURLAUTH && bytes_equal_nocase_str(r.word, "GENURLAUTH")) {
		buffer_add_u8(&j->out, ' ');
		buffer_add(&j->out, bytes_trim(r.rest));
	} else if (is_parsed && is_catenate(s) && bytes_equal_nocase_str(r.word, "URLFETCH")) {
		take_octets(&j->items[j->at], response);
	} else if (l == s->selected) {
		/* What the selected mailbox has to say of itself is the client's. */
		conn_write(s->conn, response);
	}
}

/* All that lies elsewhere is here: it takes its URLs' places. */
static void splice(struct fe_imap *s)
{
	const struct imap_command_limits limits = limits_of(s);
	struct url_job *j = s->url;
	struct bytes raw = buffer_bytes(&s->raw);
	struct buffer out = { 0 };
	struct fault why;
	size_t at = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct url_item *item = &j->items[i];
		size_t start = (size_t)(item->part->raw.p - raw.p);

		if (!item->has_octets)
			continue;
		buffer_add(&out, bytes_sub(raw, at, start - at));
		buffer_add_str(&out, "TEXT ");
		imap_write_literal_head(&out, item->octets.n, true);
		buffer_add(&out, buffer_bytes(&item->octets));
		at = start + item->part->raw.n;
	}
	buffer_add(&out, bytes_from(raw, at));
	fe_imap_replace_raw(s, &out);
	s->own = NULL;
	s->is_sent = false;
	if (imap_command_parse(buffer_bytes(&s->raw), &limits, &s->arena, &s->cmd, &why) != IMAP_PARSE_OK)
		end(s, "NO", "[SERVERBUG] the message cannot be put together"); /* it was a command, and is one still */
	else
		fe_imap_forward_append(s);
}

/* What was fetched for CATENATE counts like what the client sends. False: the client was told. */
static bool count_octets(struct fe_imap *s, const struct url_item *item)
{
	struct url_job *j = s->url;

	j->octets += item->octets.n;
	if (item->octets.n > fe_imap_frontend(s)->max_message || j->octets + s->raw.n > s->limits.messages + s->limits.line + s->limits.command) {
		end(s, "NO", "[TOOBIG] the message would be larger than a message may be");
		return false;
	}
	if (fe_imap_hold(s, s->raw.n + j->octets))
		return true;
	end(s, "NO", "[LIMIT] too many messages at once, try later");
	return false;
}

/* A server has said all about the item at hand. */
static void asked(struct fe_imap *s, const struct imap_response *r)
{
	struct url_job *j = s->url;
	struct url_item *item = &j->items[j->at];
	bool is_ok = bytes_equal_nocase_str(r->word, "OK");

	if (!is_ok && s->cmd.verb != IMAP_URLFETCH && bytes_starts(r->code, BYTES_LIT("XNOTMASTER"))) {
		end(s, "NO", "[UNAVAILABLE] a server has another master");
	} else if (!is_ok && !is_catenate(s) && s->cmd.verb != IMAP_URLFETCH) {
		end(s, bytes_equal_nocase_str(r->word, "BAD") ? "BAD" : "NO", arena_str(&s->arena, bytes_trim(r->rest)));
	} else if (s->cmd.verb != IMAP_GENURLAUTH && s->cmd.verb != IMAP_RESETKEY && !item->has_octets) {
		missing(s);
	} else if (!is_catenate(s) || count_octets(s, item)) {
		j->at++;
		go_on(s);
	}
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct imap_response r;

	if (!is_tagged)
		take_untagged(s, l, response);
	else if (imap_response_parse(response, &r))
		asked(s, &r);
}

static void lost(struct fe_imap *s, const char *why)
{
	(void)why;
	if (s->cmd.verb == IMAP_URLFETCH)
		missing(s);
	else
		end(s, "NO", "[UNAVAILABLE] a server was lost");
}

static const struct own_op url_op = { .link_ready = link_ready, .response = take_response, .lost = lost };

static void all_asked(struct fe_imap *s)
{
	struct url_job *j = s->url;

	if (s->cmd.verb == IMAP_GENURLAUTH) {
		fe_imap_write(s, BYTES_LIT("* GENURLAUTH"));
		fe_imap_write(s, buffer_bytes(&j->out));
		fe_imap_write(s, BYTES_LIT("\r\n"));
	}
	if (is_catenate(s))
		splice(s);
	else
		end(s, "OK", s->cmd.verb == IMAP_RESETKEY ? "[URLMECH INTERNAL] earlier URLs are void" : "done");
}

/* To the item at hand. */
static void go_on(struct fe_imap *s)
{
	struct url_job *j = s->url;

	/* What the target has itself, or answers for, it reads itself. */
	while (is_catenate(s) && j->at < j->count && (j->items[j->at].server[0] == '\0' || strcmp(j->items[j->at].server, j->target) == 0))
		j->at++;
	for (; s->cmd.verb == IMAP_URLFETCH && j->at < j->count && j->items[j->at].server[0] == '\0'; j->at++)
		write_nil(s, j->items[j->at].url);
	if (j->at == j->count) {
		all_asked(s);
		return;
	}
	s->is_sent = false;
	if (j->items[j->at].server[0] == '\0') {
		if (j->items[j->at].is_malformed)
			end(s, "BAD", "that is no URL of a message");
		else
			end(s, "NO", "the URL names nothing that you may read");
		return;
	}
	(void)snprintf(s->op_server, sizeof(s->op_server), "%s", j->items[j->at].server);
	fe_imap_try(s);
}

static bool has_unknown(const struct url_job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		if (j->items[i].server[0] == '\0')
			return true;
	}
	return false;
}

/* Whether all items are at one server; the target's, for CATENATE. */
static bool is_at_one(const struct fe_imap *s, const struct url_job *j)
{
	const char *server = is_catenate(s) ? j->target : j->count > 0 ? j->items[0].server : "";

	for (size_t i = 0; i < j->count; i++) {
		bool is_left = is_catenate(s) && j->items[i].server[0] == '\0';

		if (!is_left && strcmp(j->items[i].server, server) != 0)
			return false;
	}
	return server[0] != '\0';
}

void fe_url_begin(struct fe_imap *s)
{
	struct url_job *j = arena_zalloc(&s->arena, sizeof(*j));
	struct names names = s->names;

	s->url = j;
	arena_on_free(&s->arena, free_job, j);
	collect_items(s, j);
	if (is_catenate(s) && !server_of(s, &names, s->cmd.mailbox, j->target)) {
		if (s->has_synced)
			fe_imap_forward_append(s); /* which says that it is not there */
		else
			fe_imap_sync_then(s, fe_url_begin);
		return;
	}
	if (has_unknown(j) && !s->has_synced) {
		fe_imap_sync_then(s, fe_url_begin);
		return;
	}
	if (is_at_one(s, j)) {
		if (is_catenate(s))
			fe_imap_forward_append(s);
		else
			fe_imap_forward_to(s, j->items[0].server);
		return;
	}
	s->own = &url_op;
	go_on(s);
}

/* RESETKEY of all mailboxes, at each server that is known. */
void fe_url_reset_begin(struct fe_imap *s)
{
	struct places *places = fe_imap_frontend(s)->places;
	struct url_job *j = arena_zalloc(&s->arena, sizeof(*j));
	char server[PLACES_SERVER_MAX] = "";
	size_t cap = 0;

	while (places_next_server(places, server, server))
		cap++;
	s->url = j;
	arena_on_free(&s->arena, free_job, j);
	j->items = arena_array(&s->arena, cap, sizeof(*j->items));
	server[0] = '\0';
	while (j->count < cap && places_next_server(places, server, server)) {
		j->items[j->count] = (struct url_item){ .has_octets = true };
		(void)snprintf(j->items[j->count++].server, PLACES_SERVER_MAX, "%s", server);
	}
	s->own = &url_op;
	go_on(s);
}

bool fe_url_has_any(const struct imap_command *c)
{
	for (size_t i = 0; i < c->message_count; i++) {
		for (size_t k = 0; k < c->messages[i].part_count; k++) {
			if (c->messages[i].parts[k].is_url)
				return true;
		}
	}
	return false;
}
