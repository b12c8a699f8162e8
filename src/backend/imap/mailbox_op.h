/* mailbox_op.h - a change of the mailbox list: at the directory, in the journal, at the directory again.
 *
 * Steps, each for all names before the next: RESERVE the new names, commit the intents, ACTIVATE, DELETE what is no more.
 * It goes through to its end even if the session that asked is gone, so that directory and journal agree; what the
 * directory could not be told is mended by the driver's comparison. On the loop of the client. */
#ifndef ROOST_BACKEND_IMAP_MAILBOX_OP_H
#define ROOST_BACKEND_IMAP_MAILBOX_OP_H

#include "imap_session.h"

struct mailbox_op;
/* C is the client that asked; OP is freed on return. Not called if the client is gone. */
typedef void mailbox_op_fn(struct client *c, struct mailbox_op *op);

struct mailbox_op {
	/* What came of it: */
	enum store_result result; /* STORE_CONFLICT with is_refused: the directory said NO; with is_unreachable: it is not there; with neither,
	                             of CREATE: a word of an attribute is another mailbox's */
	bool is_refused, is_unreachable;
	bool had_no_effect;       /* with STORE_NOT_MASTER and STORE_FAILED */

	/* inside: */
	struct arena arena;
	struct backend *backend;
	struct shard *shard;
	uint64_t client;
	mailbox_op_fn *ended;
	struct op_name {
		struct bytes name, acl;
	} *reserve, *activate, *remove;
	size_t reserve_count, activate_count, remove_count;
	struct intent *intents;
	size_t intent_count;
	bool must_activate; /* CREATE: taken back where the directory does not take it */
	bool takes_existing; /* what is there already is as good as made */
	enum { OP_RESERVE, OP_COMMIT, OP_ACTIVATE, OP_REMOVE, OP_UNDO_COMMIT, OP_UNDO, OP_END } phase;
	size_t at;
	size_t reserved;
	struct driver_request request;
	struct driver_directory_request directory;
};

struct mailbox_op *mailbox_op_new(struct client *c, mailbox_op_fn *ended);
/* One of these; all is copied. */
void mailbox_op_create(struct mailbox_op *op, struct bytes name, struct bytes acl, const struct attribute_changes *attributes);
/* One more; several of these for one OP. Reserved in that order, made in the other: the first is there when all are. What is there already is left as
 * it is. IS_SUBSCRIBED: by USER. */
void mailbox_op_also_create(struct mailbox_op *op, struct bytes name, struct bytes acl, const struct attribute_changes *attributes,
                            bool is_subscribed, struct bytes user);
/* COUNT mailboxes, in that order. */
void mailbox_op_delete(struct mailbox_op *op, const struct bytes *names, size_t count);
/* COUNT mailboxes FROM -> TO with their ACLs. */
void mailbox_op_rename(struct mailbox_op *op, const struct rename_pair *pairs, const struct bytes *acls, size_t count);
void mailbox_op_rename_inbox(struct mailbox_op *op, struct bytes from, struct bytes to, struct bytes acl, uint64_t messages);
void mailbox_op_set_acl(struct mailbox_op *op, struct bytes name, struct bytes old_acl, struct bytes new_acl);
/* Whether INTERNAL can be made by the user: it is not there, and the right to create is. ACL gets that of the nearest mailbox
 * above, or the default. False: the tagged answer is set. */
bool create_check(struct session *s, struct command *cmd, struct store_view *v, struct bytes internal, struct buffer *acl);
/* Begin; ENDED comes later, never from within. */
void mailbox_op_start(struct mailbox_op *op);

/* The tagged answer for what is not OK. */
enum cmd_step mailbox_op_answer(struct session *s, struct command *cmd, const struct mailbox_op *op);

#endif
