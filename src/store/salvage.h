/* salvage.h - what a lost suffix of the journal comes to: entries in, items out. Pure.
 *
 * A suffix is what a member acknowledged alone before another took over (asynchronous mode). Its entries cannot be applied
 * behind the new master's, for those have the same LSNs, UIDs and modseqs for other things. What they *came to* can be done
 * anew there, as far as nothing stands in the way: a message that arrived and still was there at the end, the flags that a
 * message had at the end against those it had at the beginning, and so on. Each of these is an item.
 *
 * "The common point" is the last entry that both journals have. A mailbox of that time has the same id on both; one that
 * was made in the suffix is known by its id and the epoch of its CREATE, as an epoch has one master. */
#ifndef ROOST_STORE_SALVAGE_H
#define ROOST_STORE_SALVAGE_H

#include "arena.h"
#include "buffer.h"
#include "entry.h"
#include "store_types.h"
#include "store_view.h"

enum salvage_kind {
	SALVAGE_MAILBOX = 1, /* made, and there at the end: name, acl, partition of the end */
	SALVAGE_RENAME,      /* of the common point: from, name */
	SALVAGE_ACL,         /* of the common point: from (the ACL of then), acl */
	SALVAGE_MESSAGE,     /* arrived, by delivery or copy, and there at the end: all of it */
	SALVAGE_FLAGS,       /* of the common point: what was added and what was taken */
	SALVAGE_SUBSCRIBE,   /* user, name, is_on */
	SALVAGE_EXPUNGE,     /* of the common point, in a mailbox that is there at the end */
	SALVAGE_DELETE,      /* a mailbox of the common point */
	SALVAGE_ATTRIBUTE,   /* an attribute of the server, a mailbox or a message: user, from (its name), is_on, its value in body */
	SALVAGE_QUOTA,       /* name: a quota root; acl: its limits (quota.h), from: those of the common point, empty: it was none */
};

struct salvage_item {
	enum salvage_kind kind;
	/* The entry that made it so; with mailbox and uid this names the item, the same on all members. */
	epoch_t epoch;
	lsn_t lsn;
	mailbox_id_t mailbox;  /* as in the suffix; SUBSCRIBE, QUOTA: 0; ATTRIBUTE: 0: the server */
	epoch_t mailbox_epoch; /* of its CREATE, if that is in the suffix; else 0 */
	uint32_t uid;          /* as in the suffix */

	struct bytes name;      /* of the mailbox at the end (DELETE: before); SUBSCRIBE: the name subscribed to */
	struct bytes from;
	struct bytes acl, partition; /* of the mailbox at the end; not of SUBSCRIBE, QUOTA */
	struct bytes user;
	bool is_on;
	uint64_t modseq;        /* FLAGS, EXPUNGE: the message's at the common point; ATTRIBUTE: hash of the value of then, 0: none */
	uint8_t flags;          /* MESSAGE: those it has; FLAGS: added */
	uint8_t taken_flags;
	const struct bytes *keywords; /* likewise, names */
	size_t keyword_count;
	const struct bytes *taken_keywords;
	size_t taken_count;
	int64_t internaldate;   /* MESSAGE */
	struct bytes op_id;     /* MESSAGE: of its delivery; may be empty. ATTRIBUTE: key of the MESSAGE item that it is of; may be empty */
	struct bytes structure; /* MESSAGE */
	struct bytes body;      /* MESSAGE, ATTRIBUTE */
};

/* The index at the common point. False: there is none. What is lent lives until salvage_free(). */
struct salvage_before {
	bool (*mailbox)(void *arg, mailbox_id_t id, struct mailbox *m_r);
	bool (*message)(void *arg, mailbox_id_t mailbox, uint32_t uid, struct message *m_r);
	bool (*body)(void *arg, lsn_t body, struct bytes *body_r, struct bytes *structure_r);
	bool (*is_subscribed)(void *arg, struct bytes user, struct bytes name);
	bool (*attribute)(void *arg, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r);
	bool (*limits)(void *arg, struct bytes root, struct quota_limits *limits_r);
	void *arg;
};

struct salvage;

/* BEFORE is copied. */
struct salvage *salvage_new(const struct salvage_before *before);
/* NULL is allowed. */
void salvage_free(struct salvage **s);
/* Take the suffix's next entry; what it points to is lent until salvage_free(). False with WHY: it does not fit what is
 * known, as a flag on a message that is not there. */
bool salvage_add(struct salvage *s, const struct entry *e, struct fault *why);
/* What all entries came to, in the order in which it is to be done: mailboxes and names, then the rest by LSN, then what
 * deletes. Lent. False with WHY: a body cannot be had. */
bool salvage_items(struct salvage *s, const struct salvage_item **items_r, size_t *count_r, struct fault *why);

/* What came of an item at the master. */
enum salvage_outcome {
	SALVAGE_MERGED,       /* done, or it was so already */
	SALVAGE_RETRY,        /* not now */
	SALVAGE_NEEDS_NAME,   /* from the store only: item.name has to be reserved at the directory first */
	/* Kept, for: */
	SALVAGE_NAME_TAKEN,   /* another mailbox has the name */
	SALVAGE_NO_MAILBOX,   /* its mailbox is not there: not made again, or deleted since */
	SALVAGE_NO_MESSAGE,   /* the message was removed since */
	SALVAGE_CHANGED,      /* changed since, otherwise */
	SALVAGE_IS_REMOVAL,   /* it would remove mail: an operator's decision */
	SALVAGE_REFUSED,      /* the directory, or a limit of the store */
};
#define SALVAGE_OUTCOMES 9
/* The reason in words. */
const char *salvage_outcome_text(enum salvage_outcome o);

/* salvage_item.c: an item as octets, but for its body, which is given beside it (docs/formats.md, "Salvage"). */
void salvage_item_write(struct buffer *to, const struct salvage_item *item);
/* Lists live in A, bytes are borrowed. False with WHY: malformed. */
bool salvage_item_read(struct bytes in, struct arena *a, struct salvage_item *item_r, struct fault *why);
/* One line that says what it is; no line end. Octets outside of printable ASCII are escaped. */
void salvage_item_describe(struct buffer *to, const struct salvage_item *item);
/* Octets that name it, for SALVAGED entries; of a MAILBOX those that name its mailbox. */
struct bytes salvage_item_key(const struct salvage_item *item, uint8_t to[SALVAGED_KEY_MAX]);
/* Of an attribute's VALUE, as in modseq: never 0. */
uint64_t salvage_value_hash(struct bytes value);
/* Octets that name the mailbox of the suffix that it is about. */
struct bytes salvage_mailbox_key(const struct salvage_item *item, uint8_t to[SALVAGED_KEY_MAX]);

#endif
