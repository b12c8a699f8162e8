/* autocreate.c - which mailboxes, and with which special uses and subscriptions; mailbox_op.c makes them. */
#include "autocreate.h"

#include "acl.h"
#include "log.h"
#include "metadata.h"
#include "policy.h"
#include "special_use.h"

/* The folders are named as the user's client would, in UTF-8, whatever the namespace puts before them. */
static struct names names_of_user(const struct config *cfg, struct bytes user)
{
	struct names n = names_of(cfg, user, false);

	n.alt = n.is_utf8 = true;
	return n;
}

/* Cyrus's lists: "Sent | Old Mail". False at the end. */
static bool next_folder(struct bytes *rest, struct bytes *folder_r)
{
	while (rest->n > 0) {
		size_t n = bytes_find(*rest, '|');

		*folder_r = bytes_trim(bytes_sub(*rest, 0, n));
		*rest = bytes_from(*rest, n + 1);
		if (folder_r->n > 0)
			return true;
	}
	return false;
}

/* The uses that xlist- keys say of FOLDER; IS_BAD_R: one is unknown. */
static unsigned uses_of(const struct config *cfg, struct bytes folder, const char **bad_r)
{
	const char *flag, *of;
	unsigned all = 0;

	*bad_r = NULL;
	for (size_t i = 0; config_family(cfg, "xlist-", i, &flag, &of); i++) {
		struct buffer word = { 0 };
		unsigned use;

		buffer_add_u8(&word, '\\');
		buffer_add_str(&word, flag);
		if (!special_use_parse(buffer_bytes(&word), &use))
			*bad_r = flag;
		else if (bytes_equal_str(folder, of))
			all |= use;
		buffer_fini(&word);
	}
	return all;
}

static bool check_folders(const struct config *cfg, const char *key, struct fault *why)
{
	struct bytes rest = bytes_of(config_string(cfg, key)), folder;
	struct names n = names_of_user(cfg, BYTES_LIT("user"));
	bool ok = true;

	while (ok && next_folder(&rest, &folder)) {
		struct buffer internal = { 0 };
		struct fault what;

		if (!names_to_internal(&n, folder, &internal, &what) || !names_is_owner(&n, buffer_bytes(&internal), n.user))
			ok = config_fault(cfg, key, why, "\"%.*s\" cannot be the name of a user's folder", BYTES_FMT(folder));
		buffer_fini(&internal);
	}
	return ok;
}

bool autocreate_check(const struct config *cfg, struct fault *why)
{
	const char *bad;

	(void)uses_of(cfg, BYTES_NONE, &bad);
	if (bad != NULL)
		return config_fault(cfg, "xlist-", why, "xlist-%s: there is no special use \\%s", bad, bad);
	return check_folders(cfg, "autocreate_inbox_folders", why) && check_folders(cfg, "autocreate_subscribe_folders", why);
}

static bool is_listed(const struct config *cfg, struct bytes user)
{
	struct bytes first;

	return !config_word(cfg, "autocreate_users", 0, &first) || config_has_word(cfg, "autocreate_users", BYTES_LIT("anyone")) ||
	       config_has_word(cfg, "autocreate_users", user);
}

/* Who logs in is somebody. Mail may be for anybody: he has to be known here, or to be named. */
static bool is_somebody(struct backend *b, struct bytes user)
{
	struct users_key ignored;

	return config_has_word(b->cfg, "autocreate_users", user) || users_lookup(b->users, user, &ignored);
}

/* Their accounts are in users_file, too. */
static bool is_server(const struct backend *b, struct bytes user)
{
	return bytes_equal_nocase_str(user, b->server) || bytes_equal(user, bytes_of(config_string(b->cfg, "mupdate_authname"))) ||
	       config_has_word(b->cfg, "servers", user);
}

bool autocreate_is_due(struct backend *b, struct bytes user, bool is_mail)
{
	struct names n = names_of(b->cfg, user, false);
	struct buffer inbox = { 0 };
	struct fault why;
	struct mailbox m;
	struct store_view *v;
	bool is_due = false;

	if (!config_switch(b->cfg, is_mail ? "autocreate_post" : "autocreate") || user.n == 0 || auth_is_admin(b->cfg, user) ||
	    auth_is_proxy(b->cfg, user) || is_server(b, user) || !is_listed(b->cfg, user) ||
	    (is_mail && !is_somebody(b, user)))
		return false;
	names_inbox(&n, user, &inbox);
	v = inbox.n <= NAMES_MAX ? store_view_open(b->store, &why) : NULL;
	if (v != NULL)
		is_due = store_view_mailbox(v, buffer_bytes(&inbox), &m, &why) == STORE_NO_MAILBOX;
	store_view_close(&v);
	buffer_fini(&inbox);
	return is_due;
}

static bool is_among(const struct config *cfg, const char *key, struct bytes folder)
{
	struct bytes rest = bytes_of(config_string(cfg, key)), one;

	while (next_folder(&rest, &one)) {
		if (bytes_equal(one, folder))
			return true;
	}
	return false;
}

/* Add the user's folder, named as in the configuration. */
static void add_folder(struct mailbox_op *op, struct arena *a, const struct names *n, struct bytes inbox, struct bytes acl, struct bytes folder)
{
	const struct config *cfg = op->backend->cfg;
	struct buffer internal = { 0 }, text = { 0 };
	struct attribute_change use = { .user = n->user, .name = BYTES_LIT(METADATA_SPECIAL_USE), .is_set = true, .words_unique_below = inbox };
	struct attribute_changes uses = { .at = &use };
	struct fault why;
	const char *bad;

	/* Checked at the start; but with this user's name before it, it may be too long. */
	if (names_to_internal(n, folder, &internal, &why)) {
		special_use_write(&text, uses_of(cfg, folder, &bad));
		use.value = arena_copy(a, buffer_bytes(&text));
		uses.count = use.value.n > 0;
		mailbox_op_also_create(op, buffer_bytes(&internal), acl, &uses, is_among(cfg, "autocreate_subscribe_folders", folder), n->user);
	}
	buffer_fini(&internal);
	buffer_fini(&text);
}

void autocreate_start(struct client *c, struct bytes user, mailbox_op_fn *ended)
{
	struct names n = names_of_user(c->backend->cfg, user);
	struct bytes rest = bytes_of(config_string(c->backend->cfg, "autocreate_inbox_folders")), folder;
	struct mailbox_op *op = mailbox_op_new(c, ended);
	struct buffer inbox = { 0 }, acl = { 0 };
	struct arena a = { 0 };

	names_inbox(&n, user, &inbox);
	acl_write_default(&acl, user);
	mailbox_op_also_create(op, buffer_bytes(&inbox), buffer_bytes(&acl), NULL, true, user);
	while (next_folder(&rest, &folder))
		add_folder(op, &a, &n, buffer_bytes(&inbox), buffer_bytes(&acl), folder);
	buffer_fini(&inbox);
	buffer_fini(&acl);
	arena_fini(&a);
	mailbox_op_start(op);
}

void autocreate_note(struct client *c, const struct mailbox_op *op)
{
	if (op->result == STORE_OK)
		log_event(LOG_INFO, "backend.inbox.made", LOG_U64("conn", c->id), LOG_BYTES("mbox", op->reserve[0].name),
		          LOG_U64("folders", op->reserve_count - 1));
	else
		log_event(LOG_INFO, "backend.inbox.not_made", LOG_U64("conn", c->id), LOG_BYTES("mbox", op->reserve[0].name),
		          LOG_STR("result", op->is_refused ? "the directory has it elsewhere" : op->is_unreachable ? "the directory cannot be reached" :
		                                                                      store_result_name(op->result)));
}
