/* imap_feature.h - what a client may ENABLE (RFC 5161), by name and as bits. Pure. */
#ifndef ROOST_IMAP_FEATURE_H
#define ROOST_IMAP_FEATURE_H

#include "buffer.h"
#include "bytes.h"

/* What is served once a client is logged in, by backends and so through frontends. */
#define IMAP_CAPABILITIES \
	"UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE ACL RIGHTS=kxte ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC " \
	"SAVEDATE PREVIEW MULTIAPPEND REPLACE CATENATE URLAUTH URL-PARTIAL " \
	"QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX QUOTASET " \
	"METADATA LIST-METADATA CREATE-SPECIAL-USE ANNOTATE-EXPERIMENT-1 " \
	"LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS STATUS=SIZE BINARY UTF8=ACCEPT I18NLEVEL=1 " \
	"SEARCH=FUZZY SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL " \
	"COMPRESS=DEFLATE UNAUTHENTICATE OBJECTID UIDONLY INPROGRESS CONTEXT=SEARCH CONTEXT=SORT MULTISEARCH NOTIFY"

enum imap_feature {
	IMAP_F_CONDSTORE = 1 << 0, /* RFC 7162; the client is told modseqs */
	IMAP_F_QRESYNC = 1 << 1,   /* the same RFC; VANISHED instead of EXPUNGE */
	IMAP_F_REV2 = 1 << 2,      /* RFC 9051: no \Recent, ESEARCH instead of SEARCH, names in UTF-8 */
	IMAP_F_UTF8 = 1 << 3,      /* RFC 6855: names in UTF-8 */
	IMAP_F_UIDONLY = 1 << 4,   /* RFC 9586: no message numbers, neither way */
};

/* The bits of NAME, in any case; 0: not one that is known. What a feature includes is with it: QRESYNC enables CONDSTORE. */
unsigned imap_feature_of(struct bytes name);
/* Append " NAME" for each of FEATURES. */
void imap_write_features(struct buffer *to, unsigned features);

#endif
