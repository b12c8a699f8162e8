/* store_view.h - reading the mailboxes: a snapshot of the index at one commit, and the bodies it refers to.
 *
 * Any thread; a view is used by one thread at a time. Opening one costs less than a microsecond. A view that is kept open
 * sees nothing new and keeps the index from using freed pages again: open it, read, close it; never keep it over a wait.
 * What is lent lives until the view is closed.
 *
 * A function that returns enum store_result answers OK, the result named beside it, or FAILED with WHY set (operator). */
#ifndef ROOST_STORE_VIEW_H
#define ROOST_STORE_VIEW_H

#include "arena.h"
#include "buffer.h"
#include "store_types.h"

struct store;
struct store_view;

struct store_view *store_view_open(struct store *s, struct fault *why);
void store_view_close(struct store_view **v);
/* The commit this is a snapshot of. */
lsn_t store_view_lsn(const struct store_view *v);
/* The epoch of the reign that it is of; 0: none began yet. What a view of one epoch says of a mailbox's UID that is there, but for its
 * flags, every other view of that epoch says. */
uint64_t store_view_epoch(const struct store_view *v);

struct mailbox {
	mailbox_id_t id;
	struct bytes name; /* lent */
	struct bytes acl;
	struct bytes partition;
	uint32_t uidvalidity;
	uint32_t uidnext;
	modseq_t highestmodseq;
	uint32_t exists;
	uint32_t unseen;  /* messages without \Seen */
	uint32_t deleted; /* messages with \Deleted */
	uint64_t bytes;   /* sum of the sizes */
	uint64_t digest;  /* over the messages' records */
	unsigned keyword_count;
	struct bytes keywords[KEYWORDS_MAX]; /* names, lent; index I is bit I */
};
/* NO_MAILBOX. */
enum store_result store_view_mailbox(struct store_view *v, struct bytes name, struct mailbox *m_r, struct fault *why);
enum store_result store_view_mailbox_by_id(struct store_view *v, mailbox_id_t id, struct mailbox *m_r, struct fault *why);

/* Names that start with PREFIX (empty: all), in octet order.
 *
 *	struct view_names it;
 *	store_view_names(v, prefix, &it);
 *	while (view_names_next(&it, &name, &id))
 *		...
 *	view_names_end(&it);
 * PREFIX is borrowed until view_names_end(). it.result is OK or FAILED afterwards. */
struct view_names {
	struct store_view *view;
	struct kv_cursor *cursor;
	struct bytes prefix, from;
	bool is_started;
	enum store_result result;
};
void store_view_names(struct store_view *v, struct bytes prefix, struct view_names *it_r);
/* The same from the name FROM on, if that is behind PREFIX; borrowed as PREFIX is. */
void store_view_names_from(struct store_view *v, struct bytes prefix, struct bytes from, struct view_names *it_r);
bool view_names_next(struct view_names *it, struct bytes *name_r, mailbox_id_t *id_r);
void view_names_end(struct view_names *it);

/* Messages of a mailbox by UID, from UID FROM on. */
struct view_messages {
	struct store_view *view;
	struct kv_cursor *cursor;
	mailbox_id_t mailbox;
	uint32_t from;
	bool is_started;
	enum store_result result;
};
void store_view_messages(struct store_view *v, mailbox_id_t mailbox, uint32_t from, struct view_messages *it_r);
bool view_messages_next(struct view_messages *it, struct message *m_r);
void view_messages_end(struct view_messages *it);

/* One message. NO_MAILBOX: no such message. */
enum store_result store_view_message(struct store_view *v, mailbox_id_t mailbox, uint32_t uid, struct message *m_r,
				     struct fault *why);

/* What changed with a modseq above SINCE, in order of modseq: messages that are there (new, or with other flags) and UIDs
 * that are gone. A message that came and went since appears only as gone. */
struct view_change {
	uint32_t uid;
	modseq_t modseq;
	bool is_gone;
};
struct view_changes {
	struct store_view *view;
	struct kv_cursor *cursor;
	mailbox_id_t mailbox;
	modseq_t modseq;
	uint32_t uid;
	bool is_started;
	enum store_result result;
};
void store_view_changes(struct store_view *v, mailbox_id_t mailbox, modseq_t since, struct view_changes *it_r);
/* The same from modseq MODSEQ on, of that one without the UIDs below UID: to go on where a walk was left. */
void store_view_changes_from(struct store_view *v, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid,
			     struct view_changes *it_r);
bool view_changes_next(struct view_changes *it, struct view_change *c_r);
void view_changes_end(struct view_changes *it);

/* The quota root of that very name, or the nearest one of a mailbox, which need not be there. The name is borrowed by q_r.
 * NO_MAILBOX: there is none. */
enum store_result store_view_quota(struct store_view *v, struct bytes root, struct quota *q_r, struct fault *why);
enum store_result store_view_quota_of(struct store_view *v, struct bytes mailbox, struct quota *q_r, struct fault *why);
/* Adding up the messages with \Deleted, from the lowest UID on until all that have it were seen, at most MOST messages at a time; other views
 * of the mailbox may go on with it. Begin with UID 1 and nothing; UID is 0 at the end. */
struct view_deleted {
	uint32_t uid; /* the next to look at */
	uint32_t count;
	uint64_t bytes;
};
enum store_result store_view_deleted(struct store_view *v, const struct mailbox *m, size_t most, struct view_deleted *d, struct fault *why);

/* What was handed in as intent_append.structure; lent. NO_MAILBOX: no such body. */
enum store_result store_view_structure(struct store_view *v, lsn_t body, struct bytes *structure_r, struct fault *why);
/* How many bodies there are. */
uint64_t store_view_bodies(const struct store_view *v);
/* Octets of the body; NO_MAILBOX: no such body. */
enum store_result store_view_body_size(struct store_view *v, lsn_t body, uint32_t *size_r, struct fault *why);
/* The hash of the body's octets: the same for the same octets, on every member and server. NO_MAILBOX: no such body. */
enum store_result store_view_body_hash(struct store_view *v, lsn_t body, uint64_t *hash_r, struct fault *why);
/* Add octets OFF.. of the body, at most N of them, to OUT (clamped to what there is). Reads the disk: blocks for that long.
 * What is added was read now and its hashes are right: those of the blocks it is in (entry.h), or the body's, which is read
 * whole, where it has one block or is of an old version. NO_MAILBOX: no such body. DAMAGED with WHY: the disk cannot read
 * it, or a hash is wrong; OUT is unchanged. */
enum store_result store_view_body(struct store_view *v, lsn_t body, uint64_t off, size_t n, struct buffer *out, struct fault *why);

/* Names USER subscribed to, in octet order. */
struct view_subscriptions {
	struct store_view *view;
	struct kv_cursor *cursor;
	uint8_t key[2 + MAILBOX_NAME_MAX];
	size_t key_length;
	bool is_started;
	enum store_result result;
};
void store_view_subscriptions(struct store_view *v, struct bytes user, struct view_subscriptions *it_r);
bool view_subscriptions_next(struct view_subscriptions *it, struct bytes *name_r);
void view_subscriptions_end(struct view_subscriptions *it);
bool store_view_is_subscribed(struct store_view *v, struct bytes user, struct bytes name);

/* Attributes of MAILBOX (0: the server) or of its message UID (0: of itself): those that are USER's (empty: the shared ones), in the
 * octet order of their names. USER is borrowed until the end. */
struct view_attributes {
	struct store_view *view;
	struct kv_cursor *cursor;
	mailbox_id_t mailbox;
	uint32_t uid;
	struct bytes user;
	bool is_started;
	enum store_result result;
};
void store_view_attributes(struct store_view *v, mailbox_id_t mailbox, uint32_t uid, struct bytes user, struct view_attributes *it_r);
/* OF_R is lent until the view is closed. */
bool view_attributes_next(struct view_attributes *it, struct attribute *of_r);
void view_attributes_end(struct view_attributes *it);
/* One of them, OF's value; NO_MAILBOX: there is none. */
enum store_result store_view_attribute(struct store_view *v, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r,
                                       struct fault *why);

#endif
