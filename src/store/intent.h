/* intent.h - what a session wants done, and what came of it. A session fills a struct intent, hands it to the writer
 * thread, and gets it back answered when the turn is committed.
 *
 * Everything an intent points to is borrowed until it is answered. Names are internal names ("user.fred.Work"). Nothing
 * here checks rights: the session did. An intent takes effect whole or not at all, but for INTENT_APPEND, whose targets
 * succeed and fail one by one. Any that changes messages may answer NO_SPACE: there is no room for it on the disk.
 *
 * BUGS: an intent over very many messages (100,000: some 0.3 s) holds the writer thread for that long. */
#ifndef ROOST_STORE_INTENT_H
#define ROOST_STORE_INTENT_H

#include "arena.h"
#include "salvage.h"
#include "store_types.h"

enum intent_op {
	INTENT_EPOCH,
	INTENT_CREATE,
	INTENT_DELETE,
	INTENT_RENAME,
	INTENT_RENAME_INBOX,
	INTENT_SET_ACL,
	INTENT_APPEND,
	INTENT_STORE,
	INTENT_EXPUNGE,
	INTENT_RECLAIM,
	INTENT_UNDELETE,
	INTENT_COPY,
	INTENT_MOVE,
	INTENT_SUBSCRIBE,
	INTENT_UNSUBSCRIBE,
	INTENT_ATTRIBUTE,
	INTENT_SALVAGE,
	INTENT_SET_QUOTA,
	INTENT_DIGEST, /* no fields */
	INTENT_PLACE,
};

/* A new reign: the first entry of a master. Answers: OK, BAD (epoch below the journal's last). */
struct intent_epoch {
	epoch_t epoch;
	struct bytes master;  /* member's name */
	struct bytes in_sync; /* members' names separated by blanks */
};

/* What attributes become, in that order. */
struct attribute_change {
	struct bytes user, name, value; /* as in struct attribute */
	bool is_set;                    /* else it is removed, if it is there */
	/* Internal name of a mailbox; empty: none. A word of the value (words are separated by blanks, case does not count) that the same
	 * attribute of another mailbox of that name, or below it, has already refuses the intent. */
	struct bytes words_unique_below;
};
struct attribute_changes {
	const struct attribute_change *at;
	size_t count;
	size_t most; /* attributes that are shared, and that are one user's, of the server, of a mailbox and of a message; 0: ATTRIBUTES_MOST */
};
#define ATTRIBUTES_MOST 100000

/* Make an empty mailbox under a UIDVALIDITY that no mailbox of this server ever had. Answers mailbox, uidvalidity.
 * OK, EXISTS, BAD, OVER_QUOTA; and as INTENT_ATTRIBUTE. */
struct intent_create {
	struct bytes name;
	struct bytes acl;       /* as on the MUPDATE wire; kept as it is */
	struct bytes partition; /* at most 255 octets */
	struct attribute_changes attributes; /* of the new mailbox */
	const struct quota_limits *limits; /* it becomes a quota root with these, unless it is one; NULL: it does not */
};

/* Remove a mailbox with all its messages. OK, NO_MAILBOX. */
struct intent_delete {
	struct bytes name;
};

/* Rename mailboxes, one after the other in the order given: a mailbox and its children are one intent. ID, UIDVALIDITY,
 * messages and ACL stay. OK; NO_MAILBOX, EXISTS, BAD with answer.at telling which pair, and then nothing is renamed. OVER_QUOTA: what would change its
 * quota root does not fit in the new one; a root that is among them goes with its mailbox. */
struct intent_rename {
	const struct rename_pair {
		struct bytes from, to;
	} *pairs;
	size_t count;
};

/* RENAME of INBOX (RFC 3501 section 6.3.5): make TO and move all messages of FROM there; FROM stays, empty. Answers the
 * new mailbox, its uidvalidity. FROM's own attributes are copied (RFC 5464 section 4.1). OK, NO_MAILBOX, EXISTS, BAD, OVER_QUOTA, LIMIT, NO_SPACE. */
struct intent_rename_inbox {
	struct bytes from, to;
	struct bytes acl, partition; /* of the new mailbox */
	uint64_t messages;           /* about so many are there: what is reserved */
};

/* Replace the ACL if it still is OLD. OK, NO_MAILBOX, CONFLICT, BAD. */
struct intent_set_acl {
	struct bytes name;
	struct bytes old_acl, new_acl;
};

struct append_target {
	struct bytes mailbox;
	uint32_t flags; /* enum imap_flag */
	const struct bytes *keywords;
	size_t keyword_count;
	int64_t internaldate; /* seconds since 1970 UTC */
	enum quota_check {
		QUOTA_CHECK,      /* refused where it does not fit */
		QUOTA_CHECK_OVER, /* refused where the limit is passed already: the message that passes it is taken */
		QUOTA_CHECK_NONE,
	} quota;

	struct attribute_changes attributes; /* of the message, once it is there; count is at most most */

	/* answered: */
	enum store_result result; /* OK, NO_MAILBOX, LIMIT, OVER_QUOTA */
	bool was_done;            /* OK: this OP_ID had been delivered here before; the following are of then */
	mailbox_id_t mailbox_id;
	uint32_t uidvalidity;
	uint32_t uid;
	modseq_t modseq; /* 0 if it was done before */
};

/* Add one message to one or more mailboxes. The body is kept once. answer.result is OK if any target's is, else the first
 * one's. LIMIT: body over 1 GiB or structure over STRUCTURE_MAX. */
struct intent_append {
	struct append_target *targets;
	size_t target_count; /* 1.. */
	struct bytes op_id;  /* empty: none; else at most OP_ID_MAX octets: together with the mailbox it is done once */
	struct bytes body;
	struct bytes structure; /* what mime/ made of it, kept beside it; may be empty */
	struct bytes also_id;   /* empty: none; else done, too, where it was done under this one */
};

/* Add several messages to one mailbox together, all or none, and take out one message elsewhere, or there, with them. answer.new_uids: one
 * range; answer.uids: the message that went. OK, NO_MAILBOX (answer.no_target: it is the target that is missing); CONFLICT: the message
 * to be replaced is gone; LIMIT: keywords, UIDs, or more octets than PLACE_MOST with what is kept beside them; OVER_QUOTA; BAD
 * (keyword). */
#define PLACE_MOST (1u << 30)
struct intent_place {
	struct bytes target;
	const struct place_message {
		struct bytes body, structure; /* as in intent_append */
		uint32_t flags;               /* enum imap_flag */
		const struct bytes *keywords;
		size_t keyword_count;
		int64_t internaldate; /* seconds since 1970 UTC */
		struct attribute_changes attributes; /* as in append_target */
	} *messages;
	size_t count;         /* 1.. */
	mailbox_id_t source;  /* 0: nothing is replaced */
	uint32_t replaced;    /* UID there */
};

/* Set, add or take flags. answer.uids: the messages that changed (a message that had them already gets no new modseq);
 * answer.new_uids: those left alone because their modseq is above UNCHANGED_SINCE.
 * OK, NO_MAILBOX, LIMIT (keywords), BAD (keyword). */
struct intent_store {
	mailbox_id_t mailbox;
	const struct uid_range *uids;
	size_t uid_count;
	enum intent_store_how { INTENT_FLAGS_REPLACE, INTENT_FLAGS_ADD, INTENT_FLAGS_TAKE } how;
	uint32_t flags;
	const struct bytes *keywords; /* compared without ASCII case */
	size_t keyword_count;
	bool is_conditional;
	modseq_t unchanged_since; /* if IS_CONDITIONAL */
};

/* Remove messages. answer.uids: those removed. OK, NO_MAILBOX. */
struct intent_expunge {
	mailbox_id_t mailbox;
	const struct uid_range *uids;
	size_t uid_count;
	bool is_all;       /* every message; uids are not looked at */
	bool only_deleted; /* of those, only the ones with \Deleted */
};

/* Let go of messages that were expunged before BEFORE and are kept so far: the oldest, at most MOST. answer.message_count. OK. */
struct intent_reclaim {
	int64_t before; /* seconds since 1970 UTC */
	size_t most;
};

/* Have messages back that were expunged and are kept, under new UIDs, without \Deleted; at most UNDELETE_MOST of them, the lowest UIDs.
 * answer.message_count; answer.new_uids: one range, if there are any. OK, NO_MAILBOX, LIMIT. */
#define UNDELETE_MOST 10000
struct intent_undelete {
	struct bytes name;
	const struct uid_range *uids; /* none: all */
	size_t uid_count;
	int64_t since; /* only what was expunged then or later */
};

/* Copy or move messages with flags, keywords, internaldate, and their attributes: shared ones unless LEAVES_SHARED, and those of USER.
 * answer.uids: the sources, answer.new_uids: the copies,
 * in the same order, answer.uidvalidity and .mailbox of the target (for COPYUID). Into the same mailbox is allowed.
 * OK, LIMIT (keywords; attributes of more than COPIED_ATTRIBUTES octets), OVER_QUOTA, NO_MAILBOX; answer.no_target tells that it is
 * the target that is missing. */
#define COPIED_ATTRIBUTES(messages) ((256u << 10) + 256ull * (messages))
struct intent_copy {
	mailbox_id_t mailbox;
	const struct uid_range *uids;
	size_t uid_count;
	struct bytes target;
	uint32_t withheld;       /* flags that the copies do not get */
	bool withholds_keywords; /* nor keywords */
	struct bytes user;
	bool leaves_shared;
};

/* Set and remove attributes of the server, of a mailbox, or of messages. Messages that get another value get a new modseq.
 * answer.uids: those; answer.new_uids: those left alone because their modseq is above UNCHANGED_SINCE.
 * OK, also where it was so already; NO_MAILBOX; BAD: a name or user that cannot be; LIMIT; with answer.at the change at fault;
 * CONFLICT: a word that another mailbox has, answer.taken_by its name. */
struct intent_attribute {
	struct bytes name;    /* of the mailbox; empty: the server, or by MAILBOX */
	mailbox_id_t mailbox; /* of the messages in UIDS; 0: it is not about messages */
	const struct uid_range *uids;
	size_t uid_count;
	bool is_conditional;
	modseq_t unchanged_since;
	struct attribute_changes changes;
	bool only_new; /* an attribute that is there already is left as it is */
};

/* Give the quota root NAME these limits and no others; it is made where it is not there. OK, also where it was so already; NO_MAILBOX:
 * there is no mailbox NAME, and none below; BAD. */
struct intent_set_quota {
	struct bytes name;
	struct quota_limits limits;
};

/* OK also where it was so already. BAD. */
struct intent_subscribe {
	struct bytes user;
	struct bytes name;
};

/* Do one item of a suffix that another member acknowledged alone, as far as nothing stands in the way; once only. OK, with
 * answer.salvage; where that is MERGED and the mailbox list changed, the directory has to be told of answer.new_name (made,
 * or with another ACL) and answer.gone_name. */
struct intent_salvage {
	const struct salvage_item *item;
	bool has_name;  /* item.name is reserved at the directory */
	bool is_forced; /* an operator wants it done whatever has changed since, removals and a mailbox of the same name included */
};

struct intent_answer {
	enum store_result result;
	lsn_t lsn;            /* of the entry; 0: nothing had to change */
	mailbox_id_t mailbox; /* changed or made */
	uint32_t uidvalidity;
	modseq_t modseq;      /* highest of the mailbox after this */
	struct uid_range *uids; /* in the arena handed to store_turn_add() */
	size_t uid_count;
	struct uid_range *new_uids;
	size_t new_uid_count;
	size_t message_count; /* messages in UIDS */
	size_t at;            /* INTENT_RENAME: the pair that failed; INTENT_ATTRIBUTE: the change */
	struct bytes taken_by; /* in the arena */
	bool no_target;
	enum salvage_outcome salvage;          /* INTENT_SALVAGE, as what follows */
	struct bytes new_name, new_acl, gone_name; /* empty: none. In the arena, or the item's */
};

struct intent {
	enum intent_op op;
	union {
		struct intent_epoch epoch;
		struct intent_create create;
		struct intent_delete delete;
		struct intent_rename rename;
		struct intent_rename_inbox rename_inbox;
		struct intent_set_acl set_acl;
		struct intent_append append;
		struct intent_store store;
		struct intent_expunge expunge;
		struct intent_reclaim reclaim;
		struct intent_undelete undelete;
		struct intent_copy copy; /* INTENT_COPY, INTENT_MOVE */
		struct intent_attribute attribute;
		struct intent_subscribe subscribe; /* INTENT_SUBSCRIBE, INTENT_UNSUBSCRIBE */
		struct intent_salvage salvage;
		struct intent_set_quota set_quota;
		struct intent_place place;
	};
};

/* Octets of journal the intent needs at most, roughly: for bounding a turn and store_reserve_space(). */
uint64_t intent_cost(const struct intent *in);

#endif
