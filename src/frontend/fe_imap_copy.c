/* fe_imap_copy.c - COPY and MOVE to a mailbox on another server: each message is fetched from the one and appended to the
 * other, then (MOVE) marked deleted and expunged; the answer carries COPYUID as if it had been one server.
 *
 * Story: FETCH (UID) of the set; for each UID in turn FETCH (FLAGS INTERNALDATE BODY.PEEK[]) here, APPEND there; at the end
 * for MOVE: UID STORE +FLAGS.SILENT (\Deleted), UID EXPUNGE. It is not atomic: when something fails, what was copied stays
 * copied, nothing is removed, and the client is told NO. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_lex.h"
#include "imap_writer.h"
#include "seqset.h"

enum copy_step { COPY_LIST, COPY_FETCH, COPY_ANNOTATIONS, COPY_APPEND, COPY_STORE, COPY_EXPUNGE };

struct copy_job {
	enum copy_step step;
	char source[PLACES_SERVER_MAX], target[PLACES_SERVER_MAX];
	uint32_t *uids;
	size_t count, cap, at;
	uint32_t *made; /* UIDs there */
	char uidvalidity[24];
	struct buffer flags, date, message;
	bool has_message;
	const char *annotations; /* which go along; NULL: not all servers know of them */
	struct buffer annotated; /* as they stand in APPEND, with a blank behind; or nothing */
	char limit[64];   /* MOVE: the code that tells that a limit left some out */
	uint64_t told_ms; /* when the client was last told how far it is, or the beginning */
	bool was_told;
};

static void fail_copy(struct fe_imap *s, const char *text)
{
	fe_imap_tagged(s, "NO", text);
	fe_imap_op_done(s);
}

void fe_copy_free(struct fe_imap *s)
{
	struct copy_job *j = s->copy;

	if (j == NULL)
		return;
	s->copy = NULL;
	free(j->uids);
	free(j->made);
	buffer_fini(&j->flags);
	buffer_fini(&j->date);
	buffer_fini(&j->message);
	buffer_fini(&j->annotated);
	free(j);
}

static void go(struct fe_imap *s, enum copy_step step)
{
	s->copy->step = step;
	s->is_sent = false;
	(void)snprintf(s->op_server, sizeof(s->op_server), "%s", step == COPY_APPEND ? s->copy->target : s->copy->source);
	fe_imap_try(s);
}

/* The UIDs as ranges that stand in a command. */
static void add_uids(struct buffer *to, const uint32_t *uids, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t end = i + 1;
		struct seq_range r = { uids[i], uids[i] };

		while (end < count && uids[end] == uids[end - 1] + 1)
			r.last = uids[end++];
		if (i > 0)
			buffer_add_u8(to, ',');
		seqset_write(to, &r, 1);
		i = end;
	}
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	struct copy_job *j = s->copy;
	struct buffer out = { 0 };

	imap_link_enable(l);
	buffer_add_str(&out, FE_TAG " ");
	switch (j->step) {
	case COPY_LIST:
		buffer_add_str(&out, s->cmd.is_uid ? "UID FETCH " : "FETCH ");
		if (s->cmd.set.is_saved)
			buffer_add_u8(&out, '$');
		for (size_t i = 0; i < s->cmd.set.count; i++) {
			struct seq_range r = s->cmd.set.ranges[i];

			if (i > 0)
				buffer_add_u8(&out, ',');
			if (r.first == SEQ_STAR)
				buffer_add_u8(&out, '*');
			else
				buffer_add_u64(&out, r.first);
			if (r.last == r.first)
				continue;
			buffer_add_u8(&out, ':');
			if (r.last == SEQ_STAR)
				buffer_add_u8(&out, '*');
			else
				buffer_add_u64(&out, r.last);
		}
		buffer_add_str(&out, " (UID)");
		break;
	case COPY_FETCH:
		buffer_addf(&out, "UID FETCH %u (FLAGS INTERNALDATE BODY.PEEK[])", j->uids[j->at]);
		j->has_message = false;
		break;
	case COPY_ANNOTATIONS:
		buffer_addf(&out, "UID FETCH %u (ANNOTATION (/* %s))", j->uids[j->at], j->annotations);
		break;
	case COPY_APPEND:
		buffer_add_str(&out, "APPEND ");
		imap_write_astring(&out, s->cmd.target, true);
		buffer_addf(&out, " (%.*s) %.*s ", BYTES_FMT(buffer_bytes(&j->flags)), BYTES_FMT(buffer_bytes(&j->date)));
		buffer_add(&out, buffer_bytes(&j->annotated));
		imap_write_literal_head(&out, j->message.n, true);
		buffer_add(&out, buffer_bytes(&j->message));
		break;
	case COPY_STORE:
		buffer_add_str(&out, "UID STORE ");
		add_uids(&out, j->uids, j->count);
		buffer_add_str(&out, " +FLAGS.SILENT (\\Deleted)");
		break;
	case COPY_EXPUNGE:
		buffer_add_str(&out, "UID EXPUNGE ");
		add_uids(&out, j->uids, j->count);
		break;
	}
	buffer_add_str(&out, "\r\n");
	s->is_sent = true;
	conn_write(l->conn, buffer_bytes(&out));
	buffer_fini(&out);
}

static bool number_behind(struct bytes in, const char *word, uint32_t *v_r)
{
	size_t at = bytes_search(in, bytes_of(word));
	struct bytes rest = bytes_from(in, at + strlen(word));
	size_t n = 0;
	uint64_t v;

	if (at == in.n)
		return false;
	while (n < rest.n && ascii_is_digit(rest.p[n]))
		n++;
	if (!bytes_to_u64(bytes_sub(rest, 0, n), UINT32_MAX, &v))
		return false;
	*v_r = (uint32_t)v;
	return true;
}

/* "* 3 FETCH (", or "* 7 UIDFETCH (" to who has enabled UIDONLY. */
static bool is_fetch(struct bytes response)
{
	struct imap_response r;

	return imap_response_parse(response, &r) && r.is_untagged &&
	       (bytes_starts_nocase(r.rest, BYTES_LIT("FETCH (")) || bytes_starts_nocase(r.rest, BYTES_LIT("UIDFETCH (")));
}

/* The answer to COPY_LIST, and nothing else: news of flags has more in it. */
static bool note_uid(struct copy_job *j, struct bytes response)
{
	uint32_t uid;

	if (!is_fetch(response) || bytes_search(response, BYTES_LIT("FLAGS ")) < response.n || !number_behind(response, "(UID ", &uid))
		return false;
	if (j->count == j->cap) {
		j->cap = j->cap == 0 ? 64 : j->cap * 2;
		j->uids = must_realloc(j->uids, j->cap, sizeof(*j->uids));
	}
	j->uids[j->count++] = uid;
	return true;
}

/* "* 3 FETCH (FLAGS (...) INTERNALDATE "..." BODY[] {n}CRLF...)", in whatever order; false: it is something else. */
static bool note_message(struct copy_job *j, struct bytes response)
{
	size_t head_n, flags, date, body;
	bool has_literal;
	uint64_t literal;
	struct bytes head;

	if (!is_fetch(response) || !imap_response_segment(response, &head_n, &has_literal, &literal))
		return false;
	body = bytes_search(response, BYTES_LIT("BODY[] "));
	flags = bytes_search(response, BYTES_LIT("FLAGS ("));
	date = bytes_search(response, BYTES_LIT("INTERNALDATE \""));
	if (body == response.n)
		return false;
	head = has_literal ? bytes_sub(response, 0, head_n) : response;
	buffer_clear(&j->message);
	if (has_literal)
		buffer_add(&j->message, bytes_sub(response, head_n, (size_t)literal));
	/* Flags and date are looked for in front of the literal and behind it, never within. */
	if (has_literal && flags >= head.n && flags < head_n + literal)
		flags = head_n + literal + bytes_search(bytes_from(response, head_n + (size_t)literal), BYTES_LIT("FLAGS ("));
	if (has_literal && date >= head.n && date < head_n + literal)
		date = head_n + literal + bytes_search(bytes_from(response, head_n + (size_t)literal), BYTES_LIT("INTERNALDATE \""));
	buffer_clear(&j->flags);
	if (flags < response.n) {
		struct bytes rest = bytes_from(response, flags + 7);

		rest = bytes_sub(rest, 0, bytes_find(rest, ')'));
		while (rest.n > 0) {
			size_t n = bytes_find(rest, ' ');
			struct bytes word = bytes_sub(rest, 0, n);

			if (word.n > 0 && !bytes_equal_nocase_str(word, "\\Recent")) {
				buffer_add_str(&j->flags, j->flags.n > 0 ? " " : "");
				buffer_add(&j->flags, word);
			}
			rest = bytes_from(rest, n + 1);
		}
	}
	buffer_clear(&j->date);
	if (date < response.n) {
		struct bytes rest = bytes_from(response, date + 14);

		buffer_add_u8(&j->date, '"');
		buffer_add(&j->date, bytes_sub(rest, 0, bytes_find(rest, '"')));
		buffer_add_u8(&j->date, '"');
	}
	j->has_message = true;
	return true;
}

/* "entry (attribute value attribute value)" to FOUND as APPEND has it, but for literals, and without values of NIL, which stand for what is
 * not there (Cyrus tells of all that there could be). False: it is something else. */
static bool take_annotation(struct cursor *c, struct arena *a, struct buffer *found)
{
	const uint8_t *start = c->p;
	struct bytes entry, name, value;
	struct buffer values = { 0 };
	struct fault why;
	bool ok = imap_take_astring(c, a, &entry, &why);

	entry = bytes_make(start, (size_t)(c->p - start));
	ok = ok && cursor_take(c, ' ') && cursor_take(c, '(');
	while (ok && !cursor_take(c, ')')) {
		(void)cursor_take(c, ' ');
		ok = imap_take_astring(c, a, &name, &why) && cursor_take(c, ' ');
		start = c->p;
		(void)cursor_take(c, '~');
		ok = ok && imap_take_nstring(c, a, &value, &why);
		if (!ok || value.p == NULL)
			continue;
		buffer_add_u8(&values, values.n == 0 ? '(' : ' ');
		buffer_add(&values, name);
		buffer_add_u8(&values, ' ');
		buffer_add(&values, bytes_make(start, (size_t)(c->p - start)));
	}
	if (ok && values.n > 0) {
		buffer_add_u8(found, found->n == 0 ? '(' : ' ');
		buffer_add(found, entry);
		buffer_add_u8(found, ' ');
		buffer_add(found, buffer_bytes(&values));
		buffer_add_u8(found, ')');
	}
	buffer_fini(&values);
	return ok;
}

/* "* 3 FETCH (UID 7 ANNOTATION (...))". */
static bool note_annotations(struct copy_job *j, struct bytes response)
{
	const struct bytes word = BYTES_LIT("ANNOTATION (");
	struct cursor c = cursor_of(bytes_trim(response));
	struct buffer found = { 0 };
	struct arena a = { 0 };
	bool ok = is_fetch(response) && bytes_search(cursor_rest(&c), word) < cursor_left(&c);

	if (ok)
		c.p += bytes_search(cursor_rest(&c), word) + word.n;
	while (ok && !cursor_take(&c, ')')) {
		(void)cursor_take(&c, ' ');
		ok = take_annotation(&c, &a, &found);
	}
	if (ok) {
		buffer_clear(&j->annotated);
		if (found.n > 0) {
			buffer_add_str(&j->annotated, "ANNOTATION ");
			imap_framer_add_non_sync(&j->annotated, buffer_bytes(&found));
			buffer_add_str(&j->annotated, ") ");
		}
	}
	buffer_fini(&found);
	arena_fini(&a);
	return ok;
}

static void all_copied(struct fe_imap *s)
{
	struct copy_job *j = s->copy;
	struct buffer out = { 0 };
	bool is_move = s->cmd.verb == IMAP_MOVE;

	if (is_move)
		buffer_add_str(&out, "* OK [COPYUID ");
	else {
		buffer_add(&out, s->cmd.tag);
		buffer_add_str(&out, " OK [COPYUID ");
	}
	buffer_add_str(&out, j->uidvalidity);
	buffer_add_u8(&out, ' ');
	add_uids(&out, j->uids, j->count);
	buffer_add_u8(&out, ' ');
	add_uids(&out, j->made, j->count);
	buffer_add_str(&out, is_move ? "] copied\r\n" : "] done\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
	if (is_move)
		go(s, COPY_STORE);
	else
		fe_imap_op_done(s);
}

/* RFC 9585: as a backend tells it (inprogress.h). */
static void tell_progress(struct fe_imap *s)
{
	struct copy_job *j = s->copy;
	uint64_t wait_ms = fe_imap_frontend(s)->progress_ms, now = loop_now_ms(s->base.shard->loop);

	if (now - j->told_ms < (j->was_told ? 5 : 1) * wait_ms)
		return;
	j->told_ms = now;
	j->was_told = true;
	fe_imap_say(s, "* OK [INPROGRESS (\"%.*s\" %zu %zu)] messages were copied", BYTES_FMT(s->cmd.tag), j->at, j->count);
}

static void appended(struct fe_imap *s, const struct imap_response *r)
{
	struct copy_job *j = s->copy;
	struct bytes code = r->code, word;
	size_t n;
	uint64_t uid = 0;

	/* APPENDUID uidvalidity uid (RFC 4315 section 3) */
	if (bytes_starts_nocase(code, BYTES_LIT("APPENDUID "))) {
		code = bytes_from(code, 10);
		n = bytes_find(code, ' ');
		word = bytes_sub(code, 0, n);
		(void)snprintf(j->uidvalidity, sizeof(j->uidvalidity), "%.*s", BYTES_FMT(word));
		(void)bytes_to_u64(bytes_from(code, n + 1), UINT32_MAX, &uid);
	}
	j->made[j->at++] = (uint32_t)uid;
	tell_progress(s);
	if (j->at < j->count)
		go(s, COPY_FETCH);
	else
		all_copied(s);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void step_done(struct fe_imap *s, const struct imap_response *r)
{
	struct copy_job *j = s->copy;

	if (!bytes_equal_nocase_str(r->word, "OK")) {
		struct buffer text = { 0 };

		if (bytes_starts(r->code, BYTES_LIT("XNOTMASTER")))
			buffer_add_str(&text, "[UNAVAILABLE] the server has another master");
		else
			buffer_add(&text, bytes_trim(r->rest));
		buffer_add_u8(&text, '\0');
		fail_copy(s, (const char *)text.p);
		buffer_fini(&text);
		return;
	}
	switch (j->step) {
	case COPY_LIST:
		if (bytes_starts_nocase(r->code, BYTES_LIT("MESSAGELIMIT "))) {
			(void)snprintf(j->limit, sizeof(j->limit), "[%.*s]", BYTES_FMT(bytes_sub(r->code, 0, 40)));
			if (s->cmd.verb == IMAP_COPY) {
				fail_copy(s, arena_printf(&s->arena, "%s too many messages for one command", j->limit));
				return;
			}
		}
		if (j->count == 0) {
			fe_imap_tagged(s, "OK", "no such messages");
			fe_imap_op_done(s);
			return;
		}
		qsort(j->uids, j->count, sizeof(*j->uids), by_value);
		j->made = must_calloc(j->count, sizeof(*j->made));
		go(s, COPY_FETCH);
		return;
	case COPY_FETCH:
		buffer_clear(&j->annotated);
		if (!j->has_message)
			fail_copy(s, "a message was removed meanwhile");
		else
			go(s, j->annotations != NULL ? COPY_ANNOTATIONS : COPY_APPEND);
		return;
	case COPY_ANNOTATIONS:
		go(s, COPY_APPEND);
		return;
	case COPY_APPEND:
		appended(s, r);
		return;
	case COPY_STORE:
		go(s, COPY_EXPUNGE);
		return;
	case COPY_EXPUNGE:
		if (j->limit[0] != '\0' && r->code.n > 0)
			fe_imap_say(s, "* NO %s not all: too many messages for one command", j->limit);
		else if (j->limit[0] != '\0') {
			fe_imap_tagged(s, "OK", arena_printf(&s->arena, "%s done", j->limit));
			fe_imap_op_done(s);
			return;
		}
		fe_imap_tagged(s, "OK", bytes_starts_nocase(r->code, BYTES_LIT("HIGHESTMODSEQ ")) ?
		                                arena_printf(&s->arena, "[%.*s] done", BYTES_FMT(bytes_sub(r->code, 0, 40))) : "done");
		fe_imap_op_done(s);
		return;
	}
}

static void take_response(struct fe_imap *s, struct imap_link *l, struct bytes response, bool is_tagged)
{
	struct copy_job *j = s->copy;
	struct imap_response r;

	if (is_tagged) {
		if (imap_response_parse(response, &r))
			step_done(s, &r);
		return;
	}
	if ((j->step == COPY_LIST && note_uid(j, response)) || (j->step == COPY_FETCH && note_message(j, response)) ||
	    (j->step == COPY_ANNOTATIONS && note_annotations(j, response)))
		return;
	/* What the selected mailbox has to say of itself is the client's. */
	if (fe_imap_is_news(s, l))
		conn_write(s->conn, response);
}

static void lost(struct fe_imap *s, const char *why)
{
	(void)why;
	fail_copy(s, "[UNAVAILABLE] a server was lost while messages were being copied; some may have been");
}

static const struct own_op copy_op = { .link_ready = link_ready, .response = take_response, .lost = lost };

/* Which annotations go along (RFC 5257 section 4.6): the user's own, and what is shared where he may set that. */
static const char *annotations_of(struct fe_imap *s)
{
	struct buffer offered = { 0 }, internal = { 0 };
	struct place place;
	struct fault why;
	acl_rights_t rights = 0;
	bool are_known;

	(void)capabilities_write(fe_imap_frontend(s)->capabilities, true, &offered);
	are_known = bytes_search(buffer_bytes(&offered), BYTES_LIT("ANNOTATE-EXPERIMENT-1")) < offered.n;
	buffer_fini(&offered);
	if (names_to_internal(&s->names, s->cmd.target, &internal, &why) &&
	    places_find(fe_imap_frontend(s)->places, buffer_bytes(&internal), &s->arena, &place) == PLACES_FOUND)
		rights = fe_imap_rights(s, buffer_bytes(&internal), place.acl);
	buffer_fini(&internal);
	if (!are_known)
		return NULL;
	return (rights & ACL_ANNOTATE) != 0 ? "value" : "value.priv";
}

void fe_copy_begin(struct fe_imap *s, const char *target_server)
{
	s->copy = must_calloc(1, sizeof(*s->copy));
	s->copy->told_ms = loop_now_ms(s->base.shard->loop);
	s->own = &copy_op;
	s->copy->annotations = annotations_of(s);
	(void)snprintf(s->copy->source, sizeof(s->copy->source), "%s", s->selected->server);
	(void)snprintf(s->copy->target, sizeof(s->copy->target), "%s", target_server);
	go(s, COPY_LIST);
}
