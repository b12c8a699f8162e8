/* salvage_private.h - what a suffix touches, as it was at the common point and as the suffix has it so far. */
#ifndef ROOST_STORE_SALVAGE_PRIVATE_H
#define ROOST_STORE_SALVAGE_PRIVATE_H

#include "map.h"
#include "salvage.h"

struct box {
	mailbox_id_t id;
	epoch_t made_epoch; /* 0: of the common point */
	lsn_t made_lsn;
	struct bytes name, acl, partition;
	struct bytes first_name, first_acl; /* of the common point */
	epoch_t name_epoch, acl_epoch, gone_epoch; /* of the last change */
	lsn_t name_lsn, acl_lsn, gone_lsn;         /* 0: none */
	unsigned keyword_count;
	struct bytes keywords[KEYWORDS_MAX];
};

struct mail {
	struct box *box;
	uint32_t uid;
	epoch_t made_epoch; /* 0: of the common point */
	lsn_t made_lsn;
	lsn_t body;
	int64_t internaldate;
	struct bytes op_id;
	uint8_t flags, first_flags;
	uint64_t keywords, first_keywords;
	modseq_t first_modseq;
	epoch_t changed_epoch, gone_epoch;
	lsn_t changed_lsn, gone_lsn; /* 0: not */
};

struct subscription {
	struct bytes user, name;
	bool is_on, was_on;
	epoch_t epoch;
	lsn_t lsn;
};

struct value {
	struct box *box;   /* NULL: the server's */
	struct mail *mail; /* NULL: the box's own */
	struct attribute of; /* user and name; uid as in the suffix */
	bool was_set, is_set;
	struct bytes was, is;
	epoch_t epoch;
	lsn_t lsn;
};

struct root {
	struct bytes name;
	struct bytes limits, first_limits; /* as octets; empty: it was no root */
	epoch_t epoch;
	lsn_t lsn;
};

struct body {
	struct bytes octets, structure;
};

struct salvage {
	struct salvage_before before;
	struct arena arena; /* all below */
	struct map boxes, mails, subscriptions, roots, bodies; /* by id; by mailbox and UID; by user NUL name; by name; by LSN */
	struct map values; /* by mailbox, UID, user NUL name */
	struct salvage_item *items;
	size_t count, cap;
};

#endif
