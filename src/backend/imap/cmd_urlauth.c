/* GENURLAUTH, RESETKEY, URLFETCH (RFC 4467; URL-PARTIAL of RFC 5550).
 *
 * The key of a URL is of its user and mailbox: an attribute of the mailbox that only he has, made when it is first needed, and behind it one of
 * the server that he has once he has reset all. Both are journaled, so that a URL goes on to be good at the next master. Resetting makes
 * another key: what was authorized before is void. */
#include <string.h>

#include "answer.h"
#include "box.h"
#include "clock.h"
#include "dispatch.h"
#include "imap_writer.h"
#include "policy.h"
#include "url.h"
#include "url_token.h"

#define KEY_NAME ATTRIBUTE_SECRET "urlauth"
#define FETCH_TURN_NS 5000000u
#define KEY_TRIES 3 /* a mailbox that is deleted again and again while a key is made for it */

struct generating {
	size_t at; /* of cmd->words */
	unsigned tries;
	struct buffer out; /* freed with the command */
};

static void free_out(void *arg)
{
	buffer_fini(&((struct generating *)arg)->out);
}

static void wipe(struct buffer *key)
{
	if (key->n > 0)
		explicit_bzero(key->p, key->n);
	buffer_fini(key);
}

/* Append the key of USER in MAILBOX. NO_MAILBOX: there is none yet. */
static enum store_result read_key(struct store_view *v, mailbox_id_t mailbox, struct bytes user, struct buffer *to, struct fault *why)
{
	const struct attribute of = { .user = user, .name = BYTES_LIT(KEY_NAME) };
	struct bytes value;
	enum store_result result = store_view_attribute(v, mailbox, &of, &value, why);

	if (result != STORE_OK)
		return result;
	buffer_add(to, value);
	result = store_view_attribute(v, 0, &of, &value, why);
	if (result == STORE_OK)
		buffer_add(to, value);
	return result == STORE_NO_MAILBOX ? STORE_OK : result;
}

/* Have the session's user's key made: of MAILBOX (empty: of the server); ONLY_NEW: unless there is one. False: the tagged answer is set. */
static bool submit_key(struct session *s, struct command *cmd, struct bytes mailbox, bool only_new, submission_fn *answered)
{
	struct submission *sub = submission_new(&s->client);
	struct attribute_change *change;
	uint8_t *key;
	struct fault why;

	sub->arena.is_secret = true;
	change = arena_zalloc(&sub->arena, sizeof(*change));
	key = arena_alloc(&sub->arena, URL_KEY_SIZE);
	if (!url_key_make(key)) {
		submission_free(sub);
		(void)fault_set(&why, FAULT_OPERATOR, "no random numbers to be had");
		(void)answer_fault(s, cmd, &why);
		return false;
	}
	*change = (struct attribute_change){ .user = arena_copy(&sub->arena, bytes_of(s->identity.user)), .name = BYTES_LIT(KEY_NAME),
		                             .value = bytes_make(key, URL_KEY_SIZE), .is_set = true };
	sub->intent.op = INTENT_ATTRIBUTE;
	sub->intent.attribute = (struct intent_attribute){ .name = arena_copy(&sub->arena, mailbox), .changes = { .at = change, .count = 1 },
		                                           .only_new = only_new };
	client_submit(&s->client, sub, answered);
	return true;
}

/* GENURLAUTH. */

static enum cmd_step generate(struct session *s, struct command *cmd);

static void key_made(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;
	enum store_result result = sub->request.answer.result;

	if (result == STORE_OK || result == STORE_NO_MAILBOX)
		session_resume(s, generate(s, s->cmd));
	else
		session_resume(s, answer_result(s, s->cmd, sub));
}

/* Whether the session may have TEXT authorized (RFC 4467 section 6): one of its own, to this murder, without a verifier. */
static bool is_own_rump(const struct session *s, struct command *cmd, struct bytes text, struct imap_url *u)
{
	struct fault why;

	if (!imap_url_parse(text, &s->client.backend->command_limits, &cmd->arena, u, &why)) {
		(void)answer_bad(cmd, "that is no URL of a message");
		return false;
	}
	if (!u->has_scheme || u->user.p == NULL || u->access == URL_ACCESS_NONE || u->verifier.p != NULL) {
		(void)answer_bad(cmd, "not an absolute URL with its user that ends in who may use it");
		return false;
	}
	if (url_is_here(s->client.backend->cfg, u) && bytes_equal_str(u->user, s->identity.user))
		return true;
	(void)answer_no(cmd, NULL, "the URL is not one of yours here");
	return false;
}

/* One URL: its token goes behind it, or its mailbox's internal name to *missing_r where there is no key yet. False: the tagged answer is set. */
static bool authorize(struct session *s, struct command *cmd, struct store_view *v, struct bytes text, struct bytes *missing_r)
{
	struct generating *g = cmd->state;
	const struct url_reader reader = url_reader_of(s);
	struct buffer key = { 0 }, full = { 0 };
	enum store_result result = STORE_OK;
	struct imap_url u;
	struct mailbox m;
	acl_rights_t rights;
	struct fault why;

	if (!is_own_rump(s, cmd, text, &u))
		return false;
	switch (url_mailbox(v, &reader, &u, &m, &rights, &why)) {
	case URL_READ:
		break;
	case URL_FAILED:
		(void)answer_fault(s, cmd, &why);
		return false;
	case URL_BAD:
	case URL_TOO_BIG:
		rights = 0;
		break;
	}
	if ((rights & ACL_READ) == 0) {
		(void)answer_no(cmd, NULL, "the URL names nothing that you may read");
		return false;
	}
	result = read_key(v, m.id, reader.user, &key, &why);
	if (result == STORE_NO_MAILBOX) {
		*missing_r = arena_copy(&cmd->arena, m.name);
	} else if (result == STORE_OK) {
		buffer_add(&full, text);
		buffer_add_str(&full, ":internal:");
		url_token_write(buffer_bytes(&key), u.rump, &full);
		buffer_add_u8(&g->out, ' ');
		imap_write_string(&g->out, buffer_bytes(&full), false);
	} else {
		(void)answer_fault(s, cmd, &why);
	}
	wipe(&key);
	buffer_fini(&full);
	return result == STORE_OK || result == STORE_NO_MAILBOX;
}

static enum cmd_step generate(struct session *s, struct command *cmd)
{
	struct generating *g = cmd->state;
	struct store_view *v = session_view(s, cmd);
	struct bytes missing = BYTES_NONE;

	if (v == NULL)
		return CMD_DONE;
	for (; g->at < cmd->c.word_count; g->at += 2, g->tries = 0) {
		if (!authorize(s, cmd, v, cmd->c.words[g->at], &missing) || missing.n > 0)
			break;
	}
	store_view_close(&v);
	if (g->at < cmd->c.word_count && missing.n == 0)
		return CMD_DONE;
	if (missing.n > 0 && g->tries++ == KEY_TRIES)
		return answer_no(cmd, "INUSE", "the mailbox is being changed, try again");
	if (missing.n > 0)
		return submit_key(s, cmd, missing, true, key_made) ? CMD_WANT_COMMIT : CMD_DONE;
	session_write_str(s, "* GENURLAUTH");
	session_write(s, buffer_bytes(&g->out));
	session_write_str(s, "\r\n");
	return answer_ok(cmd, "authorized");
}

static bool are_internal(const struct command *cmd, size_t from, size_t step)
{
	for (size_t i = from; i < cmd->c.word_count; i += step) {
		if (!bytes_equal_nocase_str(cmd->c.words[i], "INTERNAL"))
			return false;
	}
	return true;
}

enum cmd_step cmd_genurlauth(struct session *s, struct command *cmd)
{
	struct generating *g = arena_zalloc(&cmd->arena, sizeof(*g));

	if (!are_internal(cmd, 1, 2))
		return answer_no(cmd, "CANNOT", "the only mechanism is INTERNAL");
	cmd->state = g;
	arena_on_free(&cmd->arena, free_out, g);
	return generate(s, cmd);
}

/* RESETKEY. */

static void key_reset(struct client *c, struct submission *sub)
{
	struct session *s = (struct session *)c;

	if (sub->request.answer.result != STORE_OK) {
		session_resume(s, answer_result(s, s->cmd, sub));
		return;
	}
	(void)answer_ok(s->cmd, "earlier URLs are void");
	buffer_add_str(answer_code(s->cmd), "URLMECH INTERNAL");
	session_resume(s, CMD_DONE);
}

enum cmd_step cmd_resetkey(struct session *s, struct command *cmd)
{
	struct bytes internal = BYTES_NONE;
	struct store_view *v;
	struct mailbox m;
	acl_rights_t rights;
	bool is_found;

	if (!are_internal(cmd, 0, 1))
		return answer_no(cmd, "CANNOT", "the only mechanism is INTERNAL");
	if (cmd->c.mailbox.p != NULL) {
		if (!session_name(s, cmd, cmd->c.mailbox, &internal) || (v = session_view(s, cmd)) == NULL)
			return CMD_DONE;
		is_found = session_mailbox(s, cmd, v, internal, false, &m, &rights);
		store_view_close(&v);
		if (!is_found)
			return CMD_DONE;
	}
	return submit_key(s, cmd, internal, false, key_reset) ? CMD_WANT_COMMIT : CMD_DONE;
}

/* URLFETCH. */

/* Whether the session's user is who U is for (RFC 4467 section 3), and it is not over. */
static bool is_for(const struct session *s, const struct imap_url *u)
{
	const struct config *cfg = s->client.backend->cfg;
	struct bytes user = bytes_of(s->identity.user);

	if (u->has_expire && u->expire <= clock_wall_s())
		return false;
	switch (u->access) {
	case URL_ACCESS_SUBMIT:
		return config_has_word(cfg, "submitservers", user);
	case URL_ACCESS_USER:
		return bytes_equal(u->access_user, user);
	case URL_ACCESS_AUTHUSER:
	case URL_ACCESS_ANONYMOUS:
		return true;
	case URL_ACCESS_NONE:
		break;
	}
	return false;
}

/* Whether U has its token, with OWNER's key in its mailbox. */
static bool has_token(struct store_view *v, const struct url_reader *owner, const struct imap_url *u)
{
	struct buffer key = { 0 };
	struct mailbox m;
	acl_rights_t rights;
	struct fault why;
	bool is = u->verifier.p != NULL && bytes_equal_nocase_str(u->mechanism, "INTERNAL") &&
	          url_mailbox(v, owner, u, &m, &rights, &why) == URL_READ && read_key(v, m.id, owner->user, &key, &why) == STORE_OK &&
	          url_token_is_right(buffer_bytes(&key), u->rump, u->verifier);

	wipe(&key);
	return is;
}

/* Append what TEXT names; false: nothing that may be told. */
static bool fetch_url(struct session *s, struct command *cmd, struct store_view *v, struct bytes text, struct buffer *to)
{
	const struct backend *b = s->client.backend;
	struct url_reader reader = url_reader_of(s);
	struct imap_url u;
	struct fault why;

	if (!imap_url_parse(text, &b->command_limits, &cmd->arena, &u, &why) || !url_is_here(b->cfg, &u))
		return false;
	if (u.access == URL_ACCESS_NONE) {
		/* A frontend puts a message together for its user (CATENATE). */
		if (!s->identity.is_proxy || (u.user.p != NULL && !bytes_equal(u.user, reader.user)))
			return false;
	} else {
		if (u.user.p == NULL || u.mailbox.p == NULL || !is_for(s, &u))
			return false;
		/* As whoever had it authorized sees it, and with his rights of now. */
		reader = (struct url_reader){ .user = u.user, .is_admin = auth_is_admin(b->cfg, u.user), .budget = (size_t)b->max_message };
		reader.names = names_of(b->cfg, u.user, reader.is_admin);
		reader.names.is_utf8 = true;
		if (!has_token(v, &reader, &u))
			return false;
	}
	return url_read(v, &reader, &u, (size_t)b->max_message, to, &why) == URL_READ;
}

static enum cmd_step fetch_some(struct session *s, struct command *cmd)
{
	uint64_t until = clock_mono_ns() + FETCH_TURN_NS;
	size_t *at = cmd->state;
	struct store_view *v;

	cmd->resume = fetch_some;
	if (s->state == SESSION_ENDING || (v = session_view(s, cmd)) == NULL)
		return CMD_DONE;
	while (*at < cmd->c.word_count && !session_is_full(s) && clock_mono_ns() < until) {
		struct buffer line = { 0 }, octets = { 0 };
		struct bytes url = cmd->c.words[(*at)++];

		buffer_add_str(&line, "* URLFETCH ");
		imap_write_string(&line, url, false);
		if (fetch_url(s, cmd, v, url, &octets)) {
			buffer_add_u8(&line, ' ');
			imap_write_literal_head(&line, octets.n, false);
			session_write(s, buffer_bytes(&line));
			session_write(s, buffer_bytes(&octets));
			session_write_str(s, "\r\n");
		} else {
			buffer_add_str(&line, " NIL\r\n");
			session_write(s, buffer_bytes(&line));
		}
		buffer_fini(&line);
		buffer_fini(&octets);
	}
	store_view_close(&v);
	if (*at < cmd->c.word_count)
		return session_is_full(s) ? CMD_WANT_OUTPUT : CMD_WANT_TURN;
	return answer_ok(cmd, "done");
}

enum cmd_step cmd_urlfetch(struct session *s, struct command *cmd)
{
	cmd->state = arena_zalloc(&cmd->arena, sizeof(size_t));
	return fetch_some(s, cmd);
}
