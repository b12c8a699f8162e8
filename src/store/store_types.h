/* store_types.h - the words that the store's headers share. */
#ifndef ROOST_STORE_TYPES_H
#define ROOST_STORE_TYPES_H

#include "bytes.h"
#include "fault.h"

typedef uint64_t lsn_t;     /* position in the journal: counts entries from 1; 0: before the first */
typedef uint64_t modseq_t;  /* RFC 7162; counts from 1 within one mailbox, only grows */
typedef uint64_t epoch_t;   /* number of a reign; 0: none yet */
typedef uint64_t mailbox_id_t; /* counts from 1, never used again; the same on all members; survives a rename */

#define MAILBOX_NAME_MAX 480 /* octets of an internal name, and of a user name */
#define MAILBOX_ACL_MAX (64u << 10)
#define KEYWORD_NAME_MAX 256
#define KEYWORDS_MAX 64 /* different keywords in one mailbox: bits of struct message's keywords */
#define OP_ID_MAX 64
#define STRUCTURE_MAX (16u << 20)
#define ATTRIBUTE_NAME_MAX 400
#define ATTRIBUTE_USER_AND_NAME_MAX 498 /* together, so that they fit a key of the index */
#define ATTRIBUTE_VALUE_MAX (1u << 20)

/* UIDs FIRST..LAST, both within; 1 <= first <= last. A set is an array of them, ascending and apart; UIDs without a
 * message are ignored. */
struct uid_range {
	uint32_t first, last;
};

/* An attribute: a named value of the server, of a mailbox, or of one message. */
struct attribute {
	uint32_t uid;       /* of the message; 0: of the mailbox or server itself */
	struct bytes user;  /* whose it is; empty: shared by all */
	struct bytes name;  /* octets without NUL, at most ATTRIBUTE_NAME_MAX; compared as they are */
	struct bytes value; /* any octets, at most ATTRIBUTE_VALUE_MAX; may be empty */
};

/* The value of an attribute whose name begins so is shown to nobody. */
#define ATTRIBUTE_SECRET "secret:"

/* One message of one mailbox, as the index has it. */
struct message {
	uint32_t uid;
	uint32_t flags;    /* enum imap_flag (imap_flags.h); \Recent is not stored */
	uint64_t keywords; /* bit I: keyword I of the mailbox */
	modseq_t modseq;
	int64_t internaldate; /* seconds since 1970 UTC */
	uint32_t size;        /* octets of the body as stored: RFC822.SIZE */
	lsn_t body;           /* names the body: equal for copies of one message */
	int64_t savedate;     /* when it came into this mailbox, as internaldate; 0: nobody knows, it came under an old version */
};

/* What a quota root limits (RFC 9208 section 5). */
enum quota_resource {
	QUOTA_STORAGE,
	QUOTA_MESSAGE,
	QUOTA_MAILBOX,
	QUOTA_RESOURCES,
};
struct quota_limits {
	bool is_limited[QUOTA_RESOURCES];
	uint64_t limit[QUOTA_RESOURCES]; /* at most INT64_MAX; STORAGE: of 1024 octets each. 0 where it is not limited */
};
struct quota {
	struct bytes root; /* an internal name */
	struct quota_limits limits;
	uint64_t used[QUOTA_RESOURCES]; /* STORAGE: octets */
};

enum store_result {
	STORE_OK,
	STORE_NO_MAILBOX,  /* no such mailbox, or it was deleted meanwhile */
	STORE_EXISTS,      /* a mailbox of that name is there already */
	STORE_CONFLICT,    /* it is not as the intent expected (ACL changed meanwhile): read again */
	STORE_BAD,         /* a name, ACL or keyword that cannot be: empty, too long, with NUL */
	STORE_LIMIT,       /* too many keywords, UIDs used up, an entry over the limit */
	STORE_OVER_QUOTA,  /* a limit of the mailbox's quota root stands in the way */
	STORE_NO_SPACE,    /* disk or index full; reading goes on */
	STORE_NOT_MASTER,  /* never from the store itself: for whoever answers intents that no turn took */
	STORE_GONE,        /* entries that were asked for are not in the journal any more */
	STORE_DAMAGED,     /* of a read: what the disk has is not what was written */
	STORE_FAILED,      /* an operator's fault, logged: the outcome is unknown if it comes after the turn was sent */
};

/* "no mailbox", "exists", ...: for logs and tests. */
const char *store_result_name(enum store_result r);

/* What a commit changed, so that sessions and the directory can be told. One per mailbox. */
enum store_change_bit {
	STORE_CHANGE_MESSAGES = 1u << 0, /* arrived, went, or changed flags */
	STORE_CHANGE_CREATED = 1u << 1,
	STORE_CHANGE_DELETED = 1u << 2,
	STORE_CHANGE_NAME = 1u << 3,
	STORE_CHANGE_ACL = 1u << 4,
	STORE_CHANGE_ATTRIBUTES = 1u << 5, /* of the mailbox itself, or of the server */
	STORE_CHANGE_SUBSCRIPTIONS = 1u << 6, /* of a user */
};
/* What no mailbox is, and changes: numbers that none has. Users are told apart in this process only, and not always. */
#define STORE_CHANGE_OF_SERVER (1ull << 62)
mailbox_id_t store_change_of_user(struct bytes user);
struct store_change {
	mailbox_id_t mailbox; /* or one of these */
	uint32_t what; /* enum store_change_bit */
};
struct store_changes {
	struct store_change *of; /* owned, sorted by mailbox; NULL where n is 0 */
	size_t n;
	size_t cap;
	uint64_t freed; /* octets of bodies that nothing refers to any more */
};
/* Free and leave empty. Zero-initialise to start. */
void store_changes_fini(struct store_changes *c);

#endif
