/* imap_command.h - one complete command to a struct: the grammar of RFC 3501 and of the extensions that are served, and the
 * one table of commands that backend and frontend dispatch on. Pure. */
#ifndef ROOST_IMAP_COMMAND_H
#define ROOST_IMAP_COMMAND_H

#include "arena.h"
#include "bytes.h"
#include "fault.h"
#include "imap_feature.h"
#include "seqset.h"

enum imap_verb {
	IMAP_APPEND, /* and Localappend, which Cyrus frontends send */
	IMAP_AUTHENTICATE,
	IMAP_CANCELUPDATE,
	IMAP_CAPABILITY,
	IMAP_CHECK,
	IMAP_CLOSE,
	IMAP_COMPRESS,
	IMAP_COPY,
	IMAP_CREATE,
	IMAP_DELETE,
	IMAP_DELETEACL,
	IMAP_ENABLE,
	IMAP_ESEARCH,
	IMAP_EXAMINE,
	IMAP_EXPUNGE,
	IMAP_FETCH,
	IMAP_GENURLAUTH, /* RFC 4467 */
	IMAP_GETACL,
	IMAP_GETQUOTA, /* RFC 9208 */
	IMAP_GETQUOTAROOT,
	IMAP_GETMETADATA,
	IMAP_ID,
	IMAP_IDLE,
	IMAP_LIST,
	IMAP_LISTRIGHTS,
	IMAP_LOGIN,
	IMAP_LOGOUT,
	IMAP_LSUB,
	IMAP_MOVE,
	IMAP_MYRIGHTS,
	IMAP_NAMESPACE,
	IMAP_NOOP,
	IMAP_NOTIFY,
	IMAP_RENAME,
	IMAP_REPLACE, /* RFC 8508 */
	IMAP_RESETKEY, /* RFC 4467 */
	IMAP_SEARCH,
	IMAP_SELECT,
	IMAP_SETACL,
	IMAP_SETMETADATA,
	IMAP_SETQUOTA,
	IMAP_SORT,
	IMAP_STARTTLS,
	IMAP_STATUS,
	IMAP_STORE,
	IMAP_SUBSCRIBE,
	IMAP_THREAD,
	IMAP_UNAUTHENTICATE,
	IMAP_UNSELECT,
	IMAP_UNSUBSCRIBE,
	IMAP_URLFETCH, /* RFC 4467 */
	IMAP_XAUTOCREATE, /* a frontend's: have the user's INBOX made here, if he has none (docs/formats.md) */
	IMAP_VERB_COUNT,
};

/* In which states a command is legal (RFC 3501 section 3). */
enum imap_state {
	IMAP_ST_NOT_AUTHED = 1 << 0,
	IMAP_ST_AUTHED = 1 << 1,
	IMAP_ST_SELECTED = 1 << 2,
	IMAP_ST_IN = IMAP_ST_AUTHED | IMAP_ST_SELECTED,
	IMAP_ST_ANY = IMAP_ST_NOT_AUTHED | IMAP_ST_IN,
};

/* What a command means for others. */
enum imap_trait {
	IMAP_T_USES_SEQ = 1 << 0,    /* message numbers, if without UID: no EXPUNGE may be told during it (section 7.4.1) */
	IMAP_T_SWITCHES = 1 << 1,    /* selects or leaves a mailbox */
	IMAP_T_NAMES_MAILBOX = 1 << 2, /* c->mailbox */
	IMAP_T_NAMES_TARGET = 1 << 3,  /* c->target */
	IMAP_T_HAS_UID = 1 << 4,     /* may stand behind UID */
	IMAP_T_SECRET = 1 << 5,      /* its line is not logged */
};

struct imap_row {
	const char *name;
	enum imap_verb verb;
	unsigned states, traits;
};
/* The row of a verb; the table lives for ever. */
const struct imap_row *imap_row(enum imap_verb verb);

/* FETCH. */
enum fetch_type {
	FETCH_UID,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY,          /* the non-extensible structure */
	FETCH_BODYSTRUCTURE,
	FETCH_SECTION,       /* BODY[...], BODY.PEEK[...] */
	FETCH_RFC822,        /* as BODY[] */
	FETCH_RFC822_HEADER, /* as BODY.PEEK[HEADER] */
	FETCH_RFC822_TEXT,   /* as BODY[TEXT] */
	FETCH_MODSEQ,
	FETCH_EMAILID,  /* RFC 8474 */
	FETCH_THREADID,
	FETCH_BINARY,      /* BINARY[...], BINARY.PEEK[...] (RFC 3516): PARTS, decoded */
	FETCH_BINARY_SIZE, /* BINARY.SIZE[...] */
	FETCH_ANNOTATION,  /* RFC 5257: FIELDS are entries, with wildcards; attributes */
	FETCH_SAVEDATE, /* RFC 8514 */
	FETCH_PREVIEW,  /* RFC 8970; IS_LAZY: only if it is at hand */
};
/* ANNOTATE (RFC 5257). */
enum annotation_attribute {
	ANNOTATION_VALUE_PRIV = 1 << 0,
	ANNOTATION_VALUE_SHARED = 1 << 1,
	ANNOTATION_SIZE_PRIV = 1 << 2,
	ANNOTATION_SIZE_SHARED = 1 << 3,
};
#define ANNOTATIONS_MAX 200 /* values set by one command, for one message */
struct annotation {
	struct bytes entry; /* well formed: section 3.2 */
	bool is_shared;
	struct bytes value; /* p is NULL: NIL */
};

enum section_kind {
	SECTION_ALL, /* the message, or the part's body */
	SECTION_HEADER,
	SECTION_FIELDS,
	SECTION_FIELDS_NOT,
	SECTION_TEXT,
	SECTION_MIME,
};
struct fetch_item {
	enum fetch_type type;
	bool is_peek, is_lazy;
	enum section_kind kind;
	uint32_t *parts; /* part numbers, in the arena */
	size_t part_count;
	struct bytes *fields; /* of SECTION_FIELDS and _NOT, FETCH_ANNOTATION */
	size_t field_count;
	unsigned attributes;  /* FETCH_ANNOTATION: enum annotation_attribute */
	bool has_partial;
	uint32_t offset, length; /* of <offset.length> */
	struct bytes text;       /* the section as it stands in the answer, "BODY[...]" or "BINARY[...]" without PEEK and partial */
};

/* SEARCH: a tree. */
enum search_type {
	SEARCH_ALL,
	SEARCH_AND,      /* every one of CHILDREN */
	SEARCH_OR,       /* one of two CHILDREN */
	SEARCH_NOT,      /* not its one child */
	SEARCH_FLAG,     /* all bits of FLAGS */
	SEARCH_KEYWORD,  /* STRING */
	SEARCH_RECENT,
	SEARCH_NEW,      /* recent and not seen */
	SEARCH_SEQ,      /* SET, message numbers */
	SEARCH_UID,      /* SET */
	SEARCH_LARGER,   /* NUMBER */
	SEARCH_SMALLER,
	SEARCH_BEFORE,   /* NUMBER: days since 1970, by INTERNALDATE */
	SEARCH_ON,
	SEARCH_SINCE,
	SEARCH_SENTBEFORE, /* by the Date header */
	SEARCH_SENTON,
	SEARCH_SENTSINCE,
	SEARCH_HEADER,   /* FIELD contains STRING (FROM, TO, CC, BCC, SUBJECT too) */
	SEARCH_BODY,     /* STRING */
	SEARCH_TEXT,
	SEARCH_MODSEQ,   /* NUMBER or more (RFC 7162 section 3.1.5) */
	SEARCH_EMAILID,  /* STRING (RFC 8474) */
	SEARCH_THREADID,
	SEARCH_ANNOTATION, /* FIELD: entry, with wildcards; STRING; FLAGS: ANNOTATION_VALUE_... */
	SEARCH_OLDER,    /* NUMBER: seconds (RFC 5032) */
	SEARCH_YOUNGER,
	SEARCH_SAVEDBEFORE, /* as SEARCH_BEFORE, by the time when it came into the mailbox (RFC 8514) */
	SEARCH_SAVEDON,
	SEARCH_SAVEDSINCE,
};
struct search_key {
	enum search_type type;
	struct search_key *next;     /* sibling */
	struct search_key *children;
	uint32_t flags;
	bool is_fuzzy;               /* within FUZZY (RFC 6203): strings are matched more or less */
	uint64_t number;
	struct bytes field, string;
	struct seqset set;
	void *plan;                  /* of whoever evaluates it, as is the next */
	struct mime_fuzzy *fuzzy;
};

/* RETURN of SEARCH (RFC 4731, 5182). */
enum search_return {
	SEARCH_RETURN_MIN = 1 << 0,
	SEARCH_RETURN_MAX = 1 << 1,
	SEARCH_RETURN_ALL = 1 << 2,
	SEARCH_RETURN_COUNT = 1 << 3,
	SEARCH_RETURN_SAVE = 1 << 4,
	SEARCH_RETURN_PARTIAL = 1 << 5, /* RFC 9394: partial_from, partial_to */
	SEARCH_RETURN_UPDATE = 1 << 6,  /* RFC 5267: with update_items, if any (RFC 5465 section 7) */
	SEARCH_RETURN_CONTEXT = 1 << 7, /* a hint, which is not needed */
	SEARCH_RETURN_RELEVANCY = 1 << 8, /* RFC 6203; only with a FUZZY key */
};

/* Which mailboxes (RFC 5465 section 6, RFC 7377 section 2.2). */
enum filter_kind {
	FILTER_SELECTED,
	FILTER_SELECTED_DELAYED,
	FILTER_INBOXES,
	FILTER_PERSONAL,
	FILTER_SUBSCRIBED,
	FILTER_SUBTREE,     /* NAMES and all below */
	FILTER_SUBTREE_ONE, /* NAMES and what is next below */
	FILTER_MAILBOXES,   /* NAMES */
};
struct mailbox_filter {
	enum filter_kind kind;
	struct bytes *names; /* as the client wrote them, until mailbox_filter_resolve() */
	size_t name_count;
};

/* What of them NOTIFY tells (RFC 5465 section 5). */
enum notify_event {
	NOTIFY_MESSAGE_NEW = 1 << 0,
	NOTIFY_MESSAGE_EXPUNGE = 1 << 1,
	NOTIFY_BOTH = NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE,
	NOTIFY_FLAG_CHANGE = 1 << 2,
	NOTIFY_ANNOTATION_CHANGE = 1 << 3,
	NOTIFY_CHANGES = NOTIFY_FLAG_CHANGE | NOTIFY_ANNOTATION_CHANGE,
	NOTIFY_MAILBOX_NAME = 1 << 4,
	NOTIFY_SUBSCRIPTION_CHANGE = 1 << 5,
	NOTIFY_MAILBOX_METADATA = 1 << 6,
	NOTIFY_SERVER_METADATA = 1 << 7,
	NOTIFY_OF_MAILBOXES = NOTIFY_MAILBOX_NAME | NOTIFY_SUBSCRIPTION_CHANGE | NOTIFY_MAILBOX_METADATA | NOTIFY_SERVER_METADATA,
	NOTIFY_UNKNOWN = 1 << 8, /* one that is in no RFC */
};
#define NOTIFY_GROUPS_MAX 100
#define ESEARCH_FILTERS_MAX 100
/* Those that are served, for BADEVENT. */
#define NOTIFY_SUPPORTED \
	"MessageNew MessageExpunge FlagChange AnnotationChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange"
struct notify_group {
	struct mailbox_filter filter;
	unsigned events; /* 0: NONE */
	struct bytes octets;      /* the group as it was written, and its events alone */
	struct bytes event_octets;
	struct fetch_item *items; /* of MessageNew */
	size_t item_count;
};

/* What SORT sorts by (RFC 5256, 5957). */
enum sort_by {
	SORT_ARRIVAL,
	SORT_CC,
	SORT_DATE,
	SORT_FROM,
	SORT_SIZE,
	SORT_SUBJECT,
	SORT_TO,
	SORT_DISPLAYFROM,
	SORT_DISPLAYTO,
	SORT_RELEVANCY, /* RFC 6203; only with a FUZZY key */
	SORT_ANNOTATION,
};
#define SORT_CRITERIA_MAX 16
struct sort_criterion {
	enum sort_by by;
	bool is_reverse;
	struct bytes entry; /* ANNOTATION */
	bool is_shared;
};

enum thread_algorithm {
	THREAD_ORDEREDSUBJECT, /* RFC 5256 section 3 */
	THREAD_REFERENCES,
	THREAD_REFS, /* as REFERENCES, without looking at subjects, in the order of the newest arrival of each thread */
};

/* SELECT (QRESYNC (...)) (RFC 7162 section 3.2.5). */
struct qresync_args {
	uint32_t uidvalidity;
	uint64_t modseq;
	bool has_known, has_match;
	struct seqset known;                /* UIDs */
	struct seqset match_seq, match_uid; /* as many ranges' members in both, ascending */
};

/* GETMETADATA, SETMETADATA (RFC 5464), LIST RETURN (METADATA ...) (RFC 9590). */
enum metadata_depth { METADATA_DEPTH_0, METADATA_DEPTH_1, METADATA_DEPTH_INFINITY };
#define METADATA_ENTRIES_MAX 1000 /* named in one command */
struct metadata_args {
	bool has_maxsize;
	uint64_t maxsize;
	enum metadata_depth depth;
	struct metadata_entry {
		struct bytes name;  /* in lower case; well formed: RFC 5464 section 3.2 */
		struct bytes value; /* SETMETADATA; p is NULL: NIL */
	} *entries;
	size_t count; /* 1.. */
};

enum store_how { STORE_HOW_REPLACE, STORE_HOW_ADD, STORE_HOW_TAKE };

/* One part of a message that is put together (RFC 4469). */
struct cat_part {
	bool is_url;
	bool is_binary;     /* a text that came as literal8 */
	struct bytes octets; /* the text, or the URL */
	struct bytes raw;    /* the part as it stands in the command */
};

/* One message of APPEND or REPLACE. */
struct append_message {
	uint32_t flags;
	struct annotation *annotations;
	size_t annotation_count;
	struct bytes *keywords;
	size_t keyword_count;
	bool has_date;
	int64_t internaldate;
	bool is_binary; /* it came as literal8: may hold NUL */
	struct bytes octets;
	struct cat_part *parts; /* CATENATE: instead of OCTETS; at least one */
	size_t part_count;
};

enum status_item {
	STATUS_MESSAGES = 1 << 0,
	STATUS_RECENT = 1 << 1,
	STATUS_UIDNEXT = 1 << 2,
	STATUS_UIDVALIDITY = 1 << 3,
	STATUS_UNSEEN = 1 << 4,
	STATUS_HIGHESTMODSEQ = 1 << 5,
	STATUS_SIZE = 1 << 6,    /* RFC 8438 */
	STATUS_DELETED = 1 << 7, /* RFC 9051 */
	STATUS_APPENDLIMIT = 1 << 8, /* RFC 7889 */
	STATUS_MAILBOXID = 1 << 9,   /* RFC 8474 */
	STATUS_DELETED_STORAGE = 1 << 10, /* RFC 9208 */
};

/* LIST with RFC 5258's options, as far as they are served. */
enum list_option {
	LIST_SELECT_SUBSCRIBED = 1 << 0,
	LIST_SELECT_SPECIAL_USE = 1 << 1,
	LIST_SELECT_REMOTE = 1 << 2,
	LIST_RETURN_CHILDREN = 1 << 3,
	LIST_RETURN_SUBSCRIBED = 1 << 4,
	LIST_RETURN_SPECIAL_USE = 1 << 5,
	LIST_IS_EXTENDED = 1 << 6, /* any option or more than one pattern was given */
	LIST_SELECT_RECURSIVE = 1 << 7,
	LIST_RETURN_STATUS = 1 << 8,   /* with status_items (RFC 5819) */
	LIST_RETURN_MYRIGHTS = 1 << 9, /* RFC 8440 */
	LIST_RETURN_METADATA = 1 << 10, /* with metadata (RFC 9590) */
};

/* SETQUOTA: a resource as it was written, and its limit. */
struct quota_setting {
	struct bytes resource;
	uint64_t limit; /* 63 bits */
};
#define QUOTA_SETTINGS_MAX 16

/* Fields that a verb does not use are zero. All bytes are borrowed from the command's octets or in the arena. */
struct imap_command {
	struct bytes tag; /* "*" if none could be read */
	enum imap_verb verb;
	const struct imap_row *row;
	bool is_uid;

	struct bytes mailbox; /* APPEND REPLACE CREATE DELETE EXAMINE SELECT STATUS SUBSCRIBE UNSUBSCRIBE, RENAME's old name, all of ACL,
	                         of METADATA, GETQUOTAROOT; GETQUOTA, SETQUOTA: the root;
	                         LIST, LSUB: the reference. As the client wrote it: names.h takes it apart */
	struct bytes target;  /* COPY, MOVE; RENAME's new name */
	struct bytes partition; /* CREATE: Cyrus's second argument, "partition", "server" or "server!partition" */
	struct bytes special_use; /* CREATE (USE (...)): the attributes */
	struct bytes user, password; /* LOGIN */
	struct bytes mechanism, initial; /* AUTHENTICATE; COMPRESS: the first; initial.p NULL: none; "=" is empty and means an empty response */

	struct seqset set;    /* FETCH STORE COPY MOVE, UID EXPUNGE; REPLACE: one number, or "*" */
	struct fetch_item *items;
	size_t item_count;
	struct search_key *search; /* SEARCH: an AND of all keys */
	struct bytes charset;      /* SEARCH; empty: US-ASCII */
	bool has_return;           /* SEARCH RETURN (...) */
	unsigned return_options;   /* enum search_return; "()" is ALL */
	int64_t partial_from, partial_to; /* positions among the results, the first being 1, or from the end, the last being -1;
	                                     both of one sign, FROM the nearer to its end; also FETCH's modifier PARTIAL */
	struct mailbox_filter *filters; /* ESEARCH IN (...); none: the selected mailbox */
	size_t filter_count;
	struct bytes rest;         /* ESEARCH: all behind that */
	bool is_notify_set, wants_status; /* NOTIFY SET STATUS; else NONE */
	struct notify_group *groups;
	size_t group_count;
	bool has_partial;          /* FETCH */
	struct fetch_item *update_items;
	size_t update_item_count;
	struct sort_criterion criteria[SORT_CRITERIA_MAX]; /* SORT */
	size_t criterion_count;
	enum thread_algorithm algorithm; /* THREAD */

	bool has_fuzzy;        /* SEARCH, SORT, THREAD, ESEARCH: a FUZZY key is in it */
	bool has_modseq;       /* FETCH CHANGEDSINCE, STORE UNCHANGEDSINCE; SEARCH: a MODSEQ key is in it */
	uint64_t modseq;       /* of FETCH and STORE */
	bool wants_vanished;   /* FETCH */
	bool is_condstore, hears_annotations; /* SELECT, EXAMINE */
	struct qresync_args *qresync; /* SELECT, EXAMINE; NULL: none */

	struct annotation *annotations; /* STORE */
	size_t annotation_count;
	enum store_how how; /* STORE */
	bool is_silent;
	uint32_t flags; /* STORE */
	struct bytes *keywords;
	size_t keyword_count;

	struct append_message *messages; /* APPEND: at least one; REPLACE: one */
	size_t message_count;
	struct bytes message_text; /* REPLACE: these as they stand in the command */

	unsigned status_items;
	unsigned list_options;
	struct metadata_args *metadata; /* GETMETADATA, SETMETADATA, LIST with LIST_RETURN_METADATA; else NULL */
	struct bytes *patterns; /* LIST, LSUB: at least one */
	size_t pattern_count;

	struct quota_setting *settings; /* SETQUOTA */
	size_t setting_count;
	struct bytes identifier, rights; /* SETACL DELETEACL LISTRIGHTS */
	struct bytes *words;  /* CANCELUPDATE: tags; ENABLE: capabilities; ID: names and values in turn, empty for NIL */
	size_t word_count;
};

struct imap_command_limits {
	size_t list;  /* members of a list, ranges of a set */
	size_t depth; /* nesting of search keys */
};

enum imap_parse {
	IMAP_PARSE_OK,
	IMAP_PARSE_UNKNOWN, /* not a command that is known; the tag is set */
	IMAP_PARSE_BAD,     /* malformed: WHY says what and where */
};

/* Parse COMMAND, one whole command with its line end, as imap_framer found it. *cmd_r holds the tag (and the verb, unless
 * UNKNOWN) in any case. */
enum imap_parse imap_command_parse(struct bytes command, const struct imap_command_limits *limits, struct arena *a,
                                   struct imap_command *cmd_r, struct fault *why);

/* Whether C names messages by their numbers, in a set, in a search program or for QRESYNC: not allowed where UIDONLY is enabled
 * (RFC 9586 section 3). */
bool imap_command_uses_numbers(const struct imap_command *c);
#define IMAP_UIDREQUIRED "message numbers are not allowed once UIDONLY is enabled"

/* What C enables by being used at all (RFC 7162 section 3.1): bits of enum imap_feature. */
unsigned imap_command_enables(const struct imap_command *c);

/* For logs: the verb with UID before it. */
const char *imap_command_name(const struct imap_command *c);

#endif
