/* acl.h - access control lists (RFC 4314) and their form on the MUPDATE wire, "identifier TAB rights TAB ...". Pure. */
#ifndef ROOST_IMAP_ACL_H
#define ROOST_IMAP_ACL_H

#include "buffer.h"
#include "bytes.h"

/* The standard rights as bits, in the order "lrswipkxtea" and Cyrus's own 'n'. */
enum acl_right {
	ACL_LOOKUP = 1 << 0,   /* l */
	ACL_READ = 1 << 1,     /* r */
	ACL_SEEN = 1 << 2,     /* s */
	ACL_WRITE = 1 << 3,    /* w */
	ACL_INSERT = 1 << 4,   /* i */
	ACL_POST = 1 << 5,     /* p */
	ACL_CREATE = 1 << 6,   /* k */
	ACL_DELETE_MAILBOX = 1 << 7, /* x */
	ACL_DELETE = 1 << 8,   /* t */
	ACL_EXPUNGE = 1 << 9,  /* e */
	ACL_ADMIN = 1 << 10,   /* a */
	ACL_ANNOTATE = 1 << 11, /* n */
	ACL_ALL = (1 << 12) - 1,
	ACL_OWNER = ACL_LOOKUP | ACL_CREATE | ACL_DELETE_MAILBOX | ACL_ADMIN | ACL_ANNOTATE,
};
typedef uint32_t acl_rights_t;

/* Read letters; the obsolete c stands for k, d for x t e (RFC 4314 section 2.1.1). False: a letter that is no right. */
bool acl_rights_parse(struct bytes letters, acl_rights_t *rights_r);
/* Append letters; WITH_OBSOLETE adds c for k, and d for any of x, t and e, as clients are told (RFC 4314 section 2.1.1): read again
 * this may be more. */
void acl_rights_write(struct buffer *to, acl_rights_t rights, bool with_obsolete);

/* Walk the entries of an ACL. Rights that are unknown to us are ignored; so are c and d beside what they stand for, which Cyrus
 * adds for any part of it. */
bool acl_next(struct bytes *acl, struct bytes *identifier_r, acl_rights_t *rights_r);
/* Append ACL with IDENTIFIER's rights replaced (0 removes the entry). The identifier holds no TAB. */
void acl_set(struct buffer *to, struct bytes acl, struct bytes identifier, acl_rights_t rights);
/* IDENTIFIER's own entry; 0 where it has none. */
acl_rights_t acl_get(struct bytes acl, struct bytes identifier);
/* What USER may do: its own entry and anyone's, less those of "-user" and "-anyone"; the owner of a personal mailbox
 * (IS_OWNER) always has ACL_OWNER, as with Cyrus, so that nobody locks himself out. */
acl_rights_t acl_effective(struct bytes acl, struct bytes user, bool is_owner);
/* The ACL of a new personal mailbox: all rights for its owner. */
void acl_write_default(struct buffer *to, struct bytes owner);

#endif
