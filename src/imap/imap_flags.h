/* imap_flags.h - the system flags of RFC 3501 section 2.3.2 as bits, as they stand in journal entries too. */
#ifndef ROOST_IMAP_FLAGS_H
#define ROOST_IMAP_FLAGS_H

enum imap_flag {
	IMAP_FLAG_ANSWERED = 1 << 0,
	IMAP_FLAG_FLAGGED = 1 << 1,
	IMAP_FLAG_DELETED = 1 << 2,
	IMAP_FLAG_SEEN = 1 << 3,
	IMAP_FLAG_DRAFT = 1 << 4,
	IMAP_FLAGS_ALL = (1 << 5) - 1,
};

#endif
