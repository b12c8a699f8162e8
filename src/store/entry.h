/* entry.h - the entries of the journal: one effect each, as octets and as structs (docs/formats.md, "Entries"). Pure.
 *
 * The octets of an entry are its head (a fixed header and the effect's data) and, for a message, its body. They are the
 * same on all members. The head's checksum covers the head; the body's hash stands in the head. */
#ifndef ROOST_STORE_ENTRY_H
#define ROOST_STORE_ENTRY_H

#include "arena.h"
#include "buffer.h"
#include "store_types.h"

enum entry_type {
	ENTRY_EPOCH = 1,
	ENTRY_CREATE,
	ENTRY_DELETE,
	ENTRY_RENAME,
	ENTRY_ACL,
	ENTRY_KEYWORDS,
	ENTRY_APPEND,
	ENTRY_FLAGS,
	ENTRY_EXPUNGE,
	ENTRY_COPY, /* and move */
	ENTRY_SUBSCRIBE,
	ENTRY_RETAIN,        /* an EXPUNGE with its time: the messages can be had back */
	ENTRY_RECLAIM,       /* of those, these no more */
	ENTRY_DIGEST,   /* what the index is, in hashes: store_digest.c */
	ENTRY_SALVAGED = 15, /* an item of a lost suffix was done: salvage.h */
	ENTRY_ATTRIBUTE = 16, /* named values of the server, a mailbox or its messages, set or removed */
	ENTRY_QUOTA = 17,    /* a quota root's limits, all of them; makes the root where it is not there */
	ENTRY_PLACE = 18,    /* messages that came just before, to no mailbox yet, go to one together; a message may go for them */
};

#define ENTRY_HEADER 48
#define ENTRY_MAGIC 0x31544e52u /* "RNT1" */
/* Largest head and body. */
#define ENTRY_HEAD_MAX (64u << 20)
#define ENTRY_BODY_MAX (1u << 30)
#define SALVAGED_KEY_MAX 64
#define ENTRY_TYPE_LAST ENTRY_PLACE
/* A longer body has a hash for each block of so many octets, the last may be shorter: a part is checked without the rest. */
#define ENTRY_BLOCK (64u << 10)

struct entry_delivery {
	mailbox_id_t mailbox;
	uint32_t uid;
	modseq_t modseq;
	int64_t internaldate;
	uint8_t flags;
	uint64_t keywords;
};

struct entry_flag {
	uint32_t uid;
	uint8_t flags;
	uint64_t keywords;
};

struct entry_copy {
	uint32_t source; /* COPY: UID there */
	uint32_t uid;
	lsn_t body;
	uint32_t size;
	int64_t internaldate;
	uint8_t flags;
	uint64_t keywords;
};

/* IS_SET: it has the value; else it is removed, and the value is empty. */
struct entry_attribute {
	struct attribute of;
	bool is_set;
};

/* Of what an entry makes: number AT, from 0, of its deliveries or copies; of a CREATE 0. */
struct entry_given {
	uint32_t at;
	struct bytes user, name, value; /* as in struct attribute */
};

/* Of a mailbox: its record, and its messages from UID FIRST to LAST. */
struct entry_digest {
	mailbox_id_t mailbox;
	uint64_t record;
	uint32_t first, last;
	uint64_t rows;
};

/* Which fields a type uses stands behind them; the rest is zero. */
struct entry {
	enum entry_type type;
	lsn_t lsn;
	epoch_t epoch;
	lsn_t committed;    /* known when it was made: that of the master */
	struct bytes body;  /* APPEND */
	uint64_t body_hash; /* APPEND */
	int64_t time;       /* APPEND COPY PLACE: when, seconds since 1970 UTC; 0: of an old version */
	struct bytes sums;  /* APPEND: u64 each, the hashes of the body's blocks; none if it is one block, or of an old version */

	struct entry_given *given; /* CREATE APPEND COPY PLACE: attributes of what it makes, there from the beginning */
	size_t given_count;

	mailbox_id_t mailbox; /* CREATE DELETE ACL KEYWORDS FLAGS EXPUNGE; COPY PLACE: the target; ATTRIBUTE: 0: the server */
	modseq_t modseq;      /* FLAGS EXPUNGE RETAIN COPY PLACE; ATTRIBUTE: of the messages named in it, 0 if there are none */
	uint32_t uidvalidity; /* CREATE; EPOCH: not 0: that of the mailbox with the lowest id, the next has the next, and so on */
	struct bytes name, acl, partition; /* CREATE (all), ACL (acl), SUBSCRIBE and QUOTA (name) */
	struct bytes user;    /* SUBSCRIBE */
	bool is_on;           /* SUBSCRIBE */
	struct bytes master, in_sync; /* EPOCH */
	struct bytes op_id, structure; /* APPEND */
	struct bytes key;     /* SALVAGED */
	struct quota_limits limits; /* QUOTA, of the root "name" */
	uint64_t value;       /* SALVAGED; DIGEST: all records; RETAIN, PLACE: as of when what goes can be had back, seconds
	                        since 1970 UTC; PLACE: 0: it cannot */
	mailbox_id_t source;  /* COPY: where from, if it is a move; PLACE: where a message goes, if one does; else 0 */
	modseq_t source_modseq;
	uint32_t replaced;    /* PLACE: that message's UID */

	size_t count; /* of what the type has several of: */
	struct entry_delivery *deliveries; /* APPEND */
	struct entry_flag *flags;          /* FLAGS */
	uint32_t *uids;                    /* EXPUNGE RETAIN RECLAIM */
	struct entry_copy *copies;         /* COPY PLACE */
	struct entry_digest *digests;      /* DIGEST */
	struct entry_attribute *attributes; /* ATTRIBUTE */
	struct bytes *names;               /* KEYWORDS: all of the mailbox; RENAME: the new names */
	mailbox_id_t *mailboxes;           /* RENAME RECLAIM */
};

/* Append the head of E; the body is given beside it. */
void entry_write(struct buffer *to, const struct entry *e);
/* Read a head, its checksum included; lists live in A, bytes are borrowed. BODY is what follows it (may be NULL/0 with
 * CHECK_BODY false). False with WHY: damaged. */
bool entry_read(struct bytes head, struct bytes body, bool check_body, struct arena *a, struct entry *e_r, struct fault *why);

/* The header alone, without checking anything beyond it. False: fewer octets than a header, no magic, or absurd lengths. */
struct entry_header {
	uint32_t head_size, body_size;
	enum entry_type type;
	bool has_sums, has_time, has_given;
	lsn_t lsn;
	epoch_t epoch;
	lsn_t committed;
	uint64_t checksum;
};
bool entry_header_read(struct bytes raw, struct entry_header *h_r);
/* Whether the head's checksum is right. */
bool entry_head_is_whole(struct bytes head);
uint64_t entry_hash(struct bytes b);
/* Append the hashes of BODY's blocks, if it has more than one. */
void entry_sums(struct bytes body, struct buffer *to);
/* Whether B, which begins with block FIRST of a body, has the hashes that SUMS says. */
bool entry_blocks_are_whole(struct bytes sums, uint64_t first, struct bytes b);

#endif
